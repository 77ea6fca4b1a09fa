//! One worker per Pod: it hears what happens, asks `decide` what to do, does it, and publishes the status.
//!
//! 1. Messages change [`PodState`] and nothing else.
//! 2. [`Worker::sync`] turns plans into actions until there is nothing to do.
//! 3. The status is computed after every round and written by a task of its own ([`publish`]), latest first.
//!
//! A worker never waits long: pulls, probes and stops are tasks that answer with messages.

mod publish;
mod pull;
mod sandbox;
mod start;

pub(super) use sandbox::RECORD;
pub(super) use start::{attempt, termination_message};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use drydock_image::{Image, PullError, Pulled};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use self::publish::{News, Update};
use super::decide::{self, Action, End, plan};
use super::node::{Node, lock};
use super::probe::{ProbeKind, Probes};
use super::recorder::Severity;
use super::records::{Record, RecordExit};
use super::state::{Attempt, Ended, ImageState, Kind, PodState, Step, ephemeral_containers, find_container, init_containers, name, namespace, spec, uid};
use super::status::{OWNED, pod_status};
use super::volumes::{self, Volumes};

/// What a worker hears.
pub(super) enum Message {
    /// The object changed.
    Pod(Arc<Pod>),
    /// The object is gone from the API.
    Gone,
    /// A restore takes the Pod away: stop at once, say nothing more, and answer with the object when all is gone.
    Halt(oneshot::Sender<Arc<Pod>>),
    /// What happened happened this much earlier.
    Age(Duration),
    /// A container ended.
    Exited {
        /// Container id.
        id: String,
    },
    /// A container was removed behind our back.
    Removed {
        /// Container id.
        id: String,
    },
    /// The namespaces were removed behind our back.
    SandboxRemoved,
    /// A pull ended.
    Pulled {
        /// Container name.
        container: String,
        /// The image it was for.
        image: String,
        /// How.
        result: Box<Result<Pulled, PullError>>,
        /// How long it took.
        took: Duration,
    },
    /// A probe's verdict changed.
    Probe {
        /// Container name.
        container: String,
        /// The instance it asked.
        id: String,
        /// Which probe.
        kind: ProbeKind,
        /// The verdict.
        success: bool,
    },
    /// A postStart hook ended.
    Hooked {
        /// Container name.
        container: String,
        /// The instance.
        id: String,
        /// How.
        result: Result<(), String>,
    },
    /// Say which Pod this is, if it has not ended.
    Show(mpsc::UnboundedSender<Arc<Pod>>),
    /// It has to go.
    Evict {
        /// Why: the sentence of its status.
        message: String,
        /// Told when its files are gone.
        gone: oneshot::Sender<()>,
    },
    /// Something volumes are made of changed; says which Pods it concerns.
    VolumesChanged(Box<dyn Fn(&Pod) -> bool + Send>),
}

/// What a worker starts with, from a kubelet that ran before.
#[derive(Default)]
pub(super) struct Adopted {
    /// What it knew.
    pub(super) state: PodState,
    /// Ids of containers whose streams have to be read again.
    pub(super) records: Vec<Record>,
}

struct Worker {
    node: Arc<Node>,
    pod: Arc<Pod>,
    state: PodState,
    volumes: Volumes,
    images: HashMap<String, Image>,
    probes: HashMap<String, Probes>,
    stops: Vec<AbortOnDropHandle<()>>,
    hooks: HashMap<String, AbortOnDropHandle<()>>,
    status: PodStatus,
    updates: watch::Sender<News>,
    publisher: Option<tokio::task::JoinHandle<()>>,
    mount_backoff: super::backoff::Backoff,
    told_deadline: bool,
    finished: bool,
    halted: Option<oneshot::Sender<Arc<Pod>>>,
    evicted: Option<oneshot::Sender<()>>,
}

