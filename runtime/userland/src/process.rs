//! Processes: listing them, ending them, starting them in other ways.

use std::{
    collections::HashMap,
    fs,
    os::unix::process::CommandExt as _,
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    applets::Arguments,
    clock::{duration, format_time},
    complain, sys,
};

/// Runs a command in this process's place.
pub(crate) fn become_command(applet: &str, mut command: Command) -> i32 {
    let error = command.exec();
    complain(applet, format!("can't execute '{}': {}", command.get_program().to_string_lossy(), sys::reason(&error)));
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}

/// `setsid [-c] COMMAND...`: in a session of its own; `-c` with standard input as its terminal.
pub(crate) fn setsid(words: &[String]) -> i32 {
    let terminal = words.get(1).is_some_and(|word| word == "-c");
    let Some((program, arguments)) = words[1 + usize::from(terminal)..].split_first() else {
        complain("setsid", "usage: setsid [-c] COMMAND...");
        return 1;
    };
    if nix::unistd::getpgrp() == nix::unistd::getpid() {
        match sys::fork() {
            Ok(nix::unistd::ForkResult::Parent { .. }) => return 0,
            Ok(nix::unistd::ForkResult::Child) => sys::let_signals_come(),
            Err(error) => {
                complain("setsid", error.desc());
                return 1;
            }
        }
    }
    let settled = nix::unistd::setsid().map_err(std::io::Error::from).and_then(|_| if terminal { sys::take_terminal() } else { Ok(()) });
    if let Err(error) = settled {
        complain("setsid", sys::reason(&error));
        return 1;
    }
    let mut command = Command::new(program);
    command.args(arguments);
    become_command("setsid", command)
}

/// `su-exec USER[:GROUP] COMMAND...`: becomes somebody else, then the command.
pub(crate) fn su_exec(words: &[String]) -> i32 {
    let [_, who, program, arguments @ ..] = words else {
        complain("su-exec", "usage: su-exec USER[:GROUP] COMMAND...");
        return 1;
    };
    let (user, group) = who.split_once(':').map_or((who.as_str(), None), |(user, group)| (user, Some(group)));
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line: Option<Vec<&str>> =
        passwd.lines().map(|line| line.split(':').collect::<Vec<&str>>()).find(|fields| fields.len() > 5 && (fields[0] == user || fields[2] == user));
    let uid = line.as_ref().and_then(|fields| fields[2].parse().ok()).or_else(|| user.parse().ok());
    let own = line.as_ref().and_then(|fields| fields[3].parse().ok());
    let gid = match group {
        Some(group) => sys::id_of("/etc/group", group).or_else(|| group.parse().ok()),
        None => own.or(uid),
    };
    let (Some(uid), Some(gid)) = (uid, gid) else {
        complain("su-exec", format!("{who}: there is no such user or group"));
        return 1;
    };
    let gid = nix::unistd::Gid::from_raw(gid);
    let changed = nix::unistd::setgroups(&[gid])
        .and_then(|()| nix::unistd::setgid(gid))
        .and_then(|()| nix::unistd::setuid(nix::unistd::Uid::from_raw(uid)));
    if let Err(error) = changed {
        complain("su-exec", format!("{who}: {}", error.desc()));
        return 1;
    }
    let mut command = Command::new(program);
    command.args(arguments).env("HOME", line.as_ref().map_or("/", |fields| fields[5]));
    become_command("su-exec", command)
}

/// `nohup COMMAND...`: goes on when the terminal goes away.
pub(crate) fn nohup(words: &[String]) -> i32 {
    let Some((program, arguments)) = words[1..].split_first() else {
        complain("nohup", "usage: nohup COMMAND...");
        return 125;
    };
    sys::on_signal(Signal::SIGHUP, sys::Disposition::Ignore);
    let mut command = Command::new(program);
    command.args(arguments);
    if sys::is_terminal(1) {
        match fs::OpenOptions::new().create(true).append(true).open("nohup.out") {
            Ok(file) => {
                eprintln!("appending output to nohup.out");
                if let Ok(copy) = file.try_clone() {
                    command.stderr(copy);
                }
                command.stdout(file);
            }
            Err(error) => {
                complain("nohup", format!("nohup.out: {}", sys::reason(&error)));
                return 125;
            }
        }
    }
    become_command("nohup", command)
}

