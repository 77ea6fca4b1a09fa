//! Strategic merge patches: merges that know which lists are sets of named things.
// upstream: apimachinery/pkg/util/strategicpatch/patch.go

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    merge_order,
    schema::{Definition, PatchStrategy, Type},
    status::Status,
};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;

/// Applies a strategic merge patch.
pub(crate) fn merge(
    original: Object,
    patch: &Object,
    kind: Option<&Type>,
) -> Result<Object, Status> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => return Ok(cleaned_object(patch)),
        Some("delete") => return Ok(Object::new()),
        Some("merge") | None => {}
        Some(other) => {
            return Err(Status::bad_request(format!(
                "unknown patch type found: {other}"
            )));
        }
    }
    let before = original.clone();
    let mut out = original;
    retain_keys(&mut out, patch)?;
    for (name, value) in patch {
        if name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(ORDER) {
            continue;
        }
        if let Some(list) = name.strip_prefix(DELETE_FROM) {
            delete_from(&mut out, list, value)?;
            continue;
        }
        let field = field(kind, name);
        match (out.get_mut(name), value) {
            (_, Value::Null) => drop(out.remove(name)),
            (Some(Value::Object(there)), Value::Object(value)) => {
                let there = std::mem::take(there);
                let merged = merge(there, value, field.kind)?;
                out.insert(name.clone(), Value::Object(merged));
            }
            (Some(Value::Array(there)), Value::Array(value)) if field.patch.merge => {
                let merged = merge_list(std::mem::take(there), value, &field)?;
                out.insert(name.clone(), Value::Array(merged));
            }
            (_, value) => drop(out.insert(name.clone(), cleaned(value))),
        }
    }
    for (name, order) in patch {
        if let (Some(name), Value::Array(order)) = (name.strip_prefix(ORDER), order) {
            set_order(&mut out, &before, name, order, kind);
        }
    }
    Ok(out)
}

/// What the schema says of a field.
struct FieldInfo<'a> {
    kind: Option<&'a Type>,
    patch: PatchStrategy,
}

fn field<'a>(kind: Option<&'a Type>, name: &str) -> FieldInfo<'a> {
    match kind {
        Some(Type::Struct(definition)) => match known(definition, name) {
            Some(field) => FieldInfo {
                kind: Some(&field.kind),
                patch: field.patch.clone(),
            },
            None => FieldInfo {
                kind: None,
                patch: PatchStrategy::default(),
            },
        },
        Some(Type::Map(item)) => FieldInfo {
            kind: Some(item),
            patch: PatchStrategy::default(),
        },
        _ => FieldInfo {
            kind: None,
            patch: PatchStrategy::default(),
        },
    }
}

fn known<'a>(definition: &'a Arc<Definition>, name: &str) -> Option<&'a crate::schema::Field> {
    definition.fields.get(name)
}

fn retain_keys(out: &mut Object, patch: &Object) -> Result<(), Status> {
    let Some(keys) = patch.get(RETAIN_KEYS) else {
        return Ok(());
    };
    let Some(keys) = keys.as_array() else {
        return Err(Status::bad_request(
            "invalid patch format of retainKeys, it should be a list of strings",
        ));
    };
    let keep = |name: &str| keys.iter().any(|k| k == name);
    if patch
        .iter()
        .any(|(name, value)| !name.starts_with('$') && !value.is_null() && !keep(name))
    {
        return Err(Status::bad_request(
            "the keys in retainKeys list should be the same as the keys in the patch",
        ));
    }
    out.retain(|name, _| keep(name));
    Ok(())
}

fn delete_from(out: &mut Object, list: &str, gone: &Value) -> Result<(), Status> {
    let Some(gone) = gone.as_array() else {
        return Err(Status::bad_request(
            "invalid patch format of primitive list",
        ));
    };
    if let Some(Value::Array(there)) = out.get_mut(list) {
        there.retain(|item| !gone.contains(item));
    }
    Ok(())
}

/// A value of a patch as it is stored where there was nothing: directives and nulls have nothing to say.
fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(cleaned_object(map)),
        Value::Array(items) => {
            let gone = |item: &&Value| {
                item.get(DIRECTIVE)
                    .is_none_or(|d| d != "delete" && d != "replace")
            };
            items.iter().filter(gone).map(cleaned).collect()
        }
        other => other.clone(),
    }
}

fn cleaned_object(map: &Object) -> Object {
    map.iter()
        .filter(|(name, value)| !is_directive(name) && !value.is_null())
        .map(|(name, value)| (name.clone(), cleaned(value)))
        .collect()
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE
        || name == RETAIN_KEYS
        || name.starts_with(ORDER)
        || name.starts_with(DELETE_FROM)
}

fn merge_list(
    mut there: Vec<Value>,
    patch: &[Value],
    field: &FieldInfo<'_>,
) -> Result<Vec<Value>, Status> {
    let Some(key) = &field.patch.key else {
        for item in patch {
            if !there.contains(item) {
                there.push(item.clone());
            }
        }
        return Ok(there);
    };
    let item_kind = match field.kind {
        Some(Type::List(item, _)) => Some(item.as_ref()),
        _ => None,
    };
    let directive = |item: &Value| {
        item.get(DIRECTIVE)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if patch
        .iter()
        .any(|item| directive(item).as_deref() == Some("replace"))
    {
        let kept = patch.iter().filter(|item| item.get(DIRECTIVE).is_none());
        return Ok(kept.map(cleaned).collect());
    }
    for item in patch {
        let Value::Object(map) = item else {
            return Err(Status::bad_request("invalid JSON document"));
        };
        let Some(id) = map.get(key) else {
            return Err(Status::raw(format!(
                "map: {} does not contain declared merge key: {key}",
                go_value(item)
            )));
        };
        if directive(item).as_deref() == Some("delete") {
            there.retain(|other| other.get(key) != Some(id));
            continue;
        }
        match there.iter_mut().find(|other| other.get(key) == Some(id)) {
            Some(Value::Object(old)) => *old = merge(std::mem::take(old), map, item_kind)?,
            _ => there.push(cleaned(item)),
        }
    }
    Ok(there)
}

/// Brings a list into the order the writer sees it in; what only the server has stays where it was.
fn set_order(out: &mut Object, before: &Object, name: &str, order: &[Value], kind: Option<&Type>) {
    let key = field(kind, name).patch.key;
    let Some(Value::Array(items)) = out.get_mut(name) else {
        return;
    };
    let id = |item: &Value| match &key {
        Some(key) => item.get(key).cloned().unwrap_or(Value::Null),
        None => item.clone(),
    };
    let place_in =
        |list: &[Value], item: &Value| list.iter().position(|other| id(other) == id(item));
    let old = before
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let (mut ordered, mut server_only): (Vec<Value>, Vec<Value>) = std::mem::take(items)
        .into_iter()
        .partition(|item| place_in(order, item).is_some());
    ordered.sort_by_key(|item| place_in(order, item));
    server_only.sort_by_key(|item| place_in(old, item).unwrap_or(usize::MAX));
    *items = merge_order::interleave(server_only, ordered, |item| place_in(old, item));
}

/// A value as Go's `%v` prints it.
pub(crate) fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(go_value).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let pairs: Vec<String> = keys
                .into_iter()
                .map(|key| format!("{key}:{}", go_value(&map[key])))
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}
