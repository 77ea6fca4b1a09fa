//! What the kubelet knows about one Pod: the observed half of every decision. Plain data.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::backoff::Backoff;

/// The three lists a Pod's containers come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Runs to its end before the next one.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// An ordinary one.
    Regular,
    /// Added to a running Pod by `kubectl debug`.
    Ephemeral,
}

/// Everything known about a Pod on this node.
#[derive(Debug, Clone, Default)]
pub(super) struct PodState {
    /// Its namespaces, once made.
    pub(super) sandbox: Option<Sandbox>,
    /// The sandbox was made more than once.
    pub(super) sandbox_attempt: u32,
    /// The address it had, kept for the status of a finished Pod.
    pub(super) pod_ip: Option<String>,
    /// Whether its volumes are in place.
    pub(super) volumes: Step,
    /// Whether making the sandbox is waiting for a retry.
    pub(super) network: Step,
    /// By container name.
    pub(super) slots: BTreeMap<String, Slot>,
    /// When the kubelet first saw it.
    pub(super) start_time: Option<Timestamp>,
    /// The object is gone from the API although the Pod still runs.
    pub(super) gone: bool,
    /// The Pod had ended already when this kubelet found it.
    pub(super) ended_before: bool,
    /// It has to go for this reason: the sentence of its status.
    pub(super) evicted: Option<String>,
}

/// A Pod's namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sandbox {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    /// The Pod's address.
    pub(super) ip: String,
}

/// Something that must be done once before containers start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Step {
    /// Not yet.
    #[default]
    Due,
    /// Done.
    Done,
    /// It failed; try again at this time.
    Retry(Timestamp),
}

impl Step {
    /// Whether it is to be tried now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        match self {
            Step::Due => true,
            Step::Done => false,
            Step::Retry(at) => *at <= now,
        }
    }
}

/// What is known about one container of the specification.
#[derive(Debug, Clone, Default)]
pub(super) struct Slot {
    /// The newest instance.
    pub(super) current: Option<Attempt>,
    /// The one before.
    pub(super) previous: Option<Attempt>,
    /// Why it does not run, when it should.
    pub(super) waiting: Option<Waiting>,
    /// Its image.
    pub(super) image: ImageState,
    /// Waiting between restarts.
    pub(super) backoff: Backoff,
    /// Waiting between pulls.
    pub(super) pull_backoff: Backoff,
    /// Waiting after an error in the specification.
    pub(super) retry: Option<Timestamp>,
    /// Being stopped.
    pub(super) stopping: bool,
    /// When what is being stopped is killed.
    pub(super) stop_by: Option<Timestamp>,
    /// The startup probe succeeded, or there is none.
    pub(super) started: bool,
    /// The readiness probe succeeded; without one, it has come to rest after its start.
    pub(super) ready: bool,
    /// Its postStart hook runs: it is not ready, and nothing after it is started.
    pub(super) hooking: bool,
    /// A liveness or startup probe wants it restarted: the sentence of the Killing event.
    pub(super) unhealthy: Option<String>,
}

/// Where a container's image is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum ImageState {
    /// To be looked up before the next start.
    #[default]
    Unknown,
    /// Being pulled.
    Pulling,
    /// Here; the worker holds it.
    Here,
    /// Not here; `retry` is when to try again.
    Failed {
        /// When to try again, if ever.
        retry: Option<Timestamp>,
    },
}

/// One instance of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    /// The sandbox it ran in; empty when that is not known any more.
    pub(super) sandbox: String,
    /// How many came before it.
    pub(super) number: u32,
    /// Name with tag, as the status shows it.
    pub(super) image: String,
    /// Name with digest.
    pub(super) image_id: String,
    /// When it was made.
    pub(super) created: Timestamp,
    /// When it became the program; `None` if it never did.
    pub(super) started: Option<Timestamp>,
    /// How it ended.
    pub(super) exit: Option<Ended>,
}

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    /// Exit code.
    pub(super) code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub(super) reason: String,
    /// Its last words.
    pub(super) message: Option<String>,
    /// When.
    pub(super) at: Timestamp,
    /// Nobody saw it end: the node lost power while it ran, and it has to go on.
    pub(super) lost: bool,
}

/// Why a container does not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waiting {
    /// `CrashLoopBackOff`, `ImagePullBackOff` ...
    pub(super) reason: String,
    /// The sentence.
    pub(super) message: Option<String>,
}

impl Waiting {
    /// With a message.
    pub(super) fn new(reason: &str, message: impl Into<String>) -> Self {
        Waiting { reason: reason.to_owned(), message: Some(message.into()) }
    }
}

impl Slot {
    /// Whether its newest instance runs.
    pub(super) fn running(&self) -> Option<&Attempt> {
        self.current.as_ref().filter(|attempt| attempt.exit.is_none())
    }

    /// How its newest instance ended.
    pub(super) fn ended(&self) -> Option<&Ended> {
        self.current.as_ref().and_then(|attempt| attempt.exit.as_ref())
    }
}

