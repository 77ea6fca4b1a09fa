//! A POSIX shell: enough of one to live in.
//!
//! A line of text goes through three steps: [`parser`] makes commands of it, [`expand`] makes argument lists of their
//! words, [`run`] starts them. [`interactive`] adds the terminal: line editing, history, completion and job control.
//!
//! The shell writes with plain `write` calls, never through Rust's buffered output: a buffer would be copied by `fork`.

mod arithmetic;
mod builtins;
mod completion;
mod expand;
mod interactive;
mod jobs;
mod keys;
mod line;
mod hints;
mod parser;
pub(crate) mod pattern;
pub(crate) mod printf;
mod run;
mod syntax;
pub(crate) mod test_command;

use std::{collections::HashMap, rc::Rc};

use nix::{sys::signal::Signal, unistd::Pid};

use crate::sys;
use jobs::Job;
use parser::{ParseError, Parser};
use run::Flow;
use syntax::Command;

/// A variable of the shell.
#[derive(Debug, Clone, Default)]
struct Variable {
    value: String,
    exported: bool,
    read_only: bool,
}

/// What `set` switches.
#[derive(Debug, Clone, Default)]
struct Options {
    errexit: bool,
    xtrace: bool,
    nounset: bool,
    noglob: bool,
    pipefail: bool,
}

/// The state of a shell.
pub(crate) struct Shell {
    variables: HashMap<String, Variable>,
    functions: HashMap<String, Rc<Command>>,
    aliases: HashMap<String, String>,
    /// `$1`...
    arguments: Vec<String>,
    /// `$0`.
    name: String,
    status: i32,
    /// The status of the last command substitution of the command at hand.
    substitution_status: Option<i32>,
    last_background: Option<Pid>,
    options: Options,
    traps: HashMap<Trap, String>,
    jobs: Vec<Job>,
    interactive: bool,
    /// Pipelines get process groups of their own.
    job_control: bool,
    /// Variables that `local` hides, per running function.
    locals: Vec<HashMap<String, Option<Variable>>>,
    /// Greater than zero where a failure is a question and `set -e` looks away.
    asking: usize,
    /// How many loops the shell is in.
    loops: usize,
    /// Hears Ctrl-C for the loop.
    guard: Option<sys::Guard>,
    /// The terminal's modes before anything changed them.
    modes: Option<nix::sys::termios::Termios>,
    /// In a child of an interactive shell: a person reads the messages.
    helpful: bool,
    history: Vec<String>,
    pid: Pid,
}

/// What a trap waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Trap {
    Exit,
    Signal(Signal),
}

/// The applet: `sh [-ilcex] [-c COMMAND [NAME]] [FILE] [ARGUMENT]...`.
pub(crate) fn main(arguments: &[String]) -> i32 {
    sys::default_sigpipe();
    let mut shell = Shell::new(arguments.first().map_or("sh", String::as_str));
    let login = arguments.first().is_some_and(|name| name.starts_with('-'));
    let mut start = Start { login, ..Start::default() };
    let mut rest = arguments.get(1..).unwrap_or_default();
    while let Some((first, tail)) = rest.split_first() {
        if first == "--" {
            rest = tail;
            break;
        }
        let Some(letters) = first.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
        rest = tail;
        for letter in letters.chars() {
            match letter {
                'c' => start.command = true,
                'i' => start.interactive = true,
                'l' => start.login = true,
                's' => start.stdin = true,
                'o' => {
                    if let Some((option, tail)) = rest.split_first() {
                        shell.set_option(option, true);
                        rest = tail;
                    }
                }
                _ => shell.set_letter(letter, true),
            }
        }
    }
    shell.start(&start, rest)
}

/// How the shell was called.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "these are the letters of the command line")]
struct Start {
    command: bool,
    interactive: bool,
    login: bool,
    stdin: bool,
}

