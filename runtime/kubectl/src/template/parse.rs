//! From tokens to nodes.
// upstream: Go's text/template/parse/parse.go

use std::collections::HashMap;

use super::functions;
use super::lex::{Kind, Token, tokens};
use super::number;
use super::tree::{Branch, Command, Node, Operand, Pipe, Word};

/// How deep blocks and parentheses go: no template needs more, and the stack is not endless.
const DEPTH: usize = 500;

type Named = HashMap<String, Vec<Node>>;

/// Read a template; errors are `LINE: what`.
pub(super) fn parse(text: &str) -> Result<(Vec<Node>, Named), String> {
    let mut parser = Parser { tokens: tokens(text), next: 0, seen: 0, named: HashMap::new(), variables: vec!["$".to_owned()], ranges: 0, action: 0, depth: 0 };
    let nodes = parser.whole()?;
    parser.name_list("output".to_owned(), nodes)?;
    Ok((parser.named.remove("output").unwrap_or_default(), parser.named))
}

/// What ends a list of nodes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn shown(self) -> &'static str {
        match self {
            Stop::End => "{{end}}",
            Stop::Else => "{{else}}",
        }
    }
}

/// A node or what ends a list.
enum Step {
    Node(Node),
    Stop(Stop),
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// The furthest token that was looked at: errors are on its line.
    seen: usize,
    named: Named,
    variables: Vec<String>,
    /// How many `range` are open.
    ranges: usize,
    /// The line of the last action.
    action: usize,
    depth: usize,
}

impl Parser {
    fn token(&mut self, index: usize) -> &Token {
        let index = index.min(self.tokens.len() - 1);
        self.seen = self.seen.max(index);
        &self.tokens[index]
    }

