//! The evidence log: what the learner did, kept in the order it happened and across kill -9.
//!
//! * Records are objects of `lab.drydock.internal/v1alpha1`; each carries the cluster revision after which it happened, but never
//!   consumes one.
//! * They live in a journal of their own, the same code as the cluster's: checksums, torn tails dropped, synced in groups, compacted.
//! * Each kind has so much room; the oldest records go when it is full. What a program reads again and again is one record that counts.
//! * A reset begins anew: what happened before it is no evidence of anything after it.
//! * Kinds that describe what runs now (`nodecontainers`) are forgotten at the start: they come back with the nodes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use drydock_primitives::clock::SystemClock;
use drydock_store::{EventKind, Expect, OpenError, Op, Options, Store, Txn, Watch};
use jiff::Timestamp;
use serde_json::{Value, json};

/// API group and version of every record.
pub(crate) const API_VERSION: &str = "lab.drydock.internal/v1alpha1";

/// How the log's journal behaves: watchers read from it, nobody looks back.
fn options() -> Options {
    Options { segment_bytes: 4 << 20, history_bytes: 1 << 20, ..Options::default() }
}

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
    /// An undo, restore, reset or skip.
    Restoration,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 5] = [Kind::Command, Kind::Stream, Kind::Read, Kind::NodeContainer, Kind::Restoration];

    /// As it appears in URLs.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Kind::Command => "commands",
            Kind::Stream => "streams",
            Kind::Read => "reads",
            Kind::NodeContainer => "nodecontainers",
            Kind::Restoration => "restorations",
        }
    }

    /// As it appears in objects.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Kind::Command => "Command",
            Kind::Stream => "Stream",
            Kind::Read => "Read",
            Kind::NodeContainer => "NodeContainer",
            Kind::Restoration => "Restoration",
        }
    }

    /// The kind of a URL segment.
    pub(crate) fn from_plural(plural: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    /// Whether it tells of what happened, not of what is.
    fn is_past(self) -> bool {
        self != Kind::NodeContainer
    }

    /// Bytes its records may take; commands bring up to 64 KiB of output each.
    fn room(self) -> usize {
        match self {
            Kind::Command => 8 << 20,
            Kind::Stream | Kind::Read => 2 << 20,
            Kind::Restoration => 1 << 20,
            Kind::NodeContainer => usize::MAX,
        }
    }

    fn prefix(self) -> String {
        format!("/{}/", self.plural())
    }

    fn key(self, name: &str) -> String {
        format!("/{}/{name}", self.plural())
    }
}

/// The log. Clones share it.
#[derive(Clone)]
pub(crate) struct Evidence {
    store: Store,
    inner: Arc<Mutex<Inner>>,
    revision: Arc<dyn Fn() -> u64 + Send + Sync>,
}

#[derive(Default)]
struct Inner {
    /// The number of the newest name.
    next: u64,
    /// Names and sizes of a kind's records, oldest first.
    shelves: BTreeMap<Kind, Shelf>,
    /// The record of each request that was seen, by what it asked.
    reads: HashMap<String, String>,
}

#[derive(Default)]
struct Shelf {
    records: VecDeque<(String, usize)>,
    bytes: usize,
}

/// The records of a kind, oldest first, and every change from then on.
pub(crate) struct Followed {
    /// What is there.
    pub(crate) before: Vec<Value>,
    changes: Watch,
}

impl Followed {
    /// The next change: `ADDED`, `MODIFIED` or `DELETED`, and the record; of a deleted one, as it was.
    pub(crate) async fn next(&mut self) -> Option<(&'static str, Value)> {
        let event = self.changes.next().await?;
        let (word, bytes) = match event.kind {
            EventKind::Create => ("ADDED", &event.new),
            EventKind::Update => ("MODIFIED", &event.new),
            EventKind::Delete => ("DELETED", &event.old),
        };
        Some((word, decode(bytes.as_deref().unwrap_or_default())))
    }
}

