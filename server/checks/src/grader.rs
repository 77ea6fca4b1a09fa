//! The grader at work: one task that takes in news, judges, asks probes and tells what has changed.
//!
//! * One chapter is judged at a time, the one that is open; verdicts of the others are the ones it had when it was closed.
//! * Progress is written before it is told: what was shown as green is green after kill -9.
//! * A probe is asked again only when something that concerns it changed, at most [`TRIES`] times for one change. Logs of running
//!   containers and traffic go on for as long as an open check wants them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot, watch as state};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::clients::Clients;
use crate::compile::CompileError;
use crate::engine::{Engine, Progress, wants_answer};
use crate::foreign;
use crate::plan::Plan;
use crate::probe::{Probe, Prober, Probes};
use crate::reads::{COLLECTIONS, Reads};
use crate::trigger::News;
use crate::verdict::{Outcome, Verdict};
use crate::watch::{self, Update};
use crate::world::{Point, World};

/// Pauses before each try of a probe, from the change that triggered it: 5 tries in 5 seconds.
pub const TRIES: [Duration; 5] = [Duration::ZERO, Duration::from_millis(200), Duration::from_millis(600), Duration::from_millis(1200), Duration::from_millis(2500)];
/// How soon a probe may be asked again, however much happens.
const REST: Duration = Duration::from_millis(200);
/// Verdicts a slow listener may lag behind.
const BACKLOG: usize = 1024;

/// What becomes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Right or wrong; `None` when no check wants a certain answer.
    pub correct: Option<bool>,
    /// Why not, when a check says so.
    pub because: Option<String>,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum GraderError {
    /// A chapter's checks do not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Progress cannot be read or written.
    #[error("progress at {path}: {source}")]
    Progress {
        /// File.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No chapter or check of this name.
    #[error("there is no {0}")]
    Unknown(String),
    /// The grader's task has ended.
    #[error("the grader has stopped")]
    Stopped,
}

/// A handle on the grader; clones share it. The grader ends with the last one.
#[derive(Clone)]
pub struct Grader {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
}

struct Shared {
    current: Mutex<BTreeMap<String, Verdict>>,
    news: broadcast::Sender<Verdict>,
    trouble: state::Sender<Option<String>>,
}

enum Order {
    Open(String),
    Ran(String, String),
    Hint(String, usize),
    Answer(String, String, oneshot::Sender<Answered>),
    CheckNow(String, oneshot::Sender<Option<Verdict>>),
    Reset(String, oneshot::Sender<Result<(), GraderError>>),
    Rewind(Point, Option<(String, String)>, oneshot::Sender<Result<Vec<String>, GraderError>>),
}

/// What is kept of a chapter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    progress: Progress,
    verdicts: Vec<Verdict>,
}

