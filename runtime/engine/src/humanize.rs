//! Durations and sizes as Docker words them.
// upstream: github.com/docker/go-units, duration.go and size.go

use jiff::Timestamp;

/// How long it is between two moments, in words. A moment in the future counts as now.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// Bytes in powers of a thousand with three significant digits, `1.24MB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = if value >= 100.0 { 0 } else if value >= 10.0 { 1 } else { 2 };
    let number = format!("{value:.decimals$}");
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{}", units[unit])
}

/// Bytes in powers of 1024, `3.84GiB`.
pub(crate) fn binary_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value >= 100.0 { 1 } else if value >= 10.0 { 2 } else { 3 };
    let number = format!("{value:.decimals$}");
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_worded_as_docker_words_them() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (45 * 60, "45 minutes"),
            (60 * 60, "About an hour"),
            (3 * 3600, "3 hours"),
            (50 * 3600, "2 days"),
            (20 * 86400, "2 weeks"),
            (90 * 86400, "3 months"),
            (3 * 365 * 86400, "3 years"),
        ];
        let begin = Timestamp::UNIX_EPOCH;
        for (seconds, words) in cases {
            assert_eq!(duration(begin, Timestamp::from_second(seconds).unwrap()), words);
        }
        assert_eq!(duration(Timestamp::from_second(5).unwrap(), begin), "Less than a second");
    }

    #[test]
    fn sizes_have_three_digits() {
        let cases = [(0, "0B"), (999, "999B"), (1000, "1kB"), (13_256, "13.3kB"), (1_239_820, "1.24MB"), (142_000_000, "142MB"), (4_260_000_000, "4.26GB")];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(binary_size(4 * 1024 * 1024 * 1024), "4GiB");
    }
}
