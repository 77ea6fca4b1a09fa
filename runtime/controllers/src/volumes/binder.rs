//! The binder: each claim gets a volume and keeps it, each volume says whose it is.
//!
//! A binding is two-sided and can be begun on either side, by a user or here. Each reconcile looks at one claim or one volume, finds how far its binding
//! is, and takes the next step. One worker: two at a time could give one volume twice.
// upstream: pkg/controller/volume/persistentvolume/pv_controller.go

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

use super::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, CLAIM_PROVISIONER, PROVISIONED_BY, SELECTED_NODE, annotate, annotation, claim_key, claim_of, class_asked, class_of_claim, is_for, matching,
    phase, volume_of, write,
};
use crate::cache::{Change, Key};
use crate::error::Result;
use crate::placement;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::Controller;

const DEFAULT_CLASS: [&str; 2] = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// What a reconcile looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Claim(Key),
    Volume(Key),
}

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    watch(&controller, &queue);
    let caches = &controller.caches;
    let synced = [caches.claims.synced(), caches.volumes.synced(), caches.classes.synced(), caches.nodes.synced()];
    controller.work(queue, 1, synced, reconcile)
}

fn watch(controller: &Controller, queue: &Queue<Item>) {
    let caches = &controller.caches;
    let (all, waiting) = (caches.claims.clone(), queue.clone());
    let add_waiting = move || {
        let open = all.list().into_iter().filter(|claim| volume_of(claim).is_empty());
        open.for_each(|claim| waiting.add(Item::Claim(Key::of(&*claim))));
    };
    let changed = queue.clone();
    caches.claims.on_change(move |change| {
        let claim = change.latest();
        changed.add(Item::Claim(Key::of(&**claim)));
        if !volume_of(claim).is_empty() {
            changed.add(Item::Volume(Key::new("", volume_of(claim))));
        }
    });
    let (changed, open) = (queue.clone(), add_waiting.clone());
    caches.volumes.on_change(move |change| {
        let volume = change.latest();
        changed.add(Item::Volume(Key::of(&**volume)));
        match claim_of(volume) {
            Some(reference) => changed.add(Item::Claim(claim_key(reference))),
            None if phase(volume) == "Available" => open(),
            None => {}
        }
    });
    caches.classes.on_change(move |_| add_waiting());
    let changed = queue.clone();
    caches.pods.on_change(move |change| {
        if let Change::Added(pod) = change {
            claims_of(pod).for_each(|name| changed.add(Item::Claim(Key::new(&pod.namespace().unwrap_or_default(), name))));
        }
    });
}

/// The claims a Pod mounts.
pub(super) fn claims_of(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| volume.persistent_volume_claim.as_ref()).map(|claim| claim.claim_name.as_str())
}

async fn reconcile(controller: Arc<Controller>, item: Item) -> Result<Option<Duration>> {
    match item {
        Item::Claim(key) => match controller.caches.claims.get(&key) {
            Some(claim) if annotation(&*claim, BIND_COMPLETED).is_some() => keep(&controller, &claim).await?,
            Some(claim) => find(&controller, &claim).await?,
            None => {}
        },
        Item::Volume(key) => {
            if let Some(volume) = controller.caches.volumes.get(&key) {
                sync_volume(&controller, &volume).await?;
            }
        }
    }
    Ok(None)
}

/// A claim that is not bound yet.
async fn find(controller: &Controller, claim: &PersistentVolumeClaim) -> Result<()> {
    let name = volume_of(claim);
    if name.is_empty() {
        let waits = waits_for_pod(controller, claim);
        // Once the scheduler has chosen a node, the volumes that can be had there count.
        let node = annotation(claim, SELECTED_NODE).and_then(|node| controller.caches.nodes.get(&Key::new("", node))).filter(|_| waits);
        let mut volumes = controller.caches.volumes.list();
        volumes.retain(|volume| node.as_ref().is_none_or(|node| is_reachable(volume, node)));
        return match matching::find(&volumes, claim, waits && node.is_none()) {
            Some(volume) => write::bind(controller, &volume, claim).await,
            None => wait(controller, claim, waits).await,
        };
    }
    let Some(volume) = controller.caches.volumes.get(&Key::new("", name)) else {
        return write::set_claim_phase(controller, claim, "Pending").await;
    };
    if claim_of(&volume).is_none() {
        if let Some(why) = matching::mismatch(&volume, claim) {
            warn(controller, claim, "VolumeMismatch", format!("Cannot bind to requested volume {name:?}: {why}"));
            return write::set_claim_phase(controller, claim, "Pending").await;
        }
        return write::bind(controller, &volume, claim).await;
    }
    if is_for(&volume, claim) {
        return write::bind(controller, &volume, claim).await;
    }
    warn(controller, claim, "FailedBinding", format!("volume {name:?} already bound to a different claim."));
    write::set_claim_phase(controller, claim, "Pending").await
}

