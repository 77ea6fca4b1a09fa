//! Field selectors: `metadata.name=web,status.phase!=Running`.
// upstream: apimachinery/pkg/fields/selector.go

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// All requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// The conditions.
    pub requirements: Vec<FieldRequirement>,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field, such as `spec.nodeName`.
    pub field: String,
    /// Whether the field must have the value, or must not.
    pub equal: bool,
    /// The value.
    pub value: String,
}

/// Why a text is no field selector.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FieldError {
    /// A part without an operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole text.
        selector: String,
        /// The part.
        term: String,
    },
    /// A backslash before a letter that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A letter that needs a backslash and has none; upstream tells its number.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(u32),
}

impl FieldSelector {
    /// Matches every object.
    pub const fn everything() -> Self {
        Self { requirements: Vec::new() }
    }

    /// One field with one value.
    pub fn equal(field: &str, value: &str) -> Self {
        Self { requirements: vec![FieldRequirement { field: field.into(), equal: true, value: value.into() }] }
    }

    /// Whether nothing is asked.
    pub const fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether the fields that `find` answers with fulfil every requirement; an absent field is the empty text.
    pub fn matches(&self, find: impl Fn(&str) -> Option<String>) -> bool {
        self.requirements.iter().all(|requirement| {
            let found = find(&requirement.field).unwrap_or_default();
            (found == requirement.value) == requirement.equal
        })
    }

    /// The value that `field` must have, if one is asked.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|requirement| requirement.equal && requirement.field == field).map(|requirement| requirement.value.as_str())
    }
}

impl FromStr for FieldSelector {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let mut requirements = Vec::new();
        for term in terms(text).into_iter().filter(|term| !term.is_empty()) {
            let unclear = || FieldError::Term { selector: text.to_owned(), term: term.to_owned() };
            let (field, equal, value) = split(term).ok_or_else(unclear)?;
            requirements.push(FieldRequirement { field: field.to_owned(), equal, value: unescape(value)? });
        }
        Ok(Self { requirements })
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let sign = if requirement.equal { "=" } else { "!=" };
            let value = requirement.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(formatter, "{comma}{}{sign}{value}", requirement.field)?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash precedes.
fn terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (index, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn split(term: &str) -> Option<(&str, bool, &str)> {
    for (index, _) in term.char_indices() {
        for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = term[index..].strip_prefix(sign) {
                return Some((&term[..index], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, FieldError> {
    let mut text = String::new();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if matches!(letter, ',' | '=') {
            return Err(FieldError::Unescaped(u32::from(letter)));
        }
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some(next @ ('\\' | ',' | '=')) => text.push(next),
            Some(next) => return Err(FieldError::Escape(format!("\\{next}"))),
            None => return Err(FieldError::Escape("\\".into())),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_match() {
        let find = |field: &str| (field == "status.phase").then(|| "Running".to_owned());
        for (selector, expected) in [
            ("", true),
            ("status.phase=Running", true),
            ("status.phase==Running,spec.nodeName=", true),
            ("status.phase!=Running", false),
            ("spec.nodeName!=a", true),
        ] {
            assert_eq!(selector.parse::<FieldSelector>().expect(selector).matches(find), expected, "{selector}");
        }
    }

    #[test]
    fn mistakes_read_as_upstream() {
        let error = "status.phase".parse::<FieldSelector>().map_err(|error| error.to_string());
        assert_eq!(error, Err("invalid selector: 'status.phase'; can't understand 'status.phase'".to_owned()));
        let error = "a=b=c".parse::<FieldSelector>().map_err(|error| error.to_string());
        assert_eq!(error, Err("invalid field selector: unescaped character in value: 61".to_owned()));
        assert_eq!("a=b\\,c".parse::<FieldSelector>().map(|selector| selector.requirements[0].value.clone()), Ok("b,c".to_owned()));
    }
}