impl Evidence {
    /// Open the log in `directory`. `revision` tells the cluster's revision now.
    ///
    /// # Errors
    /// When the journal cannot be opened.
    pub(crate) fn open(directory: &Path, revision: impl Fn() -> u64 + Send + Sync + 'static) -> Result<Evidence, OpenError> {
        let store = Store::open_with(directory, SystemClock::shared(), options())?;
        let log = Evidence { store, inner: Arc::default(), revision: Arc::new(revision) };
        log.forget(|kind| !kind.is_past());
        let snapshot = log.store.snapshot();
        let mut inner = log.lock();
        for kind in Kind::ALL {
            let prefix = kind.prefix();
            let mut entries: Vec<_> = snapshot.range(&prefix).collect();
            entries.sort_by_key(|(_, entry)| entry.create_revision);
            for (key, entry) in entries {
                let name = key[prefix.len()..].to_owned();
                let number = name.rsplit('-').next().and_then(|number| number.parse().ok());
                inner.next = inner.next.max(number.unwrap_or(0));
                inner.shelve(kind, name, entry.bytes.len());
            }
        }
        drop(inner);
        Ok(log)
    }

    /// Record something new; returns its name.
    pub(crate) fn add(&self, kind: Kind, spec: Value, status: Value) -> String {
        let mut inner = self.lock();
        self.add_locked(&mut inner, kind, spec, status)
    }

    /// Record a request: one record for each thing that is asked, however often one program asks it.
    pub(crate) fn read(&self, spec: Value, mut status: Value) {
        let asked = spec.to_string();
        let mut inner = self.lock();
        let known = inner.reads.get(&asked).and_then(|name| Some((name.clone(), self.get(Kind::Read, name)?)));
        let Some((name, mut record)) = known else {
            status["count"] = json!(1);
            let name = self.add_locked(&mut inner, Kind::Read, spec, status);
            inner.reads.insert(asked, name);
            return;
        };
        let count = record["status"]["count"].as_u64().unwrap_or(1) + 1;
        status["count"] = json!(count);
        status["first"] = record["status"]["first"].as_str().or(record["status"]["received"].as_str()).into();
        record["status"] = status;
        record["metadata"]["resourceVersion"] = json!((self.revision)().to_string());
        self.write(&mut inner, Kind::Read, &name, &record);
    }

    /// Record something under a name of the caller's.
    pub(crate) fn set(&self, kind: Kind, name: &str, spec: Value, status: Value) {
        let mut inner = self.lock();
        let created = self.get(kind, name).map(|known| known["metadata"]["creationTimestamp"].clone());
        let record = self.object(kind, name, created, spec, status);
        self.write(&mut inner, kind, name, &record);
    }

    /// Change a record.
    pub(crate) fn update(&self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) {
        let mut inner = self.lock();
        let Some(mut record) = self.get(kind, name) else { return };
        change(&mut record);
        self.write(&mut inner, kind, name, &record);
    }

    /// Forget a record.
    pub(crate) fn remove(&self, kind: Kind, name: &str) {
        let mut inner = self.lock();
        inner.take(kind, name);
        self.commit(kind, vec![Op::Delete { key: kind.key(name), expect: Expect::Any }]);
    }

    /// Forget what happened: a new chapter begins.
    pub(crate) fn begin_anew(&self) {
        self.forget(Kind::is_past);
        let mut inner = self.lock();
        inner.shelves.retain(|kind, _| !kind.is_past());
        inner.reads.clear();
    }

    /// One record.
    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<Value> {
        Some(decode(&self.store.get(&kind.key(name))?.bytes))
    }

    /// All records of a kind, oldest first.
    pub(crate) fn list(&self, kind: Kind) -> Vec<Value> {
        list(&self.store.snapshot(), kind)
    }

