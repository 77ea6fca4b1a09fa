//! The functions of templates.

use std::cmp::Ordering;

use base64::Engine;
use serde_json::Value;

use crate::print::go;

const NAMES: [&str; 19] = [
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery", "eq", "ne", "lt", "le", "gt", "ge", "call",
];

/// Whether there is such a function.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name) || matches!(name, "exists" | "base64decode")
}

/// What counts as true.
pub(super) fn truth(value: &Option<Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(value)) => *value,
        Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(fields)) => !fields.is_empty(),
    }
}

/// Call a function.
pub(super) fn call(name: &str, arguments: &[Option<Value>]) -> Result<Option<Value>, String> {
    let texts = || arguments.iter().map(|value| value.as_ref().map_or_else(|| "<no value>".to_owned(), go::print)).collect::<Vec<_>>();
    let first = arguments.first().cloned().flatten();
    Ok(Some(match name {
        "and" | "or" => return Ok(arguments.last().cloned().flatten()),
        "not" => (!truth(&first)).into(),
        "len" => length(first.as_ref())?.into(),
        "index" => return index(arguments),
        "slice" => return slice(arguments),
        "print" => join(arguments).into(),
        "println" => (texts().join(" ") + "\n").into(),
        "printf" => printf(arguments).into(),
        "html" => escape_html(&texts().concat()).into(),
        "js" => texts().concat().replace('\\', "\\\\").replace('\'', "\\'").replace('"', "\\\"").replace('<', "\\u003C").replace('>', "\\u003E").into(),
        "urlquery" => crate::rest::encode(&texts().concat()).into(),
        "eq" => {
            let Some((first, rest)) = arguments.split_first() else { return Err("missing argument for comparison".to_owned()) };
            let mut equal = false;
            for other in rest {
                equal |= same(first, other)?;
            }
            equal.into()
        }
        "ne" => (!same(&first, &arguments.get(1).cloned().flatten())?).into(),
        "lt" | "le" | "gt" | "ge" => {
            let order = order(first.as_ref(), arguments.get(1).and_then(Option::as_ref))?;
            match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            }
            .into()
        }
        "exists" => index(arguments).is_ok_and(|found| found.is_some()).into(),
        "base64decode" => {
            let text = texts().concat();
            let bytes = base64::engine::general_purpose::STANDARD.decode(&text).map_err(|error| format!("base64 decode failed: {error}"))?;
            String::from_utf8_lossy(&bytes).into_owned().into()
        }
        other => return Err(format!("{other} is no function of values")),
    }))
}

fn length(value: Option<&Value>) -> Result<usize, String> {
    match value {
        Some(Value::String(text)) => Ok(text.len()),
        Some(Value::Array(items)) => Ok(items.len()),
        Some(Value::Object(fields)) => Ok(fields.len()),
        None | Some(Value::Null) => Err("len of nil pointer".to_owned()),
        Some(other) => Err(format!("len of type {}", go::type_name(other))),
    }
}

fn index(arguments: &[Option<Value>]) -> Result<Option<Value>, String> {
    let Some((first, keys)) = arguments.split_first() else { return Err("wrong number of args for index: want at least 1 got 0".to_owned()) };
    let mut value = first.clone();
    for key in keys {
        value = match (value, key) {
            (Some(Value::Array(items)), Some(Value::Number(number))) => {
                let at = number.as_i64().unwrap_or(-1);
                let item = usize::try_from(at).ok().and_then(|at| items.get(at).cloned());
                Some(item.ok_or_else(|| format!("index out of range: {at}"))?)
            }
            (Some(Value::Object(mut fields)), Some(Value::String(name))) => fields.remove(name),
            (None | Some(Value::Null), _) => return Err("index of untyped nil".to_owned()),
            (Some(Value::Array(_)), Some(other)) => return Err(format!("cannot index slice/array with type {}", go::type_name(other))),
            (Some(Value::Array(_)), None) => return Err("cannot index slice/array with nil".to_owned()),
            (Some(Value::Object(_)), Some(other)) => return Err(format!("value has type {}; should be string", go::type_name(other))),
            (Some(other), _) => return Err(format!("can't index item of type {}", go::type_name(&other))),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Option<Value>]) -> Result<Option<Value>, String> {
    let at = |index: usize, otherwise: usize| {
        let number = arguments.get(index).and_then(|value| value.as_ref()?.as_u64());
        number.and_then(|number| usize::try_from(number).ok()).unwrap_or(otherwise)
    };
    let out_of_range = || "slice: index out of range".to_owned();
    match arguments.first().and_then(Option::as_ref) {
        Some(Value::String(text)) => text.get(at(1, 0)..at(2, text.len())).map(|part| Some(part.into())).ok_or_else(out_of_range),
        Some(Value::Array(items)) => items.get(at(1, 0)..at(2, items.len())).map(|part| Some(part.to_vec().into())).ok_or_else(out_of_range),
        Some(other) => Err(format!("can't slice item of type {}", go::type_name(other))),
        None => Err("slice of untyped nil".to_owned()),
    }
}

fn same(left: &Option<Value>, right: &Option<Value>) -> Result<bool, String> {
    match (left, right) {
        (None | Some(Value::Null), None | Some(Value::Null)) => Ok(true),
        (None | Some(Value::Null), _) | (_, None | Some(Value::Null)) => Ok(false),
        (Some(Value::Object(_) | Value::Array(_)), _) | (_, Some(Value::Object(_) | Value::Array(_))) => Err("non-comparable type".to_owned()),
        (Some(Value::Bool(left)), Some(Value::Bool(right))) => Ok(left == right),
        (left, right) => Ok(order(left.as_ref(), right.as_ref())?.is_eq()),
    }
}

fn order(left: Option<&Value>, right: Option<&Value>) -> Result<Ordering, String> {
    match (left, right) {
        (Some(Value::String(left)), Some(Value::String(right))) => Ok(left.cmp(right)),
        (Some(Value::Number(left)), Some(Value::Number(right))) if left.is_f64() == right.is_f64() => {
            Ok(left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal))
        }
        (Some(Value::String(_) | Value::Number(_)), Some(Value::String(_) | Value::Number(_))) => Err("incompatible types for comparison".to_owned()),
        _ => Err("invalid type for comparison".to_owned()),
    }
}

