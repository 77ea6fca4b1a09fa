//! Tables: what is known about a Pod's containers, and what its status says.

use super::*;
use crate::kubelet::state::{Ended, Sandbox, Step};
use serde_json::json;

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

fn attempt(exit: Option<i32>) -> Attempt {
    let reason = if exit == Some(0) { "Completed" } else { "Error" };
    Attempt {
        id: "abc".into(),
        sandbox: "s".into(),
        number: 2,
        image: "docker.io/library/busybox:latest".into(),
        image_id: "docker.io/library/busybox@sha256:1".into(),
        created: now(),
        started: Some(now()),
        exit: exit.map(|code| Ended { code, reason: reason.into(), message: None, at: now(), lost: code == 255 }),
    }
}

fn state(slots: &[(&str, Slot)]) -> PodState {
    PodState {
        volumes: Step::Done,
        sandbox: Some(Sandbox { id: "s".into(), ip: "10.0.0.1".into() }),
        pod_ip: Some("10.0.0.1".into()),
        slots: slots.iter().map(|(name, slot)| ((*name).to_owned(), slot.clone())).collect(),
        ..PodState::default()
    }
}

fn slot(current: Option<Option<i32>>) -> Slot {
    Slot { current: current.map(attempt), started: true, ready: true, ..Slot::default() }
}

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": spec})).unwrap()
}

fn condition<'a>(status: &'a PodStatus, type_: &str) -> &'a PodCondition {
    status.conditions.as_ref().unwrap().iter().find(|condition| condition.type_ == type_).unwrap()
}

const RUNNING: Option<Option<i32>> = Some(None);
const OK: Option<Option<i32>> = Some(Some(0));
const FAILED: Option<Option<i32>> = Some(Some(1));
/// It ran when the node lost power.
const LOST: Option<Option<i32>> = Some(Some(255));

#[test]
fn phase_and_readiness_follow_the_containers() {
    let waiting = Slot { waiting: Some(Waiting::new("ErrImagePull", "no")), ..slot(None) };
    let crashing = Slot { waiting: Some(Waiting::new("CrashLoopBackOff", "back-off")), ..slot(FAILED) };
    for (policy, slots, phase, ready, reason) in [
        ("Always", vec![slot(None)], "Pending", "False", Some("ContainersNotReady")),
        ("Always", vec![slot(RUNNING)], "Running", "True", None),
        ("Always", vec![slot(RUNNING), slot(None)], "Pending", "False", Some("ContainersNotReady")),
        ("Always", vec![slot(RUNNING), Slot { ready: false, ..slot(RUNNING) }], "Running", "False", Some("ContainersNotReady")),
        ("Always", vec![waiting], "Pending", "False", Some("ContainersNotReady")),
        ("Always", vec![crashing], "Running", "False", Some("ContainersNotReady")),
        ("Always", vec![slot(OK)], "Running", "False", Some("ContainersNotReady")),
        ("OnFailure", vec![slot(FAILED)], "Running", "False", Some("ContainersNotReady")),
        ("OnFailure", vec![slot(OK)], "Succeeded", "False", Some("PodCompleted")),
        ("Never", vec![slot(OK)], "Succeeded", "False", Some("PodCompleted")),
        ("Never", vec![slot(FAILED)], "Failed", "False", Some("PodFailed")),
        ("Never", vec![slot(LOST)], "Running", "False", Some("ContainersNotReady")),
        ("OnFailure", vec![slot(LOST)], "Running", "False", Some("ContainersNotReady")),
        ("Never", vec![slot(OK), slot(RUNNING)], "Running", "False", Some("ContainersNotReady")),
    ] {
        let names = ["a", "b"];
        let containers: Vec<_> = names[..slots.len()].iter().map(|name| json!({"name": name})).collect();
        let pod = pod(json!({"restartPolicy": policy, "containers": containers}));
        let named: Vec<(&str, Slot)> = names.into_iter().zip(slots).collect();
        let status = pod_status(&pod, &state(&named), &PodStatus::default(), "172.30.1.1", now());
        let condition = condition(&status, "Ready");
        assert_eq!(
            (status.phase.as_deref().unwrap(), condition.status.as_str(), condition.reason.as_deref()),
            (phase, ready, reason),
            "{policy} {named:?}"
        );
    }
}

#[test]
fn a_crashing_container_waits_and_remembers() {
    let pod = pod(json!({"containers": [{"name": "c", "image": "busybox"}]}));
    let crashing = Slot { waiting: Some(Waiting::new("CrashLoopBackOff", "back-off")), ..slot(FAILED) };
    let status = pod_status(&pod, &state(&[("c", crashing)]), &PodStatus::default(), "172.30.1.1", now());
    let value = serde_json::to_value(&status.container_statuses.unwrap()[0]).unwrap();
    assert_eq!(value["restartCount"], 2);
    assert_eq!(value["started"], false);
    assert_eq!(value["containerID"], "drydock://abc");
    assert_eq!(value["state"], json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}));
    assert_eq!(value["lastState"]["terminated"]["reason"], "Error");
    assert_eq!(value["lastState"]["terminated"]["exitCode"], 1);
}

#[test]
fn init_containers_hold_back_the_others() {
    let pod = pod(json!({"initContainers": [{"name": "i"}], "containers": [{"name": "c", "image": "busybox"}]}));
    let status = pod_status(&pod, &state(&[("i", slot(RUNNING))]), &PodStatus::default(), "172.30.1.1", now());
    assert_eq!(status.phase.as_deref(), Some("Pending"));
    let initialized = condition(&status, "Initialized");
    assert_eq!(initialized.reason.as_deref(), Some("ContainersNotInitialized"));
    let waiting = status.container_statuses.as_ref().unwrap()[0].state.as_ref().unwrap().waiting.as_ref().unwrap();
    assert_eq!(waiting.reason.as_deref(), Some("PodInitializing"));
    let done = pod_status(&pod, &state(&[("i", slot(OK)), ("c", slot(RUNNING))]), &status, "172.30.1.1", now());
    assert_eq!(condition(&done, "Initialized").status, "True");
    assert!(done.init_container_statuses.unwrap()[0].ready);
}

#[test]
fn conditions_of_others_and_old_transition_times_stay() {
    let pod = pod(json!({"containers": [{"name": "c"}]}));
    let old: PodStatus = serde_json::from_value(json!({"conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2025-01-01T00:00:00Z"},
        {"type": "Ready", "status": "True", "lastTransitionTime": "2025-01-01T00:00:01Z"},
        {"type": "example.com/gate", "status": "False"},
    ]})).unwrap();
    let status = pod_status(&pod, &state(&[("c", slot(RUNNING))]), &old, "172.30.1.1", now());
    let types: Vec<&str> = status.conditions.iter().flatten().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", "example.com/gate"]);
    let ready = serde_json::to_value(condition(&status, "Ready")).unwrap();
    assert_eq!(ready["lastTransitionTime"], "2025-01-01T00:00:01Z");
}
