//! Which Pod goes first when there are too many.
// upstream: pkg/controller/controller_utils.go ActivePodsWithRanks

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::pod;

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Sorts the Pods that are missed least to the front.
pub(super) fn sort_for_deletion(pods: &mut [Arc<Pod>], related: &[Arc<Pod>], now: Timestamp) {
    let mut crowd: HashMap<&str, usize> = HashMap::new();
    for other in related {
        *crowd.entry(pod::node(other)).or_insert(0) += 1;
    }
    let rank = |candidate: &Pod| crowd.get(pod::node(candidate)).copied().unwrap_or(0);
    pods.sort_by(|one, other| {
        bound(one)
            .cmp(&bound(other))
            .then_with(|| phase_order(one).cmp(&phase_order(other)))
            .then_with(|| pod::is_ready(one).cmp(&pod::is_ready(other)))
            .then_with(|| cost(one).cmp(&cost(other)))
            .then_with(|| rank(other).cmp(&rank(one)))
            .then_with(|| younger_first(pod::ready_since(one), pod::ready_since(other), now))
            .then_with(|| pod::restarts(other).cmp(&pod::restarts(one)))
            .then_with(|| younger_first(created(one), created(other), now))
            .then_with(|| one.metadata.uid.cmp(&other.metadata.uid))
    });
}

fn bound(candidate: &Pod) -> bool {
    !pod::node(candidate).is_empty()
}

fn phase_order(candidate: &Pod) -> u8 {
    match pod::phase(candidate) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn cost(candidate: &Pod) -> i32 {
    let annotations = candidate.metadata.annotations.as_ref();
    annotations.and_then(|annotations| annotations.get(DELETION_COST)).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

fn created(candidate: &Pod) -> Option<Timestamp> {
    candidate.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// Ages are compared by their magnitude only, so that a Pod a second older is not always the survivor.
// upstream: pkg/controller/controller_utils.go logarithmicRankDiff
fn younger_first(one: Option<Timestamp>, other: Option<Timestamp>, now: Timestamp) -> Ordering {
    let magnitude = |time: Option<Timestamp>| time.map_or(-1, |time| now.duration_since(time).as_nanos().checked_ilog2().map_or(-1, i64::from));
    magnitude(one).cmp(&magnitude(other))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn candidate(name: &str, node: &str, phase: &str, ready: bool, restarts: i32, cost: Option<&str>) -> Arc<Pod> {
        let ready = if ready { "True" } else { "False" };
        let mut pod = json!({
            "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": node, "containers": []},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:10Z"}],
                "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": restarts}]},
        });
        if let Some(cost) = cost {
            pod["metadata"]["annotations"] = json!({DELETION_COST: cost});
        }
        Arc::new(serde_json::from_value(pod).expect("a Pod"))
    }

    #[test]
    fn the_least_useful_goes_first() {
        let best = candidate("best", "b", "Running", true, 0, None);
        for worse in [
            candidate("unbound", "", "Pending", false, 0, None),
            candidate("pending", "b", "Pending", false, 0, None),
            candidate("unready", "b", "Running", false, 0, None),
            candidate("cheap", "b", "Running", true, 0, Some("-5")),
            candidate("restarted", "b", "Running", true, 3, None),
        ] {
            let mut pods = vec![Arc::clone(&best), Arc::clone(&worse)];
            sort_for_deletion(&mut pods, &[], Timestamp::now());
            assert_eq!(pods[0].metadata.name, worse.metadata.name);
        }
        let young = {
            let mut pod = (*best).clone();
            pod.metadata.name = Some("young".into());
            let condition = pod.status.as_mut().and_then(|status| status.conditions.as_mut()).and_then(|conditions| conditions.first_mut());
            let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time("2026-01-01T00:00:50Z".parse().expect("a time"));
            condition.expect("a condition").last_transition_time = Some(time);
            Arc::new(pod)
        };
        let mut pods = vec![Arc::clone(&best), young];
        sort_for_deletion(&mut pods, &[], "2026-01-01T00:01:00Z".parse().expect("a time"));
        assert_eq!(pods[0].metadata.name.as_deref(), Some("young"), "ten seconds against fifty");
        let crowded = candidate("crowded", "a", "Running", true, 0, None);
        let mut pods = vec![Arc::clone(&best), Arc::clone(&crowded)];
        sort_for_deletion(&mut pods, &[Arc::clone(&crowded), Arc::clone(&crowded), best], Timestamp::now());
        assert_eq!(pods[0].metadata.name, crowded.metadata.name);
    }
}
