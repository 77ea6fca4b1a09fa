//! Volumes on demand: directories on a node's own disk, one for each claim.
//!
//! It stands where a cluster on a laptop has `docker.io/hostpath`: an external provisioner, which the binder only tells of claims. A volume lives on one node and
//! says so in its node affinity. Who deletes the claim of a class with reclaim policy `Delete` deletes the directory.
// upstream: sigs.k8s.io/sig-storage-lib-external-provisioner controller/controller.go

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    HostPathVolumeSource, Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};

use super::{CLAIM_PROVISIONER, PROVISIONED_BY, SELECTED_NODE, annotation, class_of_claim, matching, phase, volume_of, write};
use crate::cache::Key;
use crate::error::{Error, Result, ignore_not_found};
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::Controller;

/// The name classes know the provisioner by.
pub const PROVISIONER: &str = "docker.io/hostpath";
/// Where on a node's disk the directories are.
const PLACE: &str = "/var/lib/k8s-pvs";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// The disks of the nodes, as their own programs see them.
pub trait Disks: Send + Sync + 'static {
    /// Makes a directory, and those above it.
    fn make(&self, node: &str, path: &str) -> io::Result<()>;
    /// Removes a directory and all that is in it; one that is not there is fine.
    fn remove(&self, node: &str, path: &str) -> io::Result<()>;
}

/// Nodes whose disks are out of reach: kubelets make the directories, and nobody removes them.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDisks;

impl Disks for NoDisks {
    fn make(&self, _node: &str, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _node: &str, _path: &str) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Item {
    Claim(Key),
    Volume(Key),
}

struct Provisioner {
    controller: Controller,
    disks: Arc<dyn Disks>,
}

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller, disks: Arc<dyn Disks>) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let caches = controller.caches.clone();
    let changed = queue.clone();
    caches.claims.on_change(move |change| changed.add(Item::Claim(Key::of(&**change.latest()))));
    let changed = queue.clone();
    caches.volumes.on_change(move |change| changed.add(Item::Volume(Key::of(&**change.latest()))));
    let (waiting, every) = (caches.claims.clone(), queue.clone());
    caches.nodes.on_change(move |_| {
        let asked = waiting.list().into_iter().filter(|claim| volume_of(claim).is_empty() && is_ours(claim));
        asked.for_each(|claim| every.add(Item::Claim(Key::of(&*claim))));
    });
    async move {
        caches.claims.synced().await;
        caches.volumes.synced().await;
        caches.classes.synced().await;
        caches.nodes.synced().await;
        let cancel = controller.cancel.clone();
        let provisioner = Arc::new(Provisioner { controller, disks });
        queue.work(1, cancel, move |item| Arc::clone(&provisioner).reconcile(item)).await;
    }
}

fn is_ours(claim: &PersistentVolumeClaim) -> bool {
    CLAIM_PROVISIONER.iter().any(|key| annotation(claim, key) == Some(PROVISIONER))
}

impl Provisioner {
    async fn reconcile(self: Arc<Self>, item: Item) -> Result<Option<Duration>> {
        match item {
            Item::Claim(key) => {
                if let Some(claim) = self.controller.caches.claims.get(&key).filter(|claim| is_ours(claim) && claim.metadata.deletion_timestamp.is_none()) {
                    if volume_of(&claim).is_empty() { self.provision(&claim).await? } else { self.grow(&claim).await? }
                }
            }
            Item::Volume(key) => {
                if let Some(volume) = self.controller.caches.volumes.get(&key) {
                    self.reclaim(&volume).await?;
                }
            }
        }
        Ok(None)
    }