/// Go's `fmt.Sprint`: a space between two values neither of which is a text.
fn join(arguments: &[Option<Value>]) -> String {
    let mut text = String::new();
    let mut before_text = true;
    for value in arguments {
        let is_text = matches!(value, Some(Value::String(_)));
        if !is_text && !before_text {
            text.push(' ');
        }
        text.push_str(&value.as_ref().map_or_else(|| "<nil>".to_owned(), go::print));
        before_text = is_text;
    }
    text
}

/// Go's `fmt.Sprintf` for JSON values.
fn printf(arguments: &[Option<Value>]) -> String {
    let pattern = match arguments.first() {
        Some(Some(Value::String(pattern))) => pattern.clone(),
        _ => return String::new(),
    };
    let mut values = arguments[1..].iter();
    let mut text = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        let mut spec = String::new();
        while let Some(next) = letters.next_if(|next| "+-# 0123456789.".contains(*next)) {
            spec.push(next);
        }
        match letters.next() {
            Some('%') => text.push('%'),
            Some(verb) => match values.next() {
                Some(value) => text.push_str(&pad(&verb_text(verb, value.as_ref(), &spec), &spec)),
                None => text.push_str(&format!("%!{verb}(MISSING)")),
            },
            None => text.push_str("%!(NOVERB)"),
        }
    }
    text
}

fn verb_text(verb: char, value: Option<&Value>, spec: &str) -> String {
    let Some(value) = value else { return if verb == 'v' { "<nil>".to_owned() } else { format!("%!{verb}(<nil>)") } };
    let precision = spec.split_once('.').and_then(|(_, digits)| digits.parse::<usize>().ok());
    match (verb, value) {
        ('v', value) => go::print(value),
        ('s', Value::String(text)) => precision.map_or_else(|| text.clone(), |length| text.chars().take(length).collect()),
        ('s', Value::Array(_) | Value::Object(_)) => go::print(value),
        ('q', Value::String(text)) => go::quote(text),
        ('d', Value::Number(number)) if !number.is_f64() => number.to_string(),
        ('x', Value::Number(number)) if number.is_i64() => format!("{:x}", number.as_i64().unwrap_or_default()),
        ('x', Value::String(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('f', Value::Number(number)) if number.is_f64() => format!("{:.*}", precision.unwrap_or(6), number.as_f64().unwrap_or_default()),
        ('g', Value::Number(number)) if number.is_f64() => go::print(value),
        ('T', value) => go::type_name(value).to_owned(),
        (verb, value) => format!("%!{verb}({}={})", go::type_name(value), go::print(value)),
    }
}

fn pad(text: &str, spec: &str) -> String {
    let width: usize = spec.split('.').next().unwrap_or_default().trim_start_matches(['+', '-', '#', ' ', '0']).parse().unwrap_or_default();
    let missing = width.saturating_sub(text.chars().count());
    if spec.contains('-') {
        format!("{text}{}", " ".repeat(missing))
    } else if spec.starts_with('0') {
        format!("{}{text}", "0".repeat(missing))
    } else {
        format!("{}{text}", " ".repeat(missing))
    }
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('\'', "&#39;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}
