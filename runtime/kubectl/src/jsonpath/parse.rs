//! From a template to nodes.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// A step of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    List(Vec<Node>),
    Field(String),
    Array(Slice),
    Filter { left: Vec<Node>, right: Vec<Node>, operator: String },
    Literal(Value),
    Wildcard,
    Recursive,
    Union(Vec<Vec<Node>>),
    Identifier(String),
}

/// `[start:end:step]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Slice {
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
    /// Whether the end follows from a single index.
    pub(super) derived: bool,
    pub(super) step: Option<i64>,
}

/// Read a template.
pub(super) fn parse(template: &str) -> Result<Vec<Node>, String> {
    let mut parser = Parser { input: template.chars().collect(), position: 0, start: 0, root: Vec::new() };
    parser.text()?;
    Ok(parser.root)
}

/// Read what stands in braces.
fn action(text: &str) -> Result<Vec<Node>, String> {
    match parse(&format!("{{{text}}}"))?.into_iter().next() {
        Some(Node::List(nodes)) => Ok(nodes),
        _ => Ok(Vec::new()),
    }
}

struct Parser {
    input: Vec<char>,
    position: usize,
    start: usize,
    root: Vec<Node>,
}

impl Parser {
    fn text(&mut self) -> Result<(), String> {
        loop {
            if self.peek() == Some('{') {
                if self.position > self.start {
                    let text = self.consume();
                    self.root.push(Node::Text(text));
                }
                self.position += 1;
                self.consume();
                let nodes = self.inside()?;
                self.root.push(Node::List(nodes));
                continue;
            }
            if self.next().is_none() {
                break;
            }
        }
        if self.position > self.start {
            let text = self.consume();
            self.root.push(Node::Text(text));
        }
        Ok(())
    }

    fn inside(&mut self) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        loop {
            if self.peek() == Some('}') {
                self.position += 1;
                self.consume();
                return Ok(nodes);
            }
            if self.starts_with("[?(") {
                nodes.push(self.filter()?);
                continue;
            }
            if self.starts_with("..") {
                if nodes.last() == Some(&Node::Recursive) {
                    return Err("invalid multiple recursive descent".to_owned());
                }
                self.position += 2;
                self.consume();
                nodes.push(Node::Recursive);
                if self.peek().is_some_and(alphanumeric) {
                    nodes.push(self.field());
                }
                continue;
            }
            match self.next() {
                None | Some('\r' | '\n') => return Err("unclosed action".to_owned()),
                Some(' ' | '@' | '$') => {
                    self.consume();
                }
                Some('[') => self.array(&mut nodes)?,
                Some(quote @ ('"' | '\'')) => nodes.push(self.quoted(quote)?),
                Some('.') => nodes.push(self.field()),
                Some(letter) if letter == '+' || letter == '-' || letter.is_numeric() => {
                    self.position -= 1;
                    nodes.push(self.number()?);
                }
                Some(letter) if alphanumeric(letter) => {
                    self.position -= 1;
                    nodes.push(self.identifier());
                }
                Some(letter) => return Err(format!("unrecognized character in action: U+{:04X} '{letter}'", u32::from(letter))),
            }
        }
    }

    fn identifier(&mut self) -> Node {
        while self.peek().is_some_and(|letter| !terminator(letter)) {
            self.position += 1;
        }
        let word = self.consume();
        match word.as_str() {
            "true" => Node::Literal(true.into()),
            "false" => Node::Literal(false.into()),
            _ => Node::Identifier(word),
        }
    }

    fn number(&mut self) -> Result<Node, String> {
        if matches!(self.peek(), Some('+' | '-')) {
            self.position += 1;
        }
        while self.peek().is_some_and(|letter| letter == '.' || letter.is_numeric()) {
            self.position += 1;
        }
        let text = self.consume();
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Node::Literal(number.into()));
        }
        text.parse::<f64>().map(|number| Node::Literal(number.into())).map_err(|_| format!("cannot parse number {text}"))
    }

    fn field(&mut self) -> Node {
        self.consume();
        while let Some(letter) = self.peek() {
            if terminator(letter) {
                break;
            }
            self.position += if letter == '\\' { 2 } else { 1 };
        }
        self.position = self.position.min(self.input.len());
        let name = self.consume();
        if name == "*" { Node::Wildcard } else { Node::Field(name.replace('\\', "")) }
    }

    fn quoted(&mut self, quote: char) -> Result<Node, String> {
        loop {
            match self.next() {
                None | Some('\n') => return Err("unterminated quoted string".to_owned()),
                Some(letter) if letter == quote && self.input.get(self.position - 2) != Some(&'\\') => break,
                Some(_) => {}
            }
        }
        let text = self.consume();
        unquote(&text).map(Node::Text).ok_or_else(|| format!("unquote string {text} error invalid syntax"))
    }

    fn array(&mut self, nodes: &mut Vec<Node>) -> Result<(), String> {
        loop {
            match self.next() {
                None | Some('\n') => return Err("unterminated array".to_owned()),
                Some(']') => break,
                Some(_) => {}
            }
        }
        let text = self.consume();
        let text = &text[1..text.len() - 1];
        let text = if text == "*" { ":" } else { text };
        if text.contains(',') {
            let parts: Result<Vec<_>, _> = text.split(',').map(|part| action(&format!("[{}]", part.trim_matches(' ')))).collect();
            nodes.push(Node::Union(parts?));
            return Ok(());
        }
        if let Some(key) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).filter(|key| !key.contains('\'')) {
            nodes.extend(action(&format!(".{key}"))?);
            return Ok(());
        }
        nodes.push(Node::Array(slice(text)?));
        Ok(())
    }

    fn filter(&mut self) -> Result<Node, String> {
        static PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^([^!<>=]+)([!<>=]+)(.+?)$").ok());
        self.position += 3;
        self.consume();
        let (mut begin, mut end, mut pair) = (false, false, '"');
        loop {
            match self.next() {
                None | Some('\n') => return Err("unterminated filter".to_owned()),
                Some(letter @ ('"' | '\'')) => {
                    if !begin {
                        begin = true;
                        pair = letter;
                    } else if self.input.get(self.position - 2) != Some(&'\\') && letter == pair {
                        end = true;
                    }
                }
                Some(')') if begin == end => break,
                Some(_) => {}
            }
        }
        if self.next() != Some(']') {
            return Err("unclosed array expect ]".to_owned());
        }
        let text = self.consume();
        let text = &text[..text.len() - 2];
        let Some(parts) = PARTS.as_ref().and_then(|parts| parts.captures(text)) else {
            return Ok(Node::Filter { left: action(text)?, right: Vec::new(), operator: "exists".to_owned() });
        };
        Ok(Node::Filter { left: action(&parts[1])?, right: action(&parts[3])?, operator: parts[2].to_owned() })
    }

    fn peek(&self) -> Option<char> {
        self.input.get(self.position).copied()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.position += 1;
        Some(letter)
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, letter)| self.input.get(self.position + index) == Some(&letter))
    }

    fn consume(&mut self) -> String {
        let text = self.input[self.start.min(self.position)..self.position].iter().collect();
        self.start = self.position;
        text
    }
}

