//! Whether a Pod may run on a node, looking at that node alone.
//!
//! The checks run in upstream's order, and the first that objects names its reasons.
// upstream: pkg/scheduler/framework/plugins/{nodeunschedulable,nodename,tainttoleration,nodeaffinity,nodeports,noderesources}

use drydock_primitives::placement;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};

use crate::pod_info::PodInfo;
use crate::world::NodeInfo;

/// Why a node is out of question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reasons: Vec<String>,
    /// Whether removing other Pods could help.
    pub(crate) resolvable: bool,
}

impl Rejection {
    /// A reason that only the node's owner can take away.
    pub(crate) fn unresolvable(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: false }
    }

    /// A reason that the other Pods of the node are.
    pub(crate) fn resolvable(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: true }
    }
}

/// Asks one node.
pub(crate) fn check(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    let cordoned = Taint { key: "node.kubernetes.io/unschedulable".into(), effect: "NoSchedule".into(), ..Taint::default() };
    if node.is_unschedulable() && !tolerations.iter().any(|toleration| tolerates(toleration, &cordoned)) {
        return Err(Rejection::unresolvable("node(s) were unschedulable"));
    }
    if !pod.node().is_empty() && pod.node() != node.name() {
        return Err(Rejection::unresolvable("node(s) didn't match the requested node name"));
    }
    if let Some(taint) = node.taints().iter().find(|taint| keeps_away(taint, tolerations)) {
        return Err(Rejection::unresolvable(format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value.as_deref().unwrap_or_default())));
    }
    if !matches_node(pod, node) {
        return Err(Rejection::unresolvable("node(s) didn't match Pod's node affinity/selector"));
    }
    if pod.ports.iter().any(|wanted| node.ports().any(|taken| wanted.conflicts(taken))) {
        return Err(Rejection::resolvable("node(s) didn't have free ports for the requested pod ports"));
    }
    fits(pod, node)
}

fn keeps_away(taint: &Taint, tolerations: &[Toleration]) -> bool {
    matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute") && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// Whether a toleration speaks of a taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &'_ Option<String>| text.clone().unwrap_or_default();
    let (key, operator, value, effect) = (text(&toleration.key), text(&toleration.operator), text(&toleration.value), text(&toleration.effect));
    let taint = placement::Taint { key: &taint.key, value: taint.value.as_deref().unwrap_or_default(), effect: &taint.effect };
    placement::Toleration { key: &key, operator: &operator, value: &value, effect: &effect }.tolerates(taint)
}

/// Node selector and required node affinity.
pub(crate) fn matches_node(pod: &PodInfo, node: &NodeInfo) -> bool {
    let spec = pod.spec();
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| node.label(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    selected && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches_term(term, node)))
}

/// Whether a node fulfils a term; an empty term is fulfilled by none.
pub(crate) fn matches_term(term: &NodeSelectorTerm, node: &NodeInfo) -> bool {
    placement::matches_term(requirements(term.match_expressions.as_ref()), requirements(term.match_fields.as_ref()), node.name(), |key| node.label(key))
}

fn requirements(list: Option<&Vec<NodeSelectorRequirement>>) -> impl Iterator<Item = placement::Requirement<'_>> {
    list.into_iter().flatten().map(|one| placement::Requirement { key: &one.key, operator: &one.operator, values: one.values.as_deref().unwrap_or_default() })
}

/// Whether there is room.
// upstream: pkg/scheduler/framework/plugins/noderesources/fit.go fitsRequest
fn fits(pod: &PodInfo, node: &NodeInfo) -> Result<(), Rejection> {
    let mut reasons = Vec::new();
    let mut resolvable = true;
    if i64::try_from(node.pods.len()).unwrap_or(i64::MAX) >= node.allocatable.get("pods") {
        reasons.push("Too many pods".to_owned());
    }
    let order = |name: &str| match name {
        "cpu" => 0,
        "memory" => 1,
        "ephemeral-storage" => 2,
        _ => 3,
    };
    let mut wanted: Vec<_> = pod.requests.0.iter().filter(|(_, amount)| **amount > 0).collect();
    wanted.sort_by_key(|(name, _)| (order(name), *name));
    for (name, amount) in wanted {
        let capacity = node.allocatable.get(name);
        if *amount > capacity.saturating_sub(node.requested.get(name)) {
            reasons.push(format!("Insufficient {name}"));
            resolvable &= *amount <= capacity;
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, resolvable }) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::world::fixtures::{busy, node, pod};

    #[test]
    fn a_node_says_why_not() {
        let tainted = json!({"spec": {"taints": [{"key": "disk", "value": "hdd", "effect": "NoSchedule"}]}});
        let soft = json!({"spec": {"taints": [{"key": "disk", "effect": "PreferNoSchedule"}]}});
        let cordoned = json!({"spec": {"unschedulable": true}});
        let affinity = |operator: &str, values: Value| {
            let term = json!({"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": operator, "values": values}]});
            json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}}})
        };
        let cpu = |amount: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": amount, "memory": "3Gi"}}}]}});
        let port = json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}});
        let selector = "node(s) didn't match Pod's node affinity/selector";
        for (name, node_extra, pod_extra, reasons) in [
            ("free", json!({}), json!({}), vec![]),
            ("cordoned", cordoned.clone(), json!({}), vec!["node(s) were unschedulable"]),
            ("cordon tolerated", cordoned, json!({"spec": {"tolerations": [{"operator": "Exists"}]}}), vec![]),
            ("taint", tainted.clone(), json!({}), vec!["node(s) had untolerated taint {disk: hdd}"]),
            ("taint tolerated", tainted.clone(), json!({"spec": {"tolerations": [{"key": "disk", "value": "hdd"}]}}), vec![]),
            ("other value", tainted, json!({"spec": {"tolerations": [{"key": "disk", "value": "ssd"}]}}), vec!["node(s) had untolerated taint {disk: hdd}"]),
            ("soft taint", soft, json!({}), vec![]),
            ("selector", json!({}), json!({"spec": {"nodeSelector": {"disk": "ssd"}}}), vec![selector]),
            ("affinity in", json!({}), affinity("In", json!(["n", "m"])), vec![]),
            ("affinity not in", json!({}), affinity("NotIn", json!(["n"])), vec![selector]),
            ("two resources", json!({}), cpu("4"), vec!["Insufficient cpu", "Insufficient memory"]),
            ("no room for Pods", json!({"status": {"allocatable": {"pods": "0"}}}), json!({}), vec!["Too many pods"]),
            ("port", json!({}), port.clone(), vec!["node(s) didn't have free ports for the requested pod ports"]),
        ] {
            let mut node = node("n", &node_extra);
            if name == "port" {
                node.add(pod("other", &port));
            }
            let result = check(&pod("p", &pod_extra), &node);
            let seen = result.err().map(|rejection| rejection.reasons).unwrap_or_default();
            assert_eq!(seen, reasons, "{name}");
        }
    }

    #[test]
    fn only_what_others_hold_can_be_freed() {
        let mut node = node("n", &json!({}));
        node.add(busy("other", "1500m"));
        let resolvable = |cpu: &str| check(&busy("p", cpu), &node).expect_err("full").resolvable;
        assert!(resolvable("1"));
        assert!(!resolvable("3"));
    }
}
