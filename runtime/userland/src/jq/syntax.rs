//! jq's language: from a text to an expression.

use super::json::Json;

/// An expression: from one value to any number of them.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Identity,
    /// `..`
    Recurse,
    Literal(Json),
    /// Pieces of `"a\(.b)c"`, and the `@format` before it.
    Template(Option<String>, Vec<Piece>),
    Format(String),
    Variable(String),
    /// `.name`, `.[x]`
    Index(Box<Expr>, Box<Expr>),
    /// `.[from:to]`
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>),
    /// `.[]`
    Each(Box<Expr>),
    Try(Box<Expr>, Option<Box<Expr>>),
    Pipe(Box<Expr>, Box<Expr>),
    Comma(Box<Expr>, Box<Expr>),
    Negate(Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `=`, `|=`, `+=`...
    Assign(&'static str, Box<Expr>, Box<Expr>),
    List(Option<Box<Expr>>),
    Object(Vec<(Expr, Expr)>),
    If(Vec<(Expr, Expr)>, Option<Box<Expr>>),
    /// `source as $name | body`
    Bind(Box<Expr>, String, Box<Expr>),
    Reduce { source: Box<Expr>, name: String, start: Box<Expr>, step: Box<Expr> },
    Call(String, Vec<Expr>),
    /// `def name(parameters): body; rest`
    Define { name: String, parameters: Vec<String>, body: Box<Expr>, rest: Box<Expr> },
}

/// A part of a string with expressions in it.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(String),
    Value(Expr),
}

type Parsed = Result<Expr, String>;

/// Reads a program.
pub(super) fn parse(text: &str) -> Parsed {
    let mut reader = Reader { text: text.chars().collect(), at: 0 };
    reader.blanks();
    if reader.at >= reader.text.len() {
        return Ok(Expr::Identity);
    }
    let expr = reader.pipe()?;
    reader.blanks();
    if reader.at < reader.text.len() {
        return reader.unexpected();
    }
    Ok(expr)
}

struct Reader {
    text: Vec<char>,
    at: usize,
}

