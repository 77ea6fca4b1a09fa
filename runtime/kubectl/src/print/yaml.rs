//! YAML as `sigs.k8s.io/yaml` writes it: sorted keys, its quoting, its folding at 80 columns, lists not indented.
// upstream: sigs.k8s.io/yaml/goyaml.v2/{encode,emitterc,resolve,sorter}.go

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

/// Where lines are folded.
const WIDTH: usize = 80;

/// A document, with its last line break.
pub fn write(value: &Value) -> String {
    let mut emitter = Emitter { text: String::new(), column: 0 };
    emitter.node(value, 0, Place::Document);
    if emitter.column > 0 {
        emitter.text.push('\n');
    }
    emitter.text
}

/// Where a node stands: it decides about line breaks before blocks.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Document,
    Value,
    Item,
}

struct Emitter {
    text: String,
    column: usize,
}

impl Emitter {
    fn node(&mut self, value: &Value, indent: usize, place: Place) {
        match value {
            Value::Object(fields) if !fields.is_empty() => self.mapping(fields, indent, place),
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent, place),
            Value::Object(_) => self.plain_after("{}", place),
            Value::Array(_) => self.plain_after("[]", place),
            Value::Null => self.plain_after("null", place),
            Value::Bool(value) => self.plain_after(if *value { "true" } else { "false" }, place),
            Value::Number(number) => self.plain_after(&number_text(number), place),
            Value::String(text) => {
                if place == Place::Value {
                    self.put(" ");
                }
                self.scalar(text, indent, false);
            }
        }
    }

    fn plain_after(&mut self, text: &str, place: Place) {
        if place == Place::Value {
            self.put(" ");
        }
        self.put(text);
    }

    /// `indent` is the column of the parent's keys; a mapping in a value starts two further on a line of its own.
    fn mapping(&mut self, fields: &Map<String, Value>, indent: usize, place: Place) {
        let own = if place == Place::Document { 0 } else { indent + 2 };
        let mut keys: Vec<&String> = fields.keys().collect();
        keys.sort_by(|a, b| natural(a, b));
        for (index, key) in keys.into_iter().enumerate() {
            if index > 0 || place == Place::Value {
                self.start_line(own);
            }
            self.scalar(key, own, true);
            self.put(":");
            self.node(&fields[key], own, Place::Value);
        }
    }

    /// A list in a value is not indented further than its key.
    fn sequence(&mut self, items: &[Value], indent: usize, place: Place) {
        let own = match place {
            Place::Document | Place::Value => indent,
            Place::Item => indent + 2,
        };
        for (index, item) in items.iter().enumerate() {
            if index > 0 || place == Place::Value {
                self.start_line(own);
            }
            self.put("- ");
            self.node(item, own, Place::Item);
        }
    }

    fn start_line(&mut self, indent: usize) {
        if self.column > 0 {
            self.text.push('\n');
        }
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.column = indent;
    }

    fn put(&mut self, text: &str) {
        self.text.push_str(text);
        self.column += text.chars().count();
    }

    fn put_char(&mut self, letter: char) {
        self.text.push(letter);
        self.column += 1;
    }

    fn scalar(&mut self, text: &str, indent: usize, key: bool) {
        let shape = Shape::of(text);
        let folded = indent + 2;
        if text.contains('\n') && !key && shape.block_allowed {
            return self.literal(text, folded);
        }
        let plain = !text.contains('\n') && is_text(text);
        if plain && shape.plain_allowed && !(key && text.is_empty()) {
            self.fold(text, folded, !key, "");
        } else if plain && shape.single_allowed {
            self.put("'");
            self.fold(text, folded, !key, "'");
            self.put("'");
        } else {
            self.double(text, folded, !key);
        }
    }

    /// Plain and single-quoted texts, broken at spaces beyond the width.
    fn fold(&mut self, text: &str, indent: usize, breaks: bool, quote: &str) {
        let letters: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (index, letter) in letters.iter().copied().enumerate() {
            if letter == ' ' {
                let next_is_space = letters.get(index + 1) == Some(&' ');
                let inside = quote.is_empty() || (index > 0 && index + 1 < letters.len());
                if breaks && !after_space && self.column > WIDTH && inside && !next_is_space {
                    self.start_line(indent);
                } else {
                    self.put_char(' ');
                }
                after_space = true;
                continue;
            }
            if letter == '\'' && !quote.is_empty() {
                self.put_char('\'');
            }
            self.put_char(letter);
            after_space = false;
        }
    }

    fn double(&mut self, text: &str, indent: usize, breaks: bool) {
        self.put_char('"');
        let letters: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (index, letter) in letters.iter().copied().enumerate() {
            if !printable(letter) || is_break(letter) || matches!(letter, '"' | '\\') {
                self.put(&escaped(letter));
                after_space = false;
            } else if letter == ' ' {
                if breaks && !after_space && self.column > WIDTH && index > 0 && index + 1 < letters.len() {
                    self.start_line(indent);
                    if letters[index + 1] == ' ' {
                        self.put_char('\\');
                    }
                } else {
                    self.put_char(' ');
                }
                after_space = true;
            } else {
                self.put_char(letter);
                after_space = false;
            }
        }
        self.put_char('"');
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        if !text.ends_with('\n') {
            self.put("-");
        } else if text == "\n" || text.ends_with("\n\n") {
            self.put("+");
        }
        self.text.push('\n');
        self.column = 0;
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let last = lines.peek().is_none();
            if line.is_empty() {
                if !last {
                    self.text.push('\n');
                }
                continue;
            }
            self.start_line(indent);
            self.put(line);
            if !last {
                self.text.push('\n');
                self.column = 0;
            }
        }
    }
}

