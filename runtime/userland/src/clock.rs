//! Time: telling it, waiting for it, limiting it. Everything is in UTC.

use std::{
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{applets::Arguments, complain, sys};

/// A duration like `1.5`, `2m`, `inf`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text.starts_with("inf") {
        return Some(Duration::from_secs(u64::MAX / 4));
    }
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h', 'd']) {
        Some(number) => (number, &text[number.len()..]),
        None => (text, "s"),
    };
    let scale = match unit {
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => 1.0,
    };
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * scale).ok()
}

pub(crate) fn sleep(words: &[String]) -> i32 {
    if words.len() == 1 {
        complain("sleep", "missing operand");
        return 1;
    }
    let mut total = Duration::ZERO;
    for word in &words[1..] {
        let Some(time) = duration(word) else {
            complain("sleep", format!("invalid number '{word}'"));
            return 1;
        };
        total = total.saturating_add(time);
    }
    let end = Instant::now().checked_add(total);
    loop {
        let left = end.map_or(Duration::from_secs(1 << 30), |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return 0;
        }
        std::thread::sleep(left.min(Duration::from_secs(1 << 30)));
    }
}

/// `timeout [-s SIGNAL] TIME COMMAND...`
pub(crate) fn timeout(words: &[String]) -> i32 {
    let mut rest = &words[1..];
    let mut signal = Signal::SIGTERM;
    while let Some((first, tail)) = rest.split_first().filter(|(first, _)| first.starts_with('-')) {
        rest = tail;
        if matches!(first.as_str(), "-s" | "-k") {
            if first == "-s" {
                signal = tail.first().and_then(|name| sys::signal_named(name)).unwrap_or(signal);
            }
            rest = tail.get(1..).unwrap_or_default();
        }
    }
    let (Some(limit), Some(program)) = (rest.first().and_then(|text| duration(text)), rest.get(1)) else {
        complain("timeout", "usage: timeout TIME COMMAND...");
        return 125;
    };
    let mut child = match Command::new(program).args(&rest[2..]).spawn() {
        Ok(child) => child,
        Err(error) => {
            complain("timeout", format!("can't execute '{program}': {}", sys::reason(&error)));
            return 127;
        }
    };
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            Ok(None) if Instant::now() >= end => {
                let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
                sys::best_effort(nix::sys::signal::kill(pid, signal));
                drop(child.wait());
                return 124;
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Err(_) => return 125,
        }
    }
}

/// `time COMMAND...`
pub(crate) fn time(words: &[String]) -> i32 {
    let Some(program) = words.get(1) else { return 0 };
    let start = Instant::now();
    let status = Command::new(program).args(&words[2..]).status();
    let passed = start.elapsed().as_secs_f64();
    eprintln!("real\t{}m {:.2}s", (passed / 60.0) as u64, passed % 60.0);
    match status {
        Ok(status) => status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        Err(error) => {
            complain("time", format!("can't execute '{program}': {}", sys::reason(&error)));
            127
        }
    }
}

/// `watch [-n SECONDS] COMMAND...`
pub(crate) fn watch(words: &[String]) -> i32 {
    let mut rest = &words[1..];
    let mut every = Duration::from_secs(2);
    if rest.first().is_some_and(|word| word == "-n") {
        every = rest.get(1).and_then(|text| duration(text)).unwrap_or(every);
        rest = rest.get(2..).unwrap_or_default();
    }
    loop {
        let line = rest.join(" ");
        print!("\x1b[H\x1b[2JEvery {:.1}s: {line}\n\n", every.as_secs_f64());
        drop(std::io::stdout().flush());
        if let Err(error) = Command::new("sh").args(["-c", &line]).status() {
            complain("watch", sys::reason(&error));
            return 127;
        }
        std::thread::sleep(every);
    }
}

