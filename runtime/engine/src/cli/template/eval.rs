//! Filling a tree in with values.

use serde_json::{Number, Value};

use super::TemplateError;
use super::parse::{Node, Operand, Pipeline, What};

/// Answers fields of the top value that are no plain fields; `None` when there is no such method.
pub(in crate::cli) type Method<'a> = &'a dyn Fn(&str, &[Value]) -> Option<Value>;

/// Functions a template may call.
pub(super) const FUNCTIONS: [&str; 24] = [
    "json", "index", "join", "split", "upper", "lower", "title", "pad", "truncate", "println", "print", "printf", "len", "not", "and", "or",
    "eq", "ne", "lt", "le", "gt", "ge", "slice", "html",
];

pub(super) struct Evaluator<'a> {
    top: &'a Value,
    method: Method<'a>,
    variables: Vec<(String, Value)>,
}

type Evaluated = Result<Value, TemplateError>;

impl<'a> Evaluator<'a> {
    pub(super) fn new(top: &'a Value, method: Method<'a>) -> Self {
        Evaluator { top, method, variables: vec![(String::new(), top.clone())] }
    }

    pub(super) fn render(mut self, nodes: &[Node]) -> Result<String, TemplateError> {
        let mut out = String::new();
        let top = self.top.clone();
        self.nodes(nodes, &top, &mut out)?;
        Ok(out)
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value, out: &mut String) -> Result<(), TemplateError> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    match pipeline.variables.first() {
                        Some(name) => self.variables.push((name.clone(), value)),
                        None => out.push_str(&print(&value)),
                    }
                }
                Node::If { test, then, otherwise } => {
                    let branch = if truth(&self.pipeline(test, dot)?) { then } else { otherwise };
                    self.scoped(branch, dot, Vec::new(), out)?;
                }
                Node::With { value, then, otherwise } => {
                    let found = self.pipeline(value, dot)?;
                    let set = value.variables.first().map(|name| (name.clone(), found.clone()));
                    if truth(&found) {
                        self.scoped(then, &found, set.into_iter().collect(), out)?;
                    } else {
                        self.scoped(otherwise, dot, Vec::new(), out)?;
                    }
                }
                Node::Range { over, each, otherwise } => self.range(over, each, otherwise, dot, out)?,
            }
        }
        Ok(())
    }

    fn range(&mut self, over: &Pipeline, each: &[Node], otherwise: &[Node], dot: &Value, out: &mut String) -> Result<(), TemplateError> {
        let entries: Vec<(Value, Value)> = match self.pipeline(over, dot)? {
            Value::Array(values) => values.into_iter().enumerate().map(|(at, value)| (at.into(), value)).collect(),
            Value::Object(map) => map.into_iter().map(|(key, value)| (key.into(), value)).collect(),
            Value::Null => Vec::new(),
            other => return Err(fail(over.commands.first().and_then(|command| command.first()), &format!("range can't iterate over {}", print(&other)))),
        };
        if entries.is_empty() {
            return self.scoped(otherwise, dot, Vec::new(), out);
        }
        for (key, value) in entries {
            let set = match over.variables.as_slice() {
                [one] => vec![(one.clone(), value.clone())],
                [one, two] => vec![(one.clone(), key), (two.clone(), value.clone())],
                _ => Vec::new(),
            };
            self.scoped(each, &value, set, out)?;
        }
        Ok(())
    }

    fn scoped(&mut self, nodes: &[Node], dot: &Value, set: Vec<(String, Value)>, out: &mut String) -> Result<(), TemplateError> {
        let outside = self.variables.len();
        self.variables.extend(set);
        let result = self.nodes(nodes, dot, out);
        self.variables.truncate(outside);
        result
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Evaluated {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, dot, piped)?);
        }
        Ok(piped.unwrap_or(Value::Null))
    }

    fn command(&mut self, command: &[Operand], dot: &Value, piped: Option<Value>) -> Evaluated {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Null) };
        let mut args = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        args.extend(piped);
        match &first.what {
            What::Function(name) => {
                let value = call(name, &args).map_err(|problem| fail(Some(first), &problem))?;
                self.fields(value, first)
            }
            What::Dot if !args.is_empty() => match first.fields.as_slice() {
                [name] => (self.method)(name, &args).ok_or_else(|| fail(Some(first), &format!("{name} has arguments but cannot be invoked as function"))),
                _ => Err(fail(Some(first), "can't give argument to non-function")),
            },
            _ if !args.is_empty() => Err(fail(Some(first), "can't give argument to non-function")),
            _ => self.operand(first, dot),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Evaluated {
        let value = match &operand.what {
            What::Dot => dot.clone(),
            What::Variable(name) => match self.variables.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => value.clone(),
                None => return Err(fail(Some(operand), &format!("undefined variable \"${name}\""))),
            },
            What::Text(text) => text.as_str().into(),
            What::Number(number) => number_value(*number),
            What::Bool(value) => (*value).into(),
            What::Nil => Value::Null,
            What::Function(name) => call(name, &[]).map_err(|problem| fail(Some(operand), &problem))?,
            What::Pipeline(inner) => self.pipeline(inner, dot)?,
        };
        self.fields(value, operand)
    }

    fn fields(&self, mut value: Value, operand: &Operand) -> Evaluated {
        for name in &operand.fields {
            value = match value {
                Value::Object(mut map) => match map.remove(name) {
                    Some(found) => found,
                    None => match (self.method)(name, &[]) {
                        Some(found) => found,
                        None => return Err(fail(Some(operand), &format!("map has no entry for key {name:?}"))),
                    },
                },
                Value::Null => return Err(fail(Some(operand), &format!("nil pointer evaluating interface {{}}.{name}"))),
                other => return Err(fail(Some(operand), &format!("can't evaluate field {name} in type {}", kind(&other)))),
            };
        }
        Ok(value)
    }
}

