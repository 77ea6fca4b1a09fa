//! Strategic merge patches.

use serde_json::{Map, Value, json};

use super::{List, RETAIN, list_kind};

const ORDER: &str = "$setElementOrder/";
const REMOVE: &str = "$deleteFromPrimitiveList/";

/// Which differences count.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    changes: bool,
    deletions: bool,
}

type Fields = Map<String, Value>;

/// Additions and changes from what is there, removals from what was written last.
pub fn three_way(original: &Value, modified: &Value, current: &Value) -> Value {
    let delta = maps(fields(current), fields(modified), Wanted { changes: true, deletions: false });
    let deletions = maps(fields(original), fields(modified), Wanted { changes: false, deletions: true });
    Value::Object(join(deletions, delta))
}

/// What makes the one into the other.
pub fn two_way(original: &Value, modified: &Value) -> Value {
    Value::Object(maps(fields(original), fields(modified), Wanted { changes: true, deletions: true }))
}

fn fields(value: &Value) -> &Fields {
    static NONE: std::sync::LazyLock<Fields> = std::sync::LazyLock::new(Fields::new);
    value.as_object().unwrap_or(&NONE)
}

fn maps(old: &Fields, new: &Fields, wanted: Wanted) -> Fields {
    let mut patch = Fields::new();
    for key in old.keys().filter(|key| wanted.deletions && !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match (old.get(key), value) {
            (None, _) => {
                if wanted.changes {
                    patch.insert(key.clone(), value.clone());
                }
            }
            (Some(Value::Object(before)), Value::Object(after)) => {
                let mut inner = maps(before, after, wanted);
                if !inner.is_empty() {
                    if RETAIN.contains(&key.as_str()) {
                        let mut keys: Vec<&String> = after.keys().collect();
                        keys.sort();
                        inner.insert("$retainKeys".to_owned(), json!(keys));
                    }
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            (Some(Value::Array(before)), Value::Array(after)) => lists(key, before, after, wanted, &mut patch),
            (Some(before), after) => {
                if wanted.changes && before != after {
                    patch.insert(key.clone(), after.clone());
                }
            }
        }
    }
    patch
}

fn lists(key: &str, old: &[Value], new: &[Value], wanted: Wanted, patch: &mut Fields) {
    match list_kind(key, old, new) {
        List::Atomic => {
            if wanted.changes && old != new {
                patch.insert(key.to_owned(), json!(new));
            }
        }
        List::Set => {
            let gone: Vec<&Value> = old.iter().filter(|item| wanted.deletions && !new.contains(item)).collect();
            let come: Vec<&Value> = new.iter().filter(|item| wanted.changes && !old.contains(item)).collect();
            if !(gone.is_empty() && come.is_empty()) {
                patch.insert(format!("{ORDER}{key}"), json!(new));
            }
            if !gone.is_empty() {
                patch.insert(format!("{REMOVE}{key}"), json!(gone));
            }
            if !come.is_empty() {
                patch.insert(key.to_owned(), json!(come));
            }
        }
        List::Keyed(merge_key) => keyed(key, merge_key, (old, new), wanted, patch),
    }
}

fn keyed(key: &str, merge_key: &str, (old, new): (&[Value], &[Value]), wanted: Wanted, patch: &mut Fields) {
    let same = |a: &Value, b: &Value| a[merge_key] == b[merge_key];
    let mut items = Vec::new();
    for item in new {
        match old.iter().find(|other| same(other, item)) {
            None if wanted.changes => items.push(item.clone()),
            None => {}
            Some(before) => {
                let mut inner = maps(fields(before), fields(item), wanted);
                if !inner.is_empty() {
                    inner.insert(merge_key.to_owned(), item[merge_key].clone());
                    items.push(Value::Object(inner));
                }
            }
        }
    }
    if wanted.deletions {
        let gone = old.iter().filter(|item| !new.iter().any(|other| same(other, item)));
        items.extend(gone.map(|item| json!({"$patch": "delete", merge_key: item[merge_key]})));
    }
    // Items in another order are a change too, as far as both sides have them.
    let shared = |list: &[Value], other: &[Value]| -> Vec<Value> { list.iter().filter(|item| other.iter().any(|o| same(o, item))).map(|item| item[merge_key].clone()).collect() };
    let moved = wanted.changes && shared(old, new) != shared(new, old);
    if !items.is_empty() || moved {
        let order: Vec<Value> = new.iter().map(|item| json!({merge_key: item[merge_key]})).collect();
        patch.insert(format!("{ORDER}{key}"), json!(order));
    }
    if !items.is_empty() {
        patch.insert(key.to_owned(), json!(items));
    }
}

/// Two patches as one; the second one's words count where both speak.
fn join(first: Fields, second: Fields) -> Fields {
    let mut joined = first;
    for (key, value) in second {
        let merged = match (joined.remove(&key), value) {
            (Some(Value::Object(before)), Value::Object(after)) => Value::Object(join(before, after)),
            (Some(Value::Array(before)), Value::Array(after)) if !key.starts_with('$') => Value::Array(join_lists(&key, before, after)),
            (_, value) => value,
        };
        joined.insert(key, merged);
    }
    joined
}

fn join_lists(key: &str, before: Vec<Value>, after: Vec<Value>) -> Vec<Value> {
    let List::Keyed(merge_key) = list_kind(key, &before, &after) else { return after };
    let mut joined = after;
    for item in before {
        let position = joined.iter().position(|other| other[merge_key] == item[merge_key]);
        match (position, item) {
            (Some(position), Value::Object(item)) => {
                let other = std::mem::take(&mut joined[position]);
                joined[position] = Value::Object(join(item, fields(&other).clone()));
            }
            (_, item) => joined.push(item),
        }
    }
    joined
}