fn slice(text: &str) -> Result<Slice, String> {
    static SHAPE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(-?[0-9]*)(:-?[0-9]*)?(:-?[0-9]*)?$").ok());
    let parts = SHAPE.as_ref().and_then(|shape| shape.captures(text)).ok_or_else(|| format!("invalid array index {text}"))?;
    let part = |index: usize| parts.get(index).map(|part| part.as_str()).filter(|part| !part.is_empty());
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("array index {text} is not a number"));
    let tail = |index: usize| part(index).map(|part| &part[1..]).filter(|part| !part.is_empty()).map(number).transpose();
    let start = part(1).map(number).transpose()?;
    let (end, derived) = if part(2).is_none() { (Some(start.unwrap_or_default() + 1), true) } else { (tail(2)?, false) };
    Ok(Slice { start, end, derived, step: tail(3)? })
}

fn terminator(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\r' | '\n' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}')
}

fn alphanumeric(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// Go's `strconv.Unquote`, single quotes taken as double ones.
fn unquote(text: &str) -> Option<String> {
    let mut letters = text.chars().collect::<Vec<_>>();
    let quote = *letters.first()?;
    letters = letters[1..letters.len() - 1].to_vec();
    let mut result = String::new();
    let mut index = 0;
    while index < letters.len() {
        let letter = letters[index];
        index += 1;
        if letter != '\\' {
            result.push(letter);
            continue;
        }
        let escape = *letters.get(index)?;
        index += 1;
        let mut code = |length: usize| {
            let digits: String = letters.get(index..index + length)?.iter().collect();
            index += length;
            char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
        };
        result.push(match escape {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' => '\\',
            'x' => code(2)?,
            'u' => code(4)?,
            'U' => code(8)?,
            other if other == quote => other,
            _ => return None,
        });
    }
    Some(result)
}
