//! One module per command, and the table that lists them.
//!
//! A module has `command()`, its flags, and `run()`. Only the command that was typed is built.

mod table;

pub mod attach;
pub mod server;
pub mod nodes;
pub mod edit;
pub mod drain;
pub mod config;
pub mod certificate;
pub mod completion;
pub mod auth;
pub mod set;
pub mod scale;
pub mod run;
pub mod rollout;
pub mod patch;
pub mod metadata;
pub mod expose;
pub mod delete;
pub mod apply;
pub mod cp;
pub mod dump;
mod later;
pub mod plugin;
pub mod create;
pub mod describe;
pub mod diff;
pub mod events;
pub mod exec;
pub mod explain;
pub mod get;
pub mod logs;
pub mod port_forward;
pub mod proxy;
pub mod top;
pub mod wait;

use clap::{ArgMatches, Command};
use futures::future::LocalBoxFuture;

use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::globals;
use crate::help;

pub use table::TABLE;

/// Starts a command.
pub type Run = for<'a> fn(&'a Factory, &'a ArgMatches) -> LocalBoxFuture<'a, Result<(), Failure>>;

/// A line of the table.
pub struct Entry {
    /// What is typed.
    pub name: &'static str,
    /// The heading it is listed under by `kubectl help`.
    pub group: &'static str,
    /// One line on it.
    pub about: &'static str,
    /// Its flags.
    pub command: fn() -> Command,
    /// What it does; nothing when it only has subcommands.
    pub act: Option<Run>,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// Its subcommands.
    pub children: &'static [Entry],
}

