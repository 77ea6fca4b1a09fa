//! Commands that are part of the shell, because they change it or must not cost a process.

use nix::sys::{signal::Signal, stat::Mode};

use super::{
    Shell, Trap, printf,
    run::{Flow, Outcome},
    test_command,
};
use crate::sys::{self, Disposition};

pub(crate) type Builtin = fn(&mut Shell, &[String]) -> Outcome;

/// All builtins but `exec`, which the runner knows.
pub(crate) const BUILTINS: &[(&str, Builtin)] = &[
    (".", Shell::source_builtin),
    (":", |_, _| Ok(0)),
    ("[", Shell::test_builtin),
    ("alias", Shell::alias_builtin),
    ("bg", Shell::bg_builtin),
    ("break", |_, arguments| Err(Flow::Break(count(arguments)))),
    ("cd", Shell::cd_builtin),
    ("command", Shell::command_builtin),
    ("continue", |_, arguments| Err(Flow::Continue(count(arguments)))),
    ("echo", |_, arguments| write(&printf::echo(&arguments[1..]))),
    ("eval", |shell, arguments| shell.run_source(&arguments[1..].join(" "), false)),
    ("exit", |shell, arguments| Err(Flow::Exit(status_argument(shell, arguments)))),
    ("export", Shell::export_builtin),
    ("false", |_, _| Ok(1)),
    ("fg", Shell::fg_builtin),
    ("hash", |_, _| Ok(0)),
    ("help", Shell::help_builtin),
    ("history", Shell::history_builtin),
    ("jobs", Shell::jobs_builtin),
    ("kill", Shell::kill_builtin),
    ("local", Shell::local_builtin),
    ("logout", |shell, arguments| Err(Flow::Exit(status_argument(shell, arguments)))),
    ("printf", Shell::printf_builtin),
    ("pwd", |shell, _| write(format!("{}\n", shell.get("PWD").unwrap_or_default()).as_bytes())),
    ("read", Shell::read_builtin),
    ("readonly", Shell::readonly_builtin),
    ("return", |shell, arguments| Err(Flow::Return(status_argument(shell, arguments)))),
    ("set", Shell::set_builtin),
    ("shift", Shell::shift_builtin),
    ("source", Shell::source_builtin),
    ("test", Shell::test_builtin),
    ("trap", Shell::trap_builtin),
    ("true", |_, _| Ok(0)),
    ("type", Shell::type_builtin),
    ("umask", Shell::umask_builtin),
    ("unalias", Shell::unalias_builtin),
    ("unset", Shell::unset_builtin),
    ("wait", Shell::wait_builtin),
];

/// The builtin of this name.
pub(crate) fn find(name: &str) -> Option<Builtin> {
    BUILTINS.iter().find(|(known, _)| *known == name).map(|(_, builtin)| *builtin)
}

/// Special builtins keep the assignments before them.
pub(crate) fn is_special(name: &str) -> bool {
    matches!(name, "." | ":" | "eval" | "export" | "readonly" | "return" | "set" | "shift" | "trap" | "unset")
}

fn write(bytes: &[u8]) -> Outcome {
    Ok(i32::from(sys::write_all(1, bytes).is_err()))
}

