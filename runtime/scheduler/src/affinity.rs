//! Pods that want to be near other Pods, or far from them.
// upstream: pkg/scheduler/framework/plugins/interpodaffinity

use std::collections::BTreeMap;

use drydock_primitives::selector::LabelSelector;
use k8s_openapi::api::core::v1::{PodAffinityTerm, WeightedPodAffinityTerm};

use crate::filter::Rejection;
use crate::pod_info::PodInfo;
use crate::world::{NodeInfo, Snapshot};

/// A term with its selectors read.
struct Term {
    selector: LabelSelector,
    namespaces: Vec<String>,
    namespace_selector: LabelSelector,
    topology: String,
}

impl Term {
    fn new(term: &PodAffinityTerm, owner: &PodInfo) -> Self {
        let read = |selector: &Option<_>| LabelSelector::from_object(&serde_json::to_value(selector).unwrap_or_default()).unwrap_or_else(|_| LabelSelector::nothing());
        let mut namespaces = term.namespaces.clone().unwrap_or_default();
        if namespaces.is_empty() && term.namespace_selector.is_none() {
            namespaces.push(owner.namespace().to_owned());
        }
        Self { selector: read(&term.label_selector), namespaces, namespace_selector: read(&term.namespace_selector), topology: term.topology_key.clone() }
    }

    fn matches(&self, pod: &PodInfo, snapshot: &Snapshot) -> bool {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        let labels = snapshot.namespaces.get(pod.namespace()).unwrap_or(&NONE);
        let here = self.namespaces.iter().any(|namespace| namespace == pod.namespace()) || self.namespace_selector.matches(labels);
        here && self.selector.matches(pod.labels())
    }
}

fn terms(list: Option<&Vec<PodAffinityTerm>>, owner: &PodInfo) -> Vec<Term> {
    list.into_iter().flatten().map(|term| Term::new(term, owner)).collect()
}

fn required_near(pod: &PodInfo) -> Vec<Term> {
    let affinity = pod.spec().affinity.as_ref().and_then(|affinity| affinity.pod_affinity.as_ref());
    terms(affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref()), pod)
}

fn required_far(pod: &PodInfo) -> Vec<Term> {
    let affinity = pod.spec().affinity.as_ref().and_then(|affinity| affinity.pod_anti_affinity.as_ref());
    terms(affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref()), pod)
}

/// How many Pods that concern a Pod there are, by topology key and value.
type Counts = BTreeMap<(String, String), usize>;

/// What the Pods that run say about one that is to be placed; computed once for all nodes.
pub(crate) struct Neighbors {
    near: Vec<Term>,
    far: Vec<Term>,
    /// Pods that fulfil every near term.
    near_counts: Counts,
    far_counts: Counts,
    /// Pods that want the new one far.
    existing: Counts,
    /// Whether the Pod may be the first of its own group.
    first: bool,
}

impl Neighbors {
    pub(crate) fn new(pod: &PodInfo, snapshot: &Snapshot) -> Self {
        let (near, far) = (required_near(pod), required_far(pod));
        let (mut near_counts, mut far_counts, mut existing) = (Counts::new(), Counts::new(), Counts::new());
        let count = |counts: &mut Counts, term: &Term, node: &NodeInfo| {
            if let Some(value) = node.label(&term.topology) {
                *counts.entry((term.topology.clone(), value.to_owned())).or_insert(0) += 1;
            }
        };
        for node in &snapshot.nodes {
            for other in &node.pods {
                if !near.is_empty() && near.iter().all(|term| term.matches(other, snapshot)) {
                    near.iter().for_each(|term| count(&mut near_counts, term, node));
                }
                far.iter().filter(|term| term.matches(other, snapshot)).for_each(|term| count(&mut far_counts, term, node));
                required_far(other).iter().filter(|term| term.matches(pod, snapshot)).for_each(|term| count(&mut existing, term, node));
            }
        }
        let first = near_counts.is_empty() && near.iter().all(|term| term.matches(pod, snapshot));
        Self { near, far, near_counts, far_counts, existing, first }
    }

