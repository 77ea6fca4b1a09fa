//! From a template to nodes.

use std::collections::HashMap;

use serde_json::Value;

use super::functions;

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Show(Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Template(String, Option<Pipe>),
    Break,
    Continue,
}

/// Commands, each given the result of the one before.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
    /// How it was written, and where.
    pub(super) source: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A function or value with arguments.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) words: Vec<Word>,
    pub(super) source: String,
}

/// An operand.
#[derive(Debug, Clone)]
pub(super) enum Word {
    Dot,
    Nil,
    Literal(Value),
    Field(Vec<String>),
    Variable(String, Vec<String>),
    Function(String),
    Group(Box<Pipe>, Vec<String>),
}

type Parsed = (Vec<Node>, HashMap<String, Vec<Node>>);

/// Read a template; errors are `LINE: what`.
pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let pieces = lex(text)?;
    let mut parser = Parser { pieces, next: 0, named: HashMap::new(), scopes: vec![vec!["$".to_owned()]], line: 1 };
    let (nodes, stop) = parser.list()?;
    match stop {
        Stop::Eof => Ok((nodes, parser.named)),
        Stop::End => Err(format!("{}: unexpected {{{{end}}}}", parser.line)),
        Stop::Else(_) => Err(format!("{}: unexpected {{{{else}}}}", parser.line)),
    }
}

enum Piece {
    Text(String),
    Action { inside: String, line: usize, column: usize },
}

