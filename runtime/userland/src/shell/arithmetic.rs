//! `$((...))`: 64-bit integers, the operators of C.

/// Where variables are read and written.
pub(crate) trait Variables {
    fn read(&self, name: &str) -> i64;
    fn write(&mut self, name: &str, value: i64);
}

/// The value of an expression.
pub(crate) fn evaluate(text: &str, variables: &mut dyn Variables) -> Result<i64, String> {
    let mut reader = Reader { text: text.chars().collect(), at: 0, variables, active: true };
    let value = reader.comma()?;
    reader.blanks();
    if reader.at < reader.text.len() {
        return Err(format!("arithmetic syntax error in \"{}\"", text.trim()));
    }
    Ok(value)
}

struct Reader<'a> {
    text: Vec<char>,
    at: usize,
    variables: &'a mut dyn Variables,
    /// False on the side of `&&`, `||` and `?:` that is not evaluated.
    active: bool,
}

/// Operators by precedence, loosest first; longer ones before their prefixes.
const LEVELS: [&[&str]; 10] = [
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
];

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(|next| next.is_whitespace()) {
            self.at += 1;
        }
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(index, wanted)| self.text.get(self.at + index) == Some(&wanted))
    }

    fn eat(&mut self, text: &str) -> bool {
        self.blanks();
        let found = self.looking_at(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn comma(&mut self) -> Result<i64, String> {
        let mut value = self.ternary()?;
        while self.eat(",") {
            value = self.ternary()?;
        }
        Ok(value)
    }

    fn ternary(&mut self) -> Result<i64, String> {
        let condition = self.binary(0)?;
        if !self.eat("?") {
            return Ok(condition);
        }
        let active = self.active;
        self.active = active && condition != 0;
        let yes = self.ternary()?;
        if !self.eat(":") {
            return Err("arithmetic: ':' expected".to_owned());
        }
        self.active = active && condition == 0;
        let no = self.ternary()?;
        self.active = active;
        Ok(if condition != 0 { yes } else { no })
    }

    fn binary(&mut self, level: usize) -> Result<i64, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        'operators: loop {
            self.blanks();
            for operator in *operators {
                if !self.looking_at(operator) || self.is_other(operator) {
                    continue;
                }
                self.at += operator.len();
                let active = self.active;
                self.active = active && !(*operator == "||" && left != 0 || *operator == "&&" && left == 0);
                let right = self.binary(level + 1)?;
                let evaluated = self.active;
                self.active = active;
                left = apply(operator, left, right, evaluated)?;
                continue 'operators;
            }
            return Ok(left);
        }
    }

    /// True when the text is a longer operator that only starts with this one.
    fn is_other(&self, operator: &str) -> bool {
        let next = self.text.get(self.at + operator.len());
        match operator {
            "|" | "&" | "<" | ">" => next == operator.chars().next().as_ref() || next == Some(&'='),
            "+" | "-" | "*" | "/" | "%" | "^" | "<<" | ">>" => next == Some(&'='),
            _ => false,
        }
    }

    fn unary(&mut self) -> Result<i64, String> {
        self.blanks();
        for step in ["++", "--"] {
            if self.looking_at(step) {
                self.at += 2;
                let name = self.name();
                let value = self.variables.read(&name) + if step == "++" { 1 } else { -1 };
                self.write(&name, value);
                return Ok(value);
            }
        }
        if self.eat("-") {
            return Ok(self.unary()?.wrapping_neg());
        }
        if self.eat("+") {
            return self.unary();
        }
        if self.eat("!") {
            return Ok(i64::from(self.unary()? == 0));
        }
        if self.eat("~") {
            return Ok(!self.unary()?);
        }
        if self.eat("(") {
            let value = self.comma()?;
            return if self.eat(")") { Ok(value) } else { Err("arithmetic: ')' expected".to_owned()) };
        }
        self.primary()
    }

    fn name(&mut self) -> String {
        self.blanks();
        let start = self.at;
        while self.text.get(self.at).is_some_and(|next| next.is_ascii_alphanumeric() || *next == '_') {
            self.at += 1;
        }
        self.text[start..self.at].iter().collect()
    }

    fn write(&mut self, name: &str, value: i64) {
        if self.active {
            self.variables.write(name, value);
        }
    }

    fn primary(&mut self) -> Result<i64, String> {
        let word = self.name();
        if word.is_empty() {
            return if self.at >= self.text.len() && self.text.iter().all(|next| next.is_whitespace()) {
                Ok(0)
            } else {
                Err("arithmetic syntax error".to_owned())
            };
        }
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            let parsed = match (word.strip_prefix("0x"), word.strip_prefix('0')) {
                (Some(hex), _) => i64::from_str_radix(hex, 16),
                (None, Some(octal)) if !octal.is_empty() => i64::from_str_radix(octal, 8),
                _ => word.parse(),
            };
            return parsed.map_err(|_| format!("bad number \"{word}\""));
        }
        let old = self.variables.read(&word);
        self.blanks();
        for (step, change) in [("++", 1), ("--", -1)] {
            if self.looking_at(step) {
                self.at += 2;
                self.write(&word, old + change);
                return Ok(old);
            }
        }
        for operator in ["<<", ">>", "+", "-", "*", "/", "%", "&", "|", "^", ""] {
            let assigns = self.looking_at(&format!("{operator}=")) && !self.looking_at("==");
            if assigns {
                self.at += operator.len() + 1;
                let right = self.ternary()?;
                let value = if operator.is_empty() { right } else { apply(operator, old, right, self.active)? };
                self.write(&word, value);
                return Ok(value);
            }
        }
        Ok(old)
    }
}

fn apply(operator: &str, left: i64, right: i64, evaluated: bool) -> Result<i64, String> {
    Ok(match operator {
        "||" => i64::from(left != 0 || right != 0),
        "&&" => i64::from(left != 0 && right != 0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "==" => i64::from(left == right),
        "!=" => i64::from(left != right),
        "<=" => i64::from(left <= right),
        ">=" => i64::from(left >= right),
        "<" => i64::from(left < right),
        ">" => i64::from(left > right),
        "<<" => left.wrapping_shl(u32::try_from(right & 63).unwrap_or(0)),
        ">>" => left.wrapping_shr(u32::try_from(right & 63).unwrap_or(0)),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        _ if !evaluated => 0,
        "/" => left.checked_div(right).ok_or("division by zero")?,
        _ => left.checked_rem(right).ok_or("division by zero")?,
    })
}
