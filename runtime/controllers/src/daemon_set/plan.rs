//! What to do next about the Pods of a DaemonSet. Pure: nothing here speaks to the API.
// upstream: pkg/controller/daemon/daemon_controller.go podsShouldBeOnNode, update.go rollingUpdate

use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::clock::after;
use drydock_primitives::int_or_string::{IntOrString, Round};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString as ApiIntOrString;
use kube::ResourceExt;

use super::nodes::Answer;
use super::{FAILED_FOR, Fleet};
use crate::pod;
use crate::recorder::Kind;

/// One step.
#[derive(Default)]
pub(super) struct Plan {
    /// Nodes that get a Pod.
    pub(super) create: Vec<String>,
    /// Pods that go.
    pub(super) delete: Vec<Arc<Pod>>,
    /// Events that say why.
    pub(super) notes: Vec<(Kind, &'static str, String)>,
    /// When to look again, if not before.
    pub(super) again: Option<Duration>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }
}

/// A Pod where one is missing, none where there should be none, one where there are several.
pub(super) fn manage(fleet: &Fleet) -> Plan {
    let mut plan = Plan::default();
    let place = fleet.place();
    for node in &fleet.nodes {
        let name = node.name_any();
        let pods = fleet.on(&name);
        match place.ask(node) {
            Answer::Run if pods.is_empty() => plan.create.push(name),
            answer @ (Answer::Run | Answer::Stay) => keep_one(fleet, node, pods, answer, &mut plan),
            Answer::Leave => plan.delete.extend(living(pods).cloned()),
        }
    }
    // Pods that wait for a node there is no more.
    for (name, pods) in &fleet.pods {
        if !fleet.nodes.iter().any(|node| node.name_any() == *name) {
            plan.delete.extend(living(pods).filter(|pod| pod::node(pod).is_empty()).cloned());
        }
    }
    plan
}

fn living(pods: &[Arc<Pod>]) -> impl Iterator<Item = &Arc<Pod>> {
    pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none())
}

fn keep_one(fleet: &Fleet, node: &Node, pods: &[Arc<Pod>], answer: Answer, plan: &mut Plan) {
    let name = node.name_any();
    let mut running: Vec<&Arc<Pod>> = Vec::new();
    for pod in living(pods) {
        let whose = format!("{}/{} on node {name}", pod.namespace().unwrap_or_default(), pod.name_any());
        match pod::phase(pod) {
            "Failed" => {
                let created = pod.metadata.creation_timestamp.as_ref().map(|time| after(time.0, FAILED_FOR));
                if let Some(wait) = created.and_then(|time| Duration::try_from(time.duration_since(fleet.now)).ok()).filter(|wait| !wait.is_zero()) {
                    plan.again = plan.again.into_iter().chain([wait]).min();
                    continue;
                }
                plan.notes.push((Kind::Warning, "FailedDaemonPod", format!("Found failed daemon pod {whose}, will try to kill it")));
                plan.delete.push(Arc::clone(pod));
            }
            "Succeeded" => {
                plan.notes.push((Kind::Normal, "SucceededDaemonPod", format!("Found succeeded daemon pod {whose}, will try to delete it")));
                plan.delete.push(Arc::clone(pod));
            }
            _ => running.push(pod),
        }
    }
    if limits(fleet).surge == 0 {
        plan.delete.extend(running.into_iter().skip(1).cloned());
    } else if running.is_empty() && answer == Answer::Run {
        // One that leaves does not count while another may stand beside it.
        plan.create.push(name);
    } else {
        keep_pair(fleet, &running, plan);
    }
}

/// While surging, an old and a new Pod may stand side by side until the new one is available.
fn keep_pair(fleet: &Fleet, running: &[&Arc<Pod>], plan: &mut Plan) {
    let (new, old): (Vec<&Arc<Pod>>, Vec<&Arc<Pod>>) = running.iter().partition(|pod| fleet.is_current(pod));
    plan.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).map(|pod| Arc::clone(pod)));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!pod::is_ready(old) || fleet.is_available(new))
    {
        plan.delete.push(Arc::clone(old));
    }
}

/// How many Pods may be missing or too many during an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) surge: usize,
    pub(super) unavailable: usize,
}

