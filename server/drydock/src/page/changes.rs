//! What became of the objects in the picture lately: for each change the fields that differ, as the timeline shows them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use drydock_checks::world::{Change, World};
use drydock_web::workbench::{Field, Version};
use jiff::Timestamp;
use serde_json::Value;

/// Changes that are remembered.
const KEPT: usize = 600;
/// Fields told of one change.
const FIELDS: usize = 24;
/// Letters told of one value: a certificate or a page in a ConfigMap is not read in a timeline.
const LETTERS: usize = 400;
/// Bookkeeping of the API server, which tells nothing about the object.
const BOOKKEEPING: [&str; 8] = [
    "metadata.managedFields", "metadata.resourceVersion", "metadata.generation", "metadata.generateName", "metadata.creationTimestamp", "metadata.uid", "apiVersion", "kind",
];
/// Parts of paths that every Pod and every owner has alike.
const ALIKE: [&str; 6] = ["terminationMessage", "blockOwnerDeletion", ".recursiveReadOnly", "kube-api-access", "ownerReferences[0].uid", "ownerReferences[0].apiVersion"];
/// Times that go along with what they are about.
const TIMES: [&str; 3] = ["lastTransitionTime", "lastUpdateTime", "lastProbeTime"];

/// The latest changes of all objects.
#[derive(Default)]
pub(crate) struct Changes {
    seen: Mutex<VecDeque<(String, Version)>>,
}

impl Changes {
    /// Remember what is new in a world, of these kinds, since its changes were forgotten last.
    pub(crate) fn remember(&self, world: &World, kinds: &[&str]) {
        let now = Timestamp::now().to_string();
        let mut fresh: Vec<&Change> = kinds.iter().flat_map(|kind| world.changes_since(kind, 0)).collect();
        fresh.sort_by_key(|change| change.revision);
        let mut seen = self.lock();
        for change in fresh {
            let Some(uid) = change.new.as_ref().or(change.old.as_ref()).and_then(|object| object["metadata"]["uid"].as_str()) else { continue };
            let version = version(change, &now);
            if !version.fields.is_empty() {
                seen.push_back((uid.to_owned(), version));
            }
        }
        while seen.len() > KEPT {
            seen.pop_front();
        }
    }

    /// Of one object, oldest first.
    pub(crate) fn of(&self, uid: &str) -> Vec<Version> {
        self.lock().iter().filter(|(of, _)| of == uid).map(|(_, version)| version.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(String, Version)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn version(change: &Change, time: &str) -> Version {
    let leaves = |object: &Option<std::sync::Arc<Value>>| object.as_ref().map(|object| leaves(object)).unwrap_or_default();
    // That it is gone says enough.
    let (old, new) = if change.new.is_none() { (BTreeMap::new(), BTreeMap::from([("object".to_owned(), Value::Null)])) } else { (leaves(&change.old), leaves(&change.new)) };
    let mut fields: Vec<Field> = Vec::new();
    for path in old.keys().chain(new.keys().filter(|path| !old.contains_key(*path))) {
        let (was, is) = (old.get(path), new.get(path));
        if was != is {
            fields.push(Field { path: path.clone(), was: was.map(short), is: is.map(short) });
        }
    }
    fields.sort_by(|a, b| a.path.cmp(&b.path));
    let more = fields.len().saturating_sub(FIELDS);
    fields.truncate(FIELDS);
    Version { time: time.to_owned(), created: change.old.is_none(), gone: change.new.is_none(), fields, more }
}

/// A value as it is told.
fn short(value: &Value) -> Value {
    match value.as_str().and_then(|text| text.char_indices().nth(LETTERS).map(|(end, _)| &text[..end])) {
        Some(beginning) => Value::String(format!("{beginning}…")),
        None => value.clone(),
    }
}

/// The values of an object by their paths, as kubectl's jsonpath would name them.
fn leaves(object: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(object, String::new(), &mut found);
    found.retain(|path, _| !ALIKE.iter().any(|alike| path.contains(alike)) && !BOOKKEEPING.iter().any(|own| path.starts_with(own)) && !TIMES.iter().any(|time| path.ends_with(time)));
    found
}

fn collect(value: &Value, path: String, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                collect(value, if path.is_empty() { key.clone() } else { format!("{path}.{key}") }, found);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                // Conditions change their order; they are known by their type.
                let name = item["type"].as_str().filter(|_| path.ends_with("conditions")).map_or_else(|| place.to_string(), str::to_owned);
                collect(item, format!("{path}[{name}]"), found);
            }
        }
        value => drop(found.insert(path, value.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(revision: u64, phase: &str, ready: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"uid": "u", "name": "a", "namespace": "default", "resourceVersion": revision.to_string(), "managedFields": [revision]},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": revision.to_string()}]}})
    }

    #[test]
    fn a_change_is_told_by_the_fields_that_differ() {
        let (changes, mut world) = (Changes::default(), World::default());
        world.put("Pod", pod(3, "Pending", "False"));
        world.put("Pod", pod(5, "Running", "False"));
        changes.remember(&world, &["Pod"]);
        world.forget_changes();
        world.put("Pod", pod(6, "Running", "True"));
        world.put("Pod", pod(7, "Running", "True"));
        world.remove("Pod", &pod(8, "Running", "True"));
        changes.remember(&world, &["Pod"]);
        let told: Vec<Vec<String>> = changes.of("u").iter().skip(1).map(|version| version.fields.iter().map(|field| format!("{}: {:?} {:?}", field.path, field.was.as_ref().and_then(Value::as_str), field.is.as_ref().and_then(Value::as_str))).collect()).collect();
        assert_eq!(told, [
            vec![r#"status.phase: Some("Pending") Some("Running")"#.to_owned()],
            vec![r#"status.conditions[Ready].status: Some("False") Some("True")"#.to_owned()],
            vec!["object: None None".to_owned()],
        ]);
        let ends = changes.of("u");
        assert_eq!((ends[0].created, ends[3].gone, changes.of("v").len()), (true, true, 0));
    }
}
