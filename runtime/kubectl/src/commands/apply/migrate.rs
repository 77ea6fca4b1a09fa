//! From client-side to server-side apply: the fields that `kubectl apply` owned by its annotation become those it owns by the server's book.
// upstream: kubectl/pkg/cmd/apply/apply.go saveLastApplyAnnotationIfNecessary, migrateToSSAIfNecessary; client-go/util/csaupgrade/upgrade.go

use http::Method;
use serde_json::{Map, Value, json};

use crate::builder::Info;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::{APPLY_PATCH, Call, JSON_PATCH};
use crate::write::LAST_APPLIED;

/// Who owns the annotation when nobody else does.
const ANNOTATION_MANAGER: &str = "kubectl-last-applied";
/// How often a change by somebody else is met with another try.
const TRIES: usize = 5;

/// Keep the annotation of an object that was applied by the client before; the object then.
pub(super) async fn keep_annotation(factory: &Factory, info: &Info, object: Value, manager: &str) -> Result<Value, Failure> {
    let Some(config) = object["metadata"]["annotations"][LAST_APPLIED].as_str() else { return Ok(object) };
    if manager != "kubectl" || entries(&object).iter().any(|entry| entry["operation"] == "Apply" && owns_annotation(entry)) {
        return Ok(object);
    }
    let metadata = &object["metadata"];
    let mut only = json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {"name": metadata["name"], "annotations": {LAST_APPLIED: config}}});
    if metadata["namespace"].is_string() {
        only["metadata"]["namespace"] = metadata["namespace"].clone();
    }
    let call = Call::new(Method::PATCH, info.path()).query("fieldManager", ANNOTATION_MANAGER).body(APPLY_PATCH, only.to_string().into_bytes());
    factory.call(call).await
}

/// Make the fields that were applied by the client those of this manager; whether there were any.
pub(super) async fn migrate(factory: &Factory, info: &Info, mut object: Value, manager: &str) -> Result<bool, Failure> {
    let mut owners: Vec<String> = entries(&object)
        .iter()
        .filter(|entry| entry["operation"] == "Update" && owns_annotation(entry))
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect();
    owners.sort();
    owners.dedup();
    for attempt in 1.. {
        let upgraded = owners.iter().fold(entries(&object).to_vec(), |entries, owner| upgraded(entries, owner, manager));
        if upgraded == entries(&object) {
            return Ok(false);
        }
        let patch = json!([
            {"op": "replace", "path": "/metadata/managedFields", "value": upgraded},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": object["metadata"]["resourceVersion"]},
        ]);
        let call = Call::new(Method::PATCH, info.path()).query("fieldManager", manager).body(JSON_PATCH, patch.to_string().into_bytes());
        match factory.call(call).await {
            Ok(_) => return Ok(true),
            Err(failure) if failure.is("Conflict") && attempt < TRIES => object = info.get(factory).await?,
            Err(failure) => return Err(failure),
        }
    }
    Ok(false)
}

fn entries(object: &Value) -> &[Value] {
    object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn owns_annotation(entry: &Value) -> bool {
    !entry["fieldsV1"]["f:metadata"]["f:annotations"][format!("f:{LAST_APPLIED}")].is_null()
}

fn is_update_of(entry: &Value, owner: &str) -> bool {
    entry["manager"] == owner && entry["operation"] == "Update" && entry["subresource"].as_str().unwrap_or_default().is_empty()
}

/// What `owner` wrote becomes what `manager` applies.
fn upgraded(mut entries: Vec<Value>, owner: &str, manager: &str) -> Vec<Value> {
    let applied = |entry: &Value| entry["manager"] == manager && entry["operation"] == "Apply" && entry["subresource"].as_str().unwrap_or_default().is_empty();
    let target = match entries.iter().position(applied) {
        Some(target) => target,
        None => {
            let Some(target) = entries.iter().position(|entry| is_update_of(entry, owner)) else { return entries };
            entries[target]["operation"] = json!("Apply");
            entries[target]["manager"] = json!(manager);
            target
        }
    };
    let version = entries[target]["apiVersion"].clone();
    if let Some(other) = entries.iter().find(|entry| is_update_of(entry, owner) && entry["apiVersion"] == version) {
        let fields = united(&entries[target]["fieldsV1"], &other["fieldsV1"]);
        entries[target]["fieldsV1"] = fields;
    }
    entries.retain(|entry| !is_update_of(entry, owner));
    entries
}

/// All fields of two sets.
fn united(one: &Value, other: &Value) -> Value {
    let mut fields: Map<String, Value> = one.as_object().cloned().unwrap_or_default();
    for (name, inner) in other.as_object().into_iter().flatten() {
        let both = fields.get(name).map_or_else(|| inner.clone(), |known| united(known, inner));
        fields.insert(name.clone(), both);
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_becomes_what_is_applied() {
        let entry = |manager: &str, operation: &str, fields: Value| json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsV1": fields});
        let (a, b) = (json!({"f:data": {"f:a": {}}}), json!({"f:data": {"f:b": {}}}));
        let both = json!({"f:data": {"f:a": {}, "f:b": {}}});
        let cases = [
            (vec![entry("csa", "Update", a.clone())], vec![entry("kubectl", "Apply", a.clone())]),
            (vec![entry("csa", "Update", a.clone()), entry("kubectl", "Apply", b.clone())], vec![entry("kubectl", "Apply", both)]),
            (vec![entry("other", "Update", b.clone())], vec![entry("other", "Update", b)]),
        ];
        for (before, after) in cases {
            assert_eq!(upgraded(before, "csa", "kubectl"), after);
        }
    }
}
