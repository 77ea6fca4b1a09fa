//! What a scenario's lines did, as a file.
//!
//! `$ LINE`, then its standard output after `| `, its standard error after `! `, and `= CODE`.

use std::fmt::Write as _;

use crate::corpus::{Compare, Line};

/// What one line did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The line.
    pub line: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; of a signal, as the shell says it.
    pub code: i32,
}

impl Outcome {
    /// It, as far as it is compared.
    pub fn compared(&self, compare: Compare) -> Outcome {
        let shape = |text: &str| -> String {
            let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            match compare {
                Compare::Sorted => lines.sort(),
                Compare::Loosely => lines.iter_mut().for_each(|line| *line = loose(line)),
                Compare::Never | Compare::Exactly | Compare::Stdout => {}
            }
            lines.concat()
        };
        let stderr = if compare == Compare::Stdout { String::new() } else { shape(&self.stderr) };
        Outcome { line: self.line.clone(), stdout: shape(&self.stdout), stderr, code: self.code }
    }
}

/// A line with single spaces between words; those at its start stay.
fn loose(line: &str) -> String {
    let words = line.trim_start();
    let start = &line[..line.len() - words.len()];
    let end = if line.ends_with('\n') { "\n" } else { "" };
    format!("{start}{}{end}", words.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Outcomes as text.
pub fn write(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        text.push_str(&format!("$ {}\n", outcome.line));
        for (mark, output) in [('|', &outcome.stdout), ('!', &outcome.stderr)] {
            for line in output.split_inclusive('\n') {
                // A last line that does not end is told apart by a backslash.
                let (line, end) = line.strip_suffix('\n').map_or((line, "\\"), |line| (line, ""));
                text.push(mark);
                if !line.is_empty() || !end.is_empty() {
                    // A space at the end of a line would not survive an editor.
                    let shown = line.replace('\u{b7}', "\\u{b7}");
                    let kept = shown.trim_end_matches(' ');
                    let dots = "\u{b7}".repeat(shown.len() - kept.len());
                    write!(text, " {kept}{dots}{end}").unwrap_or_default();
                }
                text.push('\n');
            }
        }
        text.push_str(&format!("= {}\n\n", outcome.code));
    }
    text
}

/// Text as outcomes.
pub fn read(text: &str) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let (mark, rest) = line.split_at(1);
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        if mark == "$" {
            outcomes.push(Outcome { line: rest.to_owned(), stdout: String::new(), stderr: String::new(), code: 0 });
            continue;
        }
        let Some(outcome) = outcomes.last_mut() else { continue };
        if mark == "=" {
            outcome.code = rest.parse().unwrap_or(-1);
            continue;
        }
        let (shown, end) = rest.strip_suffix('\\').map_or((rest, "\n"), |rest| (rest, ""));
        let kept = shown.trim_end_matches('\u{b7}');
        let spaces = " ".repeat(shown[kept.len()..].chars().count());
        let output = if mark == "|" { &mut outcome.stdout } else { &mut outcome.stderr };
        output.push_str(&kept.replace("\\u{b7}", "\u{b7}"));
        output.push_str(&spaces);
        output.push_str(end);
    }
    outcomes
}

/// What differs, line by line of the scenario; the recorded outcome first.
pub fn differences<'a>(lines: &[Line], recorded: &'a [Outcome], ours: &'a [Outcome]) -> Vec<(&'a Outcome, Option<&'a Outcome>)> {
    let compared = lines.iter().filter(|line| line.compare != Compare::Never);
    let mut all = Vec::new();
    for (number, line) in compared.enumerate() {
        let Some(recorded) = recorded.get(number) else { break };
        let own = ours.get(number);
        if own.map(|own| own.compared(line.compare)) != Some(recorded.compared(line.compare)) {
            all.push((recorded, own));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive_a_round_trip() {
        let outcome = |stdout: &str, stderr: &str, code| Outcome { line: "kubectl x".into(), stdout: stdout.into(), stderr: stderr.into(), code };
        let outcomes = [outcome("a  b  \n\n  c", "", 0), outcome("", "error: x\n", 1), outcome("\n", "dot \u{b7}\n", 2), outcome("a terminal's\r\n", "", 0)];
        assert_eq!(read(&write(&outcomes)), outcomes);
    }

    #[test]
    fn random_order_is_no_difference() {
        let line = Line { text: "kubectl x".into(), compare: Compare::Sorted };
        let outcome = |stdout: &str| Outcome { line: "kubectl x".into(), stdout: stdout.into(), stderr: String::new(), code: 0 };
        assert!(differences(std::slice::from_ref(&line), &[outcome("a\nb\n")], &[outcome("b\na\n")]).is_empty());
        let exact = Line { compare: Compare::Exactly, ..line };
        assert_eq!(differences(&[exact], &[outcome("a\nb\n")], &[outcome("b\na\n")]).len(), 1);
    }
}
