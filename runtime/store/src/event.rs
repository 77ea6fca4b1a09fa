//! What happened to a key.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

/// A point in the history of the store. Zero is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The transaction's revision.
    pub revision: Revision,
    /// When it was committed.
    pub time: Timestamp,
    /// The key.
    pub key: Arc<str>,
    /// What happened.
    pub kind: EventKind,
    /// The value after; none for a delete.
    pub new: Option<Bytes>,
    /// The value before; none when the key was absent.
    pub old: Option<Bytes>,
    /// The revision of the value before; zero when the key was absent.
    pub old_revision: Revision,
    /// The revision that created the key.
    pub create_revision: Revision,
    /// Who did it.
    pub actor: Arc<str>,
    /// What it was done for: the ids of the requests that led to it.
    pub cause: Arc<str>,
    /// It tells of the present only, as a lease does: history forgets it with the API's horizon.
    pub volatile: bool,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was absent and is there now.
    Create,
    /// The key has a new value.
    Update,
    /// The key is gone.
    Delete,
}
