//! The functions of templates.
// upstream: Go's text/template/funcs.go, cli-runtime/pkg/printers/template.go

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine;
use serde_json::Value;

use super::datum::Datum;
use super::format;

/// What a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    /// Anything, as it is.
    Value,
    /// Anything; what is nothing is nil.
    Any,
    /// A text.
    Text,
}

/// A function's parameters: so many, and more of the last kind when it is variadic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    name: &'static str,
    first: Parameter,
    more: Parameter,
    pub(super) fixed: usize,
    pub(super) variadic: bool,
}

impl Function {
    /// What the argument at an index is to be.
    pub(super) fn parameter(&self, index: usize) -> Parameter {
        if index == 0 { self.first } else { self.more }
    }
}

const fn takes(name: &'static str, first: Parameter, more: Parameter, fixed: usize, variadic: bool) -> Function {
    Function { name, first, more, fixed, variadic }
}

const FUNCTIONS: [Function; 21] = [
    takes("and", Parameter::Value, Parameter::Value, 1, true),
    takes("base64decode", Parameter::Text, Parameter::Text, 1, false),
    takes("call", Parameter::Value, Parameter::Value, 1, true),
    takes("eq", Parameter::Value, Parameter::Value, 1, true),
    takes("exists", Parameter::Any, Parameter::Any, 1, true),
    takes("ge", Parameter::Value, Parameter::Value, 2, false),
    takes("gt", Parameter::Value, Parameter::Value, 2, false),
    takes("html", Parameter::Any, Parameter::Any, 0, true),
    takes("index", Parameter::Value, Parameter::Value, 1, true),
    takes("js", Parameter::Any, Parameter::Any, 0, true),
    takes("le", Parameter::Value, Parameter::Value, 2, false),
    takes("len", Parameter::Value, Parameter::Value, 1, false),
    takes("lt", Parameter::Value, Parameter::Value, 2, false),
    takes("ne", Parameter::Value, Parameter::Value, 2, false),
    takes("not", Parameter::Value, Parameter::Value, 1, false),
    takes("or", Parameter::Value, Parameter::Value, 1, true),
    takes("print", Parameter::Any, Parameter::Any, 0, true),
    takes("printf", Parameter::Text, Parameter::Any, 1, true),
    takes("println", Parameter::Any, Parameter::Any, 0, true),
    takes("slice", Parameter::Value, Parameter::Value, 1, true),
    takes("urlquery", Parameter::Any, Parameter::Any, 0, true),
];

/// The function of a name.
pub(super) fn find(name: &str) -> Option<Function> {
    FUNCTIONS.into_iter().find(|function| function.name == name)
}

/// Whether there is such a function.
pub(super) fn exists(name: &str) -> bool {
    find(name).is_some()
}

/// How an action shows a value.
pub(super) fn shown(value: &Datum<'_>) -> String {
    if value.is_nothing() { "<no value>".to_owned() } else { value.print() }
}

/// Call a function with arguments that fit it.
pub(super) fn call<'a>(name: &str, mut arguments: Vec<Datum<'a>>) -> Result<Datum<'a>, String> {
    let text = |text: String| Ok(Datum::new(text));
    match name {
        "and" | "or" => Ok(arguments.pop().unwrap_or(Datum::Nothing)),
        "not" => Ok(Datum::new(!arguments[0].truth())),
        "len" => length(&arguments[0]).map(|length| Datum::Int(length.try_into().unwrap_or(i64::MAX))),
        "index" => index(arguments),
        "slice" => slice(&arguments),
        "print" => text(join(&arguments, |value| value.print())),
        "println" => text(arguments.iter().map(Datum::print).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => text(format::sprintf(arguments[0].text().unwrap_or_default(), &arguments[1..])),
        "html" => text(escape_html(&join(&arguments, shown))),
        "js" => text(escape_script(&join(&arguments, shown))),
        "urlquery" => text(escape_query(&join(&arguments, shown))),
        "eq" => equal(&arguments).map(Datum::new),
        "ne" => equal(&arguments).map(|equal| Datum::new(!equal)),
        "lt" => less(&arguments).map(Datum::new),
        "ge" => less(&arguments).map(|less| Datum::new(!less)),
        "le" => Ok(Datum::new(less(&arguments)? || equal(&arguments)?)),
        "gt" => Ok(Datum::new(!(less(&arguments)? || equal(&arguments)?))),
        "exists" => Ok(Datum::new(is_there(arguments))),
        "base64decode" => decode(arguments[0].text().unwrap_or_default()).map(Datum::new),
        other => Err(format!("{other} is no function of values")),
    }
}

