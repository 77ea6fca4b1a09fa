//! What all parts of one kubelet share: its connections, its tables, and the few things that are done to containers from several places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use drydock_container::ProcessSpec;
use drydock_container::stdio::Stdio;
use drydock_network::ipam::Ipam;
use drydock_network::node::NodeNetwork;
use k8s_openapi::api::core::v1::{Pod, Service};
use nix::sys::signal::Signal;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::config::KubeletConfig;
use super::environment::Facts;
use super::recorder::Recorder;
use super::records::{Record, Records};
use super::stream::Stream;
use super::worker::Message;
use crate::init::Client;
use crate::init::protocol::{Exit, Failure, Scope};

/// One kubelet's shared parts.
pub(crate) struct Node {
    /// As it was told.
    pub(crate) config: KubeletConfig,
    /// Who spawns.
    pub(crate) init: Client,
    /// The API.
    pub(crate) client: kube::Client,
    /// Images of this node.
    pub(crate) images: Arc<drydock_image::Store>,
    /// Events.
    pub(super) recorder: Recorder,
    /// Containers of this node.
    pub(crate) records: Records,
    /// The node's side of the Pods' network, once its range is known.
    pub(crate) network: OnceLock<Network>,
    /// All Services, once listed.
    pub(crate) services: watch::Receiver<Option<Vec<Service>>>,
    pub(super) workers: Mutex<HashMap<String, mpsc::UnboundedSender<Message>>>,
    /// The tasks that write statuses, by Pod.
    pub(super) publishers: Mutex<HashMap<String, AbortHandle>>,
    /// Pods a restore has stopped, by uid.
    pub(super) halted: Mutex<HashMap<String, Halted>>,
    /// Rung when the Node object has something new to say.
    pub(super) changed: Notify,
    /// Too little of the disk is left.
    pub(super) disk_pressure: AtomicBool,
    pub(super) execs: Mutex<HashMap<String, oneshot::Sender<Exit>>>,
}

/// A Pod that a restore has stopped: its objects do not count for now.
#[derive(Default)]
pub(super) struct Halted {
    /// Objects of this revision and later do.
    from: Option<u64>,
    /// The newest object meanwhile.
    newest: Option<Arc<Pod>>,
}

