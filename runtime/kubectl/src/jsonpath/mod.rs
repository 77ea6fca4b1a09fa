//! client-go's JSONPath: its grammar, its quirks, its errors.
//!
//! A template is text with actions in braces. [`parse`] makes nodes of it, [`eval`] walks an object with them; the result is one list of
//! values per node of the template, since `range` repeats nodes.
// upstream: client-go/util/jsonpath/{parser,jsonpath,node}.go

mod eval;
mod parse;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::print::{go, json};
use parse::Node;

/// A parsed template.
#[derive(Debug, Clone)]
pub struct JsonPath {
    nodes: Vec<Node>,
    /// Whether a missing field is nothing rather than a failure.
    pub allow_missing: bool,
}

impl JsonPath {
    /// Read a template.
    pub fn parse(template: &str) -> Result<Self, String> {
        Ok(Self { nodes: parse::parse(template)?, allow_missing: true })
    }

    /// Read a path as people write it for columns and sorting: `.a.b`, `a.b` or `{.a.b}`.
    // upstream: kubectl/pkg/cmd/get/customcolumn.go RelaxedJSONPathExpression
    pub fn relaxed(path: &str) -> Result<Self, String> {
        Self::parse(&relaxed(path)?)
    }

    /// The values each part of the template finds.
    pub fn find(&self, object: &Value) -> Result<Vec<Vec<Value>>, String> {
        eval::run(&self.nodes, object, self.allow_missing)
    }

    /// The template filled in.
    pub fn print(&self, object: &Value) -> Result<String, String> {
        let mut text = String::new();
        for results in self.find(object)? {
            let shown: Vec<String> = results.iter().map(shown).collect();
            text.push_str(&shown.join(" "));
        }
        Ok(text)
    }

    /// Each part's values as a JSON list.
    pub fn print_json(&self, object: &Value) -> Result<String, String> {
        let lists = self.find(object)?;
        Ok(lists.into_iter().map(|results| json::pretty(&Value::Array(results), "    ") + "\n").collect())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => json::compact(value),
        Value::Null => "null".to_owned(),
        other => go::print(other),
    }
}

/// The strict form of a relaxed path.
pub fn relaxed(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Ok(String::new());
    }
    let inner = match path.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}'),
        None => Some(path),
    };
    let inner = inner.map(|inner| inner.strip_prefix('.').unwrap_or(inner)).filter(|inner| !inner.is_empty() && !inner.contains(['{', '}']));
    inner.map(|inner| format!("{{.{inner}}}")).ok_or_else(|| {
        "unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'".to_owned()
    })
}
