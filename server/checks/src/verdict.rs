//! The result contract between the grader and everything that shows results (grading.md, section 4).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// What it says is true.
    Pass,
    /// It is not.
    Fail,
    /// It cannot be judged yet; the evidence says what it waits for.
    Waiting,
    /// The check itself is broken.
    Error,
}

/// Why a check is red: a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Nothing of the kind exists.
    Absent,
    /// It exists under another, similar name.
    Misnamed,
    /// It exists in another namespace.
    WrongNamespace,
    /// A field has another value.
    WrongValue,
    /// A selector and the labels it should meet differ.
    SelectorMismatch,
    /// A Service has no endpoints.
    NoEndpoints,
    /// A port leads nowhere.
    PortMismatch,
    /// The scheduler found no node.
    NotScheduled,
    /// The image does not exist here.
    ImageMissing,
    /// The image's name is close to one that exists.
    ImageTypo,
    /// The container starts and ends again and again.
    CrashLoop,
    /// A ConfigMap or Secret that is named does not exist.
    ConfigMissing,
    /// It exists, without the key that is named.
    KeyMissing,
    /// A volume hides what the image has in that place.
    MountHidden,
    /// A claim has no volume.
    ClaimPending,
    /// What asks whether a container is well says no.
    ProbeFailing,
    /// A container used more memory than its limit.
    OomKilled,
    /// The namespace's quota has no room.
    Quota,
    /// The API server does not allow it.
    Forbidden,
    /// It is not owned by what it should be owned by.
    NotOwned,
    /// It has lost its owner.
    Orphaned,
    /// It is there, but from before.
    StalePod,
    /// A rollout is paused.
    PausedRollout,
    /// A name is not known.
    DnsMissing,
    /// A network policy is in the way.
    PolicyBlocked,
    /// It runs on another node.
    WrongNode,
    /// It is on its way.
    NotYet,
    /// The learner has not done it yet.
    NotTried,
    /// None of the above.
    Other,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Kind of evidence, as `object`.
    pub source: String,
    /// What it was about, as `pod/hello-kiamol`; empty where it is no object.
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
    pub since_revision: u64,
    /// When that was, RFC 3339.
    pub since: String,
    /// It was passed and no longer holds (latched checks stay passed).
    pub lost: bool,
    /// Why not; absent when passed.
    pub reason: Option<Reason>,
    /// What was seen and wanted.
    pub evidence: Vec<Evidence>,
    /// What is not true, where to look, what to change: three sentences, each spoiling more.
    pub why: Vec<String>,
    /// Objects worth a look, as `pod/hello-kiamol`.
    pub look_at: Vec<String>,
}
