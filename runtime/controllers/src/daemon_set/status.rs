//! The status of a DaemonSet: what `kubectl get ds` counts.
// upstream: pkg/controller/daemon/daemon_controller.go updateDaemonSetStatus

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::Fleet;
use super::nodes::Answer;
use crate::error::{Result, ignore_not_found};
use crate::pod;
use crate::shared::{Controller, MANAGER};

/// Writes the status when it differs.
pub(super) async fn update(controller: &Controller, fleet: &Fleet) -> Result<()> {
    let status = calculate(fleet);
    if fleet.set.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let changed = DaemonSet { status: Some(status), ..fleet.set.clone() };
    let api: Api<DaemonSet> = Api::namespaced(controller.client.clone(), &fleet.set.namespace().unwrap_or_default());
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    if let Some(written) = ignore_not_found(api.replace_status(&fleet.set.name_any(), &params, &changed).await)? {
        controller.caches.daemon_sets.reached(&written).await;
    }
    Ok(())
}

fn calculate(fleet: &Fleet) -> DaemonSetStatus {
    let old = fleet.set.status.clone().unwrap_or_default();
    let (mut desired, mut current, mut misplaced, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
    let place = fleet.place();
    for node in &fleet.nodes {
        // The oldest speaks for the node.
        let first = fleet.on(&node.name_any()).first();
        if place.ask(node) != Answer::Run {
            misplaced += i32::from(first.is_some());
            continue;
        }
        desired += 1;
        if let Some(pod) = first {
            current += 1;
            ready += i32::from(pod::is_ready(pod));
            available += i32::from(fleet.is_available(pod));
            updated += i32::from(fleet.is_current(pod));
        }
    }
    let positive = |count: i32| Some(count).filter(|count| *count != 0);
    DaemonSetStatus {
        current_number_scheduled: current,
        desired_number_scheduled: desired,
        number_misscheduled: misplaced,
        number_ready: ready,
        number_available: positive(available),
        number_unavailable: positive(desired - available),
        updated_number_scheduled: positive(updated),
        observed_generation: fleet.set.metadata.generation,
        collision_count: old.collision_count,
        conditions: old.conditions,
    }
}
