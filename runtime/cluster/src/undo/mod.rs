//! The way back, and ahead: snapshots, restore, undo, reset, skip. The contract is the header of `lab::undo`.
//!
//! A restore, step by step ([`Rewind::go`]):
//! 1. Writes are held: what has begun ends, what comes waits, and components are told to look again.
//! 2. `plan` compares what was with what is; the Pods it names are stopped on their nodes, at once.
//! 3. `trees` brings back files: the workstation's, and those on node disks that no running Pod uses.
//! 4. The difference is committed as one transaction, and the Pods are released.
//!
//! `steps` finds what an undo takes back, `ages` moves times, `words` says what happened. What is not restored: leases, heartbeats, the
//! authority and its keys, evidence, progress.

mod ages;
mod plan;
mod steps;
mod trees;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drydock_store::{CommitError, Compacted, Op, Pin, Revision, Snapshot, Txn};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::control_plane::{LEARNER, Plant};
use crate::evidence::{API_VERSION, Kind};
pub(crate) use trees::{Files, Mark, Root};
use words::summary;

/// The root of the learner's files.
pub(crate) const WORKSTATION: &str = "workstation";
/// The snapshot right after the first boot: what a reset goes back to.
pub(crate) const PRISTINE: &str = "pristine";
/// Who commits a restore.
const ACTOR: &str = "lab";
/// The longest a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest a node may take to stop its Pods: a little more than its kubelet waits for the kernel, so that it is the kubelet who says why.
const ENDS: Duration = Duration::from_secs(22);
/// Snapshots there may be.
const MAX_SNAPSHOTS: usize = 200;

