//! How well a Pod would run on each of the nodes that take it.
// upstream: pkg/scheduler/framework/plugins, weights of apis/config/v1/default_plugins.go

use crate::filter::{matches_term, tolerates};
use crate::pod_info::PodInfo;
use crate::world::{NodeInfo, Snapshot};
use crate::{affinity, spread};

/// The best score of one criterion.
pub(crate) const MOST: i64 = 100;

/// The total score of each of the nodes with these indices.
pub(crate) fn totals(pod: &PodInfo, snapshot: &Snapshot, feasible: &[usize]) -> Vec<i64> {
    let nodes: Vec<&NodeInfo> = feasible.iter().map(|index| &snapshot.nodes[*index]).collect();
    let raw = |score: &dyn Fn(&NodeInfo) -> i64| nodes.iter().map(|node| score(node)).collect::<Vec<_>>();
    let neighbors = {
        let all = affinity::preferences(pod, snapshot);
        between(feasible.iter().map(|index| all[*index]).collect())
    };
    let columns = [
        (1, raw(&|node| least_allocated(pod, node))),
        (1, raw(&|node| balanced(pod, node))),
        (3, reversed(raw(&|node| soft_taints(pod, node)))),
        (2, proportional(raw(&|node| node_preference(pod, node)))),
        (2, spread::score(pod, snapshot, feasible)),
        (2, neighbors),
    ];
    (0..nodes.len()).map(|index| columns.iter().map(|(weight, column)| weight * column[index]).sum()).collect()
}

/// The index of the best node: the highest score, then the fewest Pods, then the first in the order of names.
pub(crate) fn best(snapshot: &Snapshot, feasible: &[usize], totals: &[i64]) -> Option<usize> {
    let ranked = feasible.iter().zip(totals);
    let best = ranked.max_by(|(one, score), (other, other_score)| {
        let crowd = |index: usize| snapshot.nodes[index].pods.len();
        score.cmp(other_score).then_with(|| crowd(**other).cmp(&crowd(**one))).then_with(|| other.cmp(one))
    });
    best.map(|(index, _)| *index)
}

/// The free share, the mean of CPU and memory.
// upstream: noderesources/least_allocated.go
fn least_allocated(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let free = |capacity: i64, requested: i64| if capacity == 0 || requested > capacity { 0 } else { (capacity - requested) * MOST / capacity };
    let cpu = free(node.allocatable.get("cpu"), node.weight.0 + pod.weight.0);
    let memory = free(node.allocatable.get("memory"), node.weight.1 + pod.weight.1);
    i64::midpoint(cpu, memory)
}

/// How evenly CPU and memory would be used.
// upstream: noderesources/balanced_allocation.go
fn balanced(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let share = |name: &str| {
        let capacity = node.allocatable.get(name);
        let used = node.requested.get(name) + pod.requests.get(name);
        if capacity == 0 { 1.0 } else { (used as f64 / capacity as f64).min(1.0) }
    };
    let deviation = ((share("cpu") - share("memory")) / 2.0).abs();
    ((1.0 - deviation) * MOST as f64) as i64
}

/// How many `PreferNoSchedule` taints the Pod does not tolerate.
fn soft_taints(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    let soft = node.taints().iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let count = soft.filter(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint))).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The weights of the preferred node affinity terms that the node fulfils.
fn node_preference(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let affinity = pod.spec().affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let terms = affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default();
    terms.iter().filter(|term| matches_term(&term.preference, node)).map(|term| i64::from(term.weight)).sum()
}

/// The highest becomes [`MOST`].
fn proportional(scores: Vec<i64>) -> Vec<i64> {
    let most = scores.iter().copied().max().unwrap_or(0);
    if most == 0 { scores } else { scores.into_iter().map(|score| score * MOST / most).collect() }
}

/// The lowest becomes the best.
fn reversed(scores: Vec<i64>) -> Vec<i64> {
    proportional(scores).into_iter().map(|score| MOST - score).collect()
}

/// The lowest becomes nothing, the highest [`MOST`].
fn between(scores: Vec<i64>) -> Vec<i64> {
    let (least, most) = (scores.iter().copied().min().unwrap_or(0), scores.iter().copied().max().unwrap_or(0));
    if most == least { vec![0; scores.len()] } else { scores.into_iter().map(|score| MOST * (score - least) / (most - least)).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::world::fixtures::{busy, cluster, node, pod};

    fn choice(pod: &PodInfo, snapshot: &Snapshot) -> String {
        let feasible: Vec<usize> = (0..snapshot.nodes.len()).collect();
        let totals = totals(pod, snapshot, &feasible);
        snapshot.nodes[best(snapshot, &feasible, &totals).expect("a node")].name().to_owned()
    }

    #[test]
    fn the_better_node_wins() {
        let plain = json!({});
        let prefers = |name: &str| {
            let term = json!({"weight": 10, "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [name]}]}});
            pod("p", &json!({"spec": {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}}}))
        };
        let near = |kind: &str| -> Value {
            let term = json!({"weight": 50, "podAffinityTerm": {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}});
            json!({"spec": {"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}}})
        };
        let database = pod("db", &json!({"metadata": {"labels": {"app": "db"}}}));
        let soft = json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}});
        for (name, first, second, new, expected) in [
            ("all equal: by name", (plain.clone(), vec![]), (plain.clone(), vec![]), pod("p", &plain), "a"),
            ("the emptier", (plain.clone(), vec![busy("x", "1")]), (plain.clone(), vec![]), pod("p", &plain), "b"),
            ("soft taint", (soft, vec![]), (plain.clone(), vec![]), pod("p", &plain), "b"),
            ("preferred", (plain.clone(), vec![]), (plain.clone(), vec![]), prefers("b"), "b"),
            ("near a friend", (plain.clone(), vec![]), (plain.clone(), vec![database.clone()]), pod("p", &near("podAffinity")), "b"),
            ("far from a rival", (plain.clone(), vec![database.clone()]), (plain.clone(), vec![]), pod("p", &near("podAntiAffinity")), "b"),
        ] {
            let snapshot = cluster(vec![(node("a", &first.0), first.1), (node("b", &second.0), second.1)]);
            assert_eq!(choice(&new, &snapshot), expected, "{name}");
        }
    }
}
