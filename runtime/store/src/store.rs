//! The store: commits, reads, watches, history, undo.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use drydock_primitives::clock::SharedClock;
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use crate::background::{Compactor, Job, Syncer, compact, lock};
use crate::checkpoint::{Current, Pin, Replay, events, pin_record};
use crate::event::{Event, Revision};
use crate::index::{Entry, Snapshot};
use crate::journal::{self, Journal, OpenError};
use crate::record::{MAX_PAYLOAD, Record, TxnRecord};
use crate::watch::{Hub, Watch};

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the API may go back: a watch or a list from before is [`Compacted`].
    pub api_horizon: Duration,
    /// A segment larger than this is followed by a new one, and those before are compacted.
    pub segment_bytes: u64,
    /// What the history may take in memory; the oldest is forgotten beyond that.
    pub history_bytes: u64,
    /// The longest time between a commit and its sync to the disk.
    pub sync_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { api_horizon: Duration::from_secs(300), segment_bytes: 8 << 20, history_bytes: 24 << 20, sync_delay: Duration::from_millis(50) }
    }
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug)]
pub struct Txn {
    /// The changes; each key at most once.
    pub ops: Vec<Op>,
    /// Who does it.
    pub actor: Arc<str>,
    /// The ids of the requests that led to it.
    pub cause: Arc<str>,
    /// Whether the disk must have it soon, and history is to remember it. Leases do without both.
    pub sync: bool,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Op {
    /// Sets a key.
    Put {
        /// The key.
        key: String,
        /// Its new value.
        bytes: Bytes,
        /// What must be there before.
        expect: Expect,
    },
    /// Removes a key. Removing an absent key changes nothing.
    Delete {
        /// The key.
        key: String,
        /// What must be there before.
        expect: Expect,
    },
}

/// What must be at a key before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// The value of this revision.
    Revision(Revision),
    /// Whatever there is.
    Any,
}

/// A key was not as a transaction expected it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key}: expected {expected:?}, found {found:?}")]
pub struct Conflict {
    /// The key.
    pub key: String,
    /// What was expected.
    pub expected: Expect,
    /// The revision of the value found, if there is one.
    pub found: Option<Revision>,
}

/// Why a transaction was not committed. Nothing of it happened.
#[derive(Debug, Error)]
pub enum CommitError {
    /// A key was not as expected.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A key stands twice in the transaction.
    #[error("{0}: key changed twice in one transaction")]
    Duplicate(String),
    /// The transaction is larger than a record may be.
    #[error("transaction of {0} bytes is too large")]
    TooLarge(usize),
    /// The disk refused, most often because it is full.
    #[error("write to the journal: {0}")]
    Disk(#[from] io::Error),
}

/// The revision asked for is no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("required revision {asked} has been compacted; the oldest is {oldest}")]
pub struct Compacted {
    /// The revision asked for.
    pub asked: Revision,
    /// The oldest that can be asked for.
    pub oldest: Revision,
}

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    clock: SharedClock,
    options: Options,
    writer: Mutex<Writer>,
    current: RwLock<Current>,
    gate: Arc<tokio::sync::RwLock<()>>,
    syncer: Arc<Syncer>,
    compactor: Compactor,
}

/// What only the writer touches.
struct Writer {
    journal: Journal,
    hub: Hub,
}

/// While this lives, nobody holds the writes.
#[derive(Debug)]
pub struct Writing {
    _gate: OwnedRwLockReadGuard<()>,
}

/// While this lives, whoever asks to write waits.
#[derive(Debug)]
pub struct Hold {
    _gate: OwnedRwLockWriteGuard<()>,
}

impl Store {
    /// Opens the store in `directory`, creating it when there is none.
    pub fn open(directory: &Path, clock: SharedClock) -> Result<Self, OpenError> {
        Self::open_with(directory, clock, Options::default())
    }