impl Entry {
    /// Whether a word means it.
    pub fn is(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    /// Do it.
    pub async fn run(&self, factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
        match self.act {
            Some(act) => act(factory, matches).await,
            None => Ok(()),
        }
    }
}

/// The command that was typed, with the words that led to it.
pub struct Chosen {
    /// Its line.
    pub entry: &'static Entry,
    /// `["rollout", "status"]`.
    pub words: Vec<&'static str>,
}

impl Chosen {
    /// `kubectl rollout status`.
    pub fn path(&self) -> String {
        format!("kubectl {}", self.words.join(" "))
    }
}

/// What a command line asks for.
pub enum Prepared {
    /// To run this.
    Run(Chosen, ArgMatches),
    /// Perhaps a command of somebody else's.
    Plugin {
        /// The line.
        line: Vec<String>,
        /// How many words of it the command's name has at least.
        least: usize,
        /// What is done when there is no such command.
        otherwise: Box<Result<Prepared, Failure>>,
    },
    /// To be told this.
    Print(String),
}

/// Find the command of a line and read its flags.
pub fn prepare(args: &[String]) -> Result<Prepared, Failure> {
    let root = globals::with_globals(Command::new("kubectl"));
    let mut left = args.to_vec();
    let Some(index) = flags::first_word(&root, &left) else {
        flags::parse(root, "kubectl", &left)?;
        return Ok(Prepared::Print(help::root()));
    };
    // Help of kubectl itself, whatever follows that is no command of its own.
    let helped = left[..index].iter().any(|flag| flag == "--help" || flag == "-h");
    if helped && (left[index] == "help" || !TABLE.iter().any(|entry| entry.is(&left[index]))) {
        return Ok(Prepared::Print(help::root()));
    }
    let word = left.remove(index);
    if word == "help" {
        let command = globals::with_globals(Command::new("help"));
        let matches = flags::parse(command, "kubectl help", &left)?;
        return if matches.on("help") { help_of(&[word]) } else { help_of(&left) };
    }
    let Some(entry) = TABLE.iter().find(|entry| entry.is(&word)) else {
        if let Some(flag) = args.first().filter(|first| first.starts_with('-')) {
            return Err(Failure::Plain(format!("Error: flags cannot be placed before plugin name: {flag}"), 1));
        }
        left.insert(0, word.clone());
        let otherwise = Box::new(Err(later::missing(&word).unwrap_or_else(|| unknown(&word))));
        return Ok(Prepared::Plugin { line: left, least: 1, otherwise });
    };
    // Only `create` may be given commands of somebody else's. upstream: kubectl/pkg/cmd/cmd.go IsSubcommandPluginAllowed
    if entry.name == "create" && index == 0 && left.first().is_some_and(|next| !next.starts_with('-') && !entry.children.iter().any(|child| child.name == next)) {
        return Ok(Prepared::Plugin { line: args.to_vec(), least: 2, otherwise: Box::new(chosen(entry, left)) });
    }
    chosen(entry, left)
}

/// The command a line means, and what else is in it.
fn chosen(mut entry: &'static Entry, mut left: Vec<String>) -> Result<Prepared, Failure> {
    if entry.name.starts_with("__complete") {
        left = completion::line(&left);
    }
    let mut words = vec![entry.name];
    while !entry.children.is_empty() {
        let Some(child) = next_word(entry, &left) else { break };
        left.remove(child.0);
        entry = child.1;
        words.push(entry.name);
    }
    let chosen = Chosen { entry, words };
    let command = globals::with_globals((entry.command)());
    let matches = flags::parse(command, &chosen.path(), &left).map_err(|failure| match entry.name {
        "options" => Failure::new(failure.text().replace("See 'kubectl options --help' for usage.", "Run 'kubectl options' without flags.")),
        _ => failure,
    })?;
    if matches.on("help") {
        return Ok(Prepared::Print(if entry.name == "options" { String::new() } else { help::command(&chosen) }));
    }
    if entry.act.is_none() {
        return match matches.arguments().first() {
            _ if entry.name == "certificate" => Ok(Prepared::Print(help::command(&chosen))),
            None => Err(Failure::Plain(help::command(&chosen), 1)),
            Some(word) => Err(Failure::usage(&chosen.path(), &format!("unknown command {word:?}"))),
        };
    }
    Ok(Prepared::Run(chosen, matches))
}

fn next_word(entry: &'static Entry, left: &[String]) -> Option<(usize, &'static Entry)> {
    let command = globals::with_globals((entry.command)());
    let index = flags::first_word(&command, left)?;
    let child = entry.children.iter().find(|child| child.is(&left[index]))?;
    Some((index, child))
}

fn help_of(words: &[String]) -> Result<Prepared, Failure> {
    let mut found: Option<Chosen> = None;
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        let among = found.as_ref().map_or(TABLE, |chosen| chosen.entry.children);
        let Some(entry) = among.iter().find(|entry| entry.is(word)) else {
            if found.is_some() {
                break;
            }
            let all: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let root = help::root();
            let commands = root.find("Basic Commands").map_or("", |start| &root[start..]);
            return Err(Failure::Plain(format!("Unknown help topic [{}]\n\n\n{commands}", all.join(" ")), 0));
        };
        let mut before = found.map(|chosen| chosen.words).unwrap_or_default();
        before.push(entry.name);
        found = Some(Chosen { entry, words: before });
    }
    Ok(Prepared::Print(found.map_or_else(help::root, |chosen| help::command(&chosen))))
}

// upstream: spf13/cobra/command.go findSuggestions, SuggestionsFor
fn unknown(word: &str) -> Failure {
    let mut text = format!("error: unknown command {word:?} for \"kubectl\"");
    let near: Vec<&str> =
        TABLE.iter().map(|entry| entry.name).filter(|name| *name != "help").filter(|name| distance(word, name) <= 2 || name.to_lowercase().starts_with(&word.to_lowercase())).collect();
    if !near.is_empty() {
        text.push_str("\n\nDid you mean this?\n");
        for name in near {
            text.push_str(&format!("\t{name}\n"));
        }
    }
    Failure::Plain(text, 1)
}

/// Levenshtein's.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let next = (row[j] + 1).min(row[j + 1] + 1).min(diagonal + usize::from(a != *b));
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_flags_that_do_not_collide_and_a_line_of_help() {
        fn check(entry: &'static Entry) {
            assert!(!entry.about.is_empty(), "{}", entry.name);
            let command = globals::with_globals((entry.command)());
            flags::parse(command, entry.name, &[]).unwrap();
            entry.children.iter().for_each(check);
        }
        TABLE.iter().for_each(check);
    }
}
