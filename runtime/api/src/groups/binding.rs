//! Binding: what the scheduler writes to put a Pod on a Node.
// upstream: pkg/registry/core/pod/storage/storage.go BindingREST

use drydock_primitives::time;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Binding;
use serde_json::{Value, json};

use crate::{
    field_error::FieldError,
    meta,
    registry::{Resource, Rules},
    status::Status,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Binding>()
            .verbs(&["create"])
            .rules(BindingRules),
    ]
}

struct BindingRules;

impl Rules for BindingRules {
    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let target = &new["target"];
        let mut errors = Vec::new();
        let kind = target["kind"].as_str().unwrap_or("");
        if !kind.is_empty() && kind != "Node" {
            errors.push(FieldError::not_supported(
                "target.kind",
                kind,
                &["Node", "<empty>"],
            ));
        }
        if target["name"].as_str().unwrap_or("").is_empty() {
            errors.push(FieldError::required("target.name", ""));
        }
        errors
    }
}

/// Puts a Pod on the Node a Binding names.
pub fn bind(
    row: &Resource,
    pod: &mut Value,
    binding: &Value,
    now: Timestamp,
) -> Result<(), Status> {
    let name = meta::name(pod).to_owned();
    let node = binding["target"]["name"].as_str().unwrap_or("").to_owned();
    let conflict =
        |why: String| Status::conflict_as(&format!("{}/binding", row.plural), &name, &why, row);
    let uid = meta::text(binding, "uid");
    if !uid.is_empty() && uid != meta::text(pod, "uid") {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            meta::text(pod, "uid")
        );
        return Err(conflict(why));
    }
    if meta::is_terminating(pod) {
        return Err(conflict(format!(
            "pod {name} is being deleted, cannot be assigned to a host"
        )));
    }
    if let Some(there) = pod["spec"]["nodeName"].as_str().filter(|n| !n.is_empty()) {
        return Err(conflict(format!(
            "pod {name} is already assigned to node {there:?}"
        )));
    }
    if pod["spec"]["schedulingGates"]
        .as_array()
        .is_some_and(|gates| !gates.is_empty())
    {
        return Err(conflict(format!(
            "pod {name} has non-empty .spec.schedulingGates"
        )));
    }
    pod["spec"]["nodeName"] = Value::from(node);
    for (key, value) in binding["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
    {
        pod["metadata"]["annotations"][key.as_str()] = value.clone();
    }
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": time::seconds(now)});
    let conditions = &mut pod["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|c| c["type"] != "PodScheduled");
        list.push(condition);
    }
    Ok(())
}
