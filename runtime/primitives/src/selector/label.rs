//! Label selectors, both as `app=web,tier in (a,b)` and as the object inside a Deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::parse::{self, SelectorError};

/// All requirements must hold. No requirement matches everything, unless the selector is [`LabelSelector::nothing`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of it.
    pub operator: Operator,
    /// The values the operator compares with.
    pub values: BTreeSet<String>,
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `a=b`
    Equals,
    /// `a==b`
    DoubleEquals,
    /// `a!=b`
    NotEquals,
    /// `a in (b,c)`
    In,
    /// `a notin (b,c)`
    NotIn,
    /// `a`
    Exists,
    /// `!a`
    DoesNotExist,
    /// `a>1`
    GreaterThan,
    /// `a<1`
    LessThan,
}

impl LabelSelector {
    /// Matches every object.
    pub const fn everything() -> Self {
        Self { requirements: Vec::new(), nothing: false }
    }

    /// Matches no object, as an absent selector does in most objects.
    pub const fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// All of `labels`, equal.
    pub fn from_labels(labels: &BTreeMap<String, String>) -> Self {
        let requirements = labels
            .iter()
            .map(|(key, value)| Requirement { key: key.clone(), operator: Operator::Equals, values: BTreeSet::from([value.clone()]) })
            .collect();
        Self { requirements, nothing: false }
    }

    /// Reads the object form, `{matchLabels, matchExpressions}`; null matches nothing, an empty object everything.
    // upstream: apimachinery/pkg/apis/meta/v1/helpers.go LabelSelectorAsSelector
    pub fn from_object(object: &Value) -> Result<Self, SelectorError> {
        let Value::Object(fields) = object else {
            return Ok(Self::nothing());
        };
        let mut requirements = Vec::new();
        for (key, value) in fields.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let values = BTreeSet::from([value.as_str().unwrap_or_default().to_owned()]);
            requirements.push(parse::checked(key, Operator::Equals, values)?);
        }
        for expression in fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| expression.get(name).and_then(Value::as_str).unwrap_or_default();
            let operator = match text("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(SelectorError::UnknownOperator(other.into())),
            };
            let values = expression.get("values").and_then(Value::as_array).into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(parse::checked(text("key"), operator, values)?);
        }
        requirements.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self { requirements, nothing: false })
    }

    /// Adds a condition.
    pub fn require(&mut self, requirement: Requirement) {
        self.requirements.push(requirement);
    }

    /// The conditions.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether nothing is asked, so that every object matches.
    pub const fn is_everything(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether `labels` fulfil every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(labels.get(&requirement.key).map(String::as_str)))
    }

    /// As [`LabelSelector::matches`], for an object's `metadata.labels`.
    pub fn matches_json(&self, labels: Option<&Value>) -> bool {
        let find = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(find(&requirement.key)))
    }
}

impl Requirement {
    /// Whether a label with this value, or its absence, fulfils the requirement.
    // upstream: apimachinery/pkg/labels/selector.go Requirement.Matches
    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        let compare = |fine: fn(i64, i64) -> bool| {
            let wanted = self.values.first().and_then(|wanted| number(wanted));
            value.and_then(number).zip(wanted).is_some_and(|(found, wanted)| fine(found, wanted))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(|found, wanted| found > wanted),
            Operator::LessThan => compare(|found, wanted| found < wanted),
        }
    }
}

impl FromStr for LabelSelector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Ok(Self { requirements: parse::requirements(text)?, nothing: false })
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(formatter, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let key = &self.key;
        match self.operator {
            Operator::Equals => write!(formatter, "{key}={values}"),
            Operator::DoubleEquals => write!(formatter, "{key}=={values}"),
            Operator::NotEquals => write!(formatter, "{key}!={values}"),
            Operator::In => write!(formatter, "{key} in ({values})"),
            Operator::NotIn => write!(formatter, "{key} notin ({values})"),
            Operator::Exists => formatter.write_str(key),
            Operator::DoesNotExist => write!(formatter, "!{key}"),
            Operator::GreaterThan => write!(formatter, "{key}>{values}"),
            Operator::LessThan => write!(formatter, "{key}<{values}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split(',').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn selectors_match_as_upstream() {
        for (selector, object, expected) in [
            ("", "a=b", true),
            ("a=b", "a=b,c=d", true),
            ("a==b", "a=c", false),
            ("a!=b", "", true),
            ("a!=b", "a=b", false),
            ("a", "a=", true),
            ("!a", "a=b", false),
            ("a in (b, c)", "a=c", true),
            ("a in (b,c)", "", false),
            ("a notin (b,c)", "", true),
            ("a notin (b)", "a=b", false),
            ("a>1", "a=2", true),
            ("a<1", "a=2", false),
            ("a=", "a=", true),
            ("a=b,c notin (d),e", "a=b,c=x,e=1", true),
            ("in=notin", "in=notin", true),
            ("a in ()", "a=", true),
            ("a in ()", "a=b", false),
        ] {
            let parsed: LabelSelector = selector.parse().expect(selector);
            assert_eq!(parsed.matches(&labels(object)), expected, "{selector} on {object}");
        }
    }

    #[test]
    fn mistakes_read_as_upstream() {
        for (selector, message) in [
            ("a in", "unable to parse requirement: found '' expected: '('"),
            ("a,", "found '', expected: identifier after ','"),
            ("=b", "found '=', expected: !, identifier, or 'end of string'"),
            (",", "found ',', expected: !, identifier, or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            ("a,,b", "found ',', expected: identifier after ','"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ] {
            assert_eq!(selector.parse::<LabelSelector>().map_err(|error| error.to_string()), Err(message.to_owned()), "{selector}");
        }
    }

    #[test]
    fn object_form_equals_text_form() {
        let object = json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "In", "values": ["b", "a"]}]});
        assert_eq!(LabelSelector::from_object(&object).map(|selector| selector.to_string()), Ok("app=web,tier in (a,b)".to_owned()));
        assert!(!LabelSelector::from_object(&Value::Null).expect("nothing").matches(&BTreeMap::new()));
    }
}
