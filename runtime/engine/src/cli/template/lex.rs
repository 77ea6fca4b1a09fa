//! Tokens of an action.

/// A token and where it begins in the template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// `.A.B`, or `.` alone with no names; `glued` when nothing separates it from what is in front.
    Fields { names: Vec<String>, glued: bool },
    /// `$` or `$x`.
    Variable(String),
    /// A function or keyword.
    Word(String),
    Text(String),
    Number(f64),
    Pipe,
    Comma,
    Declare,
    Assign,
    Open,
    Close,
}

/// Cut up the inside of an action, which begins at `offset` in the template.
pub(super) fn tokens(action: &str, offset: usize) -> Result<Vec<Token>, String> {
    let mut tokens: Vec<Token> = Vec::new();
    let (bytes, mut at) = (action.as_bytes(), 0);
    while let Some(byte) = bytes.get(at) {
        let start = at;
        let kind = match byte {
            byte if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'|' => single(&mut at, Kind::Pipe),
            b',' => single(&mut at, Kind::Comma),
            b'(' => single(&mut at, Kind::Open),
            b')' => single(&mut at, Kind::Close),
            b'=' => single(&mut at, Kind::Assign),
            b':' if bytes.get(at + 1) == Some(&b'=') => {
                at += 2;
                Kind::Declare
            }
            b'.' if !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {
                let glued = at > 0 && !bytes[at - 1].is_ascii_whitespace() && !matches!(bytes[at - 1], b'(' | b'|' | b',' | b'=');
                Kind::Fields { names: fields(action, &mut at)?, glued }
            }
            b'$' => {
                at += 1;
                Kind::Variable(name(action, &mut at).to_owned())
            }
            b'"' => Kind::Text(quoted(action, &mut at)?),
            b'`' => {
                let end = action[at + 1..].find('`').ok_or("unterminated raw quoted string")?;
                at += end + 2;
                Kind::Text(action[start + 1..start + 1 + end].to_owned())
            }
            b'0'..=b'9' | b'-' | b'+' | b'.' => {
                let end = action[at + 1..].find(|c: char| !c.is_ascii_digit() && c != '.').map_or(action.len(), |end| at + 1 + end);
                at = end;
                let text = &action[start..end];
                Kind::Number(text.parse().map_err(|_| format!("bad number syntax: {text:?}"))?)
            }
            byte if is_name(*byte) => Kind::Word(name(action, &mut at).to_owned()),
            _ => {
                let odd = action[at..].chars().next().unwrap_or('?');
                return Err(format!("unexpected {odd:?} in command"));
            }
        };
        tokens.push(Token { kind, at: offset + start });
    }
    Ok(tokens)
}

fn single(at: &mut usize, kind: Kind) -> Kind {
    *at += 1;
    kind
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn name<'a>(action: &'a str, at: &mut usize) -> &'a str {
    let start = *at;
    *at += action.as_bytes()[start..].iter().take_while(|byte| is_name(**byte)).count();
    &action[start..*at]
}

fn fields(action: &str, at: &mut usize) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    while action.as_bytes().get(*at) == Some(&b'.') {
        *at += 1;
        match name(action, at) {
            "" if names.is_empty() => break,
            "" => return Err("unexpected . after term".to_owned()),
            name => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

fn quoted(action: &str, at: &mut usize) -> Result<String, String> {
    let mut text = String::new();
    let mut chars = action[*at + 1..].char_indices();
    while let Some((offset, next)) = chars.next() {
        match next {
            '"' => {
                *at += offset + 2;
                return Ok(text);
            }
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, 'r')) => text.push('\r'),
                Some((_, other @ ('"' | '\\' | '\''))) => text.push(other),
                _ => return Err("invalid escape in quoted string".to_owned()),
            },
            other => text.push(other),
        }
    }
    Err("unterminated quoted string".to_owned())
}
