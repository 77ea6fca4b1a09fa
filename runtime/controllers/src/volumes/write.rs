//! Writing volumes and claims: each write names the version it was decided on, and the caches have seen it when it returns.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::{BIND_COMPLETED, BOUND_BY_CONTROLLER, annotate, is_for, volume_of};
use crate::error::Result;
use crate::shared::{Controller, MANAGER};

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

pub(super) fn volumes(controller: &Controller) -> Api<PersistentVolume> {
    Api::all(controller.client.clone())
}

pub(super) fn claims(controller: &Controller, claim: &PersistentVolumeClaim) -> Api<PersistentVolumeClaim> {
    Api::namespaced(controller.client.clone(), &claim.namespace().unwrap_or_default())
}

pub(super) async fn volume(controller: &Controller, volume: &PersistentVolume) -> Result<PersistentVolume> {
    let written = volumes(controller).replace(&volume.name_any(), &params(), volume).await?;
    controller.caches.volumes.reached(&written).await;
    Ok(written)
}

pub(super) async fn claim(controller: &Controller, claim: &PersistentVolumeClaim) -> Result<PersistentVolumeClaim> {
    let written = claims(controller, claim).replace(&claim.name_any(), &params(), claim).await?;
    controller.caches.claims.reached(&written).await;
    Ok(written)
}

pub(super) async fn claim_status(controller: &Controller, claim: &PersistentVolumeClaim) -> Result<()> {
    let written = claims(controller, claim).replace_status(&claim.name_any(), &params(), claim).await?;
    controller.caches.claims.reached(&written).await;
    Ok(())
}

/// What a claim's binding has to say.
fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("PersistentVolumeClaim".into()),
        namespace: claim.namespace(),
        name: claim.metadata.name.clone(),
        uid: claim.uid(),
        resource_version: claim.resource_version(),
        field_path: None,
    }
}

/// A reference to a claim, for a volume that is made for it.
pub(super) fn reference_to(claim: &PersistentVolumeClaim) -> ObjectReference {
    reference(claim)
}

/// Sets the phase of a volume, with the reason and message of a failure.
pub(super) async fn set_phase(controller: &Controller, volume: &PersistentVolume, phase: &str, message: Option<&str>) -> Result<PersistentVolume> {
    let old = volume.status.clone().unwrap_or_default();
    let message = message.map(str::to_owned);
    if old.phase.as_deref() == Some(phase) && old.message == message {
        return Ok(volume.clone());
    }
    let mut changed = volume.clone();
    let status = changed.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    status.message = message;
    status.reason = None;
    if old.phase.as_deref() != Some(phase) {
        status.last_phase_transition_time = Some(Time(controller.clock.now()));
    }
    let written = volumes(controller).replace_status(&volume.name_any(), &params(), &changed).await?;
    controller.caches.volumes.reached(&written).await;
    Ok(written)
}

/// Sets the phase of a claim that has no volume.
pub(super) async fn set_claim_phase(controller: &Controller, claim: &PersistentVolumeClaim, phase: &str) -> Result<()> {
    let mut changed = claim.clone();
    let status = changed.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    status.access_modes = None;
    status.capacity = None;
    if changed.status == claim.status { Ok(()) } else { claim_status(controller, &changed).await }
}

/// Binds: first the volume says whose it is, then the claim which one it has. Whatever is done already stays.
// upstream: pkg/controller/volume/persistentvolume/pv_controller.go bind
pub(super) async fn bind(controller: &Controller, volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<()> {
    let mut changed = volume.clone();
    let spec = changed.spec.get_or_insert_default();
    if !is_for(volume, claim) {
        spec.claim_ref = Some(reference(claim));
        annotate(&mut changed.metadata, BOUND_BY_CONTROLLER, "yes");
    } else if spec.claim_ref.as_ref().is_none_or(|own| own.uid.as_deref() != claim.metadata.uid.as_deref()) {
        spec.claim_ref = Some(reference(claim));
    }
    let volume = if changed == *volume { changed } else { self::volume(controller, &changed).await? };
    let volume = set_phase(controller, &volume, "Bound", None).await?;

    let mut changed = claim.clone();
    if volume_of(claim) != volume.name_any() {
        changed.spec.get_or_insert_default().volume_name = Some(volume.name_any());
        annotate(&mut changed.metadata, BOUND_BY_CONTROLLER, "yes");
    }
    annotate(&mut changed.metadata, BIND_COMPLETED, "yes");
    let mut claim = if changed == *claim { changed } else { self::claim(controller, &changed).await? };

    let before = claim.status.clone();
    let status = claim.status.get_or_insert_default();
    // A bound claim keeps the size it was told until a resize is through.
    if status.phase.as_deref() != Some("Bound") || status.capacity.is_none() {
        status.capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.clone());
    }
    status.phase = Some("Bound".into());
    status.access_modes = volume.spec.as_ref().and_then(|spec| spec.access_modes.clone());
    if claim.status == before { Ok(()) } else { claim_status(controller, &claim).await }
}
