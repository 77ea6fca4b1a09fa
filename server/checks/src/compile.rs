//! Parsing every expression of a course's checks once, so that a mistake is an author's error and not a reader's.

use std::collections::HashMap;

use drydock_cel::{Expression, ParseError};
use drydock_course::check::{Check, Expect, Source};

/// All expressions of some checks, parsed.
#[derive(Debug, Default)]
pub struct Library(HashMap<String, Expression>);

/// A check that cannot be judged as written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("check {check}: {problem}")]
pub struct CompileError {
    /// Its id.
    pub check: String,
    /// What is wrong.
    pub problem: String,
}

impl Library {
    /// Parse the expressions and patterns of these checks.
    ///
    /// # Errors
    /// The first one that does not parse.
    pub fn of<'a>(checks: impl IntoIterator<Item = &'a Check>) -> Result<Library, CompileError> {
        let mut library = Library::default();
        for check in checks {
            library.add(check).map_err(|problem| CompileError { check: check.id.clone(), problem })?;
        }
        Ok(library)
    }

    /// The parsed form of an expression; parsed now when it was not known.
    pub fn get<'a>(&'a self, text: &str, spare: &'a mut Option<Expression>) -> Result<&'a Expression, ParseError> {
        match self.0.get(text) {
            Some(expression) => Ok(expression),
            None => Ok(spare.insert(Expression::parse(text)?)),
        }
    }

    fn add(&mut self, check: &Check) -> Result<(), String> {
        for binding in check.bindings.values() {
            self.expression(binding.value.as_deref())?;
            self.source(&binding.source)?;
        }
        if let Some(stable) = &check.stable {
            duration(stable).ok_or_else(|| format!("stable: {stable:?} is no duration; write 500ms or 2s"))?;
        }
        self.expect(&check.expect)
    }

    fn expect(&mut self, expect: &Expect) -> Result<(), String> {
        match expect {
            Expect::All(branches) | Expect::Any(branches) => branches.iter().try_for_each(|branch| self.expect(branch)),
            Expect::Not(branch) => self.expect(branch),
            Expect::One { source, filter } => {
                self.expression(filter.as_deref())?;
                self.source(source)
            }
        }
    }

    fn source(&mut self, source: &Source) -> Result<(), String> {
        self.expression(source.filter())?;
        match source {
            Source::History(history) => match &history.count {
                Some(count) => crate::eval::count(count, 0).map(drop).ok_or_else(|| format!("count: {count:?}; write `>= 1` or `== 0`")),
                None => Ok(()),
            },
            Source::Saw(saw) => {
                pattern(&saw.matches)?;
                saw.output.as_deref().map_or(Ok(()), pattern)
            }
            Source::Log(log) => pattern(&log.matches),
            Source::File(file) => file.matches.as_deref().map_or(Ok(()), pattern),
            Source::Answer(answer) => answer.matches.as_deref().map_or(Ok(()), pattern),
            Source::Traffic(traffic) => {
                let times = [("every", &traffic.every), ("for", &traffic.window)];
                let wrong = times.into_iter().find_map(|(key, text)| text.as_ref().filter(|text| duration(text).is_none()).map(|text| (key, text)));
                wrong.map_or(Ok(()), |(key, text)| Err(format!("{key}: {text:?} is no duration; write 500ms or 30s")))
            }
            Source::Http(http) if !(1..=50).contains(&http.times) => Err(format!("times: {} requests; 1 to 50 can be made", http.times)),
            _ => Ok(()),
        }
    }

    fn expression(&mut self, text: Option<&str>) -> Result<(), String> {
        if let Some(text) = text {
            self.0.insert(text.to_owned(), Expression::parse(text).map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}

/// The names an expression uses; `None` when it does not parse.
pub fn names_of(expression: &str) -> Option<Vec<String>> {
    Expression::parse(expression).ok().map(|parsed| parsed.variables())
}

/// A pattern must parse before its placeholders are filled in, so they are taken out first.
fn pattern(text: &str) -> Result<(), String> {
    let mut plain = text.to_owned();
    while let Some(start) = plain.find("${") {
        let Some(length) = plain[start..].find('}') else { break };
        plain.replace_range(start..=start + length, "x");
    }
    regex::Regex::new(&plain).map(drop).map_err(|error| format!("pattern {text:?}: {error}"))
}

/// `1s`, `500ms`, `2m`.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    match &text[split..] {
        "ms" => Some(std::time::Duration::from_millis(number)),
        "s" => Some(std::time::Duration::from_secs(number)),
        "m" => Some(std::time::Duration::from_secs(number * 60)),
        _ => None,
    }
}
