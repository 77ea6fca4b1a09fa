//! The commands there are, the words that lead to them, and the texts of `--help`.

use std::fmt::Write as _;

use super::flags::{Flag, switch, valued};

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    ListContainers,
    RemoveContainers,
    StopContainers,
    KillContainers,
    Logs,
    InspectContainers,
    InspectImages,
    Inspect,
    ListImages,
    Version,
    Info,
}

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arguments {
    None,
    AtMostOne,
    One,
    Some,
}

impl Arguments {
    /// What is wrong with that many, as cobra says it.
    pub(super) fn problem(self, count: usize) -> Option<&'static str> {
        match (self, count) {
            (Arguments::None, 1..) => Some("accepts no arguments"),
            (Arguments::AtMostOne, 2..) => Some("requires at most 1 argument"),
            (Arguments::One, 0 | 2..) => Some("requires exactly 1 argument"),
            (Arguments::Some, 0) => Some("requires at least 1 argument"),
            _ => None,
        }
    }
}

/// One command.
#[derive(Debug)]
pub(super) struct Command {
    /// Every way to call it; the first is its name.
    pub(super) paths: &'static [&'static str],
    /// Behind `Usage:`.
    pub(super) usage: &'static str,
    /// One sentence.
    pub(super) about: &'static str,
    /// Its flags.
    pub(super) flags: &'static [Flag],
    /// Its arguments.
    pub(super) arguments: Arguments,
    /// What it does.
    pub(super) run: Run,
}

impl Command {
    /// `docker container ls`
    pub(super) fn name(&self) -> String {
        format!("docker {}", self.paths[0])
    }
}

const FILTER: Flag = valued("filter", Some('f'), "filter", "Filter output based on conditions provided");
const FORMAT: Flag = valued("format", None, "string", "Format output using a custom template: 'table', 'table TEMPLATE', 'json' or a Go template");
const INSPECT_FORMAT: Flag = valued("format", Some('f'), "string", "Format output using a custom template: 'json' or a Go template");

