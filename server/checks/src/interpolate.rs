//! `${expression}` inside the strings of a source, filled in from bound names.

use std::collections::BTreeSet;

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
    for part in parts(text)? {
        let expression = match part {
            Part::Text(text) => {
                filled.push_str(text);
                continue;
            }
            Part::Value(expression) => expression,
        };
        match parsed(expression)?.value(bindings).map_err(InterpolateError::Wrong)? {
            Value::Null => return Err(InterpolateError::Missing(expression.to_owned())),
            Value::String(value) => filled.push_str(&value),
            value => filled.push_str(&value.to_string()),
        }
    }
    Ok(filled)
}

/// The names that the placeholders of a source use.
///
/// # Errors
/// When one of them is not closed, or does not parse.
pub fn names(source: &Source) -> Result<BTreeSet<String>, InterpolateError> {
    let tree = serde_json::to_value(source).map_err(|error| InterpolateError::Wrong(error.to_string()))?;
    let mut names = BTreeSet::new();
    collect(&tree, &mut names)?;
    Ok(names)
}

fn collect(tree: &Value, names: &mut BTreeSet<String>) -> Result<(), InterpolateError> {
    match tree {
        Value::String(text) => {
            for part in parts(text)? {
                if let Part::Value(expression) = part {
                    names.extend(parsed(expression)?.variables());
                }
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| collect(item, names)),
        Value::Object(fields) => fields.values().try_for_each(|field| collect(field, names)),
        _ => Ok(()),
    }
}

/// A text with something harmless for each placeholder, so that what is around them can be looked at.
///
/// # Errors
/// When a placeholder is not closed.
pub fn without(text: &str) -> Result<String, InterpolateError> {
    Ok(parts(text)?.into_iter().map(|part| if let Part::Text(text) = part { text } else { "x" }).collect())
}

enum Part<'a> {
    Text(&'a str),
    /// The expression of a placeholder.
    Value(&'a str),
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, InterpolateError> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (expression, behind) = after.split_once('}').ok_or_else(|| InterpolateError::Wrong(format!("`${{` is not closed in `{text}`")))?;
        parts.extend([Part::Text(before), Part::Value(expression)]);
        rest = behind;
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

fn parsed(expression: &str) -> Result<Expression, InterpolateError> {
    Expression::parse(expression).map_err(|error| InterpolateError::Wrong(error.to_string()))
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
