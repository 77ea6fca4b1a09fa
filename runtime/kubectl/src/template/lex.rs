//! From a template's text to tokens, and what is wrong with them in Go's words.
// upstream: Go's text/template/parse/lex.go

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The rest cannot be read; the text says why.
    Error,
    Bool,
    /// A printable character, such as a comma.
    Char,
    CharConstant,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    /// A word of the language.
    Keyword,
    Dot,
    Nil,
}

/// A piece of a template.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// Where it begins, in bytes.
    pub(super) at: usize,
    pub(super) line: usize,
}

impl Token {
    /// Whether it is this word.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Keyword && self.text == word
    }

    /// As errors name it.
    pub(super) fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            Kind::Keyword | Kind::Dot | Kind::Nil => format!("<{}>", self.text),
            _ if self.text.len() > 10 => format!("{}...", crate::print::go::quote(&self.text.chars().take(10).collect::<String>())),
            _ => crate::print::go::quote(&self.text),
        }
    }
}

const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// All tokens; the last is the end or an error.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, start: 0, depth: 0, line: 1, counted: 0, tokens: Vec::new() };
    if let Err(error) = lexer.all() {
        lexer.put(Kind::Error, error);
    }
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    /// Open parentheses.
    depth: usize,
    line: usize,
    counted: usize,
    tokens: Vec<Token>,
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// `U+0021 '!'`
fn code_point(letter: Option<char>) -> String {
    match letter {
        None => "U+FFFFFFFFFFFFFFFF".to_owned(),
        Some(letter) if letter.is_control() => format!("U+{:04X}", u32::from(letter)),
        Some(letter) => format!("U+{:04X} '{letter}'", u32::from(letter)),
    }
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|letter| valid.contains(letter));
        if found {
            self.at += 1;
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn put(&mut self, kind: Kind, text: String) {
        self.line += self.text[self.counted..self.start].matches('\n').count();
        self.counted = self.start;
        self.tokens.push(Token { kind, text, at: self.start, line: self.line });
    }

    fn emit(&mut self, kind: Kind) {
        self.put(kind, self.text[self.start..self.at].to_owned());
        self.start = self.at;
    }

    fn ignore(&mut self) {
        self.start = self.at;
    }

    fn all(&mut self) -> Result<(), String> {
        loop {
            let Some(open) = self.rest().find("{{") else {
                self.at = self.text.len();
                if self.at > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::Eof);
                return Ok(());
            };
            let (trims, before, action) = (left_trim(&self.rest()[open + 2..]), &self.rest()[..open], self.at + open);
            self.at += if trims { before.trim_end_matches(SPACES).len() } else { open };
            if self.at > self.start {
                self.emit(Kind::Text);
            }
            self.at = action;
            self.ignore();
            self.action()?;
        }
    }

    /// What is between `{{` and `}}`.
    fn action(&mut self) -> Result<(), String> {
        self.at += 2;
        let marker = if left_trim(self.rest()) { 2 } else { 0 };
        if self.rest()[marker..].starts_with("/*") {
            self.at += marker;
            self.ignore();
            return self.comment();
        }
        self.emit(Kind::LeftDelim);
        self.at += marker;
        self.ignore();
        self.depth = 0;
        while !self.piece()? {}
        Ok(())
    }

    /// Whether an action ends here, and with a mark that eats space.
    fn closes(&self) -> (bool, bool) {
        let rest = self.rest();
        if right_trim(rest) && rest[2..].starts_with("}}") { (true, true) } else { (rest.starts_with("}}"), false) }
    }

    fn comment(&mut self) -> Result<(), String> {
        let end = self.rest().find("*/").ok_or("unclosed comment")?;
        self.at += end + 2;
        let (closes, trims) = self.closes();
        if !closes {
            return Err("comment ends before closing delimiter".to_owned());
        }
        self.at += if trims { 4 } else { 2 };
        self.trim(trims);
        Ok(())
    }

    fn close(&mut self) {
        let trims = right_trim(self.rest());
        if trims {
            self.at += 2;
            self.ignore();
        }
        self.at += 2;
        self.emit(Kind::RightDelim);
        self.trim(trims);
    }

    fn trim(&mut self, trims: bool) {
        if trims {
            self.at += self.rest().len() - self.rest().trim_start_matches(SPACES).len();
        }
        self.ignore();
    }

    /// One token inside of an action; whether the action ended.
    fn piece(&mut self) -> Result<bool, String> {
        if self.closes().0 {
            if self.depth > 0 {
                return Err("unclosed left paren".to_owned());
            }
            self.close();
            return Ok(true);
        }
        let letter = self.next().ok_or("unclosed action")?;
        match letter {
            letter if SPACES.contains(&letter) => return Ok(self.space()),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return Err("expected :=".to_owned());
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => {
                let end = self.rest().find('`').ok_or("unterminated raw quoted string")?;
                self.at += end + 1;
                self.emit(Kind::RawString);
            }
            '$' => self.name(Kind::Variable, Kind::Variable)?,
            '.' if self.at < self.text.len() && !self.rest().starts_with(|next: char| next.is_ascii_digit()) => self.name(Kind::Dot, Kind::Field)?,
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()?;
            }
            letter if is_word(letter) => self.identifier()?,
            '(' => {
                self.depth += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                self.depth = self.depth.checked_sub(1).ok_or("unexpected right paren")?;
                self.emit(Kind::RightParen);
            }
            ' '..='~' => self.emit(Kind::Char),
            other => return Err(format!("unrecognized character in action: {}", code_point(Some(other)))),
        }
        Ok(false)
    }

    /// Spaces; whether the action ends after them.
    fn space(&mut self) -> bool {
        let mut count = 1;
        while self.peek().is_some_and(|letter| SPACES.contains(&letter)) {
            self.at += 1;
            count += 1;
        }
        if right_trim(&self.text[self.at - 1..]) && self.text[self.at + 1..].starts_with("}}") {
            self.at -= 1;
            if count == 1 {
                self.close();
                return true;
            }
        }
        self.emit(Kind::Space);
        false
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') if self.next().is_some_and(|letter| letter != '\n') => {}
                Some('\\' | '\n') | None => return Err(unterminated.to_owned()),
                Some(letter) if letter == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Ok(())
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(letter) => SPACES.contains(&letter) || self.rest().starts_with("}}"),
        }
    }

    /// After `.` or `$`.
    fn name(&mut self, alone: Kind, named: Kind) -> Result<(), String> {
        if self.at_terminator() {
            self.emit(alone);
            return Ok(());
        }
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        if !self.at_terminator() {
            return Err(format!("bad character {}", code_point(self.peek())));
        }
        self.emit(named);
        Ok(())
    }

    fn identifier(&mut self) -> Result<(), String> {
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        if !self.at_terminator() {
            return Err(format!("bad character {}", code_point(self.peek())));
        }
        let kind = match &self.text[self.start..self.at] {
            "nil" => Kind::Nil,
            "true" | "false" => Kind::Bool,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        if !self.scan_number() || self.peek().is_some_and(|sign| "+-".contains(sign)) && (!self.scan_number() || !self.text[..self.at].ends_with('i')) {
            return Err(format!("bad number syntax: {}", crate::print::go::quote(&self.text[self.start..self.at])));
        }
        self.emit(Kind::Number);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.next();
            return false;
        }
        true
    }
}

/// `- ` after `{{`.
fn left_trim(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES))
}

/// ` -` before `}}`.
fn right_trim(rest: &str) -> bool {
    rest.strip_prefix(SPACES).is_some_and(|rest| rest.starts_with('-'))
}
