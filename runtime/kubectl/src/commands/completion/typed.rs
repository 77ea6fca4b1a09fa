//! A line that is not finished, as cobra reads it: which command it is for, and whether a flag, its value or an argument is being typed.
// upstream: spf13/cobra/completions.go getCompletions, checkIfFlagCompletion

use clap::{Arg, ArgMatches, Command};

use super::super::{Entry, TABLE, next_word};
use crate::flags::{self, Flags};
use crate::globals;

/// A line and the word that is being typed at its end.
pub(super) struct Typed {
    /// `["rollout", "status"]`; empty for kubectl itself.
    pub path: Vec<&'static str>,
    /// The command; none for kubectl itself.
    pub entry: Option<&'static Entry>,
    /// Its flags and those of every command.
    pub command: Command,
    /// What was given before.
    pub given: ArgMatches,
    /// The flag whose value is being typed.
    pub flag: Option<Arg>,
    /// The word, without the name of its flag.
    pub begun: String,
    /// Whether a flag may be typed here: not behind `--`.
    pub flags: bool,
}

impl Typed {
    /// Read it; why it cannot be read, when it cannot.
    pub(super) fn read(before: &[String], typed: &str) -> Result<Self, String> {
        let (path, entry, mut rest) = command_of(before)?;
        let command = globals::with_globals(entry.map_or_else(|| Command::new("kubectl"), |entry| (entry.command)()));
        let (mut begun, mut valued) = (typed, None);
        if let Some((name, value)) = typed.split_once('=').filter(|(name, _)| name.len() > 1 && name.starts_with('-')) {
            (valued, begun) = (Some(name.to_owned()), value);
        } else if !typed.starts_with('-') && rest.last().is_some_and(|last| is_flag(last) && !last.contains('=')) {
            valued = rest.last().cloned();
        }
        let mut flag = valued.as_deref().and_then(|name| flags::find(&command, name)).cloned();
        let unknown = valued.filter(|_| flag.is_none());
        if unknown.is_some() {
            begun = typed;
        } else if flag.is_some() && begun == typed {
            // A switch has no value behind it.
            flag = flag.filter(flags::wants_value);
            if flag.is_some() {
                rest.pop();
            }
        }
        let given = flags::parse(command.clone(), "kubectl", &rest).map_err(|failure| format!("Error while parsing flags from args [{}]: {}", rest.join(" "), failure.into_plain().text()))?;
        let behind = given.before_dash().is_some();
        if let Some(name) = unknown.filter(|_| !behind) {
            // Of letters in one word it is the last.
            let named = name.strip_prefix("--").unwrap_or(&name[name.char_indices().next_back().map_or(0, |(at, _)| at)..]);
            return Err(format!("Subcommand '{}' does not support flag '{named}'", path.last().unwrap_or(&"kubectl")));
        }
        Ok(Self { path, entry, command, given, flag: flag.filter(|_| !behind), begun: begun.to_owned(), flags: !behind })
    }

    /// The flags of every command that were given, each as one word.
    pub(super) fn globals(&self) -> Vec<String> {
        let own = self.own();
        let shared = globals::arguments().into_iter().filter_map(|arg| arg.get_long().map(str::to_owned));
        // What is offered leaves no file behind and fails for nothing else than the line.
        let others = ["help", "profile", "profile-output", "match-server-version", "warnings-as-errors"];
        let shared = shared.filter(|long| !others.contains(&long.as_str()) && !own.iter().any(|arg| arg.get_long() == Some(long.as_str())) && self.given.changed(long));
        shared.flat_map(|long| self.given.texts(&long).into_iter().map(move |value| format!("--{long}={value}"))).collect()
    }

    /// The flags of the command alone.
    pub(super) fn own(&self) -> Vec<Arg> {
        self.entry.map(|entry| (entry.command)().get_arguments().cloned().collect()).unwrap_or_default()
    }
}

/// The command of a line, and the rest of it.
fn command_of(line: &[String]) -> Result<(Vec<&'static str>, Option<&'static Entry>, Vec<String>), String> {
    let mut rest = line.to_vec();
    let Some(index) = flags::first_word(&globals::with_globals(Command::new("kubectl")), &rest) else {
        return Ok((Vec::new(), None, rest));
    };
    let word = rest.remove(index);
    let Some(mut entry) = TABLE.iter().find(|entry| entry.is(&word)) else {
        return Err(format!("unable to find a command for arguments: [{}]", line.join(" ")));
    };
    let mut path = vec![entry.name];
    while let Some((index, child)) = next_word(entry, &rest) {
        rest.remove(index);
        entry = child;
        path.push(child.name);
    }
    Ok((path, Some(entry), rest))
}

fn is_flag(word: &str) -> bool {
    word.len() > 2 && word.starts_with("--") || word.len() > 1 && word.starts_with('-') && !word.starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_up_to_the_word_that_is_typed() {
        let read = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            let (typed, before) = words.split_last().unwrap();
            Typed::read(before, typed).map(|typed| {
                let flag = typed.flag.as_ref().and_then(Arg::get_long).unwrap_or("-").to_owned();
                format!("{} | {:?} | {flag} {:?} {} | {}", typed.path.join(" "), typed.given.arguments(), typed.begun, typed.flags, typed.globals().join(" "))
            })
        };
        let cases = [
            ("ge", r#" | [] | - "ge" true | "#),
            ("-n zoo get po ", r#"get | ["po"] | - "" true | --namespace=zoo"#),
            ("get -nzoo po o", r#"get | ["po"] | - "o" true | --namespace=zoo"#),
            ("get -n z", r#"get | [] | namespace "z" true | "#),
            ("get --output=y", r#"get | [] | output "y" true | "#),
            ("get -wo=y", r#"get | [] | output "y" true | "#),
            ("get --watch po", r#"get | [] | - "po" true | "#),
            ("get -- -", r#"get | [] | - "-" false | "#),
            ("rollout status d", r#"rollout status | [] | - "d" true | "#),
            ("config set-context --cluster x", r#"config set-context | [] | cluster "x" true | "#),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        let wrong = [
            ("nope x", "unable to find a command for arguments: [nope]"),
            ("get --nope ", "Error while parsing flags from args [--nope]: unknown flag: --nope"),
            ("get --nope=", "Subcommand 'get' does not support flag 'nope'"),
        ];
        for (text, expected) in wrong {
            assert_eq!(read(text).unwrap_err(), expected, "{text}");
        }
    }
}
