//! Expressions of checks and rules: CEL, evaluated over JSON, with a trace of what each part was.
//!
//! 1. [`Expression::parse`] compiles the text once (the parser is the `cel` crate's).
//! 2. [`Expression::evaluate`] runs it over named JSON values.
//! 3. [`Evaluation::clauses`] says, for each clause between `&&` and `||`, what both sides of its comparison were, so
//!    that a red check can tell what it saw and what it wanted.
//!
//! A field that is absent makes its clause false, with the value `null`: learners' objects are incomplete all the time,
//! and "not there yet" is an answer, not an error.
//!
//! # Invariants
//! * No I/O, no clock, no randomness: the same bindings give the same evaluation.
//! * The whole expression decides the outcome; clauses only explain it.

mod clauses;
mod convert;

use std::collections::BTreeMap;

use cel::{Context, ExecutionError, Program};
use serde_json::Value;

/// Named values an expression may use.
pub type Bindings = BTreeMap<String, Value>;

/// An expression that does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expression `{expression}` does not parse: {problem}")]
pub struct ParseError {
    /// The text.
    pub expression: String,
    /// What is wrong, in a sentence.
    pub problem: String,
}

/// A compiled expression.
pub struct Expression {
    source: String,
    program: Program,
    clauses: Vec<clauses::Clause>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// What an expression came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The value, or why there is none.
    pub outcome: Result<Value, String>,
    /// Every clause with both sides of its comparison, in source order.
    pub clauses: Vec<ClauseTrace>,
}

/// One clause of an expression, evaluated by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ClauseTrace {
    /// The clause as written.
    pub text: String,
    /// Whether it held by itself.
    pub holds: bool,
    /// Left side as written (the whole clause where it compares nothing).
    pub left: String,
    /// Left side's value; `null` when a field on the way is absent.
    pub got: Value,
    /// The comparison, empty where the clause compares nothing.
    pub operator: String,
    /// Right side's value; `true` where the clause compares nothing.
    pub want: Value,
}

impl Evaluation {
    /// Whether the expression came to `true`.
    pub fn is_true(&self) -> bool {
        self.outcome == Ok(Value::Bool(true))
    }
}

impl Expression {
    /// Compile an expression.
    ///
    /// # Errors
    /// When it does not parse, or calls what there is not; the error holds the parser's words.
    pub fn parse(source: &str) -> Result<Expression, ParseError> {
        let compile = |text: &str| {
            Program::compile(text).map_err(|problem| ParseError { expression: source.to_owned(), problem: sentence(&problem.to_string()) })
        };
        let program = compile(source)?;
        if let Some(name) = program.references().functions().into_iter().find(|name| !is_function(name)) {
            return Err(ParseError { expression: source.to_owned(), problem: format!("there is no function `{name}`") });
        }
        let clauses = clauses::split(source);
        Ok(Expression { source: source.to_owned(), program, clauses })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of variables it refers to.
    pub fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> = self.program.references().variables().iter().map(|name| (*name).to_owned()).collect();
        names.sort();
        names
    }

    /// What it comes to over named values, without a trace.
    ///
    /// # Errors
    /// When a function is misused (wrong types, unknown name).
    pub fn outcome(&self, bindings: &Bindings) -> Result<Value, String> {
        match run(&self.program, bindings) {
            Ok(value) => Ok(value),
            // An absent field is "not so (yet)"; only a boolean expression can be false, and that is what checks are.
            Err(Trouble::Absent) => Ok(Value::Bool(false)),
            Err(Trouble::Wrong(problem)) => Err(problem),
        }
    }

    /// Evaluate over named values.
    pub fn evaluate(&self, bindings: &Bindings) -> Evaluation {
        let outcome = self.outcome(bindings);
        let clauses = self.clauses.iter().map(|clause| clause.trace(bindings)).collect();
        Evaluation { outcome, clauses }
    }

    /// Evaluate to any value; an absent field gives `null`.
    ///
    /// # Errors
    /// When a function is misused (wrong types, unknown name).
    pub fn value(&self, bindings: &Bindings) -> Result<Value, String> {
        value_of(&self.program, bindings)
    }
}

pub(crate) fn value_of(program: &Program, bindings: &Bindings) -> Result<Value, String> {
    match run(program, bindings) {
        Ok(value) => Ok(value),
        Err(Trouble::Absent) => Ok(Value::Null),
        Err(Trouble::Wrong(problem)) => Err(problem),
    }
}

enum Trouble {
    Absent,
    Wrong(String),
}

/// The parser's first complaint without its drawing: `ERROR: <input>:1:3: Syntax error: extraneous input 'b' expecting <EOF>`.
fn sentence(said: &str) -> String {
    let first = said.trim().lines().next().unwrap_or_default();
    let place = first.strip_prefix("ERROR: <input>:").and_then(|rest| rest.split_once(": Syntax error: "));
    let Some((place, problem)) = place else { return first.to_owned() };
    let problem = problem.split(" expecting ").next().unwrap_or(problem).replace("input '<EOF>'", "end");
    let (line, column) = place.split_once(':').unwrap_or(("1", place));
    let line = if line == "1" { String::new() } else { format!("line {line}, ") };
    format!("{line}character {column}: {problem}")
}

/// What an expression may call.
fn functions() -> Result<Context<'static, 'static>, impl std::error::Error> {
    let mut context = Context::default();
    context.add_function("quantity", convert::quantity).map(|()| context)
}

