//! Volumes: a Pod goes where its claims' volumes are, and claims that wait for a Pod go where it goes.
// upstream: pkg/scheduler/framework/plugins/volumebinding

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use drydock_primitives::quantity::Quantity;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::filter::{Rejection, matches_term};
use crate::pending::Key;
use crate::pod_info::PodInfo;
use crate::world::NodeInfo;

/// Where a claim that waits for a Pod is to get its volume.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// All claims, volumes and classes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storage {
    pub(crate) claims: BTreeMap<Key, Arc<PersistentVolumeClaim>>,
    pub(crate) volumes: BTreeMap<String, Arc<PersistentVolume>>,
    pub(crate) classes: BTreeMap<String, Arc<StorageClass>>,
}

/// What a Pod's claims come to, the same for all nodes.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Volumes of bound claims; none for one that is gone.
    bound: Vec<Option<Arc<PersistentVolume>>>,
    /// Claims that get a volume where the Pod goes.
    waiting: Vec<(Key, Arc<PersistentVolumeClaim>)>,
}

/// The claims a Pod mounts.
pub(crate) fn claims_of(pod: &PodInfo) -> impl Iterator<Item = Key> {
    let volumes = pod.spec().volumes.iter().flatten().filter_map(|volume| volume.persistent_volume_claim.as_ref());
    volumes.map(|claim| (pod.namespace().to_owned(), claim.claim_name.clone()))
}

/// Whether a claim has its volume for good.
pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    let complete = claim.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(BIND_COMPLETED));
    complete && volume_of(claim).is_some()
}

fn volume_of(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

fn class_name(claim: &PersistentVolumeClaim) -> &str {
    let annotation = claim.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS));
    annotation.or(claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref())).map(String::as_str).unwrap_or_default()
}

/// The node a waiting claim has been sent to already.
fn selected(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.metadata.annotations.as_ref()?.get(SELECTED_NODE).map(String::as_str)
}

/// No node will do for a Pod whose claim another Pod has for itself alone.
// upstream: pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go, satisfyReadWriteOncePod
pub(crate) fn exclusive(taken: bool) -> Result<(), Rejection> {
    if taken { Err(Rejection::resolvable("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode")) } else { Ok(()) }
}

impl Storage {
    /// Whether a claim that is for one Pod only (`ReadWriteOncePod`) is another Pod's.
    pub(crate) fn is_taken(&self, pod: &PodInfo, nodes: &[NodeInfo]) -> bool {
        let alone = |key: &Key| {
            let modes = self.claims.get(key).and_then(|claim| claim.spec.as_ref()?.access_modes.as_ref());
            modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"))
        };
        let own: Vec<Key> = claims_of(pod).filter(alone).collect();
        let others = || nodes.iter().flat_map(|node| &node.pods).filter(|other| other.uid() != pod.uid());
        !own.is_empty() && others().any(|other| claims_of(other).any(|key| own.contains(&key)))
    }

    /// Looks a Pod's claims up; the error is why no node will do.
    pub(crate) fn needs(&self, pod: &PodInfo) -> Result<Needs, String> {
        let mut needs = Needs::default();
        let mut unbound = false;
        for key in claims_of(pod) {
            let name = &key.1;
            let claim = self.claims.get(&key).ok_or_else(|| format!("persistentvolumeclaim {name:?} not found"))?;
            if claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Lost") {
                return Err(format!("persistentvolumeclaim {name:?} bound to non-existent persistentvolume {:?}", volume_of(claim).unwrap_or_default()));
            }
            if claim.metadata.deletion_timestamp.is_some() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            let waits = self.classes.get(class_name(claim)).is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
            if is_bound(claim) {
                needs.bound.push(volume_of(claim).and_then(|volume| self.volumes.get(volume)).cloned());
            } else if waits && volume_of(claim).is_none() {
                needs.waiting.push((key, Arc::clone(claim)));
            } else {
                unbound = true;
            }
        }
        if unbound { Err("pod has unbound immediate PersistentVolumeClaims".into()) } else { Ok(needs) }
    }

    /// Asks one node.
    pub(crate) fn check(&self, needs: &Needs, node: &NodeInfo) -> Result<(), Rejection> {
        let mut reasons = Vec::new();
        let mut add = |reason: &str| {
            if !reasons.iter().any(|known| known == reason) {
                reasons.push(reason.to_owned());
            }
        };
        for volume in &needs.bound {
            match volume {
                None => add("node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
                Some(volume) if !is_reachable(volume, node) => add("node(s) had volume node affinity conflict"),
                Some(_) => {}
            }
        }
        if needs.waiting.iter().any(|(_, claim)| !self.can_serve(claim, node)) {
            add("node(s) didn't find available persistent volumes to bind");
        }
        if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, resolvable: false }) }
    }

    /// Whether a waiting claim can get a volume on a node: one that is there, or one made for it.
    fn can_serve(&self, claim: &PersistentVolumeClaim, node: &NodeInfo) -> bool {
        if let Some(selected) = selected(claim) {
            return selected == node.name();
        }
        let Some(class) = self.classes.get(class_name(claim)) else { return false };
        class.provisioner != "kubernetes.io/no-provisioner" || self.volumes.values().any(|volume| fits(volume, claim) && is_reachable(volume, node))
    }
}

impl Needs {
    /// The claims that must be told of the node first.
    pub(crate) fn untold(&self) -> Vec<Key> {
        self.waiting.iter().map(|(key, _)| key.clone()).collect()
    }
}

fn is_reachable(volume: &PersistentVolume, node: &NodeInfo) -> bool {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()).and_then(|affinity| affinity.required.as_ref());
    required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches_term(term, node)))
}

