//! From a store to the records of a base, and from records back to a store.
//!
//! A base holds, in this order: each pin as what differs from the pin before; the state at the horizon as what differs from the last pin;
//! the transactions since. What is shared between pins is written once, and read back it is shared again.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use jiff::Timestamp;

use crate::event::{Event, EventKind, Revision};
use crate::history::History;
use crate::index::{Entry, Snapshot};
use crate::record::{PinRecord, Record, TxnRecord};

/// A state that was given a name, and is kept whatever history forgets.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Its name.
    pub name: Arc<str>,
    /// When it was made.
    pub time: Timestamp,
    /// What its maker wants to know of it later.
    pub note: Bytes,
    /// The state.
    pub state: Snapshot,
}

/// What readers clone.
#[derive(Clone, Default)]
pub(crate) struct Current {
    pub(crate) state: Snapshot,
    pub(crate) history: History,
    pub(crate) pins: OrdMap<Arc<str>, Pin>,
}

/// The events of a transaction on a state.
pub(crate) fn events(state: &Snapshot, txn: &TxnRecord) -> Vec<Arc<Event>> {
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
            volatile: txn.volatile,
        })
    };
    txn.changes.iter().map(event).collect()
}

/// The records of a base that stands for all of this.
pub(crate) fn encode(current: &Current) -> Vec<u8> {
    let mut buffer = Vec::new();
    Record::Base.encode(&mut buffer);
    let mut before = Snapshot::default();
    let mut pins: Vec<&Pin> = current.pins.values().collect();
    pins.sort_by_key(|pin| pin.state.revision());
    for pin in pins {
        encode_differences(&before, &pin.state, &mut buffer);
        Record::Pin(pin_record(pin)).encode(&mut buffer);
        before = pin.state.clone();
    }
    let first = current.history.state_at(&current.state, current.history.forgotten());
    encode_differences(&before, &first, &mut buffer);
    Record::SnapshotEnd { revision: first.revision(), count: first.len() as u64 }.encode(&mut buffer);
    encode_history(&current.history, current.state.revision(), &mut buffer);
    buffer
}

pub(crate) fn pin_record(pin: &Pin) -> PinRecord {
    PinRecord { name: Arc::clone(&pin.name), revision: pin.state.revision(), time: pin.time, note: pin.note.clone() }
}

fn encode_differences(before: &Snapshot, after: &Snapshot, buffer: &mut Vec<u8>) {
    for difference in before.differences(after) {
        let key = difference.key;
        match difference.now {
            Some(Entry { revision, create_revision, bytes }) => Record::Entry { key, revision, create_revision, bytes }.encode(buffer),
            None => Record::Gone { key }.encode(buffer),
        }
    }
}

fn encode_history(history: &History, now: Revision, buffer: &mut Vec<u8>) {
    let mut reached = history.forgotten();
    let mut events = history.events().peekable();
    while let Some(first) = events.next() {
        let mut changes = vec![(Arc::clone(&first.key), first.new.clone())];
        while let Some(next) = events.next_if(|next| next.revision == first.revision) {
            changes.push((Arc::clone(&next.key), next.new.clone()));
        }
        let (revision, time, volatile) = (first.revision, first.time, first.volatile);
        if revision.0 > reached.0 + 1 {
            Record::Skip { revision: Revision(revision.0 - 1) }.encode(buffer);
        }
        let (actor, cause) = (Arc::clone(&first.actor), Arc::clone(&first.cause));
        Record::Txn(TxnRecord { revision, time, actor, cause, volatile, changes }).encode(buffer);
        reached = revision;
    }
    if now > reached {
        Record::Skip { revision: now }.encode(buffer);
    }
}

/// Builds the store from the records of a journal.
#[derive(Default)]
pub(crate) struct Replay {
    pub(crate) current: Current,
    /// The snapshot that is being read.
    loading: Option<Snapshot>,
}

impl Replay {
    /// Takes one record; none when it does not fit those before.
    pub(crate) fn record(&mut self, record: Record) -> Option<()> {
        match record {
            Record::Base => {
                *self = Self { current: Current::default(), loading: Some(Snapshot::default()) };
            }
            Record::Entry { key, revision, create_revision, bytes } => {
                if let Some(loading) = self.loading() {
                    loading.put(key, Entry { revision, create_revision, bytes });
                }
            }
            Record::Gone { key } => self.loading.as_mut()?.remove(&key),
            Record::Pin(pin) => self.pin(pin)?,
            Record::Unpin { name } => {
                self.current.pins.remove(&name);
            }
            Record::SnapshotEnd { revision, count } => return self.loaded(revision, count),
            Record::Skip { revision } => {
                if self.loading.is_some() || revision < self.current.state.revision() {
                    return None;
                }
                self.current.state.set_revision(revision);
                self.current.history.sweep_to(revision);
            }
            Record::Txn(txn) => self.txn(&txn)?,
        }
        Some(())
    }

    /// Segments of format 1 begin with a snapshot that repeats what was read; only the first of them is needed.
    fn loading(&mut self) -> Option<&mut Snapshot> {
        if self.loading.is_none() && self.current.state.revision() == Revision(0) {
            self.loading = Some(Snapshot::default());
        }
        self.loading.as_mut()
    }

    fn loaded(&mut self, revision: Revision, count: u64) -> Option<()> {
        if self.loading().is_some() {
            let mut state = self.loading.take()?;
            state.set_revision(revision);
            self.current.state = state;
            self.current.history = History::after(revision);
        }
        let state = &self.current.state;
        (state.revision() == revision && state.len() as u64 == count).then_some(())
    }

    fn pin(&mut self, pin: PinRecord) -> Option<()> {
        let mut state = self.loading.as_ref().unwrap_or(&self.current.state).clone();
        if self.loading.is_none() && state.revision() != pin.revision {
            return None;
        }
        state.set_revision(pin.revision);
        self.current.pins.insert(Arc::clone(&pin.name), Pin { name: pin.name, time: pin.time, note: pin.note, state });
        Some(())
    }

    fn txn(&mut self, txn: &TxnRecord) -> Option<()> {
        if self.loading.is_some() || txn.revision.0 != self.current.state.revision().0 + 1 {
            return None;
        }
        for event in events(&self.current.state, txn) {
            self.current.state.apply(&event);
            self.current.history.push(event);
        }
        Some(())
    }
}
