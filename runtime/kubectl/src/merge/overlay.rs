//! Patches applied here: `--local`, `--dry-run=client` and `--overrides` do not ask the server.
// upstream: apimachinery/pkg/util/strategicpatch/patch.go mergeMap, mergeSlice; evanphx/json-patch

use serde_json::{Map, Value};

use super::{List, list_kind};
use crate::builder::go_json_error;

/// With what `--overrides` says, in the way `--override-type` says.
// upstream: kubectl/pkg/cmd/util/{override_options,helpers}.go
pub fn overridden(object: &Value, kind: &str, text: &str) -> Result<Value, String> {
    let parsed = serde_json::from_str::<Value>(text);
    let whole = match (kind, parsed) {
        ("json", Ok(patch)) if patch.is_array() => operations(object, &patch)?,
        ("json", Ok(_)) => return Err("json: cannot unmarshal object into Go value of type jsonpatch.Patch".to_owned()),
        ("json", Err(_)) => return Err(go_json_error(text)),
        ("merge", Ok(patch)) if patch.is_object() => merged(object, &patch),
        ("merge", Ok(other)) => {
            let kind = match other {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            let target = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
            return Err(format!("couldn't get version/kind; json parse error: json: cannot unmarshal {kind} into Go value of type {target}"));
        }
        ("merge", _) => return Err("Invalid JSON Patch".to_owned()),
        ("strategic", Ok(patch)) if patch.is_object() => strategic(object, &patch)?,
        ("strategic", _) => return Err("invalid JSON document".to_owned()),
        (other, _) => return Err(format!("invalid override type: {other}")),
    };
    Ok(whole)
}

/// With a JSON merge patch.
pub fn merged(object: &Value, patch: &Value) -> Value {
    let Some(fields) = patch.as_object() else { return patch.clone() };
    let mut merged = object.as_object().cloned().unwrap_or_default();
    for (key, value) in fields {
        if value.is_null() {
            merged.remove(key);
        } else {
            let before = merged.remove(key).unwrap_or_default();
            merged.insert(key.clone(), self::merged(&before, value));
        }
    }
    Value::Object(merged)
}

/// With a strategic merge patch.
pub fn strategic(object: &Value, patch: &Value) -> Result<Value, String> {
    let nothing = Map::new();
    let patch = patch.as_object().ok_or("Invalid JSON document")?;
    Ok(Value::Object(map(object.as_object().unwrap_or(&nothing), patch)?))
}

fn map(object: &Map<String, Value>, patch: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => return Ok(patch.iter().filter(|(key, _)| *key != "$patch").map(|(key, value)| (key.clone(), value.clone())).collect()),
        Some("delete") => return Ok(Map::new()),
        Some("merge") | None => {}
        Some(other) => return Err(format!("Unknown patch type found: {other}")),
    }
    let mut merged = object.clone();
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        merged.retain(|key, _| kept.iter().any(|name| name == key));
    }
    for (key, value) in patch.iter().filter(|(key, _)| !matches!(key.as_str(), "$patch" | "$retainKeys")) {
        if let Some(field) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(list) = merged.get_mut(field).and_then(Value::as_array_mut) {
                list.retain(|item| !value.as_array().is_some_and(|gone| gone.contains(item)));
            }
            continue;
        }
        if key.starts_with("$setElementOrder/") {
            continue;
        }
        match (merged.get(key), value) {
            (_, Value::Null) => {
                merged.remove(key);
            }
            (Some(Value::Object(before)), Value::Object(change)) => {
                let inner = map(before, change)?;
                merged.insert(key.clone(), Value::Object(inner));
            }
            (Some(Value::Array(before)), Value::Array(change)) => {
                let inner = list(key, before, change)?;
                merged.insert(key.clone(), Value::Array(inner));
            }
            (_, Value::Object(change)) => {
                merged.insert(key.clone(), Value::Object(map(&Map::new(), change)?));
            }
            (_, other) => {
                merged.insert(key.clone(), other.clone());
            }
        }
    }
    for (key, order) in patch.iter().filter_map(|(key, order)| Some((key.strip_prefix("$setElementOrder/")?, order.as_array()?))) {
        if let Some(list) = merged.get_mut(key).and_then(Value::as_array_mut) {
            arrange(key, list, order);
        }
    }
    Ok(merged)
}

