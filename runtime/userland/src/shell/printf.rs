//! `printf` and `echo`: backslashes and formats.

/// Resolves backslash escapes; the flag is true when `\c` asked to stop there.
pub(crate) fn escapes(text: &str) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    let mut buffer = [0; 4];
    while let Some(next) = chars.next() {
        if next != '\\' {
            out.extend_from_slice(next.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        match chars.next() {
            Some('n') => out.push(b'\n'),
            Some('t') => out.push(b'\t'),
            Some('r') => out.push(b'\r'),
            Some('a') => out.push(7),
            Some('b') => out.push(8),
            Some('f') => out.push(12),
            Some('v') => out.push(11),
            Some('e') => out.push(27),
            Some('\\') => out.push(b'\\'),
            Some('"') => out.push(b'"'),
            Some('\'') => out.push(b'\''),
            Some('c') => return (out, true),
            Some('x') => out.push(digits(&mut chars, 16, 2)),
            Some(first @ '0'..='7') => {
                let mut value = u32::from(first) - u32::from('0');
                for _ in 0..if first == '0' { 3 } else { 2 } {
                    let Some(digit) = chars.peek().and_then(|next| next.to_digit(8)) else { break };
                    value = value * 8 + digit;
                    chars.next();
                }
                out.push(u8::try_from(value & 255).unwrap_or(0));
            }
            Some(other) => {
                out.push(b'\\');
                out.extend_from_slice(other.encode_utf8(&mut buffer).as_bytes());
            }
            None => out.push(b'\\'),
        }
    }
    (out, false)
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, radix: u32, count: usize) -> u8 {
    let mut value = 0;
    for _ in 0..count {
        let Some(digit) = chars.peek().and_then(|next| next.to_digit(radix)) else { break };
        value = value * radix + digit;
        chars.next();
    }
    u8::try_from(value & 255).unwrap_or(0)
}

/// What `echo ARGUMENT...` writes.
pub(crate) fn echo(arguments: &[String]) -> Vec<u8> {
    let (mut newline, mut escaped, mut skip) = (true, false, 0);
    for argument in arguments {
        let Some(letters) = argument.strip_prefix('-') else { break };
        if letters.is_empty() || !letters.chars().all(|letter| "neE".contains(letter)) {
            break;
        }
        newline &= !letters.contains('n');
        escaped |= letters.contains('e');
        skip += 1;
    }
    let text = arguments[skip..].join(" ");
    let (mut out, stopped) = if escaped { escapes(&text) } else { (text.into_bytes(), false) };
    if newline && !stopped {
        out.push(b'\n');
    }
    out
}

/// What `printf FORMAT ARGUMENT...` writes: the format again and again until the arguments are used up.
pub(crate) fn printf(format: &str, arguments: &[String]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = arguments;
    loop {
        let before = rest.len();
        if !once(format, &mut rest, &mut out)? || rest.is_empty() || rest.len() == before {
            return Ok(out);
        }
    }
}

/// One pass over the format; false when `\c` stopped it.
fn once(format: &str, rest: &mut &[String], out: &mut Vec<u8>) -> Result<bool, String> {
    let chars: Vec<char> = format.chars().collect();
    let mut at = 0;
    let mut literal = String::new();
    while at < chars.len() {
        if chars[at] != '%' {
            literal.push(chars[at]);
            at += 1;
            continue;
        }
        let (bytes, stop) = escapes(&std::mem::take(&mut literal));
        out.extend(bytes);
        if stop {
            return Ok(false);
        }
        at += 1;
        if chars.get(at) == Some(&'%') {
            out.push(b'%');
            at += 1;
            continue;
        }
        let start = at;
        let mut spec = Spec::default();
        while let Some(flag) = chars.get(at).filter(|next| "-+ 0#".contains(**next)) {
            spec.left |= *flag == '-';
            spec.zero |= *flag == '0';
            spec.plus |= *flag == '+';
            spec.alternate |= *flag == '#';
            at += 1;
        }
        spec.width = number(&chars, &mut at, rest);
        if chars.get(at) == Some(&'.') {
            at += 1;
            spec.precision = Some(number(&chars, &mut at, rest));
        }
        let Some(kind) = chars.get(at) else {
            return Err(format!("{}: invalid format", chars[start..].iter().collect::<String>()));
        };
        at += 1;
        let argument = take(rest);
        if *kind == 'b' {
            let (bytes, stop) = escapes(&argument.unwrap_or_default());
            out.extend(bytes);
            if stop {
                return Ok(false);
            }
            continue;
        }
        out.extend(spec.format(*kind, &argument.unwrap_or_default())?.into_bytes());
    }
    let (bytes, stop) = escapes(&literal);
    out.extend(bytes);
    Ok(!stop)
}

fn take(rest: &mut &[String]) -> Option<String> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    Some(first.clone())
}

