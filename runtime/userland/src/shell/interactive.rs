//! The shell at a terminal: prompt, history, completion, marks.
//!
//! With `DRYDOCK_SHELL_MARKS` set, OSC 133 sequences say where prompts, commands and their ends are; the workstation
//! reads them between terminal and page. The variable is not handed on, so that a shell inside this one stays silent.

use std::{collections::BTreeSet, io::Write as _, os::unix::fs::PermissionsExt as _};

use nix::{
    sys::{
        signal::{Signal, killpg},
        termios::{LocalFlags, SetArg, tcgetattr, tcsetattr},
    },
    unistd::{Pid, getpgrp, setpgid},
};

use super::{
    Shell, builtins,
    completion::{Place, Quoting},
    hints,
    line::{Candidate, Completion, Edited, Editor, Help},
    parser::{ParseError, Parser},
    run::{Flow, Outcome},
};
use crate::sys::{self, Disposition};

const HISTORY_LENGTH: usize = 1000;
/// Stands for a line end inside an entry of the history file, where one entry is one line.
const HISTORY_NEWLINE: char = '\u{1e}';

impl Shell {
    /// Reads and runs lines until the end.
    pub(super) fn interact(&mut self) -> Outcome {
        let outcome = self.converse();
        // A terminal whose shell has ended is to end too, and jobs would keep it open.
        self.hang_up();
        outcome
    }

