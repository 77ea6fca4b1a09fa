//! Windows, baselines and latches of one chapter: what turns answers into progress. Pure.
//!
//! 1. A chapter's window opens when it is opened first or reset. An exercise's **baseline** is the point at which the exercise before it
//!    was done or its own first command ran, whichever is earlier; without one it waits ([`window`]).
//! 2. A typed command opens the first exercise, not done yet, that has it among its blocks ([`hear`]): a learner who runs ahead is never
//!    told no. One that could belong to another exercise just as well opens nothing, and one that failed and did nothing does not count
//!    as its beginning ([`lines`] tells which commands do something).
//! 3. A check is judged again when something it reads has changed ([`round`], [`Reads`]). One that has passed for good is left alone; one
//!    that may be lost again is looked at when there is time ([`REVIEW`]), so that the open ones never wait for it.
//! 4. What an answer means for a check that latches, or must first be false, or must never be true: [`standing`].
//! 5. A [`Progress`] is everything that must survive a restart; the rest follows from the evidence.

mod hear;
mod lines;
mod round;
mod standing;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use drydock_cel::Bindings;
use drydock_course::check::{Check, Expect, Mode, Scope, Source};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::round::REVIEW;
use self::round::{Seen, View};
use crate::compile::{CompileError, Library};
use crate::eval::Memo;
use crate::plan::{Plan, Unit, UnitKind};
use crate::probe::{Probe, Probes};
use crate::reads::{EXPLAINED, Reads};
use crate::verdict::{Outcome, Verdict};
use crate::world::{Point, World};

/// What survives a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Start of the chapter's window.
    pub opened: Option<Point>,
    /// First command of each unit that ran.
    pub runs: BTreeMap<String, Point>,
    /// Units that are done, and since when.
    pub done: BTreeMap<String, Point>,
    /// Typed commands up to here have been looked at.
    pub heard: Option<Point>,
    /// Checks by id.
    pub standings: BTreeMap<String, Standing>,
    /// Names bound for later blocks.
    pub names: Bindings,
    /// Answers by question.
    pub answers: BTreeMap<String, String>,
    /// Hints looked at, by check.
    pub hints: BTreeMap<String, usize>,
    /// Units that were taken back, and when: nothing before counts for them.
    pub floors: BTreeMap<String, Point>,
}

/// What is remembered of a check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// When it was passed (for `never`: when it came true).
    pub passed: Option<Point>,
    /// It has been seen false after its baseline.
    pub seen_false: bool,
}

/// What a round of judging brought.
#[derive(Debug, Default)]
pub struct Round {
    /// Verdicts that differ from the ones before.
    pub changed: Vec<Verdict>,
    /// Probes that checks not passed yet would like to have, with the kinds their checks name as triggers.
    pub probes: BTreeMap<Probe, BTreeSet<String>>,
    /// When to judge again even if nothing happens.
    pub deadline: Option<Timestamp>,
    /// [`Engine::progress`] differs from before.
    pub progressed: bool,
}

/// One chapter being judged.
#[derive(Debug)]
pub struct Engine {
    plan: Plan,
    library: Library,
    progress: Progress,
    verdicts: BTreeMap<String, Verdict>,
    /// Since when a check that must be stable has been true.
    true_since: BTreeMap<String, Timestamp>,
    /// What each check reads.
    reads: BTreeMap<String, Reads>,
    explained: BTreeSet<String>,
    /// How each check was judged last.
    seen: BTreeMap<String, Seen>,
    memos: BTreeMap<String, Memo>,
    /// All names that are bound, and how often that changed.
    names: Bindings,
    names_version: u64,
}

impl Engine {
    /// Judge a chapter from where its learner left it.
    ///
    /// # Errors
    /// When an expression or pattern of a check does not parse.
    pub fn new(plan: Plan, progress: Progress) -> Result<Engine, CompileError> {
        let library = Library::of(plan.checks().map(|(_, check)| check))?;
        let mut reads = BTreeMap::new();
        for (place, check) in plan.checks() {
            let mut own = Reads::of(check);
            own.lasting &= mode_of(&plan.units[place], check) != Mode::Level;
            reads.insert(check.id.clone(), own);
        }
        let mut engine = Engine {
            plan,
            library,
            progress,
            verdicts: BTreeMap::new(),
            true_since: BTreeMap::new(),
            reads,
            explained: EXPLAINED.map(str::to_owned).into_iter().chain(["streams", "commands"].map(str::to_owned)).collect(),
            seen: BTreeMap::new(),
            memos: BTreeMap::new(),
            names: Bindings::new(),
            names_version: 0,
        };
        engine.rename();
        Ok(engine)
    }