/// `kill [-SIGNAL | -l] PID...`
pub(crate) fn kill(words: &[String]) -> i32 {
    let mut rest = &words[1..];
    let mut signal = Some(Signal::SIGTERM);
    if let Some((first, tail)) = rest.split_first() {
        if first == "-l" {
            for signal in Signal::iterator() {
                println!("{:2}) {}", signal as i32, signal.as_str().trim_start_matches("SIG"));
            }
            return 0;
        }
        let name = if first == "-s" { tail.first().cloned() } else { first.strip_prefix('-').filter(|name| *name != "-").map(str::to_owned) };
        if let Some(name) = name {
            signal = if name == "0" { None } else { sys::signal_named(&name) };
            if signal.is_none() && name != "0" {
                complain("kill", format!("bad signal name '{name}'"));
                return 1;
            }
            rest = if first == "-s" { &tail[1..] } else { tail };
        }
        if rest.first().is_some_and(|word| word == "--") {
            rest = &rest[1..];
        }
    }
    let mut status = i32::from(rest.is_empty());
    for word in rest {
        let outcome = word.parse().map_err(|_| "invalid number".to_owned()).and_then(|pid: i32| {
            nix::sys::signal::kill(Pid::from_raw(pid), signal).map_err(|error| error.desc().to_owned())
        });
        if let Err(message) = outcome {
            complain("kill", format!("can't kill pid {word}: {message}"));
            status = 1;
        }
    }
    status
}

/// What /proc says about a process.
pub(crate) struct ProcessInfo {
    pub(crate) pid: i32,
    parent: i32,
    uid: u32,
    name: String,
    command: String,
    state: String,
    /// Resident memory in KiB.
    resident: u64,
    /// Processor time in ticks.
    ticks: u64,
    started: u64,
}

/// All processes this one can see, by pid.
pub(crate) fn processes() -> Vec<ProcessInfo> {
    let mut all: Vec<ProcessInfo> = fs::read_dir("/proc")
        .map(|entries| entries.flatten().filter_map(|entry| process_info(entry.file_name().to_str()?.parse().ok()?)).collect())
        .unwrap_or_default();
    all.sort_by_key(|process| process.pid);
    all
}

fn process_info(pid: i32) -> Option<ProcessInfo> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    Some(ProcessInfo {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        uid,
        command: if line.is_empty() { format!("[{name}]") } else { line },
        name,
        state: (*fields.first()?).to_owned(),
        resident: number(21) * 4,
        ticks: number(11) + number(12),
        started: number(19),
    })
}

/// `pidof [-s] NAME...`: the newest first.
pub(crate) fn pidof(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "so:", &[]) else { return 1 };
    let named = |process: &&ProcessInfo| {
        let program = process.command.split(' ').next().map_or("", crate::base);
        arguments.operands.iter().any(|name| *name == process.name || name == program) && process.pid != own_pid()
    };
    let mut pids: Vec<String> = processes().iter().rev().filter(named).map(|process| process.pid.to_string()).collect();
    if arguments.has('s') {
        pids.truncate(1);
    }
    if pids.is_empty() {
        return 1;
    }
    println!("{}", pids.join(" "));
    0
}

/// `pgrep [-flxvno] [-u USER] [-P PARENT] [PATTERN]`
pub(crate) fn pgrep(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, PATTERN_LETTERS, &[]) else { return 2 };
    let Some(found) = by_pattern("pgrep", &arguments) else { return 2 };
    for process in &found {
        match (arguments.has('l') || arguments.has('a'), arguments.has('f') || arguments.has('a')) {
            (true, true) => println!("{} {}", process.pid, process.command),
            (true, false) => println!("{} {}", process.pid, process.name),
            _ => println!("{}", process.pid),
        }
    }
    i32::from(found.is_empty())
}

/// `pkill [-SIGNAL] [-fxvno] [-u USER] [-P PARENT] [PATTERN]`
pub(crate) fn pkill(words: &[String]) -> i32 {
    let mut words = words.to_vec();
    let signal = words.get(1).and_then(|word| word.strip_prefix('-')).and_then(sys::signal_named);
    if signal.is_some() {
        words.remove(1);
    }
    let Some(arguments) = Arguments::parse(&words, PATTERN_LETTERS, &[]) else { return 2 };
    let Some(found) = by_pattern("pkill", &arguments) else { return 2 };
    for process in &found {
        sys::best_effort(nix::sys::signal::kill(Pid::from_raw(process.pid), signal.unwrap_or(Signal::SIGTERM)));
    }
    i32::from(found.is_empty())
}

const PATTERN_LETTERS: &str = "flaxvnou:P:";