/// Whether there is such a function; an operator is one. An unknown one would read as a field that is absent, and its clause be false for ever.
fn is_function(name: &str) -> bool {
    let Ok(context) = functions() else { return true };
    let unknown = |call: String| match Program::compile(&call).map(|program| program.execute(&context)) {
        Ok(Err(ExecutionError::UndeclaredReference(unknown))) => *unknown == name,
        _ => false,
    };
    let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !name.starts_with('_');
    !named || !unknown(format!("{name}()")) || !unknown(format!("''.{name}()"))
}

fn run(program: &Program, bindings: &Bindings) -> Result<Value, Trouble> {
    let mut context = functions().map_err(|error| Trouble::Wrong(error.to_string()))?;
    for (name, value) in bindings {
        context.add_variable_from_value(name.as_str(), convert::to_cel(value));
    }
    match program.execute(&context) {
        Ok(value) => convert::to_json(&value).map_err(Trouble::Wrong),
        Err(ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_)) => Err(Trouble::Absent),
        Err(ExecutionError::IndexOutOfBounds(_)) => Err(Trouble::Absent),
        // Selecting below null or below an absent branch reads as an overload error on null.
        Err(error) if format!("{error:?}").contains("Null") => Err(Trouble::Absent),
        Err(error) => Err(Trouble::Wrong(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bindings() -> Bindings {
        let object = json!({
            "metadata": {"name": "web", "labels": {"app": "a"}, "uid": "1"},
            "spec": {"replicas": 3, "cpu": "250m"},
            "status": {"ready": 2, "containerStatuses": [{"containerID": "x", "restartCount": 4}]},
            "nothing": null,
        });
        object.as_object().unwrap().clone().into_iter().collect()
    }

    #[test]
    fn expressions_over_objects() {
        let cases: &[(&str, Value)] = &[
            ("spec.replicas == 3", json!(true)),
            ("status.ready >= 2 && metadata.labels.app == 'a'", json!(true)),
            ("status.containerStatuses[0].restartCount > 3", json!(true)),
            ("status.containerStatuses.exists(c, c.containerID == 'x')", json!(true)),
            ("status.missing == 1", json!(false)),
            ("nowhere.at.all == 1", json!(false)),
            ("status.containerStatuses[7].name == 'x'", json!(false)),
            ("has(metadata.labels) && !has(metadata.annotations)", json!(true)),
            ("metadata.name.matches('^w.b$')", json!(true)),
            ("size(metadata.labels) == 1", json!(true)),
            ("quantity(spec.cpu) < quantity('1')", json!(true)),
            ("'app' in metadata.labels", json!(true)),
            ("metadata.name.contains('we') || false", json!(true)),
            ("nothing == null", json!(true)),
        ];
        for (source, expected) in cases {
            let evaluation = Expression::parse(source).unwrap().evaluate(&bindings());
            assert_eq!(evaluation.outcome.as_ref(), Ok(expected), "{source}: {evaluation:?}");
        }
    }

    #[test]
    fn clauses_tell_what_was_seen_and_wanted() {
        let evaluation = Expression::parse("metadata.name == 'web' && status.ready == 3 && status.gone == 1").unwrap().evaluate(&bindings());
        assert_eq!(evaluation.outcome, Ok(json!(false)));
        let seen: Vec<_> = evaluation.clauses.iter().map(|c| (c.left.as_str(), c.got.clone(), c.want.clone(), c.holds)).collect();
        assert_eq!(
            seen,
            vec![
                ("metadata.name", json!("web"), json!("web"), true),
                ("status.ready", json!(2), json!(3), false),
                ("status.gone", Value::Null, json!(1), false),
            ]
        );
    }

    #[test]
    fn a_broken_expression_names_itself() {
        let error = Expression::parse("status.ready ==").unwrap_err();
        assert!(error.to_string().contains("`status.ready ==` does not parse"), "{error}");
        assert_eq!(error.problem, "character 16: mismatched end");
        assert_eq!(Expression::parse("true &&\n  a b").unwrap_err().problem, "line 2, character 5: extraneous input 'b'");
        for source in ["sizeof(metadata.labels) == 1", "metadata.name.contain('we')", "status.containerStatuses.exists(c, c.isUp())"] {
            let error = Expression::parse(source).unwrap_err();
            assert!(error.problem.starts_with("there is no function `"), "{error}");
        }
        for known in ["size(a)", "a.size()", "a.contains('b')", "a.startsWith('b')", "a.endsWith('b')", "a.matches('b')", "int(a)", "string(a)", "double(a)", "has(a.b)", "a.all(b, b)", "a.map(b, b)", "a.filter(b, b)", "a.exists_one(b, b)", "quantity(a)", "a in b", "a[0] == -b", "!a ? b : c"] {
            assert!(Expression::parse(known).is_ok(), "{known}: {:?}", Expression::parse(known));
        }
    }

    #[test]
    fn values_of_any_type_come_out() {
        let value = |source: &str| Expression::parse(source).unwrap().value(&bindings()).unwrap();
        assert_eq!(value("metadata.labels"), json!({"app": "a"}));
        assert_eq!(value("status.containerStatuses[0].containerID"), json!("x"));
        assert_eq!(value("status.absent"), Value::Null);
    }
}
