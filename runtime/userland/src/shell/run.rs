//! Running commands: control flow, redirections, pipelines, processes.

use std::{
    ffi::CString,
    fs::OpenOptions,
    io::Read as _,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::PermissionsExt as _,
    },
    rc::Rc,
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, pipe2, setpgid},
};

use super::{
    Shell, Trap, builtins,
    expand::ExpandError,
    jobs::{Job, JobState},
    pattern,
    syntax::{Command, Join, Redirect, RedirectKind, Word},
};
use crate::sys::{self, Disposition, Guard};

/// Why a command did not simply end.
#[derive(Debug)]
pub(crate) enum Flow {
    Break(usize),
    Continue(usize),
    Return(i32),
    Exit(i32),
    /// Ctrl-C.
    Interrupt,
}

pub(crate) type Outcome = Result<i32, Flow>;

/// Descriptors as they were before redirections; put back when dropped by [`Shell::restore`].
type Saved = Vec<(i32, Option<OwnedFd>)>;

/// Signals that an interactive shell survives and its children do not.
const JOB_SIGNALS: [Signal; 5] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU, Signal::SIGQUIT, Signal::SIGHUP];

impl Shell {
    /// Runs a command and remembers its status.
    pub(crate) fn run(&mut self, command: &Command) -> Outcome {
        self.run_traps()?;
        let status = match command {
            Command::Simple { assignments, words, redirects } => self.simple(assignments, words, redirects, false)?,
            Command::Pipeline { commands, negated } => {
                let status = if commands.len() == 1 {
                    self.asking += 1;
                    let outcome = self.run(&commands[0]);
                    self.asking -= 1;
                    outcome?
                } else {
                    self.pipeline(commands)?
                };
                if *negated {
                    self.status = i32::from(status == 0);
                    return Ok(self.status);
                }
                status
            }
            Command::Chain { first, rest } => return self.chain(first, rest),
            Command::List(items) => {
                for (item, background, text) in items {
                    if *background {
                        self.background(item, text)?;
                    } else {
                        self.run(item)?;
                    }
                }
                return Ok(self.status);
            }
            Command::Group { body, redirects } => return self.redirected(redirects, |shell| shell.run(body)),
            Command::Subshell { body, redirects } => self.subshell(body, redirects)?,
            Command::If { arms, otherwise, redirects } => {
                return self.redirected(redirects, |shell| shell.if_command(arms, otherwise.as_deref()));
            }
            Command::For { name, words, body, redirects } => {
                return self.redirected(redirects, |shell| shell.for_command(name, words.as_deref(), body));
            }
            Command::While { until, condition, body, redirects } => {
                return self.redirected(redirects, |shell| shell.while_command(*until, condition, body));
            }
            Command::Case { subject, arms, redirects } => {
                return self.redirected(redirects, |shell| shell.case_command(subject, arms));
            }
            Command::Function { name, body } => {
                self.functions.insert(name.clone(), Rc::clone(body));
                0
            }
        };
        self.status = status;
        if status != 0 && self.options.errexit && self.asking == 0 {
            return Err(Flow::Exit(status));
        }
        Ok(status)
    }

    /// Runs a command after which this process has nothing to do: a program takes its place.
    pub(crate) fn run_last(&mut self, command: &Command) -> Outcome {
        match command {
            Command::Simple { assignments, words, redirects } if !self.interactive => {
                let status = self.simple(assignments, words, redirects, true)?;
                self.status = status;
                Ok(status)
            }
            Command::List(items) if items.len() == 1 && !items[0].1 => self.run_last(&items[0].0),
            other => self.run(other),
        }
    }

    fn chain(&mut self, first: &Command, rest: &[(Join, Command)]) -> Outcome {
        self.asking += 1;
        let mut outcome = self.run(first);
        for (index, (join, command)) in rest.iter().enumerate() {
            let last = index + 1 == rest.len();
            let Ok(status) = outcome else { break };
            if (status == 0) != (*join == Join::And) {
                continue;
            }
            if last {
                self.asking -= 1;
                return self.run(command);
            }
            outcome = self.run(command);
        }
        self.asking -= 1;
        outcome
    }

