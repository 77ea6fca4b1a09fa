//! What a template is made of, and how Go's errors show it.
// upstream: Go's text/template/parse/node.go

use std::fmt;

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Show(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    /// Name, value and where the name stands.
    Template(String, Option<Pipe>, usize),
    Break,
    Continue,
}

/// What is done when a pipeline has a value, and otherwise.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands, each given the result of the one before.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) at: usize,
    pub(super) variables: Vec<String>,
    /// Whether the variables are there already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A function or value with arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) at: usize,
    pub(super) words: Vec<Word>,
}

/// An operand and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) at: usize,
    pub(super) what: Operand,
}

/// What an operand is.
#[derive(Debug, Clone)]
pub(super) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    Number(String, Number),
    /// As it is written, and what it means.
    Text(String, String),
    Field(Vec<String>),
    Variable(Vec<String>),
    Function(String),
    Group(Box<Pipe>),
    Chain(Box<Word>, Vec<String>),
}

/// A number that a template names.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    /// More than fits.
    Large,
    Float(f64),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        let commands: Vec<String> = self.commands.iter().map(Command::to_string).collect();
        f.write_str(&commands.join(" | "))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.words.iter().map(Word::grouped).collect();
        f.write_str(&words.join(" "))
    }
}

impl Word {
    fn grouped(&self) -> String {
        if matches!(self.what, Operand::Group(_)) { format!("({self})") } else { self.to_string() }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Operand::Dot => f.write_str("."),
            Operand::Nil => f.write_str("nil"),
            Operand::Bool(value) => write!(f, "{value}"),
            Operand::Number(text, _) | Operand::Text(text, _) | Operand::Function(text) => f.write_str(text),
            Operand::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Operand::Variable(names) => f.write_str(&names.join(".")),
            Operand::Group(pipe) => write!(f, "{pipe}"),
            Operand::Chain(word, names) => {
                f.write_str(&word.grouped())?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
        }
    }
}
