//! awk: columns of text, counted and rearranged.

mod functions;
mod syntax;
mod tokens;
mod value;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufRead, BufReader, Write as _},
    process::{Child, Command, Stdio},
};

use regex::Regex;

use crate::{complain, sys};
use functions::read_record;
use syntax::{Expr, Pattern, Program, Statement};
use value::Value;

/// Why a statement does not simply end.
enum Flow {
    Next,
    Exit,
    Break,
    Continue,
    Return(Value),
    Error(String),
}

type Done = Result<(), Flow>;
type Valued = Result<Value, Flow>;

/// An array's elements; the key's order is the order of `for (k in array)`.
type Array = BTreeMap<String, Value>;

/// A place output goes to.
enum Sink {
    File(File),
    Command(Child),
}

/// The state of a running program.
struct Awk<'a> {
    program: &'a Program,
    globals: HashMap<String, Value>,
    arrays: HashMap<String, Array>,
    /// Locals of running functions.
    frames: Vec<Frame>,
    fields: Vec<String>,
    record: String,
    /// Which ranges are open, by rule.
    open: Vec<bool>,
    inputs: Inputs,
    readers: HashMap<String, BufReader<File>>,
    sinks: HashMap<String, Sink>,
    regexes: HashMap<String, Regex>,
    status: i32,
    random: u64,
    out: io::BufWriter<io::Stdout>,
}

#[derive(Default)]
struct Frame {
    values: HashMap<String, Value>,
    /// Parameters that are arrays: the name of the array they stand for.
    arrays: HashMap<String, String>,
}

/// The files still to be read.
struct Inputs {
    operands: Vec<String>,
    current: Option<Box<dyn BufRead>>,
    used: bool,
}

/// `awk [-F SEPARATOR] [-v NAME=VALUE] [-f FILE | PROGRAM] [FILE]...`
pub(crate) fn awk(words: &[String]) -> i32 {
    match prepare(words) {
        Ok((text, variables, operands)) => match syntax::parse(&text) {
            Ok(program) => run(&program, variables, operands),
            Err(message) => {
                complain("awk", message);
                2
            }
        },
        Err(message) => {
            complain("awk", message);
            2
        }
    }
}

type Prepared = (String, Vec<(String, String)>, Vec<String>);

fn prepare(words: &[String]) -> Result<Prepared, String> {
    let (mut text, mut variables) = (None::<String>, Vec::new());
    let mut words = words[1..].iter().cloned().collect::<std::collections::VecDeque<String>>();
    while let Some(word) = words.pop_front() {
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else {
            words.push_front(word);
            break;
        };
        if option == "-" {
            break;
        }
        let (letter, attached) = option.split_at(1);
        let mut value = || if attached.is_empty() { words.pop_front().ok_or_else(|| format!("-{letter} requires an argument")) } else { Ok(attached.to_owned()) };
        match letter {
            "F" => variables.push(("FS".to_owned(), value()?)),
            "v" => {
                let assigned = value()?;
                let (name, value) = assigned.split_once('=').ok_or("-v takes NAME=VALUE")?;
                variables.push((name.to_owned(), value.to_owned()));
            }
            "f" => {
                let path = value()?;
                let read = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {}", sys::reason(&error)))?;
                text = Some(text.unwrap_or_default() + &read + "\n");
            }
            other => return Err(format!("unrecognized option: {other}")),
        }
    }
    let text = match text {
        Some(text) => text,
        None => words.pop_front().ok_or("usage: awk [-F SEPARATOR] [-v NAME=VALUE] PROGRAM [FILE]...")?,
    };
    Ok((text, variables, words.into()))
}

