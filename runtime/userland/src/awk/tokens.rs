//! awk's words: where a slash divides and where it starts a pattern.

/// A word of a program.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Number(f64),
    Text(String),
    Regex(String),
    Name(String),
    /// A name right before `(`: a call.
    Call(String),
    Sign(&'static str),
    Newline,
    End,
}

const SIGNS: [&str; 43] = [
    "&&", "||", "++", "--", "+=", "-=", "*=", "/=", "%=", "^=", "**", "==", "<=", ">=", "!=", "!~", ">>", "{", "}", "(", ")", "[", "]", ";", ",", "+", "-", "*", "/",
    "%", "^", "!", ">", "<", "|", "?", ":", "~", "$", "=", "&", "@", "\\",
];

/// All words of a program.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(next) = chars.get(at).copied() {
        match next {
            '\n' => {
                tokens.push(Token::Newline);
                at += 1;
            }
            '\\' if chars.get(at + 1) == Some(&'\n') => at += 2,
            next if next.is_whitespace() => at += 1,
            '#' => {
                while chars.get(at).is_some_and(|next| *next != '\n') {
                    at += 1;
                }
            }
            '"' => {
                let (text, end) = quoted(&chars, at + 1, '"')?;
                tokens.push(Token::Text(text));
                at = end;
            }
            '/' if starts_value(tokens.last()) => {
                let mut text = String::new();
                at += 1;
                while let Some(next) = chars.get(at).copied().filter(|next| *next != '/') {
                    if next == '\\' && chars.get(at + 1) == Some(&'/') {
                        at += 1;
                    } else if next == '\\' {
                        text.push('\\');
                        at += 1;
                    }
                    text.extend(chars.get(at));
                    at += 1;
                }
                if at >= chars.len() {
                    return Err("unfinished regular expression".to_owned());
                }
                tokens.push(Token::Regex(text));
                at += 1;
            }
            '0'..='9' | '.' if next != '.' || chars.get(at + 1).is_some_and(char::is_ascii_digit) => {
                let start = at;
                while let Some(next) = chars.get(at) {
                    let sign = "+-".contains(*next) && at > start && matches!(chars[at - 1], 'e' | 'E');
                    if !(next.is_ascii_digit() || ".eE".contains(*next) || sign) {
                        break;
                    }
                    at += 1;
                }
                let text: String = chars[start..at].iter().collect();
                tokens.push(Token::Number(text.parse().map_err(|_| format!("bad number {text}"))?));
            }
            next if next.is_alphabetic() || next == '_' => {
                let start = at;
                while chars.get(at).is_some_and(|next| next.is_alphanumeric() || *next == '_') {
                    at += 1;
                }
                let name: String = chars[start..at].iter().collect();
                tokens.push(if chars.get(at) == Some(&'(') { Token::Call(name) } else { Token::Name(name) });
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| sign.chars().enumerate().all(|(index, wanted)| chars.get(at + index) == Some(&wanted)));
                let Some(sign) = sign else { return Err(format!("unexpected '{next}'")) };
                tokens.push(Token::Sign(if *sign == "**" { "^" } else { sign }));
                at += sign.len();
            }
        }
    }
    tokens.push(Token::End);
    Ok(tokens)
}

/// True where a `/` starts a regular expression and does not divide.
fn starts_value(before: Option<&Token>) -> bool {
    match before {
        None | Some(Token::Newline) => true,
        Some(Token::Number(_) | Token::Text(_) | Token::Regex(_) | Token::Call(_) | Token::End) => false,
        Some(Token::Name(name)) => matches!(name.as_str(), "print" | "printf" | "return" | "in" | "BEGIN" | "END"),
        Some(Token::Sign(sign)) => !matches!(*sign, ")" | "]" | "++" | "--" | "$"),
    }
}

fn quoted(chars: &[char], mut at: usize, end: char) -> Result<(String, usize), String> {
    let mut text = String::new();
    loop {
        let Some(next) = chars.get(at).copied() else { return Err("unfinished string".to_owned()) };
        at += 1;
        if next == end {
            return Ok((text, at));
        }
        if next != '\\' {
            text.push(next);
            continue;
        }
        let escaped = chars.get(at).copied().unwrap_or('\\');
        at += 1;
        match escaped {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            'a' => text.push('\u{7}'),
            '0'..='7' => {
                let mut code = escaped.to_digit(8).unwrap_or(0);
                while let Some(digit) = chars.get(at).and_then(|next| next.to_digit(8)).filter(|_| code < 32) {
                    code = code * 8 + digit;
                    at += 1;
                }
                text.extend(char::from_u32(code));
            }
            '"' | '\\' | '/' => text.push(escaped),
            other => {
                text.push('\\');
                text.push(other);
            }
        }
    }
}
