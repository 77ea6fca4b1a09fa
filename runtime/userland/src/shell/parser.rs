//! From text to commands.
//!
//! A recursive descent over characters: the shell's grammar decides what a token is by where it stands, so a separate
//! lexer would have to know the grammar anyway. Here-documents are cut out of the source when their operator is met.

use std::{collections::HashMap, rc::Rc};

use super::syntax::{Command, Join, Operator, Part, Redirect, RedirectKind, Word};

/// Why a text is not a script.
#[derive(Debug, PartialEq)]
pub(crate) enum ParseError {
    /// More input may complete it.
    Incomplete(&'static str),
    /// No input will.
    Unexpected(String),
}

type Parsed<T> = Result<T, ParseError>;

/// Reads a script.
pub(crate) struct Parser {
    source: Vec<char>,
    at: usize,
    aliases: HashMap<String, String>,
    /// Alias text ends here; the same alias is not expanded again before it.
    alias_guard: Vec<(String, usize)>,
    /// At the end of a file an unfinished here-document is taken as it is.
    whole: bool,
}

const RESERVED: [&str; 13] =
    ["then", "else", "elif", "fi", "do", "done", "esac", "in", "}", "if", "while", "until", "for"];

impl Parser {
    pub(crate) fn new(source: &str, aliases: &HashMap<String, String>, whole: bool) -> Self {
        Self { source: source.chars().collect(), at: 0, aliases: aliases.clone(), alias_guard: Vec::new(), whole }
    }