impl Shell {
    fn new(name: &str) -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .map(|(name, value)| (name, Variable { value, exported: true, read_only: false }))
            .collect();
        let mut shell = Self {
            variables,
            functions: HashMap::new(),
            aliases: HashMap::new(),
            arguments: Vec::new(),
            name: name.to_owned(),
            status: 0,
            substitution_status: None,
            last_background: None,
            options: Options::default(),
            traps: HashMap::new(),
            jobs: Vec::new(),
            interactive: false,
            job_control: false,
            locals: Vec::new(),
            asking: 0,
            loops: 0,
            guard: None,
            modes: None,
            helpful: false,
            history: Vec::new(),
            pid: nix::unistd::getpid(),
        };
        if let Ok(directory) = std::env::current_dir() {
            let same = shell.get("PWD").is_some_and(|pwd| std::fs::canonicalize(pwd).ok() == Some(directory.clone()));
            if !same {
                shell.set("PWD", directory.to_string_lossy().into_owned());
            }
            shell.export("PWD");
        }
        if shell.get("PATH").is_none() {
            shell.set("PATH", crate::DEFAULT_PATH.to_owned());
        }
        shell
    }

    fn start(&mut self, start: &Start, rest: &[String]) -> i32 {
        if start.login {
            self.source_if_there("/etc/profile");
            if let Some(home) = self.get("HOME") {
                self.source_if_there(&format!("{home}/.profile"));
            }
        }
        if start.command {
            let Some((text, rest)) = rest.split_first() else {
                self.complain("-c requires an argument");
                return 2;
            };
            if let Some((name, rest)) = rest.split_first() {
                self.name.clone_from(name);
                self.arguments = rest.to_vec();
            }
            let outcome = self.run_source(text, true);
            return self.leave(outcome);
        }
        if let Some((file, arguments)) = rest.split_first().filter(|_| !start.stdin) {
            self.name.clone_from(file);
            self.arguments = arguments.to_vec();
            return match std::fs::read(file) {
                Ok(text) => {
                    let outcome = self.run_source(&String::from_utf8_lossy(&text), false);
                    self.leave(outcome)
                }
                Err(error) => {
                    self.complain(&format!("can't open '{file}': {}", sys::reason(&error)));
                    127
                }
            };
        }
        self.arguments = rest.to_vec();
        let outcome = if start.interactive || (sys::is_terminal(0) && sys::is_terminal(2)) {
            self.interact()
        } else {
            self.run_stdin()
        };
        self.leave(outcome)
    }

    /// The end of the shell: the exit trap, then the status.
    #[allow(clippy::needless_pass_by_value, reason = "an outcome ends here")]
    fn leave(&mut self, outcome: Result<i32, Flow>) -> i32 {
        let status = match outcome {
            Ok(status) | Err(Flow::Exit(status) | Flow::Return(status)) => status,
            Err(Flow::Interrupt) => 130,
            Err(Flow::Break(_) | Flow::Continue(_)) => self.status,
        };
        self.status = status;
        if let Some(action) = self.traps.remove(&Trap::Exit)
            && let Err(Flow::Exit(status)) = self.run_source(&action, false)
        {
            return status;
        }
        status
    }

    /// Runs a text in this shell. `last`: nothing follows, so the last command may take this process's place.
    fn run_source(&mut self, text: &str, last: bool) -> Result<i32, Flow> {
        let mut parser = Parser::new(text, &self.aliases, true);
        let mut status = 0;
        loop {
            match parser.next_line() {
                Ok(Some(command)) => {
                    let replace = last && parser.at_end() && self.traps.is_empty();
                    status = if replace { self.run_last(&command)? } else { self.run(&command)? };
                    parser.learn_aliases(&self.aliases);
                }
                Ok(None) => return Ok(status),
                Err(error) => {
                    self.syntax_error(&error);
                    return Err(Flow::Exit(2));
                }
            }
        }
    }

    fn syntax_error(&mut self, error: &ParseError) {
        match error {
            ParseError::Incomplete(text) => self.complain(&format!("syntax error: {text}")),
            ParseError::Unexpected(text) => self.complain(text),
        }
        self.status = 2;
    }

    /// Reads commands line by line, so that they can read the rest of the input themselves.
    fn run_stdin(&mut self) -> Result<i32, Flow> {
        let mut text = String::new();
        loop {
            let line = builtins::read_line_bytes(0);
            let end = line.is_none();
            text.push_str(&line.unwrap_or_default());
            let mut parser = Parser::new(&text, &self.aliases, end);
            let mut commands = Vec::new();
            let outcome = loop {
                match parser.next_line() {
                    Ok(Some(command)) => commands.push(command),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            match outcome {
                Err(ParseError::Incomplete(_)) if !end => continue,
                Err(error) => {
                    self.syntax_error(&error);
                    return Err(Flow::Exit(2));
                }
                Ok(()) => {}
            }
            text.clear();
            for command in &commands {
                self.run(command)?;
            }
            if end {
                return Ok(self.status);
            }
        }
    }

    fn source_if_there(&mut self, path: &str) {
        if let Ok(text) = std::fs::read_to_string(path)
            && let Err(Flow::Exit(status)) = self.run_source(&text, false)
        {
            self.status = status;
        }
    }

    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|variable| variable.value.clone())
    }

    /// Sets a variable, keeping its export mark; a read-only one stays as it is.
    pub(crate) fn set(&mut self, name: &str, value: String) {
        let variable = self.variables.entry(name.to_owned()).or_default();
        if variable.read_only {
            self.complain(&format!("{name}: is read only"));
            return;
        }
        variable.value = value;
    }

    /// True when the variable must keep its value.
    fn is_read_only(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(|variable| variable.read_only)
    }

    fn export(&mut self, name: &str) {
        self.variables.entry(name.to_owned()).or_default().exported = true;
    }

    /// Any parameter: special ones too.
    fn special(&self, name: &str) -> Option<String> {
        match name {
            "?" => Some(self.status.to_string()),
            "$" => Some(self.pid.to_string()),
            "!" => self.last_background.map(|pid| pid.to_string()),
            "#" => Some(self.arguments.len().to_string()),
            "@" | "*" => Some(self.arguments.join(" ")),
            "0" => Some(self.name.clone()),
            "-" => Some(self.letters()),
            "PPID" => Some(nix::unistd::getppid().to_string()),
            "RANDOM" if !self.variables.contains_key("RANDOM") => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Some((now.subsec_micros() % 32768).to_string())
            }
            _ => match name.parse::<usize>() {
                Ok(index) => self.arguments.get(index.wrapping_sub(1)).cloned(),
                Err(_) => self.get(name),
            },
        }
    }

    fn letters(&self) -> String {
        let all = [
            ('e', self.options.errexit),
            ('f', self.options.noglob),
            ('i', self.interactive),
            ('u', self.options.nounset),
            ('x', self.options.xtrace),
        ];
        all.iter().filter(|(_, on)| *on).map(|(letter, _)| *letter).collect()
    }

    fn set_letter(&mut self, letter: char, on: bool) {
        match letter {
            'e' => self.options.errexit = on,
            'x' => self.options.xtrace = on,
            'u' => self.options.nounset = on,
            'f' => self.options.noglob = on,
            _ => {}
        }
    }

    fn set_option(&mut self, name: &str, on: bool) {
        match name {
            "errexit" => self.options.errexit = on,
            "xtrace" => self.options.xtrace = on,
            "nounset" => self.options.nounset = on,
            "noglob" => self.options.noglob = on,
            "pipefail" => self.options.pipefail = on,
            _ => {}
        }
    }

    /// Writes a message of the shell's own.
    fn complain(&self, message: &str) {
        let name = self.name.rsplit('/').next().unwrap_or("sh").trim_start_matches('-');
        drop(sys::write_all(2, format!("{name}: {message}\n").as_bytes()));
    }
}

/// The terminal in raw mode, for full-screen applets.
pub(crate) fn raw_terminal() -> Option<keys::Raw> {
    keys::Raw::enter()
}

/// True when a key comes within `milliseconds`.
pub(crate) fn key_waits(milliseconds: u16) -> bool {
    keys::input_waits(milliseconds)
}

/// Takes a key; true when it means "enough".
pub(crate) fn leave_key() -> bool {
    matches!(keys::key(), None | Some(keys::Key::Char('q') | keys::Key::Control('c')))
}

pub(crate) use keys::{Key, Raw as RawTerminal, char_width, key, pasted};
