//! What is used does not go: a claim waits for the Pods that use it, a volume for its claim.
// upstream: pkg/controller/volume/pvcprotection/pvc_protection_controller.go, pvprotection/pv_protection_controller.go

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::binder::claims_of;
use super::phase;
use crate::cache::Key;
use crate::error::{Result, ignore_not_found};
use crate::pod;
use crate::queue::Queue;
use crate::shared::{Controller, MANAGER};

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Lets claims go when no Pod uses them. Handlers stand when this returns.
pub(crate) fn run_claims(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let caches = controller.caches.clone();
    let changed = queue.clone();
    caches.claims.on_change(move |change| changed.add(Key::of(&**change.latest())));
    let changed = queue.clone();
    caches.pods.on_change(move |change| {
        let pod = change.latest();
        claims_of(pod).for_each(|name| changed.add(Key::new(&pod.namespace().unwrap_or_default(), name)));
    });
    let synced = [caches.claims.synced(), caches.pods.synced()];
    controller.work(queue, 1, synced, release_claim)
}

/// Lets volumes go when no claim has them. Handlers stand when this returns.
pub(crate) fn run_volumes(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let caches = controller.caches.clone();
    let changed = queue.clone();
    caches.volumes.on_change(move |change| changed.add(Key::of(&**change.latest())));
    let synced = [caches.volumes.synced()];
    controller.work(queue, 1, synced, release_volume)
}

fn is_held<K: Resource>(object: &K, finalizer: &str) -> bool {
    object.meta().deletion_timestamp.is_some() && object.finalizers().iter().any(|own| own == finalizer)
}

/// A Pod that has been given a node uses its claims as long as it exists; one without a node will not get one while they leave.
fn uses(pod: &Pod, claim: &str) -> bool {
    !pod::node(pod).is_empty() && claims_of(pod).any(|name| name == claim)
}

async fn release_claim(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(claim) = controller.caches.claims.get(&key).filter(|claim| is_held(&**claim, CLAIM_FINALIZER)) else { return Ok(None) };
    if controller.caches.pods.in_namespace(&key.namespace).iter().any(|pod| uses(pod, &key.name)) {
        return Ok(None);
    }
    // The copy may be behind: a Pod could have come to a node just now.
    let pods: Api<Pod> = Api::namespaced(controller.client.clone(), &key.namespace);
    if pods.list(&ListParams::default()).await?.items.iter().any(|pod| uses(pod, &key.name)) {
        return Ok(None);
    }
    let api: Api<PersistentVolumeClaim> = Api::namespaced(controller.client.clone(), &key.namespace);
    remove_finalizer(&api, &*claim, CLAIM_FINALIZER).await.map(|()| None)
}

async fn release_volume(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(volume) = controller.caches.volumes.get(&key).filter(|volume| is_held(&**volume, VOLUME_FINALIZER)) else { return Ok(None) };
    if phase(&volume) == "Bound" {
        return Ok(None);
    }
    let api: Api<PersistentVolume> = Api::all(controller.client.clone());
    remove_finalizer(&api, &*volume, VOLUME_FINALIZER).await.map(|()| None)
}

async fn remove_finalizer<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let kept: Vec<_> = object.finalizers().iter().filter(|own| *own != finalizer).collect();
    let kept = if kept.is_empty() { serde_json::Value::Null } else { json!(kept) };
    let patch = json!({"metadata": {"uid": object.meta().uid, "resourceVersion": object.meta().resource_version, "finalizers": kept}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    ignore_not_found(api.patch(&object.name_any(), &params, &Patch::Merge(patch)).await).map(drop)
}
