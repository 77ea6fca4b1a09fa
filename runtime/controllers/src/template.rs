//! Templates of Pods as versions: whether two are the same, and the hash that tells them apart.

use std::collections::BTreeMap;

use drydock_primitives::names;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Value, json};

/// The label by which a Deployment tells the Pods of its versions apart.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// The template as it is compared: without the hash and without fields that say nothing.
// upstream: deployment_util.go EqualIgnoreHash
pub(crate) fn comparable(template: &PodTemplateSpec) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    let mut value = json!(template);
    prune(&mut value);
    value
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, field| !matches!(field, Value::Null) && *field != json!({}) && *field != json!([]));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The hash in a ReplicaSet's name: FNV-1a of the template, written in the alphabet of generated names.
// upstream: pkg/controller/controller_utils.go ComputeHash
pub(crate) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let sorted: BTreeMap<&str, Value> = BTreeMap::from([("template", comparable(template)), ("collisions", json!(collisions))]);
    let mut hash: u32 = 2_166_136_261;
    for byte in json!(sorted).to_string().bytes() {
        hash = (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    }
    names::safe_encode(&hash.to_string())
}
