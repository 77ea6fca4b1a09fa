//! Who a Pod of a StatefulSet is: its name and number, the claims that are its own, and the template it was made from.
// upstream: pkg/controller/statefulset/stateful_set_utils.go

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, PodTemplateSpec, Volume};
use kube::ResourceExt;

use crate::history;
use crate::pod_control;

/// The label of a Pod with the name of the revision it is of.
pub(super) const REVISION_LABEL: &str = "controller-revision-hash";
const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The number of a Pod, by its name; none for a name that no Pod of the set has.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let number = pod.strip_prefix(set)?.strip_prefix('-')?;
    number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn name(set: &StatefulSet, ordinal: i32) -> String {
    format!("{}-{ordinal}", set.name_any())
}

/// The first number.
pub(super) fn start(spec: &StatefulSetSpec) -> i32 {
    spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0)
}

/// Whether the Pod of this number is wanted.
// upstream: podInOrdinalRange
pub(super) fn is_wanted(spec: &StatefulSetSpec, ordinal: i32) -> bool {
    let start = start(spec);
    (start..start + spec.replicas.unwrap_or(1)).contains(&ordinal)
}

/// The name of the revision a Pod is of.
pub(super) fn revision(pod: &Pod) -> &str {
    pod.labels().get(REVISION_LABEL).map(String::as_str).unwrap_or_default()
}

/// The Pod of this number, made from what a revision remembers.
// upstream: newVersionedStatefulSetPod
pub(super) fn pod(set: &StatefulSet, spec: &StatefulSetSpec, of: &ControllerRevision, ordinal: i32) -> Pod {
    let template: PodTemplateSpec = history::remembered(of).unwrap_or_else(|| spec.template.clone());
    let mut pod = pod_control::from_template(set, &template);
    pod.metadata.generate_name = None;
    pod.metadata.name = Some(name(set, ordinal));
    pod.metadata.labels.get_or_insert_default().insert(REVISION_LABEL.into(), of.name_any());
    if let Some(inner) = pod.spec.as_mut() {
        inner.hostname = Some(name(set, ordinal));
        inner.subdomain = spec.service_name.clone().filter(|name| !name.is_empty());
    }
    identify(&mut pod, set, spec, ordinal);
    pod
}

/// Puts right what makes a Pod the one of its number; false when all was right.
// upstream: updateIdentity, updateStorage, identityMatches
pub(super) fn identify(pod: &mut Pod, set: &StatefulSet, spec: &StatefulSetSpec, ordinal: i32) -> bool {
    let before = pod.clone();
    let own = name(set, ordinal);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(NAME_LABEL.into(), own.clone());
    labels.insert(INDEX_LABEL.into(), ordinal.to_string());
    let templates = spec.volume_claim_templates.as_deref().unwrap_or_default();
    let right = has_storage(pod, set, spec, ordinal);
    if let (Some(inner), false) = (pod.spec.as_mut(), right) {
        let mut volumes: Vec<Volume> = templates.iter().map(|template| volume(&template.name_any(), claim_name(template, &own))).collect();
        let others = inner.volumes.take().unwrap_or_default();
        volumes.extend(others.into_iter().filter(|volume| !templates.iter().any(|template| template.name_any() == volume.name)));
        inner.volumes = Some(volumes);
    }
    *pod != before
}

/// Whether the Pod has a volume of each claim that is its own.
// upstream: storageMatches
pub(super) fn has_storage(pod: &Pod, set: &StatefulSet, spec: &StatefulSetSpec, ordinal: i32) -> bool {
    let volumes = pod.spec.as_ref().and_then(|inner| inner.volumes.as_deref()).unwrap_or_default();
    let claim_of = |name: &str| Some(&volumes.iter().find(|volume| volume.name == name)?.persistent_volume_claim.as_ref()?.claim_name);
    let own = name(set, ordinal);
    spec.volume_claim_templates.iter().flatten().all(|template| claim_of(&template.name_any()) == Some(&claim_name(template, &own)))
}

/// Whether a claim of this name is, by its name, one of the set's.
pub(super) fn has_claim(set: &StatefulSet, claim: &str) -> bool {
    let templates = set.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_deref()).unwrap_or_default();
    let pod = |template: &PersistentVolumeClaim| claim.strip_prefix(&template.name_any())?.strip_prefix('-');
    templates.iter().filter_map(pod).any(|pod| ordinal(&set.name_any(), pod).is_some())
}

fn volume(name: &str, claim: String) -> Volume {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim, read_only: None };
    Volume { name: name.to_owned(), persistent_volume_claim: Some(source), ..Volume::default() }
}

fn claim_name(template: &PersistentVolumeClaim, pod: &str) -> String {
    format!("{}-{pod}", template.name_any())
}

/// The claims of the Pod of this number. They carry the set's labels, so that they are found with it.
pub(super) fn claims(set: &StatefulSet, spec: &StatefulSetSpec, ordinal: i32) -> Vec<PersistentVolumeClaim> {
    let own = name(set, ordinal);
    let labels: BTreeMap<String, String> = spec.selector.match_labels.clone().unwrap_or_default();
    let templates = spec.volume_claim_templates.iter().flatten();
    templates
        .map(|template| {
            let mut claim = template.clone();
            claim.metadata.name = Some(claim_name(template, &own));
            claim.metadata.namespace = set.namespace();
            claim.metadata.labels.get_or_insert_default().extend(labels.clone());
            claim.status = None;
            claim
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_number() {
        let cases = [("web-0", Some(0)), ("web-12", Some(12)), ("web-", None), ("web", None), ("web-a", None), ("web-+1", None), ("web-1-0", None), ("webb-0", None)];
        for (pod, wanted) in cases {
            assert_eq!(ordinal("web", pod), wanted, "{pod}");
        }
    }
}