// upstream: pkg/controller/daemon/update.go updatedDesiredNodeCounts
pub(super) fn limits(fleet: &Fleet) -> Limits {
    let place = fleet.place();
    let desired = fleet.nodes.iter().filter(|node| place.ask(node) == Answer::Run).count();
    let rolling = fleet.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let resolve = |value: Option<&ApiIntOrString>| {
        let value = match value {
            None => return 0,
            Some(ApiIntOrString::Int(number)) => IntOrString::Int(*number),
            Some(ApiIntOrString::String(text)) => IntOrString::String(text.clone()),
        };
        let number = value.scaled(i32::try_from(desired).unwrap_or(i32::MAX), Round::Up).unwrap_or(0);
        usize::try_from(number).unwrap_or(0)
    };
    let surge = resolve(rolling.and_then(|rolling| rolling.max_surge.as_ref()));
    let unavailable = resolve(rolling.and_then(|rolling| rolling.max_unavailable.as_ref()));
    if surge == 0 && unavailable == 0 { Limits { surge, unavailable: 1 } } else { Limits { surge, unavailable } }
}

/// The Pods of one node as an update sees them.
struct Pair<'a> {
    new: Option<&'a Arc<Pod>>,
    old: Option<&'a Arc<Pod>>,
}

impl<'a> Pair<'a> {
    /// None when there are several of a kind: they are put in order first.
    fn find(fleet: &Fleet, pods: &'a [Arc<Pod>]) -> Option<Self> {
        let (new, old): (Vec<_>, Vec<_>) = living(pods).partition(|pod| fleet.is_current(pod));
        (new.len() <= 1 && old.len() <= 1).then(|| Self { new: new.first().copied(), old: old.first().copied() })
    }
}

/// Pods of earlier templates make room, never more at a time than the strategy allows.
pub(super) fn roll(fleet: &Fleet) -> Plan {
    let place = fleet.place();
    let mut names: Vec<String> = fleet.pods.keys().cloned().collect();
    names.extend(fleet.nodes.iter().filter(|node| place.ask(node) == Answer::Run).map(|node| node.name_any()));
    names.sort();
    names.dedup();
    let limits = limits(fleet);
    if limits.surge == 0 { roll_within(fleet, &names, limits.unavailable) } else { roll_over(fleet, &names, limits.surge) }
}

/// Old Pods go first, and new ones come where they were.
fn roll_within(fleet: &Fleet, names: &[String], most: usize) -> Plan {
    let (mut unavailable, mut broken, mut candidates) = (0, Vec::new(), Vec::new());
    for name in names {
        match Pair::find(fleet, fleet.on(name)) {
            Some(Pair { new: Some(new), old: None }) => unavailable += usize::from(!fleet.is_available(new)),
            Some(Pair { new: None, old: Some(old) }) if fleet.is_available(old) => candidates.push(Arc::clone(old)),
            Some(Pair { new: None, old: Some(old) }) => {
                broken.push(Arc::clone(old));
                unavailable += 1;
            }
            Some(_) | None => unavailable += 1,
        }
    }
    candidates.truncate(most.saturating_sub(unavailable));
    broken.extend(candidates);
    Plan { delete: broken, ..Plan::default() }
}

