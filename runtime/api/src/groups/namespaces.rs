//! Namespace.
// upstream: pkg/registry/core/namespace/strategy.go

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use crate::{
    meta,
    registry::{Column, NamePrefix, Resource, Rules, Subresource},
    table,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Namespace>()
            .short(&["ns"])
            .verbs(&[
                "create", "delete", "get", "list", "patch", "update", "watch",
            ])
            .subresources(&[Subresource::Finalize, Subresource::Status])
            .fields(&["status.phase", "name"])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Status", "The status of the namespace"),
                Column::new("Age", table::AGE_DESCRIPTION),
            ])
            .rules(NamespaceRules),
    ]
}

struct NamespaceRules;

impl Rules for NamespaceRules {
    fn set_defaults(&self, new: &mut Value) {
        let name = meta::name(new).to_owned();
        if !name.is_empty() {
            let labels = meta::metadata_mut(new)
                .entry("labels")
                .or_insert_with(|| json!({}));
            labels["kubernetes.io/metadata.name"] = Value::from(name);
        }
    }

    fn prepare_create(&self, new: &mut Value) {
        new["status"] = json!({"phase": "Active"});
        // The content of a namespace goes before it: the namespace controller lifts this.
        let finalizers = new["spec"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        if !finalizers.iter().any(|f| f == "kubernetes") {
            let mut finalizers = finalizers;
            finalizers.push(Value::from("kubernetes"));
            new["spec"]["finalizers"] = Value::from(finalizers);
        }
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        // Only `finalize` touches these.
        match old["spec"].get("finalizers") {
            Some(finalizers) => new["spec"]["finalizers"] = finalizers.clone(),
            None => drop(
                new["spec"]
                    .as_object_mut()
                    .map(|spec| spec.remove("finalizers")),
            ),
        }
    }

    fn validate_name(&self, name: &str, prefix: NamePrefix) -> Vec<String> {
        meta::dns_label_messages(name, prefix)
    }

    fn holds_deletion(&self, object: &Value) -> bool {
        object["spec"]["finalizers"]
            .as_array()
            .is_some_and(|finalizers| !finalizers.is_empty())
    }

    fn deletion_marked(&self, object: &mut Value) {
        object["status"]["phase"] = Value::from("Terminating");
    }

    fn field(&self, object: &Value, label: &str) -> Option<String> {
        (label == "name").then(|| meta::name(object).to_owned())
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(object["status"]["phase"].as_str().unwrap_or("")),
            table::age(object, now),
        ])
    }
}
