//! What a Pod's status says, computed from what is known: the other half of the decisions, as pure as they are.

// upstream: pkg/kubelet/kubelet_pods.go (getPhase, convertStatusToAPIStatus), pkg/kubelet/status/generate.go

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP, Pod,
    PodCondition, PodIP, PodStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::decide::{End, end};
use super::state::{Attempt, Kind, PodState, Slot, Waiting, ephemeral_containers, init_containers, spec};

/// A time as `metav1.Time` keeps it: whole seconds.
pub(super) fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The status of a Pod. `old` is the status last written, for transition times and for what others own.
pub(super) fn pod_status(pod: &Pod, state: &PodState, old: &PodStatus, host_ip: &str, now: Timestamp) -> PodStatus {
    let initialized = init_done(pod, state);
    let has_init = spec(pod).init_containers.as_ref().is_some_and(|list| !list.is_empty());
    let idle = if has_init && !initialized { "PodInitializing" } else { "ContainerCreating" };
    let convert = |kind: Kind, container: &Container| container_status(pod, kind, container, state, idle);
    let init: Vec<ContainerStatus> = init_containers(pod).map(|(kind, container)| convert(kind, container)).collect();
    let regular: Vec<ContainerStatus> = spec(pod).containers.iter().map(|container| convert(Kind::Regular, container)).collect();
    let ephemeral: Vec<ContainerStatus> = ephemeral_containers(pod).iter().map(|container| convert(Kind::Ephemeral, container)).collect();

    let end = end(pod, state, now);
    let terminal = end.is_some() && !state.any_running();
    let phase = phase(pod, state, &init, &regular, terminal, end);
    let (reason, message) = match (end, phase) {
        (Some(End::Deadline), _) => {
            (Some("DeadlineExceeded".to_owned()), Some("Pod was active on the node longer than the specified deadline".to_owned()))
        }
        (Some(End::Evicted), _) => (Some("Evicted".to_owned()), state.evicted.clone()),
        _ => (None, None),
    };
    let conditions = conditions(pod, state, old, &Facts { phase, initialized, init: &init, regular: &regular }, now);
    let list = |statuses: Vec<ContainerStatus>| (!statuses.is_empty()).then_some(statuses);
    PodStatus {
        phase: Some(phase.to_owned()),
        reason,
        message,
        conditions: Some(conditions),
        host_ip: Some(host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: host_ip.to_owned() }]),
        pod_ip: state.pod_ip.clone(),
        pod_ips: state.pod_ip.clone().map(|ip| vec![PodIP { ip }]),
        start_time: state.start_time.map(time),
        init_container_statuses: list(init),
        container_statuses: list(regular),
        ephemeral_container_statuses: list(ephemeral),
        qos_class: Some(old.qos_class.clone().unwrap_or_else(|| qos_class(pod).to_owned())),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

fn init_done(pod: &Pod, state: &PodState) -> bool {
    if state.initialized(pod) {
        return true;
    }
    init_containers(pod).all(|(kind, container)| {
        let slot = state.slot(&container.name);
        match kind {
            Kind::Sidecar => slot.running().is_some() && slot.started,
            Kind::Init | Kind::Regular | Kind::Ephemeral => state.init_succeeded(&container.name),
        }
    })
}

fn container_status(pod: &Pod, kind: Kind, container: &Container, state: &PodState, idle: &str) -> ContainerStatus {
    let slot = state.slot(&container.name);
    let running = slot.running().is_some();
    let (state, last_state) = container_states(&slot, idle);
    let (ready, started) = match kind {
        Kind::Init => (slot.ended().is_some_and(|ended| ended.code == 0), running),
        Kind::Regular | Kind::Sidecar => (running && slot.started && slot.ready && !slot.hooking, running && slot.started),
        Kind::Ephemeral => (false, running),
    };
    let current = slot.current.as_ref();
    ContainerStatus {
        name: container.name.clone(),
        image: current.map_or_else(|| container.image.clone().unwrap_or_default(), |attempt| attempt.image.clone()),
        image_id: current.map(|attempt| attempt.image_id.clone()).unwrap_or_default(),
        container_id: current.map(container_id),
        restart_count: current.map_or(0, |attempt| i32::try_from(attempt.number).unwrap_or(i32::MAX)),
        ready,
        started: (kind != Kind::Ephemeral).then_some(started),
        state: Some(state),
        last_state,
        resources: current.and(container.resources.clone()),
        allocated_resources: current.and(container.resources.as_ref()).and_then(|resources| resources.requests.clone()),
        volume_mounts: mount_statuses(pod, container),
        ..ContainerStatus::default()
    }
}

fn container_id(attempt: &Attempt) -> String {
    format!("drydock://{}", attempt.id)
}

fn mount_statuses(_pod: &Pod, container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let mounts: Vec<VolumeMountStatus> = container.volume_mounts.iter().flatten().map(|mount| VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: mount.read_only.filter(|read_only| *read_only),
        recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
        ..VolumeMountStatus::default()
    }).collect();
    (!mounts.is_empty()).then_some(mounts)
}