fn run(program: &Program, variables: Vec<(String, String)>, operands: Vec<String>) -> i32 {
    let usual = [("FS", " "), ("OFS", " "), ("ORS", "\n"), ("RS", "\n"), ("SUBSEP", "\u{1c}")];
    let mut globals: HashMap<String, Value> = usual.iter().map(|(name, value)| ((*name).to_owned(), Value::Text((*value).to_owned()))).collect();
    for (name, value) in variables {
        let (bytes, _) = crate::shell::printf::escapes(&value);
        globals.insert(name, Value::Input(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let environment = std::env::vars().map(|(name, value)| (name, Value::Input(value))).collect();
    let mut awk = Awk {
        program,
        globals,
        arrays: HashMap::from([("ENVIRON".to_owned(), environment)]),
        frames: Vec::new(),
        fields: Vec::new(),
        record: String::new(),
        open: vec![false; program.rules.len()],
        inputs: Inputs { operands, current: None, used: false },
        readers: HashMap::new(),
        sinks: HashMap::new(),
        regexes: HashMap::new(),
        status: 0,
        random: 0x2545_f491_4f6c_dd1d,
        out: io::BufWriter::new(io::stdout()),
    };
    let outcome = awk.everything();
    if let Err(Flow::Error(message)) = outcome {
        complain("awk", message);
        awk.status = 2;
    }
    sys::best_effort(awk.out.flush());
    for (_, sink) in awk.sinks.drain() {
        close(sink);
    }
    awk.status
}

fn close(sink: Sink) -> i32 {
    match sink {
        Sink::File(_) => 0,
        Sink::Command(mut child) => {
            drop(child.stdin.take());
            child.wait().ok().and_then(|status| status.code()).unwrap_or(-1)
        }
    }
}

impl Awk<'_> {
    fn everything(&mut self) -> Done {
        let program = self.program;
        let outcome = self.body(program);
        match outcome {
            Ok(()) | Err(Flow::Exit | Flow::Next) => match self.block(&program.end) {
                Err(Flow::Error(message)) => Err(Flow::Error(message)),
                _ => Ok(()),
            },
            other => other,
        }
    }

    fn body(&mut self, program: &Program) -> Done {
        self.block(&program.begin)?;
        if program.rules.is_empty() && program.end.is_empty() {
            return Ok(());
        }
        while let Some(line) = self.next_record()? {
            self.set_record(line);
            for (index, rule) in program.rules.iter().enumerate() {
                let applies = match &rule.pattern {
                    Pattern::Always => true,
                    Pattern::When(condition) => self.eval(condition)?.is_true(),
                    Pattern::Range(first, last) => {
                        let inside = self.open[index] || self.eval(first)?.is_true();
                        self.open[index] = inside && !self.eval(last)?.is_true();
                        inside
                    }
                };
                if !applies {
                    continue;
                }
                let outcome = match &rule.action {
                    Some(action) => self.block(action),
                    None => self.print(&[], false, None),
                };
                match outcome {
                    Ok(()) => {}
                    Err(Flow::Next) => break,
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(())
    }

    fn next_record(&mut self) -> Result<Option<String>, Flow> {
        loop {
            if self.inputs.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let separator = self.global("RS").text();
            let Some(reader) = self.inputs.current.as_mut() else { return Ok(None) };
            match read_record(reader.as_mut(), &separator) {
                Ok(Some(line)) => {
                    for name in ["NR", "FNR"] {
                        let next = self.global(name).number() + 1.0;
                        self.globals.insert(name.to_owned(), Value::Number(next));
                    }
                    return Ok(Some(line));
                }
                Ok(None) => self.inputs.current = None,
                Err(error) => return Err(Flow::Error(sys::reason(&error))),
            }
        }
    }

    /// Opens the next operand; assignments among the operands are made.
    fn open_next(&mut self) -> Result<bool, Flow> {
        while !self.inputs.operands.is_empty() {
            let operand = self.inputs.operands.remove(0);
            if let Some((name, value)) = operand.split_once('=').filter(|(name, _)| !name.is_empty() && name.chars().all(|next| next.is_alphanumeric() || next == '_')) {
                self.globals.insert(name.to_owned(), Value::Input(value.to_owned()));
                continue;
            }
            self.inputs.used = true;
            self.globals.insert("FILENAME".to_owned(), Value::Text(operand.clone()));
            self.globals.insert("FNR".to_owned(), Value::Number(0.0));
            match crate::text::open(&operand) {
                Ok(input) => {
                    self.inputs.current = Some(Box::new(BufReader::new(input)));
                    return Ok(true);
                }
                Err(error) => {
                    complain("awk", format!("{operand}: {}", sys::reason(&error)));
                    self.status = 2;
                }
            }
        }
        if self.inputs.used {
            return Ok(false);
        }
        self.inputs.used = true;
        self.inputs.current = Some(Box::new(BufReader::new(io::stdin())));
        Ok(true)
    }

    fn set_record(&mut self, record: String) {
        let separator = self.global("FS").text();
        self.fields = match separator.as_str() {
            " " => record.split_whitespace().map(str::to_owned).collect(),
            _ if record.is_empty() => Vec::new(),
            single if single.chars().count() == 1 => record.split(single).map(str::to_owned).collect(),
            pattern => match self.regex(pattern) {
                Ok(regex) => regex.split(&record).map(str::to_owned).collect(),
                Err(_) => vec![record.clone()],
            },
        };
        self.record = record;
        self.globals.insert("NF".to_owned(), Value::Number(self.fields.len() as f64));
    }

    fn join_fields(&mut self) {
        self.record = self.fields.join(&self.global("OFS").text());
        self.globals.insert("NF".to_owned(), Value::Number(self.fields.len() as f64));
    }

    fn regex(&mut self, pattern: &str) -> Result<Regex, Flow> {
        if let Some(regex) = self.regexes.get(pattern) {
            return Ok(regex.clone());
        }
        let regex = Regex::new(&crate::grep::posix_pattern(pattern, true)).map_err(|_| Flow::Error(format!("bad regex '{pattern}'")))?;
        self.regexes.insert(pattern.to_owned(), regex.clone());
        Ok(regex)
    }

    fn global(&self, name: &str) -> Value {
        self.globals.get(name).cloned().unwrap_or_default()
    }

    fn read(&self, name: &str) -> Value {
        match self.frames.last().and_then(|frame| frame.values.get(name)) {
            Some(value) => value.clone(),
            None => self.global(name),
        }
    }

    fn write(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.frames.last_mut().and_then(|frame| frame.values.get_mut(name)) {
            *slot = value;
            return;
        }
        if name == "NF" {
            self.fields.resize((value.number().max(0.0) as usize).min(1 << 20), String::new());
            self.join_fields();
            return;
        }
        self.globals.insert(name.to_owned(), value);
    }

    /// The array that a name means here.
    fn array_name(&self, name: &str) -> String {
        self.frames.last().and_then(|frame| frame.arrays.get(name).cloned()).unwrap_or_else(|| {
            let local = self.frames.last().is_some_and(|frame| frame.values.contains_key(name));
            if local { format!("{}\u{0}{name}", self.frames.len()) } else { name.to_owned() }
        })
    }

    fn array(&mut self, name: &str) -> &mut Array {
        let name = self.array_name(name);
        self.arrays.entry(name).or_default()
    }

    fn key(&mut self, keys: &[Expr]) -> Result<String, Flow> {
        let mut parts = Vec::new();
        for key in keys {
            parts.push(self.eval(key)?.text());
        }
        Ok(parts.join(&self.global("SUBSEP").text()))
    }

    fn block(&mut self, statements: &[Statement]) -> Done {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    /// Runs a loop's body; true when the loop is over.
    fn loop_body(&mut self, body: &Statement) -> Result<bool, Flow> {
        match self.statement(body) {
            Ok(()) | Err(Flow::Continue) => Ok(false),
            Err(Flow::Break) => Ok(true),
            Err(other) => Err(other),
        }
    }

    fn statement(&mut self, statement: &Statement) -> Done {
        match statement {
            Statement::Expr(expr) => self.eval(expr).map(drop),
            Statement::Print { values, formatted, to } => self.print(values, *formatted, to.as_ref()),
            Statement::If(condition, yes, no) => {
                if self.eval(condition)?.is_true() {
                    self.statement(yes)
                } else {
                    no.as_ref().map_or(Ok(()), |no| self.statement(no))
                }
            }
            Statement::While(condition, body) => {
                while self.eval(condition)?.is_true() && !self.loop_body(body)? {}
                Ok(())
            }
            Statement::Do(body, condition) => {
                while !self.loop_body(body)? && self.eval(condition)?.is_true() {}
                Ok(())
            }
            Statement::For(start, condition, step, body) => {
                self.statement(start)?;
                loop {
                    if let Some(condition) = condition
                        && !self.eval(condition)?.is_true()
                    {
                        return Ok(());
                    }
                    if self.loop_body(body)? {
                        return Ok(());
                    }
                    self.statement(step)?;
                }
            }
            Statement::ForIn(name, array, body) => {
                let mut keys: Vec<String> = self.array(array).keys().cloned().collect();
                // Numbers in their order, as people expect of lists.
                keys.sort_by(|left, right| Value::Input(left.clone()).order(&Value::Input(right.clone())));
                for key in keys {
                    self.write(name, Value::Input(key));
                    if self.loop_body(body)? {
                        break;
                    }
                }
                Ok(())
            }
            Statement::Block(statements) => self.block(statements),
            Statement::Delete(name, keys) => {
                match keys {
                    Some(keys) => {
                        let key = self.key(keys)?;
                        self.array(name).remove(&key);
                    }
                    None => self.array(name).clear(),
                }
                Ok(())
            }
            Statement::Next => Err(Flow::Next),
            Statement::Exit(status) => {
                if let Some(status) = status {
                    self.status = self.eval(status)?.number() as i32;
                }
                Err(Flow::Exit)
            }
            Statement::Return(value) => {
                let value = value.as_ref().map_or(Ok(Value::Unset), |value| self.eval(value))?;
                Err(Flow::Return(value))
            }
            Statement::Break => Err(Flow::Break),
            Statement::Continue => Err(Flow::Continue),
        }
    }

    fn print(&mut self, values: &[Expr], formatted: bool, to: Option<&(&'static str, Expr)>) -> Done {
        let mut given = Vec::new();
        for value in values {
            given.push(self.eval(value)?);
        }
        let text = if formatted {
            given.split_first().map_or_else(String::new, |(format, rest)| value::formatted(&format.text(), rest))
        } else if given.is_empty() {
            format!("{}{}", self.record, self.global("ORS").text())
        } else {
            let cells: Vec<String> = given.iter().map(Value::text).collect();
            format!("{}{}", cells.join(&self.global("OFS").text()), self.global("ORS").text())
        };
        let Some((sign, target)) = to else {
            return self.out.write_all(text.as_bytes()).map_err(|_| Flow::Exit);
        };
        let name = self.eval(target)?.text();
        if !self.sinks.contains_key(&name) {
            sys::best_effort(self.out.flush());
            let opened = match *sign {
                "|" => Command::new("sh").args(["-c", &name]).stdin(Stdio::piped()).spawn().map(Sink::Command),
                ">>" => File::options().append(true).create(true).open(&name).map(Sink::File),
                _ => File::create(if name == "/dev/stderr" { "/proc/self/fd/2" } else { &name }).map(Sink::File),
            };
            let sink = opened.map_err(|error| Flow::Error(format!("{name}: {}", sys::reason(&error))))?;
            self.sinks.insert(name.clone(), sink);
        }
        let written = match self.sinks.get_mut(&name) {
            Some(Sink::File(file)) => file.write_all(text.as_bytes()),
            Some(Sink::Command(child)) => child.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(text.as_bytes())),
            None => Ok(()),
        };
        written.map_err(|error| Flow::Error(format!("{name}: {}", sys::reason(&error))))
    }

    fn eval(&mut self, expr: &Expr) -> Valued {
        Ok(match expr {
            Expr::Number(value) => Value::Number(*value),
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Regex(pattern) => {
                let regex = self.regex(pattern)?;
                Value::truth(regex.is_match(&self.record))
            }
            Expr::Variable(name) => self.read(name),
            Expr::Field(index) => {
                let index = self.eval(index)?.number() as usize;
                Value::Input(if index == 0 { self.record.clone() } else { self.fields.get(index - 1).cloned().unwrap_or_default() })
            }
            Expr::Element(name, keys) => {
                let key = self.key(keys)?;
                self.array(name).entry(key).or_default().clone()
            }
            Expr::Assign(target, operator, right) => {
                let mut value = self.eval(right)?;
                if let Some(operator) = operator {
                    let old = self.eval(target)?;
                    value = Value::Number(calculate(operator, old.number(), value.number())?);
                }
                self.assign(target, value.clone())?;
                value
            }
            Expr::Step(target, change, before) => {
                let old = self.eval(target)?.number();
                self.assign(target, Value::Number(old + change))?;
                Value::Number(if *before { old + change } else { old })
            }
            Expr::Unary(sign, inner) => {
                let value = self.eval(inner)?;
                match sign {
                    '!' => Value::truth(!value.is_true()),
                    '-' => Value::Number(-value.number()),
                    _ => Value::Number(value.number()),
                }
            }
            Expr::Binary(operator, left, right) => self.binary(operator, left, right)?,
            Expr::Match(wanted, left, right) => {
                let text = self.eval(left)?.text();
                let regex = self.pattern(right)?;
                Value::truth(regex.is_match(&text) == *wanted)
            }
            Expr::In(keys, name) => {
                let key = self.key(keys)?;
                Value::truth(self.array(name).contains_key(&key))
            }
            Expr::Choice(condition, yes, no) => {
                let branch = if self.eval(condition)?.is_true() { yes } else { no };
                self.eval(branch)?
            }
            Expr::Call(name, arguments) => self.call(name, arguments)?,
            Expr::Getline(target, file) => self.getline(target.as_deref(), file.as_deref())?,
            Expr::Group(all) => {
                let text = self.key(all)?;
                Value::Text(text)
            }
        })
    }

    /// A regular expression: written as one, or a value read as one.
    fn pattern(&mut self, expr: &Expr) -> Result<Regex, Flow> {
        let text = match expr {
            Expr::Regex(text) => text.clone(),
            other => self.eval(other)?.text(),
        };
        self.regex(&text)
    }

    fn assign(&mut self, target: &Expr, value: Value) -> Done {
        match target {
            Expr::Variable(name) => self.write(name, value),
            Expr::Element(name, keys) => {
                let key = self.key(keys)?;
                self.array(name).insert(key, value);
            }
            Expr::Field(index) => {
                let index = self.eval(index)?.number() as usize;
                if index == 0 {
                    self.set_record(value.text());
                } else if index < 1 << 20 {
                    if self.fields.len() < index {
                        self.fields.resize(index, String::new());
                    }
                    self.fields[index - 1] = value.text();
                    self.join_fields();
                }
            }
            _ => return Err(Flow::Error("syntax error: this cannot be assigned to".to_owned())),
        }
        Ok(())
    }

    fn binary(&mut self, operator: &str, left: &Expr, right: &Expr) -> Valued {
        if matches!(operator, "&&" | "||") {
            let left = self.eval(left)?.is_true();
            let decided = left == (operator == "||");
            return Ok(Value::truth(if decided { left } else { self.eval(right)?.is_true() }));
        }
        let (left, right) = (self.eval(left)?, self.eval(right)?);
        Ok(match operator {
            " " => Value::Text(left.text() + &right.text()),
            "==" => Value::truth(left.order(&right).is_eq()),
            "!=" => Value::truth(left.order(&right).is_ne()),
            "<" => Value::truth(left.order(&right).is_lt()),
            "<=" => Value::truth(left.order(&right).is_le()),
            ">" => Value::truth(left.order(&right).is_gt()),
            ">=" => Value::truth(left.order(&right).is_ge()),
            _ => Value::Number(calculate(operator, left.number(), right.number())?),
        })
    }
}

fn calculate(operator: &str, left: f64, right: f64) -> Result<f64, Flow> {
    Ok(match operator {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" | "%" if right == 0.0 => return Err(Flow::Error("division by zero".to_owned())),
        "/" => left / right,
        "%" => left % right,
        _ => left.powf(right),
    })
}
