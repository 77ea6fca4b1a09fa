//! Evaluation: every expression gives a list of results, each with the path it came from while that is known.

use std::rc::Rc;

use super::{
    functions,
    json::{Json, set_member},
    syntax::{Expr, Piece},
};

/// A step of a path: a key, an index, or a slice `{"start":..,"end":..}`.
pub(super) type Path = Vec<Json>;

/// A value, and where in the input it is.
#[derive(Debug, Clone)]
pub(super) struct Out {
    pub(super) path: Option<Path>,
    pub(super) value: Json,
}

pub(super) type Results = Result<Vec<Out>, Fault>;

/// Why evaluation stops.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Error(Json),
}

impl Fault {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self::Error(Json::Text(text.into()))
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Error(Json::Text(text)) => text.clone(),
            Self::Error(other) => format!("{} (not a string)", other.compact()),
        }
    }
}

/// Names in scope, innermost last.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    names: Option<Rc<Node>>,
    depth: usize,
}

#[derive(Debug)]
struct Node {
    name: Name,
    next: Option<Rc<Node>>,
}

#[derive(Debug)]
enum Name {
    Variable(String, Json),
    /// A function, and the scope it was written in (a definition sees itself).
    Function { name: String, parameters: Vec<String>, body: Expr, scope: Option<Scope> },
}

impl Scope {
    fn with(&self, name: Name) -> Self {
        Self { names: Some(Rc::new(Node { name, next: self.names.clone() })), depth: self.depth }
    }

    pub(super) fn with_variable(&self, name: &str, value: Json) -> Self {
        self.with(Name::Variable(name.to_owned(), value))
    }

    /// A scope with the functions that a text defines.
    pub(super) fn with_definitions(mut self, mut program: Expr) -> Self {
        while let Expr::Define { name, parameters, body, rest } = program {
            self = self.with(Name::Function { name, parameters, body: *body, scope: None });
            program = *rest;
        }
        self
    }

    fn variable(&self, wanted: &str) -> Option<Json> {
        let mut at = self.names.as_ref();
        while let Some(node) = at {
            if let Name::Variable(name, value) = &node.name
                && name == wanted
            {
                return Some(value.clone());
            }
            at = node.next.as_ref();
        }
        None
    }

    /// The function's node, as a scope that starts at it.
    fn function(&self, wanted: &str, count: usize) -> Option<Self> {
        let mut at = self.names.clone();
        while let Some(node) = at {
            if let Name::Function { name, parameters, .. } = &node.name
                && name == wanted
                && parameters.len() == count
            {
                return Some(Self { names: Some(node), depth: self.depth });
            }
            at = node.next.clone();
        }
        None
    }
}

fn plain(value: Json) -> Out {
    Out { path: None, value }
}

/// The values only.
pub(super) fn values(expr: &Expr, input: &Json, scope: &Scope) -> Result<Vec<Json>, Fault> {
    Ok(eval(expr, &plain(input.clone()), scope)?.into_iter().map(|out| out.value).collect())
}

/// The first value, `null` without any.
pub(super) fn one(expr: &Expr, input: &Json, scope: &Scope) -> Result<Json, Fault> {
    Ok(values(expr, input, scope)?.into_iter().next().unwrap_or(Json::Null))
}

/// The paths of all results.
pub(super) fn paths(expr: &Expr, input: &Json, scope: &Scope) -> Result<Vec<Path>, Fault> {
    let outs = eval(expr, &Out { path: Some(Vec::new()), value: input.clone() }, scope)?;
    outs.into_iter().map(|out| out.path.ok_or_else(|| Fault::new(format!("Invalid path expression with result {}", out.value.compact())))).collect()
}