static COMMANDS: &[Command] = &[
    Command {
        paths: &["container ls", "container list", "container ps", "ps"],
        usage: "docker container ls [OPTIONS]",
        about: "List containers",
        flags: &[
            switch("all", Some('a'), "Show all containers (default shows just running)"),
            FILTER,
            FORMAT,
            valued("last", Some('n'), "int", "Show n last created containers (includes all states) (default -1)"),
            switch("latest", Some('l'), "Show the latest created container (includes all states)"),
            switch("no-trunc", None, "Don't truncate output"),
            switch("quiet", Some('q'), "Only display container IDs"),
        ],
        arguments: Arguments::None,
        run: Run::ListContainers,
    },
    Command {
        paths: &["container rm", "container remove", "rm"],
        usage: "docker container rm [OPTIONS] CONTAINER [CONTAINER...]",
        about: "Remove one or more containers",
        flags: &[
            switch("force", Some('f'), "Force the removal of a running container (uses SIGKILL)"),
            switch("link", Some('l'), "Remove the specified link"),
            switch("volumes", Some('v'), "Remove anonymous volumes associated with the container"),
        ],
        arguments: Arguments::Some,
        run: Run::RemoveContainers,
    },
    Command {
        paths: &["container stop", "stop"],
        usage: "docker container stop [OPTIONS] CONTAINER [CONTAINER...]",
        about: "Stop one or more running containers",
        flags: &[valued("time", Some('t'), "int", "Seconds to wait before killing the container")],
        arguments: Arguments::Some,
        run: Run::StopContainers,
    },
    Command {
        paths: &["container kill", "kill"],
        usage: "docker container kill [OPTIONS] CONTAINER [CONTAINER...]",
        about: "Kill one or more running containers",
        flags: &[valued("signal", Some('s'), "string", "Signal to send to the container")],
        arguments: Arguments::Some,
        run: Run::KillContainers,
    },
    Command {
        paths: &["container logs", "logs"],
        usage: "docker container logs [OPTIONS] CONTAINER",
        about: "Fetch the logs of a container",
        flags: &[
            switch("details", None, "Show extra details provided to logs"),
            switch("follow", Some('f'), "Follow log output"),
            valued("since", None, "string", "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"),
            valued("tail", Some('n'), "string", "Number of lines to show from the end of the logs (default \"all\")"),
            switch("timestamps", Some('t'), "Show timestamps"),
            valued("until", None, "string", "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)"),
        ],
        arguments: Arguments::One,
        run: Run::Logs,
    },
    Command {
        paths: &["container inspect"],
        usage: "docker container inspect [OPTIONS] CONTAINER [CONTAINER...]",
        about: "Display detailed information on one or more containers",
        flags: &[INSPECT_FORMAT],
        arguments: Arguments::Some,
        run: Run::InspectContainers,
    },
    Command {
        paths: &["image inspect"],
        usage: "docker image inspect [OPTIONS] IMAGE [IMAGE...]",
        about: "Display detailed information on one or more images",
        flags: &[INSPECT_FORMAT],
        arguments: Arguments::Some,
        run: Run::InspectImages,
    },
    Command {
        paths: &["inspect"],
        usage: "docker inspect [OPTIONS] NAME|ID [NAME|ID...]",
        about: "Return low-level information on Docker objects",
        flags: &[INSPECT_FORMAT, valued("type", None, "string", "Return JSON for specified type")],
        arguments: Arguments::Some,
        run: Run::Inspect,
    },
    Command {
        paths: &["image ls", "image list", "images"],
        usage: "docker image ls [OPTIONS] [REPOSITORY[:TAG]]",
        about: "List images",
        flags: &[
            switch("all", Some('a'), "Show all images (default hides intermediate images)"),
            switch("digests", None, "Show digests"),
            FILTER,
            FORMAT,
            switch("no-trunc", None, "Don't truncate output"),
            switch("quiet", Some('q'), "Only show image IDs"),
        ],
        arguments: Arguments::AtMostOne,
        run: Run::ListImages,
    },
    Command {
        paths: &["version"],
        usage: "docker version [OPTIONS]",
        about: "Show the Docker version information",
        flags: &[INSPECT_FORMAT],
        arguments: Arguments::None,
        run: Run::Version,
    },
    Command {
        paths: &["system info", "info"],
        usage: "docker system info [OPTIONS]",
        about: "Display system-wide information",
        flags: &[INSPECT_FORMAT],
        arguments: Arguments::None,
        run: Run::Info,
    },
];

/// Groups of commands.
const GROUPS: [(&str, &str); 3] = [("container", "Manage containers"), ("image", "Manage images"), ("system", "Manage Docker")];
/// Commands of the stock client that have no place on a node whose containers are made by Pods.
const ELSEWHERE: [&str; 30] = [
    "attach", "build", "builder", "commit", "compose", "cp", "create", "diff", "events", "exec", "export", "import", "load", "login",
    "logout", "network", "pause", "plugin", "port", "pull", "push", "rename", "restart", "rmi", "run", "save", "start", "tag", "top", "volume",
];

