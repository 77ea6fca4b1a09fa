//! What the grader knows, and what it knew at any earlier revision of its window.
//!
//! 1. Objects by kind, replaced as the watches report.
//! 2. Every change with its old and new version, in order: history, and the way back to a baseline.
//! 3. Records of the lab API (commands, streams, containers) and the learner's answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Namespace (empty for cluster-scoped) and name.
pub type ObjectKey = (String, String);
/// Objects of one kind.
pub type Objects = BTreeMap<ObjectKey, Arc<Value>>;

/// One change of one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Revision it was committed at.
    pub revision: u64,
    /// Kind of the object.
    pub kind: String,
    /// The object.
    pub key: ObjectKey,
    /// Before; absent when it was created.
    pub old: Option<Arc<Value>>,
    /// After; absent when it was deleted.
    pub new: Option<Arc<Value>>,
    /// Who did it; empty when unknown.
    pub actor: String,
}

/// A point in the order of evidence: a revision, and the moment within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Point {
    /// Revision of the cluster.
    pub revision: u64,
    /// When.
    pub time: Timestamp,
}

impl Point {
    /// Before everything.
    pub const START: Point = Point { revision: 0, time: Timestamp::MIN };
}

/// Records of the lab API by collection (`commands`, `streams`, `nodecontainers`), then by name.
type Records = BTreeMap<String, BTreeMap<String, Value>>;

/// Everything the grader knows.
#[derive(Debug, Clone, Default)]
pub struct World {
    kinds: BTreeMap<String, Objects>,
    changes: BTreeMap<String, Changes>,
    records: Records,
    seen_records: BTreeSet<String>,
    answers: BTreeMap<String, String>,
    /// Streams are told by the commands that make them: the API server does not.
    by_commands: bool,
    /// The namespace of the kubeconfig of a cluster that is not ours.
    home: Option<String>,
    /// Kinds that the learner's user may not see there.
    unseen: BTreeSet<String>,
    /// Kinds of which nothing is known before a revision.
    known_from: BTreeMap<String, u64>,
    revision: u64,
    /// Counts what happened here.
    serial: u64,
    /// The serial of the last news of a kind, a collection or [`ANSWERS`].
    touched: BTreeMap<String, u64>,
}

/// Changes of one kind.
#[derive(Debug, Clone, Default)]
struct Changes {
    /// By revision.
    list: Vec<Change>,
    /// Moves when the list did not only grow at its end.
    epoch: u64,
}

/// The name of the learner's answers among kinds and collections.
pub const ANSWERS: &str = "answers";