/// New Pods come first, and old ones go when they are available.
fn roll_over(fleet: &Fleet, names: &[String], most: usize) -> Plan {
    let mut plan = Plan::default();
    let (mut surging, mut candidates) = (0, Vec::new());
    for name in names {
        match Pair::find(fleet, fleet.on(name)) {
            Some(Pair { new: None, old: Some(old) }) if fleet.is_available(old) => candidates.push(name.clone()),
            Some(Pair { new: None, old: Some(_) }) => plan.create.push(name.clone()),
            Some(Pair { new: Some(new), old: Some(old) }) if fleet.is_available(new) => plan.delete.push(Arc::clone(old)),
            Some(Pair { new: _, old: None }) => {}
            Some(_) | None => surging += 1,
        }
    }
    candidates.truncate(most.saturating_sub(surging));
    plan.create.extend(candidates);
    plan
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::apps::v1::DaemonSet;
    use serde_json::{Value, json};

    use super::*;
    use crate::daemon_set::{HASH_LABEL, by_node};

    fn node(name: &str) -> Arc<Node> {
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name}})).expect("a Node"))
    }

    /// `name@node hash state`: states are `ready`, `waits`, `Failed`, `Succeeded` and `leaves`.
    fn pod(text: &str) -> Arc<Pod> {
        let parts: Vec<&str> = text.split([' ', '@']).collect();
        let (phase, ready) = match parts[3] {
            "ready" | "leaves" => ("Running", "True"),
            "waits" => ("Pending", "False"),
            phase => (phase, "False"),
        };
        let mut object = json!({
            "metadata": {"name": parts[0], "namespace": "default", "uid": parts[0], "labels": {HASH_LABEL: parts[2]}, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": parts[1], "containers": []},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]},
        });
        if parts[3] == "leaves" {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Arc::new(serde_json::from_value(object).expect("a Pod"))
    }

    fn fleet(nodes: &[&str], pods: &[&str], rolling: &Value) -> Fleet {
        let pods: Vec<_> = pods.iter().map(|text| pod(text)).collect();
        let set: DaemonSet = serde_json::from_value(json!({
            "metadata": {"name": "d"},
            "spec": {"selector": {}, "template": {"spec": {"containers": []}}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}},
        }))
        .expect("a DaemonSet");
        let by_node: BTreeMap<_, _> = by_node(&pods);
        Fleet {
            spec: set.spec.clone().expect("a spec"),
            set,
            nodes: nodes.iter().map(|name| node(name)).collect(),
            pods: by_node,
            hash: "new".into(),
            now: "2026-01-01T00:00:10Z".parse().expect("a time"),
        }
    }

    fn said(plan: &Plan) -> (Vec<&str>, Vec<String>) {
        (plan.create.iter().map(String::as_str).collect(), plan.delete.iter().map(|pod| pod.name_any()).collect())
    }

    #[test]
    fn each_node_gets_one() {
        let plain = json!({"maxUnavailable": 1, "maxSurge": 0});
        let surge = json!({"maxUnavailable": 0, "maxSurge": 1});
        for (name, nodes, pods, rolling, create, delete) in [
            ("nothing there", &["a", "b"][..], &[][..], &plain, &["a", "b"][..], &[][..]),
            ("all there", &["a"], &["p@a new ready"], &plain, &[], &[]),
            ("too many", &["a"], &["p@a new ready", "q@a new ready"], &plain, &[], &["q"]),
            ("failed", &["a"], &["p@a new Failed"], &plain, &[], &["p"]),
            ("ended", &["a"], &["p@a new Succeeded"], &plain, &[], &["p"]),
            ("one leaves", &["a"], &["p@a new leaves"], &plain, &[], &[]),
            ("one leaves while surging", &["a"], &["p@a old leaves"], &surge, &["a"], &[]),
            ("old beside new that waits", &["a"], &["p@a old ready", "q@a new waits"], &surge, &[], &[]),
            ("old beside new that is ready", &["a"], &["p@a old ready", "q@a new ready"], &surge, &[], &["p"]),
            ("broken old beside new", &["a"], &["p@a old waits", "q@a new waits"], &surge, &[], &["p"]),
        ] {
            let plan = manage(&fleet(nodes, pods, rolling));
            let (created, deleted) = said(&plan);
            assert_eq!((created.as_slice(), deleted.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), (create, delete), "{name}");
        }
    }

    #[test]
    fn updates_keep_within_their_limits() {
        let within = |most: Value| json!({"maxUnavailable": most, "maxSurge": 0});
        let over = |most: Value| json!({"maxUnavailable": 0, "maxSurge": most});
        let old = ["p@a old ready", "q@b old ready", "r@c old ready"];
        let nodes = &["a", "b", "c"][..];
        for (name, pods, rolling, create, delete) in [
            ("one at a time", old.to_vec(), within(json!(1)), &[][..], &["p"][..]),
            ("two at a time", old.to_vec(), within(json!(2)), &[], &["p", "q"]),
            ("a share is rounded up", old.to_vec(), within(json!("34%")), &[], &["p", "q"]),
            ("broken ones go anyway", vec!["p@a old waits", "q@b old ready", "r@c old ready"], within(json!(1)), &[], &["p"]),
            ("the new one is waited for", vec!["p@a new waits", "q@b old ready", "r@c old ready"], within(json!(1)), &[], &[]),
            ("then the next", vec!["p@a new ready", "q@b old ready", "r@c old ready"], within(json!(1)), &[], &["q"]),
            ("a gap counts", vec!["q@b old ready", "r@c old ready"], within(json!(1)), &[], &[]),
            ("beside the old one", old.to_vec(), over(json!(1)), &["a"], &[]),
            ("not two at once", vec!["p@a old ready", "n@a new waits", "q@b old ready", "r@c old ready"], over(json!(1)), &[], &[]),
            ("the old one goes", vec!["p@a old ready", "n@a new ready", "q@b old ready", "r@c old ready"], over(json!(1)), &["b"], &["p"]),
            ("all done", vec!["p@a new ready", "q@b new ready", "r@c new ready"], within(json!(1)), &[], &[]),
        ] {
            let plan = roll(&fleet(nodes, &pods, &rolling));
            let (created, deleted) = said(&plan);
            assert_eq!((created.as_slice(), deleted.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), (create, delete), "{name}");
        }
    }
}