impl PodState {
    /// What is known about a container; nothing yet is a valid answer.
    pub(super) fn slot(&self, name: &str) -> Slot {
        self.slots.get(name).cloned().unwrap_or_default()
    }

    /// The same, to be changed.
    pub(super) fn slot_mut(&mut self, name: &str) -> &mut Slot {
        self.slots.entry(name.to_owned()).or_default()
    }

    /// All that happened happened this much earlier, so that what waits for time to pass waits less.
    pub(super) fn age(&mut self, by: Duration) {
        self.start_time.iter_mut().for_each(|time| *time -= by);
        for step in [&mut self.volumes, &mut self.network] {
            if let Step::Retry(at) = step {
                *at -= by;
            }
        }
        for slot in self.slots.values_mut() {
            for attempt in [&mut slot.current, &mut slot.previous].into_iter().flatten() {
                attempt.created -= by;
                attempt.started.iter_mut().chain(attempt.exit.iter_mut().map(|ended| &mut ended.at)).for_each(|time| *time -= by);
            }
            if let ImageState::Failed { retry: Some(at) } = &mut slot.image {
                *at -= by;
            }
            slot.retry.iter_mut().for_each(|time| *time -= by);
            slot.backoff.age(by);
            slot.pull_backoff.age(by);
        }
    }

    /// Whether an instance belongs to the present sandbox, or to the last one when the Pod has ended.
    pub(super) fn is_present(&self, attempt: &Attempt) -> bool {
        self.sandbox.as_ref().is_none_or(|sandbox| sandbox.id == attempt.sandbox)
    }

    /// Whether initialization is over: an ordinary container has run in the present sandbox.
    pub(super) fn initialized(&self, pod: &Pod) -> bool {
        let mut regular = spec(pod).containers.iter().filter_map(|container| self.slots.get(&container.name)?.current.as_ref());
        regular.any(|attempt| self.is_present(attempt))
    }

    /// Whether an init container has done its work in the present sandbox.
    pub(super) fn init_succeeded(&self, name: &str) -> bool {
        let current = self.slots.get(name).and_then(|slot| slot.current.as_ref());
        current.is_some_and(|attempt| attempt.exit.as_ref().is_some_and(|ended| ended.code == 0) && self.is_present(attempt))
    }

    /// Whether a container ran when the node lost power, and has not been started since.
    pub(super) fn is_lost(&self, name: &str) -> bool {
        self.slots.get(name).and_then(Slot::ended).is_some_and(|ended| ended.lost)
    }

    /// Whether anything runs.
    pub(super) fn any_running(&self) -> bool {
        self.slots.values().any(|slot| slot.running().is_some())
    }
}

/// The specification, or an empty one: the API server admits no Pod without.
pub(super) fn spec(pod: &Pod) -> &PodSpec {
    static EMPTY: std::sync::LazyLock<PodSpec> = std::sync::LazyLock::new(PodSpec::default);
    pod.spec.as_ref().unwrap_or(&EMPTY)
}

/// `name_namespace(uid)`, as log lines and events name a Pod.
// upstream: pkg/kubelet/util/format/pod.go
pub(super) fn pod_format(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// The Pod's name.
pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// The Pod's namespace.
pub(super) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or("default")
}

/// The Pod's uid.
pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// Init containers in order, with their kind.
pub(super) fn init_containers(pod: &Pod) -> impl Iterator<Item = (Kind, &Container)> {
    spec(pod).init_containers.iter().flatten().map(|container| match container.restart_policy.as_deref() {
        Some("Always") => (Kind::Sidecar, container),
        _ => (Kind::Init, container),
    })
}

/// Ephemeral containers, seen as ordinary ones.
pub(super) fn ephemeral_containers(pod: &Pod) -> Vec<Container> {
    spec(pod).ephemeral_containers.iter().flatten().map(|debug| Container {
        name: debug.name.clone(),
        image: debug.image.clone(),
        image_pull_policy: debug.image_pull_policy.clone(),
        command: debug.command.clone(),
        args: debug.args.clone(),
        env: debug.env.clone(),
        env_from: debug.env_from.clone(),
        working_dir: debug.working_dir.clone(),
        stdin: debug.stdin,
        stdin_once: debug.stdin_once,
        tty: debug.tty,
        security_context: debug.security_context.clone(),
        volume_mounts: debug.volume_mounts.clone(),
        termination_message_path: debug.termination_message_path.clone(),
        termination_message_policy: debug.termination_message_policy.clone(),
        ..Container::default()
    }).collect()
}

/// Any container of the Pod by name.
pub(super) fn find_container(pod: &Pod, wanted: &str) -> Option<(Kind, Container)> {
    let regular = spec(pod).containers.iter().map(|container| (Kind::Regular, container));
    init_containers(pod)
        .chain(regular)
        .find(|(_, container)| container.name == wanted)
        .map(|(kind, container)| (kind, container.clone()))
        .or_else(|| {
            ephemeral_containers(pod).into_iter().find(|container| container.name == wanted).map(|container| (Kind::Ephemeral, container))
        })
}