/// Start the worker of a Pod and register it.
pub(super) fn spawn(node: &Arc<Node>, pod: Arc<Pod>, adopted: Adopted) {
    let (sender, receiver) = mpsc::unbounded_channel();
    lock(&node.workers).insert(uid(&pod).to_owned(), sender);
    let (updates, update) = watch::channel(News::default());
    let publisher = tokio::spawn(publish::run(node.client.clone(), Arc::clone(&pod), update));
    lock(&node.publishers).insert(uid(&pod).to_owned(), publisher.abort_handle());
    let mut worker = Worker {
        node: Arc::clone(node),
        status: pod.status.clone().unwrap_or_default(),
        state: adopted.state,
        pod,
        volumes: Volumes::default(),
        images: HashMap::new(),
        probes: HashMap::new(),
        stops: Vec::new(),
        hooks: HashMap::new(),
        updates,
        publisher: Some(publisher),
        mount_backoff: super::backoff::Backoff::new(Duration::from_millis(500), Duration::from_secs(122)),
        told_deadline: false,
        finished: false,
        halted: None,
        evicted: None,
    };
    worker.begin(&adopted.records);
    tokio::spawn(worker.run(receiver));
}

/// The last instance of a container as its status tells it.
fn lost(status: &ContainerStatus, now: Timestamp) -> Option<Attempt> {
    let (state, last) = (status.state.clone().unwrap_or_default(), status.last_state.clone().unwrap_or_default());
    let ended = state.terminated.or(last.terminated.filter(|_| state.running.is_none()));
    let started = match (&ended, &state.running) {
        (Some(ended), _) => ended.started_at.as_ref(),
        (None, Some(running)) => running.started_at.as_ref(),
        (None, None) => return None,
    };
    let id = ended.as_ref().and_then(|ended| ended.container_id.as_ref()).or(status.container_id.as_ref());
    let exit = match &ended {
        Some(ended) => Ended {
            code: ended.exit_code,
            reason: ended.reason.clone().unwrap_or_default(),
            message: ended.message.clone(),
            at: ended.finished_at.as_ref().map_or(now, |time| time.0),
            lost: false,
        },
        None => Ended { code: 255, reason: "Unknown".to_owned(), message: None, at: now, lost: true },
    };
    Some(Attempt {
        id: id.and_then(|id| id.strip_prefix("drydock://")).unwrap_or_default().to_owned(),
        sandbox: String::new(),
        number: u32::try_from(status.restart_count).unwrap_or(0),
        image: status.image.clone(),
        image_id: status.image_id.clone(),
        created: started.map_or(now, |time| time.0),
        started: started.map(|time| time.0),
        exit: Some(exit),
    })
}

impl Worker {
    /// Take over what runs already.
    fn begin(&mut self, records: &[Record]) {
        let status = self.pod.status.clone().unwrap_or_default();
        self.state.start_time = status.start_time.as_ref().map(|time| time.0).or_else(|| Some(Timestamp::now()));
        self.state.ended_before = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        self.state.evicted = status.message.clone().filter(|_| status.reason.as_deref() == Some("Evicted"));
        self.restore(&status);
        self.state.pod_ip = self.state.sandbox.as_ref().map(|sandbox| sandbox.ip.clone()).or_else(|| status.pod_ip.clone());
        for record in records.iter().filter(|record| record.exit.is_none()) {
            let Some((kind, container)) = find_container(&self.pod, &record.container) else { continue };
            self.watch_container(kind, &container, record);
            // What was ready stays ready until a probe says otherwise.
            let before = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
            if let Some(before) = before.into_iter().find(|before| before.name == record.container) {
                let slot = self.state.slot_mut(&record.container);
                slot.ready |= before.ready;
                slot.started |= before.started == Some(true);
            }
        }
    }

