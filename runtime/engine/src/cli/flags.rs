//! Reading a command line as pflag reads it: `-aq`, `-n5`, `--all=false`, `--filter a=b`, `--`, flags behind arguments.

use std::collections::BTreeMap;

/// A flag.
#[derive(Debug)]
pub(super) struct Flag {
    /// Without the dashes.
    pub(super) long: &'static str,
    /// One letter, or nothing.
    pub(super) short: Option<char>,
    /// How the help names its value; `None` is a switch.
    pub(super) value: Option<&'static str>,
    /// What it is for.
    pub(super) help: &'static str,
}

/// A switch.
pub(super) const fn switch(long: &'static str, short: Option<char>, help: &'static str) -> Flag {
    Flag { long, short, value: None, help }
}

/// A flag with a value.
pub(super) const fn valued(long: &'static str, short: Option<char>, value: &'static str, help: &'static str) -> Flag {
    Flag { long, short, value: Some(value), help }
}

/// A command line taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    values: BTreeMap<&'static str, Vec<String>>,
    /// What is no flag.
    pub(super) positional: Vec<String>,
}

impl Parsed {
    /// Whether a switch is on.
    pub(super) fn flag(&self, long: &str) -> bool {
        self.last(long) == Some("true")
    }

    /// The last value given.
    pub(super) fn last(&self, long: &str) -> Option<&str> {
        self.values.get(long).and_then(|values| values.last()).map(String::as_str)
    }

    /// All values given.
    pub(super) fn all(&self, long: &str) -> &[String] {
        self.values.get(long).map_or(&[], Vec::as_slice)
    }
}

const HELP: Flag = switch("help", Some('h'), "Print usage");

/// Take a command line apart.
pub(super) fn parse(flags: &'static [Flag], args: &[String]) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == "--" {
            parsed.positional.extend(rest.cloned());
            break;
        }
        if let Some(long) = arg.strip_prefix("--") {
            let (name, attached) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let flag = flags.iter().chain([&HELP]).find(|flag| flag.long == name).ok_or_else(|| format!("unknown flag: --{name}"))?;
            let value = match (flag.value, attached) {
                (Some(_), None) => rest.next().cloned().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
                (None, None) => "true".to_owned(),
                (None, Some(value)) => switch_value(&value).ok_or_else(|| {
                    format!("invalid argument {value:?} for \"--{name}\" flag: strconv.ParseBool: parsing {value:?}: invalid syntax")
                })?,
                (Some(_), Some(value)) => value,
            };
            parsed.values.entry(flag.long).or_default().push(value);
        } else if let Some(cluster) = arg.strip_prefix('-').filter(|cluster| !cluster.is_empty()) {
            short_flags(flags, cluster, &mut rest, &mut parsed)?;
        } else {
            parsed.positional.push(arg.clone());
        }
    }
    Ok(parsed)
}

fn short_flags(flags: &'static [Flag], cluster: &str, rest: &mut std::slice::Iter<'_, String>, parsed: &mut Parsed) -> Result<(), String> {
    let mut letters = cluster.char_indices();
    while let Some((at, letter)) = letters.next() {
        let flag = flags.iter().chain([&HELP]).find(|flag| flag.short == Some(letter));
        let flag = flag.ok_or_else(|| format!("unknown shorthand flag: '{letter}' in -{cluster}"))?;
        let behind = &cluster[at + letter.len_utf8()..];
        let (value, done) = match (flag.value, behind.strip_prefix('=')) {
            (None, None) => ("true".to_owned(), false),
            (None, Some(value)) => (switch_value(value).ok_or_else(|| format!("invalid argument {value:?} for \"-{letter}, --{}\" flag", flag.long))?, true),
            (Some(_), Some(value)) => (value.to_owned(), true),
            (Some(_), None) if !behind.is_empty() => (behind.to_owned(), true),
            (Some(_), None) => (rest.next().cloned().ok_or_else(|| format!("flag needs an argument: '{letter}' in -{cluster}"))?, true),
        };
        parsed.values.entry(flag.long).or_default().push(value);
        if done {
            break;
        }
    }
    Ok(())
}

fn switch_value(text: &str) -> Option<String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some("true".to_owned()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some("false".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: [Flag; 3] = [switch("all", Some('a'), ""), switch("quiet", Some('q'), ""), valued("filter", Some('f'), "filter", "")];

    fn read(line: &str) -> Result<(bool, bool, Vec<String>, Vec<String>), String> {
        static LEAKED: &[Flag] = &FLAGS;
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(LEAKED, &args).map(|parsed| (parsed.flag("all"), parsed.flag("quiet"), parsed.all("filter").to_vec(), parsed.positional))
    }

    #[test]
    fn command_lines_are_read_as_pflag_reads_them() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let cases = [
            ("-aq x", (true, true, texts(&[]), texts(&["x"]))),
            ("x --all -- -q", (true, false, texts(&[]), texts(&["x", "-q"]))),
            ("-qf a=b --filter=c --filter d=e=f", (false, true, texts(&["a=b", "c", "d=e=f"]), texts(&[]))),
            ("-fa=b --all=false", (false, false, texts(&["a=b"]), texts(&[]))),
            ("-f=a -", (false, false, texts(&["a"]), texts(&["-"]))),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line).unwrap(), expected, "{line}");
        }
        let wrong = [
            ("--nope", "unknown flag: --nope"),
            ("-az", "unknown shorthand flag: 'z' in -az"),
            ("--filter", "flag needs an argument: --filter"),
            ("-f", "flag needs an argument: 'f' in -f"),
        ];
        for (line, message) in wrong {
            assert_eq!(read(line).unwrap_err(), message);
        }
    }
}
