//! The way back, as a plan: what was and what is go in, writes and Pods to stop come out. Nothing here touches anything.
//!
//! * The difference is committed, nothing else is written. Old uids stay. Times move forward by what has passed.
//! * Leases are about the present and stay. Of Nodes, what people set comes back (labels, taints, cordons); what they report stays.
//! * A Pod that is the same but for its status goes on undisturbed. One that was changed, deleted or replaced is stopped and runs anew;
//!   one that had finished stays finished. New ones are stopped and go.

use std::collections::BTreeSet;

use bytes::Bytes;
use drydock_store::{Difference, Expect, Op, Snapshot};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::ages::shift;
use super::words::{Change, Verb};

/// Where Pods and Nodes are, and what stays as it is.
pub(super) const PODS: &str = "/registry/pods/";
const NODES: &str = "/registry/nodes/";
const LEASES: &str = "/registry/coordination.k8s.io/leases/";

/// A Pod on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Running {
    pub(super) node: String,
    pub(super) uid: String,
}

/// The way back.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Deletions of objects whose name another object takes: watchers have to see them go first.
    pub(super) first: Vec<Op>,
    /// Everything else.
    pub(super) then: Vec<Op>,
    /// Pods to stop before that.
    pub(super) halts: BTreeSet<Running>,
    /// What it comes to.
    pub(super) changes: Vec<Change>,
}

/// What becomes of one object.
enum Fate {
    Stays,
    Goes,
    /// It comes back like this; `stop` says that what runs under its uid is stopped before.
    Comes { object: Value, stop: bool },
}

/// Plan the way from `now` back to `then`, which was `passed` ago, in a cluster that has these nodes.
pub(super) fn plan(then: &Snapshot, now: &Snapshot, passed: SignedDuration, nodes: &BTreeSet<String>) -> Plan {
    let mut plan = Plan::default();
    for difference in then.differences(now) {
        let same = difference.then.as_ref().zip(difference.now.as_ref()).is_some_and(|(then, now)| then.bytes == now.bytes);
        if !same && !difference.key.starts_with(LEASES) {
            plan.add(&difference, passed, nodes);
        }
    }
    plan
}

impl Plan {
    fn add(&mut self, difference: &Difference, passed: SignedDuration, nodes: &BTreeSet<String>) {
        let decode = |entry: &Option<drydock_store::Entry>| entry.as_ref().and_then(|entry| serde_json::from_slice::<Value>(&entry.bytes).ok());
        let (then, now) = (decode(&difference.then), decode(&difference.now));
        let fate = if difference.key.starts_with(PODS) {
            pod(then, now.as_ref(), passed, nodes)
        } else if difference.key.starts_with(NODES) {
            node(then, now.as_ref(), passed, nodes)
        } else {
            match then {
                Some(mut object) => {
                    shift(&mut object, passed);
                    Fate::Comes { object, stop: false }
                }
                None => Fate::Goes,
            }
        };
        self.put(difference, now.as_ref(), fate);
    }

    fn put(&mut self, difference: &Difference, now: Option<&Value>, fate: Fate) {
        let key = difference.key.to_string();
        let expect = difference.now.as_ref().map_or(Expect::Absent, |entry| Expect::Revision(entry.revision));
        match (fate, now) {
            (Fate::Stays, _) | (Fate::Goes, None) => {}
            (Fate::Goes, Some(now)) => {
                self.halt(now);
                self.changes.extend(Change::of(Verb::Deleted, now));
                self.then.push(Op::Delete { key, expect });
            }
            (Fate::Comes { object, stop }, None) => {
                if stop {
                    self.halt(&object);
                }
                self.changes.extend(Change::of(Verb::Restored, &object));
                self.then.push(Op::Put { key, bytes: encode(&object), expect });
            }
            (Fate::Comes { object, stop }, Some(now)) => {
                let replaced = object["metadata"]["uid"] != now["metadata"]["uid"];
                let verb = match (replaced, stop) {
                    (true, _) => Some(Verb::Restored),
                    (false, true) => Some(Verb::Restarted),
                    (false, false) => (essence(&object) != essence(now)).then_some(Verb::ChangedBack),
                };
                self.changes.extend(verb.and_then(|verb| Change::of(verb, &object)));
                if stop {
                    self.halt(now);
                    self.halt(&object);
                }
                let expect = if replaced {
                    self.first.push(Op::Delete { key: key.clone(), expect });
                    Expect::Absent
                } else {
                    expect
                };
                self.then.push(Op::Put { key, bytes: encode(&object), expect });
            }
        }
    }

    fn halt(&mut self, object: &Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        if object["kind"] == "Pod"
            && let (Some(node), Some(uid)) = (text("/spec/nodeName"), text("/metadata/uid"))
        {
            self.halts.insert(Running { node, uid });
        }
    }
}

