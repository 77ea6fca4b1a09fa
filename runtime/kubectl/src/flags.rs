//! Flags with pflag's meaning on clap's definitions.
//!
//! 1. A command lists its flags with the functions here: clap knows their names, defaults and help, the value's type is the value name.
//! 2. [`parse`] walks the command line once by pflag's rules, fails in pflag's words, and hands clap a line that means only one thing.
//! 3. [`Flags`] reads the result.
//!
//! clap alone would accept and refuse other lines than cobra does, in other words; those words are interface.
// upstream: spf13/pflag/flag.go parseArgs, parseLongArg, parseSingleShortArg

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::time::Duration;

use crate::failure::Failure;

/// The hidden positional arguments.
const ARGUMENTS: &str = "kubectl-arguments";
/// How many of them came before `--`.
const BEFORE_DASH: &str = "kubectl-before-dash";
/// The lists that were given with nothing in them.
const EMPTY: &str = "kubectl-empty";

fn flag(long: &'static str, kind: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(long).long(long).value_name(kind).help(help).action(ArgAction::Append).num_args(1).require_equals(true).default_value(default)
}

/// A text.
pub fn text(long: &'static str, default: &'static str, help: &'static str) -> Arg {
    flag(long, "string", default, help)
}

/// A text that may be left out: `--flag` alone means `missing`, so a value needs `=`.
pub fn optional(long: &'static str, default: &'static str, missing: &'static str, help: &'static str) -> Arg {
    let kind = match missing {
        "background" => "string:background",
        "strict" => "string:strict",
        _ => "string:unchanged",
    };
    flag(long, kind, default, help).num_args(0..=1)
}

/// A switch.
pub fn switch(long: &'static str, help: &'static str) -> Arg {
    flag(long, "bool:true", "false", help)
}

/// A switch that is on unless turned off.
pub fn switch_on(long: &'static str, help: &'static str) -> Arg {
    flag(long, "bool:true", "true", help)
}

/// A whole number.
pub fn number(long: &'static str, default: &'static str, help: &'static str) -> Arg {
    flag(long, "int", default, help)
}

/// A Go duration.
pub fn duration(long: &'static str, default: &'static str, help: &'static str) -> Arg {
    flag(long, "duration", default, help)
}

/// Texts, divided by commas, that may be given again.
pub fn list(long: &'static str, help: &'static str) -> Arg {
    flag(long, "strings", "[]", help)
}

/// Texts, each given with its own flag; commas are part of them.
pub fn array(long: &'static str, help: &'static str) -> Arg {
    flag(long, "stringArray", "[]", help)
}

/// Pairs, divided by commas, that may be given again.
pub fn map(long: &'static str, help: &'static str) -> Arg {
    flag(long, "mapStringString", "", help)
}

/// Reading what was given.
pub trait Flags {
    /// The last value, or the default.
    fn text(&self, name: &str) -> String;
    /// Whether a switch is on.
    fn on(&self, name: &str) -> bool;
    /// A number.
    fn number(&self, name: &str) -> i64;
    /// A duration; the sign is lost.
    fn duration(&self, name: &str) -> Duration;
    /// All values of a list or an array.
    fn texts(&self, name: &str) -> Vec<String>;
    /// Whether it was given.
    fn changed(&self, name: &str) -> bool;
    /// The arguments that are no flags.
    fn arguments(&self) -> Vec<String>;
    /// How many arguments came before `--`; none when there was no `--`.
    fn before_dash(&self) -> Option<usize>;
}

impl Flags for ArgMatches {
    fn text(&self, name: &str) -> String {
        raw(self, name).last().cloned().unwrap_or_default()
    }

    fn on(&self, name: &str) -> bool {
        raw(self, name).last().and_then(|text| boolean(text)).unwrap_or(false)
    }

    fn number(&self, name: &str) -> i64 {
        raw(self, name).last().and_then(|text| integer(text).ok()).unwrap_or_default()
    }

    fn duration(&self, name: &str) -> Duration {
        raw(self, name).last().and_then(|text| go_duration(text).ok()).map(|nanos| Duration::from_nanos(nanos.unsigned_abs())).unwrap_or_default()
    }

