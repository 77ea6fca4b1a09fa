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

/// No value is a larger size.
const WIDEST: u64 = 1_000_000;
/// No size that is written out is larger.
const WIDEST_WRITTEN: usize = 10_000_009;

/// A pattern filled in.
pub(super) fn sprintf(pattern: &str, values: &[Datum<'_>]) -> String {
    let mut text = String::new();
    let mut filling = Filling { rest: pattern, values, next: 0, reordered: false, good: true };
    while let Some(percent) = filling.rest.find('%') {
        text.push_str(&filling.rest[..percent]);
        filling.rest = &filling.rest[percent + 1..];
        filling.good = true;
        let spec = filling.spec(&mut text);
        let Some(verb) = filling.rest.chars().next() else {
            text.push_str("%!(NOVERB)");
            break;
        };
        filling.rest = &filling.rest[verb.len_utf8()..];
        match values.get(filling.next) {
            _ if verb == '%' => text.push('%'),
            _ if !filling.good => text.push_str(&format!("%!{verb}(BADINDEX)")),
            None => text.push_str(&format!("%!{verb}(MISSING)")),
            Some(value) => {
                filling.next += 1;
                put(&mut text, verb, value, spec);
            }
        }
    }
    text.push_str(filling.rest);
    if !filling.reordered && filling.next < values.len() {
        let extra: Vec<String> = values[filling.next..].iter().map(|value| if value.is_nothing() { "<nil>".to_owned() } else { format!("{}={}", value.inner_type(), value.print()) }).collect();
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

/// How far a pattern is filled in.
struct Filling<'p, 'v> {
    rest: &'p str,
    values: &'v [Datum<'v>],
    /// Which value is next.
    next: usize,
    /// Whether a value was named by its number in this directive or, at the end, in the last one.
    reordered: bool,
    /// Whether all numbers of this directive name a value.
    good: bool,
}

impl Filling<'_, '_> {
    /// What stands between `%` and the verb; what is wrong with a size is written at once.
    // upstream: Go's fmt/print.go doPrintf
    fn spec(&mut self, text: &mut String) -> Spec {
        let mut spec = Spec::default();
        while let Some(flag) = self.rest.chars().next().filter(|flag| "+-# 0".contains(*flag)) {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                _ => spec.zero = true,
            }
            self.rest = &self.rest[1..];
        }
        let mut numbered = self.number();
        if let Some(after) = self.rest.strip_prefix('*') {
            self.rest = after;
            match self.size() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => text.push_str("%!(BADWIDTH)"),
            }
            numbered = false;
        } else {
            spec.width = self.digits();
            // `%[3]2d` names the value of a width that is not one.
            self.good &= !(numbered && spec.width.is_some());
        }
        if let Some(after) = self.rest.strip_prefix('.') {
            self.rest = after;
            self.good &= !numbered;
            numbered = self.number();
            if let Some(after) = self.rest.strip_prefix('*') {
                self.rest = after;
                spec.precision = self.size().and_then(|size| usize::try_from(size).ok());
                if spec.precision.is_none() {
                    text.push_str("%!(BADPREC)");
                }
                numbered = false;
            } else {
                spec.precision = Some(self.digits().unwrap_or(0));
            }
        }
        if !numbered {
            self.number();
        }
        spec.zero &= !spec.minus;
        spec
    }

    /// `[2]`: which value is next; whether there is such a number.
    // upstream: Go's fmt/print.go argNumber
    fn number(&mut self) -> bool {
        let Some(inside) = self.rest.strip_prefix('[') else { return false };
        self.reordered = true;
        let Some((number, after)) = inside.split_once(']').filter(|_| self.rest.len() > "[]".len()) else {
            self.good = false;
            self.rest = inside;
            return false;
        };
        self.rest = after;
        let number = if number.bytes().all(|digit| digit.is_ascii_digit()) { written(number) } else { None };
        match number {
            Some(number @ 1..) if number <= self.values.len() => self.next = number - 1,
            _ => self.good = false,
        }
        number.is_some()
    }

    /// The value of a `*`, when it can be a size.
    // upstream: Go's fmt/print.go intFromArg
    fn size(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        value.integer().filter(|size| size.unsigned_abs() <= WIDEST)
    }

    /// A size that is written out.
    // upstream: Go's fmt/print.go parsenum
    fn digits(&mut self) -> Option<usize> {
        let digits = self.rest.len() - self.rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let (number, after) = self.rest.split_at(digits);
        let size = written(number);
        // Behind a size that is too large nothing is read any more.
        self.rest = if size.is_none() && digits > 0 { "" } else { after };
        size
    }
}