    fn question(&mut self, condition: &Command) -> Result<bool, Flow> {
        self.asking += 1;
        let outcome = self.run(condition);
        self.asking -= 1;
        Ok(outcome? == 0)
    }

    fn if_command(&mut self, arms: &[(Command, Command)], otherwise: Option<&Command>) -> Outcome {
        for (condition, body) in arms {
            if self.question(condition)? {
                return self.run(body);
            }
        }
        self.status = 0;
        otherwise.map_or(Ok(0), |body| self.run(body))
    }

    fn for_command(&mut self, name: &str, words: Option<&[Word]>, body: &Command) -> Outcome {
        let values = match words {
            None => self.arguments.clone(),
            Some(words) => match self.expand_words(words) {
                Ok(values) => values,
                Err(error) => return self.expansion_failed(&error),
            },
        };
        self.status = 0;
        self.looping(|shell| {
            for value in values {
                shell.set(name, value);
                if shell.loop_body(body)? {
                    break;
                }
            }
            Ok(shell.status)
        })
    }

    fn while_command(&mut self, until: bool, condition: &Command, body: &Command) -> Outcome {
        self.looping(|shell| {
            let mut status = 0;
            while shell.question(condition)? != until {
                if shell.loop_body(body)? {
                    break;
                }
                status = shell.status;
            }
            shell.status = status;
            Ok(status)
        })
    }

    /// Runs a loop, and ends its guard with it.
    fn looping(&mut self, body: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        self.loops += 1;
        let outcome = body(self);
        self.loops -= 1;
        if self.loops == 0 {
            self.guard = None;
        }
        outcome
    }

    /// Runs a loop's body once; true when the loop is over.
    fn loop_body(&mut self, body: &Command) -> Result<bool, Flow> {
        match self.run(body) {
            Ok(_) | Err(Flow::Continue(0 | 1)) => Ok(false),
            Err(Flow::Break(0 | 1)) => {
                self.status = 0;
                Ok(true)
            }
            Err(Flow::Break(more)) => Err(Flow::Break(more - 1)),
            Err(Flow::Continue(more)) => Err(Flow::Continue(more - 1)),
            Err(other) => Err(other),
        }
    }

    fn case_command(&mut self, subject: &Word, arms: &[(Vec<Word>, Command)]) -> Outcome {
        let text = match self.expand_one(subject) {
            Ok(text) => text,
            Err(error) => return self.expansion_failed(&error),
        };
        let text: Vec<char> = text.chars().collect();
        self.status = 0;
        for (patterns, body) in arms {
            for word in patterns {
                let marks = match self.expand_marks(word) {
                    Ok(marks) => marks,
                    Err(error) => return self.expansion_failed(&error),
                };
                if pattern::matches(&marks, &text) {
                    return self.run(body);
                }
            }
        }
        Ok(0)
    }

    fn expansion_failed(&mut self, error: &ExpandError) -> Outcome {
        self.complain(&error.0);
        self.status = 2;
        if self.interactive { Ok(2) } else { Err(Flow::Exit(2)) }
    }