/// Where the words of a command line lead.
pub(super) enum Found {
    /// To a command, and how many words it took.
    Command(&'static Command, usize),
    /// To a help text.
    Help(String),
    /// To the version of the client.
    Version,
    /// Nowhere.
    Unknown(String),
}

/// Follow the words.
pub(super) fn find(words: &[&str]) -> Found {
    let find = |path: &str| COMMANDS.iter().find(|command| command.paths.contains(&path));
    match words {
        [] | ["help" | "--help" | "-h"] => Found::Help(overview()),
        ["--version" | "-v", ..] => Found::Version,
        ["help", rest @ ..] => match find_command(rest, find) {
            Some((command, _)) => Found::Help(help(command)),
            None => find_group(rest),
        },
        words => match find_command(words, find) {
            Some((command, used)) => Found::Command(command, used),
            None => find_group(words),
        },
    }
}

fn find_command(words: &[&str], find: impl Fn(&str) -> Option<&'static Command>) -> Option<(&'static Command, usize)> {
    let two = words.get(..2).and_then(|two| find(&two.join(" "))).map(|command| (command, 2));
    two.or_else(|| words.first().and_then(|word| find(word)).map(|command| (command, 1)))
}

fn find_group(words: &[&str]) -> Found {
    let Some(first) = words.first() else { return Found::Help(overview()) };
    if let Some((name, about)) = GROUPS.iter().find(|(name, _)| name == first) {
        return match words.get(1) {
            None | Some(&"--help" | &"-h") => Found::Help(group_help(name, about)),
            Some(word) if ELSEWHERE.contains(word) || *word == "prune" => Found::Unknown(elsewhere(&format!("{name} {word}"))),
            Some(word) => Found::Unknown(format!("docker: unknown command: docker {name} {word}\n\nRun 'docker {name} --help' for more information\n")),
        };
    }
    if ELSEWHERE.contains(first) {
        return Found::Unknown(elsewhere(first));
    }
    Found::Unknown(format!("docker: '{first}' is not a docker command.\nSee 'docker --help'\n"))
}

fn elsewhere(command: &str) -> String {
    format!(
        "docker: 'docker {command}' is not available on a Drydock node: its containers are made by Pods, and this client lists, reads, stops and removes them.\n"
    )
}

fn overview() -> String {
    let mut text = "Usage:  docker [OPTIONS] COMMAND\n\nA client for the containers of a Drydock node\n\nCommon Commands:\n".to_owned();
    listing(&mut text, COMMANDS.iter().filter_map(|command| command.paths.iter().find(|path| !path.contains(' ')).map(|path| (*path, command.about))));
    text.push_str("\nManagement Commands:\n");
    listing(&mut text, GROUPS.into_iter());
    text.push_str("\nGlobal Options:\n  -H, --host list   Daemon socket to connect to\n  -v, --version     Print version information and quit\n");
    text.push_str("\nRun 'docker COMMAND --help' for more information on a command.\n");
    text
}

fn group_help(name: &str, about: &str) -> String {
    let mut text = format!("\nUsage:  docker {name} COMMAND\n\n{about}\n\nCommands:\n");
    let inside = |command: &'static Command| command.paths[0].strip_prefix(name).map(|rest| (rest.trim_start(), command.about));
    listing(&mut text, COMMANDS.iter().filter_map(inside));
    append(&mut text, format_args!("\nRun 'docker {name} COMMAND --help' for more information on a command.\n"));
    text
}

fn listing<'a>(text: &mut String, entries: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable();
    let width = entries.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(9);
    for (name, about) in entries {
        append(text, format_args!("  {name:width$}   {about}\n"));
    }
}

/// The text of `docker COMMAND --help`.
pub(super) fn help(command: &Command) -> String {
    let mut text = format!("\nUsage:  {}\n\n{}\n", command.usage, command.about);
    if command.paths.len() > 1 {
        let paths: Vec<String> = command.paths.iter().map(|path| format!("docker {path}")).collect();
        append(&mut text, format_args!("\nAliases:\n  {}\n", paths.join(", ")));
    }
    if command.flags.is_empty() {
        return text;
    }
    text.push_str("\nOptions:\n");
    let left = |flag: &Flag| {
        let short = flag.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        format!("  {short}--{}{}", flag.long, flag.value.map_or(String::new(), |value| format!(" {value}")))
    };
    let width = command.flags.iter().map(|flag| left(flag).len()).max().unwrap_or(0);
    for flag in command.flags {
        append(&mut text, format_args!("{:width$}   {}\n", left(flag), flag.help));
    }
    text
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    if text.write_fmt(what).is_err() {
        text.push('\n');
    }
}