fn number(chars: &[char], at: &mut usize, rest: &mut &[String]) -> usize {
    if chars.get(*at) == Some(&'*') {
        *at += 1;
        return take(rest).and_then(|text| text.parse().ok()).unwrap_or(0);
    }
    let start = *at;
    while chars.get(*at).is_some_and(char::is_ascii_digit) {
        *at += 1;
    }
    chars[start..*at].iter().collect::<String>().parse().unwrap_or(0)
}

/// One conversion of a format.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "the flags of printf")]
pub(crate) struct Spec {
    pub(crate) left: bool,
    pub(crate) zero: bool,
    pub(crate) plus: bool,
    pub(crate) alternate: bool,
    pub(crate) width: usize,
    pub(crate) precision: Option<usize>,
}

impl Spec {
    /// Formats one argument.
    pub(crate) fn format(&self, kind: char, argument: &str) -> Result<String, String> {
        let body = match kind {
            's' => match self.precision {
                Some(precision) => argument.chars().take(precision).collect(),
                None => argument.to_owned(),
            },
            'c' => argument.chars().take(1).collect(),
            'd' | 'i' | 'u' => self.signed(integer(argument)?.to_string()),
            'x' => format!("{}{:x}", if self.alternate { "0x" } else { "" }, integer(argument)?),
            'X' => format!("{:X}", integer(argument)?),
            'o' => format!("{:o}", integer(argument)?),
            'f' | 'F' | 'g' | 'e' => self.signed(self.float(kind, argument)),
            other => return Err(format!("%{other}: invalid format")),
        };
        let missing = self.width.saturating_sub(body.chars().count());
        Ok(if self.left {
            format!("{body}{}", " ".repeat(missing))
        } else if self.zero && kind != 's' {
            let (sign, digits) = body.split_at(usize::from(body.starts_with(['-', '+'])));
            format!("{sign}{}{digits}", "0".repeat(missing))
        } else {
            format!("{}{body}", " ".repeat(missing))
        })
    }

    fn signed(&self, text: String) -> String {
        if self.plus && !text.starts_with('-') { format!("+{text}") } else { text }
    }

    fn float(&self, kind: char, argument: &str) -> String {
        let value: f64 = argument.trim().parse().unwrap_or(0.0);
        match (kind, self.precision) {
            ('g', None) => format!("{value}"),
            ('e', precision) => format!("{value:.*e}", precision.unwrap_or(6)),
            ('g', Some(precision)) => {
                let digits = value.abs().max(1.0).log10().floor();
                let decimals = (precision as f64 - 1.0 - digits).max(0.0);
                let text = format!("{value:.*}", decimals as usize);
                if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
            }
            (_, precision) => format!("{value:.*}", precision.unwrap_or(6)),
        }
    }
}

fn integer(text: &str) -> Result<i64, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(0);
    }
    if let Some(quoted) = text.strip_prefix(['\'', '"']) {
        return Ok(quoted.chars().next().map_or(0, |first| i64::from(u32::from(first))));
    }
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let parsed = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => digits.parse::<f64>().ok().map(|value| value as i64),
    };
    parsed.map(|value| sign * value).ok_or_else(|| format!("{text}: invalid number"))
}
