//! grep and sed, and what they share: POSIX patterns in the syntax of the `regex` crate.

use std::{
    fmt::Write as _,
    fs,
    io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _},
    path::Path,
};

use regex::bytes::{Regex, RegexBuilder};

use crate::{applets::Arguments, complain, sys, text};

/// A POSIX pattern as the `regex` crate wants it. `extended`: as for `grep -E`.
pub(crate) fn posix_pattern(pattern: &str, extended: bool) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars[at];
        at += 1;
        match next {
            '[' => at = bracket(&chars, at, &mut out),
            '\\' => {
                let Some(escaped) = chars.get(at).copied() else {
                    out.push_str("\\\\");
                    break;
                };
                at += 1;
                match escaped {
                    '(' | ')' | '{' | '}' | '|' | '+' | '?' if !extended => out.push(escaped),
                    '<' => out.push_str("\\b{start}"),
                    '>' => out.push_str("\\b{end}"),
                    'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'n' | 't' => {
                        out.push('\\');
                        out.push(escaped);
                    }
                    other if other.is_ascii_alphanumeric() => out.push(other),
                    other => out.push_str(&regex::escape(&other.to_string())),
                }
            }
            '(' | ')' | '{' | '}' | '|' | '+' | '?' if !extended => {
                out.push('\\');
                out.push(next);
            }
            // A star with nothing before it stands for itself.
            '*' if out.is_empty() || out.ends_with('^') || (!extended && out.ends_with('(') && !out.ends_with("\\(")) => out.push_str("\\*"),
            '^' if !extended && at > 1 && !out.ends_with(['(', '|']) => out.push_str("\\^"),
            '$' if !extended && at < chars.len() && !matches!(chars[at..], ['\\', ')' | '|', ..]) => out.push_str("\\$"),
            other => out.push(other),
        }
    }
    out
}

/// Copies a bracket expression; in POSIX nothing in it is escaped.
fn bracket(chars: &[char], start: usize, out: &mut String) -> usize {
    let mut at = start;
    out.push('[');
    if chars.get(at) == Some(&'^') {
        out.push('^');
        at += 1;
    }
    let first = at;
    while let Some(next) = chars.get(at).copied() {
        if next == ']' && at > first {
            out.push(']');
            return at + 1;
        }
        if next == '[' && chars.get(at + 1) == Some(&':') {
            let end = (at + 2..chars.len()).find(|index| chars[*index] == ':' && chars.get(index + 1) == Some(&']'));
            if let Some(end) = end {
                out.extend(&chars[at..end + 2]);
                at = end + 2;
                continue;
            }
        }
        if matches!(next, '\\' | '[' | ']' | '&' | '~') {
            out.push('\\');
        }
        out.push(next);
        at += 1;
    }
    at
}

const LONG: &[(&str, char)] = &[
    ("ignore-case", 'i'), ("invert-match", 'v'), ("line-number", 'n'), ("count", 'c'), ("files-with-matches", 'l'), ("only-matching", 'o'),
    ("quiet", 'q'), ("silent", 'q'), ("extended-regexp", 'E'), ("fixed-strings", 'F'), ("word-regexp", 'w'), ("line-regexp", 'x'),
    ("recursive", 'r'), ("no-filename", 'h'), ("with-filename", 'H'), ("after-context", 'A'), ("before-context", 'B'), ("context", 'C'),
    ("regexp", 'e'), ("max-count", 'm'), ("color", 'K'), ("colour", 'K'), ("no-messages", 's'),
];

/// How matches are shown.
struct Grep {
    pattern: Regex,
    arguments: Arguments,
    names: bool,
    colored: bool,
    before: usize,
    after: usize,
    limit: usize,
}

/// `grep [-EFivwxnclLoqshHrABCem] PATTERN [FILE]...`
pub(crate) fn grep(words: &[String]) -> i32 {
    let Some(mut arguments) = Arguments::parse(words, "EFGPivwxnclLoqshHrRA:B:C:e:m:aKIu", LONG) else { return 2 };
    let mut patterns: Vec<String> = arguments.values('e').into_iter().map(str::to_owned).collect();
    if patterns.is_empty() {
        if arguments.operands.is_empty() {
            complain(&words[0], "usage: grep [-EFivnclorqw] PATTERN [FILE]...");
            return 2;
        }
        patterns.push(arguments.operands.remove(0));
    }
    let extended = arguments.has('E') || arguments.has('P') || crate::base(&words[0]) == "egrep";
    let fixed = arguments.has('F') || crate::base(&words[0]) == "fgrep";
    let alternatives: Vec<String> = patterns
        .iter()
        .flat_map(|pattern| pattern.split('\n'))
        .map(|pattern| if fixed { regex::escape(pattern) } else if arguments.has('P') { pattern.to_owned() } else { posix_pattern(pattern, extended) })
        .map(|pattern| format!("(?:{pattern})"))
        .collect();
    let mut whole = alternatives.join("|");
    if arguments.has('x') {
        whole = format!("^(?:{whole})$");
    } else if arguments.has('w') {
        whole = format!("\\b(?:{whole})\\b");
    }
    let pattern = match RegexBuilder::new(&whole).case_insensitive(arguments.has('i')).build() {
        Ok(pattern) => pattern,
        Err(_) => {
            complain(&words[0], format!("bad regex '{}'", patterns.join("|")));
            return 2;
        }
    };
    let recursive = arguments.has('r') || arguments.has('R');
    if recursive {
        if arguments.operands.is_empty() {
            arguments.operands.push(".".to_owned());
        }
        arguments.operands = arguments.operands.iter().flat_map(|path| files_below(Path::new(path))).collect();
    }
    let number = |letter: char| arguments.value(letter).and_then(|text| text.parse().ok());
    let context = number('C').unwrap_or(0);
    let grep = Grep {
        pattern,
        names: !arguments.has('h') && (arguments.has('H') || recursive || arguments.operands.len() > 1),
        colored: sys::is_terminal(1),
        before: number('B').unwrap_or(context),
        after: number('A').unwrap_or(context),
        limit: number('m').unwrap_or(usize::MAX),
        arguments,
    };
    let mut found = false;
    let operands = grep.arguments.operands.clone();
    let outcome = text::each_input(words, &operands, |path, input| {
        found |= grep.file(path, input)?;
        Ok(())
    });
    match (found, outcome) {
        (true, 0) => 0,
        (true, _) if grep.arguments.has('q') => 0,
        (_, 0) => 1,
        _ => 2,
    }
}

