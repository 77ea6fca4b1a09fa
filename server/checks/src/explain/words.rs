//! A condition that does not hold, in the words of a first Kubernetes book: what was seen, what is wanted.

use drydock_cel::ClauseTrace;
use serde_json::Value;

use super::applied;
use super::entries;
use super::pattern::readable;
use crate::clauses::method;

/// What a condition is about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'a> {
    /// Kind of the objects; empty for what is no object.
    pub(crate) kind: &'a str,
    /// The object, or what a probe came back with.
    pub(crate) object: Option<&'a Value>,
}

/// What does not hold, as one sentence without its dot; at most two things at once.
pub(crate) fn unmet(clauses: &[ClauseTrace], about: About<'_>) -> String {
    let mut said: Vec<String> = Vec::new();
    let failed: Vec<&ClauseTrace> = clauses.iter().filter(|clause| !clause.holds).collect();
    // That a field is there goes without saying when another clause says how it should be.
    let guards = |clause: &ClauseTrace| inside(&clause.text, "has(").is_some_and(|path| failed.iter().any(|other| other.text != clause.text && other.text.contains(path)));
    // What a command printed that failed is no news.
    let ended = failed.iter().any(|clause| clause.left == "exit");
    let silent = |clause: &ClauseTrace| ended && (clause.text.starts_with("stdout") || clause.text.starts_with("text"));
    for clause in failed.iter().filter(|clause| !guards(clause) && !silent(clause)) {
        let text = clause_unmet(clause, about);
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said.truncate(2);
    if said.is_empty() { "it is not as it should be".to_owned() } else { said.join(", and ") }
}

/// What holds and should not, as what an object does: `still has ...`, `is as it should not be: ...`; at most two things at once.
pub(crate) fn met(clauses: &[ClauseTrace], about: About<'_>) -> Option<String> {
    let holding = || clauses.iter().filter(|clause| clause.holds);
    let has: Vec<String> = holding().filter_map(|clause| entries::had(clause.text.trim(), about.kind)).take(2).collect();
    if !has.is_empty() {
        return Some(format!("still {}", has.join(" and ")));
    }
    let is: Vec<String> = holding().filter(|clause| !clause.operator.is_empty() && !clause.left.contains('(')).map(|clause| format!("`{}` is {}", clause.left, shown(&clause.got))).take(2).collect();
    (!is.is_empty()).then(|| format!("is as it should not be: {}", is.join(" and ")))
}

fn clause_unmet(clause: &ClauseTrace, about: About<'_>) -> String {
    if let Some(text) = applied::unmet(clause, about.object) {
        return text;
    }
    match clause.operator.as_str() {
        "" => plain(clause.text.trim(), about),
        operator => compared(clause, operator, about),
    }
}

/// `left operator right` that does not hold.
fn compared(clause: &ClauseTrace, operator: &str, about: About<'_>) -> String {
    let (left, got, want) = (clause.left.as_str(), &clause.got, &clause.want);
    let wanted = wanted(operator, want);
    let right = clause.text.get(left.len()..).unwrap_or_default().trim().trim_start_matches(operator).trim();
    if want.is_null() && right != "null" {
        let own = ["metadata", "spec", "status", "data", "object", "env", "headers", "body", "items", "old", "new"].contains(&right.split(['.', '[']).next().unwrap_or_default());
        return if own { format!("`{right}` is not set yet") } else { format!("it is not known what `{left}` was when this exercise began") };
    }
    if let Some(text) = counted(left, operator, got, want, about).or_else(|| replaced(left, operator, got, about)) {
        return text;
    }
    if want.is_null() {
        return match (left, operator) {
            ("status.closed", "!=") => "it is still open".to_owned(),
            ("old", "==") => "it was there before".to_owned(),
            ("new", "==") => "it was not deleted".to_owned(),
            (_, "!=") => format!("`{left}` is not set yet"),
            _ => format!("`{left}` is {}, and it should not be there", shown(got)),
        };
    }
    if let Some(label) = left.strip_prefix("metadata.labels.") {
        return match got {
            Value::Null => format!("it has no label `{label}`; {wanted}"),
            got => format!("its label `{label}` is {}; {wanted}", shown(got)),
        };
    }
    let subject = match left {
        "status" if !got.is_object() => return answered(got, &wanted),
        "exit" => return format!("the command ended with exit code {}; {wanted}", number(got)),
        "text" | "stdout" => "what it printed".to_owned(),
        "status.phase" if !about.kind.is_empty() => return format!("it is {}; {wanted}", shown(got)),
        "mode" | "kind" | "uid" | "gid" | "size" | "link" => format!("its {left}"),
        _ => match header(left) {
            Some(name) => format!("the header `{name}`"),
            None if left.starts_with("env") => format!("the variable `{}`", left.trim_start_matches("env").trim_matches(['.', '[', ']', '"', '\''])),
            None => format!("`{left}`"),
        },
    };
    match got {
        Value::Null => format!("{subject} is not set; {wanted}"),
        Value::Array(_) | Value::Object(_) if operator == "==" && want.is_array() => format!("{subject} is {}; {wanted}", shown(got)),
        got => format!("{subject} is {}; {wanted}", shown(got)),
    }
}

fn answered(got: &Value, wanted: &str) -> String {
    match got {
        Value::Null => format!("there was no answer; status {}", wanted.trim_start_matches("it should be ")),
        got => format!("it answered with status {}; {wanted}", number(got)),
    }
}

fn header(left: &str) -> Option<&str> {
    let rest = left.strip_prefix("headers")?;
    Some(rest.trim_matches(['.', '[', ']', '"', '\'']))
}

/// Numbers of things.
fn counted(left: &str, operator: &str, got: &Value, want: &Value, about: About<'_>) -> Option<String> {
    let want_number = want.as_i64()?;
    let got_number = got.as_i64().unwrap_or(0);
    let how_many = |what: &str| match (operator, want_number) {
        ("==", 0) | ("<=", 0) | ("<", 1) => "none should be left".to_owned(),
        ("==", n) => format!("it should be {n}{what}"),
        (">=", n) => format!("it should be at least {n}{what}"),
        (">", n) => format!("it should be more than {n}{what}"),
        ("<=", n) => format!("it should be {n} at most"),
        ("<", n) => format!("it should be fewer than {n}"),
        (_, n) => format!("it should be a number other than {n}"),
    };
    let last = left.rsplit('.').next().unwrap_or(left);
    if left == "items.size()" || left == "size(items)" {
        let things = things(about.kind, got_number);
        return Some(if got_number == 0 { format!("there is no {}; {}", things, how_many("")) } else { format!("there {} {got_number} {things}; {}", is_are(got_number), how_many("")) });
    }
    if let Some(list) = left.strip_suffix(".size()") {
        // One entry without the field that is asked about, and nothing was counted.
        if got.is_null()
            && let Some(text) = entries::not_so_many(list, &wanted(operator, want), want_number, about.kind)
        {
            return Some(text);
        }
        return Some(format!("{}; {}", entries::sized(list, got_number, about.kind), how_many("")));
    }
    Some(match last {
        "availableReplicas" | "numberAvailable" => format!("{} available; {}", pods(got_number), how_many("")),
        "readyReplicas" | "numberReady" => format!("{} ready; {}", pods(got_number), how_many("")),
        "updatedReplicas" | "updatedNumberScheduled" => format!("{} made from the newest template; {}", pods(got_number), how_many("")),
        "desiredNumberScheduled" => format!("it wants a Pod on {got_number} node{}; {}", if got_number == 1 { "" } else { "s" }, how_many("")),
        "replicas" if left.starts_with("status") => format!("it has {}; {}", count(got_number, "Pod"), how_many("")),
        "replicas" => format!("it asks for {}; {}", count(got_number, "Pod"), how_many("")),
        "restartCount" => format!("its container was started anew {}; {}", times(got_number), how_many(" times")),
        "connections" if got_number == 0 => "nothing has gone through it yet".to_owned(),
        "bytesOut" if got_number == 0 => "nothing has come back through it yet".to_owned(),
        "bytesIn" if got_number == 0 => "nothing was sent through it yet".to_owned(),
        _ => return None,
    })
}

fn count(number: i64, singular: &str) -> String {
    match number {
        0 => format!("no {singular}"),
        1 => format!("1 {singular}"),
        n => format!("{n} {singular}s"),
    }
}

fn pods(number: i64) -> String {
    format!("{} {}", match number {
        0 => "none of its Pods".to_owned(),
        1 => "1 of its Pods".to_owned(),
        n => format!("{n} of its Pods"),
    }, is_are(if number == 0 { 1 } else { number }))
}

pub(super) fn is_are(number: i64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}

fn times(number: i64) -> String {
    match number {
        0 => "0 times".to_owned(),
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}

/// "Pod", "Pods", "object".
pub(crate) fn things(kind: &str, number: i64) -> String {
    let one = if kind.is_empty() { "object" } else { kind };
    if number == 1 || number == 0 {
        return one.to_owned();
    }
    match one {
        one if one.ends_with('s') && one != "Endpoints" => format!("{one}es"),
        one if one.ends_with("cy") || one.ends_with("ry") => format!("{}ies", &one[..one.len() - 1]),
        "Endpoints" => one.to_owned(),
        one => format!("{one}s"),
    }
}

/// Comparisons with what was before.
fn replaced(left: &str, operator: &str, got: &Value, about: About<'_>) -> Option<String> {
    let kind = if about.kind.is_empty() { "object" } else { about.kind };
    let last = left.rsplit('.').next().unwrap_or(left);
    Some(match (last, operator) {
        ("uid", "!=") if left.starts_with("metadata") => format!("it is still the {kind} that was there before; a new one is wanted"),
        ("uid", "==") if left.starts_with("metadata") => format!("it is another {kind}, and not the one that was there before"),
        ("containerID", "!=") => "it still runs in the container it had before; a new one is wanted".to_owned(),
        ("containerID", "==") => "it runs in another container than before; the same one is wanted".to_owned(),
        ("podIP" | "clusterIP", "!=") if !got.is_null() => format!("it still has the address {}; a new one is wanted", shown(got)),
        _ => return None,
    })
}

/// A condition that compares nothing.
fn plain(text: &str, about: About<'_>) -> String {
    let text = crate::clauses::group(text).unwrap_or(text).trim();
    if let Some(path) = inside(text, "!has(") {
        return match (path, about.object.and_then(owner)) {
            ("metadata.ownerReferences", Some(owner)) => format!("it belongs to {owner}, and nobody should own it"),
            _ => format!("`{}` is set, and it should not be", path.trim_start_matches("object.")),
        };
    }
    if let Some(path) = inside(text, "has(") {
        return match path {
            "metadata.ownerReferences" => "nobody owns it".to_owned(),
            "status.closed" => "it is still open".to_owned(),
            path => format!("`{}` is not set{}", path.trim_start_matches("object."), if path.starts_with("status") { " yet" } else { "" }),
        };
    }
    match text {
        "spec.tty" => return "it was opened without a terminal (the `t` of `-it`)".to_owned(),
        "spec.stdin" => return "it was opened without input (the `i` of `-it`)".to_owned(),
        "found" => return "the name was not found".to_owned(),
        "!found" => return "the name was found, and it should not be".to_owned(),
        "open" => return "nothing answers at that port".to_owned(),
        "!open" => return "something answers at that port, and nothing should".to_owned(),
        _ => {}
    }
    if let Some((path, call, argument)) = method(text)
        && let (Some((negative, word)), Some(argument)) = (relation(call), literal(argument))
    {
        let pattern = argument;
        let argument = if call == "matches" { readable(pattern) } else { argument.to_owned() };
        if call == "matches" && !path.starts_with('!') && argument.chars().all(|c| c == '…' || c == ' ') {
            let number = pattern.contains("[0-9]") || pattern.contains("\\d");
            return format!("{} {}", subject(path), if number { "has no number" } else { "is not what is looked for" });
        }
        return match path.strip_prefix('!') {
            Some(path) => format!("{} {word} `{argument}`, and it should not", subject(path)),
            None => format!("{} {negative} `{argument}`", subject(path)),
        };
    }
    if let Some(text) = entries::unmet(text, about) {
        return text;
    }
    format!("`{}` is not true", short(text))
}

/// What a call says of a text, when it is not so and when it is.
pub(super) fn relation(call: &str) -> Option<(&'static str, &'static str)> {
    Some(match call {
        "contains" => ("does not contain", "contains"),
        "startsWith" => ("does not begin with", "begins with"),
        "endsWith" => ("does not end with", "ends with"),
        "matches" => ("has nothing like", "has something like"),
        _ => return None,
    })
}

pub(super) fn inside<'a>(text: &'a str, call: &str) -> Option<&'a str> {
    text.strip_prefix(call)?.strip_suffix(')')
}

