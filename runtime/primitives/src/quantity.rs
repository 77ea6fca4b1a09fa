//! `resource.Quantity`: `250m`, `1Gi`, `1e3`.
//!
//! A quantity is a whole number of billionths and the family of suffixes it was written with. Printing it gives upstream's canonical form: `0.5` is
//! `500m`, `1024Mi` is `1Gi`.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

const NANO: i128 = 1_000_000_000;
const LARGEST: i128 = (i64::MAX as i128) * NANO;
const DECIMAL: [(&str, i32); 10] = [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

/// The family of suffixes a quantity prints with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `k`, `M`, `G`.
    DecimalSi,
    /// `Ki`, `Mi`, `Gi`.
    BinarySi,
    /// `e3`, `e6`, `e9`.
    DecimalExponent,
}

/// An amount of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// The text has the wrong shape.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The number cannot be read.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// The suffix is not known.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

impl Quantity {
    /// Nothing.
    pub const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi };

    /// A whole number.
    pub const fn from_value(value: i64) -> Self {
        Self { nanos: value as i128 * NANO, format: Format::DecimalSi }
    }

    /// A whole number of bytes, printed with binary suffixes.
    pub const fn from_bytes(value: i64) -> Self {
        Self { nanos: value as i128 * NANO, format: Format::BinarySi }
    }

    /// A number of thousandths.
    pub const fn from_milli(value: i64) -> Self {
        Self { nanos: value as i128 * (NANO / 1000), format: Format::DecimalSi }
    }

    /// The suffix family.
    pub const fn format(self) -> Format {
        self.format
    }

    /// The amount as a floating point number.
    pub fn to_f64(self) -> f64 {
        self.nanos as f64 / NANO as f64
    }

    /// The amount in whole units, rounded up.
    pub fn value(self) -> i64 {
        clamp(ceiling(self.nanos, NANO))
    }

    /// The amount in thousandths, rounded up.
    pub fn milli_value(self) -> i64 {
        clamp(ceiling(self.nanos, NANO / 1000))
    }

    /// Whether the amount is nothing.
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether the amount is below nothing.
    pub const fn is_negative(self) -> bool {
        self.nanos < 0
    }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// Division that rounds away from zero, as upstream scales.
fn ceiling(value: i128, unit: i128) -> i128 {
    let whole = value / unit;
    if value % unit == 0 { whole } else { whole + value.signum() }
}

impl FromStr for Quantity {
    type Err = Error;

    // upstream: apimachinery/pkg/api/resource/quantity.go ParseQuantity
    fn from_str(text: &str) -> Result<Self, Error> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        if number.is_empty() || number == "." {
            return Err(Error::Format);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') {
            return Err(Error::Number);
        }
        let scale = Scale::parse(suffix)?;
        let mut digits: i128 = 0;
        let mut decimals: i32 = 0;
        let mut lost = false;
        let fraction = fraction.trim_end_matches('0');
        for (index, digit) in whole.trim_start_matches('0').bytes().chain(fraction.bytes()).enumerate() {
            let in_fraction = index >= whole.trim_start_matches('0').len();
            // Thirty digits are far beyond both the largest amount and the smallest share.
            if digits > 10_i128.pow(26) {
                lost |= digit != b'0';
                decimals -= i32::from(!in_fraction);
                continue;
            }
            digits = digits * 10 + i128::from(digit - b'0');
            decimals += i32::from(in_fraction);
        }
        let nanos = scale.apply(digits, decimals, lost);
        Ok(Self { nanos: sign * nanos.min(LARGEST), format: scale.format() })
    }
}

enum Scale {
    Ten(i32, Format),
    Two(u32),
}

