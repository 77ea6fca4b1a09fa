//! The names a check binds with `let`: their order and their values.

use std::collections::BTreeMap;
use std::sync::Arc;

use drydock_course::check::{At, Let, ObjectRef, Source};
use serde_json::{Value, json};

use super::Evaluator;
use super::condition::field;
use crate::interpolate;
use crate::select::{self, Moment};
use crate::verdict::Outcome;

/// Bindings that use other bindings come after them.
pub(super) fn ordered(bindings: &BTreeMap<String, Let>) -> Vec<(&String, &Let)> {
    let uses = |binding: &Let, name: &str| serde_json::to_string(binding).is_ok_and(|text| text.contains(&format!("${{{name}")));
    let mut rest: Vec<_> = bindings.iter().collect();
    let mut done = Vec::new();
    while !rest.is_empty() {
        let free = rest.iter().position(|(_, binding)| !rest.iter().any(|(name, _)| uses(binding, name))).unwrap_or(0);
        done.push(rest.remove(free));
    }
    done
}

impl Evaluator<'_> {
    /// The value of a name.
    pub(super) fn bind(&mut self, binding: &Let) -> Result<Value, String> {
        let source = interpolate::source(&binding.source, &self.names).map_err(|error| error.to_string())?;
        let moment = match binding.at {
            At::Baseline => Moment::At(self.facts.baseline.revision),
            At::Now => Moment::Now,
        };
        match &source {
            Source::Object(wanted) => {
                let there = select::objects(self.facts.world, wanted, moment);
                let found = there.first().map(|object| self.value_of(binding, Arc::clone(object)));
                match (found, binding.at) {
                    (Some(Ok(value)), _) => Ok(value),
                    (Some(Err(problem)), At::Now) => Err(problem),
                    (None, At::Now) => Err("it is not there".to_owned()),
                    // What was not there when the exercise began counts as it first came to be: the check can still be passed.
                    (_, At::Baseline) => self.first_since(binding, wanted),
                }
            }
            Source::List(wanted) => {
                let items = select::objects(self.facts.world, wanted, moment);
                let items = json!(items.iter().map(|item| (**item).clone()).collect::<Vec<Value>>());
                match &binding.value {
                    None => Ok(items),
                    Some(value) => self.computed(value, &|name| (name == "items").then(|| items.clone())),
                }
            }
            other => {
                let (outcome, found) = self.look(other, None);
                let record = found.candidates.into_iter().next_back().filter(|_| outcome == Outcome::Pass).ok_or("it is not there")?;
                self.value_of(binding, record)
            }
        }
    }

    /// The value in the first version since the baseline that has one.
    fn first_since(&self, binding: &Let, wanted: &ObjectRef) -> Result<Value, String> {
        let world = self.facts.world;
        let versions = world.changes_since(&wanted.kind, self.facts.baseline.revision).iter().filter_map(|change| change.new.clone());
        let mut values = versions.filter(|object| select::fits(world, wanted, object)).map(|object| self.value_of(binding, object));
        values.find_map(Result::ok).ok_or_else(|| "it is not there".to_owned())
    }

    fn value_of(&self, binding: &Let, object: Arc<Value>) -> Result<Value, String> {
        match &binding.value {
            None => Ok((*object).clone()),
            Some(value) => self.computed(value, &|name| field(&object, name)),
        }
    }
}
