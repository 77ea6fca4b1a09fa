//! What a claim stands for: the directory of the bound volume, once there is one and it is on this node.

// upstream: pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go, pkg/volume/local, pkg/volume/hostpath

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drydock_primitives::placement::{self, Requirement};
use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource,
    PersistentVolumeSpec, Pod,
};
use kube::api::Api;

use super::places::{give_to_group, host_path};
use super::{Placed, Problem, VolumeSource, fs_group};
use crate::kubelet::state::namespace;

/// Find the directory behind a claim.
pub(super) async fn claimed(pod: &Pod, wanted: &PersistentVolumeClaimVolumeSource, source: &VolumeSource<'_>) -> Result<Placed, Problem> {
    let claim_name = &wanted.claim_name;
    let unprocessed = |reason: String| Problem::Claim(format!("error processing PVC {}/{claim_name}: {reason}", namespace(pod)));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(source.client.clone(), namespace(pod));
    let claim = claims.get_opt(claim_name).await.map_err(|error| unprocessed(format!("failed to fetch PVC from API server: {error}")))?;
    let claim = claim.ok_or_else(|| unprocessed(format!("failed to fetch PVC from API server: persistentvolumeclaims \"{claim_name}\" not found")))?;
    let volume_name = bound(&claim).map_err(|reason| unprocessed(reason.to_owned()))?;
    let volumes: Api<PersistentVolume> = Api::all(source.client.clone());
    let volume = volumes.get_opt(volume_name).await.map_err(|error| unprocessed(error.to_string()))?;
    let volume = volume.ok_or_else(|| unprocessed(format!("persistentvolumes \"{volume_name}\" not found")))?;
    let spec = volume.spec.unwrap_or_default();
    if spec.claim_ref.as_ref().is_none_or(|reference| reference.uid != claim.metadata.uid) {
        return Err(unprocessed(format!("persistentvolume \"{volume_name}\" is not bound to this claim")));
    }
    if let Some(required) = spec.node_affinity.as_ref().and_then(|affinity| affinity.required.as_ref()) {
        let nodes: Api<Node> = Api::all(source.client.clone());
        let node = nodes.get(source.node).await.map_err(|error| Problem::set_up(volume_name, error))?;
        if !selects(required, source.node, &node.metadata.labels.unwrap_or_default()) {
            let text = format!("MountVolume.NodeAffinity check failed for volume \"{volume_name}\" : no matching NodeSelectorTerms");
            return Err(Problem::Mount(text));
        }
    }
    let path = directory(volume_name, &spec, fs_group(pod))?;
    Ok(Placed { path, readonly: wanted.read_only == Some(true) })
}

/// The volume a claim is bound to, or why it is not to be used.
fn bound(claim: &PersistentVolumeClaim) -> Result<&str, &'static str> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted");
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let volume = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
    match (phase, volume) {
        (Some("Bound"), Some(volume)) => Ok(volume),
        _ => Err("PVC is not bound"),
    }
}

fn directory(name: &str, spec: &PersistentVolumeSpec, group: Option<u32>) -> Result<PathBuf, Problem> {
    if let Some(host) = &spec.host_path {
        return host_path(host).map_err(|error| Problem::set_up(name, error));
    }
    let Some(local) = &spec.local else {
        return Err(Problem::set_up(name, "this cluster mounts volumes of type hostPath and local only"));
    };
    let path = Path::new(&local.path);
    if !path.exists() {
        let text = format!("MountVolume.NewMounter initialization failed for volume \"{name}\" : path \"{}\" does not exist", local.path);
        return Err(Problem::Mount(text));
    }
    give_to_group(path, group).map_err(|error| Problem::set_up(name, error))?;
    Ok(path.to_owned())
}

/// Whether one of the terms fits a node.
fn selects(selector: &NodeSelector, node: &str, labels: &BTreeMap<String, String>) -> bool {
    fn read(list: Option<&Vec<NodeSelectorRequirement>>) -> impl Iterator<Item = Requirement<'_>> {
        list.into_iter().flatten().map(|one| Requirement { key: &one.key, operator: &one.operator, values: one.values.as_deref().unwrap_or_default() })
    }
    selector.node_selector_terms.iter().any(|term| {
        placement::matches_term(read(term.match_expressions.as_ref()), read(term.match_fields.as_ref()), node, |key| labels.get(key).map(String::as_str))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_claim_is_used_when_it_is_bound() {
        for (claim, expected) in [
            (json!({"spec": {"volumeName": "pv01"}, "status": {"phase": "Bound"}}), Ok("pv01")),
            (json!({"spec": {"volumeName": "pv01"}, "status": {"phase": "Pending"}}), Err("PVC is not bound")),
            (json!({"spec": {}}), Err("PVC is not bound")),
            (
                json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"volumeName": "pv01"}, "status": {"phase": "Bound"}}),
                Err("PVC is being deleted"),
            ),
        ] {
            let claim: PersistentVolumeClaim = serde_json::from_value(claim).unwrap();
            assert_eq!(bound(&claim), expected);
        }
    }

    #[test]
    fn a_missing_directory_is_named_as_upstream_names_it() {
        let spec: PersistentVolumeSpec = serde_json::from_value(json!({"local": {"path": "/no/where"}})).unwrap();
        let text = "MountVolume.NewMounter initialization failed for volume \"pv01\" : path \"/no/where\" does not exist";
        assert_eq!(directory("pv01", &spec, None), Err(Problem::Mount(text.to_owned())));
    }

    #[test]
    fn a_volume_is_for_the_nodes_its_terms_select() {
        let labels = BTreeMap::from([("kiamol".to_owned(), "ch05".to_owned())]);
        let label = |value: &str| json!({"matchExpressions": [{"key": "kiamol", "operator": "In", "values": [value]}]});
        for (terms, expected) in [
            (json!([label("ch05")]), true),
            (json!([label("ch06")]), false),
            (json!([label("ch06"), label("ch05")]), true),
            (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]}]), true),
            (json!([]), false),
        ] {
            let selector: NodeSelector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
            assert_eq!(selects(&selector, "node-1", &labels), expected, "{terms}");
        }
    }
}
