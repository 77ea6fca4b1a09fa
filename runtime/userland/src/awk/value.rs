//! awk's values: numbers, texts, and texts from outside that may be numbers.

/// A value.
#[derive(Debug, Clone, Default)]
pub(super) enum Value {
    /// A variable that nobody set: both `""` and `0`.
    #[default]
    Unset,
    Number(f64),
    Text(String),
    /// From the input: a number if it looks like one.
    Input(String),
}

impl Value {
    pub(super) fn truth(value: bool) -> Self {
        Self::Number(f64::from(u8::from(value)))
    }

    pub(super) fn number(&self) -> f64 {
        match self {
            Self::Unset => 0.0,
            Self::Number(value) => *value,
            Self::Text(text) | Self::Input(text) => leading_number(text),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Unset => String::new(),
            Self::Number(value) => number_text(*value),
            Self::Text(text) | Self::Input(text) => text.clone(),
        }
    }

    /// The number, for comparisons: `None` when it is to be compared as text.
    fn numeric(&self) -> Option<f64> {
        match self {
            Self::Unset => Some(0.0),
            Self::Number(value) => Some(*value),
            Self::Text(_) => None,
            Self::Input(text) => text.trim().parse().ok().filter(|_| looks_numeric(text)),
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Unset => false,
            Self::Number(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::Input(text) => self.numeric().map_or(!text.is_empty(), |value| value != 0.0),
        }
    }

    pub(super) fn order(&self, other: &Self) -> std::cmp::Ordering {
        match (self.numeric(), other.numeric()) {
            (Some(left), Some(right)) => left.total_cmp(&right),
            _ => self.text().cmp(&other.text()),
        }
    }
}

fn looks_numeric(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.chars().all(|next| next.is_ascii_digit() || "+-.eE".contains(next))
}

/// The number a text starts with.
fn leading_number(text: &str) -> f64 {
    let text = text.trim_start();
    let mut end = 0;
    let (mut dot, mut exponent) = (false, false);
    for (index, next) in text.char_indices() {
        let after_exponent = index > 0 && exponent && matches!(text.as_bytes()[index - 1], b'e' | b'E');
        match next {
            '0'..='9' => {}
            '+' | '-' if index == 0 || after_exponent => {}
            '.' if !dot && !exponent => dot = true,
            'e' | 'E' if !exponent && index > 0 && text[index + 1..].starts_with(|next: char| next.is_ascii_digit() || "+-".contains(next)) => exponent = true,
            _ => break,
        }
        end = index + 1;
    }
    text[..end].trim_end_matches(['e', 'E', '+', '-']).parse().unwrap_or(0.0)
}

/// As `OFMT` and `CONVFMT` are by themselves: `%.6g`.
pub(super) fn number_text(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e16 {
        return format!("{value:.0}").replace("-0", if value == 0.0 { "0" } else { "-0" });
    }
    general(value, 6)
}

/// `%.Ng`.
pub(super) fn general(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "nan" } else if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let digits = digits.max(1);
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() };
    if exponent < -4 || exponent >= i32::try_from(digits).unwrap_or(i32::MAX) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let places = usize::try_from(i32::try_from(digits).unwrap_or(6) - 1 - exponent).unwrap_or(0);
    trimmed(&format!("{value:.places$}"))
}

/// printf's formats.
pub(super) fn formatted(format: &str, values: &[Value]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(next) = chars.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        let flags: String = std::iter::from_fn(|| chars.next_if(|next| "-+ 0#".contains(*next))).collect();
        let mut size = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Option<usize> {
            if chars.next_if_eq(&'*').is_some() {
                return values.next().map(|value| value.number() as usize);
            }
            let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
            digits.parse().ok()
        };
        let width = size(&mut chars).unwrap_or(0);
        let precision = if chars.next_if_eq(&'.').is_some() { Some(size(&mut chars).unwrap_or(0)) } else { None };
        let Some(kind) = chars.next() else { break };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = values.next().cloned().unwrap_or_default();
        let number = value.number();
        let text = match kind {
            'd' | 'i' => format!("{}", number.trunc() as i64),
            'u' => format!("{}", number.trunc() as u64),
            'o' => format!("{:o}", number as i64),
            'x' => format!("{:x}", number as i64),
            'X' => format!("{:X}", number as i64),
            'c' => match &value {
                Value::Number(code) => char::from_u32(*code as u32).map_or_else(String::new, String::from),
                other => other.text().chars().next().map_or_else(String::new, String::from),
            },
            'f' | 'F' => format!("{number:.*}", precision.unwrap_or(6)),
            'e' | 'E' => {
                let text = format!("{number:.*e}", precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
            }
            'g' | 'G' => general(number, precision.unwrap_or(6)),
            _ => {
                let text = value.text();
                precision.map_or(text.clone(), |precision| text.chars().take(precision).collect())
            }
        };
        let signed = if flags.contains('+') && kind != 's' && kind != 'c' && !text.starts_with('-') { format!("+{text}") } else { text };
        let missing = width.saturating_sub(signed.chars().count());
        if flags.contains('-') {
            out.push_str(&signed);
            out.push_str(&" ".repeat(missing));
        } else if flags.contains('0') && !matches!(kind, 's' | 'c') {
            let (sign, digits) = signed.strip_prefix('-').map_or(("", signed.as_str()), |digits| ("-", digits));
            out.push_str(sign);
            out.push_str(&"0".repeat(missing));
            out.push_str(digits);
        } else {
            out.push_str(&" ".repeat(missing));
            out.push_str(&signed);
        }
    }
    out
}