    async fn provision(&self, claim: &PersistentVolumeClaim) -> Result<()> {
        let caches = &self.controller.caches;
        let Some(class) = caches.classes.get(&Key::new("", class_of_claim(claim))).filter(|class| class.provisioner == PROVISIONER) else { return Ok(()) };
        let name = format!("pvc-{}", claim.uid().unwrap_or_default());
        if caches.volumes.get(&Key::new("", &name)).is_some() {
            return Ok(());
        }
        let Some(node) = self.node_for(claim, &class) else { return Ok(()) };
        let key = Key::of(claim);
        self.note(claim, Kind::Normal, "Provisioning", format!("External provisioner is provisioning volume for claim \"{key}\""));
        if let Some(why) = unsupported(claim) {
            self.note(claim, Kind::Warning, "ProvisioningFailed", format!("failed to provision volume with StorageClass {:?}: {why}", class.name_any()));
            return Ok(());
        }
        let path = format!("{PLACE}/{}/{name}", key.name);
        if let Err(error) = self.on_disk(&node.name_any(), &path, Disks::make).await {
            self.note(claim, Kind::Warning, "ProvisioningFailed", format!("failed to provision volume with StorageClass {:?}: {error}", class.name_any()));
            return Err(Error::Object(error.to_string()));
        }
        let params = PostParams { field_manager: Some(PROVISIONER.to_owned()), ..PostParams::default() };
        match write::volumes(&self.controller).create(&params, &volume(claim, &class, &node, &path)).await.map_err(Error::from) {
            Ok(written) => {
                self.note(claim, Kind::Normal, "ProvisioningSucceeded", format!("Successfully provisioned volume {name}"));
                caches.volumes.reached(&written).await;
                Ok(())
            }
            Err(error) if error.is_already_exists() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The node the scheduler has chosen; when nobody waits for a Pod, the one with the fewest volumes.
    fn node_for(&self, claim: &PersistentVolumeClaim, class: &StorageClass) -> Option<Arc<Node>> {
        let caches = &self.controller.caches;
        if let Some(selected) = annotation(claim, SELECTED_NODE) {
            return caches.nodes.get(&Key::new("", selected));
        }
        if class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer") {
            return None;
        }
        let volumes = caches.volumes.list();
        let load = |node: &Node| volumes.iter().filter(|volume| home(volume) == Some(node.name_any().as_str())).count();
        let usable = |node: &&Arc<Node>| {
            let spec = node.spec.clone().unwrap_or_default();
            spec.unschedulable != Some(true) && !spec.taints.iter().flatten().any(|taint| taint.effect != "PreferNoSchedule")
        };
        caches.nodes.list().iter().filter(usable).min_by_key(|node| (load(node), node.name_any())).cloned()
    }

    fn note(&self, claim: &PersistentVolumeClaim, kind: Kind, reason: &str, message: String) {
        self.controller.recorder.event(claim, kind, reason, message);
    }

    async fn on_disk(&self, node: &str, path: &str, act: fn(&dyn Disks, &str, &str) -> io::Result<()>) -> io::Result<()> {
        let (disks, node, path) = (Arc::clone(&self.disks), node.to_owned(), path.to_owned());
        tokio::task::spawn_blocking(move || act(&*disks, &node, &path)).await.map_err(io::Error::other)?
    }

    /// Deletes a volume nobody claims any more, when it is ours to delete.
    async fn reclaim(&self, volume: &PersistentVolume) -> Result<()> {
        let spec = volume.spec.clone().unwrap_or_default();
        let ours = annotation(volume, PROVISIONED_BY) == Some(PROVISIONER) && spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
        if !ours || phase(volume) != "Released" || volume.metadata.deletion_timestamp.is_some() {
            return Ok(());
        }
        let path = spec.host_path.as_ref().map(|host| host.path.as_str()).filter(|path| path.strip_prefix(PLACE).is_some_and(|rest| rest.starts_with('/')));
        if let (Some(path), Some(node)) = (path, home(volume))
            && let Err(error) = self.on_disk(node, path, Disks::remove).await
        {
            self.controller.recorder.event(volume, Kind::Warning, "VolumeFailedDelete", error.to_string());
            return Err(Error::Object(error.to_string()));
        }
        ignore_not_found(write::volumes(&self.controller).delete(&volume.name_any(), &DeleteParams::default()).await).map(drop)
    }

    /// A directory is as large as it needs to be: a claim that asks for more gets it at once.
    async fn grow(&self, claim: &PersistentVolumeClaim) -> Result<()> {
        let given = claim.status.as_ref().and_then(|status| status.capacity.as_ref()).and_then(|capacity| capacity.get("storage"));
        let given = given.and_then(|text| text.0.parse().ok());
        if given.is_none_or(|given: drydock_primitives::quantity::Quantity| matching::requested(claim) <= given) {
            return Ok(());
        }
        let Some(volume) = self.controller.caches.volumes.get(&Key::new("", volume_of(claim))).filter(|volume| annotation(&**volume, PROVISIONED_BY) == Some(PROVISIONER)) else {
            return Ok(());
        };
        let capacity = BTreeMap::from([("storage".to_owned(), asked(claim))]);
        let mut changed = (*volume).clone();
        changed.spec.get_or_insert_default().capacity = Some(capacity.clone());
        write::volume(&self.controller, &changed).await?;
        let mut changed = claim.clone();
        changed.status.get_or_insert_default().capacity = Some(capacity);
        write::claim_status(&self.controller, &changed).await?;
        self.note(claim, Kind::Normal, "VolumeResizeSuccessful", "Resize volume succeeded".into());
        Ok(())
    }
}

fn unsupported(claim: &PersistentVolumeClaim) -> Option<&'static str> {
    let spec = claim.spec.as_ref()?;
    if spec.selector.is_some() {
        Some("claim Selector is not supported")
    } else if spec.volume_mode.as_deref() == Some("Block") {
        Some("block volumes are not supported")
    } else {
        None
    }
}

