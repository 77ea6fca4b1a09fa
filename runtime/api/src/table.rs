//! Server-side printing: the Table behind `kubectl get`.
//!
//! Columns come from the row; cells from its [`crate::registry::Rules::cells`], or, for rows without, from name, age and the columns'
//! JSONPaths.
// upstream: apiserver/pkg/endpoints/handlers/response.go, pkg/printers/internalversion/printers.go

use drydock_primitives::time;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{meta, registry::Resource};

/// The usual description of the Name column.
pub(crate) const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
/// The usual description of the Age column.
pub(crate) const AGE_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// What each Table row carries besides its cells (`?includeObject=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// PartialObjectMetadata; the default.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl Include {
    /// Reads the parameter; an unknown value is the answer's error.
    pub fn parse(text: &str) -> Option<Include> {
        match text {
            "" | "Metadata" => Some(Include::Metadata),
            "None" => Some(Include::None),
            "Object" => Some(Include::Object),
            _ => None,
        }
    }
}

/// Whether the column definitions are sent: the first Table of a watch has them, later ones not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// With definitions.
    Full,
    /// Without.
    Omitted,
}

/// A `meta.k8s.io/v1` Table of objects. `metadata` is the list's (resourceVersion, continue, remainingItemCount) or the object's.
pub fn render(
    row: &Resource,
    objects: &[Value],
    metadata: Value,
    include: Include,
    headers: Headers,
    now: Timestamp,
) -> Value {
    let definitions: Vec<Value> = match headers {
        Headers::Omitted => Vec::new(),
        Headers::Full => row
            .columns
            .iter()
            .map(|c| json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority}))
            .collect(),
    };
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells = row
                .rules
                .cells(object, now)
                .unwrap_or_else(|| generic_cells(row, object, now));
            let shown = match include {
                Include::None => Value::Null,
                Include::Metadata => partial(object),
                Include::Object => object.clone(),
            };
            let mut line = json!({"cells": cells, "object": shown});
            let conditions = row.rules.row_conditions(object);
            if !conditions.is_empty() {
                line["conditions"] = Value::from(conditions);
            }
            line
        })
        .collect();
    let definitions = if headers == Headers::Full {
        Value::from(definitions)
    } else {
        Value::Null
    };
    let metadata = if metadata.is_object() {
        metadata
    } else {
        json!({})
    };
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
}

fn generic_cells(row: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    row.columns
        .iter()
        .map(|column| match (column.name.as_str(), &column.json_path) {
            (_, Some(path)) => by_path(object, path, &column.kind, now),
            ("Name", None) => Value::from(meta::name(object)),
            ("Age", None) => age(object, now),
            ("Created At", None) => Value::from(meta::text(object, "creationTimestamp")),
            _ => Value::Null,
        })
        .collect()
}

/// The value at a simple JSONPath such as `.spec.replicas`.
fn by_path(object: &Value, path: &str, kind: &str, now: Timestamp) -> Value {
    let mut value = object;
    for part in path
        .trim_start_matches('$')
        .split('.')
        .filter(|p| !p.is_empty())
    {
        value = &value[part];
    }
    match (kind, value) {
        (_, Value::Null) => Value::Null,
        ("date", Value::String(text)) => Value::from(since_text(text, now)),
        ("string", Value::String(_)) | ("integer" | "number" | "boolean", _) => value.clone(),
        ("string", other) => Value::from(other.to_string()),
        (_, other) => other.clone(),
    }
}

/// The Age cell.
pub fn age(object: &Value, now: Timestamp) -> Value {
    Value::from(since_text(meta::text(object, "creationTimestamp"), now))
}

/// How long ago a written time was, as `HumanDuration` prints it; `<unknown>` for no time.
pub fn since_text(time: &str, now: Timestamp) -> String {
    match time::parse(time) {
        Some(then) => time::human_duration(now.duration_since(then)),
        None => "<unknown>".to_owned(),
    }
}

/// The PartialObjectMetadata of an object.
pub fn partial(object: &Value) -> Value {
    let metadata = if object["metadata"].is_object() {
        object["metadata"].clone()
    } else {
        json!({})
    };
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

/// The PartialObjectMetadataList of objects.
pub fn partial_list(objects: &[Value], metadata: Value) -> Value {
    let items: Vec<Value> = objects.iter().map(partial).collect();
    let metadata = if metadata.is_object() {
        metadata
    } else {
        json!({})
    };
    json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items})
}