/// A moment as `touch -d` takes it: `@SECONDS`, `2001-02-03`, `2001-02-03 04:05[:06]`; `touch -t`'s `200102030405`.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().ok().filter(|seconds| i64::try_from(*seconds).is_ok());
    }
    let mut digits: Vec<u64> = text.split(['-', ' ', 'T', ':', 'Z']).filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    if let [packed] = digits[..]
        && text.len() == 12
    {
        digits = vec![packed / 100_000_000, packed / 1_000_000 % 100, packed / 10_000 % 100, packed / 100 % 100, packed % 100];
    }
    let [year, month, day, ..] = digits[..] else { return None };
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their odd day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    let part = |index: usize| digits.get(index).copied().unwrap_or(0);
    if part(3) > 23 || part(4) > 59 || part(5) > 60 {
        return None;
    }
    Some(days * 86_400 + part(3) * 3600 + part(4) * 60 + part(5))
}

/// `date [-u] [-R|-I] [-d @SECONDS] [+FORMAT]`
pub(crate) fn date(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "uRId:Is", &[("utc", 'u'), ("date", 'd'), ("rfc-3339", 'I')]) else { return 1 };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(0));
    let moment = arguments.value('d').and_then(parse_time).and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(now);
    let format = match arguments.operands.first().and_then(|word| word.strip_prefix('+')) {
        Some(format) => format,
        None if arguments.has('R') => "%a, %d %b %Y %H:%M:%S +0000",
        None if arguments.has('I') => "%Y-%m-%d",
        None => "%a %b %e %H:%M:%S UTC %Y",
    };
    println!("{}", format_time(format, moment));
    0
}

/// strftime, in UTC.
pub(crate) fn format_time(format: &str, seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    const MONTHS: [&str; 12] = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ];
    let days = seconds.div_euclid(86_400);
    let rest = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let weekday = usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0);
    let month_name = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(next) = chars.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        out.push_str(&match chars.next() {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_owned(),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('N') => format!("{:09}", SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.subsec_nanos())),
            Some('s') => seconds.to_string(),
            Some('F') => format!("{year}-{month:02}-{day:02}"),
            Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
            Some('R') => format!("{hour:02}:{minute:02}"),
            Some('D') => format!("{month:02}/{day:02}/{:02}", year % 100),
            Some('a') => DAYS[weekday][..3].to_owned(),
            Some('A') => DAYS[weekday].to_owned(),
            Some('b' | 'h') => month_name[..3].to_owned(),
            Some('B') => month_name.to_owned(),
            Some('u') => if weekday == 0 { 7 } else { weekday }.to_string(),
            Some('w') => weekday.to_string(),
            Some('j') => format!("{:03}", days - days_before(year) + 1),
            Some('Z') => "UTC".to_owned(),
            Some('z') => "+0000".to_owned(),
            Some('n') => "\n".to_owned(),
            Some('t') => "\t".to_owned(),
            Some('%') | None => "%".to_owned(),
            Some(other) => format!("%{other}"),
        });
    }
    out
}

/// Days from 1970 to the first of January of `year`.
fn days_before(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + (before.div_euclid(4) - 492) - (before.div_euclid(100) - 19) + (before.div_euclid(400) - 4)
}

/// Year, month and day of a day counted from 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let mut year = 1970 + days.div_euclid(366);
    while days_before(year + 1) <= days {
        year += 1;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut day = days - days_before(year);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_utc() {
        let cases = [
            ("%F %T", 0, "1970-01-01 00:00:00"),
            ("%Y-%m-%d", 951_782_400, "2000-02-29"),
            ("%a %b %e %H:%M:%S UTC %Y", 1_767_225_600, "Thu Jan  1 00:00:00 UTC 2026"),
            ("%j", 1_767_225_600 + 31 * 86_400, "032"),
            ("%d/%b/%Y:%H:%M:%S %z", 1_000_000_000, "09/Sep/2001:01:46:40 +0000"),
        ];
        for (format, seconds, wanted) in cases {
            assert_eq!(format_time(format, seconds), wanted, "{format}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("x"), None);
    }
}
