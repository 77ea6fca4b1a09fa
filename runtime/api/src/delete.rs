//! What a DELETE does to an object: grace periods, preconditions, finalizers, propagation.
// upstream: apiserver/pkg/registry/rest/delete.go BeforeDelete, generic/registry/store.go updateForGracefulDeletionAndFinalizers

use drydock_primitives::time;
use jiff::SignedDuration;
use serde_json::Value;

use crate::{meta, registry::Resource, status::Status, write::Context};

/// What to do with the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Remove it from the store; the value is its last state, for watchers.
    Remove(Value),
    /// Store this: it waits for its grace period or its finalizers.
    Update(Value),
    /// It is already on its way: answer it as it is.
    Nothing,
}

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How far the grace period of an object has come.
enum Grace {
    /// It has none, or it is over.
    Over,
    /// It is running, and the request does not shorten it.
    Running,
    /// It was set or shortened just now, to so many seconds.
    Set(i64),
}

/// Decides. `options` is the DeleteOptions body merged with the query (`gracePeriodSeconds`, `propagationPolicy`,
/// `orphanDependents`, `preconditions`), or null.
pub fn plan(
    row: &Resource,
    context: &Context,
    object: &Value,
    options: &Value,
) -> Result<Plan, Status> {
    check_preconditions(row, object, options)?;
    let mut new = object.clone();
    let grace = grace(row, context, &mut new, options);
    if matches!(grace, Grace::Running) {
        return Ok(Plan::Nothing);
    }
    set_finalizers(&mut new, options);
    let held = has_finalizers(&new) || row.rules.holds_deletion(&new);
    match (grace, held) {
        (Grace::Set(seconds), held) if held || seconds > 0 => Ok(Plan::Update(new)),
        (Grace::Set(_), _) => Ok(Plan::Remove(new)),
        (_, true) => {
            mark_deleting(row, context, &mut new);
            Ok(if new == *object {
                Plan::Nothing
            } else {
                Plan::Update(new)
            })
        }
        (_, false) => Ok(Plan::Remove(object.clone())),
    }
}

/// Whether an update left an object that must now be removed (deletionTimestamp set, last finalizer gone, no grace left).
// upstream: generic/registry/store.go ShouldDeleteDuringUpdate
pub fn is_finished(row: &Resource, object: &Value) -> bool {
    let grace_left = object["metadata"]["deletionGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(0)
        > 0;
    meta::is_terminating(object)
        && !grace_left
        && !has_finalizers(object)
        && !row.rules.holds_deletion(object)
}

fn check_preconditions(row: &Resource, object: &Value, options: &Value) -> Result<(), Status> {
    let name = meta::name(object);
    let asked = |field: &str| {
        options["preconditions"]
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("")
    };
    let cases = [
        ("uid", "UID", "deleted and then recreated"),
        ("resourceVersion", "ResourceVersion", "modified"),
    ];
    for (field, go, what) in cases {
        let (asked, there) = (asked(field), meta::text(object, field));
        if !asked.is_empty() && asked != there {
            let why = format!(
                "the {go} in the precondition ({asked}) does not match the {go} in record ({there}). The object might have been {what}"
            );
            return Err(Status::conflict_as(&row.qualified_kind(), name, &why, row));
        }
    }
    Ok(())
}

fn grace(row: &Resource, context: &Context, new: &mut Value, options: &Value) -> Grace {
    if !row.graceful {
        return Grace::Over;
    }
    let asked = options.get("gracePeriodSeconds").and_then(Value::as_i64);
    if meta::is_terminating(new) {
        let running = new["metadata"]["deletionGracePeriodSeconds"]
            .as_i64()
            .unwrap_or(0);
        return match asked {
            _ if running == 0 => Grace::Over,
            // Only a shorter period may be asked for now.
            Some(asked) if asked < running => {
                let end = time::parse(meta::text(new, "deletionTimestamp")).unwrap_or(context.now);
                let end =
                    end - SignedDuration::from_secs(running) + SignedDuration::from_secs(asked);
                set_deletion(new, &time::seconds(end), asked);
                Grace::Set(asked)
            }
            _ => Grace::Running,
        };
    }
    let seconds = row.rules.grace_period(new, asked).max(0);
    let end = context.now + SignedDuration::from_secs(seconds);
    set_deletion(new, &time::seconds(end), seconds);
    bump_generation(new);
    Grace::Set(seconds)
}

fn set_deletion(new: &mut Value, at: &str, seconds: i64) {
    let metadata = meta::metadata_mut(new);
    metadata.insert("deletionTimestamp".to_owned(), Value::from(at));
    metadata.insert(
        "deletionGracePeriodSeconds".to_owned(),
        Value::from(seconds),
    );
}

fn bump_generation(new: &mut Value) {
    let metadata = meta::metadata_mut(new);
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".to_owned(), Value::from(generation + 1));
    }
}

fn mark_deleting(row: &Resource, context: &Context, new: &mut Value) {
    let now = time::seconds(context.now);
    let metadata = meta::metadata_mut(new);
    if metadata.contains_key("deletionTimestamp") {
        if metadata.contains_key("deletionGracePeriodSeconds") {
            metadata.insert("deletionGracePeriodSeconds".to_owned(), Value::from(0));
        }
    } else if row.rules.holds_deletion(new) {
        // upstream: pkg/registry/core/namespace/storage/storage.go Delete
        meta::metadata_mut(new).insert("deletionTimestamp".to_owned(), Value::from(now));
    } else {
        set_deletion(new, &now, 0);
        bump_generation(new);
    }
    row.rules.deletion_marked(new);
}

