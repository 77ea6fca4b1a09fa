//! What was looked at, seen and wanted, as rows of a table: in words where a condition is more than a field and its value.

use std::sync::Arc;

use drydock_cel::{Bindings, ClauseTrace, Expression};
use drydock_course::check::Source;
use serde_json::{Value, json};

use super::entries::{self, counted};
use super::pattern::readable;
use super::words::{About, inside, literal, relation, subject, things, wanted};
use super::{applied, forwards};
use crate::clauses::{group, method};
use crate::eval::Leaf;
use crate::select::shown;
use crate::verdict::{Evidence, Outcome};
use crate::world::World;

/// Objects that are named beside their number.
const NAMED: usize = 3;

/// The rows of one thing that was looked at.
pub(super) fn of(leaf: &Leaf, world: &World) -> Vec<Evidence> {
    let tag = leaf.source.name();
    let (kind, many) = match &leaf.source {
        Source::List(wanted) => (wanted.kind.as_str(), true),
        Source::Object(wanted) => (wanted.kind.as_str(), false),
        _ => ("", false),
    };
    let kind = if many && kind.is_empty() { "Pod" } else { kind };
    let first = leaf.candidates.first().filter(|_| !many);
    // A stream is named by what was typed, and a record of it is no object that anybody could look at.
    let stream = first.filter(|_| matches!(leaf.source, Source::Stream(_))).map(|stream| forwards::name(stream, world));
    let object = first.filter(|_| stream.is_none()).and_then(|object| Some(shown(object["kind"].as_str()?, object)).filter(|_| object["metadata"]["name"].is_string())).unwrap_or_default();
    // Conditions over what has happened compare what was with what is: that it has, or not, is all there is to see.
    let history = matches!(leaf.source, Source::History(_));
    if leaf.clauses.is_empty() || history {
        let got = leaf.note.clone().filter(|_| !history).map_or_else(|| json!(leaf.outcome == Outcome::Pass), Value::String);
        return vec![Evidence { source: tag.to_owned(), object, path: String::new(), want: json!(leaf.wanted), got }];
    }
    let items = if many { leaf.candidates.as_slice() } else { &[] };
    let about = About { kind, object: first.map(|object| &**object) };
    // Beside what does not hold, what holds is no reason.
    let is_red = leaf.wanted && leaf.clauses.iter().any(|clause| !clause.holds);
    let reasons = leaf.clauses.iter().filter(|clause| !(is_red && clause.holds));
    let rows = reasons.map(|clause| Evidence { source: tag.to_owned(), object: object.clone(), ..row(clause, about, items) });
    let of_stream = |row: Evidence| match &stream {
        Some(name) => Evidence { path: format!("{} of {name}", stream_field(&row.path)), ..row },
        None => row,
    };
    rows.map(of_stream).collect()
}

/// A field of a stream, as somebody knows it who typed the command.
fn stream_field(path: &str) -> &str {
    match path {
        "status.connections" => "connections",
        "status.ports" | "spec.ports" => "ports",
        "status.closed" => "end",
        "status.bytesIn" | "status.bytesOut" => "bytes",
        "spec.tty" => "terminal (-t)",
        "spec.stdin" => "input (-i)",
        "spec.command" => "command",
        "spec.container" => "container",
        "spec.pod" => "Pod",
        other => other,
    }
}

/// One clause.
pub(super) fn row(clause: &ClauseTrace, about: About<'_>, items: &[Arc<Value>]) -> Evidence {
    let (text, kind) = (clause.text.trim(), about.kind);
    let (path, want, got) = match clause.operator.as_str() {
        _ if applied::asks(text) => applied::row(clause, about.object),
        "" => plain(group(text).unwrap_or(text), clause.holds, about),
        operator => {
            let aim = if operator == "==" { clause.want.clone() } else { json!(wanted(operator, &clause.want).trim_start_matches("it should be ").replace('`', "")) };
            let list = clause.left.strip_suffix(".size()").or_else(|| inside(&clause.left, "size("));
            match list {
                Some(list) => (counted(list, kind), aim, how_many(list, &clause.got, items)),
                _ if operator == "!=" && clause.want.is_null() => (field(&clause.left), json!("set"), if clause.got.is_null() { json!("not set") } else { clause.got.clone() }),
                _ => (field(&clause.left), aim, clause.got.clone()),
            }
        }
    };
    Evidence { source: String::new(), object: String::new(), path, want: in_short(want), got: in_short(got) }
}

