//! Tables: a Pod and what happened to its containers, and what the kubelet does next.

use super::*;
use crate::kubelet::state::{Attempt, Ended, Sandbox, Step};
use serde_json::json;

fn now() -> Timestamp {
    "2026-01-01T00:10:00Z".parse().unwrap()
}

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": spec})).unwrap()
}

fn attempt(exit: Option<i32>) -> Attempt {
    Attempt {
        id: "a".into(),
        sandbox: "s".into(),
        number: 0,
        image: "i".into(),
        image_id: "i".into(),
        created: now(),
        started: Some(now()),
        exit: exit.map(|code| Ended { code, reason: "Error".into(), message: None, at: now(), lost: code == 255 }),
    }
}

fn state(slots: &[(&str, Option<Option<i32>>)]) -> PodState {
    let mut state = PodState { volumes: Step::Done, sandbox: Some(Sandbox { id: "s".into(), ip: "10.0.0.1".into() }), ..PodState::default() };
    for (name, current) in slots {
        *state.slot_mut(name) = Slot { current: current.map(attempt), image: ImageState::Here, started: true, ..Slot::default() };
    }
    state
}

const MISSING: Option<Option<i32>> = None;
const RUNNING: Option<Option<i32>> = Some(None);
const OK: Option<Option<i32>> = Some(Some(0));
const FAILED: Option<Option<i32>> = Some(Some(1));
/// It ran when the node lost power.
const LOST: Option<Option<i32>> = Some(Some(255));

#[test]
fn what_is_started_again_depends_on_the_restart_policy() {
    for (policy, current, expected) in [
        ("Always", MISSING, true),
        ("Always", RUNNING, false),
        ("Always", OK, true),
        ("Always", FAILED, true),
        ("OnFailure", OK, false),
        ("OnFailure", FAILED, true),
        // A container removed behind Kubernetes' back comes back even under Never; one that ended does not.
        ("Never", MISSING, true),
        ("Never", OK, false),
        ("Never", FAILED, false),
        // Nor does one that was running when the node lost power: it has not ended.
        ("OnFailure", LOST, true),
        ("Never", LOST, true),
    ] {
        let pod = pod(json!({"restartPolicy": policy, "containers": [{"name": "c"}, {"name": "other"}]}));
        let plan = plan(&pod, &state(&[("c", current), ("other", RUNNING)]), now());
        let starts = plan.actions.contains(&Action::Start(Kind::Regular, "c".into()));
        assert_eq!(starts, expected, "{policy} {current:?}: {plan:?}");
    }
}

#[test]
fn a_pod_is_built_from_the_bottom_up() {
    let pod = pod(json!({
        "initContainers": [{"name": "first"}, {"name": "side", "restartPolicy": "Always"}, {"name": "second"}],
        "containers": [{"name": "c"}],
    }));
    let empty = PodState::default();
    assert_eq!(plan(&pod, &empty, now()).actions, [Action::PrepareVolumes]);
    let mounted = PodState { volumes: Step::Done, ..PodState::default() };
    assert_eq!(plan(&pod, &mounted, now()).actions, [Action::CreateSandbox]);
    let start = |kind, name: &str| vec![Action::Start(kind, name.into())];
    for (slots, expected) in [
        (vec![("first", MISSING)], start(Kind::Init, "first")),
        (vec![("first", RUNNING)], vec![]),
        (vec![("first", FAILED)], start(Kind::Init, "first")),
        (vec![("first", OK), ("side", MISSING)], start(Kind::Sidecar, "side")),
        (vec![("first", OK), ("side", RUNNING), ("second", MISSING)], start(Kind::Init, "second")),
        (vec![("first", OK), ("side", RUNNING), ("second", OK), ("c", MISSING)], start(Kind::Regular, "c")),
        (vec![("first", OK), ("side", FAILED), ("second", OK), ("c", RUNNING)], start(Kind::Sidecar, "side")),
    ] {
        assert_eq!(plan(&pod, &state(&slots), now()).actions, expected, "{slots:?}");
    }
}

#[test]
fn a_failing_container_waits_longer_every_time() {
    let pod = pod(json!({"containers": [{"name": "c"}]}));
    let mut state = state(&[("c", FAILED)]);
    state.slot_mut("c").backoff.next(now(), now());
    let waiting = plan(&pod, &state, now());
    assert_eq!(waiting.actions, []);
    assert_eq!(waiting.wake, Some(now() + SignedDuration::from_secs(10)));
    assert_eq!(waiting.waiting[0].1.message.as_deref(), Some("back-off 10s restarting failed container=c pod=p_default(u)"));
    let later = plan(&pod, &state, now() + SignedDuration::from_secs(10));
    assert_eq!(later.actions, [Action::Start(Kind::Regular, "c".into())]);
}

