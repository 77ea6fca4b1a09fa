//! The status of a ReplicaSet or ReplicationController.
// upstream: pkg/controller/replicaset/replica_set_utils.go

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::kind::{Replicated, Wish};
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
pub(super) async fn update<K: Replicated>(controller: &Controller, set: &K, wish: &Wish, observed: &Observed<'_>, now: Timestamp) -> Result<()> {
    let old = set.status();
    // A kind that has no word for something answers as it would be read back.
    let changed = set.with_status(calculate(set, wish, observed, now));
    if changed.status() == old {
        return Ok(());
    }
    let api: Api<K> = Api::namespaced(controller.client.clone(), &set.namespace().unwrap_or_default());
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    if let Some(written) = ignore_not_found(api.replace_status(&set.name_any(), &params, &changed).await)? {
        K::cache(&controller.caches).reached(&written).await;
    }
    Ok(())
}

fn calculate<K: Replicated>(set: &K, wish: &Wish, observed: &Observed<'_>, now: Timestamp) -> ReplicaSetStatus {
    let template_labels = wish.template.metadata.as_ref().and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let min_ready = wish.min_ready_seconds;
    let count = |fits: &dyn Fn(&Pod) -> bool| i32::try_from(observed.active.iter().filter(|pod| fits(pod)).count()).unwrap_or(i32::MAX);
    let labeled = |pod: &Pod| {
        let labels = owner::labels(&pod.metadata);
        template_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let mut conditions = set.status().conditions.unwrap_or_default();
    let wanted = usize::try_from(wish.replicas).unwrap_or(0);
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
        observed_generation: set.meta().generation,
        conditions: Some(conditions).filter(|conditions| !conditions.is_empty()),
    }
}

/// Go leaves zero out, and the API does so for everybody.
fn positive(count: i32) -> Option<i32> {
    Some(count).filter(|count| *count != 0)
}