/// The processes that pgrep's options and pattern mean; `None` when they are no good.
fn by_pattern(applet: &str, arguments: &Arguments) -> Option<Vec<ProcessInfo>> {
    let text = arguments.operands.first().map_or("", String::as_str);
    if text.is_empty() && !arguments.has('u') && !arguments.has('P') {
        complain(applet, "no matching criteria specified");
        return None;
    }
    let text = if arguments.has('x') { format!("^({text})$") } else { text.to_owned() };
    let pattern = match regex::Regex::new(&text) {
        Ok(pattern) => pattern,
        Err(_) => {
            complain(applet, format!("bad regex '{text}'"));
            return None;
        }
    };
    let user = arguments.value('u').map(|name| sys::id_of("/etc/passwd", name));
    let parent = arguments.value('P').map(str::parse);
    let fits = |process: &ProcessInfo| {
        let subject = if arguments.has('f') { &process.command } else { &process.name };
        let wanted = pattern.is_match(subject)
            && user.is_none_or(|user| user == Some(process.uid))
            && parent.as_ref().is_none_or(|parent| *parent == Ok(process.parent));
        wanted != arguments.has('v') && process.pid != own_pid()
    };
    let mut found: Vec<ProcessInfo> = processes().into_iter().filter(fits).collect();
    found.sort_by_key(|process| (process.started, process.pid));
    if arguments.has('n') {
        found.drain(..found.len().saturating_sub(1));
    } else if arguments.has('o') {
        found.truncate(1);
    }
    found.sort_by_key(|process| process.pid);
    Some(found)
}

/// `killall [-SIGNAL] NAME...`
pub(crate) fn killall(words: &[String]) -> i32 {
    let mut signal = Signal::SIGTERM;
    let mut status = 1;
    for word in &words[1..] {
        if let Some(name) = word.strip_prefix('-') {
            signal = sys::signal_named(name).unwrap_or(signal);
            continue;
        }
        for process in processes().iter().filter(|process| process.name == *word && process.pid != own_pid()) {
            if nix::sys::signal::kill(Pid::from_raw(process.pid), signal).is_ok() {
                status = 0;
            }
        }
    }
    if status != 0 {
        complain("killall", "no process killed");
    }
    status
}

fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// `killall5 [-SIGNAL]`: every process of other sessions, as at shutdown; process 1 too when it listens.
pub(crate) fn killall5(words: &[String]) -> i32 {
    let signal = words.get(1).and_then(|word| sys::signal_named(word.trim_start_matches('-'))).unwrap_or(Signal::SIGTERM);
    let session = nix::unistd::getsid(None).ok();
    for process in processes() {
        let pid = Pid::from_raw(process.pid);
        let ours = session.is_some() && nix::unistd::getsid(Some(pid)).ok() == session;
        if process.pid != own_pid() && !ours {
            sys::best_effort(nix::sys::signal::kill(pid, signal));
        }
    }
    0
}

fn up_seconds() -> f64 {
    fs::read_to_string("/proc/uptime").ok().and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or(0.0)
}

fn clock_text(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// `ps [-ef|aux] [-o pid,ppid,user,comm,args,stat,time,rss]`
pub(crate) fn ps(words: &[String]) -> i32 {
    let columns = words.iter().position(|word| word == "-o").and_then(|index| words.get(index + 1)).cloned();
    let full = words.iter().skip(1).any(|word| word.trim_start_matches('-').starts_with("ef") || word.contains("aux"));
    let columns = columns.unwrap_or_else(|| if full { "user,pid,ppid,stat,time,args" } else { "pid,user,time,args" }.to_owned());
    let columns: Vec<&str> = columns.split(',').collect();
    let header = |column: &&str| match *column {
        "args" | "cmd" => "COMMAND".to_owned(),
        "comm" => "COMMAND".to_owned(),
        other => other.to_ascii_uppercase(),
    };
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(header).collect()];
    for process in processes() {
        let cell = |column: &&str| match *column {
            "pid" => process.pid.to_string(),
            "ppid" => process.parent.to_string(),
            "user" | "uid" => sys::name_of("/etc/passwd", process.uid).unwrap_or_else(|| process.uid.to_string()),
            "comm" => process.name.clone(),
            "stat" | "s" => process.state.clone(),
            "time" => clock_text(process.ticks / 100),
            "etime" => clock_text((up_seconds() as u64).saturating_sub(process.started / 100)),
            "rss" => process.resident.to_string(),
            _ => process.command.clone(),
        };
        rows.push(columns.iter().map(cell).collect());
    }
    let widths: Vec<usize> = (0..columns.len()).map(|index| rows.iter().map(|row| row[index].len()).max().unwrap_or(0)).collect();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(index, (cell, width))| {
                let number = matches!(columns[index], "pid" | "ppid" | "rss" | "time");
                if index + 1 == columns.len() { cell.clone() } else if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        println!("{}", cells.join("  "));
    }
    0
}