    /// All records of a kind, oldest first, and every change from then on. None is missed in between.
    pub(crate) fn watch(&self, kind: Kind) -> Followed {
        loop {
            let snapshot = self.store.snapshot();
            // Only what was committed in the last instant is read from the history, so it is there.
            if let Ok(changes) = self.store.watch_evidence(&kind.prefix(), snapshot.revision()) {
                return Followed { before: list(&snapshot, kind), changes };
            }
        }
    }

    fn add_locked(&self, inner: &mut Inner, kind: Kind, spec: Value, status: Value) -> String {
        inner.next += 1;
        let name = format!("{}-{}", kind.kind().to_lowercase(), inner.next);
        let record = self.object(kind, &name, None, spec, status);
        self.write(inner, kind, &name, &record);
        name
    }

    fn object(&self, kind: Kind, name: &str, created: Option<Value>, spec: Value, status: Value) -> Value {
        let created = created.unwrap_or_else(|| json!(Timestamp::now().to_string()));
        json!({
            "apiVersion": API_VERSION,
            "kind": kind.kind(),
            "metadata": {"name": name, "resourceVersion": (self.revision)().to_string(), "creationTimestamp": created},
            "spec": spec,
            "status": status,
        })
    }

    /// Write a record and let the oldest go that have no room beside it.
    fn write(&self, inner: &mut Inner, kind: Kind, name: &str, record: &Value) {
        let bytes = Bytes::from(record.to_string());
        inner.shelve(kind, name.to_owned(), bytes.len());
        let mut ops = vec![Op::Put { key: kind.key(name), bytes, expect: Expect::Any }];
        for old in inner.overflow(kind) {
            ops.push(Op::Delete { key: kind.key(&old), expect: Expect::Any });
        }
        self.commit(kind, ops);
    }

    fn commit(&self, kind: Kind, ops: Vec<Op>) {
        let txn = Txn { ops, actor: "".into(), cause: "".into(), sync: kind.is_past() };
        if let Err(error) = self.store.commit(txn) {
            tracing::error!(%error, kind = kind.kind(), "evidence is lost");
        }
    }

