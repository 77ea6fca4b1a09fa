//! Pods of one application spread over nodes and zones.
// upstream: pkg/scheduler/framework/plugins/podtopologyspread

use std::collections::{BTreeMap, BTreeSet};

use drydock_primitives::selector::LabelSelector;
use k8s_openapi::api::core::v1::TopologySpreadConstraint;

use crate::filter::Rejection;
use crate::pod_info::PodInfo;
use crate::score::MOST;
use crate::world::{NodeInfo, Snapshot};

/// Which Pods count together.
enum Group {
    /// Those whose labels match, in the Pod's namespace.
    Selected(LabelSelector),
    /// Those with the same controller: what upstream's default constraints come to for Pods of a ReplicaSet.
    Siblings(String),
}

struct Constraint {
    topology: String,
    skew: i64,
    group: Group,
    min_domains: usize,
}

impl Constraint {
    fn counts(&self, pod: &PodInfo, other: &PodInfo) -> bool {
        let same = match &self.group {
            Group::Selected(selector) => selector.matches(other.labels()),
            Group::Siblings(controller) => controller_of(other) == Some(controller),
        };
        same && other.namespace() == pod.namespace() && !other.is_leaving()
    }

    /// How many Pods count in each domain that the Pod could get to.
    fn domains<'a>(&self, pod: &PodInfo, snapshot: &'a Snapshot) -> BTreeMap<&'a str, i64> {
        let mut domains = BTreeMap::new();
        for node in &snapshot.nodes {
            if let Some(value) = node.label(&self.topology) {
                let count = node.pods.iter().filter(|other| self.counts(pod, other)).count();
                *domains.entry(value).or_insert(0) += i64::try_from(count).unwrap_or(i64::MAX);
            }
        }
        domains
    }
}

fn controller_of(pod: &PodInfo) -> Option<&String> {
    let owners = pod.pod.metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| &owner.uid)
}

fn explicit(pod: &PodInfo, action: &str) -> Vec<Constraint> {
    let listed = pod.spec().topology_spread_constraints.iter().flatten();
    let read = |constraint: &TopologySpreadConstraint| {
        let selector = serde_json::to_value(&constraint.label_selector).unwrap_or_default();
        let mut selector = LabelSelector::from_object(&selector).unwrap_or_else(|_| LabelSelector::nothing());
        for key in constraint.match_label_keys.iter().flatten() {
            if let Some(value) = pod.labels().get(key) {
                let own = LabelSelector::from_labels(&BTreeMap::from([(key.clone(), value.clone())]));
                own.requirements().iter().cloned().for_each(|requirement| selector.require(requirement));
            }
        }
        Constraint {
            topology: constraint.topology_key.clone(),
            skew: i64::from(constraint.max_skew),
            group: Group::Selected(selector),
            min_domains: constraint.min_domains.and_then(|count| usize::try_from(count).ok()).unwrap_or(1),
        }
    };
    listed.filter(|constraint| constraint.when_unsatisfiable == action).map(read).collect()
}

/// Constraints that only prefer; without any in the Pod, the defaults.
// upstream: podtopologyspread/plugin.go systemDefaultConstraints
fn soft(pod: &PodInfo) -> Vec<Constraint> {
    if pod.spec().topology_spread_constraints.iter().flatten().next().is_some() {
        return explicit(pod, "ScheduleAnyway");
    }
    let Some(controller) = controller_of(pod) else { return Vec::new() };
    let defaults = [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)];
    let make = |(topology, skew): (&str, i64)| Constraint { topology: topology.to_owned(), skew, group: Group::Siblings(controller.clone()), min_domains: 1 };
    defaults.map(make).into()
}

/// The constraints that must hold; computed once for all nodes.
pub(crate) struct Spreading<'a> {
    constraints: Vec<(Constraint, BTreeMap<&'a str, i64>, i64, bool)>,
}

