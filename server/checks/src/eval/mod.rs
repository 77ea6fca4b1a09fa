//! Asking a check's question of the world: pure, and with a trace of everything that was looked at.
//!
//! Here is how the sources of a check are joined (`all`, `any`, `not`), and which module looks at which source: [`objects`] at what the
//! cluster has and had, [`records`] at what was done, [`asked`] at what only a request can tell. [`names`] finds the values of a check's
//! own names, [`condition`] evaluates what is written beside a source.
//!
//! Probes are facts like others: what is not known yet is returned as wanted, and the answer is "waiting".

mod asked;
mod condition;
mod names;
mod objects;
mod records;

use std::sync::Arc;

use drydock_cel::{Bindings, ClauseTrace};
use drydock_course::check::{Check, Expect, Source};
use serde_json::Value;

pub use self::objects::Memo;
pub(crate) use self::objects::count;
use crate::compile::Library;
use crate::interpolate;
use crate::probe::{Probe, Probes};
use crate::verdict::Outcome;
use crate::world::{Point, World};

/// Everything a check is judged by.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What is known.
    pub world: &'a World,
    /// Results of probes.
    pub probes: &'a Probes,
    /// Since when evidence counts.
    pub baseline: Point,
    /// Names bound by earlier blocks.
    pub names: &'a Bindings,
    /// Parsed expressions.
    pub library: &'a Library,
}

/// One source that was looked at.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The source, with its names filled in.
    pub source: Source,
    /// Whether it holds by itself.
    pub outcome: Outcome,
    /// Whether it should: false below a `not`.
    pub wanted: bool,
    /// Objects that were meant, the closest first.
    pub candidates: Vec<Arc<Value>>,
    /// The clauses of its condition over the closest candidate.
    pub clauses: Vec<ClauseTrace>,
    /// What there is to say beyond that.
    pub note: Option<String>,
    /// The condition beside the source.
    pub filter: Option<String>,
    /// The name, or the path below one, that has no value yet and is waited for.
    pub unbound: Option<String>,
}

/// The answer, how it came about, and what would have to be asked.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// The answer.
    pub outcome: Outcome,
    /// Everything looked at, in the order written.
    pub leaves: Vec<Leaf>,
    /// Probes whose result is missing or used.
    pub probes: Vec<Probe>,
    /// Names this check binds.
    pub names: Bindings,
}

/// Judge one check. `memo` is this check's own and makes the next time cheaper; it changes no answer.
pub fn check(check: &Check, facts: &Facts<'_>, memo: &mut Memo) -> Judgement {
    let mut evaluator = Evaluator { facts, names: facts.names.clone(), leaves: Vec::new(), probes: Vec::new(), memo, wanted: true };
    let mut bound = Bindings::new();
    for (name, binding) in names::ordered(&check.bindings) {
        match evaluator.bind(binding) {
            Ok(value) => {
                evaluator.names.insert(name.clone(), value.clone());
                bound.insert(name.clone(), value);
            }
            Err(note) => {
                evaluator.leaf(&binding.source, Outcome::Waiting, true, Found { unbound: Some(name.clone()), ..Found::note(note) });
            }
        }
    }
    let outcome = evaluator.expect(&check.expect, true);
    Judgement { outcome, leaves: evaluator.leaves, probes: evaluator.probes, names: bound }
}

/// What looking at one source found.
#[derive(Default)]
struct Found {
    candidates: Vec<Arc<Value>>,
    clauses: Vec<ClauseTrace>,
    note: Option<String>,
    filter: Option<String>,
    unbound: Option<String>,
}

impl Found {
    fn note(note: impl Into<String>) -> Found {
        Found { note: Some(note.into()), ..Found::default() }
    }
}

type Looked = (Outcome, Found);

struct Evaluator<'a> {
    facts: &'a Facts<'a>,
    names: Bindings,
    leaves: Vec<Leaf>,
    probes: Vec<Probe>,
    memo: &'a mut Memo,
    /// Whether the source that is looked at should hold.
    wanted: bool,
}

impl Evaluator<'_> {
    fn expect(&mut self, expect: &Expect, wanted: bool) -> Outcome {
        match expect {
            Expect::All(branches) => {
                let outcomes: Vec<Outcome> = branches.iter().map(|branch| self.expect(branch, wanted)).collect();
                strongest(&outcomes, &[Outcome::Error, Outcome::Fail, Outcome::Waiting], Outcome::Pass)
            }
            Expect::Any(branches) => {
                let before = self.leaves.len();
                let outcomes: Vec<Outcome> = branches.iter().map(|branch| self.expect(branch, wanted)).collect();
                let outcome = strongest(&outcomes, &[Outcome::Pass, Outcome::Error, Outcome::Waiting], Outcome::Fail);
                // One way is enough: what is missing for the others is nobody's mistake.
                if wanted && outcome == Outcome::Pass {
                    let ways = self.leaves.split_off(before);
                    self.leaves.extend(ways.into_iter().filter(|leaf| (leaf.outcome == Outcome::Pass) == leaf.wanted));
                }
                outcome
            }
            Expect::Not(branch) => match self.expect(branch, !wanted) {
                Outcome::Pass => Outcome::Fail,
                Outcome::Fail => Outcome::Pass,
                other => other,
            },
            Expect::One { source, filter } => {
                let source = match interpolate::source(source, &self.names) {
                    Ok(source) => source,
                    Err(interpolate::InterpolateError::Missing(name)) => {
                        let note = format!("{name} is not known yet");
                        return self.leaf(source, Outcome::Waiting, wanted, Found { unbound: Some(name), ..Found::note(note) });
                    }
                    Err(error) => return self.leaf(source, Outcome::Error, wanted, Found::note(error.to_string())),
                };
                self.wanted = wanted;
                let (outcome, found) = self.look(&source, filter.as_deref());
                self.leaf(&source, outcome, wanted, Found { filter: filter.clone(), ..found })
            }
        }
    }

    fn leaf(&mut self, source: &Source, outcome: Outcome, wanted: bool, found: Found) -> Outcome {
        let Found { candidates, clauses, note, filter, unbound } = found;
        self.leaves.push(Leaf { source: source.clone(), outcome, wanted, candidates, clauses, note, filter, unbound });
        outcome
    }

    fn look(&mut self, source: &Source, filter: Option<&str>) -> Looked {
        match source {
            Source::Object(wanted) => self.object(wanted, filter),
            Source::List(wanted) => self.list(wanted, filter),
            Source::Gone(wanted) => self.gone(wanted),
            Source::History(history) => self.history(history),
            Source::Saw(saw) => self.saw(saw),
            Source::Stream(stream) => self.stream(stream, filter),
            Source::Read(read) => self.read(read, filter),
            Source::Container(container) => self.container(container, filter),
            Source::Log(log) => self.log(log),
            Source::Http(http) => self.http(http, filter),
            Source::Dns(dns) => self.dns(dns, filter),
            Source::Tcp(tcp) => self.tcp(tcp, filter),
            Source::Exec(exec) => self.exec(exec, filter),
            Source::Env(env) => self.env(env, filter),
            Source::File(file) => self.file(file, filter),
            Source::Traffic(traffic) => self.traffic(traffic),
            Source::Answer(answer) => self.answer(answer),
        }
    }
}

/// The first outcome of `order` that occurs, else `otherwise`.
fn strongest(outcomes: &[Outcome], order: &[Outcome], otherwise: Outcome) -> Outcome {
    order.iter().copied().find(|outcome| outcomes.contains(outcome)).unwrap_or(otherwise)
}

#[cfg(test)]
mod tests;