    /// Containers nobody holds any more, because the Pod had ended or the node was off, are known from the status alone.
    // upstream: containerd internal/cri/server/restart.go gives containers it lost the exit code 255 and the reason Unknown
    fn restore(&mut self, status: &PodStatus) {
        let all = [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
        for container in all.into_iter().flatten().flatten() {
            let slot = self.state.slot_mut(&container.name);
            if slot.current.is_none() {
                slot.current = lost(container, Timestamp::now());
            }
        }
    }

    async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        while !self.finished {
            let wake = self.sync().await;
            if self.finished {
                break;
            }
            let message = match wake {
                None => messages.recv().await,
                Some(at) => {
                    let wait = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
                    match tokio::time::timeout(wait, messages.recv()).await {
                        Ok(message) => message,
                        Err(_) => {
                            self.renew_tokens().await;
                            continue;
                        }
                    }
                }
            };
            let Some(message) = message else { break };
            self.hear(message).await;
            while let Ok(message) = messages.try_recv() {
                self.hear(message).await;
            }
        }
        self.clean_up().await;
    }

    /// Do what is to be done; says when to look again.
    async fn sync(&mut self) -> Option<Timestamp> {
        // More rounds than any Pod needs; the limit turns a mistake of ours into a slow Pod instead of a busy node.
        for _ in 0..200 {
            let now = Timestamp::now();
            let plan = plan(&self.pod, &self.state, now);
            for (container, waiting) in &plan.waiting {
                if self.state.slot(container).waiting.as_ref() != Some(waiting) {
                    let text = format!("Back-off restarting failed container {container} in pod {}", super::state::pod_format(&self.pod));
                    self.tell_container(container, Severity::Warning, "BackOff", text);
                    self.state.slot_mut(container).waiting = Some(waiting.clone());
                }
            }
            if plan.end == Some(End::Deadline) && !std::mem::replace(&mut self.told_deadline, true) {
                let text = "Pod was active on the node longer than the specified deadline";
                self.node.recorder.pod(&self.pod, Severity::Normal, "DeadlineExceeded", text);
            }
            self.publish(false);
            if plan.actions.is_empty() {
                return [plan.wake, self.volumes.renew].into_iter().flatten().min();
            }
            for action in plan.actions {
                self.act(action).await;
            }
            if self.finished {
                return None;
            }
        }
        tracing::error!(pod = name(&self.pod), "no end of things to do");
        Some(Timestamp::now() + Duration::from_secs(10))
    }

    async fn act(&mut self, action: Action) {
        tracing::debug!(pod = name(&self.pod), ?action, "act");
        match action {
            Action::PrepareVolumes => self.prepare_volumes().await,
            Action::CreateSandbox => self.create_sandbox().await,
            Action::EnsureImage(container) => self.ensure_image(&container),
            Action::Start(kind, container) => self.start_container(kind, &container).await,
            Action::Stop { name, grace, message } => self.stop_container(&name, grace, message),
            Action::RemoveSandbox => self.remove_sandbox().await,
            Action::RemoveFiles => self.remove_files().await,
            Action::Finish => self.finish().await,
        }
    }

    async fn hear(&mut self, message: Message) {
        match message {
            Message::Pod(pod) => {
                let (old, new) = (&self.pod.metadata, &pod.metadata);
                let relabelled = (&old.labels, &old.annotations) != (&new.labels, &new.annotations);
                self.changed(pod);
                if relabelled && volumes::show_metadata(&self.pod) {
                    self.refresh_volumes().await;
                }
            }
            Message::Gone => self.state.gone = true,
            Message::Halt(done) => self.halt(done).await,
            Message::Age(by) => self.age(by),
            Message::Exited { id } => self.exited(&id).await,
            Message::Removed { id } => self.removed(&id),
            Message::SandboxRemoved => self.sandbox_removed(),
            Message::Pulled { container, image, result, took } => self.pulled(&container, &image, *result, took),
            Message::Probe { container, id, kind, success } => self.probed(&container, &id, kind, success),
            Message::Hooked { container, id, result } => self.hooked(&container, &id, result),
            Message::Show(answer) => self.show(&answer),
            Message::Evict { message, gone } => {
                self.state.evicted.get_or_insert(message);
                self.evicted = Some(gone);
            }
            Message::VolumesChanged(concerns) if concerns(&self.pod) => self.refresh_volumes().await,
            Message::VolumesChanged(_) => {}
        }
    }

