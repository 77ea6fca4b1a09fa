//! JSON with its keys in the order they came.

use std::cmp::Ordering;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// How a value is written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// `None` is everything in one line.
    pub(super) indent: Option<&'static str>,
    pub(super) sorted: bool,
    pub(super) colored: bool,
}

impl Json {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// `null` and `false` are not true.
    pub(super) fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::List(_) => "array",
            Self::Object(_) => "object",
        }
    }

    /// An object's member.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// In one line.
    pub(super) fn compact(&self) -> String {
        self.write(Style::default())
    }

    pub(super) fn write(&self, style: Style) -> String {
        let mut out = String::new();
        self.write_to(&mut out, style, 0);
        out
    }

    fn write_to(&self, out: &mut String, style: Style, depth: usize) {
        let paint = |out: &mut String, color: &str, text: &str| {
            if style.colored { out.push_str(&format!("\x1b[{color}m{text}\x1b[0m")) } else { out.push_str(text) }
        };
        let new_line = |out: &mut String, depth: usize| {
            if let Some(indent) = style.indent {
                out.push('\n');
                out.push_str(&indent.repeat(depth));
            }
        };
        match self {
            Self::Null => paint(out, "90", "null"),
            Self::Bool(value) => paint(out, "33", if *value { "true" } else { "false" }),
            Self::Number(value) => paint(out, "33", &number_text(*value)),
            Self::Text(text) => paint(out, "32", &quoted(text)),
            Self::List(items) if items.is_empty() => out.push_str("[]"),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    new_line(out, depth + 1);
                    item.write_to(out, style, depth + 1);
                }
                new_line(out, depth);
                out.push(']');
            }
            Self::Object(members) if members.is_empty() => out.push_str("{}"),
            Self::Object(members) => {
                let mut members: Vec<&(String, Self)> = members.iter().collect();
                if style.sorted {
                    members.sort_by(|left, right| left.0.cmp(&right.0));
                }
                out.push('{');
                for (index, (name, value)) in members.into_iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    new_line(out, depth + 1);
                    paint(out, "36", &quoted(name));
                    out.push_str(if style.indent.is_some() { ": " } else { ":" });
                    value.write_to(out, style, depth + 1);
                }
                new_line(out, depth);
                out.push('}');
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Number(_) => 3,
            Self::Text(_) => 4,
            Self::List(_) => 5,
            Self::Object(_) => 6,
        }
    }

    /// jq's order of all values.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(left), Self::Number(right)) => left.total_cmp(right),
            (Self::Text(left), Self::Text(right)) => left.cmp(right),
            (Self::List(left), Self::List(right)) => {
                let unequal = left.iter().zip(right).map(|(left, right)| left.order(right)).find(|order| order.is_ne());
                unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
            }
            (Self::Object(_), Self::Object(_)) => {
                let (left, right) = (self.sorted_keys(), other.sorted_keys());
                left.cmp(&right).then_with(|| {
                    let members = left.iter().map(|key| (self.member(key), other.member(key)));
                    let orders = members.filter_map(|(left, right)| Some(left?.order(right?)));
                    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
                })
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// An object's keys in order.
    pub(super) fn sorted_keys(&self) -> Vec<String> {
        let Self::Object(members) = self else { return Vec::new() };
        let mut keys: Vec<String> = members.iter().map(|(name, _)| name.clone()).collect();
        keys.sort();
        keys
    }
}

/// Sets an object's member, in its place or at the end.
pub(super) fn set_member(members: &mut Vec<(String, Json)>, name: &str, value: Json) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value,
        None => members.push((name.to_owned(), value)),
    }
}

pub(super) fn number_text(value: f64) -> String {
    if value.is_nan() {
        "null".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "1.7976931348623157e+308" } else { "-1.7976931348623157e+308" }.to_owned()
    } else if value.abs() >= 1e17 || (value != 0.0 && value.abs() < 1e-4) {
        // As C writes it: a sign, and two digits at least.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((text.as_str(), "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(("+", exponent), |exponent| ("-", exponent));
        format!("{digits}e{sign}{exponent:0>2}")
    } else {
        value.to_string()
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for next in text.chars() {
        match next {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' || control == '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// All values of a text, one after the other.
pub(super) fn parse_all(text: &str) -> Result<Vec<Json>, String> {
    let mut reader = Reader { text: text.as_bytes(), at: 0 };
    let mut values = Vec::new();
    loop {
        reader.blanks();
        if reader.at >= reader.text.len() {
            return Ok(values);
        }
        values.push(reader.value(0)?);
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn error<T>(&self, what: &str) -> Result<T, String> {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = self.at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        Err(format!("parse error: {what} at line {line}, column {column}"))
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > 512 {
            return self.error("Exceeds depth limit for parsing");
        }
        self.blanks();
        match self.text.get(self.at) {
            Some(b'{') => self.object(depth),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                self.blanks();
                if self.text.get(self.at) == Some(&b']') {
                    self.at += 1;
                    return Ok(Json::List(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    self.blanks();
                    match self.text.get(self.at) {
                        Some(b',') => self.at += 1,
                        Some(b']') => {
                            self.at += 1;
                            return Ok(Json::List(items));
                        }
                        _ => return self.error("Expected separator between values"),
                    }
                }
            }
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                while self.text.get(self.at).is_some_and(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)) {
                    self.at += 1;
                }
                let text = String::from_utf8_lossy(&self.text[start..self.at]);
                text.parse().map(Json::Number).or_else(|_| self.error("Invalid numeric literal"))
            }
            Some(_) => {
                for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
                    if self.text[self.at..].starts_with(word.as_bytes()) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                self.error("Invalid literal")
            }
            None => self.error("Unfinished JSON term"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut members = Vec::new();
        self.blanks();
        if self.text.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.blanks();
            if self.text.get(self.at) != Some(&b'"') {
                return self.error("Object keys must be strings");
            }
            let name = self.string()?;
            self.blanks();
            if self.text.get(self.at) != Some(&b':') {
                return self.error("Objects must consist of key:value pairs");
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            set_member(&mut members, &name, value);
            self.blanks();
            match self.text.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                _ => return self.error("Expected separator between values"),
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(next) = self.text.get(self.at).copied() else { return self.error("Unfinished string") };
            self.at += 1;
            match next {
                b'"' => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                b'\\' => {
                    let Some(escaped) = self.text.get(self.at).copied() else { return self.error("Unfinished string") };
                    self.at += 1;
                    let plain = match escaped {
                        b'n' => '\n',
                        b't' => '\t',
                        b'r' => '\r',
                        b'b' => '\u{8}',
                        b'f' => '\u{c}',
                        b'u' => self.unicode()?,
                        b'"' | b'\\' | b'/' => char::from(escaped),
                        _ => return self.error("Invalid escape"),
                    };
                    bytes.extend(plain.encode_utf8(&mut [0; 4]).as_bytes());
                }
                other => bytes.push(other),
            }
        }
    }

    fn unicode(&mut self) -> Result<char, String> {
        let unit = |reader: &mut Self| {
            let digits = reader.text.get(reader.at..reader.at + 4).map(String::from_utf8_lossy);
            let value = digits.and_then(|digits| u32::from_str_radix(&digits, 16).ok());
            reader.at += 4;
            value.ok_or_else(|| "parse error: Invalid escape".to_owned())
        };
        let first = unit(self)?;
        if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let second = unit(self)?;
            let whole = 0x10000 + ((first - 0xd800) << 10) + second.wrapping_sub(0xdc00);
            return Ok(char::from_u32(whole).unwrap_or('\u{fffd}'));
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }
}
