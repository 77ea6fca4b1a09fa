//! Walking an object with the nodes of a template.

use std::cmp::Ordering;

use serde_json::Value;

use super::parse::{Node, Slice};
use crate::print::go;

/// What each node finds.
pub(super) fn run(nodes: &[Node], object: &Value, allow_missing: bool) -> Result<Vec<Vec<Value>>, String> {
    let mut walk = Walk { allow_missing, begin: 0, inside: 0, end: 0, last_end: None };
    walk.find(nodes, 0, object)
}

struct Walk {
    allow_missing: bool,
    /// Ranges that were just opened, are open, were just closed.
    begin: usize,
    inside: usize,
    end: usize,
    /// Where the last `end` was.
    last_end: Option<usize>,
}

impl Walk {
    fn find(&mut self, nodes: &[Node], from: usize, object: &Value) -> Result<Vec<Vec<Value>>, String> {
        let mut all = Vec::new();
        let mut index = from;
        while index < nodes.len() {
            let results = self.walk(vec![object.clone()], &nodes[index])?;
            if self.end > 0 && self.end <= self.inside {
                self.end -= 1;
                self.last_end = Some(index);
                break;
            }
            if self.begin > 0 {
                self.begin -= 1;
                self.inside += 1;
                if results.is_empty() {
                    // Only to learn where the range ends.
                    self.find(nodes, index + 1, &Value::Null)?;
                }
                for value in results {
                    all.extend(self.find(nodes, index + 1, &value)?);
                }
                self.inside -= 1;
                if let Some(end) = self.last_end.filter(|end| *end > index) {
                    index = end;
                }
                index += 1;
                continue;
            }
            all.push(results);
            index += 1;
        }
        Ok(all)
    }

    fn walk(&mut self, input: Vec<Value>, node: &Node) -> Result<Vec<Value>, String> {
        match node {
            Node::List(nodes) => self.list(input, nodes),
            Node::Text(text) => Ok(vec![text.clone().into()]),
            Node::Literal(value) => Ok(vec![value.clone()]),
            Node::Field(name) => self.field(&input, name),
            Node::Array(slice) => array(&input, *slice),
            Node::Filter { left, right, operator } => self.filter(&input, left, right, operator),
            Node::Wildcard => Ok(input.iter().flat_map(children).collect()),
            Node::Recursive => Ok(descend(&input)),
            Node::Union(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(self.list(input.clone(), part)?);
                }
                Ok(all)
            }
            Node::Identifier(word) => match word.as_str() {
                "range" => {
                    self.begin += 1;
                    Ok(input)
                }
                "end" if self.inside > 0 => {
                    self.end += 1;
                    Ok(Vec::new())
                }
                "end" => Err("not in range, nothing to end".to_owned()),
                other => Err(format!("unrecognized identifier {other}")),
            },
        }
    }

    fn list(&mut self, mut values: Vec<Value>, nodes: &[Node]) -> Result<Vec<Value>, String> {
        for node in nodes {
            values = self.walk(values, node)?;
        }
        Ok(values)
    }

    fn field(&self, input: &[Value], name: &str) -> Result<Vec<Value>, String> {
        let found: Vec<Value> = input.iter().filter_map(|value| value.as_object()?.get(name).cloned()).collect();
        if found.is_empty() && !input.is_empty() && !self.allow_missing {
            return Err(format!("{name} is not found"));
        }
        Ok(found)
    }

    fn filter(&mut self, input: &[Value], left: &[Node], right: &[Node], operator: &str) -> Result<Vec<Value>, String> {
        let mut passed = Vec::new();
        for value in input {
            let Value::Array(items) = value else {
                return Err(format!("{} is not array or slice and cannot be filtered", go::print(value)));
            };
            for item in items {
                let lefts = self.list(vec![item.clone()], left);
                if operator == "exists" {
                    if lefts.is_ok_and(|lefts| !lefts.is_empty()) {
                        passed.push(item.clone());
                    }
                    continue;
                }
                let Some(left) = single(lefts?)? else { continue };
                let Some(right) = single(self.list(vec![item.clone()], right)?)? else { continue };
                if compare(&left, &right, operator)? {
                    passed.push(item.clone());
                }
            }
        }
        Ok(passed)
    }
}

fn single(values: Vec<Value>) -> Result<Option<Value>, String> {
    if values.len() > 1 { Err("can only compare one element at a time".to_owned()) } else { Ok(values.into_iter().next()) }
}

// upstream: client-go/third_party/forked/golang/template/funcs.go
fn compare(left: &Value, right: &Value, operator: &str) -> Result<bool, String> {
    let order = match (left, right) {
        (Value::String(left), Value::String(right)) => left.cmp(right),
        (Value::Bool(left), Value::Bool(right)) if matches!(operator, "==" | "!=") => left.cmp(right),
        (Value::Number(left), Value::Number(right)) if left.is_f64() == right.is_f64() => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Value::Object(_) | Value::Array(_) | Value::Null, _) | (_, Value::Object(_) | Value::Array(_) | Value::Null) | (Value::Bool(_), Value::Bool(_)) => {
            return Err("invalid type for comparison".to_owned());
        }
        _ => return Err("incompatible types for comparison".to_owned()),
    };
    Ok(match operator {
        "<" => order.is_lt(),
        ">" => order.is_gt(),
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<=" => order.is_le(),
        ">=" => order.is_ge(),
        other => return Err(format!("unrecognized filter operator {other}")),
    })
}

fn array(input: &[Value], slice: Slice) -> Result<Vec<Value>, String> {
    let mut found = Vec::new();
    for value in input {
        let items = match value {
            Value::Array(items) => items,
            Value::Null => continue,
            other => return Err(format!("{} is not array or slice", go::type_name(other))),
        };
        let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let mut start = slice.start.unwrap_or_default();
        if start < 0 {
            start += length;
        }
        let mut end = slice.end.unwrap_or(length);
        if end < 0 || (end == 0 && slice.derived) {
            end += length;
        }
        if start == end {
            return Ok(found);
        }
        if start >= length || start < 0 {
            return Err(format!("array index out of bounds: index {start}, length {length}"));
        }
        if end > length || end < 0 {
            return Err(format!("array index out of bounds: index {}, length {length}", end - 1));
        }
        if start > end {
            return Err(format!("starting index {start} is greater than ending index {end}"));
        }
        let step = slice.step.unwrap_or(1);
        if step <= 0 {
            return Err("step must be > 0".to_owned());
        }
        let as_index = |number: i64| usize::try_from(number).unwrap_or_default();
        found.extend(items[as_index(start)..as_index(end)].iter().step_by(as_index(step)).cloned());
    }
    Ok(found)
}

/// Elements of a list, fields of an object in order.
fn children(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            keys.into_iter().map(|key| fields[key].clone()).collect()
        }
        _ => Vec::new(),
    }
}

fn descend(input: &[Value]) -> Vec<Value> {
    let mut all = Vec::new();
    for value in input {
        let inner = children(value);
        // A text is a list of its letters, none of which has more in it.
        if !inner.is_empty() || value.as_str().is_some_and(|text| !text.is_empty()) {
            all.push(value.clone());
            all.extend(descend(&inner));
        }
    }
    all
}
