//! Conditions over what `kubectl apply` remembers of the file it was given: an object that was made in another way has no such annotation.

use drydock_cel::ClauseTrace;
use serde_json::{Value, json};

use super::pattern::readable;
use super::words::{literal, relation};
use super::{Why, why};
use crate::clauses::method;
use crate::eval::Leaf;
use crate::verdict::Reason;

/// Where it is remembered.
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// What it is in words.
const FILE: &str = "the file it was applied from";

/// Whether a condition is about it.
pub(super) fn asks(text: &str) -> bool {
    text.contains(ANNOTATION)
}

/// Whether a condition wants that nothing was applied.
fn unwanted(clause: &ClauseTrace) -> bool {
    clause.text.trim().starts_with('!') || clause.operator == "==" && clause.want.is_null()
}

fn is_applied(object: &Value) -> bool {
    object["metadata"]["annotations"].get(ANNOTATION).is_some()
}

/// What the text of the file must be, `has nothing like ...`, when it is not so and when it is.
fn of_text(clause: &ClauseTrace) -> Option<(String, String)> {
    let (_, call, argument) = method(clause.text.trim())?;
    let ((negative, word), argument) = (relation(call)?, literal(argument)?);
    let argument = if call == "matches" { readable(argument) } else { argument.to_owned() };
    Some((format!("{negative} `{argument}`"), format!("{word} `{argument}`")))
}

/// A clause about it that does not hold.
pub(super) fn unmet(clause: &ClauseTrace, object: Option<&Value>) -> Option<String> {
    if !asks(&clause.text) {
        return None;
    }
    Some(match of_text(clause) {
        _ if unwanted(clause) => "it was applied from a file, and it should not be".to_owned(),
        Some((negative, _)) if object.is_some_and(is_applied) => format!("{FILE} {negative}"),
        _ => "it was not applied from a file".to_owned(),
    })
}

/// Path, what is wanted and what was seen, for a table.
pub(super) fn row(clause: &ClauseTrace, object: Option<&Value>) -> (String, Value, Value) {
    let plain = |text: &str| json!(text.replace('`', ""));
    let (no, yes) = ("not applied from a file", "applied from a file");
    match of_text(clause) {
        _ if unwanted(clause) => ("how it was made".to_owned(), json!(no), json!(if clause.holds { no } else { yes })),
        Some((_, word)) if !object.is_some_and(is_applied) && !clause.holds => (FILE.to_owned(), plain(&word), json!("none")),
        Some((negative, word)) => (FILE.to_owned(), plain(&word), plain(if clause.holds { &word } else { &negative })),
        None => ("how it was made".to_owned(), json!(yes), json!(if clause.holds { yes } else { no })),
    }
}

/// An object that should have been applied from a file, and of which nobody remembers one. What else is wrong with it comes first.
pub(super) fn by_command(leaf: &Leaf, object: &Value, name: &str) -> Option<Why> {
    let mut failed = leaf.clauses.iter().filter(|clause| !clause.holds).peekable();
    failed.peek()?;
    if is_applied(object) || !failed.all(|clause| asks(&clause.text) && !unwanted(clause)) {
        return None;
    }
    let text = format!("{name} was created by a command; it was not applied from a file.");
    let look = "Write it to a file, and run `kubectl apply -f` on that.".to_owned();
    Some(why(Reason::WrongValue, vec![text, look], Vec::new()))
}