    /// The next complete line of commands, or `None` at the end.
    pub(crate) fn next_line(&mut self) -> Parsed<Option<Command>> {
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return Ok(None),
                Some('\n') => self.at += 1,
                Some(_) => break,
            }
        }
        let list = self.list_until_newline()?;
        Ok(Some(list))
    }

    /// True when nothing but blanks and comments follows.
    pub(crate) fn at_end(&mut self) -> bool {
        self.skip_newlines();
        self.peek().is_none()
    }

    /// Takes over aliases that the commands so far made: they count from the next line on.
    pub(crate) fn learn_aliases(&mut self, aliases: &HashMap<String, String>) {
        if self.aliases != *aliases {
            self.aliases.clone_from(aliases);
        }
    }

    fn peek(&self) -> Option<char> {
        self.source.get(self.at).copied()
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, wanted)| self.source.get(self.at + index) == Some(&wanted))
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = self.looking_at(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.source.get(self.at + 1) == Some(&'\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|next| next != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn skip_newlines(&mut self) {
        self.skip_blanks();
        while self.peek() == Some('\n') {
            self.at += 1;
            self.skip_blanks();
        }
    }

    fn unexpected<T>(&self) -> Parsed<T> {
        match self.peek() {
            None => Err(ParseError::Incomplete("unexpected end of file")),
            Some('\n') => Err(ParseError::Unexpected("syntax error: unexpected newline".to_owned())),
            Some(_) => {
                let word: String = self.source[self.at..].iter().take_while(|next| !next.is_whitespace()).take(20).collect();
                Err(ParseError::Unexpected(format!("syntax error: unexpected \"{word}\"")))
            }
        }
    }

    fn list_until_newline(&mut self) -> Parsed<Command> {
        let mut items = Vec::new();
        loop {
            self.skip_blanks();
            let start = self.at;
            let command = self.chain()?;
            let text = self.text_from(start);
            self.skip_blanks();
            let background = self.peek() == Some('&') && !self.looking_at("&&");
            let more = background || (self.peek() == Some(';') && !self.looking_at(";;"));
            if more {
                self.at += 1;
            }
            items.push((command, background, text));
            self.skip_blanks();
            match self.peek() {
                None => return Ok(Command::List(items)),
                Some('\n') => {
                    self.at += 1;
                    return Ok(Command::List(items));
                }
                Some(_) if more => {}
                Some(_) => return self.unexpected(),
            }
        }
    }

    fn text_from(&self, start: usize) -> String {
        self.source.get(start..self.at).unwrap_or_default().iter().collect::<String>().trim().to_owned()
    }

    /// Commands up to one of the closing words, which is left in place.
    fn compound_list(&mut self, closers: &[&str]) -> Parsed<Command> {
        let mut items = Vec::new();
        loop {
            self.skip_newlines();
            if closers.iter().any(|closer| self.at_word(closer)) {
                return Ok(Command::List(items));
            }
            if self.peek().is_none() {
                return Err(ParseError::Incomplete("unexpected end of file"));
            }
            let start = self.at;
            let command = self.chain()?;
            let text = self.text_from(start);
            self.skip_blanks();
            let background = self.peek() == Some('&') && !self.looking_at("&&");
            if background || (self.peek() == Some(';') && !self.looking_at(";;")) {
                self.at += 1;
            } else if self.peek() != Some('\n') && !closers.iter().any(|closer| self.at_word(closer)) {
                return self.unexpected();
            }
            items.push((command, background, text));
        }
    }

    /// True at a closing word: `)` and `;;` need no blank after them, names do.
    fn at_word(&self, word: &str) -> bool {
        if !self.looking_at(word) {
            return false;
        }
        if matches!(word, ")" | ";;") {
            return true;
        }
        self.source.get(self.at + word.len()).is_none_or(|next| next.is_whitespace() || ";&|()<>".contains(*next))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn expect_word(&mut self, word: &str) -> Parsed<()> {
        self.skip_newlines();
        if self.eat_word(word) { Ok(()) } else { self.unexpected() }
    }

    fn chain(&mut self) -> Parsed<Command> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            self.skip_blanks();
            let join = if self.eat("&&") {
                Join::And
            } else if self.eat("||") {
                Join::Or
            } else {
                break;
            };
            self.skip_newlines();
            rest.push((join, self.pipeline()?));
        }
        Ok(if rest.is_empty() { first } else { Command::Chain { first: Box::new(first), rest } })
    }

    fn pipeline(&mut self) -> Parsed<Command> {
        self.skip_blanks();
        let mut negated = false;
        while self.at_word("!") {
            self.at += 1;
            negated = !negated;
            self.skip_blanks();
        }
        let mut commands = vec![self.command()?];
        loop {
            self.skip_blanks();
            if self.peek() != Some('|') || self.looking_at("||") {
                break;
            }
            self.at += 1;
            self.skip_newlines();
            commands.push(self.command()?);
        }
        if commands.len() == 1 && !negated {
            return Ok(commands.remove(0));
        }
        Ok(Command::Pipeline { commands, negated })
    }

    fn command(&mut self) -> Parsed<Command> {
        self.skip_blanks();
        self.expand_alias();
        if self.peek() == Some('(') {
            self.at += 1;
            let body = Box::new(self.compound_list(&[")"])?);
            self.at += 1;
            return Ok(Command::Subshell { body, redirects: self.redirects()? });
        }
        if self.eat_word("{") {
            let body = Box::new(self.compound_list(&["}"])?);
            self.at += 1;
            return Ok(Command::Group { body, redirects: self.redirects()? });
        }
        if self.eat_word("if") {
            return self.if_command();
        }
        if self.eat_word("for") {
            return self.for_command();
        }
        if self.at_word("while") || self.at_word("until") {
            let until = self.at_word("until");
            self.at += 5;
            let condition = Box::new(self.compound_list(&["do"])?);
            let body = self.do_group()?;
            return Ok(Command::While { until, condition, body, redirects: self.redirects()? });
        }
        if self.eat_word("case") {
            return self.case_command();
        }
        if RESERVED.iter().any(|word| self.at_word(word)) {
            return self.unexpected();
        }
        if let Some(function) = self.function()? {
            return Ok(function);
        }
        self.simple()
    }

    fn expand_alias(&mut self) {
        while let Some(next) = self.peek() {
            self.alias_guard.retain(|(_, end)| *end > self.at);
            if !next.is_alphanumeric() && !"_.-".contains(next) {
                return;
            }
            let name: String =
                self.source[self.at..].iter().take_while(|next| next.is_alphanumeric() || "_-.+:".contains(**next)).collect();
            let end = self.at + name.chars().count();
            let ends = self.source.get(end).is_none_or(|next| next.is_whitespace() || ";&|()<>".contains(*next));
            let Some(value) = self.aliases.get(&name) else { return };
            if !ends || self.alias_guard.iter().any(|(used, _)| *used == name) {
                return;
            }
            let value: Vec<char> = value.chars().collect();
            let grown = value.len();
            self.source.splice(self.at..end, value);
            self.alias_guard.push((name, self.at + grown));
        }
    }

    fn do_group(&mut self) -> Parsed<Box<Command>> {
        self.expect_word("do")?;
        let body = self.compound_list(&["done"])?;
        self.at += 4;
        Ok(Box::new(body))
    }

    fn if_command(&mut self) -> Parsed<Command> {
        let mut arms = Vec::new();
        let mut otherwise = None;
        loop {
            let condition = self.compound_list(&["then"])?;
            self.at += 4;
            let body = self.compound_list(&["elif", "else", "fi"])?;
            arms.push((condition, body));
            if self.eat_word("elif") {
                continue;
            }
            if self.eat_word("else") {
                otherwise = Some(Box::new(self.compound_list(&["fi"])?));
            }
            self.expect_word("fi")?;
            return Ok(Command::If { arms, otherwise, redirects: self.redirects()? });
        }
    }

    fn for_command(&mut self) -> Parsed<Command> {
        self.skip_blanks();
        let name = self.name();
        if name.is_empty() {
            return self.unexpected();
        }
        self.skip_newlines();
        let mut words = None;
        if self.eat_word("in") {
            let mut list = Vec::new();
            loop {
                self.skip_blanks();
                match self.peek() {
                    None | Some('\n' | ';') => break,
                    Some(_) => list.push(self.word("")?),
                }
            }
            words = Some(list);
        }
        self.skip_blanks();
        if self.peek() == Some(';') {
            self.at += 1;
        }
        let body = self.do_group()?;
        Ok(Command::For { name, words, body, redirects: self.redirects()? })
    }

    fn case_command(&mut self) -> Parsed<Command> {
        self.skip_blanks();
        let subject = self.word("")?;
        self.expect_word("in")?;
        let mut arms = Vec::new();
        loop {
            self.skip_newlines();
            if self.eat_word("esac") {
                return Ok(Command::Case { subject, arms, redirects: self.redirects()? });
            }
            if self.peek() == Some('(') {
                self.at += 1;
            }
            let mut patterns = Vec::new();
            loop {
                self.skip_blanks();
                patterns.push(self.word("")?);
                self.skip_blanks();
                if self.peek() == Some('|') {
                    self.at += 1;
                    continue;
                }
                break;
            }
            if !self.eat(")") {
                return self.unexpected();
            }
            let body = self.compound_list(&[";;", "esac"])?;
            self.eat(";;");
            arms.push((patterns, body));
        }
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|next| next.is_ascii_alphanumeric() || next == '_') {
            self.at += 1;
        }
        self.source[start..self.at].iter().collect()
    }

    fn function(&mut self) -> Parsed<Option<Command>> {
        let start = self.at;
        let keyword = self.eat_word("function");
        self.skip_blanks();
        let first = self.at;
        while self.peek().is_some_and(|next| next.is_ascii_alphanumeric() || "_-.".contains(next)) {
            self.at += 1;
        }
        let name: String = self.source[first..self.at].iter().collect();
        self.skip_blanks();
        let brackets = self.peek() == Some('(');
        if brackets {
            self.at += 1;
            self.skip_blanks();
        }
        if name.is_empty() || !(brackets && self.eat(")") || keyword && !brackets) {
            self.at = start;
            return Ok(None);
        }
        self.skip_newlines();
        if !matches!(self.peek(), Some('{' | '(')) {
            return self.unexpected();
        }
        let body = self.command()?;
        Ok(Some(Command::Function { name, body: Rc::new(body) }))
    }

    fn simple(&mut self) -> Parsed<Command> {
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.skip_blanks();
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            match self.peek() {
                None | Some('\n' | ';' | '&' | '|' | ')') => break,
                Some('(') => return self.unexpected(),
                Some(_) => {}
            }
            if words.is_empty() && let Some(assignment) = self.assignment()? {
                assignments.push(assignment);
                self.skip_blanks();
                self.expand_alias();
                continue;
            }
            words.push(self.word("")?);
        }
        if assignments.is_empty() && words.is_empty() && redirects.is_empty() {
            return self.unexpected();
        }
        Ok(Command::Simple { assignments, words, redirects })
    }

    fn assignment(&mut self) -> Parsed<Option<(String, Word)>> {
        let start = self.at;
        let name = self.name();
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !is_name || self.peek() != Some('=') {
            self.at = start;
            return Ok(None);
        }
        self.at += 1;
        let value = match self.peek() {
            None | Some(' ' | '\t' | '\n' | ';' | '&' | '|' | ')') => Vec::new(),
            Some(_) => self.word("")?,
        };
        Ok(Some((name, value)))
    }

    fn redirects(&mut self) -> Parsed<Vec<Redirect>> {
        let mut all = Vec::new();
        loop {
            self.skip_blanks();
            match self.redirect()? {
                Some(redirect) => all.push(redirect),
                None => return Ok(all),
            }
        }
    }

    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        let start = self.at;
        let mut digits = String::new();
        while let Some(digit) = self.peek().filter(char::is_ascii_digit) {
            digits.push(digit);
            self.at += 1;
        }
        if digits.is_empty() && self.eat("&>") {
            self.skip_blanks();
            return Ok(Some(Redirect { fd: 1, kind: RedirectKind::Both, target: self.word("")? }));
        }
        let table = [
            ("<<<", RedirectKind::Here, 0),
            ("<<-", RedirectKind::Here, 0),
            ("<<", RedirectKind::Here, 0),
            ("<&", RedirectKind::Duplicate, 0),
            ("<>", RedirectKind::ReadWrite, 0),
            ("<", RedirectKind::Read, 0),
            (">>", RedirectKind::Append, 1),
            (">&", RedirectKind::Duplicate, 1),
            (">|", RedirectKind::Write, 1),
            (">", RedirectKind::Write, 1),
        ];
        let Some((text, kind, usual)) = table.into_iter().find(|(text, ..)| self.looking_at(text)) else {
            self.at = start;
            return Ok(None);
        };
        self.at += text.len();
        self.skip_blanks();
        let fd = digits.parse().unwrap_or(usual);
        let target = match text {
            "<<" | "<<-" => self.here_document(text == "<<-")?,
            "<<<" => {
                let mut word = self.word("")?;
                word.push(Part::Quoted("\n".to_owned()));
                vec![Part::Double(word)]
            }
            _ => match self.peek() {
                None | Some('\n' | ';' | '&' | '|' | ')' | '<' | '>') => return self.unexpected(),
                Some(_) => self.word("")?,
            },
        };
        Ok(Some(Redirect { fd, kind, target }))
    }

    /// Takes the delimiter, and cuts the body out of the lines that follow.
    fn here_document(&mut self, tabs: bool) -> Parsed<Word> {
        let word = self.word("")?;
        let quoted = word.iter().any(|part| !matches!(part, Part::Text(_)));
        let delimiter: String = word.iter().map(flat_text).collect();
        let first = self.source[self.at..].iter().position(|next| *next == '\n').map(|offset| self.at + offset + 1);
        let Some(first) = first else { return Err(ParseError::Incomplete("here-document")) };
        let (mut body, mut line_start) = (String::new(), first);
        loop {
            let rest = &self.source[line_start.min(self.source.len())..];
            let length = rest.iter().position(|next| *next == '\n');
            let line: String = rest[..length.unwrap_or(rest.len())].iter().collect();
            let line = if tabs { line.trim_start_matches('\t').to_owned() } else { line };
            if line == delimiter {
                let end = (line_start + length.map_or(rest.len(), |length| length + 1)).min(self.source.len());
                self.source.drain(first..end);
                break;
            }
            let Some(length) = length else {
                if !self.whole {
                    return Err(ParseError::Incomplete("here-document"));
                }
                body.push_str(&line);
                self.source.truncate(first);
                break;
            };
            body.push_str(&line);
            body.push('\n');
            line_start += length + 1;
        }
        if quoted {
            return Ok(vec![Part::Quoted(body)]);
        }
        let mut inner = Parser::new(&body, &self.aliases, true);
        Ok(vec![Part::Double(inner.double_parts(None)?)])
    }

    /// One word; `stops` are characters that also end it (inside `${...}`).
    fn word(&mut self, stops: &str) -> Parsed<Word> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let inside = !stops.is_empty();
        while let Some(next) = self.peek() {
            if stops.contains(next) || (!inside && (next.is_whitespace() || ";&|()<>".contains(next))) {
                break;
            }
            match next {
                '\'' => {
                    self.flush(&mut parts, &mut text);
                    self.at += 1;
                    let end = self.find('\'')?;
                    parts.push(Part::Quoted(self.source[self.at..end].iter().collect()));
                    self.at = end + 1;
                }
                '"' => {
                    self.flush(&mut parts, &mut text);
                    self.at += 1;
                    let inner = self.double_parts(Some('"'))?;
                    parts.push(Part::Double(inner));
                }
                '\\' => {
                    self.at += 1;
                    match self.peek() {
                        None => text.push('\\'),
                        Some('\n') => self.at += 1,
                        Some(escaped) => {
                            self.flush(&mut parts, &mut text);
                            parts.push(Part::Quoted(escaped.to_string()));
                            self.at += 1;
                        }
                    }
                }
                '$' | '`' => match self.dollar()? {
                    Some(part) => {
                        self.flush(&mut parts, &mut text);
                        parts.push(part);
                    }
                    None => {
                        text.push('$');
                        self.at += 1;
                    }
                },
                _ => {
                    text.push(next);
                    self.at += 1;
                }
            }
        }
        self.flush(&mut parts, &mut text);
        if parts.is_empty() && !inside {
            return self.unexpected();
        }
        Ok(parts)
    }

    fn flush(&self, parts: &mut Vec<Part>, text: &mut String) {
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(text)));
        }
    }

    fn find(&self, wanted: char) -> Parsed<usize> {
        let offset = self.source[self.at..].iter().position(|next| *next == wanted);
        offset.map(|offset| self.at + offset).ok_or(ParseError::Incomplete("unterminated quoted string"))
    }

    /// The inside of double quotes (or of a here-document, with no closing character).
    fn double_parts(&mut self, close: Option<char>) -> Parsed<Vec<Part>> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        loop {
            let Some(next) = self.peek() else {
                if close.is_some() {
                    return Err(ParseError::Incomplete("unterminated quoted string"));
                }
                break;
            };
            if Some(next) == close {
                self.at += 1;
                break;
            }
            match next {
                '\\' => {
                    self.at += 1;
                    match self.peek() {
                        Some('\n') => self.at += 1,
                        Some(escaped) if "$`\\".contains(escaped) || Some(escaped) == close => {
                            text.push(escaped);
                            self.at += 1;
                        }
                        _ => text.push('\\'),
                    }
                }
                '$' | '`' => match self.dollar()? {
                    Some(part) => {
                        if !text.is_empty() {
                            parts.push(Part::Quoted(std::mem::take(&mut text)));
                        }
                        parts.push(part);
                    }
                    None => {
                        text.push('$');
                        self.at += 1;
                    }
                },
                _ => {
                    text.push(next);
                    self.at += 1;
                }
            }
        }
        if !text.is_empty() {
            parts.push(Part::Quoted(text));
        }
        Ok(parts)
    }

    /// `$...` or backquotes at the current place; `None` when the dollar stands for itself.
    fn dollar(&mut self) -> Parsed<Option<Part>> {
        let start = self.at;
        if self.eat("`") {
            let mut text = String::new();
            loop {
                match self.peek() {
                    None => return Err(ParseError::Incomplete("unterminated backquote")),
                    Some('`') => break,
                    Some('\\') if self.source.get(self.at + 1).is_some_and(|next| "`\\$".contains(*next)) => {
                        text.push(self.source[self.at + 1]);
                        self.at += 2;
                    }
                    Some(next) => {
                        text.push(next);
                        self.at += 1;
                    }
                }
            }
            self.at += 1;
            return Ok(Some(Part::Command(text)));
        }
        if self.eat("$((") {
            if let Some(part) = self.arithmetic()? {
                return Ok(Some(part));
            }
            self.at = start;
        }
        if self.eat("$(") {
            let from = self.at;
            self.compound_list(&[")"])?;
            // A here-document inside would have been cut out; scripts that nest them are not supported.
            let text: String = self.source[from..self.at].iter().collect();
            self.at += 1;
            return Ok(Some(Part::Command(text)));
        }
        if self.eat("${") {
            return self.braces().map(Some);
        }
        self.at += 1;
        let name = match self.peek() {
            Some(next) if next.is_ascii_alphabetic() || next == '_' => self.name(),
            Some(next) if next.is_ascii_digit() || "@*#?$!-".contains(next) => {
                self.at += 1;
                next.to_string()
            }
            _ => {
                self.at = start;
                return Ok(None);
            }
        };
        Ok(Some(Part::Parameter { name, operator: Operator::None }))
    }

    /// After `$((`: the expression, or `None` if it does not end in `))`.
    fn arithmetic(&mut self) -> Parsed<Option<Part>> {
        let mut depth = 0;
        let from = self.at;
        while let Some(next) = self.peek() {
            match next {
                '(' => depth += 1,
                ')' if depth > 0 => depth -= 1,
                ')' => {
                    if !self.looking_at("))") {
                        return Ok(None);
                    }
                    let text: String = self.source[from..self.at].iter().collect();
                    self.at += 2;
                    let mut inner = Parser::new(&text, &self.aliases, true);
                    return Ok(Some(Part::Arithmetic(inner.double_parts(None)?)));
                }
                _ => {}
            }
            self.at += 1;
        }
        Err(ParseError::Incomplete("unterminated arithmetic expansion"))
    }

    /// After `${`.
    fn braces(&mut self) -> Parsed<Part> {
        let length = self.peek() == Some('#') && self.source.get(self.at + 1).is_some_and(|next| *next != '}');
        if length {
            self.at += 1;
        }
        let mut name = self.name();
        if name.is_empty() && let Some(special) = self.peek().filter(|next| "@*#?$!-".contains(*next)) {
            name = special.to_string();
            self.at += 1;
        }
        let bad = || ParseError::Unexpected("bad substitution".to_owned());
        if name.is_empty() {
            return Err(bad());
        }
        let operator = if length { Operator::Length } else { self.brace_operator()? };
        if !self.eat("}") {
            return Err(if self.peek().is_none() { ParseError::Incomplete("unterminated ${") } else { bad() });
        }
        Ok(Part::Parameter { name, operator })
    }

    fn brace_operator(&mut self) -> Parsed<Operator> {
        let colon = self.looking_at(":") && self.source.get(self.at + 1).is_some_and(|next| "-=?+".contains(*next));
        if colon {
            self.at += 1;
        }
        Ok(match self.peek() {
            Some(kind @ ('-' | '=' | '?' | '+')) => {
                self.at += 1;
                Operator::Substitute { kind, colon, word: self.word("}")? }
            }
            Some(kind @ ('#' | '%')) => {
                self.at += 1;
                let longest = self.peek() == Some(kind);
                if longest {
                    self.at += 1;
                }
                Operator::Trim { suffix: kind == '%', longest, pattern: self.word("}")? }
            }
            Some('/') => {
                self.at += 1;
                let all = self.eat("/");
                let pattern = self.word("/}")?;
                let with = if self.eat("/") { self.word("}")? } else { Vec::new() };
                Operator::Replace { all, pattern, with }
            }
            Some(':') => {
                self.at += 1;
                let offset = self.word(":}")?;
                let length = if self.eat(":") { Some(self.word("}")?) } else { None };
                Operator::Slice { offset, length }
            }
            _ => Operator::None,
        })
    }
}

fn flat_text(part: &Part) -> String {
    match part {
        Part::Text(text) | Part::Quoted(text) => text.clone(),
        Part::Double(parts) => parts.iter().map(flat_text).collect(),
        Part::Parameter { name, .. } => format!("${name}"),
        Part::Command(_) | Part::Arithmetic(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_input_asks_for_more() {
        let aliases = HashMap::new();
        let cases = [
            ("if true", true),
            ("echo 'a", true),
            ("echo \"a", true),
            ("for i in 1 2; do", true),
            ("cat <<EOF\nx", true),
            ("echo $(ls", true),
            ("a ||", true),
            ("fi", false),
            ("a ;; b", false),
            ("echo )", false),
        ];
        for (text, incomplete) in cases {
            let error = Parser::new(text, &aliases, false).next_line().expect_err(text);
            assert_eq!(matches!(error, ParseError::Incomplete(_)), incomplete, "{text}: {error:?}");
        }
    }
}