    fn peek(&mut self) -> Token {
        self.token(self.next).clone()
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn skip_spaces(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn take_word(&mut self) -> Token {
        self.skip_spaces();
        self.take()
    }

    fn peek_word(&mut self) -> Token {
        self.skip_spaces();
        self.peek()
    }

    fn error<T>(&self, what: impl std::fmt::Display) -> Result<T, String> {
        Err(format!("{}: {what}", self.tokens[self.seen].line))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T, String> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.shown()));
        }
        let mut extra = String::new();
        if self.action != 0 && self.action != token.line {
            let start = if token.text.ends_with(" action") { "" } else { " in action" };
            extra = format!("{start} started at output:{}", self.action);
        }
        self.error(format!("{}{extra}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token, String> {
        let token = self.take_word();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// One level further down.
    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH { self.error("max expression depth exceeded") } else { Ok(()) }
    }

    fn whole(&mut self) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let start = self.next;
                self.next += 1;
                if self.take_word().is_word("define") {
                    self.define()?;
                    continue;
                }
                self.next = start;
            }
            match self.step()? {
                Step::Node(node) => nodes.push(node),
                Step::Stop(stop) => return self.error(format!("unexpected {}", stop.shown())),
            }
        }
        Ok(nodes)
    }

    fn define(&mut self) -> Result<(), String> {
        const CONTEXT: &str = "define clause";
        let token = self.take_word();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.named_list(name, CONTEXT)
    }

    /// The nodes of a template with a name; it sees no variables but its own.
    fn named_list(&mut self, name: String, context: &str) -> Result<(), String> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, stop) = self.list()?;
        (self.variables, self.ranges) = (outer, ranges);
        if stop != Stop::End {
            return self.error(format!("unexpected {} in {context}", stop.shown()));
        }
        self.name_list(name, nodes)
    }

    /// What is only space replaces nothing, and what is more is replaced by nothing.
    fn name_list(&mut self, name: String, nodes: Vec<Node>) -> Result<(), String> {
        let empty = |nodes: &[Node]| nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()));
        match self.named.get(&name) {
            Some(there) if !empty(there) && !empty(&nodes) => self.error(format!("template: multiple definition of template {name:?}")),
            Some(there) if !empty(there) => Ok(()),
            _ => {
                self.named.insert(name, nodes);
                Ok(())
            }
        }
    }

    fn list(&mut self) -> Result<(Vec<Node>, Stop), String> {
        self.deeper()?;
        let mut nodes = Vec::new();
        while self.peek_word().kind != Kind::Eof {
            match self.step()? {
                Step::Node(node) => nodes.push(node),
                Step::Stop(stop) => {
                    self.depth -= 1;
                    return Ok((nodes, stop));
                }
            }
        }
        self.error("unexpected EOF")
    }

    fn step(&mut self) -> Result<Step, String> {
        let token = self.take_word();
        match token.kind {
            Kind::Text => Ok(Step::Node(Node::Text(token.text))),
            Kind::LeftDelim => {
                self.action = token.line;
                let step = self.inside();
                self.action = 0;
                step
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    /// What follows `{{`.
    fn inside(&mut self) -> Result<Step, String> {
        let start = self.next;
        let token = self.take_word();
        if token.kind != Kind::Keyword || token.text == "define" {
            self.next = start;
            let pipe = self.pipe("command", Kind::RightDelim)?;
            return Ok(Step::Node(Node::Show(pipe)));
        }
        Ok(match token.text.as_str() {
            "block" => Step::Node(self.block()?),
            "break" | "continue" => Step::Node(self.jump(&token.text)?),
            "else" => return self.otherwise(),
            "end" => {
                self.expect(Kind::RightDelim, "end")?;
                Step::Stop(Stop::End)
            }
            "template" => {
                let token = self.take_word();
                let name = self.template_name(&token, "template clause")?;
                let start = self.next;
                let pipe = if self.take_word().kind == Kind::RightDelim {
                    None
                } else {
                    self.next = start;
                    Some(self.pipe("template clause", Kind::RightDelim)?)
                };
                Step::Node(Node::Template(name, pipe, token.at))
            }
            word => Step::Node(self.control(word)?),
        })
    }

    fn jump(&mut self, word: &str) -> Result<Node, String> {
        let token = self.take_word();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, &format!("{{{{{word}}}}}"));
        }
        if self.ranges == 0 {
            return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(if word == "break" { Node::Break } else { Node::Continue })
    }

    /// After `else`: the end of the action, or what is asked next.
    fn otherwise(&mut self) -> Result<Step, String> {
        let next = self.peek_word();
        if !next.is_word("if") && !next.is_word("with") {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Step::Stop(Stop::Else))
    }

    fn block(&mut self) -> Result<Node, String> {
        const CONTEXT: &str = "block clause";
        let token = self.take_word();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipe(CONTEXT, Kind::RightDelim)?;
        self.named_list(name.clone(), CONTEXT)?;
        Ok(Node::Template(name, Some(pipe), token.at))
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result<String, String> {
        match token.kind {
            Kind::String | Kind::RawString => self.unquoted(&token.text),
            _ => self.unexpected(token, context),
        }
    }

    fn unquoted(&self, text: &str) -> Result<String, String> {
        number::unquote(text).map_or_else(|| self.error("invalid syntax"), Ok)
    }

    /// `if`, `with` and `range`.
    fn control(&mut self, word: &str) -> Result<Node, String> {
        self.deeper()?;
        let scope = self.variables.len();
        let pipe = self.pipe(word, Kind::RightDelim)?;
        let ranges = usize::from(word == "range");
        self.ranges += ranges;
        let (body, stop) = self.list()?;
        self.ranges -= ranges;
        let mut otherwise = Vec::new();
        if stop == Stop::Else {
            if word != "range" && self.peek().is_word(word) {
                self.next += 1;
                otherwise.push(self.control(word)?);
            } else {
                let (nodes, stop) = self.list()?;
                if stop != Stop::End {
                    return self.error(format!("expected end; found {}", stop.shown()));
                }
                otherwise = nodes;
            }
        }
        self.variables.truncate(scope);
        self.depth -= 1;
        let branch = Branch { pipe, body, otherwise };
        Ok(match word {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        let mut pipe = Pipe { at: self.peek_word().at, variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let start = self.next;
            let token = self.take_word();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool | Kind::CharConstant | Kind::Dot | Kind::Field | Kind::Identifier | Kind::Number | Kind::Nil | Kind::RawString | Kind::String | Kind::Variable | Kind::LeftParen => {
                    self.next = start;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        let lazy = |command: &Command| matches!(command.words[0].what, Operand::Bool(_) | Operand::Dot | Operand::Nil | Operand::Number(..) | Operand::Text(..));
        if let Some(stage) = pipe.commands.iter().skip(1).position(lazy) {
            return self.error(format!("non executable command in pipeline stage {}", stage + 2));
        }
        Ok(pipe)
    }

    /// `$i, $x :=` or `$x =`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        while self.peek_word().kind == Kind::Variable {
            let start = self.next;
            let variable = self.take().text;
            let next = self.take_word();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    pipe.variables.push(variable.clone());
                    self.variables.push(variable);
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    pipe.variables.push(variable.clone());
                    self.variables.push(variable);
                    if context != "range" || pipe.variables.len() > 1 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    if !matches!(self.peek_word().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.next = start;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, String> {
        let mut command = Command { at: self.peek_word().at, words: Vec::new() };
        loop {
            self.skip_spaces();
            if let Some(word) = self.operand()? {
                command.words.push(word);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.next -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if command.words.is_empty() { self.error("empty command") } else { Ok(command) }
    }

    fn operand(&mut self) -> Result<Option<Word>, String> {
        let Some(word) = self.term()? else { return Ok(None) };
        let at = self.peek().at;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        if names.is_empty() {
            return Ok(Some(word));
        }
        let what = match word.what {
            Operand::Field(first) => Operand::Field([first, names].concat()),
            Operand::Variable(first) => Operand::Variable([first, names].concat()),
            Operand::Bool(_) | Operand::Text(..) | Operand::Number(..) | Operand::Nil | Operand::Dot => {
                return self.error(format!("unexpected . after term {}", crate::print::go::quote(&word.to_string())));
            }
            Operand::Function(_) | Operand::Group(_) | Operand::Chain(..) => Operand::Chain(Box::new(word), names),
        };
        Ok(Some(Word { at, what }))
    }

    fn term(&mut self) -> Result<Option<Word>, String> {
        let start = self.next;
        let token = self.take_word();
        let what = match token.kind {
            Kind::Identifier if functions::exists(&token.text) => Operand::Function(token.text),
            Kind::Identifier => return self.error(format!("function {:?} not defined", token.text)),
            Kind::Dot => Operand::Dot,
            Kind::Nil => Operand::Nil,
            Kind::Bool => Operand::Bool(token.text == "true"),
            Kind::Variable if self.variables.contains(&token.text) => Operand::Variable(vec![token.text]),
            Kind::Variable => return self.error(format!("undefined variable {:?}", token.text)),
            Kind::Field => Operand::Field(vec![token.text[1..].to_owned()]),
            Kind::CharConstant | Kind::Number => match number::read(&token.text) {
                Ok(number) => Operand::Number(token.text, number),
                Err(error) => return self.error(error),
            },
            Kind::String | Kind::RawString => {
                let text = self.unquoted(&token.text)?;
                Operand::Text(token.text, text)
            }
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipe("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                return Ok(Some(Word { at: pipe.at, what: Operand::Group(Box::new(pipe)) }));
            }
            _ => {
                self.next = start;
                return Ok(None);
            }
        };
        Ok(Some(Word { at: token.at, what }))
    }
}
