//! Which volume fits a claim. Pure.
// upstream: pkg/controller/volume/persistentvolume/index.go, component-helpers/storage/volume/helpers.go FindMatchingVolume

use std::cmp::Ordering;
use std::str::FromStr;
use std::sync::Arc;

use drydock_primitives::quantity::Quantity;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;

use super::{class_of_claim, class_of_volume, is_for, phase};
use crate::owner;

/// How much a claim asks for.
pub(super) fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()).and_then(|resources| resources.requests.as_ref());
    let text = requests.and_then(|requests| requests.get("storage"));
    text.and_then(|text| Quantity::from_str(&text.0).ok()).unwrap_or(Quantity::ZERO)
}

/// How much a volume has.
pub(super) fn capacity(volume: &PersistentVolume) -> Quantity {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()).and_then(|capacity| capacity.get("storage"));
    capacity.and_then(|text| Quantity::from_str(&text.0).ok()).unwrap_or(Quantity::ZERO)
}

fn mode(mode: Option<&String>) -> &str {
    mode.map_or("Filesystem", String::as_str)
}

fn same_mode(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let own = volume.spec.as_ref().and_then(|spec| spec.volume_mode.as_ref());
    mode(own) == mode(claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_ref()))
}

fn modes(volume: &PersistentVolume) -> &[String] {
    volume.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default()
}

fn allows(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or_default();
    wanted.iter().all(|mode| modes(volume).contains(mode))
}

