//! Windows, baselines and latches of one chapter: what turns answers into progress. Pure.
//!
//! 1. A chapter's window opens when it is opened first or reset. An exercise's **baseline** is the point at which the exercise before it
//!    was done or its own first command ran, whichever is earlier; without one it waits.
//! 2. A typed command opens the first exercise, not done yet, that has it among its blocks: a learner who runs ahead is never told no. One
//!    that could belong to another exercise just as well opens nothing.
//! 3. A [`Progress`] is everything that must survive a restart; the rest follows from the evidence.

use std::collections::{BTreeMap, BTreeSet};

use drydock_cel::Bindings;
use drydock_course::check::{Check, Mode, Scope};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::compile::{CompileError, Library, duration};
use crate::eval::{self, Facts, Judgement};
use crate::explain::explain;
use crate::plan::{Plan, Unit, UnitKind};
use crate::probe::{Probe, Probes};
use crate::verdict::{Outcome, Reason, Verdict};
use crate::world::{Point, World, point_of};

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
    /// Probes that checks not passed yet would like to have.
    pub probes: BTreeSet<Probe>,
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
}

impl Engine {
    /// Judge a chapter from where its learner left it.
    ///
    /// # Errors
    /// When an expression or pattern of a check does not parse.
    pub fn new(plan: Plan, progress: Progress) -> Result<Engine, CompileError> {
        let library = Library::of(plan.checks().map(|(_, check)| check))?;
        Ok(Engine { plan, library, progress, verdicts: BTreeMap::new(), true_since: BTreeMap::new() })
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

    /// Open the chapter's window, unless it is open.
    pub fn open(&mut self, now: Point) {
        self.progress.opened.get_or_insert(now);
    }

    /// Begin anew: a new window, nothing passed, nothing answered.
    pub fn reset(&mut self, now: Point) {
        self.progress = Progress { opened: Some(now), heard: Some(now), ..Progress::default() };
        self.verdicts.clear();
        self.true_since.clear();
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

    /// The learner looked at a hint.
    pub fn hint_used(&mut self, check: &str, number: usize) {
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

    /// Give typed commands to the exercises they belong to.
    fn hear(&mut self, world: &World) {
        let since = self.progress.heard.or(self.progress.opened).unwrap_or(Point::START);
        for command in world.records_since("commands", since) {
            let point = point_of(command);
            if self.progress.heard.is_some_and(|heard| point <= heard) {
                continue;
            }
            let typed = command["spec"]["line"].as_str().unwrap_or_default();
            if let Some(unit) = self.begins(typed) {
                let first = self.progress.runs.entry(unit).or_insert(point);
                *first = (*first).min(point);
            }
            self.progress.heard = Some(point);
        }
    }

    /// The unit a typed line begins. A line that several have, as a look at the Pods, begins the first that is not done; but not when it
    /// may as well be repeated from one that is done, and not when it only looks: the window would open too early.
    fn begins(&self, typed: &str) -> Option<String> {
        let done = |unit: &&Unit| self.progress.done.contains_key(&unit.id);
        let having: Vec<&Unit> = self.plan.units.iter().filter(|unit| unit.has_line(typed)).collect();
        let first = having.iter().find(|unit| !done(unit))?;
        let certain = having.len() == 1 || !(having.iter().any(done) || only_looks(typed));
        certain.then(|| first.id.clone())
    }

    /// Since when evidence counts for a unit; `None` while nothing says so.
    fn baseline(&self, plan: &Plan, place: usize) -> Option<Point> {
        let opened = self.progress.opened?;
        let unit = &plan.units[place];
        let run = self.progress.runs.get(&unit.id).copied();
        if unit.kind == UnitKind::Lab {
            return Some(run.unwrap_or(opened));
        }
        let before = plan.units[..place].iter().rev().find(|unit| unit.kind == UnitKind::Exercise && !unit.checks.is_empty());
        let ready = match before {
            Some(before) => self.progress.done.get(&before.id).copied(),
            None => Some(opened),
        };
        [ready, run].into_iter().flatten().min()
    }

    fn unit(&mut self, plan: &Plan, place: usize, unit: &Unit, view: &View<'_>, round: &mut Round) {
        let Some(baseline) = self.baseline(plan, place) else {
            let before = plan.units[..place].iter().rev().find(|unit| unit.kind == UnitKind::Exercise);
            for check in &unit.checks {
                let text = match before {
                    Some(before) => format!("This begins when “{}” is done, or when you run its first command.", before.title),
                    None => "This begins when the chapter is opened.".to_owned(),
                };
                self.publish(waiting(check, text), view, round);
            }
            return;
        };
        for check in &unit.checks {
            self.check(plan, unit, check, baseline, view, round);
        }
        let counted = || unit.checks.iter().filter(|check| !check.optional);
        let passed = |check: &Check| self.verdicts.get(&check.id).is_some_and(|verdict| verdict.verdict == Outcome::Pass);
        if counted().next().is_some() && counted().all(passed) && !self.progress.done.contains_key(&unit.id) {
            self.progress.done.insert(unit.id.clone(), Point { revision: view.world.revision(), time: view.now });
        }
    }

    fn check(&mut self, plan: &Plan, unit: &Unit, check: &Check, baseline: Point, view: &View<'_>, round: &mut Round) {
        let open = check.needs.iter().find(|need| !self.verdicts.get(*need).is_some_and(|verdict| verdict.verdict == Outcome::Pass));
        let latched = self.progress.standings.get(&check.id).is_some_and(|standing| standing.passed.is_some());
        if let (Some(need), false) = (open, latched) {
            let say = plan.checks().find(|(_, other)| other.id == *need).map_or(need.as_str(), |(_, other)| other.say.as_str());
            return self.publish(waiting(check, format!("First: {say}.")), view, round);
        }
        let mut names = plan.names.clone();
        names.extend(self.progress.names.clone());
        let facts = Facts { world: view.world, probes: view.probes, baseline, names: &names, library: &self.library };
        let judgement = eval::check(check, &facts);
        let mode = check.mode.unwrap_or(if unit.kind == UnitKind::Lab { Mode::Level } else { Mode::Latch });
        let holds = self.holds(check, &judgement, view.now, round);
        let verdict = self.stand(check, mode, holds, &judgement, view);
        if verdict.verdict != Outcome::Pass || mode == Mode::Level {
            round.probes.extend(judgement.probes.iter().cloned());
        }
        if verdict.verdict == Outcome::Pass && !verdict.lost {
            for (name, value) in &judgement.names {
                if check.bindings.get(name).is_some_and(|binding| binding.scope != Scope::Block) {
                    self.progress.names.insert(name.clone(), value.clone());
                }
            }
        }
        self.publish(verdict, view, round);
    }

    /// The outcome, once it has been so for as long as the check wants.
    fn holds(&mut self, check: &Check, judgement: &Judgement, now: Timestamp, round: &mut Round) -> Outcome {
        let wanted = check.stable.as_deref().and_then(duration).and_then(|wanted| SignedDuration::try_from(wanted).ok());
        if judgement.outcome != Outcome::Pass {
            self.true_since.remove(&check.id);
            return judgement.outcome;
        }
        let Some(wanted) = wanted else { return Outcome::Pass };
        let since = *self.true_since.entry(check.id.clone()).or_insert(now);
        let due = since.checked_add(wanted).unwrap_or(Timestamp::MAX);
        if now >= due {
            return Outcome::Pass;
        }
        round.deadline = Some(round.deadline.map_or(due, |other| other.min(due)));
        Outcome::Waiting
    }

    /// What an outcome means for a check of this mode and past.
    fn stand(&mut self, check: &Check, mode: Mode, holds: Outcome, judgement: &Judgement, view: &View<'_>) -> Verdict {
        let here = Point { revision: view.world.revision(), time: view.now };
        let standing = self.progress.standings.entry(check.id.clone()).or_default();
        standing.seen_false |= holds == Outcome::Fail;
        if mode == Mode::Never {
            if holds == Outcome::Pass {
                standing.passed.get_or_insert(here);
            }
            return match standing.passed {
                None if holds == Outcome::Error => broken(check, judgement),
                None => blank(check, Outcome::Pass),
                Some(_) => {
                    let why = vec!["It has happened: this attempt has failed.".to_owned(), "Go back to just before and try another way.".to_owned()];
                    Verdict { reason: Some(Reason::Other), why, ..blank(check, Outcome::Fail) }
                }
            };
        }
        let early = mode == Mode::Edge && !standing.seen_false;
        if holds == Outcome::Pass && !early {
            standing.passed.get_or_insert(here);
        }
        let latches = mode != Mode::Level;
        match holds {
            _ if latches && standing.passed.is_some() => Verdict { lost: holds == Outcome::Fail, ..blank(check, Outcome::Pass) },
            Outcome::Pass if early => {
                let why = vec!["It is so already; it has to stop being so first.".to_owned()];
                Verdict { reason: Some(Reason::NotYet), why, ..blank(check, Outcome::Fail) }
            }
            Outcome::Pass => blank(check, Outcome::Pass),
            Outcome::Error => broken(check, judgement),
            Outcome::Waiting if judgement.outcome == Outcome::Pass => {
                waiting(check, format!("It is so; it counts when it stays so for {}.", check.stable.as_deref().unwrap_or("a moment")))
            }
            outcome => {
                let why = explain(check, judgement, view.world);
                Verdict { reason: Some(why.reason), evidence: why.evidence, why: why.sentences, look_at: why.look_at, ..blank(check, outcome) }
            }
        }
    }

    /// Keep a verdict and tell when it is news.
    fn publish(&mut self, verdict: Verdict, view: &View<'_>, round: &mut Round) {
        let before = self.verdicts.get(&verdict.check);
        let same = before.is_some_and(|before| before.verdict == verdict.verdict && before.lost == verdict.lost);
        let passed = self.progress.standings.get(&verdict.check).and_then(|standing| standing.passed).filter(|_| verdict.verdict == Outcome::Pass && !verdict.lost);
        let (since_revision, since) = match (before.filter(|_| same), passed) {
            (Some(before), _) => (before.since_revision, before.since.clone()),
            (None, Some(point)) => (point.revision, point.time.to_string()),
            (None, None) => (view.world.revision(), view.now.to_string()),
        };
        let verdict = Verdict { since_revision, since, ..verdict };
        if before != Some(&verdict) {
            self.verdicts.insert(verdict.check.clone(), verdict.clone());
            round.changed.push(verdict);
        }
    }
}

/// Whether a command changes nothing, so that it may be typed at any time.
fn only_looks(typed: &str) -> bool {
    let mut words = typed.split_whitespace();
    match (words.next(), words.next()) {
        (Some("kubectl"), Some(verb)) => ["get", "describe", "logs", "explain", "wait"].contains(&verb),
        (Some(program), _) => ["cd", "ls", "cat"].contains(&program),
        (None, _) => true,
    }
}

/// What a round looks at.
struct View<'a> {
    world: &'a World,
    probes: &'a Probes,
    now: Timestamp,
}

fn blank(check: &Check, verdict: Outcome) -> Verdict {
    Verdict {
        check: check.id.clone(),
        verdict,
        since_revision: 0,
        since: String::new(),
        lost: false,
        reason: None,
        evidence: Vec::new(),
        why: Vec::new(),
        look_at: Vec::new(),
    }
}

fn waiting(check: &Check, text: String) -> Verdict {
    Verdict { reason: Some(Reason::NotYet), why: vec![text], ..blank(check, Outcome::Waiting) }
}

fn broken(check: &Check, judgement: &Judgement) -> Verdict {
    let note = judgement.leaves.iter().find(|leaf| leaf.outcome == Outcome::Error).and_then(|leaf| leaf.note.clone());
    let text = format!("This check itself is broken, not your work: {}.", note.unwrap_or_else(|| "it cannot be evaluated".to_owned()));
    Verdict { reason: Some(Reason::Other), why: vec![text], ..blank(check, Outcome::Error) }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
