//! Volumes and claims: who gets which (`binder`), where new ones come from (`provisioner`), and what may not go yet (`protection`).
// upstream: pkg/controller/volume/persistentvolume, pkg/controller/volume/{pvcprotection,pvprotection}

mod binder;
mod matching;
mod protection;
mod provisioner;
mod write;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::cache::Key;

pub(crate) use binder::run as run_binder;
pub(crate) use protection::{run_claims as run_claim_protection, run_volumes as run_volume_protection};
pub(crate) use provisioner::run as run_provisioner;
pub use provisioner::{Disks, NoDisks, PROVISIONER};

/// On a claim whose binding is complete.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// On the side of a binding that its writer left open.
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// On a volume that was made for a claim: who made it.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// On a claim: who is to make its volume. Both names are in use.
const CLAIM_PROVISIONER: [&str; 2] = ["volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner"];
/// On a claim: where the scheduler wants its volume.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The class in the days before there was a field.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The phase of a volume; empty when it has none yet.
fn phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The claim a volume is bound to, or reserved for.
fn claim_of(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

fn claim_key(reference: &ObjectReference) -> Key {
    Key::new(reference.namespace.as_deref().unwrap_or_default(), reference.name.as_deref().unwrap_or_default())
}

/// Whether a volume is bound to a claim, or reserved for it.
fn is_for(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    claim_of(volume).is_some_and(|reference| {
        let uid = reference.uid.as_deref().filter(|uid| !uid.is_empty());
        claim_key(reference) == Key::of(claim) && uid.is_none_or(|uid| claim.metadata.uid.as_deref() == Some(uid))
    })
}

/// The volume a claim is bound to, or asks for; empty when it is open.
fn volume_of(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

fn class_in<'a>(meta: &'a ObjectMeta, field: Option<&'a String>) -> Option<&'a str> {
    meta.annotations.as_ref().and_then(|annotations| annotations.get(CLASS)).or(field).map(String::as_str)
}

/// The class a claim names, which may be none at all (empty); `None` when it says nothing of it.
fn class_asked(claim: &PersistentVolumeClaim) -> Option<&str> {
    class_in(&claim.metadata, claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref()))
}

fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    class_asked(claim).unwrap_or_default()
}

fn class_of_volume(volume: &PersistentVolume) -> &str {
    class_in(&volume.metadata, volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref())).unwrap_or_default()
}

fn annotation<'a, K: ResourceExt>(object: &'a K, key: &str) -> Option<&'a str> {
    object.annotations().get(key).map(String::as_str)
}

fn annotate(meta: &mut ObjectMeta, key: &str, value: &str) {
    let annotations: &mut BTreeMap<String, String> = meta.annotations.get_or_insert_default();
    annotations.insert(key.to_owned(), value.to_owned());
}
