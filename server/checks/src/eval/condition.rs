//! Conditions: an expression over the fields of an object, of a record or of a probe's answer.

use std::sync::Arc;

use drydock_cel::{Bindings, ClauseTrace, Evaluation, Expression};
use serde_json::{Value, json};

use super::{Evaluator, Found, Looked};
use crate::clauses;
use crate::select;
use crate::verdict::Outcome;

impl Evaluator<'_> {
    /// Evaluate a condition over an object's fields. Only the names it uses are made, and its clauses are told only where they explain
    /// something.
    pub(super) fn condition(&self, filter: &str, own: &dyn Fn(&str) -> Option<Value>) -> Result<Evaluation, String> {
        let mut spare = None;
        let expression = self.facts.library.get(filter, &mut spare).map_err(|error| error.to_string())?;
        let names = self.names_in(expression, own);
        let outcome = match expression.outcome(&names) {
            Ok(value @ (Value::Bool(_) | Value::Null)) => Ok(value),
            Ok(other) => Err(format!("the condition `{filter}` comes to {other}, and it has to be true or false")),
            Err(problem) => Err(format!("the condition `{filter}` cannot be evaluated: {problem}")),
        };
        if self.wanted && outcome == Ok(Value::Bool(true)) {
            return Ok(Evaluation { outcome, clauses: Vec::new() });
        }
        Ok(Evaluation { outcome, ..expression.evaluate(&names) })
    }

    /// The values of the names an expression uses.
    pub(super) fn names_in(&self, expression: &Expression, own: &dyn Fn(&str) -> Option<Value>) -> Bindings {
        let name = |name: String| Some((own(&name).or_else(|| self.names.get(&name).cloned())?, name));
        expression.variables().into_iter().filter_map(name).map(|(value, name)| (name, value)).collect()
    }

    /// Of the clauses of a condition those that tell why it is as it is.
    pub(super) fn telling(&self, filter: &str, own: &dyn Fn(&str) -> Option<Value>, clauses: Vec<ClauseTrace>) -> Vec<ClauseTrace> {
        let mut spare = None;
        match self.facts.library.get(filter, &mut spare) {
            Ok(expression) if !clauses.is_empty() && clauses::is_compound(filter) => clauses::telling(filter, clauses, &self.names_in(expression, own)),
            _ => clauses,
        }
    }

    /// Whether a candidate exists of which every one of these conditions is true; the closest comes first in what was found.
    pub(super) fn some(&self, mut candidates: Vec<Arc<Value>>, filters: &[Option<&str>]) -> Looked {
        let filters: Vec<&str> = filters.iter().flatten().copied().collect();
        if candidates.is_empty() {
            return (Outcome::Fail, Found::default());
        }
        if filters.is_empty() {
            return (Outcome::Pass, Found { candidates, ..Found::default() });
        }
        let mut outcome = Outcome::Fail;
        let mut best: Option<((bool, usize), usize, Vec<Vec<ClauseTrace>>)> = None;
        for index in 0..candidates.len() {
            let (mut clauses, mut all) = (Vec::new(), true);
            for filter in &filters {
                let evaluation = match self.condition(filter, &|name| field(&candidates[index], name)) {
                    Ok(evaluation) => evaluation,
                    Err(problem) => return (Outcome::Error, Found::note(problem)),
                };
                if let Err(problem) = &evaluation.outcome {
                    return (Outcome::Error, Found { candidates, clauses: evaluation.clauses, ..Found::note(problem) });
                }
                all &= evaluation.is_true();
                clauses.push(evaluation.clauses);
            }
            let holding = clauses.iter().flatten().filter(|clause| clause.holds).count();
            let near = (!select::is_own(&candidates[index]), holding);
            if all || best.as_ref().is_none_or(|(most, ..)| near > *most) {
                best = Some((near, index, clauses));
            }
            if all {
                outcome = Outcome::Pass;
                break;
            }
        }
        let (_, index, clauses) = best.unwrap_or_default();
        candidates.swap(0, index);
        let own = |name: &str| field(&candidates[0], name);
        let clauses = filters.iter().zip(clauses).flat_map(|(filter, clauses)| self.telling(filter, &own, clauses)).collect();
        (outcome, Found { candidates, clauses, ..Found::default() })
    }

    pub(super) fn evaluated(&self, evaluation: Evaluation, candidates: Vec<Arc<Value>>) -> Looked {
        let (outcome, note) = match &evaluation.outcome {
            Ok(_) if evaluation.is_true() => (Outcome::Pass, None),
            Ok(_) => (Outcome::Fail, None),
            Err(problem) => (Outcome::Error, Some(problem.clone())),
        };
        (outcome, Found { candidates, clauses: evaluation.clauses, note, ..Found::default() })
    }

    pub(super) fn computed(&self, value: &str, own: &dyn Fn(&str) -> Option<Value>) -> Result<Value, String> {
        let mut spare = None;
        let expression = self.facts.library.get(value, &mut spare).map_err(|error| error.to_string())?;
        match expression.value(&self.names_in(expression, own))? {
            Value::Null => Err(format!("{value} is not there")),
            value => Ok(value),
        }
    }
}

/// What a name means for an object: one of its fields, or `object`, all of it.
pub(super) fn field(object: &Value, name: &str) -> Option<Value> {
    match object.get(name) {
        Some(value) => Some(value.clone()),
        None if name == "object" => Some(object.clone()),
        None if ["metadata", "spec", "status"].contains(&name) => Some(json!({})),
        None => None,
    }
}