    fn simple(&mut self, assignments: &[(String, Word)], words: &[Word], redirects: &[Redirect], replace: bool) -> Outcome {
        self.substitution_status = None;
        let arguments = match self.expand_words(words) {
            Ok(arguments) => arguments,
            Err(error) => return self.expansion_failed(&error),
        };
        let mut values = Vec::new();
        for (name, word) in assignments {
            match self.expand_one(word) {
                Ok(value) => values.push((name.clone(), value)),
                Err(error) => return self.expansion_failed(&error),
            }
        }
        if self.options.xtrace && !(arguments.is_empty() && values.is_empty()) {
            let assigned = values.iter().map(|(name, value)| format!("{name}={value}"));
            let line: Vec<String> = assigned.chain(arguments.iter().cloned()).collect();
            drop(sys::write_all(2, format!("+ {}\n", line.join(" ")).as_bytes()));
        }
        let special = arguments.first().is_none_or(|name| builtins::is_special(name));
        if let Some((name, _)) = values.iter().find(|(name, _)| special && self.is_read_only(name)) {
            let message = format!("{name}: is read only");
            return self.expansion_failed(&ExpandError(message));
        }
        let Some(name) = arguments.first().cloned() else {
            for (name, value) in values {
                self.set(&name, value);
            }
            let status = self.substitution_status.unwrap_or(0);
            return self.redirected(redirects, |_| Ok(status));
        };
        if let Some(body) = self.functions.get(&name).cloned() {
            return self.with_variables(values, |shell| {
                shell.redirected(redirects, |shell| shell.call(&body, &arguments))
            });
        }
        if name == "exec" {
            return self.exec_builtin(&arguments[1..], values, redirects);
        }
        if let Some(builtin) = builtins::find(&name) {
            let keeps = builtins::is_special(&name);
            if keeps {
                for (name, value) in values {
                    self.set(&name, value);
                }
                return self.redirected(redirects, |shell| builtin(shell, &arguments));
            }
            return self.with_variables(values, |shell| {
                shell.redirected(redirects, |shell| builtin(shell, &arguments))
            });
        }
        if replace {
            self.become_program(&arguments, values, redirects);
        }
        let text = arguments.join(" ");
        self.spawn(&text, |shell| shell.become_program(&arguments, values.clone(), redirects))
    }

    /// Sets variables for the time of a builtin or function.
    fn with_variables(&mut self, values: Vec<(String, String)>, body: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        let old: Vec<_> = values.iter().map(|(name, _)| (name.clone(), self.variables.get(name).cloned())).collect();
        for (name, value) in values {
            self.set(&name, value);
            self.export(&name);
        }
        let outcome = body(self);
        for (name, variable) in old {
            match variable {
                Some(variable) => self.variables.insert(name, variable),
                None => self.variables.remove(&name),
            };
        }
        outcome
    }

    fn call(&mut self, body: &Command, arguments: &[String]) -> Outcome {
        let outer = std::mem::replace(&mut self.arguments, arguments[1..].to_vec());
        self.locals.push(std::collections::HashMap::new());
        let outcome = self.run(body);
        for (name, variable) in self.locals.pop().unwrap_or_default() {
            match variable {
                Some(variable) => self.variables.insert(name, variable),
                None => self.variables.remove(&name),
            };
        }
        self.arguments = outer;
        match outcome {
            Err(Flow::Return(status)) => {
                self.status = status;
                Ok(status)
            }
            other => other,
        }
    }

    fn exec_builtin(&mut self, arguments: &[String], values: Vec<(String, String)>, redirects: &[Redirect]) -> Outcome {
        if !arguments.is_empty() {
            self.guard = None;
            self.become_program(arguments, values, redirects);
        }
        match self.apply(redirects) {
            Ok(_) => Ok(0),
            Err(message) => {
                self.complain(&message);
                Ok(1)
            }
        }
    }

    /// Runs `body` with redirections in place.
    pub(crate) fn redirected(&mut self, redirects: &[Redirect], body: impl FnOnce(&mut Self) -> Outcome) -> Outcome {
        if redirects.is_empty() {
            return body(self);
        }
        let saved = match self.apply(redirects) {
            Ok(saved) => saved,
            Err(message) => {
                self.complain(&message);
                self.status = 1;
                return Ok(1);
            }
        };
        let outcome = body(self);
        restore(saved);
        outcome
    }

    fn apply(&mut self, redirects: &[Redirect]) -> Result<Saved, String> {
        let mut saved = Saved::new();
        for redirect in redirects {
            if let Err(message) = self.apply_one(redirect, &mut saved) {
                restore(saved);
                return Err(message);
            }
        }
        Ok(saved)
    }