/// The state and the last state.
fn container_states(slot: &Slot, idle: &str) -> (ContainerState, Option<ContainerState>) {
    let previous = slot.previous.as_ref().and_then(terminated);
    let Some(current) = &slot.current else {
        let waiting = slot.waiting.clone().unwrap_or(Waiting { reason: idle.to_owned(), message: None });
        return (waiting_state(waiting), previous);
    };
    match (terminated(current), &slot.waiting) {
        (None, _) => {
            let started_at = current.started.map(time);
            let running = Some(ContainerStateRunning { started_at });
            (ContainerState { running, ..ContainerState::default() }, previous)
        }
        // Power came back, and it is about to go on.
        (Some(ended), None) if current.exit.as_ref().is_some_and(|ended| ended.lost) => {
            (waiting_state(Waiting { reason: idle.to_owned(), message: None }), Some(ended))
        }
        // It ended and should run again but cannot yet: why not is the state, how it ended the last one.
        (Some(ended), Some(waiting)) => (waiting_state(waiting.clone()), Some(ended)),
        (Some(ended), None) => (ended, previous),
    }
}

fn waiting_state(waiting: Waiting) -> ContainerState {
    let waiting = Some(ContainerStateWaiting { reason: Some(waiting.reason), message: waiting.message });
    ContainerState { waiting, ..ContainerState::default() }
}

fn terminated(attempt: &Attempt) -> Option<ContainerState> {
    let ended = attempt.exit.as_ref()?;
    let terminated = Some(ContainerStateTerminated {
        exit_code: ended.code,
        signal: None,
        reason: Some(ended.reason.clone()),
        message: ended.message.clone(),
        started_at: Some(attempt.started.map_or(Time(Timestamp::UNIX_EPOCH), time)),
        finished_at: Some(time(ended.at)),
        container_id: Some(container_id(attempt)),
    });
    Some(ContainerState { terminated, ..ContainerState::default() })
}

fn is_terminated(state: Option<&ContainerState>) -> Option<i32> {
    state?.terminated.as_ref().map(|terminated| terminated.exit_code)
}

/// One of `Pending`, `Running`, `Succeeded`, `Failed`.
fn phase(pod: &Pod, known: &PodState, init: &[ContainerStatus], regular: &[ContainerStatus], terminal: bool, end: Option<End>) -> &'static str {
    let policy = spec(pod).restart_policy.as_deref().unwrap_or("Always");
    let (mut init_pending, mut init_failed, mut sidecar_pending) = (0, 0, 0);
    for ((kind, _), status) in init_containers(pod).zip(init) {
        if kind == Kind::Sidecar {
            sidecar_pending += i32::from(status.started != Some(true) && !terminal);
            continue;
        }
        let code = is_terminated(status.state.as_ref()).or_else(|| is_terminated(status.last_state.as_ref()));
        let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
        match code {
            Some(0) if !waits => {}
            Some(code) if code != 0 && !known.is_lost(&status.name) => init_failed += 1,
            _ => init_pending += 1,
        }
    }
    let (mut waiting, mut running, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in regular {
        let state = status.state.as_ref();
        // What was running when the node lost power has not ended: it is about to go on.
        let goes_on = !terminal && known.is_lost(&status.name);
        if goes_on || state.is_some_and(|state| state.running.is_some()) {
            running += 1;
        } else if let Some(code) = is_terminated(state) {
            stopped += 1;
            succeeded += i32::from(code == 0);
        } else if is_terminated(status.last_state.as_ref()).is_some() {
            stopped += 1;
        } else {
            waiting += 1;
        }
    }
    if matches!(end, Some(End::Deadline | End::Evicted)) || (init_failed > 0 && policy == "Never") {
        return "Failed";
    }
    // Ordinary containers that ran prove that initialization is over, whatever is left of its records.
    let initialized = running + stopped > 0;
    match () {
        () if terminal && !initialized => "Failed",
        () if !initialized && (init_pending > 0 || init_failed > 0 || sidecar_pending > 0) => "Pending",
        () if waiting > 0 && !terminal => "Pending",
        () if running > 0 => "Running",
        () if stopped > 0 && terminal => if stopped == succeeded { "Succeeded" } else { "Failed" },
        () if stopped > 0 && policy == "Always" => "Running",
        () if stopped > 0 && stopped == succeeded => "Succeeded",
        () if stopped > 0 && policy == "Never" => "Failed",
        () if stopped > 0 => "Running",
        () => "Pending",
    }
}

struct Facts<'a> {
    phase: &'static str,
    initialized: bool,
    init: &'a [ContainerStatus],
    regular: &'a [ContainerStatus],
}

struct Verdict {
    is_true: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Verdict { is_true: true, reason: None, message: None }
    }

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Verdict { is_true: false, reason: Some(reason), message }
    }
}