/// The revision of an object.
fn revision(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_ref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The Pods' network.
pub(crate) struct Network {
    /// Wires Pods.
    pub(crate) node: NodeNetwork,
    /// Who has which address.
    pub(crate) ipam: Mutex<Ipam>,
}

/// A guard, whoever panicked while holding it: all maps here are good between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// 64 hexadecimal digits nobody had before.
pub(crate) fn new_id() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// A process started in a container.
pub(crate) struct Executed {
    /// Its id, for signals.
    pub(crate) id: String,
    /// Its streams.
    pub(crate) stdio: Stdio,
    /// How it ends.
    pub(crate) exit: oneshot::Receiver<Exit>,
}

impl Node {
    /// What a Pod cannot know about itself.
    pub(super) fn facts(&self, pod_ip: &str) -> Facts {
        Facts { pod_ip: pod_ip.to_owned(), host_ip: self.config.node_ip.to_string(), allocatable: self.config.capacity.clone() }
    }

    /// Hand something to the worker of a Pod.
    pub(super) fn tell(&self, uid: &str, message: Message) {
        if let Some(worker) = lock(&self.workers).get(uid)
            && worker.send(message).is_err()
        {
            tracing::debug!(uid, "the worker of this Pod has ended");
        }
    }

    /// From now on the objects of this Pod do not count.
    pub(super) fn hold(&self, uid: &str) {
        lock(&self.halted).insert(uid.to_owned(), Halted::default());
    }

    /// The object by which a halted Pod was known.
    pub(super) fn held(&self, uid: &str, pod: Arc<Pod>) {
        if let Some(halted) = lock(&self.halted).get_mut(uid) {
            halted.newest.get_or_insert(pod);
        }
    }

    /// Objects from this revision on count again; returns the one that does already.
    pub(super) fn release(&self, uid: &str, from: u64) -> Option<Arc<Pod>> {
        let mut table = lock(&self.halted);
        let halted = table.get_mut(uid).filter(|halted| halted.from.is_none())?;
        halted.from = Some(from);
        let pod = halted.newest.take().filter(|pod| revision(pod) >= from)?;
        table.remove(uid);
        Some(pod)
    }

    /// Whether an object that was seen counts; one of a halted Pod is kept for later.
    pub(super) fn counts(&self, uid: &str, pod: &Arc<Pod>) -> bool {
        let mut table = lock(&self.halted);
        let Some(halted) = table.get_mut(uid) else { return true };
        match halted.from {
            Some(from) if revision(pod) >= from => {
                table.remove(uid);
                true
            }
            Some(_) => false,
            None => {
                halted.newest = Some(Arc::clone(pod));
                false
            }
        }
    }

    /// Start one more process in a container.
    pub(crate) async fn exec(&self, record: &Record, change: impl FnOnce(&mut ProcessSpec)) -> Result<Executed, Failure> {
        let mut process = record.process.clone();
        process.tty = false;
        process.stdin = false;
        process.env.retain(|line| !line.starts_with("TERM="));
        change(&mut process);
        let id = new_id();
        let (sender, exit) = oneshot::channel();
        // Registered first: a short process may have ended before the reply is read.
        lock(&self.execs).insert(id.clone(), sender);
        match self.init.exec(&record.id, &id, process).await {
            Ok((_, stdio)) => Ok(Executed { id, stdio, exit }),
            Err(failure) => {
                lock(&self.execs).remove(&id);
                Err(failure)
            }
        }
    }

    /// Run a command in a container to its end and collect what it prints (10 KiB of it).
    pub(super) async fn exec_collect(&self, record: &Record, command: Vec<String>, limit: Option<Duration>) -> Result<(i32, Vec<u8>), ExecError> {
        let executed = self.exec(record, |process| process.args = command).await?;
        let id = executed.id.clone();
        let work = async {
            let output = collect(executed.stdio).await;
            let exit = executed.exit.await.map_err(|_| ExecError::Lost)?;
            Ok::<_, ExecError>((exit.code, output))
        };
        let Some(limit) = limit else { return work.await };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => {
                self.signal(&id, Signal::SIGKILL, Scope::All).await;
                Err(ExecError::Timeout(limit))
            }
        }
    }

    /// Signal a container or exec; that it has ended meanwhile is no error.
    pub(super) async fn signal(&self, id: &str, signal: Signal, scope: Scope) {
        match self.init.signal(id, signal as i32, scope).await {
            Ok(()) | Err(Failure::NotFound { .. } | Failure::NotRunning { .. }) => {}
            Err(error) => tracing::warn!(id, %signal, %error, "cannot signal"),
        }
    }

    /// Ask a container to end, and kill it when it does not within this time.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) {
        let Some(entry) = self.records.get(id) else { return };
        if entry.record.exit.is_some() {
            return;
        }
        let ended = entry.ended();
        let signal = parse_signal(&entry.record.stop_signal);
        self.signal(id, signal, Scope::Process).await;
        if tokio::time::timeout(grace, ended).await.is_err() {
            self.signal(id, Signal::SIGKILL, Scope::All).await;
            if tokio::time::timeout(Duration::from_secs(10), entry.ended()).await.is_err() {
                tracing::error!(id, "a killed container does not end");
            }
        }
    }

    /// Take a container away, running or not, with its files, and tell its Pod.
    pub(crate) async fn remove(&self, id: &str) {
        // Taken out first, so that its end is not mistaken for a crash.
        let Some(record) = self.records.remove(id) else { return };
        if record.is_sandbox() {
            // Before its containers end, so that their ends find no sandbox to start again in.
            self.tell(&record.uid, Message::SandboxRemoved);
            for own in self.records.all().into_iter().filter(|own| own.sandbox == record.id && own.exit.is_none()) {
                self.stop(&own.id, Duration::ZERO).await;
            }
            self.remove_sandbox(&record).await;
            return;
        }
        self.discard(&record).await;
        self.tell(&record.uid, Message::Removed { id: id.to_owned() });
    }

    /// Let go of all that is left of a container whose record is out of the table.
    pub(super) async fn forget(&self, record: &Record) {
        self.discard(record).await;
        remove_path(&record.log_path);
        for old in super::logs::rotated(&record.log_path).unwrap_or_default() {
            remove_path(&old);
        }
    }

    /// The same, but its log stays: its number is how the next instance knows how many came before.
    async fn discard(&self, record: &Record) {
        match self.init.remove(&record.id).await {
            Ok(()) | Err(Failure::NotFound { .. }) => {}
            Err(error) => tracing::warn!(id = record.id, %error, "cannot remove a container"),
        }
        remove_path(&record.directory);
        remove_path(&self.container_link(record));
    }

    /// Let a Pod's namespaces go, and its address.
    pub(super) async fn remove_sandbox(&self, record: &Record) {
        match self.init.remove_sandbox(&record.id).await {
            Ok(()) | Err(Failure::NotFound { .. }) => {}
            Err(error) => tracing::warn!(id = record.id, %error, "cannot remove a sandbox"),
        }
        if let Some(network) = self.network.get() {
            let (node, id) = (network.node.clone(), record.id.clone());
            match tokio::task::spawn_blocking(move || node.detach_pod(&id)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(id = record.id, %error, "the cable went with the namespace"),
                Err(error) => tracing::warn!(%error, "detaching a Pod"),
            }
            lock(&network.ipam).release(&record.id);
        }
    }

    /// `/var/log/pods/<namespace>_<name>_<uid>`.
    // upstream: pkg/kubelet/kuberuntime/helpers.go, BuildPodLogsDirectory
    pub(super) fn pod_logs(&self, namespace: &str, name: &str, uid: &str) -> PathBuf {
        self.config.logs.join("pods").join(format!("{namespace}_{name}_{uid}"))
    }

    /// `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`.
    // upstream: pkg/kubelet/kuberuntime/legacy.go, logSymlink
    pub(super) fn container_link(&self, record: &Record) -> PathBuf {
        let name = format!("{}_{}_{}-{}.log", record.pod, record.namespace, record.container, record.id);
        self.config.logs.join("containers").join(name)
    }
}

