//! The `docker` command: a client of the API, laid out as the stock command lays it out.
//!
//! * `usage` is the table of commands, `flags` reads a command line by it.
//! * `client` speaks HTTP to the engine. `containers`, `logs`, `images`, `inspect`, `system` are the commands.
//! * `format` prints lists, with `template` for `--format` and `columns` for tables.

mod client;
mod columns;
mod containers;
mod flags;
mod format;
mod images;
mod indent;
mod inspect;
mod logs;
mod system;
mod template;
mod usage;

use std::io::Write;
use std::process::ExitCode;

use client::{Client, ClientError, Host};
use flags::Parsed;
use usage::{Command, Run};

/// What a wrong command line ends with.
const USAGE_EXIT: u8 = 125;

/// What a command ends with when it does not end well.
#[derive(Debug)]
enum Failure {
    /// To be printed; exit code 1.
    Message(String),
    /// Everything has been said.
    Silent(u8),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Failure::Message(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Nobody reads any more (`docker logs | head`): that is not worth a word.
        if error.kind() == std::io::ErrorKind::BrokenPipe { Failure::Silent(1) } else { Failure::Message(error.to_string()) }
    }
}

/// What a command works with.
struct Context<'a> {
    client: Client,
    flags: Parsed,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
}

/// Run the command; `args` are those after the program name.
pub fn main(args: Vec<String>) -> ExitCode {
    main_with_default_host(args, "unix:///var/run/docker.sock")
}

/// The same, with another engine when neither `-H` nor `DOCKER_HOST` names one.
pub fn main_with_default_host(args: Vec<String>, host: &str) -> ExitCode {
    let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()).unwrap_or_else(|| host.to_owned());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("docker: {error}");
            return ExitCode::FAILURE;
        }
    };
    ExitCode::from(runtime.block_on(run(args, &host, &mut std::io::stdout(), &mut std::io::stderr())))
}

/// The command with its ends open: what `docker ARGS` writes and how it ends. Used by tests and by nothing that prints.
pub async fn run(args: Vec<String>, host: &str, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let result = dispatch(args, host, out, err).await;
    let (text, code) = match result {
        Ok(()) => (String::new(), 0),
        Err(Failure::Silent(code)) => (String::new(), code),
        Err(Failure::Message(message)) => (message + "\n", 1),
    };
    match err.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => code,
        // Where should it be said?
        Err(_) => code.max(1),
    }
}

async fn dispatch(args: Vec<String>, host: &str, out: &mut dyn Write, err: &mut dyn Write) -> Result<(), Failure> {
    let (host, args) = match global_flags(args, host) {
        Ok(found) => found,
        Err(message) => {
            writeln!(err, "{message}\nSee 'docker --help'.")?;
            return Err(Failure::Silent(USAGE_EXIT));
        }
    };
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let (command, rest) = match usage::find(&words) {
        usage::Found::Command(command, used) => (command, &args[used..]),
        usage::Found::Help(text) => return Ok(out.write_all(text.as_bytes())?),
        usage::Found::Unknown(text) => {
            err.write_all(text.as_bytes())?;
            return Err(Failure::Silent(1));
        }
        usage::Found::Version => return system::short_version(out),
    };
    let flags = match flags::parse(command.flags, rest) {
        Ok(flags) => flags,
        Err(message) => {
            writeln!(err, "{message}\nSee '{} --help'.", command.name())?;
            return Err(Failure::Silent(USAGE_EXIT));
        }
    };
    if flags.flag("help") {
        return Ok(out.write_all(usage::help(command).as_bytes())?);
    }
    if let Some(problem) = command.arguments.problem(flags.positional.len()) {
        let name = command.name();
        let text = format!("\"{name}\" {problem}.\nSee '{name} --help'.\n\nUsage:  {}\n\n{}\n", command.usage, command.about);
        err.write_all(text.as_bytes())?;
        return Err(Failure::Silent(1));
    }
    let host = Host::parse(&host).map_err(Failure::Message)?;
    execute(command, Context { client: Client::new(host), flags, out, err }).await
}

async fn execute(command: &Command, context: Context<'_>) -> Result<(), Failure> {
    match command.run {
        Run::ListContainers => containers::list(context).await,
        Run::RemoveContainers => containers::remove(context).await,
        Run::StopContainers => containers::stop(context).await,
        Run::KillContainers => containers::kill(context).await,
        Run::Logs => logs::show(context).await,
        Run::InspectContainers => inspect::containers(context).await,
        Run::InspectImages => inspect::images(context).await,
        Run::Inspect => inspect::anything(context).await,
        Run::ListImages => images::list(context).await,
        Run::Version => system::version(context).await,
        Run::Info => system::info(context).await,
    }
}

/// Flags before the command: `-H` and those that change nothing here.
fn global_flags(args: Vec<String>, host: &str) -> Result<(String, Vec<String>), String> {
    let (mut host, mut args) = (host.to_owned(), args.into_iter().peekable());
    while let Some(arg) = args.next_if(|arg| arg.starts_with('-') && !matches!(arg.as_str(), "--help" | "-h" | "--version" | "-v")) {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => match arg.strip_prefix("-H") {
                Some(value) if !value.is_empty() => ("-H".to_owned(), Some(value.to_owned())),
                _ => (arg.clone(), None),
            },
        };
        match name.as_str() {
            "-H" | "--host" => host = attached.or_else(|| args.next()).ok_or_else(|| format!("flag needs an argument: {arg}"))?,
            "-l" | "--log-level" | "-c" | "--context" | "--config" => {
                if attached.or_else(|| args.next()).is_none() {
                    return Err(format!("flag needs an argument: {arg}"));
                }
            }
            "-D" | "--debug" | "--tls" => {}
            _ => return Err(format!("unknown flag: {name}")),
        }
    }
    Ok((host, args.collect()))
}

/// Do something to each of the arguments; print what succeeded, gather what did not, as upstream.
fn gathered(errors: Vec<String>) -> Result<(), Failure> {
    if errors.is_empty() { Ok(()) } else { Err(Failure::Message(errors.join("\n"))) }
}
