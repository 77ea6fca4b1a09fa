//! Which nodes a DaemonSet wants a Pod on, and how such a Pod is bound to its node.
// upstream: pkg/controller/daemon/daemon_controller.go NodeShouldRunDaemonPod, util/daemonset_util.go

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, PodTemplateSpec, Taint, Toleration};
use kube::ResourceExt;

use super::{GENERATION_ANNOTATION, GENERATION_LABEL, HASH_LABEL};
use crate::placement::{selects, tolerates};
use crate::pod;

/// Taints that every Pod of a DaemonSet tolerates: it is there for the node, also for one in trouble.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NETWORK_TOLERATED: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// What a node says to a Pod of a DaemonSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One should be there.
    Run,
    /// None is started, but one that runs may stay.
    Stay,
    /// None should be there.
    Leave,
}

/// What a template asks of nodes.
pub(super) struct Place<'a> {
    spec: Option<&'a PodSpec>,
    tolerations: Vec<Toleration>,
}

impl<'a> Place<'a> {
    pub(super) fn new(template: &'a PodTemplateSpec) -> Self {
        let spec = template.spec.as_ref();
        Self { spec, tolerations: spec.map(tolerations).unwrap_or_default() }
    }

    /// Asks a node.
    pub(super) fn ask(&self, node: &Node) -> Answer {
        let Some(spec) = self.spec else { return Answer::Leave };
        let named = spec.node_name.as_deref().filter(|name| !name.is_empty());
        let labels = node.labels();
        let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
        let required = node_affinity(spec).and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        if named.is_some_and(|name| name != node.name_any()) || !selected || required.is_some_and(|required| !selects(required, node)) {
            return Answer::Leave;
        }
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
        let keeps_away = |effects: &[&str]| {
            let strict = |taint: &&Taint| effects.contains(&taint.effect.as_str());
            taints.iter().filter(strict).any(|taint| !self.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
        };
        if keeps_away(&["NoExecute"]) {
            Answer::Leave
        } else if keeps_away(&["NoSchedule"]) {
            Answer::Stay
        } else {
            Answer::Run
        }
    }
}

fn node_affinity(spec: &PodSpec) -> Option<&NodeAffinity> {
    spec.affinity.as_ref()?.node_affinity.as_ref()
}

fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    let mut all = spec.tolerations.clone().unwrap_or_default();
    let network = Some(NETWORK_TOLERATED).filter(|_| spec.host_network == Some(true));
    for (key, effect) in TOLERATED.into_iter().chain(network) {
        let own = Toleration { key: Some(key.into()), operator: Some("Exists".into()), effect: Some(effect.into()), ..Toleration::default() };
        match all.iter_mut().find(|one| one.key == own.key && one.effect == own.effect && one.value.is_none()) {
            Some(same) => *same = own,
            None => all.push(own),
        }
    }
    all
}

/// Whether a change of a node can change an answer.
pub(super) fn differ(old: &Node, new: &Node) -> bool {
    let view = |node: &Node| (node.labels().clone(), node.spec.as_ref().and_then(|spec| spec.taints.clone()));
    view(old) != view(new)
}

/// The node a Pod of a DaemonSet is meant for, also before it is bound.
pub(super) fn target(pod: &Pod) -> &str {
    if !pod::node(pod).is_empty() {
        return pod::node(pod);
    }
    let required = pod.spec.as_ref().and_then(node_affinity).and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let mut fields = required.into_iter().flat_map(|required| &required.node_selector_terms).flat_map(|term| term.match_fields.iter().flatten());
    let named = fields.find(|field| field.key == "metadata.name" && field.operator == "In");
    named.and_then(|field| field.values.as_ref()?.first()).map(String::as_str).unwrap_or_default()
}

/// The template of the Pod for one node: the scheduler puts it there and nowhere else.
pub(super) fn template(set: &DaemonSet, spec: &DaemonSetSpec, node: &str, hash: &str) -> PodTemplateSpec {
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.into(), hash.into());
    if let Some(generation) = set.annotations().get(GENERATION_ANNOTATION) {
        labels.insert(GENERATION_LABEL.into(), generation.clone());
    }
    let pod = template.spec.get_or_insert_default();
    pod.tolerations = Some(tolerations(pod));
    let here = NodeSelectorRequirement { key: "metadata.name".into(), operator: "In".into(), values: Some(vec![node.into()]) };
    let affinity = pod.affinity.get_or_insert_default().node_affinity.get_or_insert_default();
    let required: &mut NodeSelector = affinity.required_during_scheduling_ignored_during_execution.get_or_insert_default();
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![here.clone()]);
    }
    template
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nodes_answer_for_themselves() {
        let node = |taints: Value| -> Node {
            serde_json::from_value(json!({"metadata": {"name": "n", "labels": {"disk": "ssd"}}, "spec": {"taints": taints}})).expect("a Node")
        };
        let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect}]);
        let affinity = |value: &str| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": [value]}]}]}}}});
        for (name, taints, spec, expected) in [
            ("plain", json!([]), json!({}), Answer::Run),
            ("selected", json!([]), json!({"nodeSelector": {"disk": "ssd"}}), Answer::Run),
            ("not selected", json!([]), json!({"nodeSelector": {"disk": "hdd"}}), Answer::Leave),
            ("affinity", json!([]), affinity("ssd"), Answer::Run),
            ("other affinity", json!([]), affinity("hdd"), Answer::Leave),
            ("another node", json!([]), json!({"nodeName": "m"}), Answer::Leave),
            ("tainted", taint("k", "NoSchedule"), json!({}), Answer::Stay),
            ("tolerated", taint("k", "NoSchedule"), json!({"tolerations": [{"operator": "Exists"}]}), Answer::Run),
            ("drives out", taint("k", "NoExecute"), json!({}), Answer::Leave),
            ("preference only", taint("k", "PreferNoSchedule"), json!({}), Answer::Run),
            ("cordoned", taint("node.kubernetes.io/unschedulable", "NoSchedule"), json!({}), Answer::Run),
            ("in trouble", taint("node.kubernetes.io/not-ready", "NoExecute"), json!({}), Answer::Run),
            ("no network", taint("node.kubernetes.io/network-unavailable", "NoSchedule"), json!({}), Answer::Stay),
            ("needs no network", taint("node.kubernetes.io/network-unavailable", "NoSchedule"), json!({"hostNetwork": true}), Answer::Run),
        ] {
            let mut spec = spec;
            spec["containers"] = json!([]);
            let template: PodTemplateSpec = serde_json::from_value(json!({"spec": spec})).expect("a template");
            assert_eq!(Place::new(&template).ask(&node(taints)), expected, "{name}");
        }
    }

    #[test]
    fn a_pod_is_bound_to_its_node() {
        let set: DaemonSet = serde_json::from_value(json!({
            "metadata": {"name": "d", "annotations": {GENERATION_ANNOTATION: "3"}},
            "spec": {"selector": {}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
        }))
        .expect("a DaemonSet");
        let spec = set.spec.clone().expect("a spec");
        let template = template(&set, &spec, "node-2", "abc");
        let pod = Pod { metadata: template.metadata.clone().unwrap_or_default(), spec: template.spec, status: None };
        assert_eq!(target(&pod), "node-2");
        let labels: Vec<_> = pod.labels().iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["a=b", "controller-revision-hash=abc", "pod-template-generation=3"]);
        assert_eq!(pod.spec.and_then(|spec| spec.tolerations).map(|all| all.len()), Some(6));
    }
}