fn files_below(path: &Path) -> Vec<String> {
    if !path.is_dir() {
        return vec![path.to_string_lossy().into_owned()];
    }
    let mut entries: Vec<_> = fs::read_dir(path).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default();
    entries.sort();
    entries.iter().filter(|path| !path.is_symlink()).flat_map(|path| files_below(path)).collect()
}

impl Grep {
    /// Looks through one file; true when something matched.
    fn file(&self, path: &str, input: Box<dyn Read>) -> io::Result<bool> {
        let arguments = &self.arguments;
        let mut out = BufWriter::new(io::stdout().lock());
        let name = if path == "-" { "(standard input)" } else { path };
        let (mut count, mut owed, mut shown) = (0, 0, 0);
        let mut earlier: Vec<(usize, Vec<u8>)> = Vec::new();
        let streaming = path == "-";
        for (index, line) in BufReader::new(input).split(b'\n').enumerate() {
            let line = line?;
            let number = index + 1;
            if self.pattern.is_match(&line) == arguments.has('v') {
                if owed > 0 {
                    owed -= 1;
                    shown = number;
                    self.show(&mut out, name, number, &line, '-')?;
                } else if self.before > 0 {
                    earlier.push((number, line));
                    if earlier.len() > self.before {
                        earlier.remove(0);
                    }
                }
                continue;
            }
            count += 1;
            if arguments.has('q') {
                return Ok(true);
            }
            if !(arguments.has('c') || arguments.has('l') || arguments.has('L')) {
                let first = earlier.first().map_or(number, |(number, _)| *number);
                if (self.before > 0 || self.after > 0) && shown > 0 && first > shown + 1 {
                    writeln!(out, "--")?;
                }
                for (number, line) in earlier.drain(..) {
                    self.show(&mut out, name, number, &line, '-')?;
                }
                self.show(&mut out, name, number, &line, ':')?;
                (owed, shown) = (self.after, number);
                if streaming {
                    // A log that is followed is to be seen as it comes.
                    out.flush()?;
                }
            }
            if count >= self.limit || arguments.has('l') {
                break;
            }
        }
        if arguments.has('c') {
            if self.names { writeln!(out, "{name}:{count}")? } else { writeln!(out, "{count}")? }
        } else if (arguments.has('l') && count > 0) || (arguments.has('L') && count == 0) {
            writeln!(out, "{name}")?;
        }
        out.flush()?;
        Ok(count > 0)
    }

    fn show(&self, out: &mut impl io::Write, name: &str, number: usize, line: &[u8], mark: char) -> io::Result<()> {
        let mut head = String::new();
        if self.names {
            head.push_str(&if self.colored { format!("\x1b[35m{name}\x1b[36m{mark}\x1b[0m") } else { format!("{name}{mark}") });
        }
        if self.arguments.has('n') {
            head.push_str(&if self.colored { format!("\x1b[32m{number}\x1b[36m{mark}\x1b[0m") } else { format!("{number}{mark}") });
        }
        let paint = |hit: &[u8]| if self.colored { [b"\x1b[1;31m", hit, b"\x1b[0m"].concat() } else { hit.to_vec() };
        if self.arguments.has('o') && !self.arguments.has('v') {
            for hit in self.pattern.find_iter(line).filter(|hit| !hit.is_empty()) {
                out.write_all(head.as_bytes())?;
                out.write_all(&paint(hit.as_bytes()))?;
                out.write_all(b"\n")?;
            }
            return Ok(());
        }
        out.write_all(head.as_bytes())?;
        if self.colored && mark == ':' && !self.arguments.has('v') {
            out.write_all(&self.pattern.replace_all(line, |captures: &regex::bytes::Captures<'_>| if captures[0].is_empty() { Vec::new() } else { paint(&captures[0]) }))?;
        } else {
            out.write_all(line)?;
        }
        out.write_all(b"\n")
    }
}

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
    fn basic_and_extended_patterns_differ_in_backslashes() {
        let cases = [
            ("a+b", false, "a\\+b"),
            ("a\\+b", false, "a+b"),
            ("\\(x\\)", false, "(x)"),
            ("a+|b", true, "a+|b"),
            ("^[^*]", false, "^[^*]"),
            ("[]x[:digit:]\\]", false, "[\\]x[:digit:]\\\\]"),
            ("*a", false, "\\*a"),
            ("a^b$c$", false, "a\\^b\\$c$"),
            ("\\<w\\>", false, "\\b{start}w\\b{end}"),
            ("1.2", false, "1.2"),
        ];
        for (pattern, extended, wanted) in cases {
            assert_eq!(posix_pattern(pattern, extended), wanted, "{pattern}");
        }
    }

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
