//! Values as Go's reflection sees them: what came out of a map is held by an interface, what came out of a pipeline is not.

use std::borrow::Cow;

use serde_json::Value;

use crate::print::go;

/// A value of a template.
#[derive(Debug, Clone)]
pub(super) enum Datum<'a> {
    /// No value at all.
    Nothing,
    /// An interface that holds nothing.
    Nil,
    /// What an interface holds.
    Held(Cow<'a, Value>),
    /// A value of its own type.
    Plain(Cow<'a, Value>),
    /// Go's `int`, which no object has.
    Int(i64),
}

impl<'a> Datum<'a> {
    /// What a map or a list gives.
    pub(super) fn held(value: Cow<'a, Value>) -> Self {
        if value.is_null() { Datum::Nil } else { Datum::Held(value) }
    }

    /// Something new.
    pub(super) fn new(value: impl Into<Value>) -> Self {
        Datum::Plain(Cow::Owned(value.into()))
    }

    /// It, without the interface.
    pub(super) fn concrete(self) -> Self {
        match self {
            Datum::Nil => Datum::Nothing,
            Datum::Held(value) => Datum::Plain(value),
            other => other,
        }
    }

    /// The JSON value, when it has one.
    pub(super) fn value(&self) -> Option<&Value> {
        match self {
            Datum::Held(value) | Datum::Plain(value) => Some(value),
            Datum::Nothing | Datum::Nil | Datum::Int(_) => None,
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Datum::Nothing | Datum::Nil)
    }

    /// Its static type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Datum::Nil | Datum::Held(_) => "interface {}",
            other => other.inner_type(),
        }
    }

    /// The type of what is in it.
    pub(super) fn inner_type(&self) -> &'static str {
        match self {
            Datum::Nothing | Datum::Nil => "<nil>",
            Datum::Held(value) | Datum::Plain(value) => go::type_name(value),
            Datum::Int(_) => "int",
        }
    }

    /// `%v`
    pub(super) fn print(&self) -> String {
        match self {
            Datum::Nothing | Datum::Nil => "<nil>".to_owned(),
            Datum::Held(value) | Datum::Plain(value) => go::print(value),
            Datum::Int(number) => number.to_string(),
        }
    }

    /// Its text, when it is one.
    pub(super) fn text(&self) -> Option<&str> {
        self.value().and_then(Value::as_str)
    }

    /// Its integer, when it is one.
    pub(super) fn integer(&self) -> Option<i64> {
        match self {
            Datum::Int(number) => Some(*number),
            other => other.value().filter(|value| !value.is_f64()).and_then(Value::as_i64),
        }
    }

    /// What counts as true.
    pub(super) fn truth(&self) -> bool {
        match self {
            Datum::Int(number) => *number != 0,
            other => match other.value() {
                None | Some(Value::Null) => false,
                Some(Value::Bool(value)) => *value,
                Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
                Some(Value::String(text)) => !text.is_empty(),
                Some(Value::Array(items)) => !items.is_empty(),
                Some(Value::Object(fields)) => !fields.is_empty(),
            },
        }
    }

    /// The field of a map.
    pub(super) fn field(self, name: &str) -> Option<Datum<'a>> {
        match self {
            Datum::Held(value) | Datum::Plain(value) => match value {
                Cow::Borrowed(value) => value.get(name).map(|value| Datum::held(Cow::Borrowed(value))),
                Cow::Owned(mut value) => value.as_object_mut().and_then(|fields| fields.remove(name)).map(|value| Datum::held(Cow::Owned(value))),
            },
            Datum::Nothing | Datum::Nil | Datum::Int(_) => None,
        }
    }

    /// The item of a list.
    pub(super) fn item(self, index: usize) -> Option<Datum<'a>> {
        match self {
            Datum::Held(value) | Datum::Plain(value) => match value {
                Cow::Borrowed(value) => value.get(index).map(|value| Datum::held(Cow::Borrowed(value))),
                Cow::Owned(mut value) => value.get_mut(index).map(|value| Datum::held(Cow::Owned(value.take()))),
            },
            Datum::Nothing | Datum::Nil | Datum::Int(_) => None,
        }
    }
}
