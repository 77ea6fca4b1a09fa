//! grep, and POSIX patterns in the syntax of the `regex` crate.

use std::{
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
    let Ok(pattern) = RegexBuilder::new(&whole).case_insensitive(arguments.has('i')).build() else {
        complain(&words[0], format!("bad regex '{}'", patterns.join("|")));
        return 2;
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
}
