//! Standings: what an answer means for a check of its mode and past, and when that is news.

use drydock_course::check::{Check, Mode};

use super::lines::{changes, last_change, line};
use super::round::{Seen, View};
use super::{Engine, Round};
use crate::eval::Judgement;
use crate::explain::explain;
use crate::plan::{Plan, Unit};
use crate::reads::Reads;
use crate::verdict::{Outcome, Reason, Verdict};
use crate::world::Point;

impl Engine {
    /// Whether what has become of a check that passed is the lesson's doing: its exercise is done, and what was typed since and can
    /// have changed something, at least one line, belongs to the lesson, as the command of a later exercise that replaces its Pod.
    pub(super) fn is_course(&self, plan: &Plan, unit: &Unit, check: &Check, view: &View<'_>) -> bool {
        let passed = self.progress.standings.get(&check.id).and_then(|standing| standing.passed);
        let Some(passed) = passed.filter(|_| self.progress.done.contains_key(&unit.id)) else { return false };
        let typed = view.world.records_since("commands", passed);
        let mut changing = typed.iter().map(|command| line(command)).filter(|line| changes(line)).peekable();
        changing.peek().is_some() && changing.all(|line| plan.units.iter().any(|unit| unit.has_line(line)))
    }

    /// What an outcome means for a check of this mode and past.
    pub(super) fn stand(&mut self, check: &Check, mode: Mode, holds: Outcome, (seen, course): (&Seen, bool), view: &View<'_>) -> Verdict {
        let judgement = &seen.judgement;
        let here = Point { revision: view.world.revision(), time: view.now };
        // Evidence that cannot go, may not be seen now, or is older than what is known, has not gone when it is not there any more.
        let of_past = |reads: &Reads| reads.past && reads.evidence.iter().any(|kind| !view.world.knows(kind, seen.baseline.revision));
        let lasting = self.reads.get(&check.id).is_some_and(|reads| reads.lasting || of_past(reads)) || self.unseen(check, view).is_some();
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
            _ if latches && standing.passed.is_some() => {
                let lost = holds == Outcome::Fail && !course && !lasting;
                // What has become of it is told in one sentence; nothing has to be done about it.
                let mut why: Vec<String> = Vec::new();
                if lost {
                    why.extend(explain(check, judgement, view.world, seen.baseline).sentences.first().map(|why| why.replace(" yet", "")));
                    // By what is said of the moment it was lost; what is typed later has no part in it.
                    let told = self.verdicts.get(&check.id).filter(|before| before.lost).map(|before| before.why.get(1).cloned());
                    why.extend(told.unwrap_or_else(|| last_change(view.world, standing.passed.unwrap_or(here))));
                }
                Verdict { lost, why, ..blank(check, Outcome::Pass) }
            }
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
                let why = explain(check, judgement, view.world, seen.baseline);
                Verdict { reason: Some(why.reason), evidence: why.evidence, why: why.sentences, look_at: why.look_at, ..blank(check, outcome) }
            }
        }
    }

    /// Keep a verdict and tell when it is news.
    pub(super) fn publish(&mut self, verdict: Verdict, view: &View<'_>, round: &mut Round) {
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

pub(super) fn waiting(check: &Check, text: String) -> Verdict {
    Verdict { reason: Some(Reason::NotYet), why: vec![text], ..blank(check, Outcome::Waiting) }
}

fn broken(check: &Check, judgement: &Judgement) -> Verdict {
    let note = judgement.leaves.iter().find(|leaf| leaf.outcome == Outcome::Error).and_then(|leaf| leaf.note.clone());
    let text = format!("The check `{}` itself is broken, not your work: {}.", check.id, note.unwrap_or_else(|| "it cannot be evaluated".to_owned()));
    Verdict { reason: Some(Reason::Other), why: vec![text], ..blank(check, Outcome::Error) }
}