fn list(key: &str, before: &[Value], change: &[Value]) -> Result<Vec<Value>, String> {
    let told: Vec<Value> = change.iter().filter(|item| item["$patch"] != "replace").cloned().collect();
    if told.len() < change.len() {
        return Ok(told);
    }
    match list_kind(key, before, change) {
        List::Atomic => Ok(change.to_vec()),
        List::Set => {
            let mut merged = before.to_vec();
            for item in change.iter().filter(|item| !before.contains(item)) {
                merged.push(item.clone());
            }
            Ok(merged)
        }
        List::Keyed(merge_key) => {
            let mut merged = before.to_vec();
            for item in change {
                let position = merged.iter().position(|known| known[merge_key] == item[merge_key]);
                match (position, item["$patch"].as_str()) {
                    (Some(position), Some("delete")) => {
                        merged.remove(position);
                    }
                    (None, Some("delete")) => {}
                    (Some(position), _) => merged[position] = strategic(&merged[position], item)?,
                    (None, _) => merged.push(item.clone()),
                }
            }
            Ok(merged)
        }
    }
}

/// In the order that is asked for; what is not named there stays behind what it followed.
fn arrange(key: &str, list: &mut [Value], order: &[Value]) {
    let merge_key = match list_kind(key, list, order) {
        List::Keyed(merge_key) => Some(merge_key),
        _ => None,
    };
    let place = |item: &Value| order.iter().position(|wanted| merge_key.map_or(wanted == item, |merge_key| wanted[merge_key] == item[merge_key]));
    let mut last = 0;
    let mut keyed: Vec<(usize, Value)> = list
        .iter()
        .map(|item| {
            last = place(item).unwrap_or(last);
            (last, item.clone())
        })
        .collect();
    keyed.sort_by_key(|(place, _)| *place);
    for (slot, (_, item)) in list.iter_mut().zip(keyed) {
        *slot = item;
    }
}

/// With a JSON patch.
pub fn operations(object: &Value, patch: &Value) -> Result<Value, String> {
    let mut changed = object.clone();
    for operation in patch.as_array().into_iter().flatten() {
        operate(&mut changed, operation)?;
    }
    Ok(changed)
}