    /// The names that are bound have changed.
    fn rename(&mut self) {
        self.names = self.plan.names.clone();
        self.names.extend(self.progress.names.clone());
        self.names_version += 1;
    }

    /// What is judged.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What to keep.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The newest verdict of every check judged so far.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.values()
    }

    /// The newest verdict of one check.
    pub fn verdict(&self, check: &str) -> Option<&Verdict> {
        self.verdicts.get(check)
    }

    /// Begin anew: a new window, nothing passed, nothing answered.
    pub fn reset(&mut self, now: Point) {
        self.progress = Progress { opened: Some(now), heard: Some(now), ..Progress::default() };
        self.verdicts.clear();
        self.true_since.clear();
        self.seen.clear();
        self.memos.clear();
        self.rename();
    }

    /// The cluster is as it was at `to` again: whatever was passed since is open, and nothing before `now` counts for it. All of `unit` is
    /// taken back, its answers too. Returns the checks that are open again.
    pub fn rewind(&mut self, to: Point, now: Point, unit: Option<&str>) -> Vec<String> {
        let progress = &mut self.progress;
        let mut open = Vec::new();
        for taken in &self.plan.units {
            let since = |check: &&Check| progress.standings.get(&check.id).and_then(|standing| standing.passed).is_some_and(|passed| passed > to);
            let whole = unit == Some(taken.id.as_str());
            let back: Vec<&Check> = taken.checks.iter().filter(|check| whole || since(check)).collect();
            if whole || progress.runs.get(&taken.id).is_some_and(|run| *run > to) {
                progress.runs.remove(&taken.id);
            }
            if back.is_empty() {
                continue;
            }
            progress.done.remove(&taken.id);
            progress.floors.insert(taken.id.clone(), now);
            for check in back {
                progress.standings.remove(&check.id);
                progress.names.retain(|name, _| check.bindings.get(name).is_none_or(|binding| binding.scope == Scope::Block));
                if unit.is_some() {
                    progress.answers.retain(|ask, _| !wants_answer(&check.expect, ask));
                    progress.hints.remove(&check.id);
                }
                self.verdicts.remove(&check.id);
                open.push(check.id.clone());
            }
        }
        progress.heard = Some(now);
        self.true_since.clear();
        self.seen.clear();
        self.memos.clear();
        self.rename();
        open
    }

    /// A run block, or a lab, was started from the page. Returns false when the chapter has none of this id.
    pub fn ran(&mut self, block: &str, now: Point) -> bool {
        let Some(unit) = self.plan.units.iter().find(|unit| unit.id == block || unit.blocks.iter().any(|known| known.id == block)) else {
            return false;
        };
        self.progress.runs.entry(unit.id.clone()).or_insert(now);
        true
    }

    /// The learner answered a question.
    pub fn answer(&mut self, ask: &str, text: &str) {
        self.progress.answers.insert(ask.to_owned(), text.to_owned());
    }

    /// The learner looked at a hint; of a check that is passed there is none to look at.
    pub fn hint_used(&mut self, check: &str, number: usize) {
        if self.verdicts.get(check).is_some_and(|verdict| verdict.verdict == Outcome::Pass) {
            return;
        }
        let used = self.progress.hints.entry(check.to_owned()).or_default();
        *used = (*used).max(number);
    }

    /// Judge every check.
    pub fn judge(&mut self, world: &World, probes: &Probes, now: Timestamp) -> Round {
        let before = self.progress.clone();
        let mut round = Round::default();
        self.hear(world);
        let plan = std::mem::take(&mut self.plan);
        for (place, unit) in plan.units.iter().enumerate() {
            self.unit(&plan, place, unit, &View { world, probes, now }, &mut round);
        }
        self.plan = plan;
        round.progressed = self.progress != before;
        round
    }
}

/// Whether a question is about this answer: it is right or wrong by it.
pub(crate) fn wants_answer(expect: &Expect, ask: &str) -> bool {
    match expect {
        Expect::All(branches) | Expect::Any(branches) => branches.iter().any(|branch| wants_answer(branch, ask)),
        Expect::Not(branch) => wants_answer(branch, ask),
        Expect::One { source, .. } => matches!(&**source, Source::Answer(answer) if answer.ask == ask && answer.equals.is_some()),
    }
}

/// When a check counts: exercises latch, labs do not.
fn mode_of(unit: &Unit, check: &Check) -> Mode {
    check.mode.unwrap_or(if unit.kind == UnitKind::Lab { Mode::Level } else { Mode::Latch })
}

#[cfg(test)]
mod tests;