    fn changed(&mut self, pod: Arc<Pod>) {
        for container in &spec(&pod).containers {
            let before = find_container(&self.pod, &container.name).and_then(|(_, container)| container.image);
            if before.is_some() && before != container.image {
                let slot = self.state.slot_mut(&container.name);
                slot.image = ImageState::Unknown;
                slot.pull_backoff.reset();
                slot.waiting = None;
                if slot.running().is_some() {
                    slot.unhealthy = Some(format!("Container {} definition changed, will be restarted", container.name));
                }
            }
        }
        // Conditions of others travel with the object; ours are as we last wrote them.
        let foreign = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let foreign = foreign.filter(|condition| !OWNED.contains(&condition.type_.as_str())).cloned();
        let own = self.status.conditions.take().into_iter().flatten().filter(|condition| OWNED.contains(&condition.type_.as_str()));
        self.status.conditions = Some(own.chain(foreign.collect::<Vec<_>>()).collect());
        self.pod = pod;
    }

    async fn exited(&mut self, id: &str) {
        let Some(entry) = self.node.records.get(id) else { return };
        let record = entry.record;
        let Some(exit) = record.exit.clone() else { return };
        let policy = find_container(&self.pod, &record.container).and_then(|(_, container)| container.termination_message_policy);
        if let Some(io) = &entry.io {
            io.drained(Duration::from_millis(200)).await;
        }
        let message = start::termination_message(&record, &exit, policy.as_deref());
        if let Some(why) = &exit.message {
            self.tell_container(&record.container, Severity::Warning, "DiskFull", why.clone());
        }
        self.probes.remove(&record.container);
        self.hooks.remove(&record.container);
        let slot = self.state.slot_mut(&record.container);
        (slot.stopping, slot.stop_by) = (false, None);
        slot.unhealthy = None;
        slot.waiting = None;
        slot.image = ImageState::Unknown;
        (slot.started, slot.ready, slot.hooking) = (false, false, false);
        if let Some(current) = slot.current.as_mut().filter(|current| current.id == id) {
            let RecordExit { code, reason, at, .. } = exit;
            current.exit = Some(Ended { code, reason, message, at, lost: false });
        }
    }

