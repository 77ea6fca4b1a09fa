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
    changes: Vec<Change>,
    records: Records,
    seen_records: BTreeSet<String>,
    answers: BTreeMap<String, String>,
    revision: u64,
}

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

    /// Replace all objects of a kind after a new list; what is missing from it is gone.
    pub fn replace(&mut self, kind: &str, objects: Vec<Value>) {
        let listed: BTreeSet<ObjectKey> = objects.iter().map(key_of).collect();
        let gone: Vec<ObjectKey> = self.objects(kind).keys().filter(|key| !listed.contains(*key)).cloned().collect();
        for object in objects {
            self.put(kind, object);
        }
        for key in gone {
            let old = self.kinds.get_mut(kind).and_then(|objects| objects.remove(&key));
            self.record(Change { revision: self.revision, kind: kind.to_owned(), key, old, new: None, actor: String::new() });
        }
    }

    fn record(&mut self, change: Change) {
        self.revision = self.revision.max(change.revision);
        self.changes.push(change);
    }

    /// Add a change that is older than the objects known now.
    pub fn backfill(&mut self, change: Change) {
        let at = self.changes.partition_point(|known| known.revision <= change.revision);
        self.changes.insert(at, change);
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
        self.revision = self.revision.max(revision_of(&object));
        self.kinds.entry(kind.to_owned()).or_default().insert(key_of(&object), Arc::new(object));
    }

    /// Forget the objects and changes of a kind, before a new list.
    pub fn clear_kind(&mut self, kind: &str) {
        self.kinds.remove(kind);
        self.changes.retain(|change| change.kind != kind);
    }

    /// Forget the records of a collection that are not in a new list.
    pub fn keep_records(&mut self, collection: &str, names: &BTreeSet<String>) {
        if let Some(records) = self.records.get_mut(collection) {
            records.retain(|name, _| names.contains(name));
        }
    }

    /// Put a record of the lab API.
    pub fn put_record(&mut self, collection: &str, record: Value) {
        let name = key_of(&record).1;
        self.revision = self.revision.max(revision_of(&record));
        self.seen_records.insert(format!("{collection}/{name}"));
        self.records.entry(collection.to_owned()).or_default().insert(name, record);
    }

    /// Remove a record of the lab API; that it was there is remembered.
    pub fn remove_record(&mut self, collection: &str, name: &str) {
        if let Some(records) = self.records.get_mut(collection) {
            records.remove(name);
        }
    }

    /// Remember an answer of the learner.
    pub fn answer(&mut self, ask: &str, text: &str) {
        self.answers.insert(ask.to_owned(), text.to_owned());
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
        for change in self.changes.iter().rev().filter(|c| c.kind == kind && c.revision > revision) {
            match &change.old {
                Some(old) => objects.insert(change.key.clone(), old.clone()),
                None => objects.remove(&change.key),
            };
        }
        objects
    }

    /// Changes of a kind after a revision.
    pub fn changes_since<'a>(&'a self, kind: &'a str, revision: u64) -> impl Iterator<Item = &'a Change> {
        self.changes.iter().filter(move |c| c.kind == kind && c.revision > revision)
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
        self.changes.clear();
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
        assert_eq!(world.changes_since("Pod", 7).count(), 2);
    }

    #[test]
    fn a_new_list_notices_what_is_gone() {
        let mut world = World::default();
        world.put("Pod", pod("a", 5, "Running"));
        world.replace("Pod", vec![pod("b", 8, "Running")]);
        assert_eq!(world.objects("Pod").len(), 1);
        assert!(world.changes_since("Pod", 0).any(|c| c.key.1 == "a" && c.new.is_none()));
    }
}
