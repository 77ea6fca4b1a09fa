//! `intstr.IntOrString`: a number or a text, often a percentage or a port name.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number or a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A whole number.
    Int(i32),
    /// A text such as `25%` or a port name.
    String(String),
}

/// Which way a share that is not whole goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Towards more.
    Up,
    /// Towards less.
    Down,
}

/// Why a text is no share.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// No `%` at the end.
    #[error("invalid value for IntOrString: invalid type: string is not a percentage")]
    NotAPercentage,
    /// No number before the `%`.
    #[error("invalid value for IntOrString: invalid value {0:?}: strconv.Atoi: parsing {1:?}: invalid syntax")]
    NotANumber(String, String),
}

impl IntOrString {
    /// The number, or the percentage of `total`.
    // upstream: apimachinery/pkg/util/intstr/intstr.go GetScaledValueFromIntOrPercent
    pub fn scaled(&self, total: i32, round: Round) -> Result<i32, Error> {
        let text = match self {
            Self::Int(number) => return Ok(*number),
            Self::String(text) => text,
        };
        let digits = text.strip_suffix('%').ok_or(Error::NotAPercentage)?;
        let share: i32 = digits.parse().map_err(|_| Error::NotANumber(text.clone(), digits.into()))?;
        let product = i64::from(share) * i64::from(total);
        let whole = match round {
            Round::Up => (product + 99).div_euclid(100),
            Round::Down => product.div_euclid(100),
        };
        Ok(i32::try_from(whole).unwrap_or(i32::MAX))
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(formatter),
            Self::String(text) => text.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        let quarter = IntOrString::String("25%".into());
        assert_eq!(quarter.scaled(3, Round::Up), Ok(1));
        assert_eq!(quarter.scaled(3, Round::Down), Ok(0));
        assert_eq!(IntOrString::Int(2).scaled(10, Round::Up), Ok(2));
        assert!(IntOrString::String("web".into()).scaled(1, Round::Up).is_err());
    }
}
