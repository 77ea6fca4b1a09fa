//! The evidence log: what the learner did, kept in the order it happened and across kill -9.
//!
//! * Records are objects of `lab.drydock.internal/v1alpha1`; each carries the cluster revision after which it happened, but never
//!   consumes one.
//! * The file is one JSON record per line, appended; a later line with the same kind and name replaces an earlier one. A torn last line
//!   is dropped at the next start; a line a full disk did not take whole is cut off again, so that the next one fits when there is room.
//! * Kinds that describe what runs now (`nodecontainers`) live in memory only: they come back with the nodes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// API group and version of every record.
pub(crate) const API_VERSION: &str = "lab.drydock.internal/v1alpha1";

/// Events a slow watcher may lag behind before it has to list again.
const BACKLOG: usize = 4096;

/// A kind of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A command typed in a terminal of the workstation.
    Command,
    /// An exec, attach, log, port-forward or watch.
    Stream,
    /// A get or list.
    Read,
    /// A container on a node, as the node's runtime sees it.
    NodeContainer,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 4] = [Kind::Command, Kind::Stream, Kind::Read, Kind::NodeContainer];

    /// As it appears in URLs.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Kind::Command => "commands",
            Kind::Stream => "streams",
            Kind::Read => "reads",
            Kind::NodeContainer => "nodecontainers",
        }
    }

    /// As it appears in objects.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Kind::Command => "Command",
            Kind::Stream => "Stream",
            Kind::Read => "Read",
            Kind::NodeContainer => "NodeContainer",
        }
    }

    /// The kind of a URL segment.
    pub(crate) fn from_plural(plural: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    fn persistent(self) -> bool {
        self != Kind::NodeContainer
    }
}

/// How a record changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is new.
    Added,
    /// It says something else now.
    Modified,
    /// It is gone.
    Deleted,
}

impl Change {
    /// As watch events spell it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        }
    }
}

/// One change of one record.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// Kind of the record.
    pub(crate) kind: Kind,
    /// How it changed.
    pub(crate) change: Change,
    /// The record after the change; for deletions, before it.
    pub(crate) object: Arc<Value>,
}

/// The log. Clones share it.
#[derive(Clone)]
pub(crate) struct Evidence {
    inner: Arc<Mutex<Inner>>,
    events: broadcast::Sender<Event>,
    revision: Arc<dyn Fn() -> u64 + Send + Sync>,
}

struct Inner {
    records: BTreeMap<(Kind, String), Arc<Value>>,
    /// Opened for appending.
    file: File,
    /// Bytes of whole lines in it.
    length: u64,
    next: u64,
}

impl Inner {
    /// Append a line, or nothing of it.
    fn append(&mut self, line: &str) -> io::Result<()> {
        let written = self.file.write_all(line.as_bytes());
        match &written {
            Ok(()) => self.length += line.len() as u64,
            Err(_) => self.file.set_len(self.length)?,
        }
        written
    }
}