    fn apply_one(&mut self, redirect: &Redirect, saved: &mut Saved) -> Result<(), String> {
        let target = self.expand_one(&redirect.target).map_err(|error| error.0)?;
        let mut onto = |from: i32, to: i32| {
            saved.push((to, sys::save_fd(to)));
            sys::dup_onto(from, to).map_err(|error| format!("{to}: {}", sys::reason(&error)))
        };
        let open = |options: &mut OpenOptions| {
            let file = options.open(&target).map_err(|error| {
                let verb = if redirect.kind == RedirectKind::Read { "open" } else { "create" };
                format!("can't {verb} {target}: {}", sys::reason(&error))
            })?;
            sys::out_of_the_way(file.into()).map_err(|error| sys::reason(&error))
        };
        let file = match redirect.kind {
            RedirectKind::Duplicate if target == "-" => {
                saved.push((redirect.fd, sys::save_fd(redirect.fd)));
                sys::close(redirect.fd);
                return Ok(());
            }
            RedirectKind::Duplicate => {
                let from: i32 = target.parse().map_err(|_| format!("{target}: bad file descriptor"))?;
                return onto(from, redirect.fd);
            }
            RedirectKind::Here => {
                let read = here_pipe(&target)?;
                return onto(read.as_raw_fd(), redirect.fd);
            }
            RedirectKind::Read => open(OpenOptions::new().read(true))?,
            RedirectKind::Write => open(OpenOptions::new().write(true).create(true).truncate(true))?,
            RedirectKind::Append => open(OpenOptions::new().append(true).create(true))?,
            RedirectKind::ReadWrite => open(OpenOptions::new().read(true).write(true).create(true).truncate(false))?,
            RedirectKind::Both => {
                let file = open(OpenOptions::new().write(true).create(true).truncate(true))?;
                onto(file.as_raw_fd(), 1)?;
                return onto(1, 2);
            }
        };
        onto(file.as_raw_fd(), redirect.fd)
    }

    /// Replaces this process by a program. Does not return.
    fn become_program(&mut self, arguments: &[String], values: Vec<(String, String)>, redirects: &[Redirect]) -> ! {
        if let Err(message) = self.apply(redirects) {
            self.complain(&message);
            std::process::exit(1);
        }
        for (name, value) in values {
            self.set(&name, value);
            self.export(&name);
        }
        for signal in JOB_SIGNALS.into_iter().chain([Signal::SIGINT]) {
            if !self.traps.contains_key(&Trap::Signal(signal)) || self.interactive {
                sys::on_signal(signal, Disposition::Default);
            }
        }
        let name = &arguments[0];
        let Some(path) = self.find_program(name) else {
            self.complain(&format!("{name}: not found"));
            self.give_hint(name);
            std::process::exit(127);
        };
        let environment: Vec<CString> = self
            .variables
            .iter()
            .filter(|(_, variable)| variable.exported)
            .filter_map(|(name, variable)| CString::new(format!("{name}={}", variable.value)).ok())
            .collect();
        let words: Vec<CString> = arguments.iter().filter_map(|word| CString::new(word.as_str()).ok()).collect();
        let Ok(file) = CString::new(path.as_str()) else { std::process::exit(127) };
        let Err(error) = nix::unistd::execve(&file, &words, &environment);
        if error == Errno::ENOEXEC {
            // A script without "#!" is a script for this shell.
            self.name.clone_from(&path);
            self.arguments = arguments[1..].to_vec();
            let text = std::fs::read(&path).unwrap_or_default();
            let outcome = self.run_source(&String::from_utf8_lossy(&text), false);
            std::process::exit(self.leave(outcome));
        }
        let status = if error == Errno::ENOENT { 127 } else { 126 };
        self.complain(&format!("{name}: {}", error.desc()));
        std::process::exit(status);
    }

