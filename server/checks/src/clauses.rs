//! How a condition is put together: `&&`, `||`, `!` and parentheses, which a flat list of clauses does not tell.
//!
//! 1. [`cut`] and [`group`] take CEL text apart outside quotes and brackets.
//! 2. [`telling`] keeps the clauses that tell why a condition is as it is: of several ways in which it could be true, one.

use drydock_cel::{Bindings, ClauseTrace, Expression};
use serde_json::Value;

/// A condition: how its clauses are joined, every `!` carried down to them.
enum Tree<'a> {
    All(Vec<Tree<'a>>),
    Any(Vec<Tree<'a>>),
    Clause { text: &'a str, negated: bool },
}

impl<'a> Tree<'a> {
    fn of(text: &'a str, negated: bool) -> Tree<'a> {
        let text = text.trim();
        let branches = |parts: Vec<&'a str>| parts.into_iter().map(|part| Tree::of(part, negated)).collect();
        if cut(text, "?").len() > 1 {
            return Tree::Clause { text, negated };
        }
        for (operator, all) in [("||", negated), ("&&", !negated)] {
            let parts = cut(text, operator);
            if parts.len() > 1 {
                return if all { Tree::All(branches(parts)) } else { Tree::Any(branches(parts)) };
            }
        }
        if let Some(inner) = group(text) {
            return Tree::of(inner, negated);
        }
        match text.strip_prefix('!').and_then(|rest| group(rest.trim())) {
            Some(inner) => Tree::of(inner, !negated),
            None => Tree::Clause { text, negated },
        }
    }

    /// Clauses joined by `&&`, as a flat list of them is read.
    fn is_flat(&self) -> bool {
        let plain = |tree: &Tree<'_>| matches!(tree, Tree::Clause { negated: false, text } if group(text).is_none());
        match self {
            Tree::All(branches) => branches.iter().all(plain),
            Tree::Any(_) => false,
            clause => plain(clause),
        }
    }

    /// Whether it holds, and the clauses that tell so.
    fn tell(&self, trace: &dyn Fn(&str) -> Option<ClauseTrace>) -> (bool, Vec<ClauseTrace>) {
        match self {
            Tree::Clause { text, negated } => match trace(text) {
                Some(clause) if *negated => (!clause.holds, vec![turned(clause)]),
                Some(clause) => (clause.holds, vec![clause]),
                None => (false, Vec::new()),
            },
            Tree::All(branches) => {
                let told: Vec<_> = branches.iter().map(|branch| branch.tell(trace)).collect();
                (told.iter().all(|(holds, _)| *holds), told.into_iter().flat_map(|(_, clauses)| clauses).collect())
            }
            Tree::Any(branches) => {
                let told: Vec<_> = branches.iter().map(|branch| branch.tell(trace)).collect();
                let compares = |clauses: &[ClauseTrace]| clauses.iter().any(|clause| !clause.holds && !clause.operator.is_empty());
                let near = |(holds, clauses): &(bool, Vec<ClauseTrace>)| (*holds, clauses.iter().filter(|clause| clause.holds).count(), compares(clauses));
                // Of those that are equally near the first one.
                told.into_iter().rev().max_by_key(near).unwrap_or_default()
            }
        }
    }
}

/// Whether more than `&&` joins the clauses of a condition.
pub(crate) fn is_compound(source: &str) -> bool {
    !Tree::of(source, false).is_flat()
}

/// The clauses that tell why a condition is as it is. `clauses` are those at its top, traced over `names`.
pub(crate) fn telling(source: &str, clauses: Vec<ClauseTrace>, names: &Bindings) -> Vec<ClauseTrace> {
    let trace = |text: &str| match clauses.iter().find(|clause| clause.text == text) {
        Some(clause) => Some(clause.clone()),
        None => Expression::parse(text).ok()?.evaluate(names).clauses.into_iter().next(),
    };
    let (holds, told) = Tree::of(source, false).tell(&trace);
    let explained = !told.is_empty() && (holds || told.iter().any(|clause| !clause.holds));
    if explained { told } else { clauses }
}

/// The opposite of a clause.
fn turned(clause: ClauseTrace) -> ClauseTrace {
    let operator = match clause.operator.as_str() {
        "==" => "!=",
        "!=" => "==",
        "<" => ">=",
        ">=" => "<",
        ">" => "<=",
        "<=" => ">",
        _ => "",
    };
    let text = match clause.text.strip_prefix('!') {
        Some(text) => text.to_owned(),
        None if operator.is_empty() => format!("!{}", clause.text),
        None => clause.text.replacen(&clause.operator, operator, 1),
    };
    if operator.is_empty() {
        let got = Value::Bool(!clause.holds);
        return ClauseTrace { left: text.clone(), text, holds: !clause.holds, got, operator: String::new(), want: Value::Bool(true) };
    }
    ClauseTrace { text, holds: !clause.holds, operator: operator.to_owned(), ..clause }
}

/// Every place outside quotes and brackets, with its byte; closing brackets stand outside.
fn outside(text: &str) -> impl Iterator<Item = (usize, u8)> {
    let (mut depth, mut quote, mut escaped) = (0usize, None, false);
    text.bytes().enumerate().filter(move |(_, byte)| {
        let byte = *byte;
        if let Some(open) = quote {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                _ if byte == open => quote = None,
                _ => {}
            }
            return false;
        }
        let here = depth == 0;
        match byte {
            b'\'' | b'"' => quote = Some(byte),
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                return depth == 0;
            }
            _ => {}
        }
        here
    })
}

/// The parts between an operator, outside quotes and brackets.
pub(crate) fn cut<'a>(text: &'a str, operator: &str) -> Vec<&'a str> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, _) in outside(text) {
        if at >= start && text.as_bytes()[at..].starts_with(operator.as_bytes()) {
            parts.push(text[start..at].trim());
            start = at + operator.len();
        }
    }
    parts.push(text[start..].trim());
    parts
}