    fn removed(&mut self, id: &str) {
        let Some((container, slot)) = self.state.slots.iter_mut().find(|(_, slot)| {
            [&slot.current, &slot.previous].into_iter().flatten().any(|attempt| attempt.id == id)
        }) else {
            return;
        };
        if slot.previous.as_ref().is_some_and(|previous| previous.id == id) {
            slot.previous = None;
            return;
        }
        // A Pod that ended stays ended, whoever removes what is left of it. upstream: pkg/kubelet/status/status_manager.go
        if matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return;
        }
        slot.current = None;
        (slot.stopping, slot.stop_by) = (false, None);
        slot.unhealthy = None;
        slot.waiting = None;
        slot.image = ImageState::Unknown;
        (slot.started, slot.ready, slot.hooking) = (false, false, false);
        self.hooks.remove(container);
        self.probes.remove(container);
    }

    fn sandbox_removed(&mut self) {
        self.node.recorder.pod(&self.pod, Severity::Normal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
        self.state.sandbox = None;
        self.state.network = Step::Due;
        self.state.sandbox_attempt += 1;
    }

    fn probed(&mut self, container: &str, id: &str, kind: ProbeKind, success: bool) {
        let slot = self.state.slot_mut(container);
        if slot.running().is_none_or(|current| current.id != id) {
            return;
        }
        match (kind, success) {
            (ProbeKind::Startup, true) => {
                slot.started = true;
                if let Some(probes) = self.probes.get(container) {
                    probes.started();
                }
            }
            (ProbeKind::Readiness, ready) => slot.ready = ready,
            (ProbeKind::Liveness, true) => {}
            (ProbeKind::Startup, false) => slot.unhealthy = Some(format!("Container {container} failed startup probe, will be restarted")),
            (ProbeKind::Liveness, false) => slot.unhealthy = Some(format!("Container {container} failed liveness probe, will be restarted")),
        }
    }

    fn stop_container(&mut self, container: &str, grace: i64, message: String) {
        let slot = self.state.slot_mut(container);
        let again = std::mem::replace(&mut slot.stopping, true);
        slot.stop_by = Some(Timestamp::now() + SignedDuration::from_secs(grace));
        let Some(id) = slot.running().map(|current| current.id.clone()) else { return };
        if !again {
            self.tell_container(container, Severity::Normal, "Killing", message);
        }
        if let Some(probes) = self.probes.get_mut(container) {
            probes.stopping();
        }
        // A hook that runs goes on; the container just ends sooner.
        let hook = find_container(&self.pod, container).filter(|_| !again).and_then(|(_, container)| {
            let hook = container.lifecycle.clone()?.pre_stop?;
            Some((container, hook))
        });
        let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
        let (node, pod, container) = (Arc::clone(&self.node), Arc::clone(&self.pod), container.to_owned());
        let field = self.field(&container);
        self.stops.retain(|stop| !stop.is_finished());
        self.stops.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let begun = tokio::time::Instant::now();
            if let (Some((spec, hook)), Some(entry)) = (hook, node.records.get(&id)) {
                let run = super::hook::run(&node, &spec, &entry.record, &hook);
                match tokio::time::timeout(grace, run).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(container, error, "preStop");
                        node.recorder.container(&pod, field, Severity::Warning, "FailedPreStopHook", "PreStopHook failed");
                    }
                    Err(_) => tracing::debug!(container, "preStop did not end in time"),
                }
            }
            // upstream: minimumGracePeriodInSeconds
            let rest = grace.saturating_sub(begun.elapsed()).max(Duration::from_secs(2));
            node.stop(&id, rest).await;
        })));
    }

    /// Write the status, if it changed.
    fn publish(&mut self, finish: bool) {
        let host = self.node.config.node_ip.to_string();
        let status = pod_status(&self.pod, &self.state, &self.status, &host, Timestamp::now());
        if !finish && status == self.status {
            return;
        }
        let passing = !finish && publish::is_passing(&self.status, &status);
        self.status = status.clone();
        self.updates.send_modify(|news| news.tell(Update { status, finish, passing }));
    }

    /// All has ended: say so a last time and let the object go.
    async fn finish(&mut self) {
        self.finished = true;
        if self.state.gone {
            return;
        }
        self.publish(true);
        if let Some(publisher) = self.publisher.take()
            && let Err(error) = publisher.await
        {
            tracing::error!(%error, "the status writer");
        }
    }

    /// End without a word: what is committed next is another state of this Pod, or none.
    async fn halt(&mut self, done: oneshot::Sender<Arc<Pod>>) {
        self.finished = true;
        self.halted = Some(done);
        if let Some(publisher) = self.publisher.take() {
            publisher.abort();
        }
        self.stops.clear();
        let own = self.node.records.all().into_iter().filter(|record| record.uid == uid(&self.pod) && !record.is_sandbox() && record.exit.is_none());
        let node = &self.node;
        futures::future::join_all(own.map(|record| async move { node.stop(&record.id, Duration::ZERO).await })).await;
    }

    fn show(&self, answer: &mpsc::UnboundedSender<Arc<Pod>>) {
        if decide::end(&self.pod, &self.state, Timestamp::now()).is_none() && answer.send(Arc::clone(&self.pod)).is_err() {
            tracing::trace!("nobody waits for the answer any more");
        }
    }

    /// Free the disk: volumes and writable layers. What it said can still be read.
    async fn remove_files(&mut self) {
        let (pods, uid) = (self.node.config.pods.clone(), uid(&self.pod).to_owned());
        let layers: Vec<_> = self.node.records.all().into_iter().filter(|record| record.uid == uid).map(|record| record.directory).collect();
        let removed = tokio::task::spawn_blocking(move || {
            volumes::remove(&pods, &uid);
            layers.iter().for_each(|layer| super::node::remove_path(layer));
        });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "removing the files of a Pod");
        }
        self.volumes = Volumes::default();
        self.state.volumes = Step::Due;
        if let Some(gone) = self.evicted.take()
            && gone.send(()).is_err()
        {
            tracing::debug!("nobody waits for the end of this Pod any more");
        }
    }

    fn age(&mut self, by: Duration) {
        self.state.age(by);
        self.mount_backoff.age(by);
        for condition in self.status.conditions.iter_mut().flatten() {
            condition.last_transition_time.iter_mut().for_each(|time| time.0 -= by);
        }
    }

    async fn clean_up(&mut self) {
        self.probes.clear();
        self.hooks.clear();
        self.stops.clear();
        let uid = uid(&self.pod).to_owned();
        let own: Vec<Record> = self.node.records.all().into_iter().filter(|record| record.uid == uid).collect();
        for record in own {
            self.node.records.remove(&record.id);
            if record.is_sandbox() {
                self.node.remove_sandbox(&record).await;
            } else {
                self.node.forget(&record).await;
            }
        }
        volumes::remove(&self.node.config.pods, &uid);
        super::node::remove_path(&self.node.pod_logs(namespace(&self.pod), name(&self.pod), &uid));
        if let Some(publisher) = self.publisher.take() {
            publisher.abort();
        }
        lock(&self.node.publishers).remove(&uid);
        // Last: until then nobody else may start a worker for this Pod.
        lock(&self.node.workers).remove(&uid);
        if let Some(halted) = self.halted.take()
            && halted.send(Arc::clone(&self.pod)).is_err()
        {
            tracing::debug!(uid, "nobody waits for the end of this Pod");
        }
    }

    /// `spec.containers{name}` and its like, for events.
    fn field(&self, container: &str) -> String {
        let is = |kind: Kind| find_container(&self.pod, container).is_some_and(|(found, _)| found == kind);
        let list = if init_containers(&self.pod).any(|(_, init)| init.name == container) {
            "initContainers"
        } else if is(Kind::Ephemeral) && ephemeral_containers(&self.pod).iter().any(|debug| debug.name == container) {
            "ephemeralContainers"
        } else {
            "containers"
        };
        format!("spec.{list}{{{container}}}")
    }

    fn tell_container(&self, container: &str, severity: Severity, reason: &'static str, message: impl Into<String>) {
        self.node.recorder.container(&self.pod, self.field(container), severity, reason, message);
    }

    fn container(&self, wanted: &str) -> Option<Container> {
        find_container(&self.pod, wanted).map(|(_, container)| container)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lost_containers_have_ended_as_their_status_says() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let ended = json!({"exitCode": 3, "reason": "Error", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z", "containerID": "drydock://old"});
        for (state, last, expected) in [
            (json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}), json!({}), Some(("new", 255, "Unknown"))),
            (json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}), json!({"terminated": ended}), Some(("new", 255, "Unknown"))),
            (json!({"terminated": ended}), json!({}), Some(("old", 3, "Error"))),
            (json!({"waiting": {"reason": "CrashLoopBackOff"}}), json!({"terminated": ended}), Some(("old", 3, "Error"))),
            (json!({"waiting": {"reason": "ContainerCreating"}}), json!({}), None),
        ] {
            let status: ContainerStatus = serde_json::from_value(json!({
                "name": "c", "image": "i", "imageID": "i", "ready": true, "restartCount": 4, "containerID": "drydock://new",
                "state": state, "lastState": last,
            }))
            .unwrap();
            let found = lost(&status, now).map(|attempt| {
                let exit = attempt.exit.unwrap();
                assert_eq!(attempt.number, 4);
                (attempt.id, exit.code, exit.reason)
            });
            assert_eq!(found, expected.map(|(id, code, reason)| (id.to_owned(), code, reason.to_owned())), "{state} {last}");
        }
    }
}
