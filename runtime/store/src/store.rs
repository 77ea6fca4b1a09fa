//! The store: commits, reads, watches, history, undo.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use drydock_primitives::clock::SharedClock;
use imbl::Vector;
use jiff::Timestamp;
use thiserror::Error;

use crate::event::{Event, EventKind, Revision};
use crate::index::{Entry, Snapshot};
use crate::journal::{Journal, OpenError, snapshot_fits};
use crate::record::{MAX_PAYLOAD, Record, TxnRecord};
use crate::watch::{Hub, Watch};

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the API may go back: a watch or a list from before is [`Compacted`].
    pub api_horizon: Duration,
    /// A segment larger than this is followed by a new one.
    pub segment_bytes: u64,
    /// How many segments of history are kept, with the one being written.
    pub segments: u64,
    /// The longest time between a commit and its sync to the disk.
    pub sync_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { api_horizon: Duration::from_secs(300), segment_bytes: 32 << 20, segments: 8, sync_delay: Duration::from_millis(50) }
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
    /// Whether the disk must have it soon. Leases do without.
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
    syncer: Arc<Syncer>,
    sync_thread: Mutex<Option<JoinHandle<()>>>,
}

/// What only the writer touches.
struct Writer {
    journal: Journal,
    hub: Hub,
    /// The last revision of each finished segment, by its number.
    segment_ends: BTreeMap<u64, Revision>,
}

/// What readers clone.
#[derive(Clone, Default)]
struct Current {
    state: Snapshot,
    log: Vector<Arc<Event>>,
    /// Events up to here are not in the log.
    forgotten: Revision,
}

impl Store {
    /// Opens the store in `directory`, creating it when there is none.
    pub fn open(directory: &Path, clock: SharedClock) -> Result<Self, OpenError> {
        Self::open_with(directory, clock, Options::default())
    }

    /// As [`Store::open`], with other options.
    pub fn open_with(directory: &Path, clock: SharedClock, options: Options) -> Result<Self, OpenError> {
        let mut replay = Replay::default();
        let (journal, file) = Journal::open(directory, |record| replay.record(record))?;
        let current = replay.current;
        let hub = Hub::default();
        hub.start_at(current.state.revision());
        let oldest = journal.number() - replay.segment_ends.len() as u64;
        let segment_ends = (oldest..).zip(replay.segment_ends).collect();
        let syncer = Arc::new(Syncer { state: Mutex::new(SyncState { file: Some(Arc::new(file)), dirty: false, closed: false }), wake: Condvar::new() });
        let thread = syncer.start(options.sync_delay);
        let writer = Mutex::new(Writer { journal, hub, segment_ends });
        let inner = Inner { clock, options, writer, current: RwLock::new(current), syncer, sync_thread: Mutex::new(thread) };
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
        check_horizon(&current, revision, self.api_horizon())?;
        Ok(state_at(&current, revision))
    }

    /// The state right after `revision`, as far back as the evidence goes.
    pub fn evidence_at(&self, revision: Revision) -> Result<Snapshot, Compacted> {
        let current = self.current();
        check_horizon(&current, revision, Timestamp::MIN)?;
        Ok(state_at(&current, revision))
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
        let record = TxnRecord { revision, time: self.inner.clock.now(), actor: txn.actor, cause: txn.cause, changes };
        let events = events(&current.state, &record);
        let mut bytes = Vec::new();
        Record::Txn(record).encode(&mut bytes);
        if bytes.len() > MAX_PAYLOAD {
            return Err(CommitError::TooLarge(bytes.len()));
        }
        writer.journal.append(&bytes)?;
        for event in &events {
            current.state.apply(event);
            current.log.push_back(Arc::clone(event));
        }
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
        self.watch_since(prefix, from, self.api_horizon())
    }

    /// As [`Store::watch`], as far back as the evidence goes.
    pub fn watch_evidence(&self, prefix: &str, from: Revision) -> Result<Watch, Compacted> {
        self.watch_since(prefix, from, Timestamp::MIN)
    }

    /// What happened after `since` to keys that start with `prefix`, oldest first. History that is forgotten is left out.
    pub fn history(&self, prefix: &str, since: Revision) -> Vec<Arc<Event>> {
        let current = self.current();
        tail(&current.log, since).filter(|event| event.key.starts_with(prefix)).cloned().collect()
    }

