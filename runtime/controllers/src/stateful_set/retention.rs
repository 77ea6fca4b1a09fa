//! Who the claims of a Pod go with: the set, the Pod, or nobody.
// upstream: pkg/controller/statefulset/stateful_set_utils.go isClaimOwnerUpToDate, updateClaimOwnerRefForSetAndPod, hasStaleOwnerRef

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::identity;
use crate::owner::controller_reference;

/// What is to be done with a claim.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It is as the set says, or was left by others of our names, who take it along.
    Right,
    /// These are to be its owners.
    Owners(Vec<OwnerReference>),
}

/// Whether it is the object or one of the same name before it that is meant.
fn means<K: Resource<DynamicType = ()>>(owner: &OwnerReference, object: &K) -> bool {
    owner.kind == K::kind(&()) && owner.api_version == K::api_version(&()) && Some(&owner.name) == object.meta().name.as_ref()
}

/// Whether the claim belongs to one that had the object's name before it: it will go, with what is in it.
pub(super) fn is_stale<K: Resource<DynamicType = ()>>(claim: &PersistentVolumeClaim, object: &K) -> bool {
    claim.owner_references().iter().any(|owner| means(owner, object) && Some(&owner.uid) != object.meta().uid.as_ref())
}

/// Whether claims go with the set, and whether they go with a Pod that is scaled away.
fn policy(spec: &StatefulSetSpec) -> (bool, bool) {
    let policy = spec.persistent_volume_claim_retention_policy.as_ref();
    let says = |word: Option<&String>| word.is_some_and(|word| word == "Delete");
    (says(policy.and_then(|policy| policy.when_deleted.as_ref())), says(policy.and_then(|policy| policy.when_scaled.as_ref())))
}

/// The owner of a claim that is made for a Pod that is wanted.
pub(super) fn first_owner(set: &StatefulSet, spec: &StatefulSetSpec) -> Option<OwnerReference> {
    policy(spec).0.then(|| controller_reference(set))
}

/// Whether the set says whom a claim goes with, but another controller has it.
// upstream: hasUnexpectedController
pub(super) fn is_anothers(claim: &PersistentVolumeClaim, set: &StatefulSet, spec: &StatefulSetSpec, pod: &Pod) -> bool {
    let other = |owner: &OwnerReference| owner.controller == Some(true) && !means(owner, set) && !means(owner, pod);
    policy(spec) != (false, false) && claim.owner_references().iter().any(other)
}

