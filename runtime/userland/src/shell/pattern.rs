//! Glob patterns, against strings and against the file system.

use std::{fs, path::Path};

/// A pattern's character: quoted ones stand for themselves.
pub(crate) type Mark = (char, bool);

/// True when the pattern has something to expand.
pub(crate) fn is_pattern(pattern: &[Mark]) -> bool {
    pattern.iter().any(|(mark, quoted)| !quoted && "*?[".contains(*mark))
}

/// A pattern from plain text, where a backslash quotes.
pub(crate) fn marks(text: &str) -> Vec<Mark> {
    let mut all = Vec::new();
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next == '\\' {
            all.push((chars.next().unwrap_or('\\'), true));
        } else {
            all.push((next, false));
        }
    }
    all
}

/// True when the whole of `text` matches.
pub(crate) fn matches(pattern: &[Mark], text: &[char]) -> bool {
    let Some(((mark, quoted), rest)) = pattern.split_first() else { return text.is_empty() };
    if *quoted {
        return text.first() == Some(mark) && matches(rest, &text[1..]);
    }
    match mark {
        '*' => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        '?' => !text.is_empty() && matches(rest, &text[1..]),
        '[' => match (class(rest), text.split_first()) {
            (Some((length, test)), Some((first, tail))) => test(*first) && matches(&rest[length..], tail),
            (None, Some(('[', tail))) => matches(rest, tail),
            _ => false,
        },
        _ => text.first() == Some(mark) && matches(rest, &text[1..]),
    }
}

type Test = Box<dyn Fn(char) -> bool>;

/// A bracket expression after `[`: how long it is, and what it accepts.
fn class(rest: &[Mark]) -> Option<(usize, Test)> {
    let negated = matches!(rest.first(), Some(('!' | '^', false)));
    let start = usize::from(negated);
    let close = rest.iter().skip(start + 1).position(|mark| *mark == (']', false))? + start + 1;
    let inside: Vec<char> = rest[start..close].iter().map(|(mark, _)| *mark).collect();
    let text: String = inside.iter().collect();
    if let Some(name) = text.strip_prefix("[:").and_then(|text| text.strip_suffix(':')) {
        let name = name.to_owned();
        let after = usize::from(rest.get(close + 1) == Some(&(']', false)));
        return Some((close + 1 + after, Box::new(move |tested| named(&name, tested) != negated)));
    }
    let test = move |tested: char| {
        let mut index = 0;
        let mut found = false;
        while index < inside.len() {
            if inside.get(index + 1) == Some(&'-') && index + 2 < inside.len() {
                found |= (inside[index]..=inside[index + 2]).contains(&tested);
                index += 3;
            } else {
                found |= inside[index] == tested;
                index += 1;
            }
        }
        found != negated
    };
    Some((close + 1, Box::new(test)))
}

/// A POSIX character class by name.
pub(crate) fn named(name: &str, tested: char) -> bool {
    match name {
        "alpha" => tested.is_alphabetic(),
        "digit" => tested.is_ascii_digit(),
        "alnum" => tested.is_alphanumeric(),
        "space" => tested.is_whitespace(),
        "upper" => tested.is_uppercase(),
        "lower" => tested.is_lowercase(),
        "punct" => tested.is_ascii_punctuation(),
        "xdigit" => tested.is_ascii_hexdigit(),
        _ => false,
    }
}

/// Files that match, sorted; empty when there are none.
pub(crate) fn files(pattern: &[Mark]) -> Vec<String> {
    let absolute = pattern.first().is_some_and(|(mark, _)| *mark == '/');
    let parts: Vec<&[Mark]> = pattern.split(|(mark, _)| *mark == '/').filter(|part| !part.is_empty()).collect();
    let mut found = vec![if absolute { "/".to_owned() } else { String::new() }];
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        let mut next = Vec::new();
        for base in &found {
            let plain: String = part.iter().map(|(mark, _)| *mark).collect();
            if !is_pattern(part) {
                let path = format!("{base}{plain}");
                if fs::symlink_metadata(&path).is_ok() {
                    next.push(if last { path } else { format!("{path}/") });
                }
                continue;
            }
            let directory = if base.is_empty() { "." } else { base };
            let mut names: Vec<String> = fs::read_dir(directory)
                .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
                .unwrap_or_default();
            names.sort();
            for name in names {
                let hidden = name.starts_with('.') && part.first().is_none_or(|(mark, _)| *mark != '.');
                let chars: Vec<char> = name.chars().collect();
                if hidden || !matches(part, &chars) {
                    continue;
                }
                let path = format!("{base}{name}");
                if last {
                    next.push(path);
                } else if Path::new(&path).is_dir() {
                    next.push(format!("{path}/"));
                }
            }
        }
        found = next;
    }
    found.retain(|path| !path.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_strings() {
        let cases = [
            ("*", "", true),
            ("*.txt", "a.txt", true),
            ("*.txt", "a.txt2", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("\\*", "a", false),
            ("\\*", "*", true),
            ("[[:digit:]]*", "7up", true),
            ("[", "[", true),
        ];
        for (pattern, text, wanted) in cases {
            let text: Vec<char> = text.chars().collect();
            assert_eq!(matches(&marks(pattern), &text), wanted, "{pattern} {text:?}");
        }
    }
}
