//! The grammar of label selectors.
//!
//! A lexer and a recursive-descent parser with upstream's shape, so that the first mistake found is the same one.
// upstream: apimachinery/pkg/labels/selector.go

use std::collections::BTreeSet;

use thiserror::Error;

use super::label::{Operator, Requirement};
use crate::names;

/// Why a text is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SelectorError {
    /// A requirement cannot be read.
    #[error("unable to parse requirement: {0}")]
    Requirement(Box<SelectorError>),
    /// A word where another was expected.
    #[error("found '{found}', expected: {expected}")]
    Expected {
        /// The word found.
        found: String,
        /// What could have stood there.
        expected: &'static str,
    },
    /// A word where a parenthesis was expected.
    #[error("found '{0}' expected: '('")]
    ExpectedOpen(String),
    /// A key or a value has the wrong shape.
    #[error("{path}: Invalid value: {value}: {message}")]
    Invalid {
        /// Which part.
        path: String,
        /// The part, as Go prints it.
        value: String,
        /// What is wrong.
        message: String,
    },
    /// An operator of the object form that does not exist.
    #[error("{0:?} is not a valid label selector operator")]
    UnknownOperator(String),
}

/// Reads `a=b,c in (d)`.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { tokens: tokens(text), position: 0 };
    let mut requirements = parser.all()?;
    requirements.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(requirements)
}

/// A requirement whose key, operator and values fit each other.
pub(super) fn checked(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Requirement, SelectorError> {
    check_key("key", key)?;
    let wrong = |message: &str| {
        let shown: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        SelectorError::Invalid { path: "values".into(), value: format!("[]string{{{}}}", shown.join(", ")), message: message.into() }
    };
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => return Err(wrong("for 'in', 'notin' operators, values set can't be empty")),
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
            return Err(wrong("exact-match compatibility requires one single value"));
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
            return Err(wrong("values set must be empty for exists and does not exist"));
        }
        Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
            return Err(wrong("for 'Gt', 'Lt' operators, exactly one value is required"));
        }
        Operator::GreaterThan | Operator::LessThan if values.iter().any(|value| value.parse::<i64>().is_err()) => {
            let value = values.first().map(String::as_str).unwrap_or_default();
            let message = "for 'Gt', 'Lt' operators, the value must be an integer".to_owned();
            return Err(SelectorError::Invalid { path: "values[0]".into(), value: format!("{value:?}"), message });
        }
        _ => {}
    }
    for (index, value) in values.iter().enumerate() {
        let errors = names::label_value(value);
        if !errors.is_empty() {
            return Err(SelectorError::Invalid { path: format!("values[{index}][{key}]"), value: format!("{value:?}"), message: errors.join("; ") });
        }
    }
    Ok(Requirement { key: key.to_owned(), operator, values })
}

fn check_key(path: &str, key: &str) -> Result<(), SelectorError> {
    let errors = names::qualified_name(key);
    if errors.is_empty() {
        return Ok(());
    }
    Err(SelectorError::Invalid { path: path.into(), value: format!("{key:?}"), message: errors.join("; ") })
}

const SPECIAL: &str = "=!(),><";
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// Words and signs. The end of the text is the empty word.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if SPECIAL.contains(first) {
            ["==", "!="].iter().find(|sign| rest.starts_with(**sign)).map_or(1, |sign| sign.len())
        } else {
            rest.find(|letter: char| SPECIAL.contains(letter) || letter.is_ascii_whitespace()).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token.to_owned());
        rest = after.trim_start();
    }
    tokens
}

fn is_identifier(token: &str) -> bool {
    !token.is_empty() && !token.starts_with(|letter: char| SPECIAL.contains(letter)) && !matches!(token, "in" | "notin")
}

struct Parser {
    tokens: Vec<String>,
    position: usize,
}

impl Parser {
    fn peek(&self) -> &str {
        self.tokens.get(self.position).map(String::as_str).unwrap_or_default()
    }

    /// In the place of a value, `in` and `notin` are ordinary words.
    fn peek_is_value(&self) -> bool {
        is_identifier(self.peek()) || matches!(self.peek(), "in" | "notin")
    }

    fn next(&mut self) -> String {
        let token = self.peek().to_owned();
        self.position += 1;
        token
    }

    fn expected(&self, expected: &'static str) -> SelectorError {
        SelectorError::Expected { found: self.peek().to_owned(), expected }
    }

    fn all(&mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            if self.peek().is_empty() {
                return Ok(requirements);
            }
            if !self.peek_is_value() && self.peek() != "!" {
                return Err(self.expected("!, identifier, or 'end of string'"));
            }
            requirements.push(self.requirement().map_err(|error| SelectorError::Requirement(Box::new(error)))?);
            match self.peek() {
                "" => return Ok(requirements),
                "," => {
                    self.next();
                    if !self.peek_is_value() && self.peek() != "!" {
                        return Err(self.expected("identifier after ','"));
                    }
                }
                _ => return Err(self.expected("',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let negated = self.peek() == "!";
        if negated {
            self.next();
        }
        if !self.peek_is_value() {
            return Err(self.expected("identifier"));
        }
        let key = self.next();
        check_key("<nil>", &key)?;
        if negated {
            return checked(&key, Operator::DoesNotExist, BTreeSet::new());
        }
        let operator = match self.peek() {
            "" | "," => return checked(&key, Operator::Exists, BTreeSet::new()),
            "=" => Operator::Equals,
            "==" => Operator::DoubleEquals,
            "!=" => Operator::NotEquals,
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            _ => return Err(self.expected(OPERATORS)),
        };
        self.next();
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => BTreeSet::from([self.exact_value()?]),
        };
        checked(&key, operator, values)
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek(), "" | ",") {
            return Ok(String::new());
        }
        if self.peek_is_value() { Ok(self.next()) } else { Err(self.expected("identifier")) }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        if self.peek() != "(" {
            return Err(SelectorError::ExpectedOpen(self.peek().to_owned()));
        }
        self.next();
        let mut values = BTreeSet::new();
        if self.peek() == ")" {
            self.next();
            // upstream: `()` is the one empty value
            values.insert(String::new());
            return Ok(values);
        }
        loop {
            if self.peek_is_value() {
                values.insert(self.next());
            } else if matches!(self.peek(), "," | ")") {
                values.insert(String::new());
            } else {
                return Err(self.expected("',', ')' or identifier"));
            }
            match self.peek() {
                "," => {
                    self.next();
                }
                ")" => {
                    self.next();
                    return Ok(values);
                }
                _ => return Err(self.expected("',' or ')'")),
            }
        }
    }
}
