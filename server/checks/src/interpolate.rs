//! `${expression}` inside the strings of a source, filled in from bound names.

use drydock_cel::{Bindings, Expression};
use drydock_course::check::Source;
use serde_json::Value;

/// What stopped a source from being filled in.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InterpolateError {
    /// A name has no value yet.
    #[error("${{{0}}} has no value yet")]
    Missing(String),
    /// An expression is wrong.
    #[error("{0}")]
    Wrong(String),
}

/// Fill in every string of a source.
///
/// # Errors
/// When an expression does not parse or its value is not there yet.
pub fn source(source: &Source, bindings: &Bindings) -> Result<Source, InterpolateError> {
    let wrong = |error: serde_json::Error| InterpolateError::Wrong(error.to_string());
    let mut tree = serde_json::to_value(source).map_err(wrong)?;
    if !holds_placeholder(&tree) {
        return Ok(source.clone());
    }
    fill(&mut tree, bindings)?;
    serde_json::from_value(tree).map_err(wrong)
}

fn holds_placeholder(tree: &Value) -> bool {
    match tree {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(holds_placeholder),
        Value::Object(fields) => fields.values().any(holds_placeholder),
        _ => false,
    }
}

fn fill(tree: &mut Value, bindings: &Bindings) -> Result<(), InterpolateError> {
    match tree {
        Value::String(text) => *text = string(text, bindings)?,
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, bindings))?,
        Value::Object(fields) => fields.values_mut().try_for_each(|field| fill(field, bindings))?,
        _ => {}
    }
    Ok(())
}

/// Fill in one string.
///
/// # Errors
/// As [`source`].
pub fn string(text: &str, bindings: &Bindings) -> Result<String, InterpolateError> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else { break };
        filled.push_str(&rest[..start]);
        let expression = &rest[start + 2..start + length];
        let parsed = Expression::parse(expression).map_err(|error| InterpolateError::Wrong(error.to_string()))?;
        match parsed.value(bindings).map_err(InterpolateError::Wrong)? {
            Value::Null => return Err(InterpolateError::Missing(expression.to_owned())),
            Value::String(value) => filled.push_str(&value),
            value => filled.push_str(&value.to_string()),
        }
        rest = &rest[start + length + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_go_into_strings() {
        let bindings: Bindings = [("was".to_owned(), json!({"ip": "10.0.0.1", "n": 3}))].into();
        assert_eq!(string("http://${was.ip}:${was.n}/", &bindings), Ok("http://10.0.0.1:3/".to_owned()));
        assert_eq!(string("plain", &bindings), Ok("plain".to_owned()));
        assert_eq!(string("${was.gone}", &bindings), Err(InterpolateError::Missing("was.gone".to_owned())));
    }
}