fn count(arguments: &[String]) -> usize {
    arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn status_argument(shell: &Shell, arguments: &[String]) -> i32 {
    arguments.get(1).map_or(shell.status, |text| text.parse::<i32>().map_or(2, |status| status & 255))
}

/// What ends a read at a terminal.
const ENDS_A_READ: [Signal; 2] = [Signal::SIGINT, Signal::SIGHUP];

/// One line with its newline, byte by byte: what follows belongs to someone else. `None` at the end, and when Ctrl-C
/// came (it stays pending).
pub(crate) fn read_line_bytes(fd: i32) -> Option<String> {
    let mut bytes = Vec::new();
    let mut one = [0];
    loop {
        // Asked for a line's first byte only, where the long wait is: it costs as much as three more bytes.
        if bytes.is_empty() && sys::interrupted_before_input(fd, &ENDS_A_READ) {
            return None;
        }
        match nix::unistd::read(sys::borrow(fd), &mut one) {
            Err(nix::errno::Errno::EINTR) if ENDS_A_READ.into_iter().any(sys::is_pending) => return None,
            Err(nix::errno::Errno::EINTR) => {}
            Ok(1) => {
                bytes.push(one[0]);
                if one[0] == b'\n' {
                    break;
                }
            }
            _ => break,
        }
    }
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// A value in quotes that the shell reads back.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Shell {
    fn source_builtin(&mut self, arguments: &[String]) -> Outcome {
        let Some(file) = arguments.get(1) else {
            self.complain(".: file name expected");
            return Ok(2);
        };
        match std::fs::read(file) {
            Ok(text) => match self.run_source(&String::from_utf8_lossy(&text), false) {
                Err(Flow::Return(status)) => Ok(status),
                other => other,
            },
            Err(error) => {
                self.complain(&format!("{}: {file}: {}", arguments[0], sys::reason(&error)));
                Ok(1)
            }
        }
    }

    fn test_builtin(&mut self, arguments: &[String]) -> Outcome {
        let mut words = &arguments[1..];
        if arguments[0] == "[" {
            match words.split_last() {
                Some((last, rest)) if last == "]" => words = rest,
                _ => {
                    self.complain("[: missing ]");
                    return Ok(2);
                }
            }
        }
        match test_command::test(words) {
            Ok(answer) => Ok(i32::from(!answer)),
            Err(message) => {
                self.complain(&format!("{}: {message}", arguments[0]));
                Ok(2)
            }
        }
    }

    fn alias_builtin(&mut self, arguments: &[String]) -> Outcome {
        let mut status = 0;
        let mut text = String::new();
        if arguments.len() == 1 {
            let mut all: Vec<_> = self.aliases.iter().collect();
            all.sort();
            text = all.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect();
        }
        for argument in &arguments[1..] {
            if let Some((name, value)) = argument.split_once('=') {
                self.aliases.insert(name.to_owned(), value.to_owned());
            } else if let Some(value) = self.aliases.get(argument) {
                text.push_str(&format!("{argument}={}\n", quoted(value)));
            } else {
                self.complain(&format!("alias: {argument}: not found"));
                status = 1;
            }
        }
        write(text.as_bytes())?;
        Ok(status)
    }

    fn unalias_builtin(&mut self, arguments: &[String]) -> Outcome {
        for name in &arguments[1..] {
            if name == "-a" { self.aliases.clear() } else { drop(self.aliases.remove(name)) }
        }
        Ok(0)
    }

    fn cd_builtin(&mut self, arguments: &[String]) -> Outcome {
        let words: Vec<&String> = arguments[1..].iter().filter(|word| !matches!(word.as_str(), "-L" | "-P" | "--")).collect();
        let target = match words.first().map(|word| word.as_str()) {
            None => self.get("HOME").unwrap_or_else(|| "/".to_owned()),
            Some("-") => {
                let old = self.get("OLDPWD").unwrap_or_default();
                write(format!("{old}\n").as_bytes())?;
                old
            }
            Some(path) => path.to_owned(),
        };
        let here = self.get("PWD").unwrap_or_default();
        if let Err(error) = std::env::set_current_dir(&target) {
            self.complain(&format!("cd: can't cd to {target}: {}", sys::reason(&error)));
            return Ok(1);
        }
        let logical = logical_path(&here, &target);
        let same = std::fs::canonicalize(&logical).ok() == std::env::current_dir().ok();
        let new = if same { logical } else { std::env::current_dir().unwrap_or_default().to_string_lossy().into_owned() };
        self.set("OLDPWD", here);
        self.set("PWD", new);
        self.export("PWD");
        Ok(0)
    }

    fn command_builtin(&mut self, arguments: &[String]) -> Outcome {
        match arguments.get(1).map(String::as_str) {
            Some("-v" | "-V") => self.describe(&arguments[2..], arguments[1] == "-V"),
            Some(name) => {
                let rest = arguments[1..].to_vec();
                if let Some(builtin) = find(name) {
                    return builtin(self, &rest);
                }
                let words: Vec<_> = rest.into_iter().map(|word| vec![super::syntax::Part::Quoted(word)]).collect();
                let function = self.functions.remove(name);
                let outcome = self.run(&super::Command::Simple { assignments: Vec::new(), words, redirects: Vec::new() });
                if let Some(function) = function {
                    self.functions.insert(name.to_owned(), function);
                }
                outcome
            }
            None => Ok(0),
        }
    }

    fn type_builtin(&mut self, arguments: &[String]) -> Outcome {
        self.describe(&arguments[1..], true)
    }

    fn describe(&mut self, names: &[String], long: bool) -> Outcome {
        let mut status = 0;
        for name in names {
            let (short, text) = if let Some(value) = self.aliases.get(name) {
                (format!("alias {name}={}", quoted(value)), format!("{name} is an alias for {value}"))
            } else if self.functions.contains_key(name) {
                (name.clone(), format!("{name} is a function"))
            } else if find(name).is_some() || name == "exec" {
                (name.clone(), format!("{name} is a shell builtin"))
            } else if let Some(path) = self.find_program(name).filter(|path| std::path::Path::new(path).exists()) {
                (path.clone(), format!("{name} is {path}"))
            } else {
                if long {
                    drop(sys::write_all(2, format!("{name}: not found\n").as_bytes()));
                }
                status = if long { 1 } else { 127 };
                continue;
            };
            write(format!("{}\n", if long { text } else { short }).as_bytes())?;
        }
        Ok(status)
    }

    fn export_builtin(&mut self, arguments: &[String]) -> Outcome {
        let names: Vec<&String> = arguments[1..].iter().filter(|word| *word != "-p").collect();
        if names.is_empty() {
            let mut all: Vec<_> = self.variables.iter().filter(|(_, variable)| variable.exported).collect();
            all.sort_by_key(|(name, _)| *name);
            let text: String = all.iter().map(|(name, variable)| format!("export {name}={}\n", quoted(&variable.value))).collect();
            return write(text.as_bytes());
        }
        for word in names {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            if let Some(value) = value {
                self.set(name, value.to_owned());
            }
            if value.is_some() || self.variables.contains_key(name) {
                self.export(name);
            }
        }
        Ok(0)
    }

    fn readonly_builtin(&mut self, arguments: &[String]) -> Outcome {
        for word in &arguments[1..] {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            if let Some(value) = value {
                self.set(name, value.to_owned());
            }
            self.variables.entry(name.to_owned()).or_default().read_only = true;
        }
        Ok(0)
    }

    fn local_builtin(&mut self, arguments: &[String]) -> Outcome {
        for word in &arguments[1..] {
            let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let old = self.variables.get(name).cloned();
            let Some(frame) = self.locals.last_mut() else {
                self.complain("local: not in a function");
                return Ok(1);
            };
            frame.entry(name.to_owned()).or_insert(old);
            self.set(name, value.unwrap_or_default().to_owned());
        }
        Ok(0)
    }

    fn unset_builtin(&mut self, arguments: &[String]) -> Outcome {
        let functions = arguments.get(1).is_some_and(|word| word == "-f");
        for name in arguments[1..].iter().filter(|word| !word.starts_with('-')) {
            if functions || self.variables.remove(name).is_none() {
                self.functions.remove(name);
            }
        }
        Ok(0)
    }

    fn set_builtin(&mut self, arguments: &[String]) -> Outcome {
        if arguments.len() == 1 {
            let mut all: Vec<_> = self.variables.iter().collect();
            all.sort_by_key(|(name, _)| *name);
            let text: String = all.iter().map(|(name, variable)| format!("{name}={}\n", quoted(&variable.value))).collect();
            return write(text.as_bytes());
        }
        let mut rest = &arguments[1..];
        while let Some((first, tail)) = rest.split_first() {
            let on = first.starts_with('-');
            if first == "--" {
                self.arguments = tail.to_vec();
                return Ok(0);
            }
            if !(on || first.starts_with('+')) || first.len() < 2 {
                self.arguments = rest.to_vec();
                return Ok(0);
            }
            rest = tail;
            for letter in first[1..].chars() {
                if letter == 'o' {
                    if let Some((name, tail)) = rest.split_first() {
                        self.set_option(name, on);
                        rest = tail;
                    }
                } else {
                    self.set_letter(letter, on);
                }
            }
        }
        Ok(0)
    }

    fn shift_builtin(&mut self, arguments: &[String]) -> Outcome {
        let by = count(arguments);
        if by > self.arguments.len() {
            return Ok(1);
        }
        self.arguments.drain(..by);
        Ok(0)
    }

    fn printf_builtin(&mut self, arguments: &[String]) -> Outcome {
        let mut words = &arguments[1..];
        if let Some((option, name)) = words.first().zip(words.get(1)).filter(|(option, _)| *option == "-v") {
            let _: &String = option;
            let name = name.clone();
            words = &words[2..];
            let text = printf::printf(words.first().map_or("", String::as_str), words.get(1..).unwrap_or_default());
            self.set(&name, String::from_utf8_lossy(&text.unwrap_or_default()).into_owned());
            return Ok(0);
        }
        let Some((format, rest)) = words.split_first() else {
            self.complain("printf: format expected");
            return Ok(2);
        };
        match printf::printf(format, rest) {
            Ok(bytes) => write(&bytes),
            Err(message) => {
                self.complain(&format!("printf: {message}"));
                Ok(1)
            }
        }
    }

    fn read_builtin(&mut self, arguments: &[String]) -> Outcome {
        let mut raw = false;
        let mut names: Vec<&str> = Vec::new();
        let mut words = arguments[1..].iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-r" => raw = true,
                "-p" => drop(sys::write_all(2, words.next().map_or("", String::as_str).as_bytes())),
                "-s" => {}
                name => names.push(name),
            }
        }
        let mut line = String::new();
        let mut complete = false;
        while let Some(part) = read_line_bytes(0) {
            complete = part.ends_with('\n');
            line.push_str(part.trim_end_matches('\n'));
            if raw || !complete || !line.ends_with('\\') {
                break;
            }
            line.pop();
        }
        if !raw {
            line = line.replace("\\\\", "\u{0}").replace('\\', "").replace('\u{0}', "\\");
        }
        if names.is_empty() {
            self.set("REPLY", line);
            return Ok(i32::from(!complete));
        }
        let separators = self.get("IFS").unwrap_or_else(|| " \t\n".to_owned());
        let blank: Vec<char> = separators.chars().filter(|next| next.is_whitespace()).collect();
        let mut rest = line.trim_matches(|next| blank.contains(&next));
        for (index, name) in names.iter().enumerate() {
            let end = if index + 1 == names.len() { None } else { rest.find(|next| separators.contains(next)) };
            match end {
                None => {
                    self.set(name, rest.to_owned());
                    rest = "";
                }
                Some(end) => {
                    self.set(name, rest[..end].to_owned());
                    let skipped = rest[end..].chars().next().map_or(0, char::len_utf8);
                    rest = rest[end + skipped..].trim_start_matches(|next| blank.contains(&next));
                }
            }
        }
        Ok(i32::from(!complete))
    }

    fn kill_builtin(&mut self, arguments: &[String]) -> Outcome {
        let mut groups: Vec<String> = arguments
            .iter()
            .map(|word| match word.strip_prefix('%').and_then(|_| self.job_group(word)) {
                Some(group) => format!("-{group}"),
                None => word.clone(),
            })
            .collect();
        if arguments.get(1).is_some_and(|word| word.starts_with('%')) {
            // A group's number looks like an option.
            groups.insert(1, "--".to_owned());
        }
        Ok(crate::process::kill(&groups))
    }

    fn trap_builtin(&mut self, arguments: &[String]) -> Outcome {
        let words = arguments.get(1..).unwrap_or_default();
        let words = if words.first().is_some_and(|word| word == "--") { &words[1..] } else { words };
        let Some((action, names)) = words.split_first() else {
            let mut text = String::new();
            for (trap, action) in &self.traps {
                let name = match trap {
                    Trap::Exit => "EXIT",
                    Trap::Signal(signal) => signal.as_str(),
                };
                text.push_str(&format!("trap -- {} {name}\n", quoted(action)));
            }
            return write(text.as_bytes());
        };
        for name in names {
            let trap = match name.as_str() {
                "EXIT" | "0" => Trap::Exit,
                other => match sys::signal_named(other) {
                    Some(signal) => Trap::Signal(signal),
                    None => {
                        self.complain(&format!("trap: {name}: invalid signal specification"));
                        return Ok(1);
                    }
                },
            };
            let reset = action == "-";
            if let Trap::Signal(signal) = trap {
                let usual = self.interactive && signal == Signal::SIGINT;
                sys::on_signal(signal, match (reset, action.is_empty()) {
                    (true, _) if usual => Disposition::Note,
                    (true, _) => Disposition::Default,
                    (false, true) => Disposition::Ignore,
                    (false, false) => Disposition::Note,
                });
            }
            if reset { drop(self.traps.remove(&trap)) } else { drop(self.traps.insert(trap, action.clone())) }
        }
        Ok(0)
    }

    fn umask_builtin(&mut self, arguments: &[String]) -> Outcome {
        if let Some(mask) = arguments.get(1).and_then(|text| u32::from_str_radix(text, 8).ok()) {
            nix::sys::stat::umask(Mode::from_bits_truncate(mask));
            return Ok(0);
        }
        let old = nix::sys::stat::umask(Mode::empty());
        nix::sys::stat::umask(old);
        write(format!("{:04o}\n", old.bits()).as_bytes())
    }

    fn history_builtin(&mut self, arguments: &[String]) -> Outcome {
        if arguments.get(1).is_some_and(|word| word == "-c") {
            self.history.clear();
            return Ok(0);
        }
        let text: String = self.history.iter().enumerate().map(|(index, line)| format!("{:5}  {line}\n", index + 1)).collect();
        write(text.as_bytes())
    }

    fn help_builtin(&mut self, arguments: &[String]) -> Outcome {
        if let Some(name) = arguments.get(1) {
            let Some(text) = crate::help::of(name) else { return self.type_builtin(arguments) };
            return write(text.as_bytes());
        }
        let names: Vec<&str> = BUILTINS.iter().map(|(name, _)| *name).filter(|name| name.len() > 1).collect();
        let mut text = crate::help::overview();
        if self.find_program("kubectl").is_some() {
            text.push_str(&crate::help::group("The cluster", &["kubectl", "docker"]));
        }
        text.push_str(&crate::help::group("The shell itself", &names));
        text.push_str("`help NAME` and `NAME --help` say more. Tab completes, the up arrow recalls, Ctrl-R searches, Ctrl-C stops.\n");
        write(text.as_bytes())
    }
}

/// The path one gets to by `cd target` from `here`, with `..` taken by name.
fn logical_path(here: &str, target: &str) -> String {
    let joined = if target.starts_with('/') { target.to_owned() } else { format!("{here}/{target}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}