fn conditions(pod: &Pod, state: &PodState, old: &PodStatus, facts: &Facts<'_>, now: Timestamp) -> Vec<PodCondition> {
    let containers_ready = containers_ready(facts);
    let sandbox = if state.sandbox.is_some() { Verdict::yes() } else { Verdict { is_true: false, reason: None, message: None } };
    let owned = [
        ("PodReadyToStartContainers", sandbox),
        ("Initialized", initialized(facts)),
        ("Ready", ready(pod, old, &containers_ready)),
        ("ContainersReady", containers_ready),
    ];
    let mut conditions: Vec<PodCondition> = Vec::new();
    for (type_, verdict) in owned {
        let status = if verdict.is_true { "True" } else { "False" };
        let before = old.conditions.iter().flatten().find(|condition| condition.type_ == type_);
        let since = before.filter(|condition| condition.status == status).and_then(|condition| condition.last_transition_time.clone());
        conditions.push(PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: verdict.reason.map(str::to_owned),
            message: verdict.message,
            last_transition_time: Some(since.unwrap_or_else(|| time(now))),
            observed_generation: pod.metadata.generation,
            ..PodCondition::default()
        });
    }
    let foreign = old.conditions.iter().flatten().filter(|condition| !OWNED.contains(&condition.type_.as_str()));
    conditions.extend(foreign.cloned());
    // upstream: pkg/kubelet/eviction/eviction_manager.go, evictPod
    if let Some(message) = state.evicted.clone().filter(|_| !conditions.iter().any(|condition| condition.type_ == "DisruptionTarget")) {
        conditions.push(PodCondition {
            type_: "DisruptionTarget".to_owned(),
            status: "True".to_owned(),
            reason: Some("TerminationByKubelet".to_owned()),
            message: Some(message),
            last_transition_time: Some(time(now)),
            observed_generation: pod.metadata.generation,
            ..PodCondition::default()
        });
    }
    if !conditions.iter().any(|condition| condition.type_ == "PodScheduled") {
        let (type_, status) = ("PodScheduled".to_owned(), "True".to_owned());
        conditions.push(PodCondition { type_, status, last_transition_time: Some(time(now)), ..PodCondition::default() });
    }
    conditions
}

/// Conditions the kubelet writes; all others are left as they are.
pub(super) const OWNED: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

fn initialized(facts: &Facts<'_>) -> Verdict {
    match facts.phase {
        "Succeeded" => Verdict { is_true: true, reason: Some("PodCompleted"), message: None },
        _ if facts.initialized => Verdict::yes(),
        _ => {
            let names = names(facts.init, |status| !status.ready && status.started != Some(true));
            Verdict::no("ContainersNotInitialized", Some(format!("containers with incomplete status: [{names}]")))
        }
    }
}

fn containers_ready(facts: &Facts<'_>) -> Verdict {
    match facts.phase {
        "Succeeded" => return Verdict::no("PodCompleted", None),
        "Failed" => return Verdict::no("PodFailed", None),
        _ => {}
    }
    let names = names(facts.regular, |status| !status.ready);
    if names.is_empty() && !facts.regular.is_empty() {
        return Verdict::yes();
    }
    Verdict::no("ContainersNotReady", Some(format!("containers with unready status: [{names}]")))
}

fn ready(pod: &Pod, old: &PodStatus, containers_ready: &Verdict) -> Verdict {
    if !containers_ready.is_true {
        return Verdict::no(containers_ready.reason.unwrap_or("ContainersNotReady"), containers_ready.message.clone());
    }
    let mut unready = Vec::new();
    for gate in spec(pod).readiness_gates.iter().flatten() {
        match old.conditions.iter().flatten().find(|condition| condition.type_ == gate.condition_type) {
            None => unready.push(format!("corresponding condition of pod readiness gate \"{}\" does not exist.", gate.condition_type)),
            Some(condition) if condition.status != "True" => unready.push(format!(
                "the status of pod readiness gate \"{}\" is not \"True\", but {}",
                gate.condition_type, condition.status
            )),
            Some(_) => {}
        }
    }
    if unready.is_empty() { Verdict::yes() } else { Verdict::no("ReadinessGatesNotReady", Some(unready.join(", "))) }
}

fn names(statuses: &[ContainerStatus], wanted: impl Fn(&ContainerStatus) -> bool) -> String {
    let names: Vec<&str> = statuses.iter().filter(|status| wanted(status)).map(|status| status.name.as_str()).collect();
    names.join(" ")
}

// upstream: pkg/apis/core/v1/helper/qos/qos.go
fn qos_class(pod: &Pod) -> &'static str {
    let containers = || init_containers(pod).map(|(_, container)| container).chain(&spec(pod).containers);
    let resources = |container: &Container| container.resources.clone().unwrap_or_default();
    let any = containers().any(|container| {
        let resources = resources(container);
        resources.requests.is_some_and(|list| !list.is_empty()) || resources.limits.is_some_and(|list| !list.is_empty())
    });
    let guaranteed = containers().all(|container| {
        let resources = resources(container);
        let limits = resources.limits.unwrap_or_default();
        let requests = resources.requests.unwrap_or_default();
        ["cpu", "memory"].iter().all(|name| limits.get(*name).is_some_and(|limit| requests.get(*name).is_none_or(|request| request == limit)))
    });
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "cases read better without ampersands")]
mod tests;
