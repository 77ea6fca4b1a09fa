//! JSON as Go's encoder writes it: sorted keys, four spaces, `<`, `>` and `&` escaped.

use serde_json::{Number, Value};

/// On many lines, without the last line break.
pub fn pretty(value: &Value, indent: &str) -> String {
    let mut text = String::new();
    put(&mut text, value, Some(indent), 0);
    text
}

/// On one line.
pub fn compact(value: &Value) -> String {
    let mut text = String::new();
    put(&mut text, value, None, 0);
    text
}

fn put(text: &mut String, value: &Value, indent: Option<&str>, depth: usize) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(value) => text.push_str(&number(value)),
        Value::String(value) => quote(text, value),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(text, indent, depth + 1, index > 0);
                put(text, item, indent, depth + 1);
            }
            if !items.is_empty() {
                separate(text, indent, depth, false);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            text.push('{');
            for (index, key) in keys.iter().enumerate() {
                separate(text, indent, depth + 1, index > 0);
                quote(text, key);
                text.push_str(if indent.is_some() { ": " } else { ":" });
                put(text, &fields[*key], indent, depth + 1);
            }
            if !fields.is_empty() {
                separate(text, indent, depth, false);
            }
            text.push('}');
        }
    }
}

fn separate(text: &mut String, indent: Option<&str>, depth: usize, comma: bool) {
    if comma {
        text.push(',');
    }
    if let Some(indent) = indent {
        text.push('\n');
        text.push_str(&indent.repeat(depth));
    }
}

/// A text in quotes.
pub fn quote(text: &mut String, value: &str) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' | '\u{0}'..='\u{1f}' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(letter))),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// A number as Go's encoder writes an `int64` or a `float64`.
pub fn number(number: &Number) -> String {
    if number.is_i64() || number.is_u64() {
        return number.to_string();
    }
    let Some(value) = number.as_f64() else { return number.to_string() };
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent:0>2}"),
            Some((digits, exponent)) => format!("{digits}e-{}", &exponent[1..]),
            None => text,
        };
    }
    format!("{value}")
}

/// Which fields of what stands in a field come first, and in which order; what is not listed follows by name.
pub type Order = fn(&str) -> &'static [&'static str];

/// Fields in an order, as Go prints a struct: on many lines with an indentation, else on one.
pub fn structured(value: &Value, indent: Option<&str>, order: Order) -> String {
    let mut text = String::new();
    put_ordered(&mut text, value, (indent, &order, ""), 0);
    text
}

/// On many lines, fields of this list first and in its order wherever they stand.
pub fn ordered(value: &Value, indent: &str, order: &[&str]) -> String {
    let mut text = String::new();
    put_ordered(&mut text, value, (Some(indent), &|_| order, ""), 0);
    text
}

/// How fields are put: their indentation, their order by the field they are in, and that field.
type Style<'o> = (Option<&'o str>, &'o dyn Fn(&str) -> &'o [&'o str], &'o str);

fn put_ordered<'o>(text: &mut String, value: &'o Value, style: Style<'o>, depth: usize) {
    let (indent, order, place) = style;
    let known = order(place);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_by_key(|key| (known.iter().position(|known| known == key).unwrap_or(usize::MAX), *key));
            text.push('{');
            for (index, key) in keys.iter().enumerate() {
                separate(text, indent, depth + 1, index > 0);
                quote(text, key);
                text.push_str(if indent.is_some() { ": " } else { ":" });
                put_ordered(text, &fields[*key], (indent, order, key.as_str()), depth + 1);
            }
            separate(text, indent, depth, false);
            text.push('}');
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(text, indent, depth + 1, index > 0);
                put_ordered(text, item, style, depth + 1);
            }
            separate(text, indent, depth, false);
            text.push(']');
        }
        other => put(text, other, indent, depth),
    }
}
