//! Where a Pod goes, or why nowhere.

use std::collections::BTreeMap;

use crate::affinity::Neighbors;
use crate::filter::{self, Rejection};
use crate::pending::Key;
use crate::pod_info::PodInfo;
use crate::score;
use crate::spread::Spreading;
use crate::storage;
use crate::world::{NodeInfo, Snapshot};

/// The answer for one Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The name of the node to bind to.
    Bind(String),
    /// The node, and claims that must get their volumes there before the Pod can be bound.
    Prepare {
        node: String,
        claims: Vec<Key>,
    },
    /// In upstream's words, why no node takes it.
    Nowhere(String),
}

/// Finds the node for a Pod.
pub(crate) fn decide(pod: &PodInfo, snapshot: &Snapshot) -> Decision {
    if snapshot.nodes.is_empty() {
        return Decision::Nowhere("no nodes available to schedule pods".into());
    }
    let needs = match snapshot.storage.needs(pod) {
        Ok(needs) => needs,
        Err(why) => return Decision::Nowhere(explain_all(pod, snapshot.nodes.len(), &why)),
    };
    let taken = snapshot.storage.is_taken(pod, &snapshot.nodes);
    let neighbors = Neighbors::new(pod, snapshot);
    let spreading = Spreading::new(pod, snapshot, &|node| filter::matches_node(pod, node));
    let ask = |node: &NodeInfo| {
        let alone = filter::check(pod, node).and_then(|()| storage::exclusive(taken)).and_then(|()| snapshot.storage.check(&needs, node));
        alone.and_then(|()| spreading.check(node)).and_then(|()| neighbors.check(node))
    };
    let answers: Vec<Result<(), Rejection>> = snapshot.nodes.iter().map(ask).collect();
    let feasible: Vec<usize> = (0..answers.len()).filter(|index| answers[*index].is_ok()).collect();
    let totals = score::totals(pod, snapshot, &feasible);
    match score::best(snapshot, &feasible, &totals) {
        Some(index) => {
            let (node, claims) = (snapshot.nodes[index].name().to_owned(), needs.untold());
            if claims.is_empty() { Decision::Bind(node) } else { Decision::Prepare { node, claims } }
        }
        None => Decision::Nowhere(explain(pod, &answers.into_iter().filter_map(Result::err).collect::<Vec<_>>())),
    }
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable. preemption: …`
// upstream: pkg/scheduler/framework/types.go FitError.Error, preemption/preemption.go
fn explain(pod: &PodInfo, rejections: &[Rejection]) -> String {
    let fit = histogram(rejections.len(), rejections.iter().flat_map(|rejection| &rejection.reasons).map(String::as_str));
    let attempts = rejections.iter().map(|rejection| match rejection.resolvable {
        true => "No preemption victims found for incoming pod",
        false => "Preemption is not helpful for scheduling",
    });
    format!("{fit} {}", preemption(pod, rejections.len(), attempts))
}

/// The same where the reason is the Pod's own, whatever the node.
fn explain_all(pod: &PodInfo, nodes: usize, why: &str) -> String {
    let attempts = (0..nodes).map(|_| "Preemption is not helpful for scheduling");
    format!("0/{nodes} nodes are available: {why}. {}", preemption(pod, nodes, attempts))
}

fn preemption<'a>(pod: &PodInfo, nodes: usize, attempts: impl Iterator<Item = &'a str>) -> String {
    if pod.spec().preemption_policy.as_deref() == Some("Never") {
        return "preemption: not eligible due to preemptionPolicy=Never.".into();
    }
    format!("preemption: {}", histogram(nodes, attempts))
}

fn histogram<'a>(nodes: usize, reasons: impl Iterator<Item = &'a str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_insert(0) += 1;
    }
    let mut lines: Vec<_> = counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    lines.sort();
    format!("0/{nodes} nodes are available: {}.", lines.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::fixtures::{busy, cluster, node, pod};

    #[test]
    fn the_words_are_upstreams() {
        let tainted = json!({"spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}});
        let full = (node("a", &json!({})), vec![busy("x", "2")]);
        for (name, snapshot, new, expected) in [
            ("nothing there", cluster(vec![]), busy("p", "1"), Decision::Nowhere("no nodes available to schedule pods".into())),
            ("fits", cluster(vec![(node("a", &json!({})), vec![])]), busy("p", "1"), Decision::Bind("a".into())),
            (
                "too big",
                cluster(vec![(node("a", &json!({})), vec![])]),
                busy("p", "100"),
                Decision::Nowhere("0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.".into()),
            ),
            (
                "two reasons",
                cluster(vec![full.clone(), full, (node("b", &tainted), vec![])]),
                busy("p", "1"),
                Decision::Nowhere(
                    "0/3 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 2 Insufficient cpu. \
                     preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod."
                        .into(),
                ),
            ),
            (
                "never preempts",
                cluster(vec![(node("a", &json!({})), vec![])]),
                pod("p", &json!({"spec": {"nodeSelector": {"a": "b"}, "preemptionPolicy": "Never"}})),
                Decision::Nowhere("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: not eligible due to preemptionPolicy=Never.".into()),
            ),
        ] {
            assert_eq!(decide(&new, &snapshot), expected, "{name}");
        }
    }
}
