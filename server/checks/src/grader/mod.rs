//! The grader at work: one task that takes in news, judges, asks probes and tells what has changed.
//!
//! * One chapter is judged at a time, the one that is open; verdicts of the others are the ones it had when it was closed.
//! * Progress is written before it is told: what was shown as green is green after kill -9.
//! * A probe is asked again only when something that concerns it changed, at most [`TRIES`] times for one change. Logs of running
//!   containers and traffic go on for as long as an open check wants them.
//!
//! Here is the handle that the page holds. [`task`] obeys its orders and judges, [`open`] is the chapter that is judged, [`live`] what is
//! known of the cluster, [`asking`] asks probes and decides when again, [`keeper`] writes progress to disk.

mod asking;
mod keeper;
mod live;
mod open;
mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, mpsc, oneshot, watch as state};

pub use self::asking::TRIES;
use self::keeper::Keeper;
use self::task::Task;
use crate::clients::Clients;
use crate::compile::CompileError;
use crate::engine::{Engine, Progress};
use crate::plan::Plan;
use crate::verdict::Verdict;
use crate::world::Point;

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
    #[error("{0}; `drydock author lint` names the file and the line")]
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

impl Grader {
    /// Start judging these chapters with the cluster behind these clients, whose user must not be the learner's. Progress is kept below
    /// `directory`, a file for each chapter.
    ///
    /// # Errors
    /// When a check does not compile or progress cannot be read.
    pub fn start(clients: impl Into<Clients>, plans: Vec<Plan>, directory: &Path) -> Result<Grader, GraderError> {
        let keeper = Keeper::new(directory)?;
        let mut current = BTreeMap::new();
        for plan in &plans {
            Engine::new(plan.clone(), Progress::default())?;
            let known: BTreeSet<&str> = plan.checks().map(|(_, check)| check.id.as_str()).collect();
            let kept = keeper.read(&plan.chapter)?;
            current.extend(kept.verdicts.into_iter().filter(|v| known.contains(v.check.as_str())).map(|v| (v.check.clone(), v)));
        }
        let (orders, taken) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { current: Mutex::new(current), news: broadcast::channel(BACKLOG).0, trouble: state::Sender::new(None) });
        tokio::spawn(Task::new(clients.into(), plans, keeper, Arc::clone(&shared)).run(taken));
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

#[cfg(test)]
mod tests;