impl Scale {
    fn parse(suffix: &str) -> Result<Self, Error> {
        if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
            return Ok(Self::Ten(*power, Format::DecimalSi));
        }
        if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
            return Ok(Self::Two(*power));
        }
        if let Some(exponent) = suffix.strip_prefix(['e', 'E']) {
            let power: i32 = exponent.parse().map_err(|_| Error::Suffix)?;
            return Ok(Self::Ten(power.clamp(-60, 60), Format::DecimalExponent));
        }
        let shaped = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
        let shaped = shaped.strip_prefix(['-', '+']).unwrap_or(shaped);
        if shaped.bytes().all(|digit| digit.is_ascii_digit()) { Err(Error::Suffix) } else { Err(Error::Format) }
    }

    const fn format(&self) -> Format {
        match self {
            Self::Ten(_, format) => *format,
            Self::Two(_) => Format::BinarySi,
        }
    }

    /// `digits / 10^decimals`, scaled, in billionths, rounded up.
    fn apply(&self, digits: i128, decimals: i32, lost: bool) -> i128 {
        if digits == 0 {
            return 0;
        }
        let (digits, power) = match self {
            Self::Ten(power, _) => (digits, power + 9 - decimals),
            Self::Two(bits) => match digits.checked_mul(1_i128 << bits) {
                Some(product) => (product, 9 - decimals),
                None => return LARGEST,
            },
        };
        let shift = 10_i128.checked_pow(power.unsigned_abs());
        if power >= 0 {
            shift.and_then(|shift| digits.checked_mul(shift)).unwrap_or(LARGEST)
        } else {
            let Some(shift) = shift else { return 1 };
            ceiling(digits, shift) + i128::from(lost && digits % shift == 0)
        }
    }
}

impl fmt::Display for Quantity {
    // upstream: apimachinery/pkg/api/resource/quantity.go CanonicalizeBytes
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return formatter.pad("0");
        }
        let whole = self.nanos % NANO == 0;
        if self.format == Format::BinarySi && whole && self.nanos.abs() >= 1024 * NANO {
            let mut value = self.nanos / NANO;
            let mut suffix = "";
            for (name, _) in BINARY {
                if value % 1024 != 0 {
                    break;
                }
                value /= 1024;
                suffix = name;
            }
            return formatter.pad(&format!("{value}{suffix}"));
        }
        let mut value = self.nanos;
        let mut index = 0;
        while value % 1000 == 0 && index + 1 < DECIMAL.len() {
            value /= 1000;
            index += 1;
        }
        let (suffix, power) = DECIMAL[index];
        let text = match self.format {
            Format::DecimalExponent if power != 0 => format!("{value}e{power}"),
            Format::DecimalExponent => value.to_string(),
            Format::DecimalSi | Format::BinarySi => format!("{value}{suffix}"),
        };
        formatter.pad(&text)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Add for Quantity {
    type Output = Self;

    /// The sum, in the suffix family of the first that is not nothing.
    fn add(self, other: Self) -> Self {
        let format = if self.is_zero() { other.format } else { self.format };
        Self { nanos: (self.nanos + other.nanos).clamp(-LARGEST, LARGEST), format }
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + Self { nanos: -other.nanos, format: other.format }
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        items.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(serde_json::Number),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Number(number) => number.to_string(),
        };
        text.trim().parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_equals_upstream() {
        for (written, canonical) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("1", "1"),
            ("1000m", "1"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("1.", "1"),
            ("100m", "100m"),
            ("1500m", "1500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Mi", "512Ki"),
            ("1023Ki", "1023Ki"),
            ("100Ki", "100Ki"),
            ("512", "512"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1e3", "1e3"),
            ("1E6", "1e6"),
            ("5e0", "5"),
            ("1E", "1E"),
            ("12000000", "12M"),
            ("0.0000000001", "1n"),
            ("-1.5", "-1500m"),
            ("+3k", "3k"),
            ("100000000000000000000", "9223372036854775807"),
            ("0.1Ki", "102400m"),
        ] {
            let quantity: Quantity = written.parse().expect(written);
            assert_eq!(quantity.to_string(), canonical, "{written}");
        }
    }

    #[test]
    fn wrong_texts_are_refused_as_upstream() {
        for (written, error) in [
            ("", Error::Format),
            ("abc", Error::Format),
            ("1 Gi", Error::Format),
            ("1ki", Error::Suffix),
            ("1mm", Error::Suffix),
            ("1.2.3", Error::Number),
            ("10MiB", Error::Format),
        ] {
            assert_eq!(written.parse::<Quantity>(), Err(error), "{written}");
        }
    }

    #[test]
    fn amounts_add_and_compare() {
        let sum: Quantity = ["100m", "1", "900m"].iter().map(|text| text.parse::<Quantity>().expect("a quantity")).sum();
        assert_eq!(sum.to_string(), "2");
        assert_eq!(sum.milli_value(), 2000);
        assert!("1Gi".parse::<Quantity>().expect("binary") > "1G".parse::<Quantity>().expect("decimal"));
        assert_eq!("1.1".parse::<Quantity>().map(Quantity::value), Ok(2));
    }
}
