//! Pods that nobody will ever clean up: those of nodes that are gone, and those that leave before they had a node.
// upstream: pkg/controller/podgc/gc_controller.go

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::cache::{Change, Key};
use crate::condition::TRUE;
use crate::error::{Result, ignore_not_found};
use crate::pod;
use crate::queue::Queue;
use crate::shared::{Controller, MANAGER};

/// How long a node must be gone before its Pods go: it may only be registering again.
const QUARANTINE: Duration = Duration::from_secs(40);
const WORKERS: usize = 4;

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let caches = controller.caches.clone();
    caches.pods.on_change({
        let (queue, nodes) = (queue.clone(), caches.nodes.clone());
        move |change| {
            let pod = change.latest();
            let node = pod::node(pod);
            if matches!(change, Change::Deleted(_)) {
            } else if node.is_empty() {
                if pod.metadata.deletion_timestamp.is_some() {
                    queue.add(Key::of(&**pod));
                }
            } else if nodes.get(&Key::new("", node)).is_none() {
                queue.add_after(Key::of(&**pod), QUARANTINE);
            }
        }
    });
    let pods = caches.pods.clone();
    caches.nodes.on_change({
        let queue = queue.clone();
        move |change| {
            if let Change::Deleted(node) = change {
                let name = node.name_any();
                pods.list().iter().filter(|pod| pod::node(pod) == name).for_each(|pod| queue.add_after(Key::of(&**pod), QUARANTINE));
            }
        }
    });
    let synced = [caches.nodes.synced(), caches.pods.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(pod) = controller.caches.pods.get(&key) else { return Ok(None) };
    let node = pod::node(&pod);
    if node.is_empty() {
        if pod.metadata.deletion_timestamp.is_some() {
            remove(&controller, &pod).await?;
        }
        return Ok(None);
    }
    let nodes: Api<Node> = Api::all(controller.client.clone());
    if controller.caches.nodes.get(&Key::new("", node)).is_some() || nodes.get_opt(node).await?.is_some() {
        return Ok(None);
    }
    if !pod::is_finished(&pod) {
        let condition = json!({
            "type": "DisruptionTarget", "status": TRUE, "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": Time(controller.clock.now()),
        });
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"phase": "Failed", "conditions": [condition]}});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        ignore_not_found(pods(&controller, &pod).patch_status(&pod.name_any(), &params, &Patch::Strategic(patch)).await)?;
    }
    remove(&controller, &pod).await?;
    Ok(None)
}

fn pods(controller: &Controller, pod: &Pod) -> Api<Pod> {
    Api::namespaced(controller.client.clone(), &pod.namespace().unwrap_or_default())
}

async fn remove(controller: &Controller, pod: &Pod) -> Result<()> {
    let preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
    let params = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
    ignore_not_found(pods(controller, pod).delete(&pod.name_any(), &params).await).map(drop)
}
