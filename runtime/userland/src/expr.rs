//! expr: arithmetic, comparison and patterns as words of a command line.

use crate::complain;

/// `expr EXPRESSION`: arithmetic, comparison, `:`, length.
pub(crate) fn expr(words: &[String]) -> i32 {
    match either(&words[1..]) {
        Ok(value) => {
            println!("{value}");
            i32::from(value.is_empty() || value == "0")
        }
        Err(message) => {
            complain("expr", message);
            2
        }
    }
}

/// Operators of expr, loosest first.
const LEVELS: [&[&str]; 6] = [&["|"], &["&"], &["=", "==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/", "%"], &[":"]];

fn either(words: &[String]) -> Result<String, String> {
    let (value, rest) = level(words, 0)?;
    if rest.is_empty() { Ok(value) } else { Err("syntax error".to_owned()) }
}

fn level(words: &[String], depth: usize) -> Result<(String, &[String]), String> {
    let Some(operators) = LEVELS.get(depth) else { return primary(words) };
    let (mut left, mut rest) = level(words, depth + 1)?;
    while let Some(operator) = rest.first().filter(|word| operators.contains(&word.as_str())) {
        let (right, after) = level(&rest[1..], depth + 1)?;
        left = combine(operator, &left, &right)?;
        rest = after;
    }
    Ok((left, rest))
}

fn primary(words: &[String]) -> Result<(String, &[String]), String> {
    match words {
        [] => Err("syntax error".to_owned()),
        [open, rest @ ..] if open == "(" => {
            let (value, rest) = level(rest, 0)?;
            match rest {
                [close, rest @ ..] if close == ")" => Ok((value, rest)),
                _ => Err("syntax error".to_owned()),
            }
        }
        [length, text, rest @ ..] if length == "length" => Ok((text.chars().count().to_string(), rest)),
        [value, rest @ ..] => Ok((value.clone(), rest)),
    }
}

fn combine(operator: &str, left: &str, right: &str) -> Result<String, String> {
    let truth = |text: &str| !text.is_empty() && text != "0";
    let numbers = || -> Result<(i64, i64), String> {
        let parse = |text: &str| text.parse::<i64>().map_err(|_| "non-numeric argument".to_owned());
        Ok((parse(left)?, parse(right)?))
    };
    let order = match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    };
    let said = |answer: bool| Ok(i32::from(answer).to_string());
    match operator {
        "|" => Ok(if truth(left) { left } else { right }.to_owned()),
        "&" => Ok(if truth(left) && truth(right) { left } else { "0" }.to_owned()),
        "=" | "==" => said(order.is_eq()),
        "!=" => said(order.is_ne()),
        "<" => said(order.is_lt()),
        "<=" => said(order.is_le()),
        ">" => said(order.is_gt()),
        ">=" => said(order.is_ge()),
        ":" => {
            let pattern = format!("^(?:{})", crate::grep::posix_pattern(right, false));
            let regex = regex::Regex::new(&pattern).map_err(|_| "bad regex".to_owned())?;
            let captures = regex.captures(left);
            Ok(match captures {
                Some(captures) if captures.len() > 1 => captures.get(1).map_or("", |group| group.as_str()).to_owned(),
                Some(captures) => captures[0].chars().count().to_string(),
                None if regex.captures_len() > 1 => String::new(),
                None => "0".to_owned(),
            })
        }
        _ => {
            let (left, right) = numbers()?;
            let value = match operator {
                "+" => left.checked_add(right),
                "-" => left.checked_sub(right),
                "*" => left.checked_mul(right),
                "/" => left.checked_div(right),
                _ => left.checked_rem(right),
            };
            value.map(|value| value.to_string()).ok_or_else(|| "division by zero".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_values() {
        let cases = [("2 + 3 * 4", "14"), ("( 2 + 3 ) * 4", "20"), ("abc : a\\(.*\\)", "bc"), ("abc : .*", "3"), ("3 > 2", "1"), ("length four", "4")];
        for (text, wanted) in cases {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            assert_eq!(either(&words).as_deref(), Ok(wanted), "{text}");
        }
    }
}
