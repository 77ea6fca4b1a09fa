//! sed: the commands that fit in one line.

use std::{fmt::Write as _, fs, io::Read as _};

use regex::bytes::{Regex, RegexBuilder};

use crate::{applets::Arguments, complain, grep::posix_pattern, sys, text};

/// Which lines a sed command is for.
enum Address {
    Line(usize),
    Last,
    Match(Regex),
    /// Lines after the first of a range.
    More(usize),
}

/// What sed does with a line.
enum Action {
    Substitute { pattern: Regex, with: Vec<u8>, all: bool, nth: usize, print: bool },
    Delete,
    Print,
    Quit,
    Number,
    Append(String),
    Insert(String),
    Change(String),
    Translate(Vec<(char, char)>),
}

struct SedCommand {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    action: Action,
    /// Inside a range: it began at this line.
    began: Option<usize>,
}

/// `sed [-nEi] [-e SCRIPT] [SCRIPT] [FILE]...`
pub(crate) fn sed(words: &[String]) -> i32 {
    let long = [("quiet", 'n'), ("silent", 'n'), ("expression", 'e'), ("regexp-extended", 'E'), ("in-place", 'i')];
    let Some(mut arguments) = Arguments::parse(words, "nErie:", &long) else { return 1 };
    let mut script = arguments.values('e').join("\n");
    if script.is_empty() {
        if arguments.operands.is_empty() {
            complain("sed", "usage: sed [-nEi] SCRIPT [FILE]...");
            return 1;
        }
        script = arguments.operands.remove(0);
    }
    let extended = arguments.has('E') || arguments.has('r');
    let mut commands = match parse_sed(&script, extended) {
        Ok(commands) => commands,
        Err(message) => {
            complain("sed", message);
            return 1;
        }
    };
    let quiet = arguments.has('n');
    if !arguments.has('i') {
        return text::each_input(words, &arguments.operands, |_, mut input| {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes)?;
            sys::write_all(1, &run_sed(&mut commands, &bytes, quiet))
        });
    }
    let operands = arguments.operands.clone();
    text::each_input(words, &operands, |path, mut input| {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        fs::write(path, run_sed(&mut commands, &bytes, quiet))
    })
}

