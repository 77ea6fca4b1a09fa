//! One log that is store, history, evidence and undo.
//!
//! 1. [`Store::commit`] checks a [`Txn`] against the index, appends one record to the journal and gives it the next [`Revision`].
//! 2. The index is a persistent ordered map: [`Store::snapshot`] clones its root, and whoever holds the clone reads without a lock.
//! 3. [`Store::watch`] continues a list: first the events since a revision, then each new one as it is committed. [`Store::history`] reads the same
//!    events with who did it and why; [`Store::restore`] commits the way back.
//!
//! Values are bytes: this crate knows no kind.
//!
//! # Invariants
//! * One writer. Revisions rise by one per transaction, never repeat and never go back; all changes of a transaction share its revision.
//! * A commit that returned is on its way to the disk: `kill -9` loses nothing. A commit that failed left nothing, neither in memory nor on disk.
//! * A watch misses nothing, repeats nothing and keeps the order of revisions.
//! * A journal that ends in the middle of a record opens at the last whole one. Any other damage is refused, never skipped.

mod event;
mod index;
mod journal;
mod record;
mod store;
mod watch;

pub use event::{Event, EventKind, Revision};
pub use index::{Entry, Snapshot};
pub use journal::OpenError;
pub use store::{CommitError, Compacted, Conflict, Expect, Op, Options, RestoreError, Store, Txn};
pub use watch::Watch;
