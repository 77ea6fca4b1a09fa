//! What controllers ask of a Pod.

use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::clock::after;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use crate::condition;

/// The phase; `Pending` when none is set yet.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

/// Neither finished nor on its way out.
// upstream: pkg/controller/controller_utils.go IsPodActive
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && pod.metadata.deletion_timestamp.is_none()
}

/// Whether all containers have ended for good.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// A condition of the Pod.
pub(crate) fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Whether the Pod is Ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == condition::TRUE)
}

/// When the Pod became Ready.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    condition(pod, "Ready").filter(|condition| condition.status == condition::TRUE)?.last_transition_time.as_ref().map(|time| time.0)
}

/// When the Pod will have been Ready for `min_ready_seconds`; none while it is not Ready.
pub(crate) fn available_at(pod: &Pod, min_ready_seconds: i32) -> Option<Timestamp> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready_seconds <= 0 {
        return Some(Timestamp::MIN);
    }
    ready_since(pod).map(|since| after(since, Duration::from_secs(u64::from(min_ready_seconds.unsigned_abs()))))
}

/// Whether the Pod counts as available.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    available_at(pod, min_ready_seconds).is_some_and(|time| time <= now)
}

/// How long until the next ready Pod becomes available.
pub(crate) fn next_available(pods: &[Arc<Pod>], min_ready_seconds: i32, now: Timestamp) -> Option<Duration> {
    let times = pods.iter().filter_map(|pod| available_at(pod, min_ready_seconds)).filter(|time| *time > now);
    times.min().and_then(|time| Duration::try_from(time.duration_since(now)).ok())
}

/// The node it is bound to; empty when none.
pub(crate) fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// All restarts of its containers.
pub(crate) fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    statuses.iter().map(|status| status.restart_count).sum()
}