fn is_reachable(volume: &PersistentVolume, node: &Node) -> bool {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()).and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|required| placement::selects(required, node))
}

/// A claim whose volume is somebody's still is that somebody's, or the claim is lost.
async fn keep(controller: &Controller, claim: &PersistentVolumeClaim) -> Result<()> {
    let name = volume_of(claim);
    let volume = controller.caches.volumes.get(&Key::new("", name));
    let (reason, message) = match volume {
        _ if name.is_empty() => ("ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"),
        None => ("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
        Some(volume) if claim_of(&volume).is_none() || is_for(&volume, claim) => return write::bind(controller, &volume, claim).await,
        Some(_) => ("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"),
    };
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Lost") {
        warn(controller, claim, reason, message);
    }
    write::set_claim_phase(controller, claim, "Lost").await
}

fn warn(controller: &Controller, claim: &PersistentVolumeClaim, reason: &str, message: impl Into<String>) {
    controller.recorder.event(claim, Kind::Warning, reason, message);
}

fn class(controller: &Controller, name: &str) -> Option<Arc<StorageClass>> {
    controller.caches.classes.get(&Key::new("", name))
}

/// Whether a claim's class wants to know the node of the first Pod before anything is bound.
fn waits_for_pod(controller: &Controller, claim: &PersistentVolumeClaim) -> bool {
    let class = class(controller, class_of_claim(claim));
    class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
}

