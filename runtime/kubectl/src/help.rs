//! Help in the form stock kubectl gives it; the words are ours.
// upstream: kubectl/pkg/util/templates/{templates,templater,help_flags_printer}.go

use clap::{Arg, Command};

use crate::commands::{Chosen, Entry, TABLE};
use crate::flags::kind;
use crate::globals;

/// What `kubectl` alone says.
pub fn root() -> String {
    let mut text = "kubectl controls the Kubernetes cluster manager.\n\n Find more information at: https://kubernetes.io/docs/reference/kubectl/\n\n".to_owned();
    let shown = TABLE.iter().filter(|entry| !entry.name.starts_with('_'));
    let width = shown.map(|entry| entry.name.len()).max().unwrap_or_default().max(15);
    let mut groups: Vec<&str> = Vec::new();
    for entry in TABLE {
        if !entry.group.is_empty() && !groups.contains(&entry.group) {
            groups.push(entry.group);
        }
    }
    for group in groups {
        if group == "Other Commands" {
            text.push_str("Subcommands provided by plugins:\n\n");
        }
        text.push_str(&format!("{group}:\n"));
        for entry in TABLE.iter().filter(|entry| entry.group == group) {
            text.push_str(&format!("  {:width$} {}\n", entry.name, entry.about));
        }
        text.push('\n');
    }
    text.push_str("Usage:\n  kubectl [flags] [options]\n\nUse \"kubectl <command> --help\" for more information about a given command.\n");
    text.push_str("Use \"kubectl options\" for a list of global command-line options (applies to all commands).\n");
    text
}

/// What `kubectl COMMAND --help` says.
pub fn command(chosen: &Chosen) -> String {
    let command = (chosen.entry.command)();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let about = if about.is_empty() { format!("{}.", chosen.entry.about) } else { about };
    let mut text = format!("{}\n\n", about.trim_end());
    if !chosen.entry.aliases.is_empty() {
        text.push_str(&format!("Aliases:\n{}, {}\n\n", chosen.entry.name, chosen.entry.aliases.join(", ")));
    }
    if let Some(examples) = command.get_after_help() {
        text.push_str("Examples:\n");
        for line in examples.to_string().lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text.push('\n');
    }
    text.push_str(&children(chosen.entry));
    text.push_str(&options("Options", &command.get_arguments().cloned().collect::<Vec<_>>()));
    text.push_str(&format!("Usage:\n  {}\n\n", usage(chosen, &command)));
    if !chosen.entry.children.is_empty() {
        text.push_str(&format!("Use \"{} <command> --help\" for more information about a given command.\n", chosen.path()));
    }
    text.push_str("Use \"kubectl options\" for a list of global command-line options (applies to all commands).\n");
    text
}

/// What a command of this full name says with `--help`.
pub fn of_path(path: &str) -> String {
    let mut words = Vec::new();
    let mut found: Option<&'static Entry> = None;
    for word in path.split(' ').skip(1) {
        let among = found.map_or(TABLE, |entry| entry.children);
        let Some(entry) = among.iter().find(|entry| entry.is(word)) else { break };
        words.push(entry.name);
        found = Some(entry);
    }
    found.map_or_else(root, |entry| command(&Chosen { entry, words }))
}

/// `help` itself.
pub fn command_of_help() -> Command {
    Command::new("help").about("What a command of kubectl does and which flags it takes: kubectl help, and the words of the command.").override_usage("kubectl help [command] [flags] [options]")
}

/// What `kubectl options` says.
pub fn global_options(cache: &str) -> String {
    let text = options("The following options can be passed to any command", &globals::arguments()).replacen(":\n", ":\n\n", 1);
    text.replacen("--cache-dir='':", &format!("--cache-dir='{cache}':"), 1)
}

fn usage(chosen: &Chosen, command: &Command) -> String {
    let line = command.clone().render_usage().to_string();
    let own = line.strip_prefix("Usage: ").map(str::trim).unwrap_or_default().replace('\n', " ");
    if own.starts_with("kubectl ") {
        return own;
    }
    let path = chosen.path();
    if chosen.entry.children.is_empty() { format!("{path} [options]") } else { format!("{path} SUBCOMMAND [options]") }
}

fn children(entry: &Entry) -> String {
    if entry.children.is_empty() {
        return String::new();
    }
    let width = entry.children.iter().map(|child| child.name.len()).max().unwrap_or_default().max(11) + 2;
    let lines: Vec<String> = entry.children.iter().map(|child| format!("  {:width$} {}\n", child.name, child.about)).collect();
    format!("Available Commands:\n{}\n", lines.concat())
}

fn options(title: &str, arguments: &[Arg]) -> String {
    let mut shown: Vec<&Arg> = arguments.iter().filter(|argument| !argument.is_hide_set() && argument.get_long().is_some()).collect();
    shown.sort_by_key(|argument| argument.get_long());
    if shown.is_empty() {
        return String::new();
    }
    let mut text = format!("{title}:\n");
    for argument in shown {
        let default = argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned()).unwrap_or_default();
        let default = if kind(argument) == "string" { format!("'{default}'") } else { default };
        let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("    {short}--{}={default}:\n\t{help}\n\n", argument.get_long().unwrap_or_default()));
    }
    text
}
