//! awk's language: from a text to rules and functions.

use std::collections::HashMap;

use super::tokens::{Token, tokens};

/// A program.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) begin: Vec<Statement>,
    pub(super) rules: Vec<Rule>,
    pub(super) end: Vec<Statement>,
    pub(super) functions: HashMap<String, Function>,
}

/// What is done with which records.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) pattern: Pattern,
    /// Without an action a record is printed.
    pub(super) action: Option<Vec<Statement>>,
}

#[derive(Debug)]
pub(super) enum Pattern {
    Always,
    When(Expr),
    Range(Expr, Expr),
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) parameters: Vec<String>,
    pub(super) body: Vec<Statement>,
}

#[derive(Debug, Clone)]
pub(super) enum Statement {
    Expr(Expr),
    /// Values, and where they go: `>`, `>>`, `|` with a name.
    Print { values: Vec<Expr>, formatted: bool, to: Option<(&'static str, Expr)> },
    If(Expr, Box<Statement>, Option<Box<Statement>>),
    While(Expr, Box<Statement>),
    Do(Box<Statement>, Expr),
    For(Box<Statement>, Option<Expr>, Box<Statement>, Box<Statement>),
    ForIn(String, String, Box<Statement>),
    Block(Vec<Statement>),
    Delete(String, Option<Vec<Expr>>),
    Next,
    Exit(Option<Expr>),
    Return(Option<Expr>),
    Break,
    Continue,
}

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Number(f64),
    Text(String),
    /// `/.../`: alone it is matched against the record.
    Regex(String),
    Variable(String),
    Field(Box<Expr>),
    Element(String, Vec<Expr>),
    Assign(Box<Expr>, Option<&'static str>, Box<Expr>),
    /// `++` and `--`: the change, and whether it happens before the value is taken.
    Step(Box<Expr>, f64, bool),
    Unary(char, Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Match(bool, Box<Expr>, Box<Expr>),
    In(Vec<Expr>, String),
    Choice(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// `getline [variable] [< file]`
    Getline(Option<Box<Expr>>, Option<Box<Expr>>),
    Group(Vec<Expr>),
}

/// Reads a program.
pub(super) fn parse(text: &str) -> Result<Program, String> {
    let mut reader = Reader { tokens: tokens(text)?, at: 0, printing: false };
    let mut program = Program::default();
    loop {
        reader.ends();
        match reader.peek().clone() {
            Token::End => return Ok(program),
            Token::Name(name) if name == "BEGIN" => {
                reader.at += 1;
                program.begin.extend(reader.block()?);
            }
            Token::Name(name) if name == "END" => {
                reader.at += 1;
                program.end.extend(reader.block()?);
            }
            Token::Name(name) if name == "function" || name == "func" => {
                reader.at += 1;
                let (name, function) = reader.function()?;
                program.functions.insert(name, function);
            }
            _ => program.rules.push(reader.rule()?),
        }
    }
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    /// In the values of a `print`, where `>` is a redirection.
    printing: bool,
}

type Parsed<T> = Result<T, String>;

/// Binary operators by precedence between `~` and `^`; comparison and concatenation are special.
const COMPARISONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];
const ASSIGNMENTS: [(&str, Option<&str>); 7] = [("=", None), ("+=", Some("+")), ("-=", Some("-")), ("*=", Some("*")), ("/=", Some("/")), ("%=", Some("%")), ("^=", Some("^"))];

impl Reader {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(known) if *known == sign)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Token::Name(known) | Token::Call(known) if known == name)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn eat_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.eat(sign) { Ok(()) } else { Err(format!("syntax error: '{sign}' expected, not {}", self.shown())) }
    }