/// A number of digits; nothing when there are none, or too many.
fn written(digits: &str) -> Option<usize> {
    digits.parse().ok().filter(|number| *number <= WIDEST_WRITTEN)
}

fn put(text: &mut String, verb: char, value: &Datum<'_>, spec: Spec) {
    // `%+v` is about the fields of structures, of which there are none.
    let spec = Spec { plus: spec.plus && verb != 'v', ..spec };
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
        Value::Null => "<nil>".to_owned(),
        _ if verb == 'v' && spec.sharp => go::syntax(value),
        Value::Bool(value) if matches!(verb, 'v' | 't') => pad(&value.to_string(), Spec { zero: false, ..spec }),
        Value::Bool(_) => wrong(verb, value, spec),
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

fn wrong(verb: char, value: &Value, spec: Spec) -> String {
    format!("%!{verb}({}={})", go::type_name(value), json('v', value, Spec { sharp: false, ..spec }))
}

fn string(verb: char, text: &str, value: &Value, spec: Spec) -> String {
    let cut = || spec.precision.map_or_else(|| text.to_owned(), |length| text.chars().take(length).collect());
    let hex = |upper: bool| {
        let prefix = match (spec.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let bytes: Vec<String> = text.bytes().take(spec.precision.unwrap_or(usize::MAX)).map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect();
        match bytes.as_slice() {
            [] => String::new(),
            // With gaps each byte stands for itself.
            _ if spec.space => format!("{prefix}{}", bytes.join(&format!(" {prefix}"))),
            _ => format!("{prefix}{}", bytes.concat()),
        }
    };
    match verb {
        'v' | 's' => pad(&cut(), spec),
        'q' if spec.sharp && !text.contains(|letter: char| matches!(letter, '`' | '\u{7f}' | '\u{feff}' | '\0'..='\u{8}' | '\n'..='\u{1f}')) => pad(&format!("`{}`", cut()), spec),
        'q' => pad(&quoted(&cut(), spec), spec),
        'x' => pad(&hex(false), spec),
        'X' => pad(&hex(true), spec),
        _ => wrong(verb, value, spec),
    }
}

/// In quotes, and with a plus in ASCII.
// upstream: Go's strconv/quote.go appendEscapedRune
fn quoted(text: &str, spec: Spec) -> String {
    let escaped = |letter: char| match u32::from(letter) {
        ..0x80 => letter.to_string(),
        small @ ..0x1_0000 => format!("\\u{small:04x}"),
        large => format!("\\U{large:08x}"),
    };
    let quoted = go::quote(text);
    if spec.plus { quoted.chars().map(escaped).collect() } else { quoted }
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
                'q' if letter == '"' => "'\"'".to_owned(),
                'q' => format!("'{}'", quoted(&letter.to_string(), spec).trim_matches('"')),
                _ if spec.sharp => format!("U+{number:04X} '{letter}'"),
                _ => format!("U+{number:04X}"),
            };
            return pad(&text, Spec { zero: false, ..spec });
        }
        _ => return format!("%!{verb}({kind}={})", integer('v', number, kind, Spec { sharp: false, ..spec })),
    };
    if number == 0 && spec.precision == Some(0) {
        return pad("", Spec { zero: false, ..spec });
    }
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
        _ => return wrong(verb, value, spec),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_are_filled_in_as_go_fills_them_in() {
        let ints = |numbers: &[i64]| numbers.iter().map(|number| Datum::Int(*number)).collect::<Vec<_>>();
        let one = |value: Value| vec![Datum::new(value)];
        let text_and_three = || vec![Datum::new("a"), Datum::Int(3)];
        let cases = [
            ("%+v %+d %+.2d", ints(&[5, 5, 5]), "5 +5 +05"),
            ("%+v", one(json!({"a": 1, "b": [2.5, null]})), "map[a:1 b:[2.5 <nil>]]"),
            ("%[2]d", ints(&[5]), "%!d(BADINDEX)"),
            ("%[x]d %[]d %[0]d %[-1]d", ints(&[5]), "%!d(BADINDEX) %!d(BADINDEX) %!d(BADINDEX) %!d(BADINDEX)"),
            ("%[18446744073709551615]d", ints(&[5]), "%!d(BADINDEX)"),
            ("%[99999999]d", ints(&[5]), "%!d(BADINDEX)"),
            ("%[1]d %d", ints(&[5]), "5 %!d(MISSING)"),
            ("%[3]d %d", ints(&[5, 6]), "%!d(BADINDEX) 5"),
            ("%[2]d%d", ints(&[3, 4, 5]), "45"),
            ("%[1]d %y", ints(&[3, 4, 5]), "3 %!y(int=4)"),
            ("%[1]5d %[1].2d", ints(&[3]), "%!d(BADINDEX) %!d(BADINDEX)"),
            ("%[2].[1]d", ints(&[3, 4]), "%!d(BADINDEX)"),
            ("%[1]*.[2]*[3]d", ints(&[6, 3, 4]), "   004"),
            ("%[2]*d", ints(&[5, 7]), "%!d(MISSING)"),
            ("%[3]*d", ints(&[2, 3]), "%!d(BADINDEX)"),
            ("%[", ints(&[3]), "%!(NOVERB)"),
            ("%[5", ints(&[3]), "%!(NOVERB)"),
            ("%[1 %d", ints(&[3]), "%! (BADINDEX)3"),
            ("%[]", ints(&[3]), "%!](BADINDEX)"),
            ("%[1]%|%[1]", ints(&[3]), "%|%!(NOVERB)"),
            ("%*d", text_and_three(), "%!(BADWIDTH)3"),
            ("%.*d", text_and_three(), "%!(BADPREC)3"),
            ("%*d|", ints(&[-5, 3]), "3    |"),
            ("%*d", ints(&[9_999_999, 3]), "%!(BADWIDTH)3"),
            ("%.*d", ints(&[-2, 3]), "%!(BADPREC)3"),
            ("%99999999d", ints(&[3]), "%!(NOVERB)%!(EXTRA int=3)"),
            ("%d %d", ints(&[3]), "3 %!d(MISSING)"),
            ("%d%", ints(&[3, 4]), "3%!(NOVERB)%!(EXTRA int=4)"),
            ("%.2f", one(json!(3)), "%!f(int64=03)"),
            ("%05.2f %+5y", ints(&[3, 3]), "%!f(int=   03) %!y(int=   +3)"),
            ("%5d", one(json!("abc")), "%!d(string=  abc)"),
            ("%5d", one(json!(true)), "%!d(bool= true)"),
            ("%6.3d", one(json!(2.5)), "%!d(float64=   2.5)"),
            ("%.2f", one(json!({"created": null, "name": "x"})), "map[%!f(string=cr):<nil> %!f(string=na):%!f(string=x)]"),
            ("%+q", one(json!("\u{1f600}\u{e9}")), "\"\\U0001f600\\u00e9\""),
            ("%+q %q", ints(&[128_512, 128_512]), "'\\U0001f600' '\u{1f600}'"),
            ("%# x", one(json!("hi")), "0x68 0x69"),
            ("%# X", one(json!("hi")), "0X68 0X69"),
            ("%#x", one(json!("hi")), "0x6869"),
            ("%#x", one(json!("")), ""),
        ];
        for (pattern, values, wanted) in cases {
            assert_eq!(sprintf(pattern, &values), wanted, "{pattern}");
        }
    }
}
