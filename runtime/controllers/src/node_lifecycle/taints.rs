//! Taints that say what a node's conditions say.
// upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go taintKeyToNodeConditionMap, processTaintBaseEviction

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::health::condition;
use crate::condition::{FALSE, TRUE, UNKNOWN};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Condition, its status, and the taint it means.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", FALSE, NOT_READY),
    ("Ready", UNKNOWN, UNREACHABLE),
    ("MemoryPressure", TRUE, "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", TRUE, "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", TRUE, "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", TRUE, "node.kubernetes.io/pid-pressure"),
];

/// The taints that the node is to have: those that are not ours as they are, ours as its conditions say.
///
/// When no node is ready, none is emptied: the fault is more likely ours than theirs.
pub(super) fn wanted(node: &Node, none_ready: bool, now: Timestamp) -> Vec<Taint> {
    let current = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let says = |kind: &str, status: &str| condition(node, kind).is_some_and(|condition| condition.status == status);
    let mut ours: Vec<(&str, &str)> = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if says(kind, status) {
            ours.push((key, "NoSchedule"));
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        ours.push((UNSCHEDULABLE, "NoSchedule"));
    }
    if !none_ready {
        let evicting = BY_CONDITION.into_iter().filter(|(kind, status, _)| *kind == "Ready" && says(kind, status));
        ours.extend(evicting.map(|(_, _, key)| (key, "NoExecute")));
    }
    let managed = |taint: &Taint| match taint.effect.as_str() {
        "NoSchedule" => taint.key == UNSCHEDULABLE || BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key),
        "NoExecute" => taint.key == NOT_READY || taint.key == UNREACHABLE,
        _ => false,
    };
    let is = |taint: &Taint, (key, effect): &(&str, &str)| taint.key == *key && taint.effect == *effect;
    let mut taints: Vec<Taint> = current.into_iter().filter(|taint| !managed(taint) || ours.iter().any(|own| is(taint, own))).collect();
    for own in ours {
        if !taints.iter().any(|taint| is(taint, &own)) {
            taints.push(Taint { key: own.0.into(), effect: own.1.into(), time_added: Some(Time(now)), value: None });
        }
    }
    taints
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn taints_follow_conditions() {
        let foreign = json!({"key": "gpu", "value": "yes", "effect": "NoSchedule"});
        let unreachable = |effect: &str| json!({"key": UNREACHABLE, "effect": effect, "timeAdded": "2026-01-01T00:00:00Z"});
        for (name, ready, cordoned, before, none_ready, expected) in [
            ("healthy", "True", false, json!([]), false, vec![]),
            ("foreign taints stay", "True", false, json!([foreign]), false, vec!["gpu:NoSchedule"]),
            ("not ready", "False", false, json!([]), false, vec!["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"]),
            ("silent", "Unknown", false, json!([foreign]), false, vec!["gpu:NoSchedule", "node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"]),
            ("all silent", "Unknown", false, json!([unreachable("NoExecute")]), true, vec!["node.kubernetes.io/unreachable:NoSchedule"]),
            ("back", "True", false, json!([unreachable("NoSchedule"), unreachable("NoExecute")]), false, vec![]),
            ("cordoned", "True", true, json!([]), false, vec!["node.kubernetes.io/unschedulable:NoSchedule"]),
        ] {
            let object: Value = json!({"metadata": {}, "spec": {"unschedulable": cordoned, "taints": before}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
            let node: Node = serde_json::from_value(object).expect("a Node");
            let seen: Vec<_> = wanted(&node, none_ready, Timestamp::UNIX_EPOCH).iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
            assert_eq!(seen, expected, "{name}");
        }
    }
}