    fn converse(&mut self) -> Outcome {
        self.interactive = true;
        let marks = self.variables.remove("DRYDOCK_SHELL_MARKS").is_some();
        self.take_control();
        let editing = sys::is_terminal(0) && self.get("TERM").is_none_or(|term| term != "dumb");
        let file = self.get("HISTFILE").or_else(|| Some(format!("{}/.sh_history", self.get("HOME")?)));
        if let Some(text) = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()) {
            let lines: Vec<String> = text.lines().map(|line| line.replace(HISTORY_NEWLINE, "\n")).collect();
            self.history = lines[lines.len().saturating_sub(HISTORY_LENGTH)..].to_vec();
        }
        // Before the first command nothing was printed that a prompt could overwrite.
        let mut spoken = false;
        // The line before wanted to leave, and was told of stopped jobs.
        let mut told = false;
        loop {
            self.report_jobs();
            if editing && std::mem::replace(&mut spoken, true) {
                emit(&fresh_line());
            }
            if marks {
                emit(&format!("\x1b]133;A;cwd={}\x07", percent(&self.get("PWD").unwrap_or_default())));
            }
            let ps1 = self.get("PS1").unwrap_or_else(|| "\\w \\$ ".to_owned());
            let mut prompt = self.prompt(&ps1);
            if marks {
                prompt.push_str("\x1b]133;B\x07");
            }
            let (text, outcome) = match self.read_command(&prompt, editing) {
                Edited::End if !told && self.job_control && !sys::is_pending(Signal::SIGHUP) && self.has_stopped_jobs() => {
                    told = tell_of_stopped_jobs();
                    continue;
                }
                Edited::End => return Ok(self.status),
                Edited::Cancelled => {
                    self.status = 130;
                    if marks {
                        emit("\x1b]133;D;130\x07");
                    }
                    continue;
                }
                Edited::Line(text) if text.trim().is_empty() => continue,
                Edited::Line(text) => {
                    let text = self.with_history(text);
                    self.remember(&text, file.as_deref());
                    if marks {
                        let cwd = self.get("PWD").unwrap_or_default();
                        emit(&format!("\x1b]133;C;cmdline={};cwd={}\x07", percent(&self.without_alias(&text)), percent(&cwd)));
                    }
                    // A Ctrl-C that came between two commands is for neither.
                    sys::take_signal(Signal::SIGINT);
                    let outcome = self.run_line(&text);
                    (text, outcome)
                }
            };
            drop(text);
            let ended = match outcome {
                Ok(_) | Err(Flow::Break(_) | Flow::Continue(_) | Flow::Return(_)) => None,
                Err(Flow::Interrupt) => {
                    self.status = 130;
                    None
                }
                Err(Flow::Exit(status)) => {
                    self.status = status;
                    Some(status)
                }
            };
            if marks {
                emit(&format!("\x1b]133;D;{}\x07", self.status));
            }
            match ended {
                Some(_) if !told && self.job_control && self.has_stopped_jobs() => told = tell_of_stopped_jobs(),
                Some(status) => return Err(Flow::Exit(status)),
                None => told = false,
            }
        }
    }

    /// Becomes the terminal's owner, if there is a terminal to own.
    fn take_control(&mut self) {
        for signal in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGQUIT, Signal::SIGTERM] {
            sys::on_signal(signal, Disposition::Ignore);
        }
        sys::on_signal(Signal::SIGINT, Disposition::Note);
        sys::on_signal(Signal::SIGHUP, Disposition::Note);
        sys::on_signal(Signal::SIGCHLD, Disposition::Note);
        if nix::unistd::tcgetpgrp(sys::borrow(0)).is_ok() {
            self.job_control = true;
            self.modes = tcgetattr(sys::borrow(0)).ok();
            if let Some(modes) = &mut self.modes {
                // Ctrl-C is not to throw output away that is on its way: marks would be lost in it.
                modes.local_flags.insert(LocalFlags::NOFLSH);
            }
            self.restore_modes();
            let own = nix::unistd::getpid();
            // A session leader is the leader of its group already, and the call fails harmlessly.
            if getpgrp() != own {
                sys::best_effort(setpgid(Pid::from_raw(0), own));
            }
            sys::foreground(getpgrp());
        }
    }

    /// The terminal goes away: nobody is left to see what the jobs do.
    fn hang_up(&self) {
        for job in &self.jobs {
            sys::best_effort(killpg(job.group, Signal::SIGHUP));
            sys::best_effort(killpg(job.group, Signal::SIGCONT));
        }
    }

    fn run_line(&mut self, text: &str) -> Outcome {
        let errexit = self.options.errexit;
        let mut parser = Parser::new(text, &self.aliases, true);
        loop {
            match parser.next_line() {
                Ok(None) => return Ok(self.status),
                Ok(Some(command)) => {
                    let outcome = self.run(&command);
                    self.asking = 0;
                    match outcome {
                        Err(Flow::Exit(status)) if errexit && status != 0 => return Err(Flow::Exit(status)),
                        other => other?,
                    };
                    parser.learn_aliases(&self.aliases);
                }
                Err(error) => {
                    self.syntax_error(&error);
                    return Ok(2);
                }
            }
        }
    }

    /// One complete command, over as many lines as it takes.
    fn read_command(&mut self, prompt: &str, editing: bool) -> Edited {
        let unfinished = |text: &str| self.is_unfinished(text);
        if editing {
            let complete = |before: &str| self.complete(before);
            let help = Help { history: &self.history, complete: &complete, unfinished: &unfinished };
            return Editor::read(prompt, &help);
        }
        let mut text = String::new();
        let second = self.get("PS2").unwrap_or_else(|| "> ".to_owned());
        loop {
            drop(sys::write_all(2, if text.is_empty() { prompt } else { &second }.as_bytes()));
            let Some(line) = builtins::read_line_bytes(0) else {
                return if sys::take_signal(Signal::SIGINT) { Edited::Cancelled } else { Edited::End };
            };
            text.push_str(line.trim_end_matches('\n'));
            if !unfinished(&text) {
                return Edited::Line(text);
            }
            text.push('\n');
        }
    }

    /// True when a command needs more lines.
    fn is_unfinished(&self, text: &str) -> bool {
        let mut parser = Parser::new(text, &self.aliases, false);
        loop {
            match parser.next_line() {
                Ok(Some(_)) => {}
                Ok(None) => return text.ends_with('\\') && !text.ends_with("\\\\"),
                Err(ParseError::Incomplete(_)) => return true,
                Err(ParseError::Unexpected(_)) => return false,
            }
        }
    }

    /// Says what might have been meant by a command that does not exist, if a person is there to read it.
    pub(super) fn give_hint(&self, name: &str) {
        if !(self.interactive || self.helpful) || !sys::is_terminal(2) {
            return;
        }
        let known: Vec<String> = self.commands("").into_iter().map(|candidate| candidate.text).collect();
        if let Some(text) = hints::hint(name, &known) {
            drop(sys::write_all(2, format!("\x1b[2m{text}\x1b[0m\n").as_bytes()));
        }
    }

    /// Puts the terminal's modes back after a program that had no time to.
    pub(super) fn restore_modes(&self) {
        if let Some(modes) = &self.modes {
            sys::best_effort(tcsetattr(sys::borrow(0), SetArg::TCSADRAIN, modes));
        }
    }

    /// The line with an alias in its first word resolved: who reads the marks knows programs, not aliases.
    fn without_alias(&self, text: &str) -> String {
        let trimmed = text.trim_start();
        let end = trimmed.find(|next: char| next.is_whitespace() || ";&|()<>".contains(next)).unwrap_or(trimmed.len());
        let (first, rest) = trimmed.split_at(end);
        self.aliases.get(first).map_or_else(|| text.to_owned(), |value| format!("{value}{rest}"))
    }

    /// `!!` is the last command and `!$` its last word, outside single quotes and not after a backslash; the result is
    /// shown before it runs.
    fn with_history(&self, text: String) -> String {
        let Some(last) = self.history.last() else { return text };
        let word = last.split_whitespace().next_back().unwrap_or("");
        let (mut single, mut double) = (false, false);
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some(next) = rest.chars().next() {
            let replaced = [("!!", last.as_str()), ("!$", word)].into_iter().find(|(mark, _)| !single && rest.starts_with(mark));
            if let Some((mark, new)) = replaced {
                out.push_str(new);
                rest = &rest[mark.len()..];
                continue;
            }
            single ^= next == '\'' && !double;
            double ^= next == '"' && !single;
            let escaped = if next == '\\' && !single { rest[1..].chars().next().map_or(0, char::len_utf8) } else { 0 };
            let (taken, after) = rest.split_at(next.len_utf8() + escaped);
            out.push_str(taken);
            rest = after;
        }
        if out != text {
            emit(&format!("{}\r\n", out.replace('\n', "\r\n")));
        }
        out
    }

    fn remember(&mut self, text: &str, file: Option<&str>) {
        if self.history.last().is_some_and(|last| last == text) || text.starts_with(' ') {
            return;
        }
        let entry = text.replace('\n', &HISTORY_NEWLINE.to_string());
        if let Some(file) = file
            && let Ok(mut opened) = std::fs::OpenOptions::new().create(true).append(true).open(file)
            && let Err(error) = writeln!(opened, "{entry}")
        {
            self.complain(&format!("{file}: {}", sys::reason(&error)));
        }
        self.history.push(text.to_owned());
    }

    /// `PS1` with its backslashes and parameters resolved.
    fn prompt(&mut self, template: &str) -> String {
        let directory = self.get("PWD").unwrap_or_default();
        let home = self.get("HOME").filter(|home| home.len() > 1).unwrap_or_else(|| "\u{0}".to_owned());
        let short = directory.strip_prefix(&home).map_or_else(|| directory.clone(), |rest| format!("~{rest}"));
        let mut out = String::new();
        let mut chars = template.chars();
        while let Some(next) = chars.next() {
            if next != '\\' {
                out.push(next);
                continue;
            }
            match chars.next() {
                Some('w') => out.push_str(&short),
                Some('W') => out.push_str(short.rsplit('/').next().unwrap_or("/")),
                Some('u') => out.push_str(&self.get("USER").unwrap_or_else(crate::environment::user_name)),
                Some('h') => {
                    let host = crate::environment::host_name();
                    out.push_str(host.split('.').next().unwrap_or(""));
                }
                Some('H') => out.push_str(&crate::environment::host_name()),
                Some('$') => out.push(if nix::unistd::geteuid().is_root() { '#' } else { '$' }),
                Some('n') => out.push('\n'),
                Some('e') => out.push('\u{1b}'),
                Some('[' | ']') => {}
                Some('?') => out.push_str(&self.status.to_string()),
                Some('\\') | None => out.push('\\'),
                Some(other) => {
                    out.push('\\');
                    out.push(other);
                }
            }
        }
        if out.contains('$') && out.contains("${") {
            let quoted = format!("echo \"{}\"", out.replace('"', "\\\""));
            if let Ok(Some(super::Command::List(items))) = Parser::new(&quoted, &self.aliases, true).next_line()
                && let Some((super::Command::Simple { words, .. }, ..)) = items.first()
                && let Some(word) = words.get(1)
                && let Ok(expanded) = self.expand_one(&word.clone())
            {
                return expanded;
            }
        }
        out
    }

    /// What Tab offers for the text before the cursor.
    fn complete(&self, before: &str) -> Completion {
        let place = Place::read(before, &|name| self.get(name));
        let (typed, candidates) = self.offer(&place).unwrap_or_default();
        Completion { typed, quoting: place.quoting, candidates }
    }

    /// What is completed, and what it may become.
    fn offer(&self, place: &Place) -> Option<(String, Vec<Candidate>)> {
        let word = place.word.as_deref()?;
        if place.quoting == Quoting::Name {
            return Some((word.to_owned(), candidates(self.variables.keys().cloned(), word)));
        }
        if place.words.is_empty() && place.value == 0 && !word.contains('/') && !place.redirected {
            return Some((word.to_owned(), self.commands(word)));
        }
        if let Some(offered) = (!place.redirected).then(|| self.ask_program(place, word)).flatten() {
            return Some(offered);
        }
        let value = place.value();
        let (typed, mut files) = match self.files(value) {
            none if none.is_empty() && place.value > 0 => (word, self.files(word)),
            files => (value, files),
        };
        if matches!(place.words.first().map(String::as_str), Some("cd" | "rmdir" | "pushd")) {
            files.retain(|file| file.text.ends_with('/'));
        }
        Some((typed.to_owned(), files))
    }

    fn commands(&self, word: &str) -> Vec<Candidate> {
        let mut names: BTreeSet<String> = builtins::BUILTINS.iter().map(|(name, _)| (*name).to_owned()).collect();
        names.insert("exec".to_owned());
        names.extend(self.functions.keys().cloned());
        names.extend(self.aliases.keys().cloned());
        for directory in self.get("PATH").unwrap_or_default().split(':') {
            let Ok(entries) = std::fs::read_dir(directory) else { continue };
            for entry in entries.flatten() {
                let runs = std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
                if runs && let Ok(name) = entry.file_name().into_string() {
                    names.insert(name);
                }
            }
        }
        candidates(names, word)
    }

    fn files(&self, word: &str) -> Vec<Candidate> {
        let (directory, prefix) = word.split_at(word.rfind('/').map_or(0, |slash| slash + 1));
        let real = if directory.is_empty() { "." } else { directory };
        let Ok(entries) = std::fs::read_dir(real) else { return Vec::new() };
        let mut candidates = Vec::new();
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            if !name.starts_with(prefix) || (name.starts_with('.') && !prefix.starts_with('.')) {
                continue;
            }
            let folder = std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir());
            let slash = if folder { "/" } else { "" };
            candidates.push(Candidate {
                text: format!("{directory}{name}{slash}"),
                shown: format!("{name}{slash}"),
                complete: !folder,
            });
        }
        candidates
    }

    /// kubectl and its kin complete themselves: `PROGRAM __complete WORD...`.
    fn ask_program(&self, place: &Place, word: &str) -> Option<(String, Vec<Candidate>)> {
        let mut words = place.words.clone();
        if let Some(alias) = self.aliases.get(words.first()?) {
            words.splice(0..1, alias.split_whitespace().map(str::to_owned));
        }
        if words.first()? != "kubectl" {
            return None;
        }
        let program = self.find_program("kubectl")?;
        let environment = self.variables.iter().filter(|(_, variable)| variable.exported);
        let output = std::process::Command::new(program)
            .arg("__complete")
            .args(&words[1..])
            .arg(word)
            .env_clear()
            .envs(environment.map(|(name, variable)| (name.clone(), variable.value.clone())))
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Of `--flag=VALUE` the values are offered.
        let typed = if word.starts_with('-') { place.value() } else { word };
        let mut directive = 0;
        let mut candidates = Vec::new();
        for line in text.lines() {
            if let Some(number) = line.strip_prefix(':').and_then(|number| number.parse::<u32>().ok()) {
                directive = number;
                continue;
            }
            let (value, description) = line.split_once('\t').unwrap_or((line, ""));
            if value.starts_with(typed) && !value.starts_with("_activeHelp_") {
                let shown = if description.is_empty() { value.to_owned() } else { format!("{value:<24}  {description}") };
                candidates.push(Candidate { text: value.to_owned(), shown, complete: true });
            }
        }
        // Bit 8: what came are endings of files; bit 16: only directories will do.
        if directive & 24 != 0 {
            let endings: Vec<String> = if directive & 8 == 0 { Vec::new() } else { text.lines().filter(|line| !line.starts_with(':')).map(|line| format!(".{line}")).collect() };
            let mut files = self.files(typed);
            files.retain(|file| file.text.ends_with('/') || endings.iter().any(|ending| file.text.ends_with(ending.as_str())));
            return Some((typed.to_owned(), files));
        }
        // Bit 2: no space after; bit 4: no files.
        for candidate in &mut candidates {
            candidate.complete = directive & 2 == 0;
        }
        if candidates.is_empty() && directive & 4 == 0 { None } else { Some((typed.to_owned(), candidates)) }
    }
}

/// Who leaves ends the jobs, so the first time is no time.
fn tell_of_stopped_jobs() -> bool {
    drop(sys::write_all(2, b"There are stopped jobs.\n"));
    true
}

/// Those names that begin with a word.
fn candidates(names: impl IntoIterator<Item = String>, word: &str) -> Vec<Candidate> {
    let fitting = names.into_iter().filter(|name| name.starts_with(word));
    fitting.map(|name| Candidate { shown: name.clone(), text: name, complete: true }).collect()
}

fn emit(text: &str) {
    drop(sys::write_all(1, text.as_bytes()));
}

/// Goes to a new row if the last output did not end one, and says so with a mark where it stopped: a row of blanks
/// after the mark wraps only when the cursor was not in the first column.
fn fresh_line() -> String {
    let width = sys::window_size(0).0;
    format!("\x1b[2m\u{23ce}\x1b[0m{}\r\x1b[K", " ".repeat(width.saturating_sub(1)))
}

/// Percent-encodes all that is not plainly harmless.
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