pub(super) fn eval(expr: &Expr, input: &Out, scope: &Scope) -> Results {
    let value = &input.value;
    match expr {
        Expr::Identity => Ok(vec![input.clone()]),
        Expr::Recurse => {
            let mut outs = Vec::new();
            functions::descend(input, &mut outs);
            Ok(outs)
        }
        Expr::Literal(literal) => Ok(vec![plain(literal.clone())]),
        Expr::Template(format, pieces) => template(format.as_deref(), pieces, value, scope),
        Expr::Format(name) => Ok(vec![plain(Json::Text(functions::format(name, value)?))]),
        Expr::Variable(name) if name == "ENV" => Ok(vec![plain(functions::environment())]),
        Expr::Variable(name) => match scope.variable(name) {
            Some(value) => Ok(vec![plain(value)]),
            None => Err(Fault::new(format!("${name} is not defined"))),
        },
        Expr::Index(target, key) => {
            let mut outs = Vec::new();
            let keys = values(key, value, scope)?;
            for target in eval(target, input, scope)? {
                for key in &keys {
                    outs.push(step(&target, key)?);
                }
            }
            Ok(outs)
        }
        Expr::Slice(target, from, to) => {
            let bound = |bound: &Option<Box<Expr>>| bound.as_ref().map_or(Ok(Json::Null), |bound| one(bound, value, scope));
            let key = Json::Object(vec![("start".to_owned(), bound(from)?), ("end".to_owned(), bound(to)?)]);
            eval(target, input, scope)?.iter().map(|target| step(target, &key)).collect()
        }
        Expr::Each(target) => {
            let mut outs = Vec::new();
            for target in eval(target, input, scope)? {
                outs.extend(children(&target)?);
            }
            Ok(outs)
        }
        Expr::Try(body, catch) => match (eval(body, input, scope), catch) {
            (Err(Fault::Error(message)), Some(catch)) => eval(catch, &plain(message), scope),
            (Err(_), None) => Ok(Vec::new()),
            (outs, _) => outs,
        },
        Expr::Pipe(left, right) => {
            let mut outs = Vec::new();
            for middle in eval(left, input, scope)? {
                outs.extend(eval(right, &middle, scope)?);
            }
            Ok(outs)
        }
        Expr::Comma(left, right) => {
            let mut outs = eval(left, input, scope)?;
            outs.extend(eval(right, input, scope)?);
            Ok(outs)
        }
        Expr::Negate(inner) => each_value(inner, value, scope, |value| match value {
            Json::Number(number) => Ok(Json::Number(-number)),
            other => Err(Fault::new(format!("{} cannot be negated", functions::described(&other)))),
        }),
        Expr::Binary(operator, left, right) => binary(operator, left, right, input, scope),
        Expr::Assign(operator, target, right) => assign(operator, target, right, value, scope),
        Expr::List(inner) => {
            let items = inner.as_ref().map_or(Ok(Vec::new()), |inner| values(inner, value, scope))?;
            Ok(vec![plain(Json::List(items))])
        }
        Expr::Object(members) => object(members, value, scope),
        Expr::If(arms, otherwise) => branch(arms, otherwise.as_deref(), input, scope),
        Expr::Bind(source, name, body) => {
            let mut outs = Vec::new();
            for bound in values(source, value, scope)? {
                outs.extend(eval(body, input, &scope.with_variable(name, bound))?);
            }
            Ok(outs)
        }
        Expr::Reduce { source, name, start, step } => {
            let mut state = one(start, value, scope)?;
            for bound in values(source, value, scope)? {
                state = values(step, &state, &scope.with_variable(name, bound))?.pop().unwrap_or(Json::Null);
            }
            Ok(vec![plain(state)])
        }
        Expr::Call(name, arguments) => call(name, arguments, input, scope),
        Expr::Define { name, parameters, body, rest } => {
            let function = Name::Function { name: name.clone(), parameters: parameters.clone(), body: (**body).clone(), scope: None };
            eval(rest, input, &scope.with(function))
        }
    }
}

/// Applies `change` to each value of an expression.
fn each_value(expr: &Expr, input: &Json, scope: &Scope, change: impl Fn(Json) -> Result<Json, Fault>) -> Results {
    values(expr, input, scope)?.into_iter().map(|value| change(value).map(plain)).collect()
}

fn call(name: &str, arguments: &[Expr], input: &Out, scope: &Scope) -> Results {
    let Some(found) = scope.function(name, arguments.len()) else {
        return functions::builtin(name, arguments, input, scope);
    };
    if scope.depth > 400 {
        return Err(Fault::new(format!("{name} calls itself too often")));
    }
    let Some(node) = found.names.clone() else { return Ok(Vec::new()) };
    let Name::Function { parameters, body, scope: written, .. } = &node.name else { return Ok(Vec::new()) };
    let mut inner = written.clone().unwrap_or(found);
    inner.depth = scope.depth + 1;
    for (parameter, argument) in parameters.iter().zip(arguments) {
        if let Some(variable) = parameter.strip_prefix('$') {
            inner = inner.with_variable(variable, one(argument, &input.value, scope)?);
        }
        let name = parameter.trim_start_matches('$').to_owned();
        inner = inner.with(Name::Function { name, parameters: Vec::new(), body: argument.clone(), scope: Some(scope.clone()) });
    }
    eval(body, input, &inner)
}

fn template(format: Option<&str>, pieces: &[Piece], input: &Json, scope: &Scope) -> Results {
    let mut texts = vec![String::new()];
    for piece in pieces {
        match piece {
            Piece::Text(text) => texts.iter_mut().for_each(|all| all.push_str(text)),
            Piece::Value(expr) => {
                let mut longer = Vec::new();
                for value in values(expr, input, scope)? {
                    let shown = functions::format(format.unwrap_or("text"), &value)?;
                    longer.extend(texts.iter().map(|text| format!("{text}{shown}")));
                }
                texts = longer;
            }
        }
    }
    Ok(texts.into_iter().map(|text| plain(Json::Text(text))).collect())
}