    /// As [`Store::open`], with other options.
    pub fn open_with(directory: &Path, clock: SharedClock, options: Options) -> Result<Self, OpenError> {
        let mut replay = Replay::default();
        let mut opened = Journal::open(directory, |record| replay.record(record))?;
        let mut current = replay.current;
        current.history.limit(options.history_bytes, api_horizon(&clock, &options));
        if opened.oldest < journal::VERSION {
            journal::back_up(directory, opened.oldest)?;
            let number = opened.journal.number();
            opened.synced = opened.journal.rotate()?;
            compact(directory, &Job { number, current: current.clone() })?;
        }
        let hub = Hub::default();
        hub.start_at(current.state.revision());
        let syncer = Syncer::start(opened.synced, options.sync_delay);
        let compactor = Compactor::start(opened.journal.directory().to_owned());
        let writer = Mutex::new(Writer { journal: opened.journal, hub });
        let inner = Inner { clock, options, writer, current: RwLock::new(current), gate: Arc::default(), syncer, compactor };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The revision of the last transaction.
    pub fn revision(&self) -> Revision {
        self.read(|current| current.state.revision())
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.read(|current| current.state.get(key).cloned())
    }

    /// The state now.
    pub fn snapshot(&self) -> Snapshot {
        self.read(|current| current.state.clone())
    }

    /// The state right after `revision`, as far back as the API may look.
    pub fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Compacted> {
        let current = self.current();
        current.history.check_api(revision, current.state.revision(), self.api_horizon())?;
        Ok(current.history.state_at(&current.state, revision))
    }

    /// The state right after `revision`, as far back as the evidence goes. Keys that are written without sync may show a later value.
    pub fn evidence_at(&self, revision: Revision) -> Result<Snapshot, Compacted> {
        let current = self.current();
        current.history.check_evidence(revision)?;
        Ok(current.history.state_at(&current.state, revision))
    }

    /// Says that a write begins; waits while somebody holds the writes. Whoever commits without is not held.
    pub async fn writing(&self) -> Writing {
        Writing { _gate: Arc::clone(&self.inner.gate).read_owned().await }
    }

    /// As [`Store::writing`], at once or not at all.
    pub fn try_writing(&self) -> Option<Writing> {
        Arc::clone(&self.inner.gate).try_read_owned().ok().map(|gate| Writing { _gate: gate })
    }

    /// Waits for the writes that have begun, and holds those that have not.
    pub async fn hold(&self) -> Hold {
        Hold { _gate: Arc::clone(&self.inner.gate).write_owned().await }
    }

    /// Gives the present state a name: it is kept, also across restarts, until [`Store::unpin`]. A pin of that name is replaced.
    pub fn pin(&self, name: &str, note: impl Into<Bytes>) -> Result<Pin, CommitError> {
        let mut writer = lock(&self.inner.writer);
        let mut current = self.current();
        let pin = Pin { name: name.into(), time: self.inner.clock.now(), note: note.into(), state: current.state.clone() };
        self.append(&mut writer, &Record::Pin(pin_record(&pin)))?;
        current.pins.insert(Arc::clone(&pin.name), pin.clone());
        self.set_current(current);
        self.inner.syncer.request();
        Ok(pin)
    }

    /// Lets a named state go. Without that name, nothing happens.
    pub fn unpin(&self, name: &str) -> Result<(), CommitError> {
        let mut writer = lock(&self.inner.writer);
        let mut current = self.current();
        if current.pins.remove(name).is_some() {
            self.append(&mut writer, &Record::Unpin { name: name.into() })?;
            self.set_current(current);
        }
        Ok(())
    }

    /// All named states, oldest first.
    pub fn pins(&self) -> Vec<Pin> {
        let mut pins: Vec<Pin> = self.read(|current| current.pins.values().cloned().collect());
        pins.sort_by_key(|pin| (pin.state.revision(), pin.time));
        pins
    }

    /// Commits a transaction. Synchronous, so that dropping the request cannot stop it half-way.
    ///
    /// A transaction that changes nothing takes no revision and answers with the current one.
    pub fn commit(&self, txn: Txn) -> Result<Revision, CommitError> {
        let mut writer = lock(&self.inner.writer);
        let mut current = self.current();
        let changes = check(&current.state, txn.ops)?;
        if changes.is_empty() {
            return Ok(current.state.revision());
        }
        let revision = Revision(current.state.revision().0 + 1);
        let record = TxnRecord { revision, time: self.inner.clock.now(), actor: txn.actor, cause: txn.cause, volatile: !txn.sync, changes };
        let events = events(&current.state, &record);
        self.append(&mut writer, &Record::Txn(record))?;
        for event in &events {
            current.state.apply(event);
            current.history.push(Arc::clone(event));
        }
        current.history.limit(self.inner.options.history_bytes, self.api_horizon());
        self.set_current(current);
        // Readers see the revision before any watch tells of it.
        writer.hub.publish(revision, &events);
        if txn.sync {
            self.inner.syncer.request();
        }
        if writer.journal.length() > self.inner.options.segment_bytes {
            self.rotate(&mut writer);
        }
        Ok(revision)
    }

    /// Watches every key that starts with `prefix`: first what happened after `from`, then what happens.
    pub fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Compacted> {
        let horizon = self.api_horizon();
        self.watch_since(prefix, from, |current| current.history.check_api(from, current.state.revision(), horizon))
    }

    /// As [`Store::watch`], as far back as the evidence goes.
    pub fn watch_evidence(&self, prefix: &str, from: Revision) -> Result<Watch, Compacted> {
        self.watch_since(prefix, from, |current| current.history.check_evidence(from))
    }

    /// What happened after `since` to keys that start with `prefix`, oldest first. History that is forgotten is left out.
    pub fn history(&self, prefix: &str, since: Revision) -> Vec<Arc<Event>> {
        let current = self.current();
        current.history.tail(since).filter(|event| event.key.starts_with(prefix)).cloned().collect()
    }

    /// The revision after which the history is whole: what happened up to it is forgotten.
    pub fn forgotten(&self) -> Revision {
        self.read(|current| current.history.forgotten())
    }

    /// Commits what `plan` makes of the present state, as one transaction; plans anew when somebody wrote in between.
    pub fn rewrite(&self, actor: &str, cause: &str, mut plan: impl FnMut(&Snapshot) -> Vec<Op>) -> Result<Revision, CommitError> {
        loop {
            let ops = plan(&self.snapshot());
            match self.commit(Txn { ops, actor: actor.into(), cause: cause.into(), sync: true }) {
                Err(CommitError::Conflict(_)) => {}
                result => return result,
            }
        }
    }

    /// Commits the way back to the state after `to`, as one transaction with a new revision.
    ///
    /// Keys for which `keep` answers true stay as they are.
    pub fn restore(&self, to: Revision, actor: &str, cause: &str, keep: impl Fn(&str) -> bool) -> Result<Revision, RestoreError> {
        let then = self.evidence_at(to)?;
        Ok(self.rewrite(actor, cause, |now| way_back(&then, now, &keep))?)
    }

    /// Forgets the history before `revision`. Its place on the disk is free when the journal is compacted next.
    pub fn forget(&self, before: Revision) {
        let _writer = lock(&self.inner.writer);
        let mut current = self.current();
        current.history.forget(Revision(before.0.saturating_sub(1)).min(current.state.revision()));
        self.set_current(current);
    }

    /// Ends every watch. Reads and commits go on working.
    pub fn close_watches(&self) {
        lock(&self.inner.writer).hub.close();
    }

    fn watch_since(&self, prefix: &str, from: Revision, check: impl FnOnce(&Current) -> Result<(), Compacted>) -> Result<Watch, Compacted> {
        // The writer's lock: no commit falls between the backlog and the subscription.
        let mut writer = lock(&self.inner.writer);
        let current = self.current();
        check(&current)?;
        let backlog: VecDeque<_> = current.history.tail(from).filter(|event| event.key.starts_with(prefix)).cloned().collect();
        Ok(writer.hub.subscribe(prefix, backlog))
    }

    fn api_horizon(&self) -> Timestamp {
        api_horizon(&self.inner.clock, &self.inner.options)
    }

    fn append(&self, writer: &mut Writer, record: &Record) -> Result<(), CommitError> {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        if bytes.len() > MAX_PAYLOAD {
            return Err(CommitError::TooLarge(bytes.len()));
        }
        self.inner.syncer.check()?;
        Ok(writer.journal.append(&bytes)?)
    }

    /// A failed rotation is not a failed commit: the old segment goes on growing.
    fn rotate(&self, writer: &mut Writer) {
        let mut current = self.current();
        let number = writer.journal.number();
        // A torn end is forgiven in the last segment only, so the old one is on the disk before it stops being that.
        if let Err(error) = self.inner.syncer.sync() {
            return tracing::warn!(%error, "cannot sync the journal segment before the next one");
        }
        match writer.journal.rotate() {
            Ok(file) => {
                self.inner.syncer.replace(file);
                current.history.sweep(self.api_horizon());
                self.set_current(current.clone());
                self.inner.compactor.request(Job { number, current });
            }
            Err(error) => tracing::warn!(%error, "cannot start a new journal segment"),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Current) -> T) -> T {
        look(&self.inner.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn current(&self) -> Current {
        self.read(Clone::clone)
    }

    fn set_current(&self, current: Current) {
        *self.inner.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    #[cfg(test)]
    fn replace_medium(&self, medium: Box<dyn crate::journal::Medium>) {
        lock(&self.inner.writer).journal.replace_medium(medium);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

/// Why a restore did not happen.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The revision is no longer known.
    #[error(transparent)]
    Compacted(#[from] Compacted),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.syncer.close();
        self.compactor.close();
    }
}

fn api_horizon(clock: &SharedClock, options: &Options) -> Timestamp {
    clock.now().checked_sub(options.api_horizon).unwrap_or(Timestamp::MIN)
}

/// Compares a transaction with the state; answers with the changes that are any.
fn check(state: &Snapshot, ops: Vec<Op>) -> Result<Vec<(Arc<str>, Option<Bytes>)>, CommitError> {
    let mut seen = HashSet::new();
    let mut changes = Vec::with_capacity(ops.len());
    for op in ops {
        let (key, value, expected) = match op {
            Op::Put { key, bytes, expect } => (key, Some(bytes), expect),
            Op::Delete { key, expect } => (key, None, expect),
        };
        let found = state.get(&key).map(|entry| entry.revision);
        let fits = match expected {
            Expect::Absent => found.is_none(),
            Expect::Revision(revision) => found == Some(revision),
            Expect::Any => true,
        };
        if !fits {
            return Err(Conflict { key, expected, found }.into());
        }
        let key: Arc<str> = key.into();
        if !seen.insert(Arc::clone(&key)) {
            return Err(CommitError::Duplicate(key.to_string()));
        }
        if value.is_some() || found.is_some() {
            changes.push((key, value));
        }
    }
    Ok(changes)
}

fn way_back(then: &Snapshot, now: &Snapshot, keep: &impl Fn(&str) -> bool) -> Vec<Op> {
    let mut ops = Vec::new();
    for difference in then.differences(now).into_iter().filter(|difference| !keep(&difference.key)) {
        let key = difference.key.to_string();
        let expect = difference.now.as_ref().map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
        match (difference.then, difference.now) {
            (Some(then), Some(now)) if then.bytes == now.bytes => {}
            (Some(then), _) => ops.push(Op::Put { key, bytes: then.bytes, expect }),
            (None, _) => ops.push(Op::Delete { key, expect }),
        }
    }
    ops
}

#[cfg(test)]
mod tests {
    use drydock_primitives::clock::ManualClock;

    use super::*;
    use crate::journal::Medium;

    /// A disk that holds so many bytes and no more.
    struct SmallDisk {
        written: Arc<Mutex<Vec<u8>>>,
        room: usize,
    }

    impl Medium for SmallDisk {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let mut written = lock(&self.written);
            let fits = bytes.len().min(self.room - written.len());
            written.extend_from_slice(&bytes[..fits]);
            if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            // The journal's own header is not on this disk.
            lock(&self.written).truncate(length as usize - 20);
            Ok(())
        }
    }

    fn put(key: &str, value: &str) -> Txn {
        let op = Op::Put { key: key.into(), bytes: Bytes::copy_from_slice(value.as_bytes()), expect: Expect::Any };
        Txn { ops: vec![op], actor: "test".into(), cause: "".into(), sync: true }
    }

    #[test]
    fn after_a_failed_sync_nothing_is_acknowledged() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path(), Arc::new(ManualClock::default())).expect("a store");
        // A pipe cannot be synced (EINVAL), so it stands in for a disk that fails.
        let (_reader, writer) = io::pipe().expect("a pipe");
        store.inner.syncer.replace(std::fs::File::from(std::os::fd::OwnedFd::from(writer)));
        store.commit(put("/a", "1")).expect("nobody knows yet");
        while store.inner.syncer.check().is_ok() {
            std::thread::yield_now();
        }
        let error = store.commit(put("/b", "1")).expect_err("the disk fails");
        assert!(error.to_string().contains("the disk did not take what was written before"), "{error}");
        assert!(store.get("/a").is_some() && store.get("/b").is_none(), "reads go on");
    }

    #[test]
    fn a_full_disk_refuses_whole_transactions_and_reads_go_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(directory.path(), Arc::new(ManualClock::default())).expect("a store");
        let written = Arc::new(Mutex::new(Vec::new()));
        store.replace_medium(Box::new(SmallDisk { written: Arc::clone(&written), room: 300 }));
        assert_eq!(store.commit(put("/a", "1")).expect("room"), Revision(1));
        let length = lock(&written).len();
        let error = store.commit(put("/b", &"x".repeat(1000))).expect_err("no room");
        assert!(error.to_string().starts_with("write to the journal: "), "{error}");
        assert_eq!(lock(&written).len(), length, "nothing half-written");
        assert!(store.get("/a").is_some() && store.get("/b").is_none());
        assert_eq!(store.revision(), Revision(1));
        assert_eq!(store.commit(put("/c", "2")).expect("room again"), Revision(2));
    }
}
