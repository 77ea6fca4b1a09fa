//! The corpus: scenarios of command lines.
//!
//! `$ LINE` is compared, `+ LINE` is set-up and only has to be run. A word in parentheses says how a line is compared: `$(sorted) LINE` when
//! stock kubectl prints lines in random order, `$(loose) LINE` when the width of columns depends on what is redacted, `$(stdout) LINE` when
//! only standard output is interface. `#` starts a comment. Lines are run by a shell in a folder of their own, with the suite's `files/`.

use std::fs;
use std::io;

/// How the outcomes of a line are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// Not at all.
    Never,
    /// Byte by byte.
    Exactly,
    /// As sets of lines.
    Sorted,
    /// Without the number of spaces between words.
    Loosely,
    /// Without standard error.
    Stdout,
}

/// One command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What the shell runs.
    pub text: String,
    /// How it is compared.
    pub compare: Compare,
}

/// Command lines that follow each other on one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// Its file's name.
    pub name: String,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// All scenarios, by name.
pub fn all() -> io::Result<Vec<Scenario>> {
    let mut scenarios = Vec::new();
    for entry in fs::read_dir(crate::file("corpus"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        let lines = parse(&text).map_err(|line| io::Error::other(format!("{}: what is {line:?}?", path.display())))?;
        scenarios.push(Scenario { name, lines });
    }
    scenarios.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(scenarios)
}

/// The lines of a scenario; the first that is none, when there is one.
pub fn parse(text: &str) -> Result<Vec<Line>, String> {
    let meaningful = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    meaningful
        .map(|line| {
            let (mark, text) = line.split_once(' ').ok_or(line)?;
            let compare = match mark {
                "+" => Compare::Never,
                "$" => Compare::Exactly,
                "$(sorted)" => Compare::Sorted,
                "$(loose)" => Compare::Loosely,
                "$(stdout)" => Compare::Stdout,
                _ => return Err(line.to_owned()),
            };
            Ok(Line { text: text.to_owned(), compare })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_they_are_compared() {
        let lines = parse("# about\n+ kubectl create ns x\n\n$ kubectl get ns\n$(sorted) kubectl get cm x\n").unwrap();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], Line { text: "kubectl create ns x".into(), compare: Compare::Never });
        assert_eq!(lines[2].compare, Compare::Sorted);
        assert_eq!(parse("kubectl get ns"), Err("kubectl get ns".to_owned()));
    }
}
