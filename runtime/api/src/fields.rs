//! Field labels for field selectors.
// upstream: pkg/apis/core/v1/conversion.go AddFieldLabelConversionsFor..., pkg/registry/core/*/strategy.go ToSelectableFields

use serde_json::Value;

use crate::{registry::Resource, status::Status};

/// Whether a kind can be selected by this label; the refusal is upstream's 400.
pub fn check(row: &Resource, label: &str) -> Result<(), Status> {
    let known = label == "metadata.name"
        || (label == "metadata.namespace" && row.is_namespaced())
        || row.selectable_fields.iter().any(|f| f == label);
    if known {
        Ok(())
    } else {
        Err(Status::bad_request(refusal(row, label)))
    }
}

fn refusal(row: &Resource, label: &str) -> String {
    if row.selectable_fields.is_empty() {
        format!(
            "{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    } else {
        format!("field label not supported: {label}")
    }
}

/// The value of a label (`metadata.name`, `spec.nodeName`, ...), empty if unset.
pub fn value(row: &Resource, object: &Value, label: &str) -> String {
    if let Some(value) = row.rules.field(object, label) {
        return value;
    }
    let mut value = object;
    for part in label.split('.') {
        value = &value[part];
    }
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
