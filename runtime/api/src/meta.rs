//! `metadata`: reading it, and what may stand in it.
// upstream: apimachinery/pkg/api/validation/objectmeta.go

use drydock_primitives::names;
use serde_json::{Map, Value, json};

use crate::{
    field_error::FieldError,
    registry::{NamePrefix, Resource},
};

/// A text of `metadata`, empty if absent.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|m| m.get(field))
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.resourceVersion`.
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// Whether `metadata.deletionTimestamp` is set.
pub fn is_terminating(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// `metadata`, made if absent.
pub fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut().expect("just made an object")
}

/// Replaces `metadata.resourceVersion`.
pub fn set_resource_version(object: &mut Value, revision: u64) {
    metadata_mut(object).insert(
        "resourceVersion".to_owned(),
        Value::from(revision.to_string()),
    );
}

fn masked(name: &str, prefix: NamePrefix) -> String {
    match prefix {
        // A suffix will follow: a trailing dash is fine.
        NamePrefix::Prefix if name.len() > 1 && name.ends_with('-') => {
            format!("{}a", &name[..name.len() - 2])
        }
        _ => name.to_owned(),
    }
}

/// What is wrong with a DNS subdomain name.
pub fn dns_subdomain_messages(name: &str, prefix: NamePrefix) -> Vec<String> {
    names::dns1123_subdomain(&masked(name, prefix))
}

/// What is wrong with a DNS label name.
pub fn dns_label_messages(name: &str, prefix: NamePrefix) -> Vec<String> {
    names::dns1123_label(&masked(name, prefix))
}

/// What is wrong with a DNS-1035 label name, as Services have it.
pub fn dns_1035_messages(name: &str, prefix: NamePrefix) -> Vec<String> {
    names::dns1035_label(&masked(name, prefix))
}

/// Errors of a new object's metadata.
pub fn validate(row: &Resource, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let generate_name = text(object, "generateName");
    if !generate_name.is_empty() {
        for message in row.rules.validate_name(generate_name, NamePrefix::Prefix) {
            errors.push(FieldError::invalid(
                "metadata.generateName",
                generate_name,
                message,
            ));
        }
    }
    let name = name(object);
    if name.is_empty() {
        errors.push(FieldError::required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        errors.extend(
            row.rules
                .validate_name(name, NamePrefix::Complete)
                .into_iter()
                .map(|m| FieldError::invalid("metadata.name", name, m)),
        );
    }
    if row.is_namespaced() {
        let namespace = namespace(object);
        if namespace.is_empty() {
            errors.push(FieldError::required("metadata.namespace", ""));
        } else {
            errors.extend(
                names::dns1123_label(namespace)
                    .into_iter()
                    .map(|m| FieldError::invalid("metadata.namespace", namespace, m)),
            );
        }
    }
    let metadata = &object["metadata"];
    errors.extend(labels(&metadata["labels"], "metadata.labels"));
    errors.extend(annotations(
        &metadata["annotations"],
        "metadata.annotations",
    ));
    errors.extend(owner_references(&metadata["ownerReferences"]));
    errors.extend(finalizers(&metadata["finalizers"]));
    errors
}

/// Errors of labels.
pub fn labels(labels: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        errors.extend(
            names::qualified_name(key)
                .into_iter()
                .map(|m| FieldError::invalid(path, key.as_str(), m)),
        );
        let value = value.as_str().unwrap_or("");
        errors.extend(
            names::label_value(value)
                .into_iter()
                .map(|m| FieldError::invalid(path, value, m)),
        );
    }
    errors
}

/// Errors of a LabelSelector.
// upstream: apimachinery/pkg/apis/meta/v1/validation/validation.go ValidateLabelSelector
pub fn label_selector(selector: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = labels(&selector["matchLabels"], &format!("{path}.matchLabels"));
    let expressions = selector["matchExpressions"].as_array();
    for (index, expression) in expressions.into_iter().flatten().enumerate() {
        let path = format!("{path}.matchExpressions[{index}]");
        let values = expression["values"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let operator = expression["operator"].as_str().unwrap_or("");
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                format!("{path}.operator"),
                other,
                "not a valid selector operator",
            )),
        }
        let key = expression["key"].as_str().unwrap_or("");
        let of_key = names::qualified_name(key).into_iter();
        errors.extend(of_key.map(|m| FieldError::invalid(format!("{path}.key"), key, m)));
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            let of_value = names::label_value(value).into_iter();
            errors.extend(
                of_value.map(|m| FieldError::invalid(format!("{path}.values[{index}]"), value, m)),
            );
        }
    }
    errors
}

const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Errors of annotations.
pub fn annotations(annotations: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        errors.extend(
            names::qualified_name(&key.to_lowercase())
                .into_iter()
                .map(|m| FieldError::invalid(path, key.as_str(), m)),
        );
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT));
    }
    errors
}

fn owner_references(references: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controller: Option<&str> = None;
    for reference in references.as_array().into_iter().flatten() {
        let path = "metadata.ownerReferences";
        for field in ["apiVersion", "kind", "name", "uid"] {
            if reference
                .get(field)
                .and_then(Value::as_str)
                .unwrap_or("")
                .is_empty()
            {
                errors.push(FieldError::invalid(
                    format!("{path}.{field}"),
                    "",
                    format!(
                        "{} must not be empty",
                        if field == "apiVersion" {
                            "version"
                        } else {
                            field
                        }
                    ),
                ));
            }
        }
        if reference["controller"].as_bool() == Some(true) {
            let name = reference["name"].as_str().unwrap_or("");
            if let Some(first) = controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                errors.push(FieldError::invalid(path, references.clone(), detail));
            }
            controller = Some(name);
        }
    }
    errors
}

const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

fn finalizers(finalizers: &Value) -> Vec<FieldError> {
    let path = "metadata.finalizers";
    let mut errors = Vec::new();
    for finalizer in finalizers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        let messages = names::qualified_name(finalizer);
        if messages.is_empty()
            && !finalizer.contains('/')
            && !STANDARD_FINALIZERS.contains(&finalizer)
        {
            errors.push(FieldError::invalid(
                path,
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
        errors.extend(
            messages
                .into_iter()
                .map(|m| FieldError::invalid(path, finalizer, m)),
        );
    }
    errors
}

/// Errors of a change to metadata.
pub fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["name", "namespace", "uid"] {
        let (new, old) = (text(new, field), text(old, field));
        if new != old {
            errors.push(FieldError::invalid(
                format!("metadata.{field}"),
                new,
                crate::write::IMMUTABLE,
            ));
        }
    }
    if is_terminating(old) {
        let old_finalizers = old["metadata"]["finalizers"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let added: Vec<&str> = new["metadata"]["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|f| !old_finalizers.contains(f))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", detail));
        }
    }
    let metadata = &new["metadata"];
    errors.extend(labels(&metadata["labels"], "metadata.labels"));
    errors.extend(annotations(
        &metadata["annotations"],
        "metadata.annotations",
    ));
    errors.extend(owner_references(&metadata["ownerReferences"]));
    errors.extend(finalizers(&metadata["finalizers"]));
    errors
}
