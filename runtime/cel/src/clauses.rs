//! Splitting an expression into the clauses a person would read, for explaining it.
//!
//! 1. Cut at `&&` and `||` outside parentheses and strings.
//! 2. Cut each clause at its comparison.
//! 3. Compile each side by itself; a side that does not compile alone is explained as a whole.

use cel::Program;
use serde_json::Value;

use crate::{Bindings, ClauseTrace, value_of};

/// Comparison operators, longest first.
const OPERATORS: [&str; 7] = ["==", "!=", "<=", ">=", "<", ">", " in "];

pub(crate) struct Clause {
    text: String,
    whole: Option<Program>,
    sides: Option<(String, Program, &'static str, Program)>,
}

pub(crate) fn split(source: &str) -> Vec<Clause> {
    let mut clauses = Vec::new();
    let mut rest = source;
    loop {
        let cut = ["&&", "||"].iter().filter_map(|operator| find(rest, operator)).min();
        let (text, after) = match cut {
            Some(at) => (&rest[..at], Some(&rest[at + 2..])),
            None => (rest, None),
        };
        clauses.push(clause(text.trim()));
        match after {
            Some(after) => rest = after,
            None => return clauses,
        }
    }
}

fn clause(text: &str) -> Clause {
    let sides = OPERATORS.iter().filter_map(|operator| find(text, operator).map(|at| (at, *operator))).min_by_key(|(at, operator)| (*at, usize::MAX - operator.len()));
    let sides = sides.and_then(|(at, operator)| {
        let (left, right) = (text[..at].trim(), text[at + operator.len()..].trim());
        Some((left.to_owned(), Program::compile(left).ok()?, operator, Program::compile(right).ok()?))
    });
    Clause { text: text.to_owned(), whole: Program::compile(text).ok(), sides }
}

impl Clause {
    pub(crate) fn trace(&self, bindings: &Bindings) -> ClauseTrace {
        let value = |program: &Program| value_of(program, bindings).unwrap_or(Value::Null);
        let whole = self.whole.as_ref().map_or(Value::Null, value);
        let holds = whole == Value::Bool(true);
        match &self.sides {
            Some((text, left, operator, right)) => ClauseTrace {
                text: self.text.clone(),
                holds,
                left: text.clone(),
                got: value(left),
                operator: operator.trim().to_owned(),
                want: value(right),
            },
            None => ClauseTrace {
                text: self.text.clone(),
                holds,
                left: self.text.clone(),
                got: whole,
                operator: String::new(),
                want: Value::Bool(true),
            },
        }
    }
}

/// Find `needle` outside quotes, parentheses, brackets and braces.
fn find(text: &str, needle: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote: Option<u8> = None;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None => match byte {
                b'\'' | b'"' => quote = Some(byte),
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ if depth == 0 && bytes[at..].starts_with(needle.as_bytes()) => return Some(at),
                _ => {}
            },
        }
        at += 1;
    }
    None
}
