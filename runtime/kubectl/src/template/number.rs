//! Go's literals: numbers, characters and texts.
// upstream: Go's strconv/{quote,atoi}.go, text/template/parse/node.go

use super::tree::Number;

/// A number or a character.
pub(super) fn read(text: &str) -> Result<Number, String> {
    if let Some(inside) = text.strip_prefix('\'') {
        let (letter, rest) = character(inside, '\'').ok_or("invalid syntax")?;
        return if rest == "'" { Ok(Number::Int(i64::from(letter))) } else { Err(format!("malformed character constant: {text}")) };
    }
    match integer(text) {
        Some(Ok(number)) => return Ok(Number::Int(number)),
        Some(Err(())) => return Ok(Number::Large),
        None => {}
    }
    let quoted = crate::print::go::quote(text);
    match text.replace('_', "").parse::<f64>() {
        Ok(number) if number.is_finite() && text.contains(['.', 'e', 'E', 'p', 'P']) => Ok(Number::Float(number)),
        Ok(number) if number.is_finite() => Err(format!("integer overflow: {quoted}")),
        _ => Err(format!("illegal number syntax: {quoted}")),
    }
}

/// An integer as Go reads it; the error is one that only fits without a sign.
fn integer(text: &str) -> Option<Result<i64, ()>> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_str() {
        lower if lower.starts_with("0x") => (16, &lower[2..]),
        lower if lower.starts_with("0b") => (2, &lower[2..]),
        lower if lower.starts_with("0o") => (8, &lower[2..]),
        lower if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        lower => (10, lower),
    };
    if digits.ends_with('_') || digits.contains("__") || (base == 10 && digits.starts_with('_')) {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), base).ok().filter(|_| !digits.starts_with(['+', '-']))? * sign;
    match i64::try_from(value) {
        Ok(value) => Some(Ok(value)),
        Err(_) if u64::try_from(value).is_ok() && !text.starts_with('+') => Some(Err(())),
        Err(_) => None,
    }
}

/// A text without its quotes.
pub(super) fn unquote(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let mut rest = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut bytes = Vec::new();
    while !rest.is_empty() {
        let escaped_byte = rest.starts_with("\\x") || rest.starts_with('\\') && rest[1..].starts_with(|c: char| c.is_digit(8));
        let (letter, after) = character(rest, '"')?;
        match u8::try_from(letter) {
            Ok(byte) if escaped_byte => bytes.push(byte),
            _ => bytes.extend(char::from_u32(letter)?.to_string().bytes()),
        }
        rest = after;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first character of what is between quotes, and what follows it.
fn character(text: &str, quote: char) -> Option<(u32, &str)> {
    let letter = text.chars().next()?;
    let rest = &text[letter.len_utf8()..];
    if letter != '\\' {
        return (letter != quote && letter != '\n').then_some((u32::from(letter), rest));
    }
    let escape = rest.chars().next()?;
    let after = &rest[escape.len_utf8()..];
    let digits = |count: usize, base: u32, from: &'_ str| from.get(..count).filter(|digits| !digits.starts_with('+')).and_then(|digits| u32::from_str_radix(digits, base).ok());
    let long = |count: usize| digits(count, 16, after).map(|value| (value, &after[count..]));
    match escape {
        'a' => Some((7, after)),
        'b' => Some((8, after)),
        'f' => Some((12, after)),
        'n' => Some((10, after)),
        'r' => Some((13, after)),
        't' => Some((9, after)),
        'v' => Some((11, after)),
        'x' => long(2),
        'u' => long(4).filter(|(value, _)| char::from_u32(*value).is_some()),
        'U' => long(8).filter(|(value, _)| char::from_u32(*value).is_some()),
        '0'..='7' => digits(3, 8, rest).filter(|value| *value < 256).map(|value| (value, &rest[3..])),
        '\\' => Some((92, after)),
        '\'' | '"' if escape == quote => Some((u32::from(escape), after)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_go_reads_them() {
        for (text, wanted) in [("0x1F", 31), ("1_000", 1000), ("0b11", 3), ("0o17", 15), ("017", 15), ("-3", -3), ("+2", 2), ("'a'", 97), ("'\\n'", 10), ("'\\''", 39)] {
            assert!(matches!(read(text), Ok(Number::Int(number)) if number == wanted), "{text}");
        }
        assert!(matches!(read("1e3"), Ok(Number::Float(number)) if (number - 1000.0).abs() < 1e-9));
        assert_eq!(read("99999999999999999999").unwrap_err(), "integer overflow: \"99999999999999999999\"");
        assert_eq!(read("1e1000").unwrap_err(), "illegal number syntax: \"1e1000\"");
        assert_eq!(read("'ab'").unwrap_err(), "malformed character constant: 'ab'");
        assert_eq!(unquote(r#""\u00e9\x41\101\n""#).unwrap(), "\u{e9}AA\n");
        assert_eq!(unquote(r#""\z""#), None);
    }
}
