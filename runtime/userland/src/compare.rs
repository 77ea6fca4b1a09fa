//! cmp and diff: what is different between two files.

use std::{io::Read as _, os::unix::fs::MetadataExt as _};

use crate::{applets::Arguments, complain, sys, text};

/// `cmp [-s] ONE TWO`
pub(crate) fn cmp(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "s", &[]) else { return 2 };
    let [one, two] = arguments.operands.as_slice() else {
        complain("cmp", "usage: cmp [-s] ONE TWO");
        return 2;
    };
    let (Ok(left), Ok(right)) = (std::fs::read(one), std::fs::read(two)) else {
        complain("cmp", format!("can't open '{one}' or '{two}'"));
        return 2;
    };
    if left == right {
        return 0;
    }
    if !arguments.has('s') {
        match left.iter().zip(&right).position(|(left, right)| left != right) {
            Some(at) => {
                let line = left[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                println!("{one} {two} differ: char {}, line {line}", at + 1);
            }
            None => eprintln!("cmp: EOF on {}", if left.len() < right.len() { one } else { two }),
        }
    }
    1
}

/// One line of a comparison.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Step<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// `diff [-uqN] ONE TWO`: the unified form.
pub(crate) fn diff(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "uqNrU:bwa", &[("unified", 'u'), ("brief", 'q')]) else { return 2 };
    let [one, two] = arguments.operands.as_slice() else {
        complain("diff", "usage: diff [-uq] ONE TWO");
        return 2;
    };
    let read = |path: &str| {
        let mut text = String::new();
        text::open(path).and_then(|mut input| input.read_to_string(&mut text)).map(|_| text)
    };
    let missing = |path: &String| std::fs::metadata(path).is_err() && arguments.has('N');
    let load = |path: &String| if missing(path) { Ok(String::new()) } else { read(path) };
    let (left, right) = match (load(one), load(two)) {
        (Ok(left), Ok(right)) => (left, right),
        (Err(error), _) | (_, Err(error)) => {
            complain("diff", format!("can't compare '{one}' and '{two}': {}", sys::reason(&error)));
            return 2;
        }
    };
    if left == right {
        return 0;
    }
    if arguments.has('q') {
        println!("Files {one} and {two} differ");
        return 1;
    }
    let steps = compare(&left.lines().collect::<Vec<_>>(), &right.lines().collect::<Vec<_>>());
    let context = arguments.value('U').and_then(|text| text.parse().ok()).unwrap_or(3);
    let stamp = |path: &str| std::fs::metadata(path).map_or_else(|_| String::new(), |meta| format!("\t{}", crate::clock::format_time("%F %T", meta.mtime())));
    println!("--- {one}{}\n+++ {two}{}", stamp(one), stamp(two));
    print!("{}", unified(&steps, context, sys::is_terminal(1)));
    1
}

/// The steps from one list of lines to another, by their longest common subsequence.
fn compare<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<Step<'a>> {
    let same_start = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    let (left_rest, right_rest) = (&left[same_start..], &right[same_start..]);
    let same_end = left_rest.iter().rev().zip(right_rest.iter().rev()).take_while(|(left, right)| left == right).count();
    let (left_mid, right_mid) = (&left_rest[..left_rest.len() - same_end], &right_rest[..right_rest.len() - same_end]);
    let mut lengths = vec![vec![0_u32; right_mid.len() + 1]; left_mid.len() + 1];
    for down in (0..left_mid.len()).rev() {
        for across in (0..right_mid.len()).rev() {
            lengths[down][across] = if left_mid[down] == right_mid[across] {
                lengths[down + 1][across + 1] + 1
            } else {
                lengths[down + 1][across].max(lengths[down][across + 1])
            };
        }
    }
    let mut steps: Vec<Step<'a>> = left[..same_start].iter().map(|line| Step::Same(line)).collect();
    let (mut down, mut across) = (0, 0);
    while down < left_mid.len() || across < right_mid.len() {
        if down < left_mid.len() && across < right_mid.len() && left_mid[down] == right_mid[across] {
            steps.push(Step::Same(left_mid[down]));
            (down, across) = (down + 1, across + 1);
        } else if across >= right_mid.len() || (down < left_mid.len() && lengths[down + 1][across] >= lengths[down][across + 1]) {
            steps.push(Step::Gone(left_mid[down]));
            down += 1;
        } else {
            steps.push(Step::New(right_mid[across]));
            across += 1;
        }
    }
    steps.extend(left[left.len() - same_end..].iter().map(|line| Step::Same(line)));
    steps
}

fn unified(steps: &[Step<'_>], context: usize, colored: bool) -> String {
    let changed: Vec<usize> = (0..steps.len()).filter(|index| !matches!(steps[*index], Step::Same(_))).collect();
    let mut out = String::new();
    let mut at = 0;
    while at < changed.len() {
        let start = changed[at].saturating_sub(context);
        let mut last = changed[at];
        while at < changed.len() && changed[at] <= last + 2 * context + 1 {
            last = changed[at];
            at += 1;
        }
        let end = (last + context + 1).min(steps.len());
        let count = |range: &[Step<'_>], new: bool| range.iter().filter(|step| if new { !matches!(step, Step::Gone(_)) } else { !matches!(step, Step::New(_)) }).count();
        let (old_count, new_count) = (count(&steps[start..end], false), count(&steps[start..end], true));
        let first = |before: usize, count: usize| if count == 0 { before } else { before + 1 };
        let place = |start: usize, count: usize| if count == 1 { start.to_string() } else { format!("{start},{count}") };
        let old = place(first(count(&steps[..start], false), old_count), old_count);
        let new = place(first(count(&steps[..start], true), new_count), new_count);
        let paint = |color: &str, text: String| if colored { format!("\x1b[{color}m{text}\x1b[0m\n") } else { text + "\n" };
        out.push_str(&paint("36", format!("@@ -{old} +{new} @@")));
        for step in &steps[start..end] {
            out.push_str(&match step {
                Step::Same(line) => format!(" {line}\n"),
                Step::Gone(line) => paint("31", format!("-{line}")),
                Step::New(line) => paint("32", format!("+{line}")),
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_in_the_unified_form() {
        let left: Vec<&str> = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj".lines().collect();
        let right: Vec<&str> = "a\nB\nc\nd\ne\nf\ng\nh\ni\nj\nk".lines().collect();
        let text = unified(&compare(&left, &right), 1, false);
        assert_eq!(text, "@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -10 +10,2 @@\n j\n+k\n");
        assert_eq!(unified(&compare(&[], &["x"]), 3, false), "@@ -0,0 +1 @@\n+x\n");
    }
}
