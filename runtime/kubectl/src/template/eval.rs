//! Filling a template in.
// upstream: Go's text/template/exec.go

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;

use serde_json::Value;

use super::datum::Datum;
use super::functions::{self, Function, Parameter};
use super::tree::{Branch, Command, Node, Number, Operand, Pipe, Word};

/// How deep blocks and calls stand in each other; a call counts twice. Upstream's limit, which is what the error says, would need a stack of
/// its own.
const DEPTH: usize = 800;

/// What is filled in.
pub(super) struct Job<'a> {
    pub(super) source: &'a str,
    pub(super) named: &'a HashMap<String, Vec<Node>>,
    pub(super) allow_missing: bool,
}

/// What a list of nodes ended with.
#[derive(PartialEq, Eq)]
enum Flow {
    Done,
    Break,
    Continue,
}

/// Where in the template something is done, for errors.
#[derive(Clone, Copy)]
enum Place<'a> {
    Show(&'a Pipe),
    Template(&'a str, Option<&'a Pipe>, usize),
    Pipe(&'a Pipe),
    Command(&'a Command),
    Word(&'a Word),
}

struct Run<'a, 't> {
    job: &'t Job<'a>,
    name: &'t str,
    depth: usize,
    text: &'t mut String,
    variables: Vec<(String, Datum<'a>)>,
    place: Place<'a>,
}

/// The text of a template; with an error, what there was until then.
pub(super) fn run<'a>(job: &Job<'a>, nodes: &'a [Node], object: &'a Value) -> (String, Result<(), String>) {
    let mut text = String::new();
    let dot = Datum::Plain(Cow::Borrowed(object));
    let mut run = Run { job, name: "output", depth: 0, text: &mut text, variables: vec![("$".to_owned(), dot.clone())], place: Place::Template("", None, 0) };
    let outcome = run.list(nodes, &dot).map(drop);
    (text, outcome)
}

impl<'a> Run<'a, '_> {
    fn error<T>(&self, what: impl Display) -> Result<T, String> {
        let (at, shown) = match self.place {
            Place::Show(pipe) => (pipe.at, format!("{{{{{pipe}}}}}")),
            Place::Template(name, None, at) => (at, format!("{{{{template {name:?}}}}}")),
            Place::Template(name, Some(pipe), at) => (at, format!("{{{{template {name:?} {pipe}}}}}")),
            Place::Pipe(pipe) => (pipe.at, pipe.to_string()),
            Place::Command(command) => (command.at, command.to_string()),
            Place::Word(word) => (word.at, word.to_string()),
        };
        let before = &self.job.source[..at];
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        let line = 1 + before.matches('\n').count();
        Err(format!("template: output:{line}:{column}: executing {:?} at <{shown}>: {what}", self.name))
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Datum<'a>) -> Result<Flow, String> {
        if self.depth >= DEPTH {
            return self.too_deep();
        }
        self.depth += 1;
        let flow = self.nodes(nodes, dot);
        self.depth -= 1;
        flow
    }

    fn too_deep<T>(&self) -> Result<T, String> {
        self.error("exceeded maximum template depth (100000)")
    }

    fn nodes(&mut self, nodes: &'a [Node], dot: &Datum<'a>) -> Result<Flow, String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.text.push_str(text),
                Node::Show(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.place = Place::Show(pipe);
                        self.text.push_str(&functions::shown(&value));
                    }
                }
                Node::If(branch) | Node::With(branch) => {
                    let depth = self.variables.len();
                    let value = self.pipe(&branch.pipe, dot)?;
                    let flow = match node {
                        _ if !value.truth() => self.list(&branch.otherwise, dot)?,
                        Node::With(_) => self.list(&branch.body, &value)?,
                        _ => self.list(&branch.body, dot)?,
                    };
                    self.variables.truncate(depth);
                    if flow != Flow::Done {
                        return Ok(flow);
                    }
                }
                Node::Range(branch) => {
                    let flow = self.range(branch, dot)?;
                    if flow != Flow::Done {
                        return Ok(flow);
                    }
                }
                Node::Template(name, pipe, at) => self.template(name, pipe.as_ref(), *at, dot)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::Done)
    }

    fn template(&mut self, name: &'a str, pipe: Option<&'a Pipe>, at: usize, dot: &Datum<'a>) -> Result<(), String> {
        self.place = Place::Template(name, pipe, at);
        let Some(nodes) = self.job.named.get(name) else { return self.error(format!("template {name:?} not defined")) };
        if self.depth + 1 >= DEPTH {
            return self.too_deep();
        }
        let value = pipe.map(|pipe| self.pipe(pipe, dot)).transpose()?.unwrap_or(Datum::Nothing);
        let variables = vec![("$".to_owned(), value.clone())];
        let mut inner = Run { job: self.job, name, depth: self.depth + 1, text: self.text, variables, place: self.place };
        inner.list(nodes, &value).map(drop)
    }

    fn range(&mut self, branch: &'a Branch, dot: &Datum<'a>) -> Result<Flow, String> {
        let outer = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let entries = match &value {
            Datum::Nothing | Datum::Nil => Vec::new(),
            Datum::Int(_) => return self.error(format!("range can't iterate over {}", value.print())),
            Datum::Held(held) | Datum::Plain(held) => match held {
                Cow::Borrowed(value) => entries(value).map(|all| all.into_iter().map(|(key, item)| (key, Datum::held(Cow::Borrowed(item)))).collect()),
                Cow::Owned(value) => entries(value).map(|all| all.into_iter().map(|(key, item)| (key, Datum::held(Cow::Owned(item.clone())))).collect()),
            }
            .map_or_else(|| self.error(format!("range can't iterate over {}", value.print())), Ok)?,
        };
        if entries.is_empty() {
            let flow = self.list(&branch.otherwise, dot)?;
            self.variables.truncate(outer);
            return Ok(flow);
        }
        let depth = self.variables.len();
        for (key, item) in entries {
            match (branch.pipe.variables.as_slice(), branch.pipe.assigns) {
                ([], _) => {}
                ([variable], true) => self.assign(variable, item.clone())?,
                ([index, variable, ..], true) => {
                    self.assign(index, key)?;
                    self.assign(variable, item.clone())?;
                }
                ([_], false) => self.variables[depth - 1].1 = item.clone(),
                (_, false) => {
                    self.variables[depth - 1].1 = item.clone();
                    self.variables[depth - 2].1 = key;
                }
            }
            let flow = self.list(&branch.body, &item)?;
            self.variables.truncate(depth);
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(outer);
        Ok(Flow::Done)
    }

    fn assign(&mut self, name: &str, value: Datum<'a>) -> Result<(), String> {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some(known) => known.1 = value,
            None => return self.error(format!("undefined variable: {name}")),
        }
        Ok(())
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Datum<'a>) -> Result<Datum<'a>, String> {
        self.place = Place::Pipe(pipe);
        let mut value: Option<Datum<'a>> = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?.concrete());
        }
        let value = value.unwrap_or(Datum::Nothing);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'a Command, dot: &Datum<'a>, last: Option<Datum<'a>>) -> Result<Datum<'a>, String> {
        let (first, rest) = (&command.words[0], &command.words[1..]);
        let given = !rest.is_empty() || last.is_some();
        match &first.what {
            Operand::Function(name) => return self.function(first, name, Place::Command(command), dot, (rest, last)),
            Operand::Field(_) | Operand::Chain(..) => return self.chain(first, dot, given),
            Operand::Variable(names) if names.len() > 1 => return self.chain(first, dot, given),
            // Where a group stands is not told.
            Operand::Group(_) => {}
            _ => self.place = Place::Word(first),
        }
        if given {
            return self.error(format!("can't give argument to non-function {first}"));
        }
        match &first.what {
            Operand::Nil => self.error("nil is not a command"),
            _ => self.word(first, dot),
        }
    }

    /// The value of a word that stands alone.
    fn word(&mut self, word: &'a Word, dot: &Datum<'a>) -> Result<Datum<'a>, String> {
        self.place = Place::Word(word);
        match &word.what {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Datum::Nothing),
            Operand::Bool(value) => Ok(Datum::new(*value)),
            Operand::Text(_, text) => Ok(Datum::new(text.as_str())),
            Operand::Number(_, Number::Int(number)) => Ok(Datum::Int(*number)),
            Operand::Number(_, Number::Float(number)) => Ok(Datum::new(*number)),
            Operand::Number(text, Number::Large) => self.error(format!("{text} overflows int")),
            Operand::Function(name) => self.function(word, name, Place::Word(word), dot, (&[], None)),
            Operand::Group(pipe) => self.pipe(pipe, dot),
            Operand::Variable(names) if names.len() == 1 => self.variable(&names[0]),
            Operand::Field(_) | Operand::Chain(..) | Operand::Variable(_) => self.chain(word, dot, false),
        }
    }

    fn variable(&self, name: &str) -> Result<Datum<'a>, String> {
        match self.variables.iter().rev().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.error(format!("undefined variable: {name}")),
        }
    }

    /// `.a.b`, `$x.a.b` and `(...).a.b`; `given` says that there are arguments, which no field takes.
    fn chain(&mut self, word: &'a Word, dot: &Datum<'a>, given: bool) -> Result<Datum<'a>, String> {
        self.place = Place::Word(word);
        let (mut value, names): (Datum<'a>, &[String]) = match &word.what {
            Operand::Field(names) => (dot.clone(), names),
            Operand::Variable(names) => (self.variable(&names[0])?, &names[1..]),
            Operand::Chain(inner, names) => (self.word(inner, dot)?, names),
            _ => return self.word(word, dot),
        };
        for (index, name) in names.iter().enumerate() {
            value = self.field(value, name, given && index + 1 == names.len())?;
        }
        Ok(value)
    }

    fn field(&self, value: Datum<'a>, name: &str, given: bool) -> Result<Datum<'a>, String> {
        match &value {
            Datum::Nothing if self.job.allow_missing => return Ok(Datum::Nothing),
            Datum::Nothing => return self.error(format!("nil data; no entry for key {name:?}")),
            Datum::Nil => return self.error(format!("nil pointer evaluating interface {{}}.{name}")),
            _ => {}
        }
        if !value.value().is_some_and(Value::is_object) {
            return self.error(format!("can't evaluate field {name} in type {}", value.type_name()));
        }
        if given {
            return self.error(format!("{name} is not a method but has arguments"));
        }
        match value.field(name) {
            Some(found) => Ok(found),
            None if self.job.allow_missing => Ok(Datum::Nothing),
            None => self.error(format!("map has no entry for key {name:?}")),
        }
    }

    fn function(&mut self, word: &'a Word, name: &str, place: Place<'a>, dot: &Datum<'a>, given: (&'a [Word], Option<Datum<'a>>)) -> Result<Datum<'a>, String> {
        let (words, last) = given;
        self.place = Place::Word(word);
        let Some(function) = functions::find(name) else { return self.error(format!("{name:?} is not a defined function")) };
        let count = words.len() + usize::from(last.is_some());
        match function {
            Function { variadic: true, fixed, .. } if count < fixed => return self.error(format!("wrong number of args for {name}: want at least {fixed} got {}", words.len())),
            Function { variadic: false, fixed, .. } if count != fixed => return self.error(format!("wrong number of args for {name}: want {fixed} got {count}")),
            _ => {}
        }
        let mut arguments = Vec::with_capacity(count);
        for (index, word) in words.iter().enumerate() {
            let value = self.argument(word, function.parameter(index), dot)?;
            // `and` and `or` look no further than they need.
            if matches!(name, "and" | "or") && value.truth() == (name == "or") {
                return Ok(value);
            }
            arguments.push(value);
        }
        if let Some(last) = last {
            arguments.push(self.fit(last, function.parameter(words.len()))?);
        }
        let outcome = match name {
            "call" => Err(functions::uncallable(&arguments[0], words.first().map(ToString::to_string).unwrap_or_default())),
            _ => functions::call(name, arguments),
        };
        outcome.or_else(|error| {
            self.place = place;
            self.error(format!("error calling {name}: {error}"))
        })
    }

    fn argument(&mut self, word: &'a Word, parameter: Parameter, dot: &Datum<'a>) -> Result<Datum<'a>, String> {
        self.place = Place::Word(word);
        match (&word.what, parameter) {
            (Operand::Nil, Parameter::Text) => self.error("cannot assign nil to string"),
            (Operand::Nil, Parameter::Value) => Ok(Datum::Nothing),
            (Operand::Nil, Parameter::Any) => Ok(Datum::Nil),
            (Operand::Bool(_) | Operand::Number(..), Parameter::Text) => self.error(format!("expected string; found {word}")),
            _ => {
                let value = self.word(word, dot)?;
                self.fit(value, parameter)
            }
        }
    }

    /// A value as a parameter takes it.
    fn fit(&self, value: Datum<'a>, parameter: Parameter) -> Result<Datum<'a>, String> {
        match parameter {
            Parameter::Value => Ok(value),
            Parameter::Any => Ok(if value.is_nothing() { Datum::Nil } else { value }),
            Parameter::Text if value.text().is_some() => Ok(value),
            Parameter::Text if matches!(value, Datum::Nothing) => self.error("invalid value; expected string"),
            Parameter::Text if matches!(value, Datum::Nil) => self.error("wrong type for value; expected string; got interface {}"),
            Parameter::Text => self.error(format!("wrong type for value; expected string; got {}", value.inner_type())),
        }
    }
}

/// What a list or a map has, in Go's order; nothing of anything else.
fn entries<'v, 'a>(value: &'v Value) -> Option<Vec<(Datum<'a>, &'v Value)>> {
    match value {
        Value::Array(items) => Some(items.iter().zip(0..).map(|(item, index)| (Datum::Int(index), item)).collect()),
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            Some(keys.into_iter().map(|key| (Datum::new(key.as_str()), &fields[key])).collect())
        }
        _ => None,
    }
}
