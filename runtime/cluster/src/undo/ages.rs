//! Moving the date-times of an object: forward after a restore, so that ages are as they were; back by a skip.
//!
//! Moved are those of metadata, status and Events, and the moment a taint was put on. Not moved: heartbeats and the ends of credentials,
//! which are about the present, and everything a person wrote.

use drydock_primitives::time;
use jiff::SignedDuration;
use serde_json::Value;

/// Fields of any status that are about the present.
const PRESENT: [&str; 3] = ["lastHeartbeatTime", "expirationTimestamp", "renewTime"];
/// Where an Event keeps its times.
const OF_EVENTS: [&str; 6] = ["/firstTimestamp", "/lastTimestamp", "/eventTime", "/series/lastObservedTime", "/deprecatedFirstTimestamp", "/deprecatedLastTimestamp"];

/// Move the date-times of a stored object.
pub(super) fn shift(object: &mut Value, by: SignedDuration) {
    for pointer in ["/metadata/creationTimestamp", "/metadata/deletionTimestamp"] {
        object.pointer_mut(pointer).into_iter().for_each(|value| shift_text(value, by));
    }
    let managed = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for entry in managed.into_iter().flatten() {
        entry.get_mut("time").into_iter().for_each(|value| shift_text(value, by));
    }
    object.get_mut("status").into_iter().for_each(|status| shift_all(status, by));
    let taints = object.pointer_mut("/spec/taints").and_then(Value::as_array_mut);
    for taint in taints.into_iter().flatten() {
        taint.get_mut("timeAdded").into_iter().for_each(|value| shift_text(value, by));
    }
    if object["kind"] == "Event" {
        for pointer in OF_EVENTS {
            object.pointer_mut(pointer).into_iter().for_each(|value| shift_text(value, by));
        }
    }
}

fn shift_all(value: &mut Value, by: SignedDuration) {
    match value {
        Value::String(_) => shift_text(value, by),
        Value::Array(items) => items.iter_mut().for_each(|item| shift_all(item, by)),
        Value::Object(fields) => fields.iter_mut().filter(|(name, _)| !PRESENT.contains(&name.as_str())).for_each(|(_, value)| shift_all(value, by)),
        _ => {}
    }
}

/// A text is a date-time if it is written as the API writes them, in whole seconds or with six decimals.
fn shift_text(value: &mut Value, by: SignedDuration) {
    let Some(text) = value.as_str().filter(|text| matches!(text.len(), 20 | 27) && text.ends_with('Z') && text.as_bytes()[10] == b'T') else { return };
    let Some(moved) = time::parse(text).and_then(|time| time.checked_add(by).ok()) else { return };
    *value = Value::from(if text.len() == 20 { time::seconds(moved) } else { time::micros(moved) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_happened_moves_and_what_is_or_was_written_stays() {
        let mut object = json!({
            "kind": "Event",
            "metadata": {"creationTimestamp": "2026-01-01T00:10:00Z", "annotations": {"when": "2026-01-01T00:10:00Z"}, "managedFields": [{"time": "2026-01-01T00:10:00Z", "manager": "kubectl"}]},
            "spec": {"template": {"at": "2026-01-01T00:10:00Z"}, "taints": [{"key": "a", "timeAdded": "2026-01-01T00:10:00Z"}]},
            "status": {"conditions": [{"lastHeartbeatTime": "2026-01-01T00:10:00Z", "lastTransitionTime": "2026-01-01T00:10:00Z", "message": "at 2026-01-01T00:10:00Z"}]},
            "eventTime": "2026-01-01T00:10:00.123456Z", "lastTimestamp": null,
        });
        shift(&mut object, SignedDuration::from_mins(-5));
        assert_eq!(object, json!({
            "kind": "Event",
            "metadata": {"creationTimestamp": "2026-01-01T00:05:00Z", "annotations": {"when": "2026-01-01T00:10:00Z"}, "managedFields": [{"time": "2026-01-01T00:05:00Z", "manager": "kubectl"}]},
            "spec": {"template": {"at": "2026-01-01T00:10:00Z"}, "taints": [{"key": "a", "timeAdded": "2026-01-01T00:05:00Z"}]},
            "status": {"conditions": [{"lastHeartbeatTime": "2026-01-01T00:10:00Z", "lastTransitionTime": "2026-01-01T00:05:00Z", "message": "at 2026-01-01T00:10:00Z"}]},
            "eventTime": "2026-01-01T00:05:00.123456Z", "lastTimestamp": null,
        }));
        let before = object.clone();
        shift(&mut object, SignedDuration::from_hours(7));
        shift(&mut object, SignedDuration::from_hours(-7));
        assert_eq!(object, before);
    }
}
