//! Who judges: the seam to `drydock-checks`. Results have the shape of grading.md, section 4.

pub use drydock_checks::verdict::{Evidence, Outcome, Reason, Verdict};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use crate::Pending;

/// Current results, and what changes them.
pub trait Verdicts: Send + Sync + 'static {
    /// Results of every check that is being watched.
    fn current(&self) -> Vec<Verdict>;

    /// Results as they change.
    fn subscribe(&self) -> broadcast::Receiver<Verdict>;

    /// Why what was judged is not kept, in a sentence; `None` while it is.
    fn trouble(&self) -> watch::Receiver<Option<String>>;

    /// The learner opened a chapter: watch its checks.
    fn open(&self, chapter: &str);

    /// The learner ran a block (its baseline may open).
    fn ran(&self, chapter: &str, block: &str);

    /// The learner looked at a hint.
    fn hint_used(&self, check: &str, number: usize);

    /// The learner answered a question.
    fn answer(&self, ask: &str, value: &str) -> Pending<'_, Result<Answered, String>>;

    /// Judge a check again now, probes included.
    fn check_now(&self, check: &str) -> Pending<'_, Result<Verdict, String>>;
}

/// What becomes of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answered {
    /// Right or wrong; `None` for a prediction whose truth is still to come.
    pub correct: Option<bool>,
    /// Why, with `code` in backticks.
    pub because: Option<String>,
}