fn finalizers(object: &Value) -> Vec<String> {
    object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn has_finalizers(object: &Value) -> bool {
    !finalizers(object).is_empty()
}

/// The two finalizers the garbage collector works for follow the propagation policy.
// upstream: generic/registry/store.go deletionFinalizersForGarbageCollection
fn set_finalizers(new: &mut Value, options: &Value) {
    let old = finalizers(new);
    let orphan_asked = options.get("orphanDependents").and_then(Value::as_bool);
    let policy = options.get("propagationPolicy").and_then(Value::as_str);
    let has = |name: &str| old.iter().any(|f| f == name);
    let (orphan, foreground) = match (orphan_asked, policy) {
        (Some(orphan), _) => (orphan, false),
        (None, Some("Orphan")) => (true, false),
        (None, Some("Foreground")) => (false, true),
        (None, Some(_)) => (false, false),
        (None, None) => (has(ORPHAN), has(FOREGROUND)),
    };
    let mut wanted: Vec<String> = old
        .iter()
        .filter(|f| *f != ORPHAN && *f != FOREGROUND)
        .cloned()
        .collect();
    for (on, name) in [(orphan, ORPHAN), (foreground, FOREGROUND)] {
        if on {
            wanted.push(name.to_owned());
        }
    }
    if wanted != old {
        let metadata = meta::metadata_mut(new);
        if wanted.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.insert("finalizers".to_owned(), Value::from(wanted));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::Registry;

    fn context() -> Context {
        Context {
            now: "2026-01-01T00:01:00Z".parse().unwrap(),
            uid: "u".to_owned(),
            suffix: "abcde".to_owned(),
            namespace: Some("default".to_owned()),
            name: Some("a".to_owned()),
            manager: "test".to_owned(),
            subresource: None,
        }
    }

    fn planned(plural: &str, object: &Value, options: &Value) -> Result<Plan, Status> {
        let registry = Registry::builtin();
        let row = registry
            .get("", "v1", plural)
            .or_else(|| registry.get("apps", "v1", plural))
            .unwrap();
        plan(row, &context(), object, options)
    }

    #[test]
    fn a_running_pod_goes_with_grace() {
        let pod = json!({"metadata": {"name": "a", "uid": "1", "generation": 1}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
        let going = json!({"metadata": {"name": "a", "uid": "1", "generation": 2, "deletionTimestamp": "2026-01-01T00:01:30Z", "deletionGracePeriodSeconds": 30}, "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30}, "status": {"phase": "Running"}});
        assert_eq!(
            planned("pods", &pod, &Value::Null),
            Ok(Plan::Update(going.clone()))
        );
        assert_eq!(planned("pods", &going, &Value::Null), Ok(Plan::Nothing));
        let Ok(Plan::Update(shorter)) = planned("pods", &going, &json!({"gracePeriodSeconds": 1}))
        else {
            panic!("shortened")
        };
        assert_eq!(
            shorter["metadata"]["deletionTimestamp"],
            "2026-01-01T00:01:01Z"
        );
        for (object, options) in [
            (&pod, json!({"gracePeriodSeconds": 0})),
            (&going, json!({"gracePeriodSeconds": 0})),
        ] {
            assert!(matches!(
                planned("pods", object, &options),
                Ok(Plan::Remove(_))
            ));
        }
        let refused = planned("pods", &pod, &json!({"preconditions": {"uid": "2"}})).unwrap_err();
        assert_eq!(
            refused.message,
            "Operation cannot be fulfilled on Pod \"a\": the UID in the precondition (2) does not match the UID in record (1). The object might have been deleted and then recreated"
        );
    }

    #[test]
    fn finalizers_and_policies_hold_an_object() {
        let plain = json!({"metadata": {"name": "a"}});
        let held = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}});
        let cases = [
            (&plain, json!({}), None),
            (&plain, json!({"propagationPolicy": "Background"}), None),
            (
                &plain,
                json!({"propagationPolicy": "Foreground"}),
                Some(json!(["foregroundDeletion"])),
            ),
            (
                &plain,
                json!({"orphanDependents": true}),
                Some(json!(["orphan"])),
            ),
            (&held, json!({}), Some(json!(["x/y"]))),
        ];
        for (object, options, finalizers) in cases {
            match (
                planned("deployments", object, &options).unwrap(),
                finalizers,
            ) {
                (Plan::Remove(_), None) => {}
                (Plan::Update(new), Some(expected)) => {
                    assert_eq!(new["metadata"]["finalizers"], expected);
                    assert_eq!(new["metadata"]["deletionGracePeriodSeconds"], 0);
                }
                (plan, expected) => panic!("{options}: {plan:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn a_namespace_waits_for_its_content() {
        let namespace = json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        let Ok(Plan::Update(going)) = planned("namespaces", &namespace, &Value::Null) else {
            panic!("held")
        };
        assert_eq!(going["status"]["phase"], "Terminating");
        let registry = Registry::builtin();
        let row = registry.get("", "v1", "namespaces").unwrap();
        assert!(!is_finished(row, &going));
        let mut done = going;
        done["spec"] = json!({});
        assert!(is_finished(row, &done));
    }
}
