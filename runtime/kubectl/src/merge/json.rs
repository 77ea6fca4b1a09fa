//! JSON merge patches.

use serde_json::{Map, Value};

/// Additions and changes from what is there, removals from what was written last.
pub fn three_way(original: &Value, modified: &Value, current: &Value) -> Value {
    let mut patch = changes(current, modified);
    removals(original, modified, &mut patch);
    Value::Object(patch)
}

fn changes(current: &Value, modified: &Value) -> Map<String, Value> {
    let mut patch = Map::new();
    for (key, new) in modified.as_object().into_iter().flatten() {
        match (current.get(key), new) {
            (Some(old), new) if old == new => {}
            (Some(old @ Value::Object(_)), Value::Object(_)) => {
                let inner = changes(old, new);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            // Taking away is not a change.
            (_, Value::Null) => {}
            (_, new) => {
                patch.insert(key.clone(), new.clone());
            }
        }
    }
    patch
}

fn removals(original: &Value, modified: &Value, patch: &mut Map<String, Value>) {
    for (key, old) in original.as_object().into_iter().flatten() {
        match modified.get(key) {
            None => {
                patch.insert(key.clone(), Value::Null);
            }
            Some(new @ Value::Object(_)) if old.is_object() => {
                let mut inner = patch.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
                removals(old, new, &mut inner);
                if !inner.is_empty() {
                    patch.insert(key.clone(), Value::Object(inner));
                }
            }
            Some(_) => {}
        }
    }
}