impl Grader {
    /// Start judging these chapters with the cluster behind these clients, whose user must not be the learner's. Progress is kept below
    /// `directory`, a file for each chapter.
    ///
    /// # Errors
    /// When a check does not compile or progress cannot be read.
    pub fn start(clients: impl Into<Clients>, plans: Vec<Plan>, directory: &Path) -> Result<Grader, GraderError> {
        let keeper = Keeper { directory: directory.to_owned() };
        std::fs::create_dir_all(directory).map_err(|source| GraderError::Progress { path: directory.to_owned(), source })?;
        let mut current = BTreeMap::new();
        for plan in &plans {
            Engine::new(plan.clone(), Progress::default())?;
            let known: BTreeSet<&str> = plan.checks().map(|(_, check)| check.id.as_str()).collect();
            let kept = keeper.read(&plan.chapter)?;
            current.extend(kept.verdicts.into_iter().filter(|v| known.contains(v.check.as_str())).map(|v| (v.check.clone(), v)));
        }
        let (orders, taken) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { current: Mutex::new(current), news: broadcast::channel(BACKLOG).0, trouble: state::Sender::new(None) });
        let plans = plans.into_iter().map(|plan| (plan.chapter.clone(), plan)).collect();
        let clients = clients.into();
        let task = Task { prober: Prober::new(clients.clone()), clients, plans, keeper, shared: Arc::clone(&shared), open: None, unkept: None };
        tokio::spawn(task.run(taken));
        Ok(Grader { orders, shared })
    }

    /// The newest verdict of every check that was ever judged.
    pub fn current(&self) -> Vec<Verdict> {
        self.shared.lock().values().cloned().collect()
    }

    /// Verdicts as they change.
    pub fn subscribe(&self) -> broadcast::Receiver<Verdict> {
        self.shared.news.subscribe()
    }

    /// What is wrong, in a sentence: progress is not kept, or a cluster that is not ours does not answer. For a banner.
    pub fn trouble(&self) -> state::Receiver<Option<String>> {
        self.shared.trouble.subscribe()
    }

    /// The learner opened a chapter: judge it.
    pub fn open(&self, chapter: &str) {
        self.order(Order::Open(chapter.to_owned()));
    }

    /// The learner ran a block, or started a lab, from the page.
    pub fn ran(&self, chapter: &str, block: &str) {
        self.order(Order::Ran(chapter.to_owned(), block.to_owned()));
    }

    /// The learner looked at a hint.
    pub fn hint_used(&self, check: &str, number: usize) {
        self.order(Order::Hint(check.to_owned(), number));
    }

    /// The learner answered a question of the open chapter.
    ///
    /// # Errors
    /// When the grader has stopped.
    pub async fn answer(&self, ask: &str, text: &str) -> Result<Answered, GraderError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Answer(ask.to_owned(), text.to_owned(), reply));
        answer.await.map_err(|_| GraderError::Stopped)
    }

    /// Judge a check of the open chapter now, its probes asked anew.
    ///
    /// # Errors
    /// When the open chapter has no such check.
    pub async fn check_now(&self, check: &str) -> Result<Verdict, GraderError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::CheckNow(check.to_owned(), reply));
        let verdict = answer.await.map_err(|_| GraderError::Stopped)?;
        verdict.ok_or_else(|| GraderError::Unknown(format!("check {check} in the open chapter")))
    }

    /// Begin a chapter anew: its progress is forgotten, its window opens now. Reset the cluster first.
    ///
    /// # Errors
    /// When there is no such chapter or progress cannot be written.
    pub async fn reset(&self, chapter: &str) -> Result<(), GraderError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Reset(chapter.to_owned(), reply));
        answer.await.map_err(|_| GraderError::Stopped)?
    }

    /// The cluster went back to how it was at `to`: what was passed since is open again. With an exercise (chapter and unit) all of that is
    /// taken back; else it is about the open chapter. Go back first. Returns the checks that are open again.
    ///
    /// # Errors
    /// When there is no such chapter or progress cannot be written.
    pub async fn rewind(&self, to: Point, unit: Option<(&str, &str)>) -> Result<Vec<String>, GraderError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Rewind(to, unit.map(|(chapter, unit)| (chapter.to_owned(), unit.to_owned())), reply));
        answer.await.map_err(|_| GraderError::Stopped)?
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::error!("the grader has stopped");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Verdict>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Progress on disk.
struct Keeper {
    directory: PathBuf,
}

impl Keeper {
    fn path(&self, chapter: &str) -> PathBuf {
        self.directory.join(format!("{chapter}.json"))
    }

    fn read(&self, chapter: &str) -> Result<Kept, GraderError> {
        let path = self.path(chapter);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            Err(source) => return Err(GraderError::Progress { path, source }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(kept) => Ok(kept),
            Err(error) => {
                let aside = path.with_extension("json.unreadable");
                tracing::warn!(%error, aside = %aside.display(), "progress cannot be read; it was put aside");
                std::fs::rename(&path, &aside).map_err(|source| GraderError::Progress { path, source })?;
                Ok(Kept::default())
            }
        }
    }

    /// Write beside, sync, rename: there is always one whole file.
    fn write(&self, chapter: &str, kept: &Kept) -> Result<(), GraderError> {
        let path = self.path(chapter);
        let beside = path.with_extension("json.new");
        let written = serde_json::to_vec_pretty(kept).map_err(io::Error::from).and_then(|bytes| {
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            std::fs::rename(&beside, &path)
        });
        written.map_err(|source| GraderError::Progress { path, source })
    }
}