fn lex(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim_next = false;
    let line_at = |at: usize| text[..at].matches('\n').count() + 1;
    while let Some(open) = rest.find("{{") {
        let offset = text.len() - rest.len() + open;
        let mut before = &rest[..open];
        let mut inside = &rest[open + 2..];
        if trim_next {
            before = before.trim_start();
        }
        if inside.starts_with("- ") || inside.starts_with("-\n") || inside.starts_with("-\t") {
            before = before.trim_end();
            inside = &inside[1..];
        }
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let Some(close) = closing(inside) else {
            let unclosed = if inside.trim_start().starts_with("/*") { "unclosed comment" } else { "unclosed action" };
            return Err(format!("{}: {unclosed}", line_at(offset)));
        };
        let mut action = &inside[..close];
        rest = &inside[close + 2..];
        trim_next = action.ends_with(" -") || action.ends_with("\n-") || action.ends_with("\t-");
        if trim_next {
            action = &action[..action.len() - 1];
        }
        let trimmed = action.trim();
        if trimmed.starts_with("/*") && trimmed.ends_with("*/") {
            continue;
        }
        let column = offset - text[..offset].rfind('\n').map_or(0, |newline| newline + 1) + 2;
        pieces.push(Piece::Action { inside: trimmed.to_owned(), line: line_at(offset), column });
    }
    let rest = if trim_next { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// Where the action ends: `}}` outside of quotes.
fn closing(inside: &str) -> Option<usize> {
    if inside.trim_start().starts_with("/*") {
        let end = inside.find("*/")?;
        return inside[end..].find("}}").map(|close| end + close);
    }
    let bytes = inside.as_bytes();
    let mut quote = None;
    let mut index = 0;
    while index < bytes.len() {
        let byte = bytes[index];
        match quote {
            Some(b'`') if byte == b'`' => quote = None,
            Some(q) if q != b'`' && byte == b'\\' => index += 1,
            Some(q) if q == byte => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'`' | b'\'') => quote = Some(byte),
            None if byte == b'}' && bytes.get(index + 1) == Some(&b'}') => return Some(index),
            None => {}
        }
        index += 1;
    }
    None
}

enum Stop {
    Eof,
    End,
    Else(String),
}

struct Parser {
    pieces: Vec<Piece>,
    next: usize,
    named: HashMap<String, Vec<Node>>,
    scopes: Vec<Vec<String>>,
    line: usize,
}

impl Parser {
    fn list(&mut self) -> Result<(Vec<Node>, Stop), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.next) {
            self.next += 1;
            let (inside, line, column) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action { inside, line, column } => (inside.clone(), *line, *column),
            };
            self.line = line;
            let (word, rest) = inside.split_once(char::is_whitespace).map_or((inside.as_str(), ""), |(word, rest)| (word, rest.trim()));
            match word {
                "end" => return Ok((nodes, Stop::End)),
                "else" => return Ok((nodes, Stop::Else(rest.to_owned()))),
                "if" | "with" | "range" => nodes.push(self.block(word, rest, column)?),
                "break" => nodes.push(Node::Break),
                "continue" => nodes.push(Node::Continue),
                "define" | "block" => self.define(word, rest, column, &mut nodes)?,
                "template" => {
                    let (name, rest) = self.name(rest)?;
                    let pipe = if rest.is_empty() { None } else { Some(self.pipe(&rest, column)?) };
                    nodes.push(Node::Template(name, pipe));
                }
                _ => {
                    let pipe = self.pipe(&inside, column)?;
                    nodes.push(Node::Show(pipe));
                }
            }
        }
        Ok((nodes, Stop::Eof))
    }

    fn block(&mut self, word: &str, rest: &str, column: usize) -> Result<Node, String> {
        if rest.trim().is_empty() {
            return Err(format!("{}: missing value for {word}", self.line));
        }
        self.scopes.push(Vec::new());
        let pipe = self.pipe(rest, column)?;
        let (body, stop) = self.list()?;
        let otherwise = match stop {
            Stop::Eof => return Err(format!("{}: unexpected EOF", self.line)),
            Stop::End => Vec::new(),
            Stop::Else(next) if next.is_empty() => match self.list()? {
                (nodes, Stop::End) => nodes,
                (_, Stop::Else(_)) => return Err(format!("{}: expected end; found {{{{else}}}}", self.line)),
                (_, Stop::Eof) => return Err(format!("{}: unexpected EOF", self.line)),
            },
            Stop::Else(next) => {
                let (word, rest) = next.split_once(char::is_whitespace).unwrap_or((next.as_str(), ""));
                vec![self.block(word, rest.trim(), column)?]
            }
        };
        self.scopes.pop();
        Ok(match word {
            "if" => Node::If(pipe, body, otherwise),
            "with" => Node::With(pipe, body, otherwise),
            _ => Node::Range(pipe, body, otherwise),
        })
    }

    fn define(&mut self, word: &str, rest: &str, column: usize, nodes: &mut Vec<Node>) -> Result<(), String> {
        let (name, rest) = self.name(rest)?;
        let pipe = if word == "block" { Some(self.pipe(&rest, column)?) } else { None };
        let scopes = std::mem::replace(&mut self.scopes, vec![vec!["$".to_owned()]]);
        let (body, stop) = self.list()?;
        self.scopes = scopes;
        if !matches!(stop, Stop::End) {
            return Err(format!("{}: unexpected EOF", self.line));
        }
        if word == "block" {
            nodes.push(Node::Template(name.clone(), pipe));
        }
        self.named.insert(name, body);
        Ok(())
    }

    fn name(&self, rest: &str) -> Result<(String, String), String> {
        let mut words = Words { parser: self, letters: rest.chars().collect(), at: 0 };
        match words.word()? {
            Some(Word::Literal(Value::String(name))) => Ok((name, words.rest())),
            _ => Err(format!("{}: unexpected {rest:?} in template clause", self.line)),
        }
    }

    fn pipe(&mut self, text: &str, column: usize) -> Result<Pipe, String> {
        let (variables, declares, body) = declaration(text);
        let pipe = self.commands(&body, column)?;
        if declares {
            if let Some(scope) = self.scopes.last_mut() {
                scope.extend(variables.iter().cloned());
            }
        } else if let Some(name) = variables.iter().find(|name| !self.known(name)) {
            return Err(format!("{}: undefined variable {name:?}", self.line));
        }
        Ok(Pipe { variables, declares, source: text.to_owned(), ..pipe })
    }

    fn known(&self, name: &str) -> bool {
        self.scopes.iter().flatten().any(|known| known == name)
    }

    fn commands(&self, text: &str, column: usize) -> Result<Pipe, String> {
        let mut words = Words { parser: self, letters: text.chars().collect(), at: 0 };
        let mut commands = Vec::new();
        loop {
            words.spaces();
            let start = words.at;
            let mut command = Vec::new();
            while let Some(word) = words.word()? {
                command.push(word);
            }
            if command.is_empty() {
                return Err(format!("{}: missing value for command", self.line));
            }
            let source: String = words.letters[start..words.at].iter().collect();
            commands.push(Command { words: command, source: source.trim().to_owned() });
            if words.letters.get(words.at) != Some(&'|') {
                break;
            }
            words.at += 1;
        }
        if words.at < words.letters.len() {
            return Err(format!("{}: unexpected {:?} in operand", self.line, words.rest()));
        }
        Ok(Pipe { variables: Vec::new(), declares: false, commands, source: text.to_owned(), line: self.line, column })
    }
}

