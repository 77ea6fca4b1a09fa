//! Commands about processes, users, time and the machine.

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::{
    applets::Arguments,
    complain,
    shell::{printf as formats, test_command},
    sys,
};

pub(crate) fn yes_status(_: &[String]) -> i32 {
    0
}

pub(crate) fn no(_: &[String]) -> i32 {
    1
}

pub(crate) fn echo(words: &[String]) -> i32 {
    i32::from(sys::write_all(1, &formats::echo(&words[1..])).is_err())
}

pub(crate) fn printf(words: &[String]) -> i32 {
    let Some((format, rest)) = words[1..].split_first() else { return 2 };
    match formats::printf(format, rest) {
        Ok(bytes) => i32::from(sys::write_all(1, &bytes).is_err()),
        Err(message) => {
            complain("printf", message);
            1
        }
    }
}

pub(crate) fn test(words: &[String]) -> i32 {
    let mut operands = &words[1..];
    if words[0].ends_with('[') {
        operands = operands.strip_suffix(&["]".to_owned()]).unwrap_or(operands);
    }
    match test_command::test(operands) {
        Ok(answer) => i32::from(!answer),
        Err(message) => {
            complain("test", message);
            2
        }
    }
}

pub(crate) fn pwd(_: &[String]) -> i32 {
    match std::env::current_dir() {
        Ok(directory) => println!("{}", directory.display()),
        Err(error) => {
            complain("pwd", sys::reason(&error));
            return 1;
        }
    }
    0
}

/// The name of the user this process runs as.
pub(crate) fn user_name() -> String {
    let uid = nix::unistd::geteuid().as_raw();
    sys::name_of("/etc/passwd", uid).unwrap_or_else(|| uid.to_string())
}

pub(crate) fn whoami(_: &[String]) -> i32 {
    println!("{}", user_name());
    0
}

pub(crate) fn id(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "ungG", &[]) else { return 1 };
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let user = sys::name_of("/etc/passwd", uid);
    let group = sys::name_of("/etc/group", gid);
    let shown = |number: u32, name: &Option<String>| match name {
        Some(name) => format!("{number}({name})"),
        None => number.to_string(),
    };
    let short = |number: u32, name: &Option<String>| if arguments.has('n') { name.clone().unwrap_or_else(|| number.to_string()) } else { number.to_string() };
    if arguments.has('u') {
        println!("{}", short(uid, &user));
    } else if arguments.has('g') {
        println!("{}", short(gid, &group));
    } else {
        let groups = nix::unistd::getgroups().unwrap_or_default();
        let mut groups: Vec<u32> = groups.into_iter().map(nix::unistd::Gid::as_raw).filter(|other| *other != gid).collect();
        groups.insert(0, gid);
        let list = |joiner: &str, brief: bool| {
            let names: Vec<String> = groups
                .iter()
                .map(|gid| {
                    let name = sys::name_of("/etc/group", *gid);
                    if brief { short(*gid, &name) } else { shown(*gid, &name) }
                })
                .collect();
            names.join(joiner)
        };
        if arguments.has('G') {
            println!("{}", list(" ", true));
        } else {
            println!("uid={} gid={} groups={}", shown(uid, &user), shown(gid, &group), list(",", false));
        }
    }
    0
}

/// This machine's name.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// `hostname [-i|-f|-s]`: `-i` is the address that /etc/hosts gives the name.
pub(crate) fn hostname(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "isfdI", &[]) else { return 1 };
    let name = host_name();
    if arguments.has('i') || arguments.has('I') {
        let addresses = crate::dns::hosts_file(&name);
        if addresses.is_empty() {
            complain("hostname", format!("{name}: no address"));
            return 1;
        }
        println!("{}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        return 0;
    }
    println!("{}", if arguments.has('s') { name.split('.').next().unwrap_or("") } else { &name });
    0
}

pub(crate) fn uname(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "asnrvmop", &[]) else { return 1 };
    let Ok(uname) = nix::sys::utsname::uname() else { return 1 };
    let fields = [
        ('s', uname.sysname().to_string_lossy().into_owned()),
        ('n', uname.nodename().to_string_lossy().into_owned()),
        ('r', uname.release().to_string_lossy().into_owned()),
        ('v', uname.version().to_string_lossy().into_owned()),
        ('m', uname.machine().to_string_lossy().into_owned()),
        ('o', "Linux".to_owned()),
    ];
    let none = !fields.iter().any(|(letter, _)| arguments.has(*letter) || arguments.has('a'));
    let shown: Vec<&str> = fields
        .iter()
        .filter(|(letter, _)| arguments.has('a') || arguments.has(*letter) || (none && *letter == 's'))
        .map(|(_, text)| text.as_str())
        .collect();
    println!("{}", shown.join(" "));
    0
}

