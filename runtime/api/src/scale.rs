//! The `scale` subresource, and label selectors inside objects.
//!
//! Any row with the subresource keeps its wish in `spec.replicas`, its count in `status.replicas` and its selector in
//! `spec.selector`; the autoscaling/v1 Scale is a view of these.

use serde_json::{Value, json};

use crate::{field_error::FieldError, meta, registry::Resource, status::Status};

/// The autoscaling/v1 Scale of an object.
pub fn view(_row: &Resource, object: &Value) -> Result<Value, Status> {
    let old = &object["metadata"];
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = old.get(field) {
            metadata[field] = value.clone();
        }
    }
    let mut scale = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {},
        "status": {"replicas": object["status"]["replicas"].as_i64().unwrap_or(0)},
    });
    // Go drops a zero.
    if let Some(replicas) = object["spec"]["replicas"].as_i64().filter(|r| *r != 0) {
        scale["spec"]["replicas"] = Value::from(replicas);
    }
    let selector = selector_text(&object["spec"]["selector"]);
    if selector != "<none>" {
        scale["status"]["selector"] = Value::from(selector);
    }
    Ok(scale)
}

/// The object with the replicas of a Scale. The Scale's uid and resourceVersion become the object's, so that preconditions hold.
pub fn scaled(row: &Resource, object: &Value, scale: &Value) -> Result<Value, Status> {
    let name = meta::name(object);
    let replicas = scale["spec"]
        .get("replicas")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    if replicas < 0 {
        let error = FieldError::invalid(
            "spec.replicas",
            replicas,
            "must be greater than or equal to 0",
        );
        return Err(Status::invalid_as("autoscaling", "Scale", name, &[error]));
    }
    let given = meta::name(scale);
    if !given.is_empty() && given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let asked = meta::resource_version(scale);
    if !asked.is_empty() && asked != meta::resource_version(object) {
        return Err(Status::modified(row, name));
    }
    let mut new = object.clone();
    new["spec"]["replicas"] = Value::from(replicas);
    Ok(new)
}

/// A LabelSelector (or a plain map) as `kubectl` writes it: `a=b,c in (d,e),!f`; `<none>` if it is empty.
// upstream: apimachinery/pkg/apis/meta/v1/helpers.go FormatLabelSelector
pub fn selector_text(selector: &Value) -> String {
    let plain = selector.get("matchLabels").is_none() && selector.get("matchExpressions").is_none();
    let labels = if plain {
        selector
    } else {
        &selector["matchLabels"]
    };
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        parts.push((
            key.clone(),
            format!("{key}={}", value.as_str().unwrap_or("")),
        ));
    }
    for expression in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = expression["key"].as_str().unwrap_or("").to_owned();
        let mut values: Vec<&str> = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression["operator"].as_str().unwrap_or("") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            _ => format!("!{key}"),
        };
        parts.push((key, text));
    }
    parts.sort();
    if parts.is_empty() {
        "<none>".to_owned()
    } else {
        parts
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// Whether a LabelSelector matches labels; an empty one matches everything, an absent one nothing.
pub fn selector_matches(selector: &Value, labels: &Value) -> bool {
    if !selector.is_object() {
        return false;
    }
    let equal = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector["matchExpressions"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|expression| {
                let value = expression["key"].as_str().and_then(|key| labels.get(key));
                let listed = value.is_some_and(|v| {
                    expression["values"]
                        .as_array()
                        .is_some_and(|values| values.contains(v))
                });
                match expression["operator"].as_str().unwrap_or("") {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_kubectl_prints_them() {
        let cases = [
            (json!({"matchLabels": {"b": "2", "a": "1"}}), "a=1,b=2"),
            (
                json!({"matchExpressions": [{"key": "t", "operator": "In", "values": ["y", "x"]}, {"key": "u", "operator": "DoesNotExist"}]}),
                "t in (x,y),!u",
            ),
            (json!({}), "<none>"),
            (json!({"app": "web"}), "app=web"),
        ];
        for (selector, expected) in cases {
            assert_eq!(selector_text(&selector), expected);
        }
    }
}
