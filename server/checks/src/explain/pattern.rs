//! A regular expression as a reader may see it: what it looks for, with dots for what may be anything.

use std::iter::Peekable;
use std::str::Chars;

use super::words::short;

/// One piece of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// These letters.
    Text(String),
    /// A space, or several.
    Space,
    /// Something.
    Any,
    /// Nothing that is seen, as an anchor.
    Nothing,
}

/// The pattern in plain letters: of alternatives the first.
pub(super) fn readable(pattern: &str) -> String {
    // In the text of a condition every backslash is written twice.
    let pattern = pattern.replace(r"\\", r"\");
    let mut chars = pattern.chars().peekable();
    let mut out = String::new();
    for piece in sequence(&mut chars) {
        match piece {
            Piece::Text(text) => out.push_str(&text),
            Piece::Space if !out.ends_with(' ') => out.push(' '),
            Piece::Any if !out.ends_with('…') => out.push('…'),
            Piece::Space | Piece::Any | Piece::Nothing => {}
        }
    }
    short(&out)
}

/// Up to the end or the parenthesis that closes it; of alternatives the first that says something.
fn sequence(chars: &mut Peekable<Chars<'_>>) -> Vec<Piece> {
    let mut alternatives: Vec<Vec<Piece>> = vec![Vec::new()];
    while let Some(c) = chars.next() {
        let mut pieces = match c {
            ')' => break,
            '|' => {
                alternatives.push(Vec::new());
                continue;
            }
            '(' => inner(chars),
            '[' => class(chars),
            '\\' => vec![escaped(chars)],
            '.' => vec![Piece::Any],
            '^' | '$' => vec![Piece::Nothing],
            ' ' => vec![Piece::Space],
            c => vec![Piece::Text(c.to_string())],
        };
        match quantifier(chars) {
            Some(true) if pieces != [Piece::Space] => pieces.clear(),
            Some(_) if pieces.iter().any(|piece| matches!(piece, Piece::Text(_))) => pieces.push(Piece::Any),
            _ => {}
        }
        if let Some(last) = alternatives.last_mut() {
            last.extend(pieces);
        }
    }
    let says = |pieces: &Vec<Piece>| pieces.iter().any(|piece| *piece != Piece::Nothing);
    let first = alternatives.iter().position(says).unwrap_or(0);
    alternatives.swap_remove(first)
}

/// What stands in parentheses; flags are none of the text.
fn inner(chars: &mut Peekable<Chars<'_>>) -> Vec<Piece> {
    if chars.peek() != Some(&'?') {
        return sequence(chars);
    }
    let mut flags = String::new();
    while let Some(c) = chars.next_if(|c| !matches!(c, ':' | ')' | '>')) {
        flags.push(c);
    }
    match chars.next() {
        Some(':' | '>') => sequence(chars),
        _ => Vec::new(),
    }
}

/// A set of letters: itself where it is one letter.
fn class(chars: &mut Peekable<Chars<'_>>) -> Vec<Piece> {
    let mut set = String::new();
    while let Some(c) = chars.next().filter(|c| *c != ']' || set.is_empty()) {
        set.push(c);
        if c == '\\' {
            set.extend(chars.next());
        }
    }
    let one = set.strip_prefix('\\').unwrap_or(&set);
    match one.chars().count() {
        1 if !matches!(set.as_str(), r"\s" | r"\d" | r"\w") => vec![Piece::Text(one.to_owned())],
        _ => vec![Piece::Any],
    }
}

fn escaped(chars: &mut Peekable<Chars<'_>>) -> Piece {
    match chars.next() {
        Some('s' | 't') => Piece::Space,
        Some('d' | 'w' | 'S' | 'D' | 'W') => Piece::Any,
        Some('b' | 'B' | 'A' | 'z') | None => Piece::Nothing,
        Some('n') => Piece::Any,
        Some(letter) => Piece::Text(letter.to_string()),
    }
}

/// How often: whether the piece may be left out (`?`, `*`); `None` when nothing is said.
fn quantifier(chars: &mut Peekable<Chars<'_>>) -> Option<bool> {
    let optional = match chars.peek()? {
        '*' => None,
        '?' => Some(true),
        '+' => Some(false),
        '{' => {
            while chars.next_if(|c| *c != '}').is_some() {}
            Some(false)
        }
        _ => return None,
    };
    chars.next();
    // A lazy one reads the same.
    chars.next_if(|c| *c == '?');
    Some(optional.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_as_what_they_look_for() {
        let cases = [
            (r"replicas:\s*3\b", "replicas: 3"),
            ("replicas: +3", "replicas: 3"),
            ("GET / .*Wget", "GET / …Wget"),
            (r"(?s)dp=\d+.* 200 MISS.*dp=30000", "dp=… 200 MISS…dp=30000"),
            (r"^warn: ToDoList\.Pages$", "warn: ToDoList.Pages"),
            ("(?:yes|no) it is", "yes it is"),
            ("events? made", "event made"),
            ("[0-9a-f]{12}", "…"),
            ("a[.]b", "a.b"),
            ("(?i)read-only", "read-only"),
            (r"a{2} \{x\}", "a… {x}"),
        ];
        for (pattern, text) in cases {
            assert_eq!(readable(pattern), text, "{pattern}");
        }
    }
}