#[test]
fn a_deleted_pod_is_stopped_then_removed_then_forgotten() {
    let mut pod = pod(json!({
        "terminationGracePeriodSeconds": 5,
        "initContainers": [{"name": "side", "restartPolicy": "Always"}],
        "containers": [{"name": "c"}],
    }));
    pod.metadata.deletion_timestamp = Some(now().into());
    let stop = |name: &str| Action::Stop { name: name.into(), grace: 5, message: format!("Stopping container {name}") };
    assert_eq!(plan(&pod, &state(&[("c", RUNNING), ("side", RUNNING)]), now()).actions, [stop("c")]);
    assert_eq!(plan(&pod, &state(&[("c", OK), ("side", RUNNING)]), now()).actions, [stop("side")]);
    assert_eq!(plan(&pod, &state(&[("c", OK), ("side", OK)]), now()).actions, [Action::RemoveSandbox, Action::Finish]);
    let mut stopping = state(&[("c", RUNNING)]);
    stopping.slot_mut("c").stopping = true;
    assert_eq!(plan(&pod, &stopping, now()).actions, []);
    // A second deletion may shorten the time that is left (5 s are wanted now), and nothing lengthens it.
    for (left, expected) in [(30, vec![stop("c")]), (6, vec![]), (5, vec![]), (2, vec![])] {
        stopping.slot_mut("c").stop_by = Some(now() + SignedDuration::from_secs(left));
        assert_eq!(plan(&pod, &stopping, now()).actions, expected, "{left} s left");
    }
}

#[test]
fn the_probe_that_failed_says_how_long_its_container_may_take() {
    let pod = pod(json!({"containers": [{
        "name": "c",
        "startupProbe": {"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 7},
        "livenessProbe": {"exec": {"command": ["a"]}},
    }]}));
    for (started, expected) in [(false, 7), (true, 30)] {
        let mut state = state(&[("c", RUNNING)]);
        let slot = state.slot_mut("c");
        (slot.started, slot.unhealthy) = (started, Some("unhealthy".into()));
        assert!(matches!(plan(&pod, &state, now()).actions[..], [Action::Stop { grace, .. }] if grace == expected), "{started}");
    }
}

#[test]
fn a_pod_that_ran_to_its_end_lets_its_namespaces_go_and_stays() {
    for (policy, current, expected) in [
        ("Never", OK, vec![Action::RemoveSandbox]),
        ("Never", FAILED, vec![Action::RemoveSandbox]),
        ("OnFailure", OK, vec![Action::RemoveSandbox]),
    ] {
        let pod = pod(json!({"restartPolicy": policy, "containers": [{"name": "c"}]}));
        assert_eq!(plan(&pod, &state(&[("c", current)]), now()).actions, expected);
    }
    let pod = pod(json!({"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "c"}]}));
    assert_eq!(plan(&pod, &state(&[("i", FAILED)]), now()).actions, [Action::RemoveSandbox]);
    assert_eq!(plan(&pod, &state(&[("i", LOST)]), now()).actions, [Action::Start(Kind::Init, "i".into())]);
}

#[test]
fn an_unhealthy_container_is_stopped_once() {
    let pod = pod(json!({"containers": [{"name": "c"}]}));
    let mut state = state(&[("c", RUNNING)]);
    state.slot_mut("c").unhealthy = Some("Container c failed liveness probe, will be restarted".into());
    assert!(matches!(&plan(&pod, &state, now()).actions[..], [Action::Stop { grace: 30, .. }]));
    state.slot_mut("c").stopping = true;
    assert_eq!(plan(&pod, &state, now()).actions, []);
}

#[test]
fn a_missing_image_is_asked_for_again_after_its_back_off() {
    let pod = pod(json!({"containers": [{"name": "c"}]}));
    let mut state = state(&[("c", MISSING)]);
    let ask = vec![Action::EnsureImage("c".into())];
    let later = now() + SignedDuration::from_secs(5);
    for (image, actions, wake) in [
        (ImageState::Unknown, ask.clone(), None),
        (ImageState::Pulling, vec![], None),
        (ImageState::Failed { retry: Some(later) }, vec![], Some(later)),
        (ImageState::Failed { retry: Some(now()) }, ask, None),
        (ImageState::Failed { retry: None }, vec![], None),
    ] {
        state.slot_mut("c").image = image.clone();
        let plan = plan(&pod, &state, now());
        assert_eq!((plan.actions, plan.wake), (actions, wake), "{image:?}");
    }
}

#[test]
fn a_new_sandbox_begins_with_initialization() {
    let pod = pod(json!({"initContainers": [{"name": "first"}, {"name": "second"}], "containers": [{"name": "c"}]}));
    let mut state = state(&[("first", OK), ("second", OK), ("c", FAILED)]);
    assert_eq!(plan(&pod, &state, now()).actions, [Action::Start(Kind::Regular, "c".into())]);
    state.sandbox = Some(Sandbox { id: "another".into(), ip: "10.0.0.2".into() });
    assert_eq!(plan(&pod, &state, now()).actions, [Action::Start(Kind::Init, "first".into())]);
    state.slot_mut("first").current.as_mut().unwrap().sandbox = "another".into();
    assert_eq!(plan(&pod, &state, now()).actions, [Action::Start(Kind::Init, "second".into())]);
}

#[test]
fn a_hook_that_runs_holds_back_the_containers_after_its_own() {
    let pod = pod(json!({"containers": [{"name": "one"}, {"name": "two"}]}));
    let mut state = state(&[("one", RUNNING), ("two", MISSING)]);
    state.slot_mut("one").hooking = true;
    assert_eq!(plan(&pod, &state, now()).actions, []);
    state.slot_mut("one").hooking = false;
    assert_eq!(plan(&pod, &state, now()).actions, [Action::Start(Kind::Regular, "two".into())]);
}
