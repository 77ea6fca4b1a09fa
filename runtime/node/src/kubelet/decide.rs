//! The decisions: a Pod's specification and what is known about it go in, what to do next comes out. Nothing here touches anything.
//!
//! 1. A Pod that must end is stopped, then its sandbox goes.
//! 2. Otherwise volumes, sandbox, init containers one after the other, then all others.
//! 3. What waits (back-off, retry) makes the plan say when to look again.

// upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go, computePodActions; pkg/kubelet/container/helpers.go

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};

use super::backoff::go_duration;
use super::state::{ImageState, Kind, PodState, Slot, Waiting, ephemeral_containers, init_containers, pod_format, spec};

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Put the volumes in place.
    PrepareVolumes,
    /// Make the namespaces and attach the network.
    CreateSandbox,
    /// Make the image of this container local.
    EnsureImage(String),
    /// Start it; its image is here.
    Start(Kind, String),
    /// Stop it in this many seconds; the sentence is the Killing event's.
    Stop {
        /// Container name.
        name: String,
        /// Seconds it may take.
        grace: i64,
        /// Why.
        message: String,
    },
    /// Nothing runs any more: let the namespaces go.
    RemoveSandbox,
    /// Free the disk of what the Pod wrote; its logs stay.
    RemoveFiles,
    /// Nothing is left on the node.
    Finish,
}

/// What to do now, what each waiting container waits for, and when to look again.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// To be done in order.
    pub(super) actions: Vec<Action>,
    /// Containers that have to wait.
    pub(super) waiting: Vec<(String, Waiting)>,
    /// Why the Pod ends, if it does.
    pub(super) end: Option<End>,
    /// Look again then, even if nothing happens.
    pub(super) wake: Option<Timestamp>,
}

/// Why a Pod ends, if it has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was deleted.
    Deleted,
    /// Its containers ended and are not restarted.
    Completed,
    /// `activeDeadlineSeconds` is over.
    Deadline,
    /// It used more than it may, or than there is.
    Evicted,
}

/// How much earlier an end must be for a container to be stopped again.
const STOP_PRECISION: SignedDuration = SignedDuration::from_secs(1);

/// Decide.
pub(super) fn plan(pod: &Pod, state: &PodState, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if let Some(end) = end(pod, state, now) {
        plan.end = Some(end);
        plan_end(pod, state, end, now, &mut plan);
        return plan;
    }
    plan.wake_at(deadline(pod, state));
    if state.volumes != super::state::Step::Done {
        plan.step(&state.volumes, Action::PrepareVolumes, now);
    } else if state.sandbox.is_none() {
        plan.step(&state.network, Action::CreateSandbox, now);
    } else {
        plan_containers(pod, state, now, &mut plan);
    }
    plan
}

/// Whether the Pod has to end, and why.
pub(super) fn end(pod: &Pod, state: &PodState, now: Timestamp) -> Option<End> {
    if state.gone || pod.metadata.deletion_timestamp.is_some() {
        return Some(End::Deleted);
    }
    if state.evicted.is_some() {
        return Some(End::Evicted);
    }
    if deadline(pod, state).is_some_and(|deadline| deadline <= now) {
        return Some(End::Deadline);
    }
    if state.ended_before || init_failed(pod, state) {
        return Some(End::Completed);
    }
    let done = |container: &Container| {
        let slot = state.slot(&container.name);
        slot.ended().is_some() && !should_restart(pod, Kind::Regular, &slot)
    };
    let containers = &spec(pod).containers;
    (!containers.is_empty() && containers.iter().all(done)).then_some(End::Completed)
}

fn deadline(pod: &Pod, state: &PodState) -> Option<Timestamp> {
    let seconds = spec(pod).active_deadline_seconds?;
    Some(state.start_time? + SignedDuration::from_secs(seconds))
}

/// Seconds a Pod's containers get to end.
pub(super) fn grace(pod: &Pod) -> i64 {
    let deletion = pod.metadata.deletion_timestamp.as_ref().and(pod.metadata.deletion_grace_period_seconds);
    deletion.or(spec(pod).termination_grace_period_seconds).unwrap_or(30)
}

fn plan_end(pod: &Pod, state: &PodState, end: End, now: Timestamp, plan: &mut Plan) {
    // upstream: immediateEvictionGracePeriodSeconds
    let grace = if state.gone || end == End::Evicted { 1 } else { grace(pod) };
    let is_sidecar = |name: &str| init_containers(pod).any(|(kind, container)| kind == Kind::Sidecar && container.name == name);
    let running: Vec<&String> = state.slots.iter().filter(|(_, slot)| slot.running().is_some()).map(|(name, _)| name).collect();
    let others_run = running.iter().any(|name| !is_sidecar(name));
    for name in &running {
        // Sidecars outlive what they serve. What is being stopped may get less time than it was given, never more.
        // upstream: pkg/kubelet/pod_workers.go, calculateEffectiveGracePeriod
        let slot = &state.slots[*name];
        let hurry = slot.stop_by.is_some_and(|by| now + SignedDuration::from_secs(grace) + STOP_PRECISION < by);
        if (slot.stopping && !hurry) || (others_run && is_sidecar(name)) {
            continue;
        }
        let message = format!("Stopping container {name}");
        plan.actions.push(Action::Stop { name: (*name).clone(), grace, message });
    }
    if running.is_empty() {
        if state.sandbox.is_some() {
            plan.actions.push(Action::RemoveSandbox);
        }
        if end == End::Evicted && state.volumes == super::state::Step::Done {
            plan.actions.push(Action::RemoveFiles);
        }
        if end == End::Deleted {
            plan.actions.push(Action::Finish);
        }
    }
}

