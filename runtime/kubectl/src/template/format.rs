//! Go's `fmt.Sprintf` for the values of templates.
// upstream: Go's fmt/{print,format}.go

use serde_json::Value;

use super::datum::Datum;
use crate::print::go;

/// What is written between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// No field is wider.
const WIDEST: usize = 1_000_000;

/// A pattern filled in.
pub(super) fn sprintf(pattern: &str, values: &[Datum<'_>]) -> String {
    let mut text = String::new();
    let (mut used, mut reordered) = (0, false);
    let mut rest = pattern;
    while let Some(percent) = rest.find('%') {
        text.push_str(&rest[..percent]);
        rest = &rest[percent + 1..];
        let mut spec = Spec::default();
        while let Some(flag) = rest.chars().next().filter(|flag| "+-# 0".contains(*flag)) {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
            rest = &rest[1..];
        }
        argument_number(&mut rest, &mut used, &mut reordered);
        spec.width = size(&mut rest, values, &mut used, &mut spec.minus);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            let mut negative = false;
            spec.precision = Some(size(&mut rest, values, &mut used, &mut negative).unwrap_or(0)).filter(|_| !negative);
        }
        argument_number(&mut rest, &mut used, &mut reordered);
        spec.zero &= !spec.minus;
        let Some(verb) = rest.chars().next() else {
            text.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        match values.get(used) {
            _ if verb == '%' => {
                text.push('%');
                continue;
            }
            Some(value) => put(&mut text, verb, value, spec),
            None => text.push_str(&format!("%!{verb}(BADINDEX)").replace("BADINDEX", if used > values.len() { "BADINDEX" } else { "MISSING" })),
        }
        used += 1;
    }
    if !rest.contains('%') && !text.ends_with("%!(NOVERB)") {
        text.push_str(rest);
    }
    if !reordered && used < values.len() {
        let extra: Vec<String> = values[used..].iter().map(|value| if value.is_nothing() { "<nil>".to_owned() } else { format!("{}={}", value.inner_type(), value.print()) }).collect();
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

/// `[2]`: which value is next.
fn argument_number(rest: &mut &str, used: &mut usize, reordered: &mut bool) {
    if let Some((number, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once(']'))
        && let Ok(number @ 1..) = number.parse::<usize>()
    {
        (*used, *reordered, *rest) = (number - 1, true, after);
    }
}

/// A width or a precision: digits, or `*` for a value.
fn size(rest: &mut &str, values: &[Datum<'_>], used: &mut usize, negative: &mut bool) -> Option<usize> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        let number = values.get(*used).and_then(Datum::integer)?;
        *used += 1;
        *negative |= number < 0;
        return usize::try_from(number.unsigned_abs()).ok().filter(|size| *size <= WIDEST);
    }
    let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let number = rest[..digits].parse().ok().filter(|size| *size <= WIDEST);
    *rest = &rest[digits..];
    number
}

fn put(text: &mut String, verb: char, value: &Datum<'_>, spec: Spec) {
    match (verb, value) {
        ('T', _) => text.push_str(&pad(value.inner_type(), Spec { zero: false, ..spec })),
        ('v', Datum::Nothing | Datum::Nil) => text.push_str(&pad("<nil>", Spec { zero: false, ..spec })),
        (_, Datum::Nothing | Datum::Nil) => text.push_str(&format!("%!{verb}(<nil>)")),
        (_, Datum::Int(number)) => text.push_str(&integer(verb, *number, "int", spec)),
        (_, Datum::Held(value) | Datum::Plain(value)) => text.push_str(&json(verb, value, spec)),
    }
}

fn json(verb: char, value: &Value, spec: Spec) -> String {
    match value {
        Value::Null => if verb == 'v' { pad("<nil>", spec) } else { format!("%!{verb}(<nil>)") },
        _ if verb == 'v' && spec.sharp => go::syntax(value),
        Value::Bool(value) if matches!(verb, 'v' | 't') => pad(&value.to_string(), Spec { zero: false, ..spec }),
        Value::Bool(_) => wrong(verb, value),
        Value::Number(number) => match number.as_i64().filter(|_| !number.is_f64()) {
            Some(number) => integer(verb, number, "int64", spec),
            None => float(verb, number.as_f64().unwrap_or_default(), value, spec),
        },
        Value::String(text) => string(verb, text, value, spec),
        Value::Array(items) => format!("[{}]", items.iter().map(|item| json(verb, item, spec)).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort();
            let entries: Vec<String> = keys.into_iter().map(|key| format!("{}:{}", json(verb, &key.as_str().into(), spec), json(verb, &fields[key], spec))).collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

fn wrong(verb: char, value: &Value) -> String {
    format!("%!{verb}({}={})", go::type_name(value), go::print(value))
}

fn string(verb: char, text: &str, value: &Value, spec: Spec) -> String {
    let cut = || spec.precision.map_or_else(|| text.to_owned(), |length| text.chars().take(length).collect());
    let hex = |upper: bool| {
        let gap = if spec.space { " " } else { "" };
        let bytes: Vec<String> = text.bytes().take(spec.precision.unwrap_or(usize::MAX)).map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect();
        format!("{}{}", if spec.sharp { if upper { "0X" } else { "0x" } } else { "" }, bytes.join(gap))
    };
    match verb {
        'v' | 's' => pad(&cut(), spec),
        'q' if spec.sharp && !text.contains('`') && !text.contains(char::is_control) => pad(&format!("`{}`", cut()), spec),
        'q' => {
            let quoted = go::quote(&cut());
            let ascii: String = if spec.plus { quoted.chars().map(|letter| if letter.is_ascii() { letter.to_string() } else { format!("\\u{:04x}", u32::from(letter)) }).collect() } else { quoted };
            pad(&ascii, spec)
        }
        'x' => pad(&hex(false), spec),
        'X' => pad(&hex(true), spec),
        _ => wrong(verb, value),
    }
}

fn integer(verb: char, number: i64, kind: &str, spec: Spec) -> String {
    let size = number.unsigned_abs();
    let (digits, prefix) = match verb {
        'v' | 'd' => (size.to_string(), ""),
        'b' => (format!("{size:b}"), if spec.sharp { "0b" } else { "" }),
        'o' => (format!("{size:o}"), if spec.sharp { "0" } else { "" }),
        'O' => (format!("{size:o}"), "0o"),
        'x' => (format!("{size:x}"), if spec.sharp { "0x" } else { "" }),
        'X' => (format!("{size:X}"), if spec.sharp { "0X" } else { "" }),
        'c' | 'q' | 'U' => {
            let letter = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            let text = match verb {
                'c' => letter.to_string(),
                'q' if letter == '\'' => "'\\''".to_owned(),
                'q' => format!("'{}'", go::quote(&letter.to_string()).trim_matches('"')),
                _ if spec.sharp => format!("U+{number:04X} '{letter}'"),
                _ => format!("U+{number:04X}"),
            };
            return pad(&text, Spec { zero: false, ..spec });
        }
        _ => return format!("%!{verb}({kind}={number})"),
    };
    let sign = sign(number < 0, spec);
    let mut wanted = spec.precision.unwrap_or(0);
    if spec.zero && spec.precision.is_none() {
        wanted = spec.width.unwrap_or(0).saturating_sub(sign.len() + if prefix.is_empty() { 0 } else { prefix.len() });
    }
    let zeros = "0".repeat(wanted.saturating_sub(digits.len()));
    pad(&format!("{sign}{prefix}{zeros}{digits}"), Spec { zero: false, ..spec })
}

fn sign(negative: bool, spec: Spec) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

fn float(verb: char, number: f64, value: &Value, spec: Spec) -> String {
    let size = number.abs();
    let text = match (verb, spec.precision) {
        ('v', None) => go::print(&size.into()),
        ('f' | 'F', precision) => format!("{size:.*}", precision.unwrap_or(6)),
        ('e' | 'E', precision) => exponent(&format!("{size:.*e}", precision.unwrap_or(6))),
        ('g' | 'G', None) => go::print(&size.into()),
        ('v' | 'g' | 'G', Some(precision)) => rounded(size, precision.max(1)),
        _ => return wrong(verb, value),
    };
    let text = if matches!(verb, 'E' | 'G') { text.to_uppercase() } else { text };
    let sign = sign(number < 0.0, spec);
    let zeros = if spec.zero { spec.width.unwrap_or(0).saturating_sub(sign.len() + text.len()) } else { 0 };
    pad(&format!("{sign}{}{text}", "0".repeat(zeros)), Spec { zero: false, ..spec })
}

/// `1.5e3` as `1.5e+03`.
fn exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(small) => format!("{digits}e-{small:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
        None => text.to_owned(),
    }
}

fn rounded(number: f64, precision: usize) -> String {
    let scientific = format!("{number:.*e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
    let trimmed = |text: &str| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() };
    if power < -4 || usize::try_from(power).is_ok_and(|power| power >= precision) {
        let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
        return exponent(&format!("{}e{power}", trimmed(digits)));
    }
    let places = i32::try_from(precision).unwrap_or(i32::MAX) - 1 - power;
    trimmed(&format!("{number:.*}", usize::try_from(places).unwrap_or(0)))
}

fn pad(text: &str, spec: Spec) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    match (spec.minus, spec.zero) {
        (true, _) => format!("{text}{}", " ".repeat(missing)),
        (_, true) => format!("{}{text}", "0".repeat(missing)),
        _ => format!("{}{text}", " ".repeat(missing)),
    }
}
