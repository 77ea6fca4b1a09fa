//! Windows, baselines and latches of one chapter: what turns answers into progress. Pure.
//!
//! 1. A chapter's window opens when it is opened first or reset. An exercise's **baseline** is the point at which the exercise before it
//!    was done or its own first command ran, whichever is earlier; without one it waits.
//! 2. A typed command opens the first exercise, not done yet, that has it among its blocks: a learner who runs ahead is never told no. One
//!    that could belong to another exercise just as well opens nothing, and one that failed and did nothing does not count as its beginning.
//! 3. A [`Progress`] is everything that must survive a restart; the rest follows from the evidence.
//! 4. A check is judged again when something it reads has changed ([`Reads`]). One that has passed for good is left alone; one that may
//!    be lost again is looked at when there is time ([`REVIEW`]), so that the open ones never wait for it.

mod hear;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use drydock_cel::Bindings;
use drydock_course::check::{Check, Expect, Mode, Scope, Source};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::compile::{CompileError, Library, duration};
use crate::eval::{self, Facts, Judgement, Memo};
use crate::explain::explain;
use crate::plan::{Plan, Unit, UnitKind};
use crate::probe::{Probe, Probes};
use crate::reads::{EXPLAINED, Reads};
use crate::verdict::{Outcome, Reason, Verdict};
use crate::world::{Point, World};

/// How long the news about a passed check may wait.
pub const REVIEW: Duration = Duration::from_millis(500);

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

/// How a check was judged last, and on what.
#[derive(Debug)]
struct Seen {
    judgement: Judgement,
    /// Of the world, when it was judged and when it was explained.
    serial: u64,
    explained: u64,
    baseline: Point,
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
            explained: EXPLAINED.map(str::to_owned).into_iter().chain(["streams".to_owned()]).collect(),
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

    /// Open the chapter's window, unless it is open.
    pub fn open(&mut self, now: Point) {
        self.progress.opened.get_or_insert(now);
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

    /// Since when evidence counts for a unit; `None` while nothing says so.
    fn baseline(&self, plan: &Plan, place: usize) -> Option<Point> {
        let opened = self.progress.opened?;
        let unit = &plan.units[place];
        let run = self.progress.runs.get(&unit.id).copied();
        let floor = self.progress.floors.get(&unit.id).copied().unwrap_or(Point::START);
        if unit.kind == UnitKind::Lab {
            return Some(run.unwrap_or(opened).max(floor));
        }
        let before = plan.units[..place].iter().rev().find(|unit| unit.kind == UnitKind::Exercise && !unit.checks.is_empty());
        let ready = match before {
            Some(before) => self.progress.done.get(&before.id).copied(),
            None => Some(opened),
        };
        Some([ready, run].into_iter().flatten().min()?.max(floor))
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
    fn unseen(&self, check: &Check, view: &View<'_>) -> Option<String> {
        let evidence = &self.reads.get(&check.id)?.evidence;
        view.world.unseen().intersection(evidence).next().cloned()
    }

    /// Whether requests are made for a unit: a lab is left alone until it was started or the lesson is done.
    fn is_begun(&self, plan: &Plan, unit: &Unit) -> bool {
        let done = |unit: &Unit| self.progress.done.contains_key(&unit.id);
        let mut lesson = plan.units.iter().filter(|unit| unit.kind == UnitKind::Exercise && !unit.checks.is_empty());
        unit.kind != UnitKind::Lab || self.progress.runs.contains_key(&unit.id) || lesson.all(done)
    }

    /// Whether what is not so may be called wrong. Of a lab: it was begun, or the lesson is done and nothing was run since, as a drill, of
    /// which it would be; and what putting it back set in motion is no answer to it.
    fn is_tried(&self, plan: &Plan, unit: &Unit) -> bool {
        if unit.kind != UnitKind::Lab || self.progress.runs.contains_key(&unit.id) {
            return true;
        }
        let lesson = plan.units.iter().filter(|unit| unit.kind == UnitKind::Exercise && !unit.checks.is_empty());
        let Some(done) = lesson.map(|unit| self.progress.done.get(&unit.id).copied()).collect::<Option<Vec<Point>>>() else { return false };
        let since = done.into_iter().max();
        !self.progress.floors.contains_key(&unit.id) && !self.progress.runs.values().any(|run| Some(*run) > since)
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

    /// Whether what has become of a check that passed is the lesson's doing: its exercise is done, and what was typed since and can
    /// have changed something, at least one line, belongs to the lesson, as the command of a later exercise that replaces its Pod.
    fn is_course(&self, plan: &Plan, unit: &Unit, check: &Check, view: &View<'_>) -> bool {
        let passed = self.progress.standings.get(&check.id).and_then(|standing| standing.passed);
        let Some(passed) = passed.filter(|_| self.progress.done.contains_key(&unit.id)) else { return false };
        let typed = view.world.records_since("commands", passed);
        let mut changing = typed.iter().filter_map(|command| command["spec"]["line"].as_str()).filter(|line| changes(line)).peekable();
        changing.peek().is_some() && changing.all(|line| plan.units.iter().any(|unit| unit.has_line(line)))
    }

    /// What an outcome means for a check of this mode and past.
    fn stand(&mut self, check: &Check, mode: Mode, holds: Outcome, (seen, course): (&Seen, bool), view: &View<'_>) -> Verdict {
        let judgement = &seen.judgement;
        let here = Point { revision: view.world.revision(), time: view.now };
        // Evidence that cannot go, or may not be seen now, has not gone when it is not there any more.
        let lasting = self.reads.get(&check.id).is_some_and(|reads| reads.lasting) || self.unseen(check, view).is_some();
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

/// Whether a check wants that something never happened: once it has, nothing makes it true again.
fn is_over(check: &Check) -> bool {
    matches!(&check.expect, Expect::One { source, .. } if matches!(&**source, Source::History(history) if history.count.as_deref().is_some_and(|count| count.replace(' ', "") == "==0")))
}

/// The command that was typed last after a moment and can have changed something, in a sentence.
fn last_change(world: &World, since: Point) -> Option<String> {
    let commands = world.records_since("commands", since);
    let line = commands.iter().rev().filter_map(|command| command["spec"]["line"].as_str()).find(|line| changes(line))?;
    Some(format!("Since `{}`.", line.lines().next().unwrap_or_default().replace('`', "'")))
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

/// Words of commands that change a cluster.
const CHANGES: [&str; 20] = [
    "annotate", "apply", "cordon", "create", "delete", "drain", "edit", "exec", "expose", "kill", "label", "patch", "replace", "rm", "rollout", "run", "scale", "set", "stop",
    "taint",
];

/// Whether a typed line can have changed the cluster.
fn changes(line: &str) -> bool {
    line.split_whitespace().any(|word| CHANGES.contains(&word))
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
