//! From text to a tree.

use super::eval::FUNCTIONS;
use super::lex::{Kind, Token, tokens};

/// A piece of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Text(String),
    /// Printed, unless it sets a variable.
    Action(Pipeline),
    If { test: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { over: Pipeline, each: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
}

/// `$a, $b := command | command`
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// One word of a command.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Operand {
    pub(super) what: What,
    /// Fields behind it.
    pub(super) fields: Vec<String>,
    /// Where it begins.
    pub(super) at: usize,
}

/// What a word is, before its fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Dot,
    Variable(String),
    Function(String),
    Text(String),
    Number(f64),
    Bool(bool),
    Nil,
    Pipeline(Pipeline),
}

enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// Read a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter();
    match block(&mut pieces)? {
        (nodes, None) => Ok(nodes),
        (_, Some((word, _))) => Err(format!("unexpected {{{{{word}}}}}")),
    }
}

/// Cut text from actions; dashes take white space with them.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut at, mut trim) = (Vec::new(), 0, false);
    while at < text.len() {
        let open = text[at..].find("{{").map(|found| at + found);
        let mut plain = &text[at..open.unwrap_or(text.len())];
        if trim {
            plain = plain.trim_start();
        }
        let Some(open) = open else {
            pieces.push(Piece::Text(plain.to_owned()));
            break;
        };
        let mut inside = open + 2;
        if text[inside..].starts_with("- ") || text[inside..].starts_with("-\t") {
            plain = plain.trim_end();
            inside += 1;
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.to_owned()));
        }
        let close = closing(text, inside)?;
        let mut action = &text[inside..close];
        trim = action.ends_with(" -");
        if trim {
            action = &action[..action.len() - 1];
        }
        let is_comment = action.trim().starts_with("/*") && action.trim().ends_with("*/");
        if !is_comment {
            pieces.push(Piece::Action(tokens(action, inside)?));
        }
        at = close + 2;
    }
    Ok(pieces)
}

/// Where the action ends; quotes may hold braces.
fn closing(text: &str, from: usize) -> Result<usize, String> {
    let (bytes, mut at, mut quote) = (text.as_bytes(), from, None);
    while let Some(byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(b'"'), b'\\') => at += 1,
            (Some(open), byte) if open == *byte => quote = None,
            (None, b'"' | b'`') => quote = Some(*byte),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Ok(at),
            _ => {}
        }
        at += 1;
    }
    Err(if quote.is_some() { "unterminated quoted string" } else { "unclosed action" }.to_owned())
}

/// What ended a block: `end` or `else`, and the tokens behind the word.
type End = Option<(String, Vec<Token>)>;

fn block(pieces: &mut std::vec::IntoIter<Piece>) -> Result<(Vec<Node>, End), String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        let word = match tokens.first() {
            None => return Err("missing value for command".to_owned()),
            Some(Token { kind: Kind::Word(word), .. }) => word.clone(),
            Some(_) => String::new(),
        };
        match word.as_str() {
            "end" | "else" => return Ok((nodes, Some((word, tokens[1..].to_vec())))),
            "if" | "range" | "with" => nodes.push(control(&word, &tokens[1..], pieces)?),
            _ => nodes.push(Node::Action(whole_pipeline(&tokens)?)),
        }
    }
    Ok((nodes, None))
}

fn control(word: &str, tokens: &[Token], pieces: &mut std::vec::IntoIter<Piece>) -> Result<Node, String> {
    let pipeline = whole_pipeline(tokens)?;
    let (then, end) = block(pieces)?;
    let otherwise = match end {
        None => return Err("unexpected EOF".to_owned()),
        Some((end, _)) if end == "end" => Vec::new(),
        Some((_, rest)) if rest.is_empty() => match block(pieces)? {
            (nodes, Some((end, _))) if end == "end" => nodes,
            (_, Some(_)) => return Err("expected end; found {{else}}".to_owned()),
            (_, None) => return Err("unexpected EOF".to_owned()),
        },
        // `else if` shares the end of what it continues.
        Some((_, rest)) => match rest.first() {
            Some(Token { kind: Kind::Word(next), .. }) if next == word && word != "range" => vec![control(word, &rest[1..], pieces)?],
            _ => return Err("unexpected words after else".to_owned()),
        },
    };
    Ok(match word {
        "if" => Node::If { test: pipeline, then, otherwise },
        "range" => Node::Range { over: pipeline, each: then, otherwise },
        _ => Node::With { value: pipeline, then, otherwise },
    })
}

fn whole_pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let mut rest = tokens;
    let pipeline = pipeline(&mut rest)?;
    if rest.is_empty() { Ok(pipeline) } else { Err("unexpected right paren".to_owned()) }
}

fn pipeline(rest: &mut &[Token]) -> Result<Pipeline, String> {
    let variables = declared(rest);
    let (mut commands, mut command) = (Vec::new(), Vec::new());
    while let Some(token) = rest.first() {
        if token.kind == Kind::Close {
            break;
        }
        *rest = &rest[1..];
        if token.kind == Kind::Pipe {
            if command.is_empty() {
                return Err("missing value for command".to_owned());
            }
            commands.push(std::mem::take(&mut command));
        } else if let Kind::Fields { names, glued: true } = &token.kind {
            let before: &mut Operand = command.last_mut().ok_or("unexpected field")?;
            before.fields.extend(names.iter().cloned());
        } else {
            command.push(operand(token, rest)?);
        }
    }
    if command.is_empty() {
        return Err("missing value for command".to_owned());
    }
    commands.push(command);
    Ok(Pipeline { variables, commands })
}

/// `$x :=`, `$i, $x :=`
fn declared(rest: &mut &[Token]) -> Vec<String> {
    let kinds: Vec<&Kind> = rest.iter().take(4).map(|token| &token.kind).collect();
    let (names, used) = match kinds.as_slice() {
        [Kind::Variable(one), Kind::Declare | Kind::Assign, ..] => (vec![one.clone()], 2),
        [Kind::Variable(one), Kind::Comma, Kind::Variable(two), Kind::Declare] => (vec![one.clone(), two.clone()], 4),
        _ => return Vec::new(),
    };
    *rest = &rest[used..];
    names
}

fn operand(token: &Token, rest: &mut &[Token]) -> Result<Operand, String> {
    let mut fields = Vec::new();
    let what = match &token.kind {
        Kind::Fields { names, .. } => {
            fields.clone_from(names);
            What::Dot
        }
        Kind::Variable(name) => What::Variable(name.clone()),
        Kind::Text(text) => What::Text(text.clone()),
        Kind::Number(number) => What::Number(*number),
        Kind::Word(word) => match word.as_str() {
            "true" | "false" => What::Bool(word == "true"),
            "nil" => What::Nil,
            name if FUNCTIONS.contains(&name) => What::Function(word.clone()),
            _ => return Err(format!("function {word:?} not defined")),
        },
        Kind::Open => {
            let inner = pipeline(rest)?;
            match rest.split_first() {
                Some((Token { kind: Kind::Close, .. }, after)) => *rest = after,
                _ => return Err("unclosed left paren".to_owned()),
            }
            What::Pipeline(inner)
        }
        Kind::Pipe | Kind::Comma | Kind::Declare | Kind::Assign | Kind::Close => return Err("unexpected token in operand".to_owned()),
    };
    Ok(Operand { what, fields, at: token.at })
}
