//! What a node's conditions and its Lease say.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::condition::{TRUE, UNKNOWN};

/// Conditions that only the kubelet can know.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

pub(super) fn condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

pub(super) fn is_ready(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|condition| condition.status == TRUE)
}

pub(super) fn is_unknown(node: &Node) -> bool {
    condition(node, "Ready").is_some_and(|condition| condition.status == UNKNOWN)
}

/// When the node was last heard of.
pub(super) fn heartbeat(node: &Node, lease: Option<&Lease>) -> Option<Timestamp> {
    let renewed = lease.and_then(|lease| lease.spec.as_ref()).and_then(|spec| spec.renew_time.as_ref()).map(|time| time.0);
    // The controller's own words about a silent node are no sign of life.
    let reported = condition(node, "Ready").filter(|ready| ready.status != UNKNOWN);
    let reported = reported.and_then(|condition| condition.last_heartbeat_time.as_ref()).map(|time| time.0);
    let created = node.metadata.creation_timestamp.as_ref().map(|time| time.0);
    [renewed, reported, created].into_iter().flatten().max()
}

/// The status of a node that has fallen silent; none when it says so already.
pub(super) fn silenced(node: &Node, now: Timestamp) -> Option<NodeStatus> {
    let mut status = node.status.clone().unwrap_or_default();
    let conditions = status.conditions.get_or_insert_default();
    let mut changed = false;
    for kind in REPORTED {
        match conditions.iter_mut().find(|condition| condition.type_ == kind) {
            None => {
                changed = true;
                conditions.push(NodeCondition {
                    type_: kind.into(),
                    status: UNKNOWN.into(),
                    reason: Some("NodeStatusNeverUpdated".into()),
                    message: Some("Kubelet never posted node status.".into()),
                    last_heartbeat_time: node.metadata.creation_timestamp.clone(),
                    last_transition_time: Some(Time(now)),
                });
            }
            Some(condition) if condition.status != UNKNOWN => {
                changed = true;
                condition.status = UNKNOWN.into();
                condition.reason = Some("NodeStatusUnknown".into());
                condition.message = Some("Kubelet stopped posting node status.".into());
                condition.last_transition_time = Some(Time(now));
            }
            Some(_) => {}
        }
    }
    changed.then_some(status)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(conditions: &serde_json::Value) -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": conditions}})).expect("a Node")
    }

    #[test]
    fn silence_is_said_once() {
        let ready = node(&json!([{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": "2026-01-01T00:05:00Z"}]));
        let now: Timestamp = "2026-01-01T00:06:00Z".parse().expect("a time");
        let mut silent = ready.clone();
        silent.status = silenced(&ready, now);
        let reason = |kind: &str| condition(&silent, kind).and_then(|condition| condition.reason.clone());
        assert_eq!(reason("Ready").as_deref(), Some("NodeStatusUnknown"));
        assert_eq!(reason("MemoryPressure").as_deref(), Some("NodeStatusNeverUpdated"));
        assert!(is_unknown(&silent) && silenced(&silent, now).is_none());
    }

    #[test]
    fn the_latest_sign_of_life_counts() {
        let lease: Lease = serde_json::from_value(json!({"metadata": {}, "spec": {"renewTime": "2026-01-01T00:07:00.000000Z"}})).expect("a Lease");
        let at = |text: &str| Some(text.parse::<Timestamp>().expect("a time"));
        let ready = |status: &str| node(&json!([{"type": "Ready", "status": status, "lastHeartbeatTime": "2026-01-01T00:05:00Z"}]));
        assert_eq!(heartbeat(&ready("True"), Some(&lease)), at("2026-01-01T00:07:00Z"));
        assert_eq!(heartbeat(&ready("False"), None), at("2026-01-01T00:05:00Z"));
        assert_eq!(heartbeat(&ready("Unknown"), None), at("2026-01-01T00:00:00Z"));
    }
}