/// `$i, $x := pipeline` taken apart.
fn declaration(text: &str) -> (Vec<String>, bool, String) {
    if text.starts_with('$') {
        for (mark, declares) in [(":=", true), ("=", false)] {
            if let Some((left, right)) = text.split_once(mark) {
                let names: Vec<String> = left.split(',').map(|name| name.trim().to_owned()).collect();
                let proper = names.iter().all(|name| name.starts_with('$') && name[1..].chars().all(|c| c.is_alphanumeric() || c == '_'));
                if proper {
                    return (names, declares, right.trim().to_owned());
                }
            }
        }
    }
    (Vec::new(), false, text.to_owned())
}

struct Words<'a> {
    parser: &'a Parser,
    letters: Vec<char>,
    at: usize,
}

impl Words<'_> {
    fn spaces(&mut self) {
        while self.letters.get(self.at).is_some_and(|letter| letter.is_whitespace()) {
            self.at += 1;
        }
    }

    fn rest(&self) -> String {
        self.letters[self.at.min(self.letters.len())..].iter().collect::<String>().trim().to_owned()
    }

    fn word(&mut self) -> Result<Option<Word>, String> {
        self.spaces();
        let Some(letter) = self.letters.get(self.at).copied() else { return Ok(None) };
        Ok(Some(match letter {
            '|' | ')' => return Ok(None),
            '(' => self.group()?,
            '"' | '`' | '\'' => Word::Literal(self.quoted(letter)?),
            '.' => {
                let fields = self.fields();
                if fields.is_empty() {
                    self.at += 1;
                    Word::Dot
                } else {
                    Word::Field(fields)
                }
            }
            '$' => {
                self.at += 1;
                let name = format!("${}", self.identifier());
                if !self.parser.known(&name) {
                    return Err(format!("{}: undefined variable {name:?}", self.parser.line));
                }
                Word::Variable(name, self.fields())
            }
            letter if letter.is_ascii_digit() || letter == '-' || letter == '+' => Word::Literal(self.number()?),
            letter if letter.is_alphabetic() || letter == '_' => self.bare()?,
            other => return Err(format!("{}: unexpected {:?} in operand", self.parser.line, other.to_string())),
        }))
    }

    fn bare(&mut self) -> Result<Word, String> {
        let name = self.identifier();
        match name.as_str() {
            "true" => Ok(Word::Literal(true.into())),
            "false" => Ok(Word::Literal(false.into())),
            "nil" => Ok(Word::Nil),
            name if functions::exists(name) => Ok(Word::Function(name.to_owned())),
            name => Err(format!("{}: function {name:?} not defined", self.parser.line)),
        }
    }

    fn group(&mut self) -> Result<Word, String> {
        let start = self.at + 1;
        let mut depth = 0usize;
        while let Some(letter) = self.letters.get(self.at).copied() {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                '"' | '`' | '\'' => {
                    self.quoted(letter)?;
                    continue;
                }
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                let text: String = self.letters[start..self.at - 1].iter().collect();
                let pipe = self.parser.commands(&text, 0)?;
                return Ok(Word::Group(Box::new(pipe), self.fields()));
            }
        }
        Err(format!("{}: unclosed left paren", self.parser.line))
    }

    fn fields(&mut self) -> Vec<String> {
        let mut fields = Vec::new();
        while self.letters.get(self.at) == Some(&'.') && self.letters.get(self.at + 1).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
            self.at += 1;
            fields.push(self.identifier());
        }
        fields
    }

    fn identifier(&mut self) -> String {
        let start = self.at;
        while self.letters.get(self.at).is_some_and(|letter| letter.is_alphanumeric() || *letter == '_') {
            self.at += 1;
        }
        self.letters[start..self.at].iter().collect()
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        self.at += 1;
        while self.letters.get(self.at).is_some_and(|letter| letter.is_ascii_alphanumeric() || *letter == '.') {
            self.at += 1;
        }
        let text: String = self.letters[start..self.at].iter().collect();
        let bad = || format!("{}: bad number syntax: {text:?}", self.parser.line);
        text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<f64>().map(Value::from)).map_err(|_| bad())
    }

    fn quoted(&mut self, quote: char) -> Result<Value, String> {
        self.at += 1;
        let mut text = String::new();
        while let Some(letter) = self.letters.get(self.at).copied() {
            self.at += 1;
            if letter == quote {
                // A character is a number.
                return Ok(if quote == '\'' { text.chars().next().map_or(0, u32::from).into() } else { text.into() });
            }
            if letter == '\\' && quote != '`' {
                let escape = self.letters.get(self.at).copied().unwrap_or('\\');
                self.at += 1;
                text.push(match escape {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
            } else {
                text.push(letter);
            }
        }
        Err(format!("{}: unterminated quoted string", self.parser.line))
    }
}