fn object(members: &[(Expr, Expr)], input: &Json, scope: &Scope) -> Results {
    let mut objects: Vec<Vec<(String, Json)>> = vec![Vec::new()];
    for (key, value) in members {
        let mut more = Vec::new();
        for object in &objects {
            for key in values(key, input, scope)? {
                let Json::Text(key) = key else {
                    return Err(Fault::new(format!("Object keys must be strings, not {}", functions::described(&key))));
                };
                for value in values(value, input, scope)? {
                    let mut object = object.clone();
                    set_member(&mut object, &key, value);
                    more.push(object);
                }
            }
        }
        objects = more;
    }
    Ok(objects.into_iter().map(|members| plain(Json::Object(members))).collect())
}

fn branch(arms: &[(Expr, Expr)], otherwise: Option<&Expr>, input: &Out, scope: &Scope) -> Results {
    let Some(((condition, body), rest)) = arms.split_first() else {
        return otherwise.map_or_else(|| Ok(vec![input.clone()]), |otherwise| eval(otherwise, input, scope));
    };
    let mut outs = Vec::new();
    for answer in values(condition, &input.value, scope)? {
        outs.extend(if answer.is_true() { eval(body, input, scope)? } else { branch(rest, otherwise, input, scope)? });
    }
    Ok(outs)
}

fn binary(operator: &str, left: &Expr, right: &Expr, input: &Out, scope: &Scope) -> Results {
    let value = &input.value;
    match operator {
        "//" => {
            let good: Vec<Out> = eval(left, input, scope).unwrap_or_default().into_iter().filter(|out| out.value.is_true()).collect();
            if good.is_empty() { eval(right, input, scope) } else { Ok(good) }
        }
        "and" | "or" => {
            let mut outs = Vec::new();
            for left in values(left, value, scope)? {
                if left.is_true() == (operator == "or") {
                    outs.push(plain(Json::Bool(operator == "or")));
                } else {
                    outs.extend(values(right, value, scope)?.into_iter().map(|right| plain(Json::Bool(right.is_true()))));
                }
            }
            Ok(outs)
        }
        _ => {
            let lefts = values(left, value, scope)?;
            let mut outs = Vec::new();
            for right in values(right, value, scope)? {
                for left in &lefts {
                    outs.push(plain(functions::arithmetic(operator, left, &right)?));
                }
            }
            Ok(outs)
        }
    }
}

fn assign(operator: &str, target: &Expr, right: &Expr, input: &Json, scope: &Scope) -> Results {
    let places = paths(target, input, scope)?;
    if operator == "|=" {
        let mut result = input.clone();
        let mut gone = Vec::new();
        for path in places {
            let old = get(&result, &path)?;
            match values(right, &old, scope)?.into_iter().next() {
                Some(new) => result = set(&result, &path, new)?,
                None => gone.push(path),
            }
        }
        return Ok(vec![plain(delete(&result, gone)?)]);
    }
    let mut outs = Vec::new();
    for new in values(right, input, scope)? {
        let mut result = input.clone();
        for path in &places {
            let old = get(&result, path)?;
            let new = match operator.strip_suffix('=') {
                Some("") | None => new.clone(),
                Some("//") => if old.is_true() { old } else { new.clone() },
                Some(operator) => functions::arithmetic(operator, &old, &new)?,
            };
            result = set(&result, path, new)?;
        }
        outs.push(plain(result));
    }
    Ok(outs)
}

/// The members of a list or object, with their paths.
pub(super) fn children(target: &Out) -> Results {
    let below = |key: Json, value: &Json| {
        let path = target.path.as_ref().map(|path| [path.as_slice(), &[key]].concat());
        Out { path, value: value.clone() }
    };
    match &target.value {
        Json::List(items) => Ok(items.iter().enumerate().map(|(index, item)| below(Json::Number(index as f64), item)).collect()),
        Json::Object(members) => Ok(members.iter().map(|(name, value)| below(Json::text(name), value)).collect()),
        other => Err(Fault::new(format!("Cannot iterate over {}", functions::described(other)))),
    }
}

fn step(target: &Out, key: &Json) -> Result<Out, Fault> {
    let value = child(&target.value, key)?;
    Ok(Out { path: target.path.as_ref().map(|path| [path.as_slice(), std::slice::from_ref(key)].concat()), value })
}

