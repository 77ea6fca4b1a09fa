//! The machine beside the book: terminals, the state of the cluster, files, reset.

use std::sync::Arc;

use drydock_terminal::Terminals;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use crate::Pending;
use crate::pane::{Duplex, Target};

/// The machine beside the book.
pub trait Workbench: Send + Sync + 'static {
    /// Its terminals.
    fn terminals(&self) -> Terminals;

    /// Boot progress and the picture of the cluster, as they change. Senders may coalesce, receivers do.
    fn status(&self) -> watch::Receiver<Arc<Status>>;

    /// Put things back, verdicts too; a terminal in which that was typed stays. Of an exercise: the checks that are open again. The error
    /// says what, why and what next.
    fn reset(&self, scope: Reset, typed_in: Option<&str>) -> Pending<'_, Result<Vec<String>, String>>;

    /// What the next undo takes back; `None` when there is nothing.
    fn undoable(&self) -> Pending<'_, Result<Option<Restored>, String>>;

    /// Take back what the last command changed; `None` when there is nothing.
    fn undo(&self) -> Pending<'_, Result<Option<Restored>, String>>;

    /// Let so much time pass, as `5m`: ages, back-offs and time limits are older at once.
    fn skip(&self, duration: &str) -> Pending<'_, Result<Restored, String>>;

    /// Remember how things are now under a name, for [`Reset::Exercise`]; the label is for people.
    fn mark(&self, name: &str, label: &str) -> Pending<'_, Result<(), String>>;

    /// Keep the scene of a chapter as it is now, to come back to.
    fn keep_scene(&self, chapter: &str) -> Pending<'_, Result<(), String>>;

    /// Set up the scene of a chapter: as it was kept, or fresh. A terminal in which that was typed stays.
    fn show_scene(&self, chapter: &str, typed_in: Option<&str>) -> Pending<'_, Result<(), String>>;

    /// Whatever was taken back or skipped, from the page or from a terminal.
    fn restored(&self) -> broadcast::Receiver<Arc<Restored>>;

    /// What became of an object of the picture lately, oldest first.
    fn changes(&self, uid: &str) -> Vec<Version>;

    /// One connection to what a pane shows. The error says why there is none.
    fn dial(&self, target: &Target) -> Pending<'_, Result<Box<dyn Duplex>, String>>;

    /// A file of the learner's home; `None` if there is none.
    fn read_file(&self, path: &str) -> Pending<'_, Result<Option<Vec<u8>>, String>>;

    /// Write a file of the learner's home.
    fn write_file(&self, path: &str, bytes: Vec<u8>) -> Pending<'_, Result<(), String>>;
}

/// How much is put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scope", rename_all = "lowercase")]
pub enum Reset {
    /// The chapter begins anew: cluster, files, checks.
    Chapter {
        /// Its id.
        chapter: String,
    },
    /// An exercise begins anew: the cluster and files are as when its first command was about to run.
    Exercise {
        /// Id of the chapter.
        chapter: String,
        /// Id of the section.
        section: String,
    },
}

/// A way back (or ahead) that was gone, or could be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Its name, as `restoration-4`; empty before it is gone.
    pub name: String,
    /// `undo`, `restore`, `reset`, `skip`, or `scene` when another chapter was set up.
    pub action: String,
    /// The command that was taken back, when it was typed in a terminal.
    pub line: Option<String>,
    /// What happened, in a sentence with `code` in backticks.
    pub summary: String,
    /// Objects that are different now.
    pub changes: Vec<Changed>,
    /// Files that are different now: a verb and a path each.
    pub files: Vec<Changed>,
    /// What could not be taken back, a sentence each.
    pub notes: Vec<String>,
    /// Checks that were passed since, and are open again.
    pub reopened: Vec<String>,
    /// How long it took.
    pub millis: u64,
}

/// Something that is different after a way back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// `restored`, `deleted`, `changed back` or `restarted`.
    pub verb: String,
    /// `pod/sleep`, or a path.
    pub what: String,
    /// Kind of an object, as `Pod`.
    pub kind: String,
    /// It belongs to something else that changed.
    pub owned: bool,
}

/// One change of an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// When it was seen, RFC 3339.
    pub time: String,
    /// It was made by it.
    pub created: bool,
    /// It is gone with it.
    pub gone: bool,
    /// Fields that differ.
    pub fields: Vec<Field>,
    /// How many more differ.
    pub more: usize,
}

/// A field that differs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// As `status.phase`.
    pub path: String,
    /// Before; absent when it was not there.
    pub was: Option<Value>,
    /// After.
    pub is: Option<Value>,
}

/// Everything the page shows of the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// How far it is.
    pub phase: Phase,
    /// Boot steps in order.
    pub steps: Vec<Step>,
    /// Nodes in order.
    pub nodes: Vec<Node>,
    /// Objects of the picture, any order; the page places them.
    pub objects: Vec<Object>,
    /// Bytes the cluster takes, if known.
    pub memory: Option<u64>,
    /// Name of the cluster when it is not ours: it cannot be taken back or set up.
    pub subject: Option<String>,
}

/// How far the machine is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "camelCase")]
pub enum Phase {
    /// On its way; see the steps.
    #[default]
    Starting,
    /// It can be used.
    Ready,
    /// It is being put back.
    Resetting,
    /// It does not work.
    Failed {
        /// What does not work.
        what: String,
        /// Why.
        why: String,
        /// What to do.
        next: String,
    },
}

/// A step of the boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What it does, as `Start the API server`.
    pub label: String,
    /// Whether it is done.
    pub done: bool,
    /// Milliseconds it took.
    pub millis: Option<u64>,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Name.
    pub name: String,
    /// Its Ready condition.
    pub ready: bool,
    /// No new Pods are put there.
    pub cordoned: bool,
}

/// An object in the picture: Pods, their owners, Services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Uid.
    pub uid: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid of its controller.
    pub owner: Option<String>,
    /// Node, of a Pod that is scheduled.
    pub node: Option<String>,
    /// What kubectl would print: `Running`, `ContainerCreating`, `2/2`.
    pub state: String,
    /// It does what it should.
    pub ready: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// Something is wrong with it (back-off, failed).
    pub trouble: bool,
    /// Restarts, of a Pod.
    pub restarts: u32,
    /// Labels as `key=value`.
    pub labels: Vec<String>,
    /// Uids it selects, of a Service.
    pub selects: Vec<String>,
    /// Panes that show it, of a Service: labels of [`Target`].
    pub panes: Vec<String>,
}
