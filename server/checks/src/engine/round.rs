//! A round: every check is judged whose evidence has changed since it was judged last.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use drydock_course::check::{Check, Expect, Mode, Scope, Source};
use jiff::{SignedDuration, Timestamp};

use super::standing::waiting;
use super::{Engine, Round, mode_of};
use crate::compile::duration;
use crate::eval::{self, Facts, Judgement};
use crate::plan::{Plan, Unit, UnitKind};
use crate::probe::{Probe, Probes};
use crate::verdict::{Outcome, Reason};
use crate::world::{Point, World};

/// How long the news about a passed check may wait.
pub const REVIEW: Duration = Duration::from_millis(500);

/// What a round looks at.
pub(super) struct View<'a> {
    pub(super) world: &'a World,
    pub(super) probes: &'a Probes,
    pub(super) now: Timestamp,
}

/// How a check was judged last, and on what.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) judgement: Judgement,
    /// Of the world, when it was judged and when it was explained.
    pub(super) serial: u64,
    explained: u64,
    pub(super) baseline: Point,
    names: u64,
    answers: u64,
    at: Timestamp,
}

/// The results of these probes, in short.
fn digest(asked: &[Probe], probes: &Probes) -> u64 {
    let mut hasher = DefaultHasher::new();
    for probe in asked {
        probes.get(probe).hash(&mut hasher);
    }
    hasher.finish()
}

impl Engine {
    /// Judge the checks of a unit that has begun; it is done with the last of them.
    pub(super) fn unit(&mut self, plan: &Plan, place: usize, unit: &Unit, view: &View<'_>, round: &mut Round) {
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
        // What has happened and cannot be mended is told at once, not when everything else is done.
        let too_late = open.is_some() && !latched && is_over(check) && self.look(check, baseline, view).judgement.outcome == Outcome::Fail;
        if let (Some(need), false) = (open, latched)
            && !too_late
        {
            let say = plan.checks().find(|(_, other)| other.id == *need).map_or(need.as_str(), |(_, other)| other.say.as_str());
            return self.publish(waiting(check, format!("First: {say}.")), view, round);
        }
        let mode = mode_of(unit, check);
        if latched && mode != Mode::Level && !self.is_worth_a_look(check, mode, baseline, view, round) {
            return;
        }
        if let Some(kind) = self.unseen(check, view).filter(|_| !latched || mode == Mode::Level) {
            self.true_since.remove(&check.id);
            // What is green stays so: nobody sees that it has changed.
            if latched && self.verdicts.get(&check.id).is_some_and(|verdict| verdict.verdict == Outcome::Pass) {
                return;
            }
            return self.publish(waiting(check, format!("On your cluster the user of --kubeconfig may not list objects of kind {kind}.")), view, round);
        }
        let mut seen = match self.seen.remove(&check.id) {
            Some(seen) if !self.is_stale(check, &seen, baseline, view) => seen,
            _ => self.look(check, baseline, view),
        };
        let begun = self.is_tried(plan, unit);
        let news = (begun && self.verdicts.get(&check.id).is_some_and(|verdict| verdict.verdict == Outcome::Waiting)) || view.world.touched(&self.explained).max(seen.serial) > seen.explained || self.true_since.contains_key(&check.id) || !self.verdicts.contains_key(&check.id);
        if news {
            seen.explained = view.world.serial();
            let holds = self.holds(check, &seen.judgement, view.now, round);
            let course = self.is_course(plan, unit, check, view);
            let verdict = self.stand(check, mode, holds, (&seen, course), view);
            // What the lesson left behind is no wrong answer to a lab that nobody has begun.
            let verdict = if verdict.verdict == Outcome::Fail && verdict.reason != Some(Reason::NotYet) && !begun {
                waiting(check, format!("This begins with your first command in the directory `{}`.", unit.id))
            } else {
                verdict
            };
            if verdict.verdict == Outcome::Pass && !verdict.lost {
                self.bind(check, &seen.judgement);
            }
            self.publish(verdict, view, round);
        }
        let passed = self.verdicts.get(&check.id).is_some_and(|verdict| verdict.verdict == Outcome::Pass);
        if (!passed || mode == Mode::Level) && self.is_begun(plan, unit) {
            for probe in &seen.judgement.probes {
                round.probes.entry(probe.clone()).or_default().extend(check.triggers.iter().cloned());
            }
        }
        self.seen.insert(check.id.clone(), seen);
    }

    /// A kind that a check is judged by and that may not be seen.
    pub(super) fn unseen(&self, check: &Check, view: &View<'_>) -> Option<String> {
        let evidence = &self.reads.get(&check.id)?.evidence;
        view.world.unseen().intersection(evidence).next().cloned()
    }

    /// Whether anything a check reads has changed since it was judged.
    fn is_stale(&self, check: &Check, seen: &Seen, baseline: Point, view: &View<'_>) -> bool {
        let touched = self.reads.get(&check.id).map_or(u64::MAX, |reads| view.world.touched(&reads.names));
        touched > seen.serial || seen.baseline != baseline || seen.names != self.names_version || seen.answers != digest(&seen.judgement.probes, view.probes)
    }

    /// Whether a check that has passed must be looked at: never when it passed for good, and not now when there is no time.
    fn is_worth_a_look(&self, check: &Check, mode: Mode, baseline: Point, view: &View<'_>, round: &mut Round) -> bool {
        if !self.verdicts.contains_key(&check.id) {
            return true;
        }
        if mode == Mode::Never || self.reads.get(&check.id).is_some_and(|reads| reads.lasting) {
            return false;
        }
        let Some(seen) = self.seen.get(&check.id) else { return true };
        if !self.is_stale(check, seen, baseline, view) {
            return false;
        }
        let due = seen.at.checked_add(SignedDuration::try_from(REVIEW).unwrap_or_default()).unwrap_or(Timestamp::MAX);
        if view.now >= due {
            return true;
        }
        round.deadline = Some(round.deadline.map_or(due, |other| other.min(due)));
        false
    }

    fn look(&mut self, check: &Check, baseline: Point, view: &View<'_>) -> Seen {
        let facts = Facts { world: view.world, probes: view.probes, baseline, names: &self.names, library: &self.library };
        let judgement = eval::check(check, &facts, self.memos.entry(check.id.clone()).or_default());
        let answers = digest(&judgement.probes, view.probes);
        Seen { judgement, serial: view.world.serial(), explained: 0, baseline, names: self.names_version, answers, at: view.now }
    }

    /// Keep what a passed check binds for later ones.
    fn bind(&mut self, check: &Check, judgement: &Judgement) {
        let mut changed = false;
        for (name, value) in &judgement.names {
            let kept = check.bindings.get(name).is_some_and(|binding| binding.scope != Scope::Block);
            if kept && self.progress.names.get(name) != Some(value) {
                self.progress.names.insert(name.clone(), value.clone());
                changed = true;
            }
        }
        if changed {
            self.rename();
        }
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
}

/// Whether a check wants that something never happened: once it has, nothing makes it true again.
fn is_over(check: &Check) -> bool {
    matches!(&check.expect, Expect::One { source, .. } if matches!(&**source, Source::History(history) if history.count.as_deref().is_some_and(|count| count.replace(' ', "") == "==0")))
}