    fn forget(&self, which: impl Fn(Kind) -> bool) {
        let snapshot = self.store.snapshot();
        for kind in Kind::ALL.into_iter().filter(|kind| which(*kind)) {
            let delete = |key: &str| Op::Delete { key: key.to_owned(), expect: Expect::Any };
            self.commit(kind, snapshot.range(&kind.prefix()).map(|(key, _)| delete(key)).collect());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Put a record on its shelf; one that is there stays where it is.
    fn shelve(&mut self, kind: Kind, name: String, size: usize) {
        let shelf = self.shelves.entry(kind).or_default();
        shelf.bytes += size;
        match shelf.records.iter_mut().rev().find(|(own, _)| *own == name) {
            Some((_, old)) => shelf.bytes -= std::mem::replace(old, size),
            None => shelf.records.push_back((name, size)),
        }
    }

    fn take(&mut self, kind: Kind, name: &str) {
        let shelf = self.shelves.entry(kind).or_default();
        if let Some(place) = shelf.records.iter().position(|(own, _)| own == name)
            && let Some((_, size)) = shelf.records.remove(place)
        {
            shelf.bytes -= size;
        }
    }

    /// Take off what has no room; the newest always has.
    fn overflow(&mut self, kind: Kind) -> Vec<String> {
        let shelf = self.shelves.entry(kind).or_default();
        let mut gone = Vec::new();
        while shelf.bytes > kind.room() && shelf.records.len() > 1 {
            let Some((name, size)) = shelf.records.pop_front() else { break };
            shelf.bytes -= size;
            gone.push(name);
        }
        if kind == Kind::Read && !gone.is_empty() {
            self.reads.retain(|_, name| !gone.contains(name));
        }
        gone
    }
}

fn list(snapshot: &drydock_store::Snapshot, kind: Kind) -> Vec<Value> {
    let prefix = kind.prefix();
    let mut entries: Vec<_> = snapshot.range(&prefix).map(|(_, entry)| entry).collect();
    entries.sort_by_key(|entry| entry.create_revision);
    entries.into_iter().map(|entry| decode(&entry.bytes)).collect()
}

/// Every value was written here, so it is JSON.
fn decode(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_a_reopen_and_a_torn_last_record() {
        let directory = tempfile::tempdir().unwrap();
        let log = Evidence::open(directory.path(), || 7).unwrap();
        let name = log.add(Kind::Command, json!({"line": "kubectl get pods"}), json!({}));
        log.update(Kind::Command, &name, |record| record["status"]["exitCode"] = json!(0));
        log.set(Kind::NodeContainer, "abc", json!({}), json!({}));
        log.add(Kind::Command, json!({"line": "echo \u{2713}"}), json!({}));
        drop(log);
        let segment = directory.path().join("0000000001.journal");
        let whole = std::fs::read(&segment).unwrap();
        std::fs::write(&segment, &whole[..whole.len() - 3]).unwrap();

        let log = Evidence::open(directory.path(), || 9).unwrap();
        let commands = log.list(Kind::Command);
        assert_eq!(commands.len(), 1, "the torn one is gone");
        assert_eq!((&commands[0]["status"]["exitCode"], &commands[0]["metadata"]["resourceVersion"]), (&json!(0), &json!("7")));
        assert!(log.list(Kind::NodeContainer).is_empty(), "containers come back with the nodes");
        let next = log.add(Kind::Command, json!({}), json!({}));
        assert_ne!(next, name);
        drop(log);
        let log = Evidence::open(directory.path(), || 9).unwrap();
        assert_eq!(log.list(Kind::Command).len(), 2);
        log.set(Kind::NodeContainer, "abc", json!({}), json!({}));
        log.begin_anew();
        assert_eq!((log.list(Kind::Command).len(), log.list(Kind::NodeContainer).len()), (0, 1));
        assert_ne!(log.add(Kind::Command, json!({}), json!({})), next, "names are not given twice");
    }

    #[test]
    fn what_is_read_again_and_again_is_one_record_and_old_ones_make_room() {
        let directory = tempfile::tempdir().unwrap();
        let log = Evidence::open(directory.path(), || 3).unwrap();
        let session = |number: u32| json!({"verb": "get", "resource": "pods", "kubectlSession": number});
        for number in 0..10_000 {
            log.read(session(number / 100), json!({"received": number.to_string()}));
        }
        let reads = log.list(Kind::Read);
        assert_eq!(reads.len(), 100);
        assert!(reads.iter().all(|read| read["status"]["count"] == 100));
        assert_eq!((&reads[1]["status"]["first"], &reads[1]["status"]["received"]), (&json!("100"), &json!("199")));

        let output = "x".repeat(64 << 10);
        for number in 0..300 {
            log.add(Kind::Command, json!({"number": number}), json!({"output": output}));
        }
        let commands = log.list(Kind::Command);
        assert!(commands.len() < 130, "{}", commands.len());
        assert_eq!(commands.last().unwrap()["spec"]["number"], 299);
        drop(log);
        let size: u64 = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size < 24 << 20, "{size} bytes");
    }

    #[tokio::test]
    async fn a_watch_misses_nothing_between_the_list_and_the_changes() {
        let directory = tempfile::tempdir().unwrap();
        let log = Evidence::open(directory.path(), || 1).unwrap();
        log.add(Kind::Command, json!({"line": "a"}), json!({}));
        let mut followed = log.watch(Kind::Command);
        log.add(Kind::Stream, json!({}), json!({}));
        let name = log.add(Kind::Command, json!({"line": "b"}), json!({}));
        log.remove(Kind::Command, &name);
        assert_eq!(followed.before.len(), 1);
        let (word, record) = followed.next().await.unwrap();
        assert_eq!((word, &record["metadata"]["name"]), ("ADDED", &json!(name)));
        let (word, record) = followed.next().await.unwrap();
        assert_eq!((word, &record["spec"]["line"]), ("DELETED", &json!("b")));
    }
}