    fn texts(&self, name: &str) -> Vec<String> {
        if from_line(self, name) { raw(self, name) } else { Vec::new() }
    }

    fn changed(&self, name: &str) -> bool {
        from_line(self, name) || raw(self, EMPTY).iter().any(|empty| empty == name)
    }

    fn arguments(&self) -> Vec<String> {
        raw(self, ARGUMENTS)
    }

    fn before_dash(&self) -> Option<usize> {
        raw(self, BEFORE_DASH).last().and_then(|text| text.parse().ok())
    }
}

fn from_line(matches: &ArgMatches, name: &str) -> bool {
    matches!(matches.try_contains_id(name), Ok(true)) && matches.value_source(name) == Some(ValueSource::CommandLine)
}

fn raw(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.try_get_many::<String>(name).ok().flatten().map(|values| values.cloned().collect()).unwrap_or_default()
}

/// Read a command line.
pub fn parse(command: Command, path: &str, line: &[String]) -> Result<ArgMatches, Failure> {
    let mut walk = Walk { command: &command, canonical: Vec::new(), arguments: Vec::new(), before_dash: None };
    if let Err(text) = walk.all(line) {
        return Err(Failure::Message(format!("{text}\nSee '{path} --help' for usage.")));
    }
    let Walk { mut canonical, arguments, before_dash, .. } = walk;
    if let Some(count) = before_dash {
        canonical.push(format!("--{BEFORE_DASH}={count}"));
    }
    canonical.push("--".to_owned());
    canonical.extend(arguments);
    let command = command
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(Arg::new(EMPTY).long(EMPTY).hide(true).num_args(1).action(ArgAction::Append))
        .arg(Arg::new(BEFORE_DASH).long(BEFORE_DASH).hide(true).num_args(1))
        .arg(Arg::new(ARGUMENTS).num_args(0..).action(ArgAction::Append).hide(true));
    command.try_get_matches_from(canonical).map_err(|error| Failure::Message(error.to_string()))
}

/// Where the word of the command is in a line that may start with flags.
// upstream: spf13/cobra/command.go stripFlags, argsMinusFirstX
pub fn first_word(command: &Command, line: &[String]) -> Option<usize> {
    let mut index = 0;
    while let Some(word) = line.get(index) {
        if word == "--" {
            return None;
        }
        if !word.is_empty() && !word.starts_with('-') {
            return Some(index);
        }
        index += 1;
        if word.len() < 2 {
            continue;
        }
        if word.contains('=') {
            continue;
        }
        let found = match word.strip_prefix("--") {
            Some(long) => find_long(command, long),
            None if word.chars().count() == 2 => word.chars().nth(1).and_then(|short| find_short(command, short)),
            None => continue,
        };
        // Unknown flags are taken to have a value, as cobra does.
        if found.is_none_or(|arg| missing_value(arg).is_none()) && !matches!(word.as_str(), "-h" | "--help") {
            index += 1;
        }
    }
    None
}

struct Walk<'a> {
    command: &'a Command,
    canonical: Vec<String>,
    arguments: Vec<String>,
    before_dash: Option<usize>,
}

