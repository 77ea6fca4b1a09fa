//! One log that is store, history, evidence and undo.
//!
//! 1. [`Store::commit`] checks a [`Txn`] against the index, appends one record to the journal and gives it the next [`Revision`].
//! 2. The index is a persistent ordered map: [`Store::snapshot`] clones its root, and whoever holds the clone reads without a lock.
//! 3. [`Store::watch`] continues a list: first the events since a revision, then each new one as it is committed. [`Store::history`] reads the same
//!    events with who did it and why; [`Store::restore`] commits the way back.
//! 4. There are two horizons. The API forgets after five minutes; the history that is evidence goes as far back as its room allows. A state
//!    that must last is named with [`Store::pin`], and outlives both, and restarts.
//!
//! Values are bytes: this crate knows no kind.
//!
//! # Invariants
//! * One writer. Revisions rise by one per transaction, never repeat and never go back; all changes of a transaction share its revision.
//! * A commit that returned is on its way to the disk: `kill -9` loses nothing. A commit that failed left nothing, neither in memory nor on disk.
//! * A watch misses nothing, repeats nothing and keeps the order of revisions.
//! * Memory and disk are bounded by the state, its pins and the room of the history, however long it runs.
//! * A journal that ends in the middle of a record opens at the last whole one. Any other damage is refused, never skipped.

mod background;
mod checkpoint;
mod event;
mod history;
mod index;
mod journal;
mod record;
mod store;
mod watch;

pub use checkpoint::Pin;
pub use event::{Event, EventKind, Revision};
pub use index::{Difference, Entry, Snapshot};
pub use journal::OpenError;
pub use store::{CommitError, Compacted, Conflict, Expect, Hold, Op, Options, RestoreError, Store, Txn, Writing};
pub use watch::Watch;
