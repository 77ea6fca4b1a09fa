//! Nodes that fall silent: conditions become Unknown, taints keep Pods away, Pods there count as not ready.
//!
//! A node is silent when neither its Lease nor its status has been renewed for the grace period.
// upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go

mod health;
mod taints;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::clock::after;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::cache::{Change, Key};
use crate::condition::FALSE;
use crate::error::{Result, ignore_not_found};
use crate::pod;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

/// How long a node may be silent.
// upstream: cmd/kube-controller-manager/app/options --node-monitor-grace-period
const GRACE: Duration = Duration::from_secs(50);
const LEASES: &str = "kube-node-lease";
const WORKERS: usize = 4;

struct Watch {
    controller: Controller,
    /// Nothing heard before counts as old: a cluster that was switched off has not fallen silent.
    started: Timestamp,
}

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let caches = controller.caches.clone();
    caches.leases.on_change({
        let queue = queue.clone();
        move |change| {
            let lease = change.latest();
            if lease.metadata.namespace.as_deref() == Some(LEASES) {
                queue.add(Key::new("", lease.metadata.name.as_deref().unwrap_or_default()));
            }
        }
    });
    let (nodes, recorder) = (caches.nodes.clone(), controller.recorder.clone());
    caches.nodes.on_change({
        let queue = queue.clone();
        move |change| {
            let node = change.latest();
            let name = node.name_any();
            let readiness = match change {
                Change::Added(_) => {
                    recorder.event(&**node, Kind::Normal, "RegisteredNode", format!("Node {name} event: Registered Node {name} in Controller"));
                    true
                }
                Change::Deleted(_) => {
                    recorder.event(&**node, Kind::Normal, "RemovingNode", format!("Node {name} event: Removing Node {name} from Controller"));
                    true
                }
                Change::Updated { old, new } => health::is_ready(old) != health::is_ready(new),
            };
            queue.add(Key::of(&**node));
            if readiness {
                // Whether any node is Ready decides what happens to the others.
                nodes.list().iter().for_each(|other| queue.add(Key::of(&**other)));
            }
        }
    });
    async move {
        caches.nodes.synced().await;
        caches.leases.synced().await;
        caches.pods.synced().await;
        let cancel = controller.cancel.clone();
        let watch = Arc::new(Watch { started: controller.clock.now(), controller });
        queue.work(WORKERS, cancel, move |key| reconcile(Arc::clone(&watch), key)).await;
    }
}

async fn reconcile(watch: Arc<Watch>, key: Key) -> Result<Option<Duration>> {
    let controller = &watch.controller;
    let Some(node) = controller.caches.nodes.get(&key) else { return Ok(None) };
    let lease = controller.caches.leases.get(&Key::new(LEASES, &key.name));
    let now = controller.clock.now();
    let heard = health::heartbeat(&node, lease.as_deref()).map_or(watch.started, |heard| heard.max(watch.started));
    let silent = after(heard, GRACE) <= now;
    let mut node = (*node).clone();
    if silent && let Some(status) = health::silenced(&node, now) {
        let was_ready = health::is_ready(&node);
        let mut changed = node.clone();
        changed.status = Some(status);
        let api: Api<Node> = Api::all(controller.client.clone());
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let Some(written) = ignore_not_found(api.replace_status(&key.name, &params, &changed).await)? else { return Ok(None) };
        controller.caches.nodes.reached(&written).await;
        node = written;
        if was_ready {
            controller.recorder.event(&node, Kind::Normal, "NodeNotReady", format!("Node {} status is now: NodeNotReady", key.name));
        }
    }
    if health::is_unknown(&node) {
        mark_pods(controller, &key.name).await?;
    }
    sync_taints(controller, &node).await?;
    Ok((!silent).then(|| Duration::try_from(after(heard, GRACE).duration_since(now)).unwrap_or(GRACE)))
}

async fn sync_taints(controller: &Controller, node: &Node) -> Result<()> {
    let none_ready = !controller.caches.nodes.list().iter().any(|other| health::is_ready(other));
    let current = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let wanted = taints::wanted(node, none_ready, controller.clock.now());
    if wanted == current {
        return Ok(());
    }
    let list = if wanted.is_empty() { serde_json::Value::Null } else { json!(wanted) };
    let patch = json!({"metadata": {"uid": node.uid(), "resourceVersion": node.resource_version()}, "spec": {"taints": list}});
    let api: Api<Node> = Api::all(controller.client.clone());
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    if let Some(written) = ignore_not_found(api.patch(&node.name_any(), &params, &Patch::Merge(patch)).await)? {
        controller.caches.nodes.reached(&written).await;
    }
    Ok(())
}

/// Pods on a silent node are taken out of Services: nobody knows how they are.
// upstream: pkg/controller/util/node/controller_utils.go MarkPodsNotReady
async fn mark_pods(controller: &Controller, node: &str) -> Result<()> {
    let now = Time(controller.clock.now());
    for pod in controller.caches.pods.list().iter().filter(|pod| pod::node(pod) == node && pod::is_ready(pod)) {
        let condition = json!({"type": "Ready", "status": FALSE, "lastTransitionTime": now});
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        let api: Api<Pod> = Api::namespaced(controller.client.clone(), &pod.namespace().unwrap_or_default());
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        if let Some(written) = ignore_not_found(api.patch_status(&pod.name_any(), &params, &Patch::Strategic(patch)).await)? {
            controller.recorder.event(&**pod, Kind::Warning, "NodeNotReady", "Node is not ready");
            controller.caches.pods.reached(&written).await;
        }
    }
    Ok(())
}