fn asked(claim: &PersistentVolumeClaim) -> ApiQuantity {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()).and_then(|resources| resources.requests.as_ref());
    requests.and_then(|requests| requests.get("storage").cloned()).unwrap_or_default()
}

/// The node a volume of ours is on.
fn home(volume: &PersistentVolume) -> Option<&str> {
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let mut requirements = required.node_selector_terms.iter().flat_map(|term| term.match_expressions.iter().flatten());
    requirements.find(|requirement| requirement.key == HOSTNAME)?.values.as_ref()?.first().map(String::as_str)
}

fn volume(claim: &PersistentVolumeClaim, class: &StorageClass, node: &Node, path: &str) -> PersistentVolume {
    let spec = claim.spec.clone().unwrap_or_default();
    let hostname = node.labels().get(HOSTNAME).cloned().unwrap_or_else(|| node.name_any());
    let here = NodeSelectorRequirement { key: HOSTNAME.into(), operator: "In".into(), values: Some(vec![hostname]) };
    PersistentVolume {
        metadata: ObjectMeta {
            name: Some(format!("pvc-{}", claim.uid().unwrap_or_default())),
            annotations: Some(BTreeMap::from([(PROVISIONED_BY.to_owned(), PROVISIONER.to_owned())])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeSpec {
            capacity: Some(BTreeMap::from([("storage".to_owned(), asked(claim))])),
            access_modes: spec.access_modes,
            claim_ref: Some(write::reference_to(claim)),
            host_path: Some(HostPathVolumeSource { path: path.to_owned(), type_: Some("DirectoryOrCreate".into()) }),
            mount_options: class.mount_options.clone(),
            node_affinity: Some(VolumeNodeAffinity {
                required: Some(NodeSelector { node_selector_terms: vec![NodeSelectorTerm { match_expressions: Some(vec![here]), match_fields: None }] }),
            }),
            persistent_volume_reclaim_policy: class.reclaim_policy.clone().or(Some("Delete".into())),
            storage_class_name: Some(class.name_any()),
            volume_mode: spec.volume_mode,
            ..PersistentVolumeSpec::default()
        }),
        status: None,
    }
}