/// Binary operators by precedence, loosest first; `//` is read on its own since it groups to the right.
const LEVELS: [&[&str]; 5] = [&["or"], &["and"], &["==", "!=", "<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];
const ASSIGNMENTS: [&str; 8] = ["|=", "+=", "-=", "*=", "/=", "%=", "//=", "="];

fn boxed(expr: Expr) -> Box<Expr> {
    Box::new(expr)
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(next) = self.peek() {
            if next == '#' {
                while self.peek().is_some_and(|next| next != '\n') {
                    self.at += 1;
                }
            } else if next.is_whitespace() {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn unexpected<T>(&self) -> Result<T, String> {
        let rest: String = self.text[self.at.min(self.text.len())..].iter().take(12).collect();
        Err(if rest.is_empty() { "syntax error, unexpected end of the program".to_owned() } else { format!("syntax error, unexpected '{rest}'") })
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, wanted)| self.text.get(self.at + index) == Some(&wanted))
    }

    /// Takes an operator or a word, after blanks.
    fn eat(&mut self, text: &str) -> bool {
        self.blanks();
        if !self.looking_at(text) {
            return false;
        }
        let after = self.text.get(self.at + text.chars().count()).copied();
        let word = text.starts_with(|next: char| next.is_alphabetic());
        if word && after.is_some_and(|next| next.is_alphanumeric() || next == '_') {
            return false;
        }
        let longer = match text {
            "|" | "+" | "-" | "*" | "%" | "<" | ">" => after == Some('='),
            "/" => matches!(after, Some('=' | '/')),
            "//" => after == Some('='),
            "=" => after == Some('='),
            _ => false,
        };
        if longer {
            return false;
        }
        self.at += text.chars().count();
        true
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.eat(text) { Ok(()) } else { self.unexpected() }
    }

    fn name(&mut self) -> Option<String> {
        self.blanks();
        let start = self.at;
        if !self.peek()?.is_alphabetic() && self.peek()? != '_' {
            return None;
        }
        while self.peek().is_some_and(|next| next.is_alphanumeric() || next == '_') {
            self.at += 1;
        }
        Some(self.text[start..self.at].iter().collect())
    }

    fn variable(&mut self) -> Result<String, String> {
        self.expect("$")?;
        match self.name() {
            Some(name) => Ok(name),
            None => self.unexpected(),
        }
    }

    fn pipe(&mut self) -> Parsed {
        if self.eat("def") {
            let Some(name) = self.name() else { return self.unexpected() };
            let mut parameters = Vec::new();
            if self.eat("(") {
                loop {
                    let dollar = self.eat("$");
                    let Some(parameter) = self.name() else { return self.unexpected() };
                    parameters.push(if dollar { format!("${parameter}") } else { parameter });
                    if !self.eat(";") {
                        break;
                    }
                }
                self.expect(")")?;
            }
            self.expect(":")?;
            let body = boxed(self.pipe()?);
            self.expect(";")?;
            let rest = boxed(self.pipe()?);
            return Ok(Expr::Define { name, parameters, body, rest });
        }
        let left = self.comma()?;
        if self.eat("as") {
            let name = self.variable()?;
            self.expect("|")?;
            return Ok(Expr::Bind(boxed(left), name, boxed(self.pipe()?)));
        }
        if self.eat("|") {
            return Ok(Expr::Pipe(boxed(left), boxed(self.pipe()?)));
        }
        Ok(left)
    }

    fn comma(&mut self) -> Parsed {
        let mut left = self.assignment()?;
        while self.eat(",") {
            left = Expr::Comma(boxed(left), boxed(self.assignment()?));
        }
        Ok(left)
    }

    fn assignment(&mut self) -> Parsed {
        let left = self.alternative()?;
        for operator in ASSIGNMENTS {
            if self.eat(operator) {
                let right = self.alternative()?;
                return Ok(Expr::Assign(operator, boxed(left), boxed(right)));
            }
        }
        Ok(left)
    }

    fn alternative(&mut self) -> Parsed {
        let left = self.binary(0)?;
        if self.eat("//") {
            return Ok(Expr::Binary("//", boxed(left), boxed(self.alternative()?)));
        }
        Ok(left)
    }

    fn binary(&mut self, level: usize) -> Parsed {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators.iter().find(|operator| self.eat(operator)) {
            left = Expr::Binary(operator, boxed(left), boxed(self.binary(level + 1)?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed {
        if self.eat("-") {
            return Ok(Expr::Negate(boxed(self.postfix()?)));
        }
        self.postfix()
    }

    fn postfix(&mut self) -> Parsed {
        let mut expr = self.term()?;
        loop {
            self.blanks();
            if self.looking_at("..") {
                return Ok(expr);
            }
            if self.peek() == Some('.') {
                self.at += 1;
                self.blanks();
                expr = match self.peek() {
                    Some('[') => self.brackets(expr)?,
                    Some('"') => Expr::Index(boxed(expr), boxed(self.string(None)?)),
                    _ => match self.name() {
                        Some(name) => Expr::Index(boxed(expr), boxed(Expr::Literal(Json::Text(name)))),
                        None => return self.unexpected(),
                    },
                };
            } else if self.peek() == Some('[') {
                expr = self.brackets(expr)?;
            } else if self.eat("?") {
                expr = Expr::Try(boxed(expr), None);
            } else {
                return Ok(expr);
            }
        }
    }

    /// `[]`, `[x]`, `[a:b]` behind an expression.
    fn brackets(&mut self, target: Expr) -> Parsed {
        self.expect("[")?;
        if self.eat("]") {
            return Ok(Expr::Each(boxed(target)));
        }
        if self.eat(":") {
            let to = self.pipe()?;
            self.expect("]")?;
            return Ok(Expr::Slice(boxed(target), None, Some(boxed(to))));
        }
        let first = self.pipe()?;
        if self.eat(":") {
            let to = if self.eat("]") {
                None
            } else {
                let to = self.pipe()?;
                self.expect("]")?;
                Some(boxed(to))
            };
            return Ok(Expr::Slice(boxed(target), Some(boxed(first)), to));
        }
        self.expect("]")?;
        Ok(Expr::Index(boxed(target), boxed(first)))
    }

    fn term(&mut self) -> Parsed {
        self.blanks();
        let Some(next) = self.peek() else { return self.unexpected() };
        match next {
            '.' => self.path(),
            '"' => self.string(None),
            '@' => {
                self.at += 1;
                let Some(name) = self.name() else { return self.unexpected() };
                self.blanks();
                if self.peek() == Some('"') { self.string(Some(name)) } else { Ok(Expr::Format(name)) }
            }
            '$' => {
                let name = self.variable()?;
                Ok(Expr::Variable(name))
            }
            '(' => {
                self.at += 1;
                let inner = self.pipe()?;
                self.expect(")")?;
                Ok(inner)
            }
            '[' => {
                self.at += 1;
                if self.eat("]") {
                    return Ok(Expr::List(None));
                }
                let inner = self.pipe()?;
                self.expect("]")?;
                Ok(Expr::List(Some(boxed(inner))))
            }
            '{' => self.object(),
            '0'..='9' => {
                let start = self.at;
                while let Some(next) = self.peek() {
                    let exponent = "+-".contains(next) && matches!(self.text[self.at - 1], 'e' | 'E');
                    if !(next.is_ascii_digit() || ".eE".contains(next) || exponent) {
                        break;
                    }
                    self.at += 1;
                }
                let text: String = self.text[start..self.at].iter().collect();
                text.parse().map(|value| Expr::Literal(Json::Number(value))).map_err(|_| format!("bad number {text}"))
            }
            _ => self.word(),
        }
    }

    fn path(&mut self) -> Parsed {
        if self.looking_at("..") {
            self.at += 2;
            return Ok(Expr::Recurse);
        }
        self.at += 1;
        match self.peek() {
            Some('[') => self.brackets(Expr::Identity),
            Some('"') => Ok(Expr::Index(boxed(Expr::Identity), boxed(self.string(None)?))),
            Some(next) if next.is_alphabetic() || next == '_' => {
                let name = self.name().unwrap_or_default();
                Ok(Expr::Index(boxed(Expr::Identity), boxed(Expr::Literal(Json::Text(name)))))
            }
            _ => Ok(Expr::Identity),
        }
    }

    fn word(&mut self) -> Parsed {
        let Some(name) = self.name() else { return self.unexpected() };
        match name.as_str() {
            "null" => Ok(Expr::Literal(Json::Null)),
            "true" => Ok(Expr::Literal(Json::Bool(true))),
            "false" => Ok(Expr::Literal(Json::Bool(false))),
            "if" => {
                let mut arms = Vec::new();
                loop {
                    let condition = self.pipe()?;
                    self.expect("then")?;
                    arms.push((condition, self.pipe()?));
                    if self.eat("elif") {
                        continue;
                    }
                    let otherwise = if self.eat("else") { Some(boxed(self.pipe()?)) } else { None };
                    self.expect("end")?;
                    return Ok(Expr::If(arms, otherwise));
                }
            }
            "try" => {
                let body = self.postfix()?;
                let catch = if self.eat("catch") { Some(boxed(self.postfix()?)) } else { None };
                Ok(Expr::Try(boxed(body), catch))
            }
            "reduce" => {
                let source = boxed(self.postfix()?);
                self.expect("as")?;
                let name = self.variable()?;
                self.expect("(")?;
                let start = boxed(self.pipe()?);
                self.expect(";")?;
                let step = boxed(self.pipe()?);
                self.expect(")")?;
                Ok(Expr::Reduce { source, name, start, step })
            }
            "then" | "else" | "elif" | "end" | "as" | "and" | "or" | "catch" => Err(format!("syntax error, unexpected '{name}'")),
            _ => {
                let mut arguments = Vec::new();
                if self.eat("(") {
                    loop {
                        arguments.push(self.pipe()?);
                        if !self.eat(";") {
                            break;
                        }
                    }
                    self.expect(")")?;
                }
                Ok(Expr::Call(name, arguments))
            }
        }
    }

    fn object(&mut self) -> Parsed {
        self.at += 1;
        let mut members = Vec::new();
        while !self.eat("}") {
            self.blanks();
            let (key, usual) = match self.peek() {
                Some('$') => {
                    let name = self.variable()?;
                    (Expr::Literal(Json::Text(name.clone())), Some(Expr::Variable(name)))
                }
                Some('(') => {
                    self.at += 1;
                    let key = self.pipe()?;
                    self.expect(")")?;
                    (key, None)
                }
                Some('"') => {
                    let key = self.string(None)?;
                    (key.clone(), Some(Expr::Index(boxed(Expr::Identity), boxed(key))))
                }
                _ => match self.name() {
                    Some(name) => {
                        let key = Expr::Literal(Json::Text(name));
                        (key.clone(), Some(Expr::Index(boxed(Expr::Identity), boxed(key))))
                    }
                    None => return self.unexpected(),
                },
            };
            let value = if self.eat(":") {
                let mut value = self.alternative()?;
                while self.eat("|") {
                    value = Expr::Pipe(boxed(value), boxed(self.alternative()?));
                }
                value
            } else {
                match usual {
                    Some(usual) => usual,
                    None => return self.unexpected(),
                }
            };
            members.push((key, value));
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::Object(members))
    }

    fn string(&mut self, format: Option<String>) -> Parsed {
        self.at += 1;
        let (mut pieces, mut text) = (Vec::new(), String::new());
        loop {
            let Some(next) = self.peek() else { return Err("syntax error, unfinished string".to_owned()) };
            self.at += 1;
            match next {
                '"' => break,
                '\\' => {
                    let Some(escaped) = self.peek() else { return self.unexpected() };
                    self.at += 1;
                    match escaped {
                        '(' => {
                            pieces.push(Piece::Text(std::mem::take(&mut text)));
                            pieces.push(Piece::Value(self.pipe()?));
                            self.expect(")")?;
                        }
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        'r' => text.push('\r'),
                        'u' => {
                            let digits: String = self.text[self.at..].iter().take(4).collect();
                            self.at += 4;
                            text.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap_or('\u{fffd}'));
                        }
                        other => text.push(other),
                    }
                }
                other => text.push(other),
            }
        }
        if pieces.is_empty() && format.is_none() {
            return Ok(Expr::Literal(Json::Text(text)));
        }
        pieces.push(Piece::Text(text));
        Ok(Expr::Template(format, pieces))
    }
}