struct Task {
    clients: Clients,
    prober: Prober,
    plans: HashMap<String, Plan>,
    keeper: Keeper,
    shared: Arc<Shared>,
    open: Option<Open>,
    /// Why progress is not kept.
    unkept: Option<String>,
}

/// The chapter that is judged.
struct Open {
    engine: Engine,
    world: World,
    /// What has not been brought up to date yet; nothing is judged before.
    missing: BTreeSet<String>,
    news: mpsc::UnboundedReceiver<Update>,
    probes: Probes,
    tries: BTreeMap<Probe, Tries>,
    asking: JoinSet<Asked>,
    /// Probes that go on tell here.
    tell: mpsc::UnboundedSender<(Probe, Value)>,
    told: mpsc::UnboundedReceiver<(Probe, Value)>,
    deadline: Option<Timestamp>,
    replies: Vec<(String, oneshot::Sender<Option<Verdict>>)>,
    /// What is wrong with a cluster that is not ours.
    away: Option<String>,
    _watches: JoinSet<()>,
}

/// What a task that asks ends with.
enum Asked {
    Once(Probe, Value),
    /// One that went on has nothing more to tell.
    WentOn(Probe),
}

/// How often a probe has been asked for the newest trigger.
#[derive(Debug)]
struct Tries {
    done: usize,
    next: Instant,
    running: bool,
    /// Kinds that trigger it, beyond those it depends on by itself.
    triggers: BTreeSet<String>,
    /// Ends the task of one that goes on.
    going: Option<AbortHandle>,
}

impl Tries {
    fn fresh(triggers: BTreeSet<String>) -> Tries {
        Tries { done: 0, next: Instant::now(), running: false, triggers, going: None }
    }

    fn again(&mut self) {
        let rested = if self.done == 0 { Instant::now() } else { Instant::now() + REST };
        self.done = 0;
        self.next = rested;
    }
}

impl Drop for Tries {
    fn drop(&mut self) {
        if let Some(going) = &self.going {
            going.abort();
        }
    }
}

/// What woke the task.
enum Wake {
    Order(Option<Order>),
    News(Option<Update>),
    Asked(Asked),
    Told(Probe, Value),
    Time,
}