/// A quoted text.
pub(super) fn literal(text: &str) -> Option<&str> {
    let text = text.trim().trim_start_matches('r');
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    text.strip_prefix(quote)?.strip_suffix(quote)
}

pub(super) fn subject(path: &str) -> String {
    match path {
        "body" => "the page".to_owned(),
        "text" | "stdout" => "what it printed".to_owned(),
        "stderr" => "its error output".to_owned(),
        "link" => "the link".to_owned(),
        path => match header(path) {
            Some(name) => format!("the header `{name}`"),
            None => format!("`{path}`"),
        },
    }
}

/// Who owns an object, as `ReplicaSet web-1`.
fn owner(object: &Value) -> Option<String> {
    let owner = crate::select::controller(object)?;
    Some(format!("{} `{}`", owner["kind"].as_str()?, owner["name"].as_str()?))
}

/// What should have been, in words.
pub(super) fn wanted(operator: &str, want: &Value) -> String {
    match operator {
        "==" => format!("it should be {}", shown(want)),
        "!=" => format!("it should be something other than {}", shown(want)),
        ">=" => format!("it should be at least {}", shown(want)),
        ">" => format!("it should be more than {}", shown(want)),
        "<=" => format!("it should be at most {}", shown(want)),
        "<" => format!("it should be less than {}", shown(want)),
        _ => format!("it should be one of {}", shown(want)),
    }
}

fn number(value: &Value) -> String {
    value.to_string()
}

/// A value in a sentence.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => format!("`{}`", short(text)),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => if *yes { "true" } else { "false" }.to_owned(),
        Value::Array(items) if items.is_empty() => "empty".to_owned(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let items: Vec<String> = items.iter().take(4).map(shown).collect();
            items.join(", ")
        }
        other => format!("`{}`", short(&other.to_string())),
    }
}

/// The first 60 characters of a line.
pub(crate) fn short(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default().replace('`', "'");
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