/// Why a claim may not have a volume that it asks for by name.
// upstream: pkg/controller/volume/persistentvolume/pv_controller.go checkVolumeSatisfyClaim
pub(super) fn mismatch(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<String> {
    if volume.metadata.deletion_timestamp.is_some() {
        Some(format!("the volume is marked for deletion {:?}", volume.name_any()))
    } else if capacity(volume) < requested(claim) {
        Some("requested PV is too small".into())
    } else if class_of_volume(volume) != class_of_claim(claim) {
        Some("storageClassName does not match".into())
    } else if !same_mode(volume, claim) {
        Some("incompatible volumeMode".into())
    } else if !allows(volume, claim) {
        Some("incompatible accessMode".into())
    } else {
        None
    }
}

/// Whether a volume that nobody has fits.
pub(super) fn is_candidate(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let selector = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    let selected = selector.is_none_or(|selector| owner::selector(selector).is_ok_and(|selector| owner::matches(&selector, &volume.metadata)));
    phase(volume) == "Available" && super::claim_of(volume).is_none() && selected && mismatch(volume, claim).is_none()
}

/// The volume for a claim: the one reserved for it, else the smallest that fits; one that allows less is preferred.
///
/// While binding waits for a Pod, only a reserved one counts.
pub(super) fn find(volumes: &[Arc<PersistentVolume>], claim: &PersistentVolumeClaim, waits: bool) -> Option<Arc<PersistentVolume>> {
    let enough = |volume: &PersistentVolume| capacity(volume) >= requested(claim) && same_mode(volume, claim) && volume.metadata.deletion_timestamp.is_none();
    let reserved = volumes.iter().find(|volume| is_for(volume, claim) && enough(volume) && allows(volume, claim));
    let open = || {
        let fitting = volumes.iter().filter(|volume| !waits && is_candidate(volume, claim));
        fitting.min_by(|one, other| by_size(one, other))
    };
    reserved.or_else(open).cloned()
}

fn by_size(one: &PersistentVolume, other: &PersistentVolume) -> Ordering {
    let size = capacity(one).partial_cmp(&capacity(other)).unwrap_or(Ordering::Equal);
    modes(one).len().cmp(&modes(other).len()).then(size).then_with(|| one.name_any().cmp(&other.name_any()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn merged(mut base: Value, extra: &Value) -> Value {
        for (part, fields) in extra.as_object().into_iter().flatten() {
            for (field, value) in fields.as_object().into_iter().flatten() {
                base[part][field] = value.clone();
            }
        }
        base
    }

    fn volume(name: &str, size: &str, extra: &Value) -> Arc<PersistentVolume> {
        let base = json!({
            "metadata": {"name": name},
            "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]},
            "status": {"phase": "Available"},
        });
        Arc::new(serde_json::from_value(merged(base, extra)).expect("a volume"))
    }

    fn claim(size: &str, extra: &Value) -> PersistentVolumeClaim {
        let base = json!({
            "metadata": {"name": "data", "namespace": "default", "uid": "u"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": ""},
        });
        serde_json::from_value(merged(base, extra)).expect("a claim")
    }

    #[test]
    fn the_smallest_that_fits_is_found() {
        let small = || volume("small", "50Mi", &json!({}));
        let large = || volume("large", "1Gi", &json!({}));
        let many = volume("many", "20Mi", &json!({"spec": {"accessModes": ["ReadWriteOnce", "ReadWriteMany"]}}));
        let none = json!({});
        for (name, volumes, claim, waits, expected) in [
            ("nothing there", vec![], claim("1Mi", &none), false, None),
            ("the smallest", vec![large(), small()], claim("40Mi", &none), false, Some("small")),
            ("too big", vec![small()], claim("100Mi", &none), false, None),
            ("what allows less goes first", vec![many.clone(), small()], claim("10Mi", &none), false, Some("small")),
            ("what allows more will do", vec![many], claim("10Mi", &json!({"spec": {"accessModes": ["ReadWriteMany"]}})), false, Some("many")),
            ("another class", vec![small()], claim("1Mi", &json!({"spec": {"storageClassName": "fast"}})), false, None),
            ("the same class", vec![volume("v", "1Gi", &json!({"spec": {"storageClassName": "fast"}}))], claim("1Mi", &json!({"spec": {"storageClassName": "fast"}})), false, Some("v")),
            ("no class either way", vec![small()], claim("1Mi", &json!({"spec": {"storageClassName": null}})), false, Some("small")),
            ("another mode", vec![small()], claim("1Mi", &json!({"spec": {"volumeMode": "Block"}})), false, None),
            ("labels", vec![volume("v", "1Gi", &json!({"metadata": {"labels": {"a": "b"}}})), small()], claim("1Mi", &json!({"spec": {"selector": {"matchLabels": {"a": "b"}}}})), false, Some("v")),
            ("released", vec![volume("v", "1Gi", &json!({"status": {"phase": "Released"}}))], claim("1Mi", &none), false, None),
            ("reserved", vec![small(), volume("v", "1Gi", &json!({"spec": {"claimRef": {"namespace": "default", "name": "data"}}}))], claim("1Mi", &none), false, Some("v")),
            ("reserved for another", vec![volume("v", "1Gi", &json!({"spec": {"claimRef": {"namespace": "default", "name": "other"}}}))], claim("1Mi", &none), false, None),
            ("reserved for an earlier one", vec![volume("v", "1Gi", &json!({"spec": {"claimRef": {"namespace": "default", "name": "data", "uid": "x"}}}))], claim("1Mi", &none), false, None),
            ("waits for a Pod", vec![small()], claim("1Mi", &none), true, None),
            ("leaves", vec![volume("v", "1Gi", &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))], claim("1Mi", &none), false, None),
        ] {
            assert_eq!(find(&volumes, &claim, waits).map(|volume| volume.name_any()).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_volume_asked_for_by_name_must_fit() {
        let volume = volume("v", "50Mi", &json!({}));
        for (claim, expected) in [
            (claim("50Mi", &json!({})), None),
            (claim("51Mi", &json!({})), Some("requested PV is too small")),
            (claim("1Mi", &json!({"spec": {"storageClassName": "fast"}})), Some("storageClassName does not match")),
            (claim("1Mi", &json!({"spec": {"volumeMode": "Block"}})), Some("incompatible volumeMode")),
            (claim("1Mi", &json!({"spec": {"accessModes": ["ReadWriteMany"]}})), Some("incompatible accessMode")),
        ] {
            assert_eq!(mismatch(&volume, &claim).as_deref(), expected);
        }
    }
}
