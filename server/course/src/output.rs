//! Does what a command printed fit what the lesson shows?
//!
//! The page shows a real sample. Some words of it differ from run to run (ages, addresses, generated names), and they fit
//! any other word of the same shape; a line `...` fits any number of lines, `...` in a line any text.

use serde::Serialize;

/// How output is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchRule {
    /// Line by line in order, words by shape, white space by being there.
    #[default]
    Lines,
    /// As lines, in any order.
    AnyOrder,
    /// Every line shown is somewhere in the output, as a line or a part of one, in this order.
    Contains,
    /// Byte for byte, but for white space at the ends of lines and at the end.
    Exact,
    /// It is only an example; nothing is compared.
    Sample,
}

impl MatchRule {
    /// Every rule, with the name authors write.
    pub const ALL: [(&'static str, MatchRule); 5] = [
        ("lines", MatchRule::Lines),
        ("any-order", MatchRule::AnyOrder),
        ("contains", MatchRule::Contains),
        ("exact", MatchRule::Exact),
        ("sample", MatchRule::Sample),
    ];
}

/// Why output does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the output shown, {want:?}, {}", .got.as_ref().map_or("is missing".to_owned(), |got| format!("was {got:?}")))]
pub struct Mismatch {
    /// Line of what is shown, from 1.
    pub line: usize,
    /// That line.
    pub want: String,
    /// What was there instead; `None` when the output ended.
    pub got: Option<String>,
}

/// Compare what a lesson shows with what was printed.
///
/// # Errors
/// The first line that does not fit.
pub fn compare(rule: MatchRule, shown: &str, printed: &str) -> Result<(), Mismatch> {
    let want: Vec<&str> = trimmed(shown);
    let got: Vec<&str> = trimmed(printed);
    match rule {
        MatchRule::Sample => Ok(()),
        MatchRule::Exact => in_order(&want, &got, |w, g| w == g),
        MatchRule::Lines => in_order(&want, &got, line_fits),
        MatchRule::Contains => contains(&want, &got),
        MatchRule::AnyOrder => any_order(&want, &got),
    }
}

fn trimmed(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    while lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines
}

fn mismatch(want: &[&str], line: usize, got: Option<&&str>) -> Mismatch {
    let shown = want.get(line).map_or("the end", |line| *line);
    Mismatch { line: line + 1, want: shown.to_owned(), got: got.map(|line| (*line).to_owned()) }
}

/// Lines in order; `...` skips as few lines as it can, and gives back when what follows does not fit.
fn in_order(want: &[&str], got: &[&str], fits: fn(&str, &str) -> bool) -> Result<(), Mismatch> {
    let (mut w, mut g) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    let mut deepest: Option<(usize, usize)> = None;
    loop {
        if want.get(w) == Some(&"...") {
            w += 1;
            retry = Some((w, g));
            continue;
        }
        match (want.get(w), got.get(g)) {
            (None, None) => return Ok(()),
            (Some(line), Some(other)) if fits(line, other) => {
                w += 1;
                g += 1;
            }
            (wanted, seen) => {
                if deepest.is_none_or(|(line, _)| w >= line) {
                    deepest = Some((w, g));
                }
                match retry {
                    Some((after, from)) if from < got.len() && (seen.is_some() || wanted.is_some()) => {
                        retry = Some((after, from + 1));
                        (w, g) = (after, from + 1);
                    }
                    _ => {
                        let (line, at) = deepest.unwrap_or((w, g));
                        return Err(mismatch(want, line, got.get(at)));
                    }
                }
            }
        }
    }
}

fn contains(want: &[&str], got: &[&str]) -> Result<(), Mismatch> {
    let mut rest = got.iter();
    for (index, line) in want.iter().enumerate().filter(|(_, line)| **line != "...") {
        if !rest.any(|other| line_fits(line, other) || is_part(line, other)) {
            return Err(mismatch(want, index, None));
        }
    }
    Ok(())
}

fn any_order(want: &[&str], got: &[&str]) -> Result<(), Mismatch> {
    let mut left: Vec<&str> = got.to_vec();
    for (index, line) in want.iter().enumerate().filter(|(_, line)| **line != "...") {
        // An equal line first, so that a line that only fits does not take its place.
        let at = left.iter().position(|other| other == line).or_else(|| left.iter().position(|other| line_fits(line, other)));
        match at {
            Some(at) => left.remove(at),
            None => return Err(mismatch(want, index, None)),
        };
    }
    match left.first() {
        Some(extra) if !want.contains(&"...") => Err(mismatch(want, want.len(), Some(extra))),
        _ => Ok(()),
    }
}

/// Whether a line shown fits a line printed.
fn line_fits(want: &str, got: &str) -> bool {
    if want.contains("...") {
        let pieces: Vec<String> = want.split("...").map(squeeze).collect();
        let got = squeeze(got);
        return pieces_fit_by_words(&pieces, &got) || pieces_fit_by_letters(&pieces, &got);
    }
    let (want, got) = (words(want), words(got));
    want.len() == got.len() && all_fit(&want, &got)
}

/// Whether a line shown is a part of a line printed: letter by letter, or whole words by shape.
fn is_part(want: &str, got: &str) -> bool {
    let (wanted, seen) = (words(want), words(got));
    squeeze(got).contains(&squeeze(want)) || (!wanted.is_empty() && seen.windows(wanted.len()).any(|part| all_fit(&wanted, part)))
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn all_fit(want: &[&str], got: &[&str]) -> bool {
    want.iter().zip(got).all(|(w, g)| word_fits(w, g))
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whole words on all sides of the gaps, by shape: the first at the beginning, the last at the end.
fn pieces_fit_by_words(pieces: &[String], got: &str) -> bool {
    let (got, last) = (words(got), pieces.len() - 1);
    let mut at = 0;
    for (index, piece) in pieces.iter().enumerate() {
        let piece = words(piece);
        let rest = got.get(at..).unwrap_or_default();
        let fits = |start: usize| rest.get(start..start + piece.len()).is_some_and(|part| all_fit(&piece, part));
        let found = if index == 0 {
            Some(0).filter(|start| fits(*start))
        } else if index == last {
            rest.len().checked_sub(piece.len()).filter(|start| fits(*start))
        } else {
            (0..=rest.len()).find(|start| fits(*start))
        };
        match found {
            Some(start) => at += start + piece.len(),
            None => return false,
        }
    }
    true
}

/// The same letter by letter, where a gap is inside of a word.
fn pieces_fit_by_letters(pieces: &[String], got: &str) -> bool {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return false };
    let Some(mut rest) = got.strip_prefix(first.as_str()) else { return false };
    for piece in &pieces[1..pieces.len() - 1] {
        match rest.split_once(piece.as_str()) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last.as_str())
}

/// Whether a word shown fits a word printed: the same, or the same shape where the value is never the same twice.
fn word_fits(want: &str, got: &str) -> bool {
    if want == got {
        return true;
    }
    let (want, got) = (want.trim_matches(['"', '\'', ',', ';']), got.trim_matches(['"', '\'', ',', ';']));
    let shapes: [fn(&str) -> bool; 5] = [is_age, is_address, is_uuid, is_hex_id, is_time];
    want == got || shapes.iter().any(|shape| shape(want) && shape(got)) || same_generated_name(want, got)
}

/// `5s`, `2m3s`, `3d4h`, also as kubectl's events have it: `(x2` is not.
fn is_age(word: &str) -> bool {
    let mut digits = 0;
    let mut units = 0;
    for c in word.chars() {
        match c {
            '0'..='9' => digits += 1,
            's' | 'm' | 'h' | 'd' | 'y' if digits > 0 => {
                digits = 0;
                units += 1;
            }
            _ => return false,
        }
    }
    units > 0 && digits == 0
}

fn is_address(word: &str) -> bool {
    let (host, port) = word.split_once(':').unwrap_or((word, "0"));
    let host = host.split_once('/').map_or(host, |(host, _)| host);
    host.parse::<std::net::Ipv4Addr>().is_ok() && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_uuid(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let lengths = [8, 4, 4, 4, 12];
    parts.len() == 5 && parts.iter().zip(lengths).all(|(part, n)| part.len() == n && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// A container id or digest, with or without what stands before it.
fn is_hex_id(word: &str) -> bool {
    let bare = word.rsplit(['/', ':']).next().unwrap_or_default();
    bare.len() >= 12 && bare.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_time(word: &str) -> bool {
    word.len() >= 19 && word.is_char_boundary(10) && word[..10].split('-').count() == 3 && word.as_bytes().get(10) == Some(&b'T')
}

/// `pod/web-7d9c5b8f4-x2x9z` fits `pod/web-5c6fb9d8b7-q8k2d`: what stands before the generated parts is the same.
fn same_generated_name(want: &str, got: &str) -> bool {
    match (base_of_generated(want), base_of_generated(got)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The name without its generated parts: five characters, and before them a template hash if there is one.
fn base_of_generated(word: &str) -> Option<(&str, bool)> {
    // upstream: staging/src/k8s.io/apimachinery/pkg/util/rand (alphanums): no vowels, no 0, 1, 3
    let safe = |part: &str| part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
    let is_hash = |part: &str| (6..=10).contains(&part.len()) && safe(part) && part.bytes().any(|b| b.is_ascii_digit());
    let (rest, last) = word.rsplit_once('-')?;
    if is_hash(last) {
        return Some((rest, false));
    }
    if last.len() != 5 || !safe(last) {
        return None;
    }
    match rest.rsplit_once('-') {
        Some((base, hash)) if is_hash(hash) => Some((base, true)),
        _ => Some((rest, false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_fits_what_is_shown() {
        use MatchRule::{AnyOrder, Contains, Exact, Lines, Sample};
        let get = "NAME    READY   AGE\nweb-7d9c5b8f4-x2x9z  1/1  5s\n";
        let cases: &[(MatchRule, &str, &str, bool)] = &[
            (Lines, get, "NAME READY AGE\nweb-5c6fb9d8b7-q8k2d   1/1     2m3s", true),
            (Lines, get, "NAME READY AGE\nweb-5c6fb9d8b7-q8k2d   0/1     2m3s", false),
            (Lines, get, "NAME READY AGE\napi-5c6fb9d8b7-q8k2d   1/1     2m3s", false),
            (Lines, get, "NAME READY AGE", false),
            (Lines, "NAME", "NAME\nmore", false),
            (Lines, "first\n...\nlast", "first\na\nlast\nb\nlast", true),
            (Lines, "first\n...\nlast", "first\nlast", true),
            (Lines, "first\n...\nlast", "first\nlast\nx", false),
            (Lines, "...", "", true),
            (Lines, "a\n...", "a\nb", true),
            (Lines, "id docker://0123456789ab", "id containerd://ba9876543210", true),
            (Lines, "ip 10.244.1.3", "ip 10.244.2.17", true),
            (Lines, "created ... ago", "created 3 s ago", true),
            (Lines, "v1.2", "v1.3", false),
            (AnyOrder, "b\na", "a\nb", true),
            (AnyOrder, "a\na", "a\nb", false),
            (AnyOrder, "a", "a\nb", false),
            (AnyOrder, "a\n...", "b\na", true),
            (Lines, "a ... c ... e", "a b c d e", true),
            (Lines, "a ... c ... e", "a b d e", false),
            (Lines, "a=... c=...", "a=1 c=2", true),
            (Lines, "...", "x", true),
            (Contains, "b\nd", "a\nb\nc\nd", true),
            (Contains, "\"GET / HTTP/1.1\" 200", "127.0.0.1 - \"GET / HTTP/1.1\" 200 353", true),
            (Contains, "web-5c6fb9d8b7-q8k2d 1/1", "pod/x\nNAME web-7d9c5b8f4-x2x9z 1/1 5s", true),
            (Contains, "<html", "99%<html>", true),
            (Contains, "0/1", "a 1/1", false),
            (Contains, "d\nb", "a\nb\nc\nd", false),
            (Exact, "a  b", "a b", false),
            (Exact, "a b\n\n", "a b", true),
            (Sample, "x", "y", true),
        ];
        for (rule, shown, printed, fits) in cases {
            assert_eq!(compare(*rule, shown, printed).is_ok(), *fits, "{rule:?} {shown:?} {printed:?}");
        }
    }

    #[test]
    fn the_line_that_differs_is_named() {
        let error = compare(MatchRule::Lines, "a\nb\nc", "a\nx\nc").unwrap_err();
        assert_eq!(error.to_string(), r#"line 2 of the output shown, "b", was "x""#);
        let error = compare(MatchRule::Lines, "a\nb", "a").unwrap_err();
        assert_eq!(error.to_string(), r#"line 2 of the output shown, "b", is missing"#);
    }
}