/// What a text contains that forbids styles.
struct Shape {
    plain_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Shape {
    fn of(text: &str) -> Self {
        let mut shape = Self { plain_allowed: true, single_allowed: true, block_allowed: !text.is_empty() };
        let letters: Vec<char> = text.chars().collect();
        let (mut before_blank, mut previous_space, mut previous_break) = (true, false, false);
        if text.starts_with("---") || text.starts_with("...") {
            shape.plain_allowed = false;
        }
        for (index, letter) in letters.iter().copied().enumerate() {
            let (first, last) = (index == 0, index + 1 == letters.len());
            let before_end = letters.get(index + 1).is_none_or(|next| blank(*next));
            let indicator = if first {
                "#,[]{}&*!|>'\"%@`".contains(letter) || ("?:-".contains(letter) && before_end)
            } else {
                (letter == ':' && before_end) || (letter == '#' && before_blank)
            };
            shape.plain_allowed &= !indicator;
            if !printable(letter) {
                shape = Self { plain_allowed: false, single_allowed: false, block_allowed: false };
            }
            let (space, line_break) = (letter == ' ', is_break(letter));
            if (space || line_break) && (first || last) {
                shape.plain_allowed = false;
            }
            if space && last {
                shape.block_allowed = false;
            }
            if space && previous_break {
                shape.plain_allowed = false;
                shape.single_allowed = false;
            }
            if line_break {
                shape.plain_allowed = false;
                if previous_space {
                    shape = Self { plain_allowed: false, single_allowed: false, block_allowed: false };
                }
            }
            (previous_space, previous_break, before_blank) = (space, line_break, blank(letter));
        }
        shape
    }
}

fn blank(letter: char) -> bool {
    letter == ' ' || letter == '\t' || is_break(letter)
}

fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// The emitter knows no letters beyond the first plane.
fn printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && letter != '\u{feff}'
}

fn escaped(letter: char) -> String {
    match letter {
        '\0' => "\\0".to_owned(),
        '\u{7}' => "\\a".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\t' => "\\t".to_owned(),
        '\n' => "\\n".to_owned(),
        '\u{b}' => "\\v".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\r' => "\\r".to_owned(),
        '\u{1b}' => "\\e".to_owned(),
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{85}' => "\\N".to_owned(),
        '\u{a0}' => "\\_".to_owned(),
        '\u{2028}' => "\\L".to_owned(),
        '\u{2029}' => "\\P".to_owned(),
        other => match u32::from(other) {
            code @ 0..=0xff => format!("\\x{code:02X}"),
            code @ 0x100..=0xffff => format!("\\u{code:04X}"),
            code => format!("\\U{code:08X}"),
        },
    }
}

