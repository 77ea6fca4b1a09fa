//! Filling a template in.

use std::collections::HashMap;

use serde_json::Value;

use super::functions;
use super::parse::{Command, Node, Pipe, Word};
use crate::print::go;

/// What a list of nodes ended with.
enum Flow {
    Done,
    Break,
    Continue,
}

struct Run<'a> {
    named: &'a HashMap<String, Vec<Node>>,
    text: String,
    variables: Vec<(String, Option<Value>)>,
    allow_missing: bool,
}

/// A value; none is Go's "no value".
type Found = Option<Value>;

pub(super) fn run(nodes: &[Node], named: &HashMap<String, Vec<Node>>, object: &Value, allow_missing: bool) -> Result<String, String> {
    let dot = Some(object.clone());
    let mut run = Run { named, text: String::new(), variables: vec![("$".to_owned(), dot.clone())], allow_missing };
    run.list(nodes, &dot)?;
    Ok(run.text)
}

impl Run<'_> {
    fn list(&mut self, nodes: &[Node], dot: &Found) -> Result<Flow, String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.text.push_str(text),
                Node::Show(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.text.push_str(&value.as_ref().map_or_else(|| "<no value>".to_owned(), shown));
                    }
                }
                Node::If(pipe, body, otherwise) => {
                    let depth = self.variables.len();
                    let value = self.pipe(pipe, dot)?;
                    let flow = self.list(if functions::truth(&value) { body } else { otherwise }, dot)?;
                    self.variables.truncate(depth);
                    if !matches!(flow, Flow::Done) {
                        return Ok(flow);
                    }
                }
                Node::With(pipe, body, otherwise) => {
                    let depth = self.variables.len();
                    let value = self.pipe(pipe, dot)?;
                    let flow = if functions::truth(&value) { self.list(body, &value)? } else { self.list(otherwise, dot)? };
                    self.variables.truncate(depth);
                    if !matches!(flow, Flow::Done) {
                        return Ok(flow);
                    }
                }
                Node::Range(pipe, body, otherwise) => self.range(pipe, body, otherwise, dot)?,
                Node::Template(name, pipe) => self.template(name, pipe.as_ref(), dot)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Done)
    }

    fn template(&mut self, name: &str, pipe: Option<&Pipe>, dot: &Found) -> Result<(), String> {
        let value = pipe.map(|pipe| self.pipe(pipe, dot)).transpose()?.flatten();
        let Some(nodes) = self.named.get(name) else {
            return Err(format!("template: output: template {name:?} not defined"));
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), value.clone())]);
        self.list(nodes, &value)?;
        self.variables = outer;
        Ok(())
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], otherwise: &[Node], dot: &Found) -> Result<(), String> {
        let depth = self.variables.len();
        let value = self.evaluate(pipe, dot)?;
        let entries: Vec<(Value, Value)> = match value {
            Some(Value::Array(items)) => items.into_iter().enumerate().map(|(index, item)| (index.into(), item)).collect(),
            Some(Value::Object(fields)) => {
                let mut entries: Vec<(String, Value)> = fields.into_iter().collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                entries.into_iter().map(|(key, value)| (key.into(), value)).collect()
            }
            Some(Value::Number(number)) if number.is_i64() => (0..number.as_i64().unwrap_or_default()).map(|n| (n.into(), n.into())).collect(),
            None | Some(Value::Null) => Vec::new(),
            Some(other) => return Err(format!("{}: range can't iterate over {}", place(pipe, &pipe.source), go::print(&other))),
        };
        if entries.is_empty() {
            self.list(otherwise, dot)?;
        }
        for (key, item) in entries {
            match pipe.variables.as_slice() {
                [] => {}
                [value] => self.variables.push((value.clone(), Some(item.clone()))),
                [index, value, ..] => {
                    self.variables.push((index.clone(), Some(key)));
                    self.variables.push((value.clone(), Some(item.clone())));
                }
            }
            let flow = self.list(body, &Some(item))?;
            self.variables.truncate(depth);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(())
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Found) -> Result<Found, String> {
        let value = self.evaluate(pipe, dot)?;
        for name in &pipe.variables {
            if pipe.declares {
                self.variables.push((name.clone(), value.clone()));
            } else if let Some(known) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
                known.1 = value.clone();
            }
        }
        Ok(value)
    }

    fn evaluate(&self, pipe: &Pipe, dot: &Found) -> Result<Found, String> {
        let mut value: Option<Found> = None;
        for command in &pipe.commands {
            value = Some(self.command(pipe, command, dot, value)?);
        }
        Ok(value.flatten())
    }

    fn command(&self, pipe: &Pipe, command: &Command, dot: &Found, before: Option<Found>) -> Result<Found, String> {
        let Some((first, rest)) = command.words.split_first() else { return Ok(None) };
        if let Word::Function(name) = first {
            let mut arguments = Vec::new();
            for word in rest {
                let value = self.word(pipe, word, dot)?;
                // `and` and `or` look no further than they need.
                let decided = (name == "and" && !functions::truth(&value)) || (name == "or" && functions::truth(&value));
                arguments.push(value);
                if decided {
                    return Ok(arguments.pop().flatten());
                }
            }
            arguments.extend(before);
            return functions::call(name, &arguments).map_err(|error| format!("{}: error calling {name}: {error}", place(pipe, &command.source)));
        }
        if !rest.is_empty() || before.is_some() {
            return Err(format!("{}: can't give argument to non-function {}", place(pipe, &command.source), command.source));
        }
        self.word(pipe, first, dot)
    }

    fn word(&self, pipe: &Pipe, word: &Word, dot: &Found) -> Result<Found, String> {
        match word {
            Word::Dot => Ok(dot.clone()),
            Word::Nil => Ok(None),
            Word::Literal(value) => Ok(Some(value.clone())),
            Word::Field(fields) => self.fields(pipe, dot.clone(), fields),
            Word::Variable(name, fields) => {
                let value = self.variables.iter().rev().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
                self.fields(pipe, value, fields)
            }
            Word::Function(name) => functions::call(name, &[]).map_err(|error| format!("{}: error calling {name}: {error}", place(pipe, name))),
            Word::Group(inner, fields) => {
                let value = self.evaluate(inner, dot)?;
                self.fields(pipe, value, fields)
            }
        }
    }

    fn fields(&self, pipe: &Pipe, value: Found, fields: &[String]) -> Result<Found, String> {
        let mut value = value;
        for field in fields {
            value = match value {
                Some(Value::Object(mut object)) => match object.remove(field) {
                    None if !self.allow_missing => return Err(format!("{}: map has no entry for key {field:?}", place(pipe, &pipe.source))),
                    found => found,
                },
                None | Some(Value::Null) => None,
                Some(other) => {
                    return Err(format!("{}: can't evaluate field {field} in type {}", place(pipe, &pipe.source), type_of(&other)));
                }
            };
        }
        Ok(value.filter(|value| !value.is_null() || fields.is_empty()))
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) | Value::Object(_) | Value::Null => "interface {}",
        other => go::type_name(other),
    }
}

fn place(pipe: &Pipe, source: &str) -> String {
    format!("template: output:{}:{}: executing \"output\" at <{source}>", pipe.line, pipe.column)
}

fn shown(value: &Value) -> String {
    if value.is_null() { "<no value>".to_owned() } else { go::print(value) }
}