impl Walk<'_> {
    fn all(&mut self, line: &[String]) -> Result<(), String> {
        let mut rest = line.iter();
        while let Some(word) = rest.next() {
            if word == "--" {
                self.before_dash = Some(self.arguments.len());
                self.arguments.extend(rest.by_ref().cloned());
            } else if let Some(long) = word.strip_prefix("--") {
                self.long(long, &mut rest)?;
            } else if word.len() > 1 && word.starts_with('-') {
                self.shorts(&word[1..], &mut rest)?;
            } else {
                self.arguments.push(word.clone());
            }
        }
        Ok(())
    }

    fn long<'b>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'b String>) -> Result<(), String> {
        if word.is_empty() || word.starts_with('-') || word.starts_with('=') {
            return Err(format!("bad flag syntax: --{word}"));
        }
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let Some(arg) = find_long(self.command, name) else {
            return Err(format!("unknown flag: --{name}"));
        };
        let value = match (value, missing_value(arg)) {
            (Some(value), _) => value.to_owned(),
            (None, Some(missing)) => missing,
            (None, None) => rest.next().cloned().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
        };
        self.set(arg.clone(), &value)
    }

    fn shorts<'b>(&mut self, word: &str, rest: &mut impl Iterator<Item = &'b String>) -> Result<(), String> {
        let mut left = word;
        while let Some(short) = left.chars().next() {
            let Some(arg) = find_short(self.command, short) else {
                return Err(format!("unknown shorthand flag: {short:?} in -{left}"));
            };
            let after = &left[short.len_utf8()..];
            let (value, remaining) = if after.len() > 1 && after.starts_with('=') {
                (after[1..].to_owned(), "")
            } else if let Some(missing) = missing_value(arg) {
                (missing, after)
            } else if !after.is_empty() {
                (after.to_owned(), "")
            } else {
                (rest.next().cloned().ok_or_else(|| format!("flag needs an argument: {short:?} in -{left}"))?, "")
            };
            self.set(arg.clone(), &value)?;
            left = remaining;
        }
        Ok(())
    }

    fn set(&mut self, arg: Arg, value: &str) -> Result<(), String> {
        let long = arg.get_long().unwrap_or_default();
        let kind = kind(&arg);
        if let Err(why) = check(arg.get_id().as_str(), kind, value) {
            let shown = arg.get_short().map_or_else(|| format!("--{long}"), |short| format!("-{short}, --{long}"));
            return Err(format!("invalid argument {value:?} for {shown:?} flag: {why}"));
        }
        if matches!(kind, "strings" | "mapStringString") {
            // Nothing is an empty list.
            if value.is_empty() {
                self.canonical.push(format!("--{EMPTY}={}", arg.get_id()));
            }
            for part in split_commas(value).into_iter().filter(|_| !value.is_empty()) {
                self.canonical.push(format!("--{long}={part}"));
            }
        } else {
            self.canonical.push(format!("--{long}={value}"));
        }
        Ok(())
    }
}

fn find_long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let name = name.replace('_', "-");
    command.get_arguments().find(|arg| arg.get_long() == Some(name.as_str()))
}

/// The flag that a word of a line names, as far as it is one.
pub fn find<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let word = word.split('=').next().unwrap_or_default();
    match word.strip_prefix("--") {
        Some(long) => find_long(command, long),
        None => word.chars().last().and_then(|short| find_short(command, short)),
    }
}

/// Whether the next word of a line is a flag's value.
pub fn wants_value(arg: &Arg) -> bool {
    missing_value(arg).is_none()
}

fn find_short(command: &Command, short: char) -> Option<&Arg> {
    command.get_arguments().find(|arg| arg.get_short() == Some(short))
}

/// The type of a flag's value.
pub(crate) fn kind(arg: &Arg) -> &'static str {
    described(arg).0
}

/// The value of a flag given without one, when it may be.
fn missing_value(arg: &Arg) -> Option<String> {
    described(arg).1.map(str::to_owned)
}

/// A value name of ours, `TYPE` or `TYPE:MISSING`, taken apart. clap keeps the missing value to itself.
fn described(arg: &Arg) -> (&'static str, Option<&'static str>) {
    let name = arg.get_value_names().and_then(|names| names.first()).map(|name| name.as_str()).unwrap_or_default();
    match name {
        "bool:true" => ("bool", Some("true")),
        "int" => ("int", None),
        "duration" => ("duration", None),
        "strings" => ("strings", None),
        "stringArray" => ("stringArray", None),
        "mapStringString" => ("mapStringString", None),
        "string:unchanged" => ("string", Some("unchanged")),
        "string:background" => ("string", Some("background")),
        "string:strict" => ("string", Some("strict")),
        _ => ("string", None),
    }
}

fn split_commas(value: &str) -> Vec<String> {
    value.split(',').map(str::to_owned).collect()
}