fn encode(object: &Value) -> Bytes {
    Bytes::from(object.to_string())
}

/// An object without what changes by itself.
fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in ["managedFields", "creationTimestamp", "generation"] {
            metadata.remove(field);
        }
    }
    object
}

/// Whether a Pod runs no more, for good.
pub(super) fn is_finished(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn is_leaving(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn pod(then: Option<Value>, now: Option<&Value>, passed: SignedDuration, nodes: &BTreeSet<String>) -> Fate {
    let Some(mut object) = then else { return Fate::Goes };
    let Some(now) = now else {
        // What was leaving has left.
        return if is_leaving(&object) { Fate::Stays } else { Fate::Comes { object: anew(object, passed, nodes), stop: true } };
    };
    let same = object["metadata"]["uid"] == now["metadata"]["uid"] && is_leaving(&object) == is_leaving(now) && object["spec"] == now["spec"];
    if !same || is_finished(&object) != is_finished(now) {
        return Fate::Comes { object: anew(object, passed, nodes), stop: true };
    }
    if essence(&object) == essence(now) {
        return Fate::Stays;
    }
    // Only what is written on it: it goes on, with the times it has.
    object["status"] = now["status"].clone();
    object["metadata"]["creationTimestamp"] = now["metadata"]["creationTimestamp"].clone();
    Fate::Comes { object, stop: false }
}

/// A Pod as it starts again: nothing of it runs yet.
fn anew(mut pod: Value, passed: SignedDuration, nodes: &BTreeSet<String>) -> Value {
    shift(&mut pod, passed);
    if is_finished(&pod) {
        return pod;
    }
    let homeless = pod["spec"]["nodeName"].as_str().is_some_and(|node| !nodes.contains(node));
    if let Some(spec) = pod["spec"].as_object_mut().filter(|_| homeless) {
        spec.remove("nodeName");
    }
    let mut status = json!({"phase": "Pending"});
    if let Some(class) = pod["status"].get("qosClass") {
        status["qosClass"] = class.clone();
    }
    let scheduled = |condition: &&Value| condition["type"] == "PodScheduled" && !homeless;
    let conditions: Vec<Value> = pod["status"]["conditions"].as_array().into_iter().flatten().filter(scheduled).cloned().collect();
    if !conditions.is_empty() {
        status["conditions"] = json!(conditions);
    }
    pod["status"] = status;
    pod
}

/// What people set on a Node, beside what it reports.
fn node(then: Option<Value>, now: Option<&Value>, passed: SignedDuration, nodes: &BTreeSet<String>) -> Fate {
    let exists = |node: &Value| node["metadata"]["name"].as_str().is_some_and(|name| nodes.contains(name));
    let (mut then, now) = match (then, now) {
        (None, Some(now)) => return if exists(now) { Fate::Stays } else { Fate::Goes },
        (Some(mut then), None) if exists(&then) => {
            shift(&mut then, passed);
            return Fate::Comes { object: then, stop: false };
        }
        (Some(then), Some(now)) => (then, now),
        _ => return Fate::Stays,
    };
    let mut object = now.clone();
    for field in ["labels", "annotations"] {
        object["metadata"][field] = then["metadata"][field].take();
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        let of_people = |taint: &Value| !taint["key"].as_str().is_some_and(|key| key.starts_with("node.kubernetes.io/") && key != "node.kubernetes.io/unschedulable");
        let taints = |spec: &Value, wanted: bool| -> Vec<Value> {
            spec["taints"].as_array().into_iter().flatten().filter(|taint| of_people(taint) == wanted).cloned().collect()
        };
        let merged: Vec<Value> = taints(&then["spec"], true).into_iter().chain(taints(&now["spec"], false)).collect();
        spec.remove("taints");
        if !merged.is_empty() {
            spec.insert("taints".into(), json!(merged));
        }
        spec.remove("unschedulable");
        if let Some(cordoned) = then["spec"].get("unschedulable") {
            spec.insert("unschedulable".into(), cordoned.clone());
        }
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|_, value| !value.is_null());
    }
    if object == *now { Fate::Stays } else { Fate::Comes { object, stop: false } }
}

/// A plan that makes everything older.
pub(super) fn older(now: &Snapshot, by: SignedDuration) -> Vec<Op> {
    let mut ops = Vec::new();
    for (key, entry) in now.range("/registry/").filter(|(key, _)| !key.starts_with(LEASES)) {
        let Ok(before) = serde_json::from_slice::<Value>(&entry.bytes) else { continue };
        let mut object = before.clone();
        shift(&mut object, -by);
        if object != before {
            ops.push(Op::Put { key: key.to_string(), bytes: encode(&object), expect: Expect::Revision(entry.revision) });
        }
    }
    ops
}