    /// Asks one node.
    pub(crate) fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        let here = |counts: &Counts, term: &Term| node.label(&term.topology).is_some_and(|value| counts.contains_key(&(term.topology.clone(), value.to_owned())));
        let labeled = self.near.iter().all(|term| node.label(&term.topology).is_some());
        if !labeled || !self.first && !self.near.iter().all(|term| here(&self.near_counts, term)) {
            return Err(Rejection::unresolvable("node(s) didn't match pod affinity rules"));
        }
        if self.far.iter().any(|term| here(&self.far_counts, term)) {
            return Err(Rejection::resolvable("node(s) didn't match pod anti-affinity rules"));
        }
        if self.existing.keys().any(|(key, value)| node.label(key) == Some(value)) {
            return Err(Rejection::resolvable("node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }
}

/// The raw score of each node from preferences, this Pod's and those of Pods that run.
pub(crate) fn preferences(pod: &PodInfo, snapshot: &Snapshot) -> Vec<i64> {
    let mut weights: BTreeMap<(String, String), i64> = BTreeMap::new();
    for node in &snapshot.nodes {
        for other in &node.pods {
            let own = preferred(pod).into_iter().filter(|(term, _)| term.matches(other, snapshot));
            let theirs = preferred(other).into_iter().chain(required_near(other).into_iter().map(|term| (term, 1)));
            for (term, weight) in own.chain(theirs.filter(|(term, _)| term.matches(pod, snapshot))) {
                if let Some(value) = node.label(&term.topology) {
                    *weights.entry((term.topology, value.to_owned())).or_insert(0) += weight;
                }
            }
        }
    }
    let score = |node: &NodeInfo| weights.iter().filter(|((key, value), _)| node.label(key) == Some(value)).map(|(_, weight)| weight).sum();
    snapshot.nodes.iter().map(score).collect()
}

fn preferred(pod: &PodInfo) -> Vec<(Term, i64)> {
    let Some(affinity) = &pod.spec().affinity else { return Vec::new() };
    let near = affinity.pod_affinity.as_ref().and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
    let far = affinity.pod_anti_affinity.as_ref().and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
    let read = |list: Option<&Vec<WeightedPodAffinityTerm>>, sign: i64| -> Vec<(Term, i64)> {
        list.into_iter().flatten().map(|weighted| (Term::new(&weighted.pod_affinity_term, pod), sign * i64::from(weighted.weight))).collect()
    };
    let mut all = read(near, 1);
    all.extend(read(far, -1));
    all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::world::fixtures::{cluster, node, pod};

    fn with(name: &str, app: &str, kind: &str, wanted: &str) -> Arc<PodInfo> {
        let term = json!([{"labelSelector": {"matchLabels": {"app": wanted}}, "topologyKey": "kubernetes.io/hostname"}]);
        let mut affinity = json!({});
        if !kind.is_empty() {
            affinity[kind] = json!({"requiredDuringSchedulingIgnoredDuringExecution": term});
        }
        pod(name, &json!({"metadata": {"labels": {"app": app}}, "spec": {"affinity": affinity}}))
    }

    #[test]
    fn pods_keep_near_and_far() {
        let anti = "node(s) didn't match pod anti-affinity rules";
        let near = "node(s) didn't match pod affinity rules";
        for (name, existing, new, expected) in [
            ("far from its like", with("a", "web", "", ""), with("b", "web", "podAntiAffinity", "web"), [Some(anti), None]),
            ("near another", with("a", "db", "", ""), with("b", "web", "podAffinity", "db"), [None, Some(near)]),
            ("first of its group", with("a", "db", "", ""), with("b", "web", "podAffinity", "web"), [None, None]),
            ("nobody to be near to", with("a", "db", "", ""), with("b", "web", "podAffinity", "cache"), [Some(near), Some(near)]),
            ("not wanted near", with("a", "db", "podAntiAffinity", "web"), with("b", "web", "", ""), [Some("node(s) didn't satisfy existing pods anti-affinity rules"), None]),
        ] {
            let snapshot = cluster(vec![(node("one", &json!({})), vec![existing]), (node("two", &json!({})), vec![])]);
            let neighbors = Neighbors::new(&new, &snapshot);
            let seen: Vec<_> = snapshot.nodes.iter().map(|node| neighbors.check(node).err().map(|rejection| rejection.reasons[0].clone())).collect();
            assert_eq!(seen, expected.map(|reason| reason.map(str::to_owned)), "{name}");
        }
    }
}
