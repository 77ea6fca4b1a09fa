//! Who judges: the seam to `drydock-checks`. Results have the shape of grading.md, section 4.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast;

use crate::Pending;

/// Current results, and what changes them.
pub trait Verdicts: Send + Sync + 'static {
    /// Results of every check that is being watched.
    fn current(&self) -> Vec<Verdict>;

    /// Results as they change.
    fn subscribe(&self) -> broadcast::Receiver<Verdict>;

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

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What it says is true.
    Pass,
    /// It is not.
    Fail,
    /// It cannot be judged yet.
    Waiting,
    /// The check itself is broken.
    Error,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Kind of evidence, as `object`.
    pub source: String,
    /// What it was about, as `pod/hello-kiamol`.
    pub object: String,
    /// Field or expression.
    pub path: String,
    /// What the check wants there.
    pub want: Value,
    /// What it saw.
    pub got: Value,
}

/// The judgement of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The check.
    pub check: String,
    /// Its state.
    pub verdict: Outcome,
    /// Revision since which it is so.
    #[serde(default)]
    pub since_revision: u64,
    /// When that was, RFC 3339; empty if unknown.
    #[serde(default)]
    pub since: String,
    /// It was passed and no longer holds (latched checks stay passed).
    #[serde(default)]
    pub lost: bool,
    /// Why not, one of the closed list, as `selector-mismatch`.
    #[serde(default)]
    pub reason: Option<String>,
    /// What was seen and wanted.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What is not true, where to look, what to change: each spoils more.
    #[serde(default)]
    pub why: Vec<String>,
    /// Objects worth a look, as `pod/hello-kiamol`.
    #[serde(default)]
    pub look_at: Vec<String>,
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