impl<'a> Spreading<'a> {
    /// Looks only at nodes that `eligible` says the Pod's node affinity allows.
    pub(crate) fn new(pod: &PodInfo, snapshot: &'a Snapshot, eligible: &dyn Fn(&NodeInfo) -> bool) -> Self {
        let prepare = |constraint: Constraint| {
            let mut domains = constraint.domains(pod, snapshot);
            let reachable: BTreeSet<&str> = snapshot.nodes.iter().filter(|node| eligible(node)).filter_map(|node| node.label(&constraint.topology)).collect();
            domains.retain(|domain, _| reachable.contains(domain));
            let fewest = if domains.len() < constraint.min_domains { 0 } else { domains.values().copied().min().unwrap_or(0) };
            let own = constraint.counts(pod, pod);
            (constraint, domains, fewest, own)
        };
        Self { constraints: explicit(pod, "DoNotSchedule").into_iter().map(prepare).collect() }
    }

    /// Asks one node.
    pub(crate) fn check(&self, node: &NodeInfo) -> Result<(), Rejection> {
        for (constraint, domains, fewest, own) in &self.constraints {
            let Some(domain) = node.label(&constraint.topology) else {
                return Err(Rejection::unresolvable("node(s) didn't match pod topology spread constraints (missing required label)"));
            };
            let count = domains.get(domain).copied().unwrap_or(0);
            if count + i64::from(*own) - fewest > constraint.skew {
                return Err(Rejection::resolvable("node(s) didn't match pod topology spread constraints"));
            }
        }
        Ok(())
    }
}

/// The score of each of the nodes with these indices, 0 to [`MOST`]; all [`MOST`] when nothing is to be spread.
// upstream: podtopologyspread/scoring.go
pub(crate) fn score(pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize]) -> Vec<i64> {
    let constraints = soft(pod);
    let nodes: Vec<&NodeInfo> = feasible.iter().map(|index| &snapshot.nodes[*index]).collect();
    let raw: Vec<f64> = {
        let mut raw = vec![0.0; nodes.len()];
        for constraint in &constraints {
            let domains = constraint.domains(pod, snapshot);
            let size = nodes.iter().filter_map(|node| node.label(&constraint.topology)).collect::<BTreeSet<_>>().len();
            let weight = (size as f64 + 2.0).ln();
            for (score, node) in raw.iter_mut().zip(&nodes) {
                if let Some(count) = node.label(&constraint.topology).and_then(|domain| domains.get(domain)) {
                    *score += *count as f64 * weight + (constraint.skew - 1) as f64;
                }
            }
        }
        raw
    };
    let rounded: Vec<i64> = raw.into_iter().map(|score| score.round() as i64).collect();
    let (least, most) = (rounded.iter().copied().min().unwrap_or(0), rounded.iter().copied().max().unwrap_or(0));
    let normalize = |score: i64| if most == 0 { MOST } else { MOST * (most + least - score) / most };
    rounded.into_iter().map(normalize).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::world::fixtures::{cluster, node, pod};

    fn sibling(name: &str) -> Arc<PodInfo> {
        pod(name, &json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": true}]}}))
    }

    #[test]
    fn siblings_avoid_each_other() {
        let snapshot = cluster(vec![(node("a", &json!({})), vec![sibling("1")]), (node("b", &json!({})), vec![]), (node("c", &json!({})), vec![pod("x", &json!({}))])]);
        let scores = score(&sibling("new"), &snapshot, &[0, 1, 2]);
        assert!(scores[0] < scores[1] && scores[1] == scores[2], "{scores:?}");
    }

    #[test]
    fn hard_constraints_refuse() {
        let constrained = |name: &str| {
            let constraint = json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "a"}}}]);
            pod(name, &json!({"metadata": {"labels": {"app": "a"}}, "spec": {"topologySpreadConstraints": constraint}}))
        };
        let zone = |name: &str| json!({"metadata": {"labels": {"zone": name}}});
        let snapshot = cluster(vec![(node("a", &zone("z1")), vec![constrained("1")]), (node("b", &zone("z2")), vec![]), (node("c", &json!({})), vec![])]);
        let spreading = Spreading::new(&constrained("new"), &snapshot, &|_| true);
        let seen: Vec<_> = snapshot.nodes.iter().map(|node| spreading.check(node).is_ok()).collect();
        assert_eq!(seen, [false, true, false]);
    }
}