/// Whether a volume that nobody has would do. Which one it is in the end, the binder says.
fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(spec), Some(asked)) = (&volume.spec, &claim.spec) else { return false };
    let size = |amounts: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
        let text = amounts.and_then(|amounts| amounts.get("storage"));
        text.and_then(|text| Quantity::from_str(&text.0).ok()).unwrap_or(Quantity::ZERO)
    };
    let requests = asked.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let open = spec.claim_ref.is_none() && volume.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Available");
    open && spec.storage_class_name.as_deref().unwrap_or_default() == class_name(claim)
        && size(spec.capacity.as_ref()) >= size(requests)
        && asked.access_modes.iter().flatten().all(|mode| modes.contains(mode))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::decide::{Decision, decide};
    use crate::world::Snapshot;
    use crate::world::fixtures::{cluster, node, pod};

    fn claim(name: &str, extra: &Value) -> (Key, Arc<PersistentVolumeClaim>) {
        let mut object = json!({
            "metadata": {"name": name, "namespace": "default", "annotations": {}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"phase": "Pending"},
        });
        for (part, fields) in extra.as_object().into_iter().flatten() {
            for (field, value) in fields.as_object().into_iter().flatten() {
                object[part][field] = value.clone();
            }
        }
        (("default".into(), name.into()), Arc::new(serde_json::from_value(object).expect("a claim")))
    }

    fn volume(name: &str, host: &str, class: &str) -> (String, Arc<PersistentVolume>) {
        let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]});
        let object = json!({
            "metadata": {"name": name},
            "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class, "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}},
            "status": {"phase": "Available"},
        });
        (name.to_owned(), Arc::new(serde_json::from_value(object).expect("a volume")))
    }

    fn class(name: &str, provisioner: &str) -> (String, Arc<StorageClass>) {
        let object = json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"});
        (name.to_owned(), Arc::new(serde_json::from_value(object).expect("a class")))
    }

    fn decided(claims: Vec<(Key, Arc<PersistentVolumeClaim>)>, volumes: Vec<(String, Arc<PersistentVolume>)>) -> Decision {
        let classes = BTreeMap::from([class("later", "docker.io/hostpath"), class("local", "kubernetes.io/no-provisioner")]);
        let storage = Arc::new(Storage { claims: claims.into_iter().collect(), volumes: volumes.into_iter().collect(), classes });
        let nodes = vec![(node("a", &json!({})), vec![]), (node("b", &json!({})), vec![])];
        let snapshot = Snapshot { storage, ..cluster(nodes) };
        decide(&pod("p", &json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}})), &snapshot)
    }

    #[test]
    fn pods_go_where_their_volumes_are() {
        let bound = |volume: &str| claim("data", &json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": volume}}));
        let waits = |class: &str| claim("data", &json!({"spec": {"storageClassName": class}}));
        let prepare = |node: &str| Decision::Prepare { node: node.into(), claims: vec![("default".into(), "data".into())] };
        let unhelpful = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
        let nowhere = |why: &str| Decision::Nowhere(format!("0/2 nodes are available: {why}. {unhelpful}"));
        for (name, claims, volumes, expected) in [
            ("no such claim", vec![], vec![], nowhere("persistentvolumeclaim \"data\" not found")),
            ("not bound yet", vec![claim("data", &json!({}))], vec![], nowhere("pod has unbound immediate PersistentVolumeClaims")),
            ("lost", vec![claim("data", &json!({"status": {"phase": "Lost"}, "spec": {"volumeName": "v"}}))], vec![], nowhere("persistentvolumeclaim \"data\" bound to non-existent persistentvolume \"v\"")),
            ("leaves", vec![claim("data", &json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))], vec![], nowhere("persistentvolumeclaim \"data\" is being deleted")),
            ("on b", vec![bound("v")], vec![volume("v", "b", "")], Decision::Bind("b".into())),
            ("nowhere here", vec![bound("v")], vec![volume("v", "c", "")], nowhere("2 node(s) had volume node affinity conflict")),
            ("gone", vec![bound("v")], vec![], nowhere("2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)")),
            ("to be made", vec![waits("later")], vec![], prepare("a")),
            ("sent to b already", vec![claim("data", &json!({"metadata": {"annotations": {SELECTED_NODE: "b"}}, "spec": {"storageClassName": "later"}}))], vec![], prepare("b")),
            ("found on b", vec![waits("local")], vec![volume("v", "b", "local")], prepare("b")),
            ("found nowhere", vec![waits("local")], vec![volume("v", "b", "other")], nowhere("2 node(s) didn't find available persistent volumes to bind")),
        ] {
            assert_eq!(decided(claims, volumes), expected, "{name}");
        }
    }

    #[test]
    fn a_claim_for_one_pod_only_is_for_one_pod_only() {
        let mounts = json!({"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}});
        let bound = |mode: &str| claim("data", &json!({"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "v", "accessModes": [mode]}}));
        let conflict = "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode. \
            preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
        for (mode, other, expected) in [
            ("ReadWriteOncePod", &mounts, Decision::Nowhere(conflict.to_owned())),
            ("ReadWriteOncePod", &json!({}), Decision::Bind("a".into())),
            ("ReadWriteOnce", &mounts, Decision::Bind("a".into())),
        ] {
            let storage = Arc::new(Storage {
                claims: BTreeMap::from([bound(mode)]),
                volumes: BTreeMap::from([volume("v", "a", "")]),
                ..Storage::default()
            });
            let nodes = vec![(node("a", &json!({})), vec![pod("other", other)]), (node("b", &json!({})), vec![])];
            let found = decide(&pod("p", &mounts), &Snapshot { storage, ..cluster(nodes) });
            assert_eq!(found, expected, "{mode} {other}");
        }
    }
}
