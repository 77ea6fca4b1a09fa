//! The status of a ReplicaSet.
// upstream: pkg/controller/replicaset/replica_set_utils.go

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use crate::condition::TRUE;
use crate::error::{Error, Result, ignore_not_found};
use crate::owner;
use crate::pod;
use crate::shared::{Controller, MANAGER};

/// What a reconcile has seen.
pub(super) struct Observed<'a> {
    pub(super) active: &'a [Arc<Pod>],
    pub(super) terminating: usize,
    pub(super) failure: Option<&'a Error>,
}

/// Writes the status when it differs.
pub(super) async fn update(controller: &Controller, set: &ReplicaSet, observed: &Observed<'_>, now: Timestamp) -> Result<()> {
    let status = calculate(set, observed, now);
    let old = set.status.clone().unwrap_or_default();
    if status == old {
        return Ok(());
    }
    let api: Api<ReplicaSet> = Api::namespaced(controller.client.clone(), &set.namespace().unwrap_or_default());
    let mut changed = set.clone();
    changed.status = Some(status);
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    if let Some(written) = ignore_not_found(api.replace_status(&set.name_any(), &params, &changed).await)? {
        controller.caches.replica_sets.reached(&written).await;
    }
    Ok(())
}

fn calculate(set: &ReplicaSet, observed: &Observed<'_>, now: Timestamp) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let template_labels = spec.template.and_then(|template| template.metadata).and_then(|meta| meta.labels).unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let count = |fits: &dyn Fn(&Pod) -> bool| i32::try_from(observed.active.iter().filter(|pod| fits(pod)).count()).unwrap_or(i32::MAX);
    let labeled = |pod: &Pod| {
        let labels = owner::labels(&pod.metadata);
        template_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let old = set.status.clone().unwrap_or_default();
    let mut conditions = old.conditions.unwrap_or_default();
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    match observed.failure {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some(error) if !conditions.iter().any(|condition| condition.type_ == "ReplicaFailure") => {
            let reason = if observed.active.len() < wanted { "FailedCreate" } else { "FailedDelete" };
            conditions.push(ReplicaSetCondition {
                type_: "ReplicaFailure".into(),
                status: TRUE.into(),
                reason: Some(reason.into()),
                message: Some(error.message()),
                last_transition_time: Some(Time(now)),
            });
        }
        Some(_) => {}
    }
    ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: positive(count(&labeled)),
        ready_replicas: positive(count(&pod::is_ready)),
        available_replicas: positive(count(&|pod| pod::is_available(pod, min_ready, now))),
        terminating_replicas: i32::try_from(observed.terminating).ok(),
        observed_generation: set.metadata.generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
    }
}

/// Go leaves zero out, and the API does so for everybody.
fn positive(count: i32) -> Option<i32> {
    Some(count).filter(|count| *count != 0)
}

/// How long until the next ready Pod becomes available.
pub(super) fn next_available(active: &[Arc<Pod>], min_ready_seconds: i32, now: Timestamp) -> Option<Duration> {
    let times = active.iter().filter_map(|pod| pod::available_at(pod, min_ready_seconds)).filter(|time| *time > now);
    times.min().and_then(|time| Duration::try_from(time.duration_since(now)).ok())
}
