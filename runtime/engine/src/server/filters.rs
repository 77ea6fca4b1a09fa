//! `?filters={"label":["a=b"]}`: what a list is narrowed to. Several values of one filter are alternatives, except labels.
// upstream: api/types/filters, daemon/list.go

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::error::ApiError;

/// Filters of one request.
#[derive(Debug, Default)]
pub(super) struct Filters(BTreeMap<String, Vec<String>>);

/// Both forms in use: a list, and the map older clients send.
#[derive(Deserialize)]
#[serde(untagged)]
enum Values {
    List(Vec<String>),
    Map(HashMap<String, bool>),
}

impl Filters {
    /// Read them; `known` are the names that mean something here.
    pub(super) fn parse(text: &str, known: &[&str]) -> Result<Filters, ApiError> {
        if text.is_empty() {
            return Ok(Filters::default());
        }
        let read: BTreeMap<String, Values> = serde_json::from_str(text).map_err(|_| ApiError::bad("invalid filter"))?;
        if let Some(name) = read.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(ApiError::bad(format!("invalid filter '{name}'")));
        }
        let values = |values| match values {
            Values::List(values) => values,
            Values::Map(values) => values.into_iter().filter(|(_, set)| *set).map(|(value, _)| value).collect(),
        };
        Ok(Filters(read.into_iter().map(|(name, found)| (name, values(found))).collect()))
    }

    /// The values of one filter.
    pub(super) fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether one of the values passes, or there are none.
    pub(super) fn any(&self, name: &str, passes: impl Fn(&str) -> bool) -> bool {
        let values = self.values(name);
        values.is_empty() || values.iter().any(|value| passes(value))
    }

    /// Whether all `label` filters hold: `name` asks for presence, `name=value` for that value.
    pub(super) fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.values("label").iter().all(|wanted| match wanted.split_once('=') {
            Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        })
    }
}