impl Task {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let wake = match &mut self.open {
                None => Wake::Order(orders.recv().await),
                Some(open) => open.wake(&mut orders).await,
            };
            match wake {
                Wake::Order(None) => return,
                Wake::Order(Some(order)) => self.obey(order).await,
                Wake::News(update) => self.hear(update),
                Wake::Asked(asked) => self.asked(asked),
                Wake::Told(probe, result) => self.told(probe, result),
                Wake::Time => {}
            }
            self.judge();
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Open(chapter) => self.open_chapter(&chapter).await,
            Order::Ran(chapter, block) => {
                self.open_chapter(&chapter).await;
                if let Some(open) = &mut self.open {
                    let here = open.here();
                    if !open.engine.ran(&block, here) {
                        tracing::debug!(chapter, block, "no such block");
                    }
                }
            }
            Order::Hint(check, number) => {
                if let Some(open) = &mut self.open {
                    open.engine.hint_used(&check, number);
                }
            }
            Order::Answer(ask, text, reply) => {
                let answered = self.answer(&ask, &text);
                // Whoever asked may have gone; the answer counts all the same.
                drop(reply.send(answered));
            }
            Order::CheckNow(check, reply) => match &mut self.open {
                Some(open) => {
                    open.trigger(&[News::All]);
                    open.replies.push((check, reply));
                }
                None => drop(reply.send(None)),
            },
            Order::Reset(chapter, reply) => {
                let done = self.reset(&chapter).await;
                drop(reply.send(done));
            }
            Order::Rewind(to, unit, reply) => {
                let open = self.rewind(to, unit.as_ref()).await;
                drop(reply.send(open));
            }
        }
    }

    async fn open_chapter(&mut self, chapter: &str) {
        if self.open.as_ref().is_some_and(|open| open.engine.plan().chapter == chapter) {
            return;
        }
        if let Err(error) = self.begin(chapter, None).await {
            tracing::error!(%error, chapter, "cannot judge this chapter");
        }
    }

    async fn reset(&mut self, chapter: &str) -> Result<(), GraderError> {
        let plan = self.plans.get(chapter).ok_or_else(|| GraderError::Unknown(format!("chapter {chapter}")))?;
        let checks: Vec<String> = plan.checks().map(|(_, check)| check.id.clone()).collect();
        self.shared.lock().retain(|check, _| !checks.contains(check));
        let written = self.keeper.write(chapter, &Kept::default());
        self.report(&written);
        written?;
        self.begin(chapter, Some(())).await
    }

    async fn rewind(&mut self, to: Point, unit: Option<&(String, String)>) -> Result<Vec<String>, GraderError> {
        if let Some((chapter, _)) = unit {
            self.open_chapter(chapter).await;
        }
        let now = Point { revision: self.revision().await, time: Timestamp::now() };
        let Some(open) = &mut self.open else { return Ok(Vec::new()) };
        let chapter = open.engine.plan().chapter.clone();
        let back = open.engine.rewind(to, now, unit.map(|(_, unit)| unit.as_str()));
        self.shared.lock().retain(|check, _| !back.contains(check));
        self.keep();
        // From what is kept, as after a restart: nothing of what was seen before is left in between.
        self.begin(&chapter, None).await?;
        Ok(back)
    }

    /// Judge a chapter from its progress; `anew` moves its window to now.
    async fn begin(&mut self, chapter: &str, anew: Option<()>) -> Result<(), GraderError> {
        let plan = self.plans.get(chapter).ok_or_else(|| GraderError::Unknown(format!("chapter {chapter}")))?.clone();
        let kept = self.keeper.read(chapter)?;
        let mut engine = Engine::new(plan, kept.progress)?;
        if engine.progress().opened.is_none() || anew.is_some() {
            let now = Point { revision: self.revision().await, time: Timestamp::now() };
            engine.reset(now);
        }
        let since = engine.progress().opened.map_or(0, |point| point.revision);
        let kinds = watch::kinds(engine.plan());
        let mut world = World::default();
        if self.clients.foreign {
            world.tells_by_commands();
            world.lives_in(self.clients.subject.default_namespace());
        }
        for (ask, text) in &engine.progress().answers {
            world.answer(ask, text);
        }
        let missing = kinds.iter().cloned().chain(COLLECTIONS.map(str::to_owned)).collect();
        let (sender, news) = mpsc::unbounded_channel();
        let (tell, told) = mpsc::unbounded_channel();
        let watches = watch::follow(&self.clients, kinds, true, since, sender);
        self.open = Some(Open {
            engine,
            world,
            missing,
            news,
            probes: Probes::new(),
            tries: BTreeMap::new(),
            asking: JoinSet::new(),
            tell,
            told,
            deadline: None,
            replies: Vec::new(),
            away: None,
            _watches: watches,
        });
        self.keep();
        Ok(())
    }

    /// The cluster's revision now; waits for the cluster. One that is not ours may not answer for long: then it is the newest that was seen.
    async fn revision(&self) -> u64 {
        if self.clients.foreign {
            return foreign::revision(&self.clients.subject, self.open.as_ref().map_or(0, |open| open.world.revision())).await;
        }
        loop {
            match watch::revision(&self.clients.subject).await {
                Ok(revision) => return revision,
                Err(error) => tracing::debug!(error, "the cluster does not answer yet"),
            }
            tokio::time::sleep(TRIES[1]).await;
        }
    }

    fn hear(&mut self, update: Option<Update>) {
        let (Some(open), Some(update)) = (&mut self.open, update) else { return };
        let mut news: Vec<News> = Vec::new();
        let mut next = Some(update);
        while let Some(update) = next {
            if let Update::Away(why) = &update {
                open.away.clone_from(why);
            }
            if let Some(happened) = News::of(&update).filter(|happened| !news.contains(happened)) {
                news.push(happened);
            }
            open.take(update);
            next = open.news.try_recv().ok();
        }
        open.trigger(&news);
        self.tell_trouble();
    }

    fn asked(&mut self, asked: Asked) {
        let Some(open) = &mut self.open else { return };
        let (Asked::Once(probe, _) | Asked::WentOn(probe)) = &asked;
        if let Some(tries) = open.tries.get_mut(probe) {
            tries.running = false;
            tries.going = None;
            if matches!(probe, Probe::Traffic { .. }) {
                tries.done = TRIES.len();
            }
        }
        if let Asked::Once(probe, result) = asked {
            open.probes.insert(probe, result);
        }
    }

    fn told(&mut self, probe: Probe, result: Value) {
        let Some(open) = &mut self.open else { return };
        open.probes.insert(probe, result);
        while let Ok((probe, result)) = open.told.try_recv() {
            open.probes.insert(probe, result);
        }
    }

    fn answer(&mut self, ask: &str, text: &str) -> Answered {
        let Some(open) = &mut self.open else { return Answered { correct: None, because: None } };
        open.world.answer(ask, text);
        open.engine.answer(ask, text);
        let judging: Vec<String> =
            open.engine.plan().checks().filter(|(_, check)| wants_answer(&check.expect, ask)).map(|(_, check)| check.id.clone()).collect();
        self.judge();
        self.keep();
        let Some(open) = &self.open else { return Answered { correct: None, because: None } };
        let verdict = judging.iter().find_map(|check| open.engine.verdict(check));
        match verdict {
            Some(verdict) if verdict.verdict == Outcome::Pass && !verdict.lost => Answered { correct: Some(true), because: None },
            Some(verdict) if matches!(verdict.verdict, Outcome::Fail | Outcome::Pass) => Answered { correct: Some(false), because: verdict.why.first().cloned() },
            _ => Answered { correct: None, because: None },
        }
    }

    fn judge(&mut self) {
        let Some(open) = &mut self.open else { return };
        if !open.missing.is_empty() {
            return;
        }
        let round = open.engine.judge(&open.world, &open.probes, Timestamp::now());
        open.deadline = round.deadline;
        open.ask(&self.prober, &round.probes);
        if round.progressed || !round.changed.is_empty() {
            self.keep();
        }
        for verdict in round.changed {
            self.shared.lock().insert(verdict.check.clone(), verdict.clone());
            // Nobody listening is fine: `current` has it.
            let listeners = self.shared.news.send(verdict).unwrap_or(0);
            tracing::trace!(listeners, "verdict");
        }
        if let Some(open) = &mut self.open {
            open.reply();
        }
    }

    fn keep(&mut self) {
        let Some(open) = &self.open else { return };
        let kept = Kept { progress: open.engine.progress().clone(), verdicts: open.engine.verdicts().cloned().collect() };
        let written = self.keeper.write(&open.engine.plan().chapter, &kept);
        self.report(&written);
    }

    /// Note whether progress is kept.
    fn report(&mut self, written: &Result<(), GraderError>) {
        self.unkept = written.as_ref().err().map(|error| {
            tracing::error!(%error, "progress is not kept");
            let why = match error {
                GraderError::Progress { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            format!("Your progress cannot be saved: {why}. What is green now may not be after a restart; make room and it is kept again by itself.")
        });
        self.tell_trouble();
    }

    /// Say what is wrong, when that has changed: the worst of it.
    fn tell_trouble(&self) {
        let open = self.open.as_ref();
        let away = || open.and_then(|open| open.away.clone().or_else(|| refused(open.world.unseen(), open.engine.plan())));
        let trouble = self.unkept.clone().or_else(away);
        self.shared.trouble.send_if_modified(|known| {
            let news = *known != trouble;
            *known = trouble;
            news
        });
    }
}

/// What the learner's user may not see of what the checks of a chapter read, in a sentence.
fn refused(kinds: &BTreeSet<String>, plan: &Plan) -> Option<String> {
    if kinds.is_empty() {
        return None;
    }
    let read: BTreeSet<String> = plan.checks().flat_map(|(_, check)| Reads::of(check).evidence).collect();
    let unseen: Vec<&str> = kinds.intersection(&read).map(String::as_str).collect();
    let list = match unseen.as_slice() {
        [] => return None,
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    };
    Some(format!("On your cluster the user of --kubeconfig may not list objects of kind {list}, so checks about them stay open."))
}

impl Open {
    async fn wake(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Wake {
        let time = self.next_time();
        tokio::select! {
            biased;
            order = orders.recv() => Wake::Order(order),
            update = self.news.recv(), if !self.news.is_closed() => Wake::News(update),
            Some(answer) = self.asking.join_next() => match answer {
                Ok(asked) => Wake::Asked(asked),
                Err(_) => Wake::Time,
            },
            Some((probe, result)) = self.told.recv() => Wake::Told(probe, result),
            () = sleep_until(time) => Wake::Time,
        }
    }

    fn here(&self) -> Point {
        Point { revision: self.world.revision(), time: Timestamp::now() }
    }

    fn take(&mut self, update: Update) {
        if let Some(name) = update.completes() {
            self.missing.remove(name);
        }
        update.apply(&mut self.world);
    }

    /// Something changed: the probes it concerns may be asked again.
    fn trigger(&mut self, news: &[News]) {
        for (probe, tries) in &mut self.tries {
            if news.iter().any(|happened| happened.concerns(probe, &tries.triggers)) {
                tries.again();
            }
        }
    }

    /// When to wake even if nothing happens.
    fn next_time(&self) -> Option<Instant> {
        let stable = self.deadline.map(|deadline| {
            let left = deadline.duration_since(Timestamp::now());
            Instant::now() + Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1)
        });
        let probe = self.tries.values().filter(|tries| !tries.running && tries.done < TRIES.len()).map(|tries| tries.next).min();
        [stable, probe].into_iter().flatten().min()
    }

    /// Ask the probes that are due; forget the ones nobody wants.
    fn ask(&mut self, prober: &Prober, wanted: &BTreeMap<Probe, BTreeSet<String>>) {
        self.tries.retain(|probe, tries| wanted.contains_key(probe) || (tries.running && !probe.goes_on()));
        for (probe, triggers) in wanted {
            let tries = self.tries.entry(probe.clone()).or_insert_with(|| Tries::fresh(triggers.clone()));
            if tries.running || tries.done >= TRIES.len() || tries.next > Instant::now() {
                continue;
            }
            tries.running = true;
            tries.done += 1;
            tries.next = Instant::now() + TRIES.get(tries.done).copied().unwrap_or_default();
            let (prober, probe) = (prober.clone(), probe.clone());
            if probe.goes_on() {
                let tell = self.tell.clone();
                tries.going = Some(self.asking.spawn(async move {
                    prober.follow(&probe, &tell).await;
                    Asked::WentOn(probe)
                }));
            } else {
                self.asking.spawn(async move {
                    let result = prober.ask(&probe).await;
                    Asked::Once(probe, result)
                });
            }
        }
    }

    /// Answer "check now" once no probe is being asked.
    fn reply(&mut self) {
        // A probe that goes on counts as answered with the first thing it tells.
        let waits = |(probe, tries): (&Probe, &Tries)| tries.running && !(probe.goes_on() && self.probes.contains_key(probe));
        if self.tries.iter().any(waits) {
            return;
        }
        for (check, reply) in self.replies.drain(..) {
            // Whoever asked may have gone.
            drop(reply.send(self.engine.verdict(&check).cloned()));
        }
    }
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let keeper = Keeper { directory: directory.path().to_owned() };
        keeper.write("ch02", &Kept::default()).unwrap();
        assert!(keeper.read("ch02").unwrap().verdicts.is_empty());
        std::fs::write(keeper.path("ch02"), "{\"progress\": 7").unwrap();
        assert!(keeper.read("ch02").unwrap().verdicts.is_empty());
        assert_eq!(std::fs::read_to_string(directory.path().join("ch02.json.unreadable")).unwrap(), "{\"progress\": 7");
        assert!(!keeper.path("ch02").exists());
    }

    #[test]
    fn a_probe_rests_between_triggers_and_one_that_goes_on_ends_when_nobody_wants_it() {
        let mut tries = Tries::fresh(BTreeSet::new());
        assert!(tries.next <= Instant::now());
        tries.done = 3;
        tries.again();
        assert!(tries.done == 0 && tries.next > Instant::now(), "not more often than {REST:?}");
    }
}
