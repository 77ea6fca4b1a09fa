//! What happened, oldest first, as long as it is remembered.
//!
//! There are two horizons. The *evidence* goes back to [`History::forgotten`], which moves when the history grows beyond its room or is told
//! to begin anew. The *API* goes back to a moment, as its clock says; what only the API needs, the changes of leases, is swept out of the
//! history when that moment has passed.

use std::sync::Arc;

use imbl::Vector;
use jiff::Timestamp;

use crate::event::{Event, Revision};
use crate::index::Snapshot;
use crate::store::Compacted;

/// What an event takes beside its key and its value.
const OVERHEAD: u64 = 160;
/// Volatile events are swept when they take this much, and again when they have doubled.
const SWEEP: u64 = 256 << 10;

/// The events. Cloning costs nothing.
#[derive(Clone)]
pub(crate) struct History {
    log: Vector<Arc<Event>>,
    /// What the events take.
    bytes: u64,
    /// What the volatile ones take.
    volatile: u64,
    /// When the volatile ones are swept.
    sweep_at: u64,
    /// Events up to here are not in the log.
    forgotten: Revision,
    /// Volatile events up to here may not be in the log.
    swept: Revision,
}

impl Default for History {
    fn default() -> Self {
        Self { log: Vector::new(), bytes: 0, volatile: 0, sweep_at: SWEEP, forgotten: Revision(0), swept: Revision(0) }
    }
}

impl History {
    /// A history that begins after `forgotten`.
    pub(crate) fn after(forgotten: Revision) -> Self {
        Self { forgotten, ..Self::default() }
    }

    /// Events up to here are not known.
    pub(crate) const fn forgotten(&self) -> Revision {
        self.forgotten
    }

    /// Volatile events up to here are not all known.
    pub(crate) fn sweep_to(&mut self, revision: Revision) {
        self.swept = self.swept.max(revision);
    }

    /// All events, oldest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.log.iter()
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        let cost = cost(&event);
        self.bytes += cost;
        self.volatile += if event.volatile { cost } else { 0 };
        self.log.push_back(event);
    }

    /// Forgets until no more than `room` is taken, and volatile events from before `horizon`.
    pub(crate) fn limit(&mut self, room: u64, horizon: Timestamp) {
        if self.volatile > self.sweep_at {
            self.sweep(horizon);
            self.sweep_at = self.volatile * 2 + SWEEP;
        }
        while self.bytes > room {
            let Some(first) = self.log.front().map(|event| event.revision) else { return };
            self.forget(first);
        }
    }

    /// Forgets all transactions up to `revision`.
    pub(crate) fn forget(&mut self, revision: Revision) {
        while let Some(event) = self.log.front().filter(|event| event.revision <= revision) {
            let cost = cost(event);
            self.bytes -= cost;
            self.volatile -= if event.volatile { cost } else { 0 };
            self.log.pop_front();
        }
        self.forgotten = self.forgotten.max(revision);
    }

    /// Leaves out the volatile events from before `horizon`.
    pub(crate) fn sweep(&mut self, horizon: Timestamp) {
        let old = |event: &Event| event.volatile && event.time < horizon;
        let Some(last) = self.log.iter().rev().find(|event| old(event)).map(|event| event.revision) else { return };
        let mut kept = Self { sweep_at: self.sweep_at, swept: self.swept.max(last), ..Self::after(self.forgotten) };
        for event in self.log.iter().filter(|event| !old(event)) {
            kept.push(Arc::clone(event));
        }
        *self = kept;
    }

    /// Events after `since`.
    pub(crate) fn tail(&self, since: Revision) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        let start = self.first_after(since);
        self.log.focus().narrow(start..).into_iter()
    }

    /// Position of the first event after `revision`.
    fn first_after(&self, revision: Revision) -> usize {
        let order = |event: &Arc<Event>| if event.revision <= revision { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater };
        self.log.binary_search_by(order).unwrap_or_else(|position| position)
    }

    /// Whether the evidence goes back to right after `from`.
    pub(crate) fn check_evidence(&self, from: Revision) -> Result<(), Compacted> {
        if from >= self.forgotten { Ok(()) } else { Err(Compacted { asked: from, oldest: self.forgotten }) }
    }

    /// Whether everything after `from` is known and no older than `oldest`; `now` is the revision of the state.
    pub(crate) fn check_api(&self, from: Revision, now: Revision, oldest: Timestamp) -> Result<(), Compacted> {
        let needed = self.log.get(self.first_after(from));
        let too_old = needed.is_some_and(|event| event.time < oldest);
        let known = self.forgotten.max(self.swept);
        if from >= known && !too_old {
            return Ok(());
        }
        let first = self.log.iter().find(|event| event.time >= oldest).map_or(now, |event| Revision(event.revision.0 - 1));
        Err(Compacted { asked: from, oldest: first.max(known) })
    }

    /// The state right after `revision`, reached backwards from the present one. Volatile keys may show a later value.
    pub(crate) fn state_at(&self, now: &Snapshot, revision: Revision) -> Snapshot {
        let mut state = now.clone();
        for event in self.tail(revision).rev() {
            state.undo(event);
        }
        state.set_revision(revision.min(now.revision()));
        state
    }
}

fn cost(event: &Event) -> u64 {
    OVERHEAD + (event.key.len() + event.new.as_ref().map_or(0, bytes::Bytes::len)) as u64
}
