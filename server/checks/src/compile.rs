//! Parsing every expression of a course's checks once, so that a mistake is an author's error and not a reader's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use drydock_cel::{Expression, ParseError};
use drydock_course::check::{Check, Expect, Source};
use regex::Regex;

use crate::interpolate;

/// The longest that a check may wait for something.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
        if let Some(names) = circle(check)? {
            return Err(format!("let: {} cannot have a value, each waits for another; take one `${{...}}` out", names.join(" and ")));
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
        interpolate::names(source).map_err(|error| error.to_string())?;
        let pattern = |text: &str| pattern(&interpolate::without(text).map_err(|error| error.to_string())?).map(drop);
        match source {
            Source::History(history) => match &history.count {
                Some(count) => crate::eval::count(count, 0).map(drop).ok_or_else(|| format!("count: {count:?}; write `>= 1` or `== 0`")),
                None => Ok(()),
            },
            Source::Saw(saw) => {
                pattern(&saw.matches)?;
                saw.output.as_deref().map_or(Ok(()), pattern)
            }
            Source::Log(log) if log.tail == Some(0) => Err("tail: 0 lines of a log hold nothing; write how many, or leave it out".to_owned()),
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

/// Names of a check that need each other.
fn circle(check: &Check) -> Result<Option<Vec<String>>, String> {
    let mut rest = BTreeMap::new();
    for (name, binding) in &check.bindings {
        rest.insert(format!("`{name}`"), interpolate::names(&binding.source).map_err(|error| error.to_string())?);
    }
    loop {
        let waits = |uses: &BTreeSet<String>| uses.iter().any(|name| rest.contains_key(&format!("`{name}`")));
        let (waiting, free): (Vec<_>, Vec<_>) = rest.iter().map(|(name, uses)| (name.clone(), waits(uses))).partition(|(_, waits)| *waits);
        if free.is_empty() {
            return Ok((!waiting.is_empty()).then(|| waiting.into_iter().map(|(name, _)| name).collect()));
        }
        free.iter().for_each(|(name, _)| drop(rest.remove(name)));
    }
}

/// A regular expression.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub(crate) fn pattern(text: &str) -> Result<Regex, String> {
    // Of several lines the last one says it; the others draw where.
    let problem = |error: regex::Error| error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").trim_end_matches('.').to_owned();
    Regex::new(text).map_err(|error| format!("the pattern `{text}` is no regular expression: {}", problem(error)))
}

/// `1s`, `500ms`, `2m`; a day at most.
pub fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..split].parse().ok()?;
    let duration = match &text[split..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        _ => return None,
    };
    (duration <= DAY).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_judged_says_so_in_one_sentence() {
        let cases = [
            ("expect: {object: {kind: Pod}, where: 'status.ready =='}", "expression `status.ready ==` does not parse"),
            ("expect: {object: {kind: Pod}, where: 'sizeof(spec) == 1'}", "there is no function `sizeof`"),
            ("expect: {saw: {matches: 'a(b'}}", "the pattern `a(b` is no regular expression: unclosed group"),
            ("expect: {saw: {matches: 'a{9}{9}{9}{9}{9}{9}{9}{9}'}}", "the pattern `a{9}{9}{9}{9}{9}{9}{9}{9}` is no regular expression: Compiled regex exceeds size limit"),
            ("expect: {object: {kind: Pod, name: 'a${b'}}", "`${` is not closed in `a${b`"),
            ("expect: {object: {kind: Pod, name: '${b.}'}}", "expression `b.` does not parse"),
            ("let: {a: {object: {kind: Pod, name: '${b.c}'}}, b: {object: {kind: Pod, name: '${a.c}'}}}\nexpect: {object: {kind: Pod}}", "let: `a` and `b` cannot have a value"),
            ("let: {a: {object: {kind: Pod, name: '${a.c}'}}}\nexpect: {object: {kind: Pod}}", "let: `a` cannot have a value"),
            ("expect: {log: {pod: {name: a}, matches: b, tail: 0}}", "tail: 0 lines of a log hold nothing"),
            ("stable: 18446744073709551615m\nexpect: {object: {kind: Pod}}", "stable: \"18446744073709551615m\" is no duration"),
            ("expect: {history: {kind: Pod, where: 'true', count: many}}", "count: \"many\"; write `>= 1` or `== 0`"),
        ];
        for (rest, wanted) in cases {
            let check: Check = serde_yaml::from_str(&format!("id: c\nsay: s\n{rest}")).unwrap();
            let said = Library::of([&check]).expect_err(rest).to_string();
            assert!(said.starts_with("check c: ") && said.contains(wanted), "{rest}: {said}");
        }
        let fine: Check = serde_yaml::from_str("{id: c, say: s, let: {a: {object: {kind: Pod, name: '${ab.c}'}}, ab: {object: {kind: Pod}}}, expect: {saw: {matches: '^${a.b}$'}}}").unwrap();
        assert!(Library::of([&fine]).is_ok());
    }
}