/// What stands in the parentheses that are all of a text.
pub(crate) fn group(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    let first = outside(text).find(|(_, byte)| *byte == b')')?;
    (first.0 + 1 == text.len()).then_some(inner)
}

/// `path.method(arguments)` taken apart.
pub(crate) fn method(text: &str) -> Option<(&str, &str, &str)> {
    let inner = text.strip_suffix(')')?;
    let open = outside(text).filter(|(_, byte)| *byte == b'(').last()?.0;
    let (path, method) = text[..open].rsplit_once('.')?;
    Some((path, method, &inner[open + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_several_ways_one_is_told() {
        let names: Bindings = [("a".to_owned(), json!(1)), ("b".to_owned(), json!("x || y")), ("s".to_owned(), json!({"l": [1]}))].into();
        let cases: &[(&str, &[&str])] = &[
            ("a == 1 && b == 'z'", &["a == 1", "b == 'z'"]),
            ("!has(s.l) || s.l == 2", &["s.l == 2"]),
            ("a == 2 || b == 'z'", &["a == 2"]),
            ("a == 2 || a == 1 && b == 'z'", &["a == 1", "b == 'z'"]),
            ("a == 1 && (a == 2 || b == 'x || z')", &["a == 1", "a == 2"]),
            ("!(a == 1 && has(s.l))", &["a != 1"]),
            ("!(has(s.n) || a >= 1)", &["!has(s.n)", "a < 1"]),
            ("(s.l.exists(i, i == 2 || i == 3) || s.l.all(i, i == 4))", &["s.l.exists(i, i == 2 || i == 3)"]),
        ];
        for (source, told) in cases {
            let clauses = Expression::parse(source).unwrap().evaluate(&names).clauses;
            let texts: Vec<String> = telling(source, clauses, &names).into_iter().map(|clause| clause.text).collect();
            assert_eq!(texts, *told, "{source}");
        }
        assert!(!is_compound("a == 1 && b == ' || '") && is_compound("a || b") && is_compound("a && (b && c)"));
    }

    #[test]
    fn calls_are_taken_apart() {
        let cases = [
            ("s.l.exists(i, f(i) == ')')", Some(("s.l", "exists", "i, f(i) == ')'"))),
            ("s.filter(i, i.x()).size()", Some(("s.filter(i, i.x())", "size", ""))),
            ("has(s.l)", None),
            ("s.l", None),
        ];
        for (text, parts) in cases {
            assert_eq!(method(text), parts, "{text}");
        }
    }
}