    /// Where a command's program is.
    pub(crate) fn find_program(&self, name: &str) -> Option<String> {
        if name.contains('/') {
            return Some(name.to_owned());
        }
        let path = self.get("PATH").unwrap_or_else(|| crate::DEFAULT_PATH.to_owned());
        path.split(':').map(|directory| format!("{}/{name}", if directory.is_empty() { "." } else { directory })).find(|file| {
            std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    }

    /// In a new child: forgets what belongs to the parent.
    fn settle_child(&mut self, group: Pid, foreground: bool) {
        if self.job_control {
            sys::best_effort(setpgid(Pid::from_raw(0), group));
            if foreground {
                sys::foreground(nix::unistd::getpgrp());
            }
        }
        for signal in JOB_SIGNALS.into_iter().chain([Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD]) {
            sys::on_signal(signal, Disposition::Default);
        }
        for trap in self.traps.keys() {
            if let Trap::Signal(signal) = trap {
                let ignored = self.traps[trap].is_empty();
                sys::on_signal(*signal, if ignored { Disposition::Ignore } else { Disposition::Default });
            }
        }
        // What came while the shell's own handlers were still in place is for this process now.
        for signal in [Signal::SIGHUP, Signal::SIGINT] {
            if sys::take_signal(signal) {
                sys::best_effort(nix::sys::signal::raise(signal));
            }
        }
        sys::let_signals_come();
        self.traps.retain(|_, action| action.is_empty());
        self.helpful |= self.interactive;
        self.interactive = false;
        self.job_control = false;
        self.jobs.clear();
        self.guard = None;
    }

    /// Makes a child the leader of a foreground job's process group. The child does so too: whoever comes first, it is done before it
    /// matters. In a loop the guard joins it.
    fn lead(&mut self, child: Pid) {
        if !self.job_control {
            return;
        }
        sys::best_effort(setpgid(child, child));
        if let Some(guard) = &self.guard {
            guard.join(child);
        }
    }

    /// Before a foreground job: in a loop there is to be a guard.
    fn call_guard(&mut self) {
        if self.job_control && self.loops > 0 && self.guard.is_none() {
            self.guard = Guard::new();
        }
    }

    /// Runs `body` in a child in the foreground.
    fn spawn(&mut self, text: &str, body: impl FnOnce(&mut Self) -> i32) -> Outcome {
        self.call_guard();
        match sys::fork() {
            Err(error) => {
                self.complain(&format!("can't fork: {}", error.desc()));
                Ok(1)
            }
            Ok(ForkResult::Child) => {
                self.settle_child(Pid::from_raw(0), true);
                std::process::exit(body(self));
            }
            Ok(ForkResult::Parent { child }) => {
                self.lead(child);
                self.wait_foreground(child, vec![child], text)
            }
        }
    }

    fn subshell(&mut self, body: &Command, redirects: &[Redirect]) -> Outcome {
        self.spawn("(...)", |shell| shell.child_status(|shell| shell.redirected(redirects, |shell| shell.run_last(body))))
    }

    /// The exit status of what a child shell does.
    fn child_status(&mut self, body: impl FnOnce(&mut Self) -> Outcome) -> i32 {
        let outcome = body(self);
        self.leave(outcome)
    }

    fn pipeline(&mut self, commands: &[Command]) -> Outcome {
        self.call_guard();
        let mut group = Pid::from_raw(0);
        let mut pids = Vec::new();
        let mut input: Option<OwnedFd> = None;
        for (index, command) in commands.iter().enumerate() {
            let last = index + 1 == commands.len();
            let ends = if last { None } else { pipe2(OFlag::O_CLOEXEC).ok() };
            let (next_input, output) = ends.map_or((None, None), |(read, write)| (Some(read), Some(write)));
            match sys::fork() {
                Err(error) => {
                    self.complain(&format!("can't fork: {}", error.desc()));
                    return Ok(1);
                }
                Ok(ForkResult::Child) => {
                    self.settle_child(group, true);
                    if let Some(input) = &input {
                        drop(sys::dup_onto(input.as_raw_fd(), 0));
                    }
                    if let Some(output) = &output {
                        drop(sys::dup_onto(output.as_raw_fd(), 1));
                    }
                    drop((input, output, next_input));
                    std::process::exit(self.child_status(|shell| shell.run_last(command)));
                }
                Ok(ForkResult::Parent { child }) => {
                    if group.as_raw() == 0 {
                        group = child;
                        self.lead(child);
                    } else if self.job_control {
                        sys::best_effort(setpgid(child, group));
                    }
                    pids.push(child);
                }
            }
            input = next_input;
        }
        self.wait_foreground(group, pids, "pipeline")
    }

    fn background(&mut self, command: &Command, text: &str) -> Outcome {
        match sys::fork() {
            Err(error) => {
                self.complain(&format!("can't fork: {}", error.desc()));
                self.status = 1;
            }
            Ok(ForkResult::Child) => {
                let controlled = self.job_control;
                self.settle_child(Pid::from_raw(0), false);
                if !controlled {
                    sys::on_signal(Signal::SIGINT, Disposition::Ignore);
                    sys::on_signal(Signal::SIGQUIT, Disposition::Ignore);
                    if let Ok(null) = std::fs::File::open("/dev/null") {
                        drop(sys::dup_onto(null.as_raw_fd(), 0));
                    }
                }
                std::process::exit(self.child_status(|shell| shell.run_last(command)));
            }
            Ok(ForkResult::Parent { child }) => {
                if self.job_control {
                    sys::best_effort(setpgid(child, child));
                }
                self.last_background = Some(child);
                let number = self.add_job(child, vec![child], text, JobState::Running);
                if self.interactive {
                    drop(sys::write_all(2, format!("[{number}] {child}\n").as_bytes()));
                }
                self.status = 0;
            }
        }
        Ok(0)
    }

    /// Waits for a foreground job; the status is its last process's.
    pub(crate) fn wait_foreground(&mut self, group: Pid, pids: Vec<Pid>, text: &str) -> Outcome {
        let last = pids.last().copied();
        let mut waiting = pids;
        let (mut status, mut failed, mut interrupted) = (0, 0, false);
        while let Some(pid) = waiting.first().copied() {
            let ended = match self.wait_for_child(pid, group) {
                Err(Errno::EINTR) => continue,
                Err(_) => 127,
                Ok(WaitStatus::Exited(_, code)) => code,
                Ok(WaitStatus::Signaled(_, signal, _)) => {
                    interrupted |= signal == Signal::SIGINT;
                    self.restore_modes();
                    self.report_signal(signal);
                    128 + signal as i32
                }
                Ok(WaitStatus::Stopped(..)) => {
                    // The job is a job of its own now.
                    self.guard = None;
                    let number = self.add_job(group, waiting, text, JobState::Stopped);
                    self.take_terminal();
                    self.restore_modes();
                    drop(sys::write_all(2, format!("\n[{number}]+  Stopped                 {text}\n").as_bytes()));
                    self.status = 148;
                    return Ok(148);
                }
                Ok(_) => continue,
            };
            waiting.remove(0);
            if Some(pid) == last {
                status = ended;
            }
            if ended != 0 {
                failed = ended;
            }
        }
        self.take_terminal();
        if self.options.pipefail && status == 0 {
            status = failed;
        }
        self.status = status;
        if interrupted && !self.traps.contains_key(&Trap::Signal(Signal::SIGINT)) {
            return Err(Flow::Interrupt);
        }
        // Whoever presses Ctrl-C in a loop means the loop, also where the command at hand takes the key for itself and ends well, as
        // `ping` does, or has just ended and hears nothing.
        if self.guard.as_ref().is_some_and(Guard::heard) {
            self.guard = None;
            sys::best_effort(nix::sys::signal::raise(Signal::SIGINT));
            self.run_traps()?;
        }
        Ok(status)
    }

    /// Waits for a child to end or stop. At a terminal the end of the terminal is heard too, and handed on to the job.
    fn wait_for_child(&self, pid: Pid, group: Pid) -> nix::Result<WaitStatus> {
        if !self.interactive {
            return waitpid(pid, None);
        }
        let flags = if self.job_control { WaitPidFlag::WUNTRACED | WaitPidFlag::WNOHANG } else { WaitPidFlag::WNOHANG };
        let mut told = false;
        sys::wait_for_signal(|| {
            if sys::is_pending(Signal::SIGHUP) && !std::mem::replace(&mut told, true) {
                sys::best_effort(nix::sys::signal::killpg(group, Signal::SIGHUP));
                sys::best_effort(nix::sys::signal::killpg(group, Signal::SIGCONT));
            }
            match waitpid(pid, Some(flags)) {
                Ok(WaitStatus::StillAlive) => None,
                other => Some(other),
            }
        })
    }

    fn report_signal(&self, signal: Signal) {
        let text = match signal {
            Signal::SIGINT if self.interactive => "",
            Signal::SIGINT | Signal::SIGPIPE => return,
            Signal::SIGKILL => "Killed",
            Signal::SIGTERM => "Terminated",
            Signal::SIGSEGV => "Segmentation fault",
            other => other.as_str(),
        };
        if self.interactive {
            drop(sys::write_all(2, format!("{text}\n").as_bytes()));
        }
    }

    fn take_terminal(&self) {
        if self.job_control {
            sys::foreground(nix::unistd::getpgrp());
        }
    }

    /// The output of a command substitution, without its last newlines.
    pub(crate) fn capture(&mut self, source: &str) -> String {
        let Ok((read, write)) = pipe2(OFlag::O_CLOEXEC) else { return String::new() };
        match sys::fork() {
            Err(error) => {
                self.complain(&format!("can't fork: {}", error.desc()));
                String::new()
            }
            Ok(ForkResult::Child) => {
                self.job_control = false;
                self.settle_child(Pid::from_raw(0), false);
                drop(sys::dup_onto(write.as_raw_fd(), 1));
                drop((read, write));
                std::process::exit(self.child_status(|shell| shell.run_source(source, true)));
            }
            Ok(ForkResult::Parent { child }) => {
                drop(write);
                let mut bytes = Vec::new();
                let mut file = std::fs::File::from(read);
                let mut buffer = [0; 8192];
                loop {
                    match file.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(count) => bytes.extend_from_slice(&buffer[..count]),
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(_) => break,
                    }
                }
                let status = loop {
                    match waitpid(child, None) {
                        Err(Errno::EINTR) => {}
                        Ok(WaitStatus::Exited(_, code)) => break code,
                        Ok(WaitStatus::Signaled(_, signal, _)) => break 128 + signal as i32,
                        _ => break 127,
                    }
                };
                self.status = status;
                self.substitution_status = Some(status);
                String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()
            }
        }
    }

    /// Runs what traps wait for signals that came. Without a trap Ctrl-C ends the command, and the end of the terminal the shell.
    pub(crate) fn run_traps(&mut self) -> Result<(), Flow> {
        if self.hung_up() {
            return Err(Flow::Exit(128 + Signal::SIGHUP as i32));
        }
        if self.interactive && !self.traps.contains_key(&Trap::Signal(Signal::SIGINT)) && sys::take_signal(Signal::SIGINT) {
            return Err(Flow::Interrupt);
        }
        if self.traps.is_empty() {
            return Ok(());
        }
        let signals: Vec<Signal> =
            self.traps.keys().filter_map(|trap| if let Trap::Signal(signal) = trap { Some(*signal) } else { None }).collect();
        for signal in signals {
            if sys::take_signal(signal) {
                let action = self.traps.get(&Trap::Signal(signal)).cloned().unwrap_or_default();
                let status = self.status;
                self.run_source(&action, false)?;
                self.status = status;
            }
        }
        Ok(())
    }

    /// Whether the terminal has ended under an interactive shell that has no trap for it.
    pub(crate) fn hung_up(&self) -> bool {
        self.interactive && sys::is_pending(Signal::SIGHUP) && !self.traps.contains_key(&Trap::Signal(Signal::SIGHUP))
    }

    fn add_job(&mut self, group: Pid, pids: Vec<Pid>, text: &str, state: JobState) -> usize {
        let number = self.jobs.iter().map(|job| job.number).max().unwrap_or(0) + 1;
        self.jobs.push(Job { number, group, pids, text: text.to_owned(), state });
        number
    }
}

/// Puts descriptors back, last first.
fn restore(saved: Saved) {
    for (fd, old) in saved.into_iter().rev() {
        match old {
            Some(old) => drop(sys::dup_onto(old.as_raw_fd(), fd)),
            None => sys::close(fd),
        }
    }
}

/// A descriptor from which `text` can be read: an unlinked file, since a pipe holds only so much.
fn here_pipe(text: &str) -> Result<OwnedFd, String> {
    use std::io::{Seek as _, Write as _};
    let failed = |error: nix::Error| format!("here-document: {}", error.desc());
    let fd = nix::sys::memfd::memfd_create(c"here-document", nix::sys::memfd::MFdFlags::MFD_CLOEXEC).map_err(failed)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(text.as_bytes()).and_then(|()| file.rewind()).map_err(|error| error.to_string())?;
    sys::out_of_the_way(file.into()).map_err(|error| sys::reason(&error))
}