/// The number of objects, and which they are. One without a field that is asked about counts as one that does not fit.
fn how_many(list: &str, got: &Value, items: &[Arc<Value>]) -> Value {
    let fits = |object: &&Arc<Value>| {
        let names: Bindings = [("items".to_owned(), json!([object]))].into();
        Expression::parse(list).is_ok_and(|list| list.evaluate(&names).outcome.is_ok_and(|found| found.as_array().is_some_and(|found| !found.is_empty())))
    };
    if !list.starts_with("items") {
        return if got.is_null() { json!(0) } else { got.clone() };
    }
    let names: Vec<&str> = items.iter().filter(fits).filter_map(|object| object["metadata"]["name"].as_str()).collect();
    match names.len() {
        _ if got.as_u64().is_some_and(|number| number != names.len() as u64) => got.clone(),
        0 => json!(0),
        number if number > NAMED => json!(format!("{number}: {}, ...", names[..NAMED].join(", "))),
        number => json!(format!("{number}: {}", names.join(", "))),
    }
}

/// A condition that compares nothing.
fn plain(text: &str, holds: bool, about: About<'_>) -> (String, Value, Value) {
    let either = |path: &str, want: String, other: String| (field(path), json!(want), json!(if holds { &want } else { &other }));
    if let Some(path) = inside(text, "!has(") {
        return either(path, "not set".into(), "set".into());
    }
    if let Some(path) = inside(text, "has(") {
        return either(path, "set".into(), "not set".into());
    }
    if let Some((path, call, argument)) = method(text)
        && let (Some((negative, word)), Some(argument)) = (relation(call), literal(argument))
    {
        let argument = if call == "matches" { readable(argument) } else { argument.to_owned() };
        let says = |word: &str| format!("{word} {argument}");
        return match path.strip_prefix('!') {
            Some(path) => either(path, says(negative), says(word)),
            None => either(path, says(word), says(negative)),
        };
    }
    if let Some((path, want, got)) = entries::looked_at(text, holds, about) {
        return (path, json!(want), json!(got));
    }
    match text.strip_prefix('!') {
        Some(path) => (field(path), json!(false), json!(!holds)),
        None => (field(text), json!(true), json!(holds)),
    }
}

/// A value as it may stand in a cell: objects are named, not written out.
fn in_short(value: Value) -> Value {
    let cell = |value: &Value| match (value["kind"].as_str(), value["metadata"]["name"].as_str(), value["name"].as_str()) {
        (kind, Some(name), _) => kind.map_or_else(|| name.to_owned(), |kind| shown(kind, value)),
        (_, None, Some(name)) => name.to_owned(),
        _ => "something".to_owned(),
    };
    match &value {
        Value::Object(fields) if fields.is_empty() => json!("empty"),
        Value::Object(fields) if value["metadata"].is_object() || value["name"].is_string() || fields.values().any(|field| field.is_object() || field.is_array()) => json!(cell(&value)),
        Value::Object(fields) => json!(fields.iter().map(|(key, field)| format!("{key}: {}", field.as_str().map_or_else(|| field.to_string(), str::to_owned))).collect::<Vec<_>>().join(", ")),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => match items.len() {
            number if number > NAMED => json!(format!("{number}: {}, ...", items[..NAMED].iter().map(cell).collect::<Vec<_>>().join(", "))),
            _ => json!(items.iter().map(cell).collect::<Vec<_>>().join(", ")),
        },
        _ => value,
    }
}

/// What a path leads to, as a reader knows it.
fn field(path: &str) -> String {
    match path.trim().trim_start_matches("object.") {
        path @ ("body" | "text" | "stdout" | "stderr" | "link") => subject(path),
        path if path.starts_with("headers") => subject(path).replace('`', ""),
        path if path == "items" => things("", 2),
        path => path.to_owned(),
    }
}