/// A number as Go writes it.
fn number_text(number: &serde_json::Number) -> String {
    super::json::number(number)
}

/// Whether a plain text would be read back as a text.
fn is_text(text: &str) -> bool {
    static FLOAT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").ok());
    static BASE_60: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$").ok());
    let lower = text.to_lowercase();
    let cased = text == lower || text == text.to_uppercase() || (text.starts_with(char::is_uppercase) && text[1..] == lower[1..]);
    if matches!(lower.as_str(), "y" | "n" | "yes" | "no" | "true" | "false" | "on" | "off" | "null") && cased {
        return false;
    }
    if matches!(text, "" | "~" | "<<" | ".nan" | ".NaN" | ".NAN") {
        return false;
    }
    if matches!(text.trim_start_matches(['+', '-']), ".inf" | ".Inf" | ".INF") {
        return false;
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return true;
    }
    let bare = text.replace('_', "");
    let matches = |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_some_and(|pattern| pattern.is_match(text));
    !(is_integer(&bare) || matches(&FLOAT, &bare) || matches(&BASE_60, text) || is_timestamp(text))
}

/// Go's `strconv.ParseInt` with base 0.
fn is_integer(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        _ => return false,
    };
    u64::from_str_radix(digits, radix).is_ok()
}

fn is_timestamp(text: &str) -> bool {
    static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?)?$").ok()
    });
    DATE.as_ref().is_some_and(|date| date.is_match(text))
}

/// The order of keys: letters after the rest, numbers by value.
fn natural(left: &str, right: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut digits = false;
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            digits = a[i].is_numeric();
            continue;
        }
        let (a_letter, b_letter) = (a[i].is_alphabetic(), b[i].is_alphabetic());
        if a_letter && b_letter {
            return a[i].cmp(&b[i]);
        }
        if a_letter || b_letter {
            let less = if digits { a_letter } else { b_letter };
            return if less { Ordering::Less } else { Ordering::Greater };
        }
        let within = (a[i] == '0' || b[i] == '0') && a[..i].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
        let value = |letters: &[char]| {
            let mut total = i64::from(within);
            let mut end = i;
            while let Some(digit) = letters.get(end).and_then(|c| c.to_digit(10)) {
                total = total.saturating_mul(10).saturating_add(i64::from(digit));
                end += 1;
            }
            (total, end)
        };
        return value(&a).cmp(&value(&b)).then(a[i].cmp(&b[i]));
    }
    a.len().cmp(&b.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_quoted_as_stock_kubectl_quotes_them() {
        let long = "aaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccccccccc dddddddddddddddddddddddddd eeeeeeeeeee";
        let cases = [
            ("<b>&\"q\"", "<b>&\"q\""),
            ("a: b", "'a: b'"),
            ("2001-01-01", "\"2001-01-01\""),
            ("", "\"\""),
            ("1.5", "\"1.5\""),
            ("# x", "'# x'"),
            (long, "aaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccccccccc\n    dddddddddddddddddddddddddd eeeeeeeeeee"),
            ("l1\nl2\n", "|\n    l1\n    l2"),
            ("l1\n\nl2", "|-\n    l1\n\n    l2"),
            ("null", "\"null\""),
            ("0400", "\"0400\""),
            ("*x", "'*x'"),
            ("tab\tx ", "\"tab\\tx \""),
            ("trail ", "'trail '"),
            ("é☃", "é☃"),
            ("yes", "\"yes\""),
            ("12:30", "\"12:30\""),
            ("it's", "it's"),
            ("-x", "-x"),
            ("😀", "\"\\U0001F600\""),
        ];
        for (text, expected) in cases {
            assert_eq!(write(&json!({"data": {"k": text}})), format!("data:\n  k: {expected}\n"), "{text:?}");
        }
    }

    #[test]
    fn structures_are_laid_out_as_stock_kubectl_lays_them_out() {
        let value = json!({"y": [1, {"b": 2, "a": [[1], {}]}], "a10": null, "a9": {"x": []}, "n": "x"});
        assert_eq!(write(&value), "a9:\n  x: []\na10: null\n\"n\": x\n\"y\":\n- 1\n- a:\n  - - 1\n  - {}\n  b: 2\n");
    }
}
