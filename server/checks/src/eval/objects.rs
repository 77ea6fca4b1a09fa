//! Sources about objects: what is there, what has gone, and every change between.

use std::collections::HashMap;
use std::sync::Arc;

use drydock_cel::{ClauseTrace, Evaluation};
use drydock_course::check::{History, ObjectRef};
use serde_json::{Value, json};

use super::{Evaluator, Found, Looked};
use crate::select::{self, Moment};
use crate::verdict::Outcome;
use crate::world::Change;

/// What was found out about changes that are long past, so that they are not gone through again.
#[derive(Debug, Clone, Default)]
pub struct Memo(pub(super) HashMap<String, Scan>);

/// How far the changes of a kind have been looked at for one `history`.
#[derive(Debug, Clone, Default)]
pub(super) struct Scan {
    epoch: u64,
    pub(super) looked_at: usize,
    pub(super) fitting: Vec<Arc<Value>>,
    near: Vec<ClauseTrace>,
}

impl Evaluator<'_> {
    pub(super) fn object(&self, wanted: &ObjectRef, filter: Option<&str>) -> Looked {
        // What is new comes first: of candidates that are equally close it is the one the learner works at.
        let mut candidates = select::objects(self.facts.world, wanted, Moment::Now);
        candidates.sort_by_key(|object| crate::world::revision_of(object) <= self.facts.baseline.revision);
        self.some(candidates, &[filter])
    }

    pub(super) fn list(&self, wanted: &ObjectRef, filter: Option<&str>) -> Looked {
        let items = select::objects(self.facts.world, wanted, Moment::Now);
        let Some(filter) = filter else {
            let outcome = if items.is_empty() { Outcome::Fail } else { Outcome::Pass };
            return (outcome, Found { candidates: items, ..Found::default() });
        };
        let list = |name: &str| (name == "items").then(|| json!(items.iter().map(|item| (**item).clone()).collect::<Vec<Value>>()));
        match self.condition(filter, &list) {
            Ok(evaluation) => {
                let clauses = self.telling(filter, &list, evaluation.clauses);
                self.evaluated(Evaluation { clauses, ..evaluation }, items)
            }
            Err(problem) => (Outcome::Error, Found::note(problem)),
        }
    }

    pub(super) fn gone(&self, wanted: &ObjectRef) -> Looked {
        let world = self.facts.world;
        let now = select::objects(world, wanted, Moment::Now);
        if !now.is_empty() {
            return (Outcome::Fail, Found { candidates: now, ..Found::default() });
        }
        let before = select::objects(world, wanted, Moment::At(self.facts.baseline.revision));
        let since = || {
            let changes = world.changes_since(&wanted.kind, self.facts.baseline.revision);
            changes.iter().filter_map(|change| change.old.clone()).any(|old| select::fits(world, wanted, &old))
        };
        if !before.is_empty() || since() {
            (Outcome::Pass, Found { candidates: before, ..Found::default() })
        } else {
            (Outcome::Fail, Found::note("it was never there"))
        }
    }

    pub(super) fn history(&mut self, history: &History) -> Looked {
        let world = self.facts.world;
        let changes = world.changes_since(&history.of.kind, self.facts.baseline.revision);
        let key = match self.memo_key(history) {
            Ok(key) => key,
            Err(problem) => return (Outcome::Error, Found::note(problem)),
        };
        let epoch = world.epoch(&history.of.kind);
        let known = self.memo.0.remove(&key).filter(|scan| scan.epoch == epoch && scan.looked_at <= changes.len());
        let mut scan = known.unwrap_or_else(|| Scan { epoch, ..Scan::default() });
        for change in &changes[scan.looked_at..] {
            if let Err(problem) = self.scan(history, change, &mut scan) {
                return (Outcome::Error, Found::note(problem));
            }
        }
        scan.looked_at = changes.len();
        let wanted = history.count.as_deref().unwrap_or(">= 1");
        let looked = match count(wanted, scan.fitting.len()) {
            Some(true) => (Outcome::Pass, Found { candidates: scan.fitting.clone(), ..Found::default() }),
            Some(false) => {
                let note = format!("{} {wanted}", scan.fitting.len());
                let found = Found { candidates: scan.fitting.clone(), clauses: scan.near.clone(), ..Found::note(note) };
                (Outcome::Fail, found)
            }
            None => (Outcome::Error, Found::note(format!("count: {wanted:?}; write `>= 1` or `== 0`"))),
        };
        self.memo.0.insert(key, scan);
        looked
    }

    /// What decides the answer besides the changes themselves.
    fn memo_key(&self, history: &History) -> Result<String, String> {
        let mut spare = None;
        let expression = self.facts.library.get(&history.filter, &mut spare).map_err(|error| error.to_string())?;
        let names: Vec<_> = expression.variables().into_iter().filter_map(|name| Some((self.names.get(&name)?, name))).collect();
        let key = json!([self.facts.baseline.revision, history, names.iter().map(|(value, name)| json!([name, value])).collect::<Vec<_>>()]);
        Ok(key.to_string())
    }

    fn scan(&self, history: &History, change: &Change, scan: &mut Scan) -> Result<(), String> {
        let namespace = history.of.namespace.as_deref().unwrap_or(self.facts.world.home());
        let (in_namespace, name) = (&change.key.0, &change.key.1);
        let there = in_namespace.is_empty() || namespace == "*" || in_namespace == namespace;
        if !there || history.of.name.as_ref().is_some_and(|wanted| wanted != name) {
            return Ok(());
        }
        let version = |version: &Option<Arc<Value>>| version.as_ref().map_or(Value::Null, |object| (**object).clone());
        let own = |name: &str| match name {
            "old" => Some(version(&change.old)),
            "new" => Some(version(&change.new)),
            "actor" => Some(json!(change.actor)),
            "type" => Some(json!(match (&change.old, &change.new) {
                (None, _) => "ADDED",
                (_, None) => "DELETED",
                _ => "MODIFIED",
            })),
            _ => None,
        };
        let evaluation = self.condition(&history.filter, &own)?;
        if evaluation.is_true() {
            scan.fitting.extend(change.new.clone().or_else(|| change.old.clone()));
        } else if evaluation.clauses.iter().any(|clause| clause.holds) {
            scan.near = evaluation.clauses;
        }
        Ok(())
    }
}

/// `>= 1` against a number; `None` when it is no comparison.
pub(crate) fn count(wanted: &str, got: usize) -> Option<bool> {
    let wanted = wanted.trim();
    let split = wanted.find(|c: char| c.is_ascii_digit())?;
    let number: usize = wanted[split..].trim().parse().ok()?;
    Some(match wanted[..split].trim() {
        ">=" => got >= number,
        "==" | "=" | "" => got == number,
        ">" => got > number,
        "<=" => got <= number,
        "<" => got < number,
        "!=" => got != number,
        _ => return None,
    })
}