fn parse_sed(script: &str, extended: bool) -> Result<Vec<SedCommand>, String> {
    let mut commands = Vec::new();
    let mut chars = script.chars().peekable();
    loop {
        while chars.next_if(|next| next.is_whitespace() || *next == ';').is_some() {}
        if chars.peek().is_none() {
            return Ok(commands);
        }
        let from = sed_address(&mut chars, extended)?;
        let mut to = None;
        if from.is_some() && chars.next_if_eq(&',').is_some() {
            to = sed_address(&mut chars, extended)?;
        }
        while chars.next_if(|next| next.is_whitespace()).is_some() {}
        let negated = chars.next_if_eq(&'!').is_some();
        let action = match chars.next() {
            Some('s') => sed_substitute(&mut chars, extended)?,
            Some('d') => Action::Delete,
            Some('p') => Action::Print,
            Some('q') => Action::Quit,
            Some('=') => Action::Number,
            Some(letter @ ('a' | 'i' | 'c')) => {
                let text: String = std::iter::from_fn(|| chars.next_if(|next| *next != '\n')).collect();
                let text = text.trim_start().trim_start_matches('\\').trim_start().to_owned();
                match letter {
                    'a' => Action::Append(text),
                    'i' => Action::Insert(text),
                    _ => Action::Change(text),
                }
            }
            Some('y') => {
                let delimiter = chars.next().ok_or("y: missing delimiter")?;
                let (from, to) = (delimited(&mut chars, delimiter)?, delimited(&mut chars, delimiter)?);
                Action::Translate(from.chars().zip(to.chars()).collect())
            }
            Some('#') => {
                while chars.next().is_some_and(|next| next != '\n') {}
                continue;
            }
            other => return Err(format!("unsupported command '{}'", other.unwrap_or(' '))),
        };
        commands.push(SedCommand { from, to, negated, action, began: None });
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn delimited(chars: &mut Chars<'_>, delimiter: char) -> Result<String, String> {
    let mut text = String::new();
    while let Some(next) = chars.next() {
        match next {
            '\\' => match chars.next() {
                Some(escaped) if escaped == delimiter => text.push(escaped),
                Some('n') if delimiter != 'n' => text.push_str("\\n"),
                Some(escaped) => {
                    text.push('\\');
                    text.push(escaped);
                }
                None => return Err("unfinished escape".to_owned()),
            },
            next if next == delimiter => return Ok(text),
            other => text.push(other),
        }
    }
    Err(format!("missing '{delimiter}'"))
}

fn sed_regex(pattern: &str, extended: bool, fold: bool) -> Result<Regex, String> {
    RegexBuilder::new(&posix_pattern(pattern, extended)).case_insensitive(fold).build().map_err(|_| format!("bad regex '{pattern}'"))
}

fn sed_address(chars: &mut Chars<'_>, extended: bool) -> Result<Option<Address>, String> {
    Ok(match chars.peek() {
        Some('$') => {
            chars.next();
            Some(Address::Last)
        }
        Some('/') => {
            chars.next();
            Some(Address::Match(sed_regex(&delimited(chars, '/')?, extended, false)?))
        }
        Some(next @ ('0'..='9' | '+')) => {
            let more = *next == '+';
            if more {
                chars.next();
            }
            let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
            let number = digits.parse().map_err(|_| "bad address".to_owned())?;
            Some(if more { Address::More(number) } else { Address::Line(number) })
        }
        _ => None,
    })
}

fn sed_substitute(chars: &mut Chars<'_>, extended: bool) -> Result<Action, String> {
    let delimiter = chars.next().ok_or("s: missing delimiter")?;
    let pattern = delimited(chars, delimiter)?;
    let with = delimited(chars, delimiter)?;
    let flags: String = std::iter::from_fn(|| chars.next_if(|next| next.is_ascii_alphanumeric())).collect();
    let nth = flags.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(1);
    // `&` and `\1` in sed are `${0}` and `${1}` in the crate.
    let mut template = String::new();
    let mut rest = with.chars();
    while let Some(next) = rest.next() {
        match next {
            '&' => template.push_str("${0}"),
            '$' => template.push_str("$$"),
            '\\' => match rest.next() {
                Some(digit @ '0'..='9') => write!(template, "${{{digit}}}").map_err(|error| error.to_string())?,
                Some('n') => template.push('\n'),
                Some('t') => template.push('\t'),
                Some('$') => template.push_str("$$"),
                Some(other) => template.push(other),
                None => {}
            },
            other => template.push(other),
        }
    }
    let pattern = sed_regex(&pattern, extended, flags.contains(['i', 'I']))?;
    Ok(Action::Substitute { pattern, with: template.into_bytes(), all: flags.contains('g'), nth, print: flags.contains('p') })
}

impl Address {
    fn is(&self, number: usize, last: bool, line: &[u8]) -> bool {
        match self {
            Self::Line(wanted) => *wanted == number,
            Self::Last => last,
            Self::Match(pattern) => pattern.is_match(line),
            Self::More(_) => false,
        }
    }
}

impl SedCommand {
    fn applies(&mut self, number: usize, last: bool, line: &[u8]) -> bool {
        let inside = match (&self.from, &self.to) {
            (None, _) => true,
            (Some(from), None) => from.is(number, last, line),
            (Some(from), Some(to)) => match self.began {
                Some(began) => {
                    let over = match to {
                        Address::Line(end) => number >= *end,
                        Address::More(count) => number >= began + count,
                        other => other.is(number, last, line),
                    };
                    if over {
                        self.began = None;
                    }
                    !matches!(to, Address::Line(end) if number > *end)
                }
                None if from.is(number, last, line) => {
                    let one = matches!(to, Address::Line(end) if *end <= number) || matches!(to, Address::More(0));
                    self.began = (!one).then_some(number);
                    true
                }
                None => false,
            },
        };
        inside != self.negated
    }
}

fn run_sed(commands: &mut [SedCommand], input: &[u8], quiet: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let complete = input.is_empty() || input.ends_with(b"\n");
    let body = input.strip_suffix(b"\n").unwrap_or(input);
    if input.is_empty() {
        return out;
    }
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
    let put = |out: &mut Vec<u8>, line: &[u8]| {
        out.extend_from_slice(line);
        out.push(b'\n');
    };
    for (index, original) in lines.iter().enumerate() {
        let (number, last) = (index + 1, index + 1 == lines.len());
        let mut line = original.to_vec();
        let (mut deleted, mut quit, mut after) = (false, false, Vec::new());
        for command in commands.iter_mut() {
            if !command.applies(number, last, &line) {
                continue;
            }
            match &command.action {
                Action::Substitute { pattern, with, all, nth, print } => {
                    let (new, hit) = substitute(pattern, &line, with, *all, *nth);
                    line = new;
                    if hit && *print {
                        put(&mut out, &line);
                    }
                }
                Action::Delete => {
                    deleted = true;
                    break;
                }
                Action::Print => put(&mut out, &line),
                Action::Quit => {
                    quit = true;
                    break;
                }
                Action::Number => put(&mut out, number.to_string().as_bytes()),
                Action::Append(text) => after.push(text.clone()),
                Action::Insert(text) => put(&mut out, text.as_bytes()),
                Action::Change(text) => {
                    put(&mut out, text.as_bytes());
                    deleted = true;
                    break;
                }
                Action::Translate(pairs) => {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    let changed = text.chars().map(|next| pairs.iter().find(|(from, _)| *from == next).map_or(next, |(_, to)| *to));
                    line = changed.collect::<String>().into_bytes();
                }
            }
        }
        if !deleted && !quiet {
            put(&mut out, &line);
            if last && !complete && after.is_empty() {
                out.pop();
            }
        }
        for text in after {
            put(&mut out, text.as_bytes());
        }
        if quit {
            break;
        }
    }
    out
}

fn substitute(pattern: &Regex, line: &[u8], with: &[u8], all: bool, nth: usize) -> (Vec<u8>, bool) {
    let (mut out, mut end, mut hit) = (Vec::new(), 0, false);
    for (index, captures) in pattern.captures_iter(line).enumerate() {
        if index + 1 < nth || (hit && !all) {
            continue;
        }
        let Some(whole) = captures.get(0) else { continue };
        out.extend_from_slice(&line[end..whole.start()]);
        captures.expand(with, &mut out);
        end = whole.end();
        hit = true;
    }
    out.extend_from_slice(&line[end..]);
    (out, hit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sed_edits_lines() {
        let cases = [
            ("s/a/b/", "aa\n", "ba\n"),
            ("s/a/b/g", "aa\n", "bb\n"),
            ("s/a/b/2", "aaa\n", "aba\n"),
            ("s|\\(x\\)y|\\1-&|", "xy\n", "x-xy\n"),
            ("2d", "1\n2\n3\n", "1\n3\n"),
            ("2,3d", "1\n2\n3\n4\n", "1\n4\n"),
            ("/b/,$d", "a\nb\nc\n", "a\n"),
            ("$!d", "a\nb\n", "b\n"),
            ("1a x", "a\nb\n", "a\nx\nb\n"),
            ("/a/i\\y", "a\n", "y\na\n"),
            ("y/ab/AB/", "abc\n", "ABc\n"),
            ("1q", "a\nb\n", "a\n"),
            ("s/$/!/", "a", "a!"),
            ("2,+1s/^/>/; 1s/1/one/", "1\n2\n3\n4\n", "one\n>2\n>3\n4\n"),
        ];
        for (script, input, wanted) in cases {
            let mut commands = parse_sed(script, false).unwrap();
            assert_eq!(String::from_utf8(run_sed(&mut commands, input.as_bytes(), false)).unwrap(), wanted, "{script}");
        }
    }
}