    /// Commits the way back to the state after `to`, as one transaction with a new revision.
    ///
    /// Keys for which `keep` answers true stay as they are.
    pub fn restore(&self, to: Revision, actor: &str, cause: &str, keep: impl Fn(&str) -> bool) -> Result<Revision, RestoreError> {
        loop {
            let current = self.current();
            check_horizon(&current, to, Timestamp::MIN)?;
            let ops = way_back(&current, to, &keep);
            match self.commit(Txn { ops, actor: actor.into(), cause: cause.into(), sync: true }) {
                // Somebody wrote in between: the way back starts elsewhere now.
                Err(CommitError::Conflict(_)) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Forgets the history before `revision`, and removes the segments that held nothing else.
    pub fn forget(&self, before: Revision) -> Result<(), OpenError> {
        let mut writer = lock(&self.inner.writer);
        let mut current = self.current();
        let index = first_after(&current.log, Revision(before.0.saturating_sub(1)));
        current.log = current.log.skip(index);
        current.forgotten = current.forgotten.max(Revision(before.0.saturating_sub(1)).min(current.state.revision()));
        let forgotten = current.forgotten;
        self.set_current(current);
        let keep = writer.segment_ends.iter().find(|(_, end)| **end > forgotten).map_or(writer.journal.number(), |(number, _)| *number);
        writer.segment_ends.retain(|number, _| *number >= keep);
        writer.journal.remove_before(keep)
    }

    /// Ends every watch. Reads and commits go on working.
    pub fn close_watches(&self) {
        lock(&self.inner.writer).hub.close();
    }

    fn watch_since(&self, prefix: &str, from: Revision, oldest: Timestamp) -> Result<Watch, Compacted> {
        // The writer's lock: no commit falls between the backlog and the subscription.
        let mut writer = lock(&self.inner.writer);
        let current = self.current();
        check_horizon(&current, from, oldest)?;
        let backlog: VecDeque<_> = tail(&current.log, from).filter(|event| event.key.starts_with(prefix)).cloned().collect();
        Ok(writer.hub.subscribe(prefix, backlog))
    }

    fn api_horizon(&self) -> Timestamp {
        let now = self.inner.clock.now();
        now.checked_sub(self.inner.options.api_horizon).unwrap_or(Timestamp::MIN)
    }

    /// A failed rotation is not a failed commit: the old segment goes on growing.
    fn rotate(&self, writer: &mut Writer) {
        let state = self.snapshot();
        let finished = writer.journal.number();
        // A torn end is forgiven in the last segment only, so the old one is on the disk before it stops being that.
        if let Err(error) = self.inner.syncer.sync() {
            return tracing::warn!(%error, "cannot sync the journal segment before the next one");
        }
        match writer.journal.rotate(&state) {
            Ok(file) => {
                self.inner.syncer.replace(file);
                writer.segment_ends.insert(finished, state.revision());
                self.limit_segments(writer);
            }
            Err(error) => tracing::warn!(%error, "cannot start a new journal segment"),
        }
    }

    fn limit_segments(&self, writer: &mut Writer) {
        let keep = (writer.journal.number() + 1).saturating_sub(self.inner.options.segments);
        let gone: Vec<u64> = writer.segment_ends.keys().copied().filter(|number| *number < keep).collect();
        let Some(end) = gone.iter().filter_map(|number| writer.segment_ends.remove(number)).max() else {
            return;
        };
        let mut current = self.current();
        current.log = current.log.skip(first_after(&current.log, end));
        current.forgotten = current.forgotten.max(end);
        self.set_current(current);
        if let Err(error) = writer.journal.remove_before(keep) {
            tracing::warn!(%error, "cannot remove an old journal segment");
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
        if let Some(thread) = lock(&self.sync_thread).take() {
            if thread.join().is_err() {
                tracing::error!("the journal's sync thread has panicked");
            }
        }
    }
}

/// Builds the state from the records of a journal.
#[derive(Default)]
struct Replay {
    current: Current,
    /// Entries of a snapshot that opens the oldest segment.
    loading: Snapshot,
    /// Where each segment but the last ended.
    segment_ends: Vec<Revision>,
}

impl Replay {
    /// Takes one record; none when it does not fit those before.
    fn record(&mut self, record: Record) -> Option<()> {
        let empty = self.current.state.revision() == Revision(0);
        match record {
            Record::Txn(txn) => {
                if txn.revision.0 != self.current.state.revision().0 + 1 {
                    return None;
                }
                for event in events(&self.current.state, &txn) {
                    self.current.state.apply(&event);
                    self.current.log.push_back(event);
                }
            }
            Record::Entry { key, revision, create_revision, bytes } => {
                if empty {
                    self.loading.put(key, Entry { revision, create_revision, bytes });
                }
            }
            Record::SnapshotEnd { revision, count } => {
                if empty {
                    let mut state = std::mem::take(&mut self.loading);
                    state.set_revision(revision);
                    self.current.state = state;
                    self.current.forgotten = revision;
                } else {
                    self.segment_ends.push(revision);
                }
                return snapshot_fits(&self.current.state, revision, count).then_some(());
            }
        }
        Some(())
    }
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

fn events(state: &Snapshot, txn: &TxnRecord) -> Vec<Arc<Event>> {
    let event = |(key, new): &(Arc<str>, Option<Bytes>)| {
        let old = state.get(key);
        let kind = match (old, new) {
            (_, None) => EventKind::Delete,
            (None, Some(_)) => EventKind::Create,
            (Some(_), Some(_)) => EventKind::Update,
        };
        Arc::new(Event {
            revision: txn.revision,
            time: txn.time,
            key: Arc::clone(key),
            kind,
            new: new.clone(),
            old: old.map(|entry| entry.bytes.clone()),
            old_revision: old.map_or(Revision(0), |entry| entry.revision),
            create_revision: old.map_or(txn.revision, |entry| entry.create_revision),
            actor: Arc::clone(&txn.actor),
            cause: Arc::clone(&txn.cause),
        })
    };
    txn.changes.iter().map(event).collect()
}

/// Position of the first event after `revision`.
fn first_after(log: &Vector<Arc<Event>>, revision: Revision) -> usize {
    log.binary_search_by(|event| if event.revision <= revision { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater })
        .unwrap_or_else(|position| position)
}

fn tail(log: &Vector<Arc<Event>>, since: Revision) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
    let start = first_after(log, since);
    log.focus().narrow(start..).into_iter()
}

/// Whether everything after `from` is known and no older than `oldest`.
fn check_horizon(current: &Current, from: Revision, oldest: Timestamp) -> Result<(), Compacted> {
    let needed = current.log.get(first_after(&current.log, from));
    let too_old = needed.is_some_and(|event| event.time < oldest);
    if from >= current.forgotten && !too_old {
        return Ok(());
    }
    let known = current.log.iter().find(|event| event.time >= oldest);
    let first = known.map_or(current.state.revision(), |event| Revision(event.revision.0 - 1));
    Err(Compacted { asked: from, oldest: first.max(current.forgotten) })
}

fn state_at(current: &Current, revision: Revision) -> Snapshot {
    let mut state = current.state.clone();
    for event in tail(&current.log, revision).rev() {
        state.undo(event);
    }
    state.set_revision(revision.min(current.state.revision()));
    state
}

fn way_back(current: &Current, to: Revision, keep: &impl Fn(&str) -> bool) -> Vec<Op> {
    let mut before: BTreeMap<&str, Option<&Bytes>> = BTreeMap::new();
    for event in tail(&current.log, to).filter(|event| !keep(&event.key)) {
        before.entry(&event.key).or_insert(event.old.as_ref());
    }
    let mut ops = Vec::new();
    for (key, old) in before {
        let now = current.state.get(key);
        let expect = now.map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
        match (old, now) {
            (Some(old), Some(entry)) if *old == entry.bytes => {}
            (Some(old), _) => ops.push(Op::Put { key: key.to_owned(), bytes: old.clone(), expect }),
            (None, Some(_)) => ops.push(Op::Delete { key: key.to_owned(), expect }),
            (None, None) => {}
        }
    }
    ops
}

/// Syncs the journal behind the writer's back: the first commit after a pause waits `delay`, those that follow within it ride along.
struct Syncer {
    state: Mutex<SyncState>,
    wake: Condvar,
}

struct SyncState {
    file: Option<Arc<File>>,
    dirty: bool,
    closed: bool,
}

impl Syncer {
    fn start(self: &Arc<Self>, delay: Duration) -> Option<JoinHandle<()>> {
        let syncer = Arc::clone(self);
        let spawned = std::thread::Builder::new().name("journal-sync".into()).spawn(move || syncer.run(delay));
        spawned.inspect_err(|error| tracing::error!(%error, "cannot start the journal's sync thread")).ok()
    }

    fn request(&self) {
        let mut state = lock(&self.state);
        if !state.dirty {
            state.dirty = true;
            self.wake.notify_one();
        }
    }

    fn replace(&self, file: File) {
        lock(&self.state).file = Some(Arc::new(file));
    }

    /// Syncs now, in the caller's thread.
    fn sync(&self) -> io::Result<()> {
        let file = lock(&self.state).file.clone();
        file.map_or(Ok(()), |file| file.sync_data())
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.wake.notify_one();
    }

    fn run(&self, delay: Duration) {
        loop {
            let waiting = lock(&self.state);
            let state = self.wake.wait_while(waiting, |state| !state.dirty && !state.closed).unwrap_or_else(PoisonError::into_inner);
            let (mut state, _) = self.wake.wait_timeout_while(state, delay, |state| !state.closed).unwrap_or_else(PoisonError::into_inner);
            let (file, closed) = (state.file.clone(), state.closed);
            state.dirty = false;
            drop(state);
            if let Some(Err(error)) = file.map(|file| file.sync_data()) {
                tracing::error!(%error, "cannot sync the journal to the disk");
            }
            if closed {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