/// No value is a function.
pub(super) fn uncallable(value: &Datum<'_>, name: String) -> String {
    if value.is_nothing() { "call of nil".to_owned() } else { format!("non-function {name} of type {}", value.inner_type()) }
}

fn length(value: &Datum<'_>) -> Result<usize, String> {
    match (value, value.value()) {
        (_, Some(Value::String(text))) => Ok(text.len()),
        (_, Some(Value::Array(items))) => Ok(items.len()),
        (_, Some(Value::Object(fields))) => Ok(fields.len()),
        (Datum::Nil, _) => Err("len of nil pointer".to_owned()),
        (Datum::Nothing, _) => Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        (other, _) => Err(format!("len of type {}", other.inner_type())),
    }
}

/// An index or the end of a part of what has this length.
fn index_in(index: &Datum<'_>, length: usize) -> Result<usize, String> {
    match index.integer() {
        Some(at) => usize::try_from(at).ok().filter(|at| *at <= length).ok_or_else(|| format!("index out of range: {at}")),
        None if index.is_nothing() => Err("cannot index slice/array with nil".to_owned()),
        None => Err(format!("cannot index slice/array with type {}", index.inner_type())),
    }
}

fn index(arguments: Vec<Datum<'_>>) -> Result<Datum<'_>, String> {
    let mut arguments = arguments.into_iter();
    let mut item = arguments.next().unwrap_or(Datum::Nothing);
    if item.is_nothing() {
        return Err("index of untyped nil".to_owned());
    }
    for key in arguments {
        item = match item.value() {
            Some(Value::Array(items)) => {
                let at = index_in(&key, items.len())?;
                item.item(at).ok_or("reflect: slice index out of range")?
            }
            Some(Value::String(text)) => {
                let at = index_in(&key, text.len())?;
                Datum::Int(text.as_bytes().get(at).copied().ok_or("reflect: string index out of range")?.into())
            }
            Some(Value::Object(_)) => match key.text() {
                Some(name) => item.field(name).unwrap_or(Datum::Nil),
                None if key.is_nothing() => return Err("value is nil; should be of type string".to_owned()),
                None => return Err(format!("value has type {}; should be string", key.inner_type())),
            },
            None if item.is_nothing() => return Err("index of nil pointer".to_owned()),
            _ => return Err(format!("can't index item of type {}", item.inner_type())),
        };
    }
    Ok(item)
}

/// kubectl's own `exists`: whether `index` would find something.
fn is_there(arguments: Vec<Datum<'_>>) -> bool {
    index(arguments).is_ok_and(|found| !found.is_nothing())
}

fn slice<'a>(arguments: &[Datum<'a>]) -> Result<Datum<'a>, String> {
    let (item, indexes) = (&arguments[0], &arguments[1..]);
    if item.is_nothing() {
        return Err("slice of untyped nil".to_owned());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()));
    }
    let length = match item.value() {
        Some(Value::String(_)) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
        Some(Value::String(text)) => text.len(),
        Some(Value::Array(items)) => items.len(),
        _ => return Err(format!("can't slice item of type {}", item.inner_type())),
    };
    let mut ends = [0, length, length];
    for (end, index) in ends.iter_mut().zip(indexes) {
        *end = index_in(index, length)?;
    }
    for pair in ends[..2.max(indexes.len())].windows(2) {
        if pair[0] > pair[1] {
            return Err(format!("invalid slice index: {} > {}", pair[0], pair[1]));
        }
    }
    Ok(match item.value() {
        Some(Value::String(text)) => Datum::new(String::from_utf8_lossy(&text.as_bytes()[ends[0]..ends[1]]).into_owned()),
        Some(Value::Array(items)) => Datum::Plain(Cow::Owned(items[ends[0]..ends[1]].to_vec().into())),
        _ => Datum::Nothing,
    })
}

/// What can be compared: kinds that are equal, and order.
#[derive(Clone, Copy, PartialEq)]
enum Basic<'v> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'v str),
    Other,
}

fn basic<'v>(value: &'v Datum<'_>) -> Basic<'v> {
    match value.value() {
        Some(Value::Bool(value)) => Basic::Bool(*value),
        Some(Value::String(text)) => Basic::Text(text),
        Some(Value::Number(number)) if number.is_f64() => Basic::Float(number.as_f64().unwrap_or_default()),
        _ => value.integer().map_or(Basic::Other, Basic::Int),
    }
}