/// Compares the owners of a claim of `pod` with what the set says. References of others stay as they are.
pub(super) fn judge(claim: &PersistentVolumeClaim, set: &StatefulSet, spec: &StatefulSetSpec, pod: &Pod, ordinal: i32) -> Verdict {
    if is_stale(claim, set) || is_stale(claim, pod) {
        return Verdict::Right;
    }
    let (ours, mut owners): (Vec<_>, Vec<_>) = claim.owner_references().iter().cloned().partition(|owner| means(owner, set) || means(owner, pod));
    let (with_set, with_pod) = policy(spec);
    let wanted = match identity::is_wanted(spec, ordinal) {
        _ if is_anothers(claim, set, spec, pod) => None,
        false if with_pod => Some(controller_reference(pod)),
        _ => with_set.then(|| controller_reference(set)),
    };
    let right = match (ours.as_slice(), &wanted) {
        ([], None) => true,
        ([one], Some(wanted)) => one.uid == wanted.uid && one.controller == Some(true),
        _ => false,
    };
    if right {
        return Verdict::Right;
    }
    owners.extend(wanted);
    Verdict::Owners(owners)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner(text: &str) -> Value {
        let (name, uid) = text.trim_end_matches('*').split_once('/').expect("a name and a uid");
        let (kind, version) = match name {
            "web" => ("StatefulSet", "apps/v1"),
            "web-0" | "web-1" => ("Pod", "v1"),
            _ => ("ConfigMap", "v1"),
        };
        json!({"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": text.ends_with('*')})
    }

    fn said(when_deleted: &str, when_scaled: &str, ordinal: i32, owners: &[&str]) -> (Option<Vec<String>>, bool) {
        let policy = json!({"whenDeleted": when_deleted, "whenScaled": when_scaled});
        let spec = json!({"replicas": 1, "serviceName": "web", "selector": {}, "template": {}, "persistentVolumeClaimRetentionPolicy": policy});
        let set: StatefulSet = serde_json::from_value(json!({"metadata": {"name": "web", "uid": "s"}, "spec": spec})).expect("a StatefulSet");
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": format!("web-{ordinal}"), "uid": "p"}})).expect("a Pod");
        let owners: Vec<Value> = owners.iter().map(|text| owner(text)).collect();
        let claim = serde_json::from_value(json!({"metadata": {"name": "data", "ownerReferences": owners}})).expect("a claim");
        let spec = set.spec.as_ref().expect("a spec");
        let text = |owner: &OwnerReference| format!("{}/{}{}", owner.name, owner.uid, if owner.controller == Some(true) { "*" } else { "" });
        let owners = match judge(&claim, &set, spec, &pod, ordinal) {
            Verdict::Right => None,
            Verdict::Owners(owners) => Some(owners.iter().map(text).collect()),
        };
        (owners, is_anothers(&claim, &set, spec, &pod))
    }

    #[test]
    fn a_claim_goes_with_whom_the_set_says() {
        let none = &[][..];
        for (name, [deleted, scaled], ordinal, owners, wanted) in [
            ("kept", ["Retain", "Retain"], 0, none, None),
            ("kept from now on", ["Retain", "Retain"], 0, &["web/s*"], Some(none)),
            ("kept from now on, also when scaled away", ["Retain", "Retain"], 1, &["web-1/p*"], Some(none)),
            ("others keep it", ["Retain", "Retain"], 0, &["web/s*", "other/o"], Some(&["other/o"][..])),
            ("goes with the set", ["Delete", "Retain"], 0, none, Some(&["web/s*"])),
            ("goes already", ["Delete", "Retain"], 0, &["web/s*"], None),
            ("goes, but not as it should", ["Delete", "Retain"], 0, &["web/s"], Some(&["web/s*"])),
            ("of a Pod that is scaled away, too", ["Delete", "Retain"], 1, &["web-1/p*"], Some(&["web/s*"])),
            ("a Pod that stays", ["Retain", "Delete"], 0, none, None),
            ("goes with its Pod", ["Retain", "Delete"], 1, none, Some(&["web-1/p*"])),
            ("goes with its Pod already", ["Retain", "Delete"], 1, &["web-1/p*"], None),
            ("with the set", ["Delete", "Delete"], 0, &["web-0/p*"], Some(&["web/s*"])),
            ("or with its Pod, and others stay", ["Delete", "Delete"], 1, &["other/o", "web/s*"], Some(&["other/o", "web-1/p*"])),
            ("left by an earlier Pod", ["Delete", "Delete"], 0, &["web-0/x*"], None),
            ("left by an earlier set", ["Retain", "Retain"], 0, &["web/x*"], None),
        ] {
            let wanted = wanted.map(|owners| owners.iter().map(ToString::to_string).collect());
            assert_eq!(said(deleted, scaled, ordinal, owners), (wanted, false), "{name}");
        }
    }

    #[test]
    fn a_claim_of_another_controller_is_left_to_it() {
        for (name, [deleted, scaled], owners, wanted) in [
            ("nothing is said", ["Retain", "Retain"], &["other/o*"][..], (None, false)),
            ("no reference of ours", ["Delete", "Retain"], &["other/o*"], (None, true)),
            ("ours goes", ["Delete", "Retain"], &["web/s", "other/o*"], (Some(vec!["other/o*".to_owned()]), true)),
        ] {
            assert_eq!(said(deleted, scaled, 0, owners), wanted, "{name}");
        }
    }
}