    fn shown(&self) -> String {
        match self.peek() {
            Token::Number(value) => value.to_string(),
            Token::Text(text) => format!("\"{text}\""),
            Token::Regex(text) => format!("/{text}/"),
            Token::Name(name) | Token::Call(name) => name.clone(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Newline => "a new line".to_owned(),
            Token::End => "the end".to_owned(),
        }
    }

    /// Skips line ends and semicolons.
    fn ends(&mut self) {
        while *self.peek() == Token::Newline || self.is(";") {
            self.at += 1;
        }
    }

    fn newlines(&mut self) {
        while *self.peek() == Token::Newline {
            self.at += 1;
        }
    }

    fn function(&mut self) -> Parsed<(String, Function)> {
        let (Token::Name(name) | Token::Call(name)) = self.next() else { return Err("syntax error: function name expected".to_owned()) };
        self.expect("(")?;
        let mut parameters = Vec::new();
        while let Token::Name(parameter) = self.peek().clone() {
            self.at += 1;
            parameters.push(parameter);
            self.eat(",");
            self.newlines();
        }
        self.expect(")")?;
        self.newlines();
        Ok((name, Function { parameters, body: self.block()? }))
    }

    fn rule(&mut self) -> Parsed<Rule> {
        let pattern = if self.is("{") {
            Pattern::Always
        } else {
            let first = self.expr()?;
            if self.eat(",") {
                self.newlines();
                Pattern::Range(first, self.expr()?)
            } else {
                Pattern::When(first)
            }
        };
        let action = if self.is("{") { Some(self.block()?) } else { None };
        Ok(Rule { pattern, action })
    }

    fn block(&mut self) -> Parsed<Vec<Statement>> {
        self.newlines();
        self.expect("{")?;
        let mut statements = Vec::new();
        loop {
            self.ends();
            if self.eat("}") {
                return Ok(statements);
            }
            if *self.peek() == Token::End {
                return Err("syntax error: '}' expected".to_owned());
            }
            statements.push(self.statement()?);
        }
    }

    /// The body of a loop or condition.
    fn body(&mut self) -> Parsed<Box<Statement>> {
        self.newlines();
        if self.eat(";") {
            return Ok(Box::new(Statement::Block(Vec::new())));
        }
        Ok(Box::new(self.statement()?))
    }

    fn condition(&mut self) -> Parsed<Expr> {
        self.expect("(")?;
        let condition = self.expr()?;
        self.expect(")")?;
        Ok(condition)
    }

    fn statement(&mut self) -> Parsed<Statement> {
        if self.is("{") {
            return Ok(Statement::Block(self.block()?));
        }
        if self.eat_name("if") {
            let condition = self.condition()?;
            let then = self.body()?;
            let before = self.at;
            self.ends();
            if self.eat_name("else") {
                return Ok(Statement::If(condition, then, Some(self.body()?)));
            }
            self.at = before;
            return Ok(Statement::If(condition, then, None));
        }
        if self.eat_name("while") {
            let condition = self.condition()?;
            return Ok(Statement::While(condition, self.body()?));
        }
        if self.eat_name("do") {
            let body = self.body()?;
            self.ends();
            if !self.eat_name("while") {
                return Err("syntax error: 'while' expected".to_owned());
            }
            return Ok(Statement::Do(body, self.condition()?));
        }
        if self.eat_name("for") {
            return self.for_statement();
        }
        let statement = self.simple()?;
        if !(*self.peek() == Token::Newline || self.is(";") || self.is("}") || *self.peek() == Token::End) {
            return Err(format!("syntax error at {}", self.shown()));
        }
        self.eat(";");
        Ok(statement)
    }

    fn for_statement(&mut self) -> Parsed<Statement> {
        self.expect("(")?;
        if let (Token::Name(name), Some(Token::Name(word)), Some(Token::Name(array)), Some(Token::Sign(")"))) =
            (self.peek().clone(), self.tokens.get(self.at + 1).cloned(), self.tokens.get(self.at + 2).cloned(), self.tokens.get(self.at + 3))
            && word == "in"
        {
            self.at += 4;
            return Ok(Statement::ForIn(name, array, self.body()?));
        }
        let start = if self.is(";") { Statement::Block(Vec::new()) } else { self.simple()? };
        self.expect(";")?;
        let condition = if self.is(";") { None } else { Some(self.expr()?) };
        self.expect(";")?;
        let step = if self.is(")") { Statement::Block(Vec::new()) } else { self.simple()? };
        self.expect(")")?;
        Ok(Statement::For(Box::new(start), condition, Box::new(step), self.body()?))
    }

    fn at_statement_end(&self) -> bool {
        matches!(self.peek(), Token::Newline | Token::End) || self.is(";") || self.is("}")
    }

    fn simple(&mut self) -> Parsed<Statement> {
        for (name, formatted) in [("print", false), ("printf", true)] {
            if self.eat_name(name) {
                return self.print(formatted);
            }
        }
        for (name, statement) in [("next", Statement::Next), ("break", Statement::Break), ("continue", Statement::Continue)] {
            if self.eat_name(name) {
                return Ok(statement);
            }
        }
        if self.eat_name("exit") {
            return Ok(Statement::Exit(if self.at_statement_end() { None } else { Some(self.expr()?) }));
        }
        if self.eat_name("return") {
            return Ok(Statement::Return(if self.at_statement_end() { None } else { Some(self.expr()?) }));
        }
        if self.eat_name("delete") {
            let (Token::Name(name) | Token::Call(name)) = self.next() else { return Err("syntax error: array expected".to_owned()) };
            let keys = if self.eat("[") { Some(self.list("]")?) } else { None };
            return Ok(Statement::Delete(name, keys));
        }
        Ok(Statement::Expr(self.expr()?))
    }

    fn print(&mut self, formatted: bool) -> Parsed<Statement> {
        let outer = std::mem::replace(&mut self.printing, true);
        let mut values = Vec::new();
        while !self.at_statement_end() && !self.is(">") && !self.is(">>") && !self.is("|") {
            values.push(self.expr()?);
            if !self.eat(",") {
                break;
            }
            self.newlines();
        }
        if let [Expr::Group(inner)] = values.as_slice() {
            values = inner.clone();
        }
        let mut to = None;
        for sign in [">>", ">", "|"] {
            if to.is_none() && self.eat(sign) {
                to = Some((sign, self.concatenation()?));
            }
        }
        self.printing = outer;
        Ok(Statement::Print { values, formatted, to })
    }

    fn list(&mut self, close: &str) -> Parsed<Vec<Expr>> {
        let outer = std::mem::replace(&mut self.printing, false);
        let mut all = Vec::new();
        self.newlines();
        while !self.eat(close) {
            all.push(self.expr()?);
            self.newlines();
            if !self.eat(",") {
                self.expect(close)?;
                break;
            }
            self.newlines();
        }
        self.printing = outer;
        Ok(all)
    }

    fn expr(&mut self) -> Parsed<Expr> {
        let left = self.choice()?;
        if matches!(left, Expr::Variable(_) | Expr::Field(_) | Expr::Element(..)) {
            for (sign, operator) in ASSIGNMENTS {
                if self.eat(sign) {
                    self.newlines();
                    return Ok(Expr::Assign(Box::new(left), operator, Box::new(self.expr()?)));
                }
            }
        }
        Ok(left)
    }

    fn choice(&mut self) -> Parsed<Expr> {
        let condition = self.logical("||")?;
        if !self.eat("?") {
            return Ok(condition);
        }
        self.newlines();
        let yes = self.expr()?;
        self.expect(":")?;
        self.newlines();
        Ok(Expr::Choice(Box::new(condition), Box::new(yes), Box::new(self.expr()?)))
    }

    fn logical(&mut self, sign: &'static str) -> Parsed<Expr> {
        let mut left = if sign == "||" { self.logical("&&")? } else { self.membership()? };
        while self.eat(sign) {
            self.newlines();
            let right = if sign == "||" { self.logical("&&")? } else { self.membership()? };
            left = Expr::Binary(sign, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    fn membership(&mut self) -> Parsed<Expr> {
        let mut left = self.matching()?;
        while self.eat_name("in") {
            let (Token::Name(array) | Token::Call(array)) = self.next() else { return Err("syntax error: array expected".to_owned()) };
            let keys = if let Expr::Group(keys) = left { keys } else { vec![left] };
            left = Expr::In(keys, array);
        }
        Ok(left)
    }

    fn matching(&mut self) -> Parsed<Expr> {
        let mut left = self.comparison()?;
        loop {
            let wanted = if self.eat("~") {
                true
            } else if self.eat("!~") {
                false
            } else {
                return Ok(left);
            };
            left = Expr::Match(wanted, Box::new(left), Box::new(self.comparison()?));
        }
    }

    fn comparison(&mut self) -> Parsed<Expr> {
        let left = self.concatenation()?;
        for sign in COMPARISONS {
            if self.is(sign) && !(self.printing && sign == ">") {
                self.at += 1;
                return Ok(Expr::Binary(sign, Box::new(left), Box::new(self.concatenation()?)));
            }
        }
        Ok(left)
    }

    fn starts_operand(&self) -> bool {
        match self.peek() {
            Token::Number(_) | Token::Text(_) | Token::Call(_) => true,
            Token::Regex(_) => false,
            Token::Name(name) => name != "in",
            Token::Sign(sign) => matches!(*sign, "$" | "!" | "(" | "-" | "+" | "++" | "--"),
            Token::Newline | Token::End => false,
        }
    }

    fn concatenation(&mut self) -> Parsed<Expr> {
        let mut left = self.additive()?;
        while self.starts_operand() {
            left = Expr::Binary(" ", Box::new(left), Box::new(self.additive()?));
        }
        Ok(left)
    }

    fn additive(&mut self) -> Parsed<Expr> {
        let mut left = self.multiplicative()?;
        while let Some(sign) = ["+", "-"].into_iter().find(|sign| self.eat(sign)) {
            left = Expr::Binary(sign, Box::new(left), Box::new(self.multiplicative()?));
        }
        Ok(left)
    }

    fn multiplicative(&mut self) -> Parsed<Expr> {
        let mut left = self.unary()?;
        while let Some(sign) = ["*", "/", "%"].into_iter().find(|sign| self.eat(sign)) {
            left = Expr::Binary(sign, Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        for (sign, letter) in [("!", '!'), ("-", '-'), ("+", '+')] {
            if self.eat(sign) {
                return Ok(Expr::Unary(letter, Box::new(self.unary()?)));
            }
        }
        let base = self.postfix()?;
        if self.eat("^") {
            return Ok(Expr::Binary("^", Box::new(base), Box::new(self.unary()?)));
        }
        Ok(base)
    }

    fn postfix(&mut self) -> Parsed<Expr> {
        for (sign, change) in [("++", 1.0), ("--", -1.0)] {
            if self.eat(sign) {
                return Ok(Expr::Step(Box::new(self.primary()?), change, true));
            }
        }
        let primary = self.primary()?;
        if matches!(primary, Expr::Variable(_) | Expr::Field(_) | Expr::Element(..)) {
            for (sign, change) in [("++", 1.0), ("--", -1.0)] {
                if self.eat(sign) {
                    return Ok(Expr::Step(Box::new(primary), change, false));
                }
            }
        }
        Ok(primary)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        match self.next() {
            Token::Number(value) => Ok(Expr::Number(value)),
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Regex(text) => Ok(Expr::Regex(text)),
            Token::Sign("$") => {
                let field = if self.is("++") || self.is("--") { self.postfix()? } else { self.primary()? };
                Ok(Expr::Field(Box::new(field)))
            }
            Token::Sign("-") => Ok(Expr::Unary('-', Box::new(self.primary()?))),
            Token::Sign("(") => {
                let mut inner = self.list(")")?;
                if inner.len() == 1 && !self.is_name("in") {
                    // Kept apart from plain expressions, so that `print (1)(2)` and `(x) in y` read right.
                    let only = inner.remove(0);
                    return Ok(if matches!(only, Expr::Variable(_) | Expr::Field(_) | Expr::Element(..)) { only } else { Expr::Choice(Box::new(Expr::Number(1.0)), Box::new(only), Box::new(Expr::Number(0.0))) });
                }
                Ok(Expr::Group(inner))
            }
            Token::Call(name) => {
                self.expect("(")?;
                Ok(Expr::Call(name, self.list(")")?))
            }
            Token::Name(name) if name == "getline" => {
                let target = match self.peek() {
                    Token::Name(_) => Some(Box::new(self.primary()?)),
                    Token::Sign("$") => Some(Box::new(self.primary()?)),
                    _ => None,
                };
                let file = if self.eat("<") { Some(Box::new(self.primary()?)) } else { None };
                Ok(Expr::Getline(target, file))
            }
            Token::Name(name) if name == "length" => Ok(Expr::Call(name, Vec::new())),
            Token::Name(name) => {
                if self.eat("[") {
                    return Ok(Expr::Element(name, self.list("]")?));
                }
                Ok(Expr::Variable(name))
            }
            _ => {
                self.at -= 1;
                Err(format!("syntax error at {}", self.shown()))
            }
        }
    }
}