/// No volume fits: one is to be made, or somebody has to do something.
async fn wait(controller: &Controller, claim: &PersistentVolumeClaim, waits: bool) -> Result<()> {
    if class_asked(claim).is_none()
        && let Some(class) = default_class(&controller.caches.classes.list())
    {
        let mut changed = claim.clone();
        changed.spec.get_or_insert_default().storage_class_name = Some(class.name_any());
        return write::claim(controller, &changed).await.map(drop);
    }
    let name = class_of_claim(claim);
    let normal = |reason: &str, message: String| controller.recorder.event(claim, Kind::Normal, reason, message);
    if waits && annotation(claim, SELECTED_NODE).is_none() {
        match waiting_pod(controller, claim) {
            None => normal("WaitForFirstConsumer", "waiting for first consumer to be created before binding".into()),
            Some(pod) => normal("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
        }
    } else if name.is_empty() {
        normal("FailedBinding", "no persistent volumes available for this claim and no storage class is set".into());
    } else {
        return ask(controller, claim, name).await;
    }
    write::set_claim_phase(controller, claim, "Pending").await
}

fn waiting_pod(controller: &Controller, claim: &PersistentVolumeClaim) -> Option<String> {
    let pods = controller.caches.pods.in_namespace(&claim.namespace().unwrap_or_default());
    let uses = |pod: &&Arc<Pod>| crate::pod::node(pod).is_empty() && crate::pod::is_active(pod) && claims_of(pod).any(|name| name == claim.name_any());
    pods.iter().find(uses).map(|pod| pod.name_any())
}

/// Of several defaults the newest counts, then the first by name.
fn default_class(classes: &[Arc<StorageClass>]) -> Option<&Arc<StorageClass>> {
    let is_default = |class: &&Arc<StorageClass>| DEFAULT_CLASS.iter().any(|key| annotation(&***class, key) == Some("true"));
    classes.iter().rev().filter(is_default).max_by_key(|class| class.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Asks the class's provisioner for a volume.
// upstream: pv_controller.go provisionClaim, provisionClaimOperationExternal
async fn ask(controller: &Controller, claim: &PersistentVolumeClaim, name: &str) -> Result<()> {
    let Some(class) = class(controller, name) else {
        warn(controller, claim, "ProvisioningFailed", format!("storageclass.storage.k8s.io {name:?} not found"));
        return write::set_claim_phase(controller, claim, "Pending").await;
    };
    let provisioner = &class.provisioner;
    if provisioner.starts_with("kubernetes.io/") {
        warn(controller, claim, "ProvisioningFailed", format!("no volume plugin matched name: {provisioner}"));
        return write::set_claim_phase(controller, claim, "Pending").await;
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. \
         If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    let mut changed = claim.clone();
    CLAIM_PROVISIONER.iter().for_each(|key| annotate(&mut changed.metadata, key, provisioner));
    let claim = if changed == *claim {
        changed
    } else {
        controller.recorder.event(claim, Kind::Normal, "ExternalProvisioning", message);
        write::claim(controller, &changed).await?
    };
    write::set_claim_phase(controller, &claim, "Pending").await
}

/// A volume says whose it is, or what becomes of it.
async fn sync_volume(controller: &Controller, volume: &PersistentVolume) -> Result<()> {
    let Some(reference) = claim_of(volume) else {
        return write::set_phase(controller, volume, "Available", None).await.map(drop);
    };
    if reference.uid.as_deref().unwrap_or_default().is_empty() {
        // Reserved by its writer, for a claim that has not taken it yet.
        return write::set_phase(controller, volume, "Available", None).await.map(drop);
    }
    let Some(claim) = living_claim(controller, volume).await? else { return release(controller, volume).await };
    if volume_of(&claim).is_empty() {
        // The claim has its own reconcile, which comes after each change of its volume.
        return Ok(());
    }
    if volume_of(&claim) == volume.name_any() {
        return write::set_phase(controller, volume, "Bound", None).await.map(drop);
    }
    let policy = volume.spec.as_ref().and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref());
    if annotation(volume, PROVISIONED_BY).is_some() && policy == Some("Delete") {
        return release(controller, volume).await;
    }
    unbind(controller, volume).await
}

/// The claim of a volume if it is still the same one; only the API can say that it is gone.
async fn living_claim(controller: &Controller, volume: &PersistentVolume) -> Result<Option<Arc<PersistentVolumeClaim>>> {
    let Some(reference) = claim_of(volume) else { return Ok(None) };
    let key = claim_key(reference);
    let same = |claim: &PersistentVolumeClaim| claim.metadata.uid == reference.uid;
    if let Some(claim) = controller.caches.claims.get(&key).filter(|claim| same(claim)) {
        return Ok(Some(claim));
    }
    let api: kube::Api<PersistentVolumeClaim> = kube::Api::namespaced(controller.client.clone(), &key.namespace);
    Ok(api.get_opt(&key.name).await?.filter(same).map(Arc::new))
}

/// The claim is gone: the volume stays, is to be deleted, or cannot be cleaned.
// upstream: pv_controller.go reclaimVolume
async fn release(controller: &Controller, volume: &PersistentVolume) -> Result<()> {
    if phase(volume) == "Failed" {
        return Ok(());
    }
    let volume = write::set_phase(controller, volume, "Released", None).await?;
    let spec = volume.spec.clone().unwrap_or_default();
    let (reason, message) = match spec.persistent_volume_reclaim_policy.as_deref() {
        Some("Recycle") => ("VolumeFailedRecycle", "No recycler plugin found for the volume!".to_owned()),
        // Whoever made the volume deletes it.
        Some("Delete") if annotation(&volume, PROVISIONED_BY).is_none() => {
            let why = match &spec.host_path {
                Some(host) => format!("host_path deleter only supports /tmp/.+ but received provided {}", host.path),
                None => format!("error getting deleter volume plugin for volume {:?}: no deletable volume plugin matched", volume.name_any()),
            };
            ("VolumeFailedDelete", why)
        }
        _ => return Ok(()),
    };
    write::set_phase(controller, &volume, "Failed", Some(&message)).await?;
    controller.recorder.event(&volume, Kind::Warning, reason, message);
    Ok(())
}

/// The claim has another volume: this one is open again, or reserved as its writer wanted.
async fn unbind(controller: &Controller, volume: &PersistentVolume) -> Result<()> {
    let mut changed = volume.clone();
    let spec = changed.spec.get_or_insert_default();
    if annotation(volume, BOUND_BY_CONTROLLER).is_some() {
        spec.claim_ref = None;
        changed.metadata.annotations.get_or_insert_default().remove(BOUND_BY_CONTROLLER);
    } else if let Some(reference) = &mut spec.claim_ref {
        reference.uid = None;
        reference.resource_version = None;
    }
    let written = write::volume(controller, &changed).await?;
    write::set_phase(controller, &written, "Available", None).await.map(drop)
}