fn operate(object: &mut Value, operation: &Value) -> Result<(), String> {
    let (kind, path) = (operation["op"].as_str().unwrap_or("unknown"), operation["path"].as_str().unwrap_or_default());
    let from = operation["from"].as_str().unwrap_or_default();
    match kind {
        "add" => put(object, path, operation["value"].clone(), kind),
        "remove" => take(object, path, kind).map(drop),
        "replace" => {
            let (container, key) = parent(object, path, kind).map_err(|_| format!("{kind} operation does not apply: doc is missing path: {path}: missing value"))?;
            match container {
                Value::Array(items) => {
                    let item = key.parse::<usize>().ok().and_then(|index| items.get_mut(index));
                    *item.ok_or_else(|| format!("{kind} operation does not apply: doc is missing key: {path}: missing value"))? = operation["value"].clone();
                }
                other => other[key] = operation["value"].clone(),
            }
            Ok(())
        }
        "move" => {
            let value = take(object, from, kind).map_err(|text| text.replace(&format!("'{from}'"), &format!("'{}'", from.rsplit('/').next().unwrap_or_default())))?;
            put(object, path, value, kind)
        }
        "copy" => {
            parent(object, from, kind).map_err(|_| format!("{kind} operation does not apply: doc is missing from path: {from}: missing value"))?;
            let value = object.pointer(from).cloned().unwrap_or_default();
            put(object, path, value, kind).map_err(|_| format!("{kind} operation does not apply: doc is missing destination path: {path}: missing value"))
        }
        "test" => {
            let found = object.pointer(path).unwrap_or(&Value::Null);
            if *found == operation["value"] { Ok(()) } else { Err(format!("testing value {path} failed: test failed")) }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

/// The container of a path's last part, and that part.
fn parent<'a>(object: &'a mut Value, path: &str, kind: &str) -> Result<(&'a mut Value, String), String> {
    let missing = || format!("{kind} operation does not apply: doc is missing path: {path:?}: missing value");
    let (before, key) = path.rsplit_once('/').ok_or_else(missing)?;
    match object.pointer_mut(before) {
        Some(container @ (Value::Object(_) | Value::Array(_))) => Ok((container, key.replace("~1", "/").replace("~0", "~"))),
        _ => Err(missing()),
    }
}

fn put(object: &mut Value, path: &str, value: Value, kind: &str) -> Result<(), String> {
    let (container, key) = parent(object, path, kind)?;
    match container {
        Value::Array(items) => {
            let index = if key == "-" { items.len() } else { key.parse().map_err(|_| format!("strconv.Atoi: parsing {key:?}: invalid syntax"))? };
            if index > items.len() {
                return Err(format!("{kind} operation does not apply: doc is missing path: {path:?}: Unable to access invalid index: {index}: invalid index referenced"));
            }
            items.insert(index, value);
        }
        other => other[key] = value,
    }
    Ok(())
}

fn take(object: &mut Value, path: &str, kind: &str) -> Result<Value, String> {
    let (container, key) = parent(object, path, kind)?;
    match container {
        Value::Array(items) => {
            let index: usize = key.parse().map_err(|_| format!("strconv.Atoi: parsing {key:?}: invalid syntax"))?;
            if index >= items.len() {
                return Err(format!("error in {kind} for path: '{path}': Unable to access invalid index: {index}: invalid index referenced"));
            }
            Ok(items.remove(index))
        }
        Value::Object(fields) => fields.remove(&key).ok_or_else(|| format!("error in {kind} for path: '{path}': Unable to remove nonexistent key: {key}: missing value")),
        _ => Err(format!("{kind} operation does not apply: doc is missing path: {path:?}: missing value")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_are_applied_as_the_server_applies_them() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}], "args": ["1"], "strategy": {"type": "R", "rollingUpdate": {}}}});
        let cases = [
            (json!({"spec": {"containers": [{"name": "b", "image": "z"}]}}), json!([{"name": "a", "image": "x"}, {"name": "b", "image": "z"}])),
            (json!({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}), json!([{"name": "b", "image": "y"}])),
            (json!({"spec": {"containers": [{"$patch": "replace"}, {"name": "c"}]}}), json!([{"name": "c"}])),
            (json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": []}}), json!([{"name": "b", "image": "y"}, {"name": "a", "image": "x"}])),
        ];
        for (patch, containers) in cases {
            assert_eq!(strategic(&pod, &patch).unwrap()["spec"]["containers"], containers, "{patch}");
        }
        let kept = strategic(&pod, &json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})).unwrap();
        assert_eq!(kept["spec"]["strategy"], json!({"type": "Recreate"}));
        assert_eq!(merged(&pod, &json!({"spec": {"containers": [], "strategy": null}}))["spec"], json!({"containers": [], "args": ["1"]}));
    }

    #[test]
    fn operations_follow_each_other() {
        let object = json!({"a": {"b": [1, 2]}});
        let patch = json!([
            {"op": "add", "path": "/a/b/-", "value": 3}, {"op": "remove", "path": "/a/b/0"}, {"op": "replace", "path": "/a/b/0", "value": 9},
            {"op": "copy", "from": "/a/b", "path": "/c~1d"}, {"op": "move", "from": "/a", "path": "/e"}, {"op": "test", "path": "/e/b/1", "value": 3},
        ]);
        assert_eq!(operations(&object, &patch).unwrap(), json!({"c/d": [9, 3], "e": {"b": [9, 3]}}));
        assert!(operations(&object, &json!([{"op": "remove", "path": "/x"}])).unwrap_err().contains("nonexistent key: x"));
        let inside_text = json!([{"op": "add", "path": "/a/name/x", "value": 1}]);
        assert!(operations(&json!({"a": {"name": "web"}}), &inside_text).unwrap_err().contains("doc is missing path"));
    }
}