/// Why a restore, an undo or a snapshot did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UndoError {
    /// There is no such snapshot.
    #[error("there is no snapshot {0:?}")]
    NoSnapshot(String),
    /// The name is taken.
    #[error("there is a snapshot {0:?} already")]
    Taken(String),
    /// The pristine one stays.
    #[error("the snapshot {PRISTINE:?} is what a reset goes back to, so it stays")]
    Pristine,
    /// There are too many.
    #[error("there are {MAX_SNAPSHOTS} snapshots already; delete some")]
    TooMany,
    /// Nothing to take back.
    #[error("there is nothing to undo")]
    Nothing,
    /// Too long ago.
    #[error("what was then is not kept any more (revision {}, the oldest is {}); reset the chapter instead", .0.asked, .0.oldest)]
    Forgotten(#[from] Compacted),
    /// Not yet.
    #[error("revision {0} is still to come")]
    Future(u64),
    /// It could not be committed.
    #[error("it could not be committed: {0}")]
    Commit(#[from] CommitError),
    /// Files could not be brought back.
    #[error("files could not be brought back: {0}")]
    Files(#[from] std::io::Error),
}

/// Where to, and why.
struct Goal {
    action: &'static str,
    snapshot: String,
    label: String,
    command: Option<Value>,
    then: Snapshot,
    time: Timestamp,
    files: Option<Mark>,
}

impl Goal {
    fn spec(&self) -> Value {
        let command = self.command.as_ref().map(|record| {
            let (spec, status) = (&record["spec"], &record["status"]);
            json!({"name": record["metadata"]["name"], "line": spec["line"], "session": spec["session"], "startTime": status["startTime"]})
        });
        json!({
            "action": self.action, "revision": self.then.revision().to_string(), "time": self.time.to_string(),
            "snapshot": self.snapshot, "label": self.label, "command": command,
        })
    }

    /// The beginning of the sentence that says what was done.
    fn did(&self) -> String {
        let line = self.command.as_ref().and_then(|record| record["spec"]["line"].as_str());
        match (self.action, line) {
            ("undo", Some(line)) => format!("Undid `{line}`"),
            ("undo", None) => "Undid the last change".to_owned(),
            ("reset", _) => "Reset".to_owned(),
            _ if !self.label.is_empty() => format!("Back to {:?}", self.label),
            _ if !self.snapshot.is_empty() => format!("Back to {:?}", self.snapshot),
            _ => format!("Back to revision {}", self.then.revision()),
        }
    }
}

/// A snapshot as an object of the lab API.
fn object(pin: &Pin) -> Value {
    let note: Value = serde_json::from_slice(&pin.note).unwrap_or_default();
    json!({
        "apiVersion": API_VERSION, "kind": "Snapshot",
        "metadata": {"name": &*pin.name, "creationTimestamp": pin.time.to_string()},
        "spec": {"label": note["label"]}, "status": {"revision": pin.state.revision().to_string()},
    })
}

fn files_of(pin: &Pin) -> Option<Mark> {
    serde_json::from_slice::<Value>(&pin.note).ok()?["files"].as_u64()
}

/// The way back of a cluster.
pub(crate) struct Rewind {
    files: Files,
    /// One at a time.
    busy: tokio::sync::Mutex<()>,
}

impl Rewind {
    /// With these files.
    pub(crate) fn new(files: Files) -> Rewind {
        Rewind { files, busy: tokio::sync::Mutex::default() }
    }

    /// The files it brings back.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// All snapshots as a list object.
    pub(crate) fn snapshots(&self, plant: &Plant) -> Value {
        let items: Vec<Value> = plant.store().pins().iter().map(object).collect();
        json!({"apiVersion": API_VERSION, "kind": "SnapshotList", "metadata": {}, "items": items})
    }

    /// One snapshot.
    pub(crate) fn snapshot(&self, plant: &Plant, name: &str) -> Result<Value, UndoError> {
        find(plant, name).map(|pin| object(&pin))
    }

    /// Name the present.
    pub(crate) async fn create(&self, plant: &Plant, name: Option<&str>, label: &str, replace: bool) -> Result<Value, UndoError> {
        let _one = self.busy.lock().await;
        let pins = plant.store().pins();
        let taken = |name: &str| pins.iter().any(|pin| &*pin.name == name);
        let name = match name {
            Some(PRISTINE) if taken(PRISTINE) => return Err(UndoError::Pristine),
            Some(name) if taken(name) && !replace => return Err(UndoError::Taken(name.to_owned())),
            Some(name) => name.to_owned(),
            None => (1..).map(|number| format!("snapshot-{number}")).find(|name| !taken(name)).unwrap_or_default(),
        };
        if pins.len() >= MAX_SNAPSHOTS && !taken(&name) {
            return Err(UndoError::TooMany);
        }
        let files = self.files.taken().await;
        let pin = plant.store().pin(&name, json!({"label": label, "files": files}).to_string())?;
        self.pin_files(plant);
        Ok(object(&pin))
    }

    /// Let a snapshot go.
    pub(crate) fn delete(&self, plant: &Plant, name: &str) -> Result<(), UndoError> {
        if name == PRISTINE {
            return Err(UndoError::Pristine);
        }
        find(plant, name)?;
        plant.store().unpin(name)?;
        self.pin_files(plant);
        Ok(())
    }

    /// The files of snapshots are kept as long as they are.
    pub(crate) fn pin_files(&self, plant: &Plant) {
        self.files.pin(plant.store().pins().iter().filter_map(files_of).collect());
    }

    /// Back to a snapshot.
    pub(crate) async fn restore(&self, plant: &Plant, name: &str) -> Result<Value, UndoError> {
        let _one = self.busy.lock().await;
        let goal = to_snapshot("restore", &find(plant, name)?);
        self.go(plant, goal).await
    }

    /// Back to the state after a revision.
    pub(crate) async fn restore_revision(&self, plant: &Plant, revision: u64) -> Result<Value, UndoError> {
        let _one = self.busy.lock().await;
        if revision > plant.revision() {
            return Err(UndoError::Future(revision));
        }
        let then = plant.store().evidence_at(Revision(revision))?;
        let later = plant.store().history("", Revision(revision)).first().map(|event| event.time);
        let commands = plant.evidence().list(Kind::Command);
        let first = commands.iter().find(|record| record["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()) >= Some(revision));
        let files = first.and_then(|record| record["spec"]["files"].as_u64());
        let time = later.unwrap_or_else(Timestamp::now);
        let (snapshot, label) = (String::new(), String::new());
        self.go(plant, Goal { action: "restore", snapshot, label, command: None, then, time, files }).await
    }

    /// Back to the beginning. What happened before is no evidence any more.
    pub(crate) async fn reset(&self, plant: &Plant) -> Result<Value, UndoError> {
        let _one = self.busy.lock().await;
        let goal = to_snapshot("reset", &find(plant, PRISTINE)?);
        // The home is written anew, so that it is as this version of the course has it.
        plant.renew_workstation().await?;
        plant.evidence().begin_anew();
        let done = self.go(plant, goal).await?;
        plant.store().forget(plant.store().revision());
        self.files.taken().await;
        self.files.forget(1)?;
        Ok(done)
    }

    /// What the next undo would do.
    pub(crate) fn next(&self, plant: &Plant) -> Result<Value, UndoError> {
        let goal = self.step(plant)?;
        Ok(json!({"apiVersion": API_VERSION, "kind": "Restoration", "metadata": {}, "spec": goal.spec()}))
    }

    /// Take the last step back.
    pub(crate) async fn undo(&self, plant: &Plant) -> Result<Value, UndoError> {
        let _one = self.busy.lock().await;
        self.files.settled(self.files.mark()).await;
        let goal = self.step(plant)?;
        self.go(plant, goal).await
    }

    fn step(&self, plant: &Plant) -> Result<Goal, UndoError> {
        let history = plant.store().history("", Revision(0));
        let writes: Vec<steps::Write> = history
            .iter()
            .filter(|event| &*event.actor == LEARNER)
            .map(|event| steps::Write { revision: event.revision, time: event.time })
            .collect();
        let (commands, restorations) = (plant.evidence().list(Kind::Command), plant.evidence().list(Kind::Restoration));
        let step = steps::last(&commands, &restorations, &writes, |before, after| self.files.differ(before, after)).ok_or(UndoError::Nothing)?;
        let then = plant.store().evidence_at(step.revision)?;
        let (snapshot, label) = (String::new(), String::new());
        Ok(Goal { action: "undo", snapshot, label, command: step.command, then, time: step.time, files: step.files })
    }

    /// Make everything older.
    pub(crate) async fn skip(&self, plant: &Plant, by: Duration) -> Result<Value, UndoError> {
        let _one = self.busy.lock().await;
        let started = Instant::now();
        let hold = plant.store().hold().await;
        let mut notes = Vec::new();
        let body = json!({"seconds": by.as_secs()});
        for node in plant.nodes_on() {
            if let Err(error) = within(PATIENCE, plant.kubelet(&node, "/drydock/age", &body)).await {
                notes.push(format!("{node} does not know of it: {error}."));
            }
        }
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::ZERO);
        let mut count = 0;
        let revision = plant.store().rewrite(ACTOR, "skip", |now| {
            let ops = plan::older(now, by);
            count = ops.len();
            ops
        })?;
        drop(hold);
        let spec = json!({"action": "skip", "duration": format!("{}s", by.as_secs()), "revision": "", "snapshot": "", "label": "", "command": null});
        let summary = format!("Skipped {}: {count} objects are that much older.", drydock_primitives::time::human_duration(by));
        let status = json!({
            "revision": revision.to_string(), "millis": started.elapsed().as_millis() as u64,
            "summary": summary, "changes": [], "files": [], "notes": notes,
        });
        Ok(tell(plant, spec, status))
    }

    async fn go(&self, plant: &Plant, goal: Goal) -> Result<Value, UndoError> {
        let started = Instant::now();
        let hold = plant.store().hold().await;
        let now = plant.store().snapshot();
        let passed = Timestamp::now().duration_since(goal.time).max(SignedDuration::ZERO);
        let plan = plan::plan(&goal.then, &now, passed, &plant.node_names());
        let mut notes = halt(plant, &plan.halts).await;
        let files = match goal.files {
            Some(mark) => self.restore_files(mark, goal.action, used(&now, &plan.halts)).await,
            None => Ok(trees::Restored::default()),
        };
        let revision = commit(plant, plan.first, plan.then, &goal);
        // Whatever happened, nothing stays halted.
        release(plant, &plan.halts, revision.as_ref().map_or(0, |revision| revision.0)).await;
        drop(hold);
        let (revision, files) = (revision?, files?);
        notes.extend(files.notes);
        self.files.take();
        let status = json!({
            "revision": revision.to_string(), "millis": started.elapsed().as_millis() as u64,
            "summary": summary(&goal.did(), &plan.changes, &files.changes),
            "changes": plan.changes.iter().map(words::Change::json).collect::<Vec<_>>(),
            "files": files.changes.iter().map(words::FileChange::json).collect::<Vec<_>>(),
            "notes": notes,
        });
        Ok(tell(plant, goal.spec(), status))
    }

    async fn restore_files(&self, mark: Mark, action: &str, used: Vec<(String, String)>) -> std::io::Result<trees::Restored> {
        let files = self.files.clone();
        // A reset has written the home anew.
        let except = (action == "reset").then_some(WORKSTATION);
        self.files.settled(mark).await;
        let restored = tokio::task::spawn_blocking(move || {
            files.restore(mark, except, &|root, path| {
                if root == WORKSTATION {
                    return None;
                }
                let user = used.iter().find(|(place, _)| path.starts_with(place))?;
                Some(format!("{} is in use by {}, which goes on", user.0, user.1))
            })
        });
        restored.await.map_err(std::io::Error::other)?
    }
}

fn find(plant: &Plant, name: &str) -> Result<Pin, UndoError> {
    plant.store().pins().into_iter().find(|pin| &*pin.name == name).ok_or_else(|| UndoError::NoSnapshot(name.to_owned()))
}

fn to_snapshot(action: &'static str, pin: &Pin) -> Goal {
    let label = object(pin)["spec"]["label"].as_str().unwrap_or_default().to_owned();
    Goal { action, snapshot: pin.name.to_string(), label, command: None, then: pin.state.clone(), time: pin.time, files: files_of(pin) }
}

/// Put a restoration into the evidence; answers with its record.
fn tell(plant: &Plant, spec: Value, status: Value) -> Value {
    let name = plant.evidence().add(Kind::Restoration, spec, status);
    plant.evidence().get(Kind::Restoration, &name).unwrap_or_default()
}

fn commit(plant: &Plant, first: Vec<Op>, then: Vec<Op>, goal: &Goal) -> Result<Revision, CommitError> {
    let cause: Arc<str> = goal.action.into();
    let txn = |ops| Txn { ops, actor: ACTOR.into(), cause: Arc::clone(&cause), sync: true };
    plant.store().commit(txn(first))?;
    plant.store().commit(txn(then))
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(limit, work).await.map_err(|_| "it does not answer".to_owned())?
}

fn by_node(pods: &BTreeSet<plan::Running>) -> BTreeMap<&str, Vec<&str>> {
    let mut nodes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pod in pods {
        nodes.entry(&pod.node).or_default().push(&pod.uid);
    }
    nodes
}

/// Stop Pods on their nodes, all at the same time; says what could not be stopped.
async fn halt(plant: &Plant, pods: &BTreeSet<plan::Running>) -> Vec<String> {
    let on = plant.nodes_on();
    let nodes = by_node(pods).into_iter().filter(|(node, _)| on.contains(*node));
    let stops = nodes.map(|(node, uids)| async move {
        let stopped = within(ENDS, plant.kubelet(node, "/drydock/pods/halt", &json!({"uids": uids}))).await;
        stopped.err().map(|error| format!("{node}: old containers still run ({error}); they end by themselves."))
    });
    futures::future::join_all(stops).await.into_iter().flatten().collect()
}

async fn release(plant: &Plant, pods: &BTreeSet<plan::Running>, revision: u64) {
    let on = plant.nodes_on();
    let nodes = by_node(pods).into_iter().filter(|(node, _)| on.contains(*node));
    let releases = nodes.map(|(node, uids)| async move {
        if let Err(error) = within(PATIENCE, plant.kubelet(node, "/drydock/pods/release", &json!({"uids": uids, "revision": revision}))).await {
            tracing::warn!(node, error, "Pods are released when the node's own patience ends");
        }
    });
    futures::future::join_all(releases).await;
}

/// Directories of node disks that Pods use which go on running, and which Pods.
fn used(now: &Snapshot, halted: &BTreeSet<plan::Running>) -> Vec<(String, String)> {
    let object = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let mut used = Vec::new();
    for (_, entry) in now.range(plan::PODS) {
        let pod = object(&entry.bytes);
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        if plan::is_finished(&pod) || halted.iter().any(|halted| halted.uid == uid) {
            continue;
        }
        let (namespace, name) = (pod["metadata"]["namespace"].as_str().unwrap_or_default(), pod["metadata"]["name"].as_str().unwrap_or_default());
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let claimed = volume["persistentVolumeClaim"]["claimName"].as_str().and_then(|claim| {
                let claim = object(&now.get(&format!("/registry/persistentvolumeclaims/{namespace}/{claim}"))?.bytes);
                let volume = object(&now.get(&format!("/registry/persistentvolumes/{}", claim["spec"]["volumeName"].as_str()?))?.bytes);
                Some(volume["spec"]["hostPath"]["path"].as_str().or(volume["spec"]["local"]["path"].as_str())?.to_owned())
            });
            let path = volume["hostPath"]["path"].as_str().map(str::to_owned).or(claimed);
            used.extend(path.map(|path| (path, format!("pod/{name}"))));
        }
    }
    used
}

/// What is nobody's work in the learner's home: caches and histories.
pub(crate) fn ignored_at_home(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    path.starts_with(".kube/cache") || path.starts_with(".kube/http-cache") || path.starts_with(".cache") || name.ends_with("_history") || name.starts_with(".undo-")
}

/// What is the node's own on its disk.
pub(crate) fn ignored_on_nodes(path: &Path) -> bool {
    let own = ["dev", "proc", "sys", "run", "etc", "usr", "bin", "lib", "lib64", "sbin", "var/run", "var/log", "var/lib/kubelet", "var/lib/drydock"];
    own.iter().any(|own| path == Path::new(own)) || path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".undo-"))
}