fn fail(operand: Option<&Operand>, problem: &str) -> TemplateError {
    let (column, at) = operand.map_or((0, String::new()), |operand| {
        let head = match &operand.what {
            What::Dot => String::new(),
            What::Variable(name) => format!("${name}"),
            What::Function(name) => name.clone(),
            _ => "...".to_owned(),
        };
        (operand.at, operand.fields.iter().fold(head, |text, field| text + "." + field))
    });
    TemplateError::Execute { column, at, problem: problem.to_owned() }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn number_value(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { Value::from(number as i64) } else { Number::from_f64(number).map_or(Value::Null, Value::Number) }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// As `%v` prints it.
fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(print_inside).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => format!("map[{}]", map.iter().map(|(key, value)| format!("{key}:{}", print_inside(value))).collect::<Vec<_>>().join(" ")),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn print_inside(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { print(value) }
}

fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let text = |at: usize| args.get(at).map(print).ok_or_else(|| format!("wrong number of args for {name}"));
    let number = |at: usize| args.get(at).and_then(Value::as_u64).map(|n| n as usize).ok_or_else(|| format!("wrong type of argument for {name}"));
    let first = || args.first().ok_or_else(|| format!("wrong number of args for {name}"));
    Ok(match name {
        "json" => first()?.to_string().into(),
        "index" => return index(args),
        "join" => match first()? {
            Value::Array(values) => values.iter().map(print).collect::<Vec<_>>().join(&text(1)?).into(),
            other => return Err(format!("expected []string; found {}", kind(other))),
        },
        "split" => text(0)?.split(&text(1)?).map(Value::from).collect::<Vec<_>>().into(),
        "upper" => text(0)?.to_uppercase().into(),
        "lower" => text(0)?.to_lowercase().into(),
        "title" => title(&text(0)?).into(),
        "pad" => format!("{}{}{}", " ".repeat(number(1)?), text(0)?, " ".repeat(number(2)?)).into(),
        "truncate" => text(0)?.chars().take(number(1)?).collect::<String>().into(),
        "println" => (args.iter().map(print).collect::<Vec<_>>().join(" ") + "\n").into(),
        "print" | "html" => args.iter().map(print).collect::<String>().into(),
        "printf" => printf(&text(0)?, args.get(1..).unwrap_or_default()).into(),
        "slice" => text(0)?.chars().skip(number(1)?).take(args.get(2).map_or(usize::MAX, |_| number(2).unwrap_or(0).saturating_sub(number(1).unwrap_or(0)))).collect::<String>().into(),
        "len" => match first()? {
            Value::String(text) => text.len().into(),
            Value::Array(values) => values.len().into(),
            Value::Object(map) => map.len().into(),
            other => return Err(format!("error calling len: len of type {}", kind(other))),
        },
        "not" => (!truth(first()?)).into(),
        "and" => args.iter().find(|value| !truth(value)).or(args.last()).cloned().unwrap_or(Value::Null),
        "or" => args.iter().find(|value| truth(value)).or(args.last()).cloned().unwrap_or(Value::Null),
        "eq" => args.iter().skip(1).any(|other| same(first().ok(), other)).into(),
        "ne" => (!same(args.first(), args.get(1).unwrap_or(&Value::Null))).into(),
        "lt" | "le" | "gt" | "ge" => compare(name, args)?.into(),
        other => return Err(format!("function {other:?} not defined")),
    })
}

fn index(args: &[Value]) -> Result<Value, String> {
    let (value, keys) = args.split_first().ok_or("wrong number of args for index")?;
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            // A missing key of a map of texts is the empty text.
            (Value::Object(map), Value::String(key)) => map.get(key).cloned().unwrap_or_else(|| "".into()),
            (Value::Array(values), Value::Number(at)) => {
                let at = at.as_u64().and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| values.get(at)).cloned().ok_or_else(|| format!("error calling index: index out of range: {key}"))?
            }
            (Value::Null, _) => return Err("error calling index: index of untyped nil".to_owned()),
            (other, _) => return Err(format!("error calling index: can't index item of type {}", kind(other))),
        };
    }
    Ok(value)
}