pub(crate) fn nproc(_: &[String]) -> i32 {
    println!("{}", std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    0
}

pub(crate) fn printenv(words: &[String]) -> i32 {
    if words.len() == 1 {
        for (name, value) in std::env::vars() {
            println!("{name}={value}");
        }
        return 0;
    }
    let mut status = 0;
    for name in &words[1..] {
        match std::env::var(name) {
            Ok(value) => println!("{value}"),
            Err(_) => status = 1,
        }
    }
    status
}

/// Runs a command in this process's place.
fn become_command(applet: &str, mut command: Command) -> i32 {
    let error = command.exec();
    complain(applet, format!("can't execute '{}': {}", command.get_program().to_string_lossy(), sys::reason(&error)));
    if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
}

/// `env [-i] [-u NAME] [NAME=VALUE]... [COMMAND]`
pub(crate) fn env(words: &[String]) -> i32 {
    let mut rest = &words[1..];
    let mut variables: Vec<(String, String)> = std::env::vars().collect();
    while let Some((first, tail)) = rest.split_first() {
        if first == "-i" || first == "-" {
            variables.clear();
        } else if first == "-u" {
            let name = tail.first().cloned().unwrap_or_default();
            variables.retain(|(known, _)| *known != name);
            rest = tail.get(1..).unwrap_or_default();
            continue;
        } else if let Some((name, value)) = first.split_once('=') {
            variables.retain(|(known, _)| known != name);
            variables.push((name.to_owned(), value.to_owned()));
        } else {
            break;
        }
        rest = tail;
    }
    let Some((program, arguments)) = rest.split_first() else {
        for (name, value) in variables {
            println!("{name}={value}");
        }
        return 0;
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables);
    become_command("env", command)
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

/// `tty`: the terminal's name.
pub(crate) fn tty(_: &[String]) -> i32 {
    match nix::unistd::ttyname(sys::borrow(0)) {
        Ok(name) => {
            println!("{}", name.display());
            0
        }
        Err(_) => {
            println!("not a tty");
            1
        }
    }
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

/// `which NAME...`
pub(crate) fn which(words: &[String]) -> i32 {
    let path = std::env::var("PATH").unwrap_or_else(|_| crate::DEFAULT_PATH.to_owned());
    let mut status = 0;
    for name in &words[1..] {
        let found = path.split(':').map(|directory| format!("{directory}/{name}")).find(|file| {
            nix::unistd::access(file.as_str(), nix::unistd::AccessFlags::X_OK).is_ok() && fs::metadata(file).is_ok_and(|meta| meta.is_file())
        });
        match found {
            Some(file) => println!("{file}"),
            None => status = 1,
        }
    }
    status
}

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

/// `date [-u] [-R|-I] [-d @SECONDS] [+FORMAT]`
pub(crate) fn date(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "uRId:Is", &[("utc", 'u'), ("date", 'd'), ("rfc-3339", 'I')]) else { return 1 };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(0));
    let moment = arguments.value('d').and_then(|text| text.strip_prefix('@')?.parse().ok()).unwrap_or(now);
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

/// `apk`: the tools scripts install are here already.
pub(crate) fn apk(words: &[String]) -> i32 {
    let names: Vec<&str> = words[1..].iter().filter(|word| !word.starts_with('-')).map(String::as_str).collect();
    match names.split_first() {
        Some((&"add", packages)) => {
            let known = |package: &str| crate::applets::find(package).is_some() || matches!(package, "bind-tools" | "busybox-extras" | "coreutils" | "iputils" | "vim");
            let unknown: Vec<&&str> = packages.iter().filter(|package| !known(package)).collect();
            if !unknown.is_empty() {
                eprintln!("ERROR: unable to select packages:");
                for package in &unknown {
                    eprintln!("  {package} (no such package):\n    required by: world[{package}]");
                }
                return i32::try_from(unknown.len()).unwrap_or(1);
            }
            for (index, package) in packages.iter().enumerate() {
                println!("({}/{}) {package} is part of this image", index + 1, packages.len());
            }
            println!("OK: {} commands", crate::applets::APPLETS.len());
            0
        }
        Some((&"update" | &"upgrade", _)) => {
            println!("OK");
            0
        }
        _ => {
            complain("apk", "this image has a fixed set of tools; only `apk add` of them does something");
            1
        }
    }
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
