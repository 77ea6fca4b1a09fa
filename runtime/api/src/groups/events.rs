//! Event: one storage, two shapes (core `v1` and `events.k8s.io/v1`).
// upstream: pkg/apis/events/v1/conversion.go, pkg/apis/core/validation/events.go, printers.go printEvent

use drydock_primitives::names;
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Event, events::v1::Event as NewEvent};
use serde_json::{Map, Value, json};

use super::pod_spec::validation::text;
use crate::{
    field_error::FieldError,
    meta,
    registry::{Column, Resource, Rules},
    table,
};

const CORE_FIELDS: [&str; 12] = [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
    "action",
];

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Event>()
            .short(&["ev"])
            .fields(&CORE_FIELDS)
            .columns(columns())
            .create_on_update()
            .rules(CoreRules),
        Resource::of::<NewEvent>()
            .short(&["ev"])
            .fields(&[
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "regarding.resourceVersion",
                "regarding.fieldPath",
                "reason",
                "reportingController",
                "type",
            ])
            .columns(columns())
            .create_on_update()
            .stored_as("events", "v1")
            .rules(NewRules),
    ]
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
        Column::new("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
        Column::new("Reason", "This should be a short, machine understandable string that gives the reason for the transition into the object's current status."),
        Column::new("Object", "The object that this event is about."),
        Column::new("Subobject", "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go field access statement.").wide(),
        Column::new("Source", "The component reporting this event.").wide(),
        Column::new("Message", "A human-readable description of the status of this operation."),
        Column::new("First Seen", "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)").wide(),
        Column::new("Count", "The number of times this event has occurred.").wide(),
        Column::new("Name", table::NAME_DESCRIPTION).wide(),
    ]
}

/// Fields with another name in the newer shape: `(core, new)`.
const RENAMED: [(&str, &str); 8] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingInstance", "reportingInstance"),
];

fn rename(object: &mut Value, pairs: impl Iterator<Item = (&'static str, &'static str)>) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let moved: Vec<(&str, Value)> = pairs
        .filter_map(|(from, to)| Some((to, map.remove(from)?)))
        .collect();
    map.extend(
        moved
            .into_iter()
            .map(|(field, value)| (field.to_owned(), value)),
    );
}

struct CoreRules;

impl Rules for CoreRules {
    /// Go writes these three even when empty.
    fn set_defaults(&self, new: &mut Value) {
        if let Some(event) = new.as_object_mut() {
            for (field, value) in [
                ("eventTime", Value::Null),
                ("reportingComponent", json!("")),
                ("reportingInstance", json!("")),
            ] {
                event.entry(field).or_insert(value);
            }
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let (involved, own) = (
            text(&new["involvedObject"], "namespace"),
            meta::namespace(new),
        );
        let fits = if involved.is_empty() {
            own == "default" || own == "kube-system"
        } else {
            involved == own
        };
        if !fits {
            errors.push(FieldError::invalid(
                "involvedObject.namespace",
                involved,
                "does not match event.namespace",
            ));
        }
        if !new["eventTime"].is_null() {
            let controller = text(new, "reportingComponent");
            if controller.is_empty() {
                errors.push(FieldError::required("reportingController", ""));
            } else {
                errors.extend(
                    names::qualified_name(controller)
                        .into_iter()
                        .map(|m| FieldError::invalid("reportingController", controller, m)),
                );
            }
            for (field, shown) in [
                ("reportingInstance", "reportingInstance"),
                ("action", "action"),
                ("reason", "reason"),
            ] {
                if text(new, field).is_empty() {
                    errors.push(FieldError::required(shown, ""));
                }
            }
            if !["Normal", "Warning"].contains(&text(new, "type")) {
                errors.push(FieldError::invalid("type", "", "has invalid value: "));
            }
        }
        errors
    }

    fn field(&self, object: &Value, label: &str) -> Option<String> {
        match label {
            "source" => {
                let component = text(&object["source"], "component");
                Some(
                    if component.is_empty() {
                        text(object, "reportingComponent")
                    } else {
                        component
                    }
                    .to_owned(),
                )
            }
            _ => None,
        }
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(cells(object, now))
    }
}

fn cells(event: &Value, now: Timestamp) -> Vec<Value> {
    let since = |field: &str| table::since_text(text(event, field), now);
    let has = |field: &str| !text(event, field).is_empty();
    let first = if has("firstTimestamp") {
        since("firstTimestamp")
    } else {
        since("eventTime")
    };
    let mut last = if has("lastTimestamp") {
        since("lastTimestamp")
    } else {
        first.clone()
    };
    let mut count = event["count"].as_i64().filter(|c| *c != 0).unwrap_or(1);
    if let Some(series) = event.get("series").filter(|s| s.is_object()) {
        last = table::since_text(text(series, "lastObservedTime"), now);
        count = series["count"].as_i64().unwrap_or(0);
    }
    let involved = &event["involvedObject"];
    let kind = text(involved, "kind").to_lowercase();
    let target = if text(involved, "name").is_empty() {
        kind
    } else {
        format!("{kind}/{}", text(involved, "name"))
    };
    vec![
        Value::from(last),
        Value::from(text(event, "type")),
        Value::from(text(event, "reason")),
        Value::from(target),
        Value::from(text(involved, "fieldPath")),
        Value::from(source(event)),
        Value::from(text(event, "message").trim()),
        Value::from(first),
        Value::from(count),
        Value::from(meta::name(event)),
    ]
}

fn source(event: &Value) -> String {
    let component = text(&event["source"], "component");
    let component = if component.is_empty() {
        text(event, "reportingComponent")
    } else {
        component
    };
    let instance = text(&event["source"], "host");
    let instance = if instance.is_empty() {
        text(event, "reportingInstance")
    } else {
        instance
    };
    [component, instance]
        .into_iter()
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

struct NewRules;

impl NewRules {
    fn core(object: &Value) -> Value {
        let mut core = object.clone();
        NewRules.to_storage(&mut core);
        core
    }
}

impl Rules for NewRules {
    fn set_defaults(&self, new: &mut Value) {
        if let Some(event) = new.as_object_mut() {
            event.entry("eventTime").or_insert(Value::Null);
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        CoreRules.validate(&NewRules::core(new))
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(cells(&NewRules::core(object), now))
    }

    fn to_storage(&self, object: &mut Value) {
        rename(object, RENAMED.into_iter().map(|(core, new)| (new, core)));
        CoreRules.set_defaults(object);
        if let Some(map) = object.as_object_mut() {
            for field in ["involvedObject", "source"] {
                map.entry(field)
                    .or_insert_with(|| Value::Object(Map::new()));
            }
        }
    }

    fn from_storage(&self, object: &mut Value) {
        rename(object, RENAMED.into_iter());
    }
}