fn plan_containers(pod: &Pod, state: &PodState, now: Timestamp, plan: &mut Plan) {
    for container in ephemeral_containers(pod) {
        let slot = state.slot(&container.name);
        if slot.current.is_none() {
            plan.start(pod, Kind::Ephemeral, &container.name, &slot, now);
        }
    }
    // Once an ordinary container has run, init containers are history.
    let initialized = state.initialized(pod);
    for (kind, container) in init_containers(pod) {
        let slot = state.slot(&container.name);
        match kind {
            Kind::Sidecar => {
                plan.keep(pod, kind, container, &slot, now);
                let started = slot.running().is_some() && slot.started;
                if !initialized && !started {
                    return;
                }
            }
            Kind::Init | Kind::Regular | Kind::Ephemeral => {
                if initialized || state.init_succeeded(&container.name) {
                    continue;
                }
                // What it did in a former sandbox is undone.
                let again = slot.current.as_ref().is_some_and(|attempt| attempt.exit.is_some() && !state.is_present(attempt));
                if again {
                    plan.start(pod, kind, &container.name, &slot, now);
                } else {
                    plan.keep(pod, kind, container, &slot, now);
                }
                return;
            }
        }
    }
    // Containers are started one after the other: a postStart hook holds back those that do not run yet.
    let mut held_back = false;
    for container in &spec(pod).containers {
        let slot = state.slot(&container.name);
        if !held_back || slot.running().is_some() {
            plan.keep(pod, Kind::Regular, container, &slot, now);
        }
        held_back |= slot.hooking;
    }
}

/// Whether a container that is not running is to be started (again).
// upstream: pkg/kubelet/container/helpers.go, ShouldContainerBeRestarted
pub(super) fn should_restart(pod: &Pod, kind: Kind, slot: &Slot) -> bool {
    let Some(current) = &slot.current else { return true };
    let Some(ended) = &current.exit else { return false };
    match (kind, spec(pod).restart_policy.as_deref().unwrap_or("Always")) {
        (Kind::Ephemeral, _) => false,
        // Power came back: what ran goes on, whatever happens to those that end by themselves.
        _ if ended.lost => true,
        (Kind::Sidecar, _) => true,
        (Kind::Init, "Never") => false,
        (Kind::Init, _) => ended.code != 0,
        (Kind::Regular, "Never") => false,
        (Kind::Regular, "OnFailure") => ended.code != 0,
        (Kind::Regular, _) => true,
    }
}

fn init_failed(pod: &Pod, state: &PodState) -> bool {
    spec(pod).restart_policy.as_deref() == Some("Never")
        && init_containers(pod).any(|(kind, container)| {
            kind == Kind::Init && state.slot(&container.name).ended().is_some_and(|ended| ended.code != 0 && !ended.lost)
        })
}

impl Plan {
    fn wake_at(&mut self, at: Option<Timestamp>) {
        self.wake = match (self.wake, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    fn step(&mut self, step: &super::state::Step, action: Action, now: Timestamp) {
        if step.is_due(now) {
            self.actions.push(action);
        } else if let super::state::Step::Retry(at) = step {
            self.wake_at(Some(*at));
        }
    }

    /// Keep one container running: stop it when a probe wants so, start it when it should run.
    fn keep(&mut self, pod: &Pod, kind: Kind, container: &Container, slot: &Slot, now: Timestamp) {
        if slot.running().is_some() {
            if let (Some(message), false) = (&slot.unhealthy, slot.stopping) {
                // Only one of the two is asked at a time: the liveness probe once the container has started.
                let probe = if slot.started { &container.liveness_probe } else { &container.startup_probe };
                let own = probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds);
                let grace = own.unwrap_or_else(|| grace(pod));
                self.actions.push(Action::Stop { name: container.name.clone(), grace, message: message.clone() });
            }
        } else if should_restart(pod, kind, slot) {
            self.start(pod, kind, &container.name, slot, now);
        }
    }

    fn start(&mut self, pod: &Pod, kind: Kind, name: &str, slot: &Slot, now: Timestamp) {
        if let Some(until) = slot.ended().and_then(|ended| slot.backoff.until(ended.at)).filter(|until| *until > now) {
            let message =
                format!("back-off {} restarting failed container={name} pod={}", go_duration(slot.backoff.delay()), pod_format(pod));
            self.waiting.push((name.to_owned(), Waiting::new("CrashLoopBackOff", message)));
            self.wake_at(Some(until));
            return;
        }
        if let Some(retry) = slot.retry.filter(|retry| *retry > now) {
            self.wake_at(Some(retry));
            return;
        }
        match slot.image {
            ImageState::Here => self.actions.push(Action::Start(kind, name.to_owned())),
            ImageState::Pulling => {}
            ImageState::Failed { retry: Some(at) } if at > now => self.wake_at(Some(at)),
            ImageState::Unknown | ImageState::Failed { retry: Some(_) } => self.actions.push(Action::EnsureImage(name.to_owned())),
            ImageState::Failed { retry: None } => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "cases read better without ampersands")]
mod tests;