fn equal(arguments: &[Datum<'_>]) -> Result<bool, String> {
    let Some((left, others)) = arguments.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    for right in others {
        let same = match (basic(left), basic(right)) {
            (Basic::Other, Basic::Other) if left.is_nothing() || right.is_nothing() => left.is_nothing() == right.is_nothing(),
            (Basic::Other, Basic::Other) if left.inner_type() != right.inner_type() => {
                return Err(format!("non-comparable types {}: {}, {}: {}", left.print(), left.inner_type(), right.inner_type(), right.print()));
            }
            (Basic::Other, Basic::Other) => return Err(format!("non-comparable type {}: {}", left.print(), right.inner_type())),
            (left_kind, right_kind) if std::mem::discriminant(&left_kind) != std::mem::discriminant(&right_kind) => {
                if !left.is_nothing() && !right.is_nothing() {
                    return Err("incompatible types for comparison".to_owned());
                }
                false
            }
            (left, right) => left == right,
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

fn less(arguments: &[Datum<'_>]) -> Result<bool, String> {
    let (left, right) = (basic(&arguments[0]), basic(&arguments[1]));
    let order = match (left, right) {
        (Basic::Other, _) | (_, Basic::Other) | (Basic::Bool(_), Basic::Bool(_)) => return Err("invalid type for comparison".to_owned()),
        (Basic::Int(left), Basic::Int(right)) => Some(left.cmp(&right)),
        (Basic::Float(left), Basic::Float(right)) => left.partial_cmp(&right),
        (Basic::Text(left), Basic::Text(right)) => Some(left.cmp(right)),
        _ => return Err("incompatible types for comparison".to_owned()),
    };
    Ok(order == Some(Ordering::Less))
}

/// Go's `fmt.Sprint`: a space between two values neither of which is a text.
fn join(arguments: &[Datum<'_>], print: impl Fn(&Datum<'_>) -> String) -> String {
    let mut text = String::new();
    let mut before_text = true;
    for value in arguments {
        let shown = print(value);
        let is_text = value.text().is_some() || shown == "<no value>";
        if !is_text && !before_text {
            text.push(' ');
        }
        text.push_str(&shown);
        before_text = is_text;
    }
    text
}

// upstream: Go's encoding/base64: line breaks are skipped, errors say where
fn decode(text: &str) -> Result<String, String> {
    let meaningful: Vec<(usize, u8)> = text.bytes().enumerate().filter(|(_, byte)| !matches!(byte, b'\r' | b'\n')).collect();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let corrupt = |at: usize| format!("base64 decode failed: illegal base64 data at input byte {at}");
    let body = meaningful.iter().take_while(|(_, byte)| letter(*byte)).count();
    let padding = (4 - body % 4) % 4;
    let wrong = match (meaningful.get(body), padding) {
        (None, 0) => None,
        // What ends too early is told where its last group begins.
        (None, _) => Some(meaningful.get(body - body % 4).map_or(text.len(), |(at, _)| *at)),
        (Some((at, b'=')), 0 | 3) => Some(*at),
        (Some((_, b'=')), _) if meaningful.len() < body + padding => Some(text.len()),
        (Some((first, b'=')), _) => match meaningful[body + 1..].iter().enumerate().find(|(index, (_, byte))| index + 1 >= padding || *byte != b'=') {
            Some((index, _)) if index + 1 < padding => Some(*first),
            Some((_, (at, _))) => Some(*at),
            None => None,
        },
        (Some((at, _)), _) => Some(*at),
    };
    if let Some(at) = wrong {
        return Err(corrupt(at));
    }
    let bytes: Vec<u8> = meaningful[..body].iter().map(|(_, byte)| *byte).collect();
    let lenient = base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let engine = base64::engine::GeneralPurpose::new(&base64::alphabet::STANDARD, lenient);
    let bytes = engine.decode(&bytes).map_err(|_| corrupt(text.len()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('\'', "&#39;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\0', "\u{fffd}")
}

fn escape_script(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | '\'' | '"' => escaped.extend(['\\', letter]),
            '<' | '>' | '&' | '=' | '\u{0}'..='\u{1f}' => escaped.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter if letter.is_control() => escaped.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn escape_query(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