/// The revision an object carries; 0 when it carries none.
pub fn revision_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// When a record began; its end (of a stream, of a command) does not move it.
pub fn point_of(record: &Value) -> Point {
    let time = record["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse().ok());
    Point { revision: revision_of(record), time: time.unwrap_or(Timestamp::MIN) }
}

/// Namespace and name of an object.
pub fn key_of(object: &Value) -> ObjectKey {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

impl World {
    /// The newest revision anything here was seen at.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Put an object as it is now. Returns false when it was known already.
    pub fn put(&mut self, kind: &str, object: Value) -> bool {
        let revision = revision_of(&object);
        let key = key_of(&object);
        let object = Arc::new(object);
        let old = self.kinds.entry(kind.to_owned()).or_default().insert(key.clone(), object.clone());
        if old.as_ref().is_some_and(|old| revision_of(old) == revision) {
            return false;
        }
        self.record(Change { revision, kind: kind.to_owned(), key, old, new: Some(object), actor: String::new() });
        true
    }

    /// Note that an object is gone; `object` is its last version with the revision of the deletion.
    pub fn remove(&mut self, kind: &str, object: &Value) {
        let key = key_of(object);
        let old = self.kinds.get_mut(kind).and_then(|objects| objects.remove(&key));
        if old.is_some() {
            self.record(Change { revision: revision_of(object), kind: kind.to_owned(), key, old, new: None, actor: String::new() });
        }
    }

    fn record(&mut self, change: Change) {
        self.revision = self.revision.max(change.revision);
        self.touch(&change.kind);
        let changes = self.changes.entry(change.kind.clone()).or_default();
        if changes.list.last().is_some_and(|last| last.revision > change.revision) {
            changes.insert(change);
        } else {
            changes.list.push(change);
        }
    }

    fn touch(&mut self, name: &str) {
        self.serial += 1;
        match self.touched.get_mut(name) {
            Some(serial) => *serial = self.serial,
            None => drop(self.touched.insert(name.to_owned(), self.serial)),
        }
    }

    /// How much has happened here.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The serial of the last news of any of these kinds, collections and [`ANSWERS`].
    pub fn touched<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> u64 {
        names.into_iter().filter_map(|name| self.touched.get(name)).copied().max().unwrap_or(0)
    }

    /// Add a change that is older than the objects known now.
    pub fn backfill(&mut self, change: Change) {
        self.touch(&change.kind);
        self.changes.entry(change.kind.clone()).or_default().insert(change);
    }

    /// Apply a change.
    pub fn apply(&mut self, change: Change) {
        let objects = self.kinds.entry(change.kind.clone()).or_default();
        match &change.new {
            Some(new) => objects.insert(change.key.clone(), new.clone()),
            None => objects.remove(&change.key),
        };
        self.record(change);
    }

    /// Put an object that was there before the changes known; no change is noted.
    pub fn found(&mut self, kind: &str, object: Value) {
        self.touch(kind);
        self.revision = self.revision.max(revision_of(&object));
        self.kinds.entry(kind.to_owned()).or_default().insert(key_of(&object), Arc::new(object));
    }

    /// Forget the objects and changes of a kind, before a new list.
    pub fn clear_kind(&mut self, kind: &str) {
        self.touch(kind);
        self.kinds.remove(kind);
        let changes = self.changes.entry(kind.to_owned()).or_default();
        *changes = Changes { list: Vec::new(), epoch: changes.epoch + 1 };
    }

    /// Forget the records of a collection that are not in a new list.
    pub fn keep_records(&mut self, collection: &str, names: &BTreeSet<String>) {
        self.touch(collection);
        if let Some(records) = self.records.get_mut(collection) {
            records.retain(|name, _| names.contains(name));
        }
    }

    /// Of a cluster that is not ours: streams are what the learner's commands tell of them.
    pub fn tells_by_commands(&mut self) {
        self.by_commands = true;
    }

    /// Of a cluster that is not ours: the namespace that commands mean when they name none.
    pub fn lives_in(&mut self, namespace: &str) {
        self.home = Some(namespace.to_owned());
    }

    /// The namespace that commands and checks mean when they name none.
    pub fn home(&self) -> &str {
        self.home.as_deref().unwrap_or("default")
    }

    /// A kind may not be seen, or may be seen again.
    pub fn sees(&mut self, kind: &str, seen: bool) {
        let changed = if seen { self.unseen.remove(kind) } else { self.unseen.insert(kind.to_owned()) };
        if changed {
            self.touch(kind);
        }
    }

    /// Kinds that may not be seen.
    pub fn unseen(&self) -> &BTreeSet<String> {
        &self.unseen
    }

    /// Of a kind nothing is known before this revision, unless it was followed already.
    pub fn begins(&mut self, kind: &str, revision: u64) {
        self.known_from.entry(kind.to_owned()).or_insert(revision);
    }

    /// Whether it is known what became of a kind since a revision.
    pub fn knows(&self, kind: &str, since: u64) -> bool {
        self.known_from.get(kind).is_none_or(|from| *from <= since)
    }

    /// Whether the cluster is not ours.
    pub fn is_elsewhere(&self) -> bool {
        self.by_commands
    }

    /// Put a record of the lab API.
    pub fn put_record(&mut self, collection: &str, record: Value) {
        self.touch(collection);
        let name = key_of(&record).1;
        self.revision = self.revision.max(revision_of(&record));
        self.seen_records.insert(format!("{collection}/{name}"));
        let typed = (self.by_commands && collection == "commands").then(|| record.clone());
        self.records.entry(collection.to_owned()).or_default().insert(name, record);
        for stream in typed.iter().flat_map(|command| crate::typed::told_by(command, self)).collect::<Vec<_>>() {
            self.put_record("streams", stream);
        }
    }

    /// Remove a record of the lab API; that it was there is remembered.
    pub fn remove_record(&mut self, collection: &str, name: &str) {
        self.touch(collection);
        if let Some(records) = self.records.get_mut(collection) {
            records.remove(name);
        }
    }

    /// Remember an answer of the learner.
    pub fn answer(&mut self, ask: &str, text: &str) {
        self.touch(ANSWERS);
        self.answers.insert(ask.to_owned(), text.to_owned());
    }

    /// The answers of another chapter: those of the one before are forgotten.
    pub fn answers_are(&mut self, answers: &BTreeMap<String, String>) {
        self.touch(ANSWERS);
        self.answers.clone_from(answers);
    }

    /// The learner's answer to an `ask` block.
    pub fn answer_to(&self, ask: &str) -> Option<&str> {
        self.answers.get(ask).map(String::as_str)
    }

    /// Objects of a kind now.
    pub fn objects(&self, kind: &str) -> &Objects {
        static NONE: Objects = Objects::new();
        self.kinds.get(kind).unwrap_or(&NONE)
    }

    /// Objects of a kind as they were at a revision, by undoing later changes.
    pub fn objects_at(&self, kind: &str, revision: u64) -> Objects {
        let mut objects = self.objects(kind).clone();
        for change in self.changes_since(kind, revision).iter().rev() {
            match &change.old {
                Some(old) => objects.insert(change.key.clone(), old.clone()),
                None => objects.remove(&change.key),
            };
        }
        objects
    }

    /// Changes of a kind after a revision, oldest first.
    pub fn changes_since(&self, kind: &str, revision: u64) -> &[Change] {
        let Some(changes) = self.changes.get(kind) else { return &[] };
        &changes.list[changes.list.partition_point(|change| change.revision <= revision)..]
    }

    /// Moves when what [`World::changes_since`] told before is not the beginning of what it tells now.
    pub fn epoch(&self, kind: &str) -> u64 {
        self.changes.get(kind).map_or(0, |changes| changes.epoch)
    }

    /// Records of a collection.
    pub fn records(&self, collection: &str) -> impl Iterator<Item = &Value> {
        self.records.get(collection).into_iter().flat_map(BTreeMap::values)
    }

    /// Records of a collection that happened at a point or after it, oldest first.
    pub fn records_since(&self, collection: &str, since: Point) -> Vec<&Value> {
        let mut records: Vec<(Point, &Value)> =
            self.records(collection).map(|record| (point_of(record), record)).filter(|(point, _)| *point >= since).collect();
        records.sort_by_key(|(point, _)| *point);
        records.into_iter().map(|(_, record)| record).collect()
    }

    /// Whether a record was ever there.
    pub fn record_was_seen(&self, collection: &str, name: &str) -> bool {
        self.seen_records.contains(&format!("{collection}/{name}"))
    }

    /// Note that everything up to a revision has been seen.
    pub fn reached(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    /// Forget what was, for those who only want what is.
    pub fn forget_changes(&mut self) {
        for changes in self.changes.values_mut() {
            *changes = Changes { list: Vec::new(), epoch: changes.epoch + 1 };
        }
    }
}

impl Changes {
    /// Put a change where its revision belongs.
    fn insert(&mut self, change: Change) {
        let at = self.list.partition_point(|known| known.revision <= change.revision);
        if at < self.list.len() {
            self.epoch += 1;
        }
        self.list.insert(at, change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, revision: u64, phase: &str) -> Value {
        json!({"metadata": {"namespace": "default", "name": name, "resourceVersion": revision.to_string()}, "status": {"phase": phase}})
    }

    #[test]
    fn the_world_can_be_seen_as_it_was() {
        let mut world = World::default();
        world.put("Pod", pod("a", 5, "Pending"));
        world.put("Pod", pod("a", 7, "Running"));
        world.put("Pod", pod("b", 9, "Running"));
        world.remove("Pod", &pod("a", 11, "Running"));
        let names = |revision| world.objects_at("Pod", revision).iter().map(|(k, v)| format!("{} {}", k.1, v["status"]["phase"])).collect::<Vec<_>>();
        assert_eq!(names(4), Vec::<String>::new());
        assert_eq!(names(6), ["a \"Pending\""]);
        assert_eq!(names(10), ["a \"Running\"", "b \"Running\""]);
        assert_eq!(names(11), ["b \"Running\""]);
        assert_eq!(world.changes_since("Pod", 7).len(), 2);
    }

    #[test]
    fn news_is_known_by_kind_and_old_news_starts_a_new_count() {
        let mut world = World::default();
        let names = |name: &str| [name.to_owned()];
        world.put("Pod", pod("a", 5, "Running"));
        let before = world.serial();
        world.put("Node", pod("n", 6, "Running"));
        world.answer("q", "1");
        assert!(world.touched(&names("Pod")) <= before && world.touched(&names("Node")) > before && world.touched(&names(ANSWERS)) > before);
        let epoch = world.epoch("Pod");
        world.put("Pod", pod("b", 7, "Running"));
        assert_eq!(world.epoch("Pod"), epoch, "it grew at its end");
        let change = Change { revision: 3, kind: "Pod".into(), key: ("default".into(), "c".into()), old: None, new: None, actor: String::new() };
        world.backfill(change);
        assert_ne!(world.epoch("Pod"), epoch);
        assert_eq!(world.changes_since("Pod", 0)[0].revision, 3);
    }
}