/// An index from the front or, negative, from the back.
fn position(index: f64, length: usize) -> Option<usize> {
    let whole = index.floor() as i64;
    let whole = if whole < 0 { whole + i64::try_from(length).unwrap_or(i64::MAX) } else { whole };
    usize::try_from(whole).ok()
}

fn slice_range(key: &Json, length: usize) -> (usize, usize) {
    let bound = |name: &str, usual: usize| match key.member(name) {
        Some(Json::Number(number)) => {
            let number = if *number < 0.0 { number + length as f64 } else { *number };
            (number.max(0.0) as usize).min(length)
        }
        _ => usual,
    };
    let start = bound("start", 0);
    (start, bound("end", length).max(start))
}

pub(super) fn child(value: &Json, key: &Json) -> Result<Json, Fault> {
    match (value, key) {
        (Json::Object(_), Json::Text(name)) => Ok(value.member(name).cloned().unwrap_or(Json::Null)),
        (Json::List(items), Json::Number(index)) => Ok(position(*index, items.len()).and_then(|index| items.get(index)).cloned().unwrap_or(Json::Null)),
        (Json::List(items), Json::Object(_)) => {
            let (start, end) = slice_range(key, items.len());
            Ok(Json::List(items[start..end].to_vec()))
        }
        (Json::Text(text), Json::Object(_)) => {
            let chars: Vec<char> = text.chars().collect();
            let (start, end) = slice_range(key, chars.len());
            Ok(Json::Text(chars[start..end].iter().collect()))
        }
        (Json::Null, Json::Text(_) | Json::Number(_) | Json::Object(_) | Json::Null) => Ok(Json::Null),
        (value, Json::Text(name)) => Err(Fault::new(format!("Cannot index {} with string \"{name}\"", value.kind()))),
        (value, key) => Err(Fault::new(format!("Cannot index {} with {}", value.kind(), key.kind()))),
    }
}

pub(super) fn get(value: &Json, path: &[Json]) -> Result<Json, Fault> {
    path.iter().try_fold(value.clone(), |value, key| child(&value, key))
}

/// A copy with another value at a path.
pub(super) fn set(value: &Json, path: &[Json], new: Json) -> Result<Json, Fault> {
    let Some((key, rest)) = path.split_first() else { return Ok(new) };
    let inner = set(&child(value, key)?, rest, new)?;
    match (value, key) {
        (Json::Object(members), Json::Text(name)) => {
            let mut members = members.clone();
            set_member(&mut members, name, inner);
            Ok(Json::Object(members))
        }
        (Json::Null, Json::Text(name)) => Ok(Json::Object(vec![(name.clone(), inner)])),
        (Json::List(_) | Json::Null, Json::Number(index)) => {
            let mut items = if let Json::List(items) = value { items.clone() } else { Vec::new() };
            let Some(index) = position(*index, items.len()).filter(|index| *index < 1 << 24) else {
                return Err(Fault::new("Out of bounds array index"));
            };
            if items.len() <= index {
                items.resize(index + 1, Json::Null);
            }
            items[index] = inner;
            Ok(Json::List(items))
        }
        (Json::List(items), Json::Object(_)) => {
            let Json::List(inner) = inner else { return Err(Fault::new("A slice of an array can only be assigned another array")) };
            let (start, end) = slice_range(key, items.len());
            Ok(Json::List([&items[..start], &inner, &items[end..]].concat()))
        }
        (value, key) => Err(Fault::new(format!("Cannot update {} at {}", value.kind(), key.compact()))),
    }
}

/// A copy without what is at the paths.
pub(super) fn delete(value: &Json, mut gone: Vec<Path>) -> Result<Json, Fault> {
    // Last first: earlier indices stay what they are.
    gone.sort_by(|left, right| Json::List(right.clone()).order(&Json::List(left.clone())));
    let mut result = value.clone();
    for path in gone {
        let Some((key, parent)) = path.split_last() else { return Ok(Json::Null) };
        let holder = get(&result, parent)?;
        let smaller = match (&holder, key) {
            (Json::Object(members), Json::Text(name)) => Json::Object(members.iter().filter(|(known, _)| known != name).cloned().collect()),
            (Json::List(items), Json::Number(index)) => {
                let mut items = items.clone();
                if let Some(index) = position(*index, items.len()).filter(|index| *index < items.len()) {
                    items.remove(index);
                }
                Json::List(items)
            }
            (Json::List(items), Json::Object(_)) => {
                let (start, end) = slice_range(key, items.len());
                Json::List([&items[..start], &items[end..]].concat())
            }
            (Json::Null, _) => Json::Null,
            (holder, key) => return Err(Fault::new(format!("Cannot delete field at {} index of {}", key.kind(), holder.kind()))),
        };
        result = set(&result, parent, smaller)?;
    }
    Ok(result)
}