/// Why a command in a container gave no exit code.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecError {
    /// It could not be started.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// It took too long.
    #[error("command timed out after {}", super::backoff::go_duration(*.0))]
    Timeout(Duration),
    /// node-init went away.
    #[error("the exit code is lost")]
    Lost,
}

const MAX_OUTPUT: usize = 10 * 1024;

async fn collect(stdio: Stdio) -> Vec<u8> {
    let fds = match stdio {
        Stdio::Terminal(master) => vec![master],
        Stdio::Pipes { stdin, stdout, stderr } => {
            drop(stdin);
            vec![stdout, stderr]
        }
    };
    let output = Mutex::new(Vec::new());
    let readers = fds.into_iter().map(|fd| {
        let output = &output;
        async move {
            let Ok(stream) = Stream::new(fd) else { return };
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let mut output = lock(output);
                let room = MAX_OUTPUT.saturating_sub(output.len());
                output.extend_from_slice(&buffer[..count.min(room)]);
            }
        }
    });
    futures::future::join_all(readers).await;
    output.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// `SIGTERM`, `TERM` or `15`.
pub(super) fn parse_signal(text: &str) -> Signal {
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).unwrap_or(Signal::SIGTERM);
    }
    let name = if text.starts_with("SIG") { text.to_owned() } else { format!("SIG{text}") };
    name.parse().unwrap_or(Signal::SIGTERM)
}

/// Remove a file or a directory, if it is there.
pub(super) fn remove_path(path: &Path) {
    if path.as_os_str().is_empty() {
        return;
    }
    let result = match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(_) => return,
    };
    if let Err(error) = result {
        tracing::warn!(path = %path.display(), %error, "cannot remove");
    }
}