impl Evidence {
    /// Open the log at `path`. `revision` tells the cluster's revision now.
    ///
    /// # Errors
    /// When the file cannot be read or opened for appending.
    pub(crate) fn open(path: &Path, revision: impl Fn() -> u64 + Send + Sync + 'static) -> io::Result<Evidence> {
        let mut records = BTreeMap::new();
        let mut next = 0;
        let mut length = 0;
        if path.exists() {
            let mut reader = BufReader::new(File::open(path)?);
            // Bytes, because a tear may fall in the middle of a character.
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
                if let Some((kind, record)) = parse(&line) {
                    let name = name_of(&record);
                    next = next.max(name.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0));
                    records.insert((kind, name), Arc::new(record));
                }
                length += line.len() as u64;
                line.clear();
            }
        }
        let file = File::options().create(true).append(true).open(path)?;
        file.set_len(length)?;
        let (events, _) = broadcast::channel(BACKLOG);
        Ok(Evidence { inner: Arc::new(Mutex::new(Inner { records, file, length, next })), events, revision: Arc::new(revision) })
    }

    /// Record something new; returns its name.
    pub(crate) fn add(&self, kind: Kind, spec: Value, status: Value) -> String {
        let mut inner = self.lock();
        inner.next += 1;
        let name = format!("{}-{}", kind.kind().to_lowercase(), inner.next);
        self.put(&mut inner, kind, &name, spec, status);
        name
    }

    /// Record something under a name of the caller's.
    pub(crate) fn set(&self, kind: Kind, name: &str, spec: Value, status: Value) {
        let mut inner = self.lock();
        self.put(&mut inner, kind, name, spec, status);
    }

    /// Change the status of a record.
    pub(crate) fn update(&self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        let mut inner = self.lock();
        let Some(record) = inner.records.get(&(kind, name.to_owned())) else { return };
        let mut record = (**record).clone();
        change(&mut record["status"]);
        self.store(&mut inner, kind, name, record, Change::Modified);
    }

    /// Forget a record.
    pub(crate) fn remove(&self, kind: Kind, name: &str) {
        let mut inner = self.lock();
        if let Some(record) = inner.records.remove(&(kind, name.to_owned())) {
            self.publish(kind, Change::Deleted, record);
        }
    }

    /// All records of a kind, oldest first, and every change from then on.
    pub(crate) fn watch(&self, kind: Kind) -> (Vec<Arc<Value>>, broadcast::Receiver<Event>) {
        let inner = self.lock();
        (list(&inner, kind), self.events.subscribe())
    }

    /// All records of a kind, oldest first.
    pub(crate) fn list(&self, kind: Kind) -> Vec<Arc<Value>> {
        list(&self.lock(), kind)
    }

    fn put(&self, inner: &mut Inner, kind: Kind, name: &str, spec: Value, status: Value) {
        let known = inner.records.get(&(kind, name.to_owned()));
        let created = known.map_or_else(|| json!(Timestamp::now().to_string()), |record| record["metadata"]["creationTimestamp"].clone());
        let change = if known.is_some() { Change::Modified } else { Change::Added };
        let record = json!({
            "apiVersion": API_VERSION,
            "kind": kind.kind(),
            "metadata": {"name": name, "resourceVersion": (self.revision)().to_string(), "creationTimestamp": created},
            "spec": spec,
            "status": status,
        });
        self.store(inner, kind, name, record, change);
    }

    fn store(&self, inner: &mut Inner, kind: Kind, name: &str, record: Value, change: Change) {
        if kind.persistent() {
            if let Err(error) = inner.append(&format!("{record}\n")) {
                tracing::error!(%error, kind = kind.kind(), name, "evidence is in memory only and will not survive a restart");
            }
        }
        let record = Arc::new(record);
        inner.records.insert((kind, name.to_owned()), Arc::clone(&record));
        self.publish(kind, change, record);
    }

    fn publish(&self, kind: Kind, change: Change, object: Arc<Value>) {
        // Nobody listening is fine: the record is in the log.
        let listeners = self.events.send(Event { kind, change, object }).unwrap_or(0);
        tracing::trace!(listeners, "evidence");
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn list(inner: &Inner, kind: Kind) -> Vec<Arc<Value>> {
    let mut records: Vec<_> = inner.records.iter().filter(|((k, _), _)| *k == kind).map(|(_, record)| Arc::clone(record)).collect();
    records.sort_by_cached_key(|record| record["metadata"]["creationTimestamp"].as_str().and_then(|t| t.parse::<Timestamp>().ok()));
    records
}

fn parse(line: &[u8]) -> Option<(Kind, Value)> {
    let record: Value = serde_json::from_slice(line).ok()?;
    let kind = Kind::ALL.into_iter().find(|kind| record["kind"] == kind.kind())?;
    Some((kind, record))
}

fn name_of(record: &Value) -> String {
    record["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_a_reopen_and_a_torn_last_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("evidence.jsonl");
        let log = Evidence::open(&path, || 7).unwrap();
        let name = log.add(Kind::Command, json!({"line": "kubectl get pods"}), json!({}));
        log.update(Kind::Command, &name, |status| status["exitCode"] = json!(0));
        log.set(Kind::NodeContainer, "abc", json!({}), json!({}));
        drop(log);
        // Torn in the middle of a character.
        File::options().append(true).open(&path).unwrap().write_all(b"{\"kind\":\"Command\",\"spec\":{\"line\":\"echo \xe2\x9c").unwrap();

        let log = Evidence::open(&path, || 9).unwrap();
        let commands = log.list(Kind::Command);
        assert_eq!(commands.len(), 1);
        assert_eq!(commands[0]["status"]["exitCode"], 0);
        assert_eq!(commands[0]["metadata"]["resourceVersion"], "7");
        assert!(log.list(Kind::NodeContainer).is_empty(), "containers come back with the nodes");
        let next = log.add(Kind::Command, json!({}), json!({}));
        assert_ne!(next, name);
        drop(log);
        assert_eq!(Evidence::open(&path, || 9).unwrap().list(Kind::Command).len(), 2);
    }

    #[tokio::test]
    async fn a_watch_misses_nothing_between_the_list_and_the_events() {
        let directory = tempfile::tempdir().unwrap();
        let log = Evidence::open(&directory.path().join("evidence.jsonl"), || 1).unwrap();
        log.add(Kind::Command, json!({"line": "a"}), json!({}));
        let (before, mut events) = log.watch(Kind::Command);
        let name = log.add(Kind::Command, json!({"line": "b"}), json!({}));
        assert_eq!(before.len(), 1);
        let event = events.recv().await.unwrap();
        assert_eq!((event.change, name_of(&event.object)), (Change::Added, name));
    }
}