fn check(name: &str, kind: &str, value: &str) -> Result<(), String> {
    match kind {
        "bool" => boolean(value).map(|_| ()).ok_or_else(|| format!("strconv.ParseBool: parsing {value:?}: invalid syntax")),
        "int" => integer(value).map(|_| ()),
        // The flag of another library, which tells less.
        "duration" if name == "log-flush-frequency" => go_duration(value).map(|_| ()).map_err(|_| "parse error".to_owned()),
        "duration" => go_duration(value).map(|_| ()),
        _ if name == "vmodule" && !value.split(',').all(|pair| pair.is_empty() || pair.split_once('=').is_some_and(|(_, level)| integer(level).is_ok())) => {
            Err("syntax error: expect comma-separated list of filename=N".to_owned())
        }
        _ => Ok(()),
    }
}

/// Go's `strconv.ParseBool`.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt`.
pub fn integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    }
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: value out of range"))
}

/// Go's `time.ParseDuration`, in nanoseconds.
pub fn go_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut left) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if left == "0" {
        return Ok(0);
    }
    if left.is_empty() {
        return Err(invalid());
    }
    let mut total = 0f64;
    while !left.is_empty() {
        let end = left.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(left.len());
        let amount: f64 = left[..end].parse().map_err(|_| invalid())?;
        left = &left[end..];
        let end = left.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(left.len());
        let scale = match &left[..end] {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += amount * scale;
        left = &left[end..];
    }
    #[expect(clippy::cast_possible_truncation, reason = "a duration beyond 292 years is cut")]
    Ok(if negative { -total } else { total } as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("get")
            .arg(text("output", "", "").short('o'))
            .arg(switch("all-namespaces", "").short('A'))
            .arg(number("replicas", "1", ""))
            .arg(duration("timeout", "0s", ""))
            .arg(list("label-columns", "").short('L'))
            .arg(array("env", "").short('e'))
            .arg(optional("dry-run", "none", "unchanged", ""))
    }

    fn line(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn lines_mean_what_they_mean_to_pflag() {
        let read = |text: &str| parse(command(), "kubectl get", &line(text)).map(|m| {
            format!(
                "{:?} {} {} {:?} {:?} {} {:?} {:?}",
                m.text("output"), m.on("all-namespaces"), m.number("replicas"), m.texts("label-columns"), m.texts("env"), m.text("dry-run"), m.arguments(), m.before_dash()
            )
        });
        let cases = [
            ("pods", r#""" false 1 [] [] none ["pods"] None"#),
            ("pods -Aojson x", r#""json" true 1 [] [] none ["pods", "x"] None"#),
            ("-o=yaml --all_namespaces=false -A", r#""yaml" true 1 [] [] none [] None"#),
            ("-L a,b -Lc -e x=1,2 --env y", r#""" false 1 ["a", "b", "c"] ["x=1,2", "y"] none [] None"#),
            ("--dry-run pod -o -x -- a --b", r#""-x" false 1 [] [] unchanged ["pod", "a", "--b"] Some(1)"#),
            ("--output= --replicas=-3 - x", r#""" false -3 [] [] none ["-", "x"] None"#),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_in_pflags_words() {
        let cases = [
            ("--nope", "unknown flag: --nope"),
            ("--nope=1", "unknown flag: --nope"),
            ("-Az", "unknown shorthand flag: 'z' in -z"),
            ("--output", "flag needs an argument: --output"),
            ("-Ao", "flag needs an argument: 'o' in -o"),
            ("--replicas=x", "invalid argument \"x\" for \"--replicas\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("--all-namespaces=x", "invalid argument \"x\" for \"-A, --all-namespaces\" flag: strconv.ParseBool: parsing \"x\": invalid syntax"),
            ("--timeout=5", "invalid argument \"5\" for \"--timeout\" flag: time: missing unit in duration \"5\""),
            ("---x", "bad flag syntax: ---x"),
        ];
        for (text, expected) in cases {
            let failure = parse(command(), "kubectl get", &line(text)).unwrap_err();
            assert_eq!(failure.report(), format!("error: {expected}\nSee 'kubectl get --help' for usage."), "{text}");
        }
    }

    #[test]
    fn the_command_is_the_first_word_that_is_no_value() {
        assert_eq!(first_word(&command(), &line("-o json get")), Some(2));
        assert_eq!(first_word(&command(), &line("-A get")), Some(1));
        assert_eq!(first_word(&command(), &line("--output=x get")), Some(1));
    }
}