fn same(one: Option<&Value>, other: &Value) -> bool {
    match (one, other) {
        (Some(Value::Number(one)), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Some(one), other) => one == other,
        (None, _) => false,
    }
}

fn compare(name: &str, args: &[Value]) -> Result<bool, String> {
    let order = match args {
        [Value::Number(one), Value::Number(other)] => one.as_f64().partial_cmp(&other.as_f64()),
        [Value::String(one), Value::String(other)] => Some(one.cmp(other)),
        _ => None,
    };
    let order = order.ok_or_else(|| format!("error calling {name}: incompatible types for comparison"))?;
    Ok(match name {
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        _ => order.is_ge(),
    })
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `%s %v %d %q %%` with a width.
fn printf(format: &str, args: &[Value]) -> String {
    let (mut out, mut args, mut chars) = (String::new(), args.iter(), format.chars().peekable());
    while let Some(next) = chars.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        let left = chars.next_if_eq(&'-').is_some();
        let mut width = 0;
        while let Some(digit) = chars.next_if(char::is_ascii_digit) {
            width = width * 10 + digit.to_digit(10).unwrap_or(0) as usize;
        }
        let verb = chars.next().unwrap_or('%');
        if verb == '%' {
            out.push('%');
            continue;
        }
        let text = match (verb, args.next()) {
            (_, None) => format!("%!{verb}(MISSING)"),
            ('q', Some(value)) => format!("{:?}", print(value)),
            (_, Some(value)) => print(value),
        };
        out.push_str(&if left { format!("{text:<width$}") } else { format!("{text:>width$}") });
    }
    out
}