fn memory() -> HashMap<String, u64> {
    fs::read_to_string("/proc/meminfo")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            Some((name.to_owned(), rest.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}

pub(crate) fn free(words: &[String]) -> i32 {
    let unit = if words.iter().any(|word| word == "-m") { 1024 } else { 1 };
    let memory = memory();
    let get = |name: &str| memory.get(name).copied().unwrap_or(0) / unit;
    let cache = get("Buffers") + get("Cached");
    println!("{:>19}{:>12}{:>12}{:>12}{:>12}", "total", "used", "free", "buff/cache", "available");
    let used = get("MemTotal").saturating_sub(get("MemAvailable"));
    println!("Mem: {:>14}{used:>12}{:>12}{cache:>12}{:>12}", get("MemTotal"), get("MemFree"), get("MemAvailable"));
    println!("Swap:{:>14}{:>12}{:>12}", get("SwapTotal"), get("SwapTotal").saturating_sub(get("SwapFree")), get("SwapFree"));
    0
}

pub(crate) fn uptime(_: &[String]) -> i32 {
    let seconds = up_seconds() as u64;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(0));
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    println!(" {} up {days} days, {hours:2}:{minutes:02}, load average: {}", format_time("%H:%M:%S", now), load.join(", "));
    0
}

/// `top [-b] [-n COUNT] [-d SECONDS]`: q leaves.
pub(crate) fn top(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "bn:d:", &[]) else { return 1 };
    let rounds: u64 = arguments.value('n').and_then(|text| text.parse().ok()).unwrap_or(u64::MAX);
    let pause = arguments.value('d').and_then(duration).unwrap_or(Duration::from_secs(2));
    let screen = !arguments.has('b') && sys::is_terminal(1) && sys::is_terminal(0);
    let raw = if screen { crate::shell::raw_terminal() } else { None };
    let mut before: HashMap<i32, u64> = HashMap::new();
    let mut moment = Instant::now();
    for round in 0..rounds {
        let mut all = processes();
        let passed = moment.elapsed().as_secs_f64().max(0.01);
        moment = Instant::now();
        let share = |process: &ProcessInfo| {
            let used = process.ticks.saturating_sub(before.get(&process.pid).copied().unwrap_or(process.ticks));
            used as f64 / passed
        };
        all.sort_by(|left, right| share(right).total_cmp(&share(left)).then(left.pid.cmp(&right.pid)));
        let memory = memory();
        let total = memory.get("MemTotal").copied().unwrap_or(1);
        let available = memory.get("MemAvailable").copied().unwrap_or(0);
        let mut text = String::new();
        if screen {
            text.push_str("\x1b[H\x1b[2J");
        }
        text.push_str(&format!("Mem: {}K used, {available}K available\n", total.saturating_sub(available)));
        text.push_str(&format!("Processes: {}   (q leaves)\n", all.len()));
        let head = "  PID  PPID USER     STAT    RSS %CPU COMMAND";
        text.push_str(&if screen { format!("\x1b[7m{head}\x1b[0m\n") } else { format!("{head}\n") });
        let rows = if screen { sys::window_size(1).1.saturating_sub(4) } else { usize::MAX };
        for process in all.iter().take(rows) {
            let user = sys::name_of("/etc/passwd", process.uid).unwrap_or_else(|| process.uid.to_string());
            let line = format!(
                "{:5} {:5} {user:<8} {:<4} {:>6} {:>4.1} {}",
                process.pid, process.parent, process.state, files_human(process.resident), share(process), process.command
            );
            let width = if screen { sys::window_size(1).0 } else { usize::MAX };
            text.push_str(&line.chars().take(width).collect::<String>());
            text.push('\n');
        }
        before = all.iter().map(|process| (process.pid, process.ticks)).collect();
        if sys::write_all(1, text.as_bytes()).is_err() || round + 1 == rounds {
            break;
        }
        if screen {
            let wait = u16::try_from(pause.as_millis().min(60_000)).unwrap_or(2000);
            if crate::shell::key_waits(wait) && crate::shell::leave_key() {
                break;
            }
        } else {
            std::thread::sleep(pause);
        }
    }
    drop(raw);
    0
}

fn files_human(kib: u64) -> String {
    crate::files::human(kib * 1024)
}
