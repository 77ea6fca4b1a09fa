//! The state in memory: a persistent ordered map, cheap to clone.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::event::{Event, Revision};

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The revision of the last change.
    pub revision: Revision,
    /// The revision that created the key.
    pub create_revision: Revision,
    /// The value.
    pub bytes: Bytes,
}

/// The store at one revision. Cloning costs nothing; nobody can change it.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    entries: OrdMap<Arc<str>, Entry>,
    revision: Revision,
}

/// A key whose value is not the same in two snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: Arc<str>,
    /// What the earlier snapshot has.
    pub then: Option<Entry>,
    /// What the later one has.
    pub now: Option<Entry>,
}

impl Snapshot {
    /// The revision of the last transaction that it contains.
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every key that starts with `prefix`, in order.
    pub fn range<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Entry)> {
        self.bounded(Bound::Included(prefix), prefix)
    }

    /// As [`Snapshot::range`], only the keys after `key`: how a paged list goes on.
    pub fn range_after<'a>(&'a self, prefix: &'a str, key: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Entry)> {
        self.bounded(Bound::Excluded(key), prefix)
    }

    /// What is not the same in a later snapshot, in the order of keys; quick where the two share their past.
    pub fn differences(&self, later: &Snapshot) -> Vec<Difference> {
        let difference = |item: DiffItem<'_, '_, Arc<str>, Entry>| match item {
            DiffItem::Add(key, now) => Difference { key: Arc::clone(key), then: None, now: Some(now.clone()) },
            DiffItem::Update { old: (key, then), new: (_, now) } => Difference { key: Arc::clone(key), then: Some(then.clone()), now: Some(now.clone()) },
            DiffItem::Remove(key, then) => Difference { key: Arc::clone(key), then: Some(then.clone()), now: None },
        };
        self.entries.diff(&later.entries).map(difference).collect()
    }

    fn bounded<'a>(&'a self, start: Bound<&'a str>, prefix: &'a str) -> impl Iterator<Item = (&'a Arc<str>, &'a Entry)> {
        self.entries.range::<_, str>((start, Bound::Unbounded)).take_while(move |(key, _)| key.starts_with(prefix))
    }

    pub(crate) fn set_revision(&mut self, revision: Revision) {
        self.revision = revision;
    }

    pub(crate) fn put(&mut self, key: Arc<str>, entry: Entry) {
        self.entries.insert(key, entry);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.remove(key);
    }

    /// Applies a change that has just been committed.
    pub(crate) fn apply(&mut self, event: &Event) {
        self.revision = event.revision;
        match &event.new {
            Some(bytes) => {
                let entry = Entry { revision: event.revision, create_revision: event.create_revision, bytes: bytes.clone() };
                self.put(Arc::clone(&event.key), entry);
            }
            None => self.remove(&event.key),
        }
    }

    /// Takes a change back. Only the newest change may be taken back.
    pub(crate) fn undo(&mut self, event: &Event) {
        match &event.old {
            Some(bytes) => {
                let entry = Entry { revision: event.old_revision, create_revision: event.create_revision, bytes: bytes.clone() };
                self.put(Arc::clone(&event.key), entry);
            }
            None => self.remove(&event.key),
        }
    }
}
