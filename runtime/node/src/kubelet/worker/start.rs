//! Starting one container: specification, environment, mounts, log, process, hook, probes.
//!
//! A container whose specification cannot be met waits (`CreateContainerConfigError`); one whose program cannot be started has ended
//! with 128 (`StartError`), which is how containerd reports it.

// upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go, startContainer

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drydock_container::{ContainerSpec, Mount, PidMode, open_in_root};
use drydock_image::Image;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Container, Secret};
use kube::api::Api;
use tokio_util::task::AbortOnDropHandle;

use super::{Message, Worker};
use super::sandbox::RECORD;
use crate::init::protocol::Failure;
use crate::kubelet::assemble::{Parts, container_spec, stop_signal};
use crate::kubelet::environment::{Sources, environment, references};
use crate::kubelet::logs;
use crate::kubelet::node::new_id;
use crate::kubelet::probe;
use crate::kubelet::recorder::Severity;
use crate::kubelet::records::{Record, RecordExit};
use crate::kubelet::state::{Attempt, Ended, ImageState, Kind, Waiting, find_container, name, namespace, spec, uid};
use crate::kubelet::volumes::{self, pod_directory};

/// Why a container was not started: reason of the waiting state and sentence.
struct Refused {
    reason: &'static str,
    message: String,
}

#[allow(clippy::needless_pass_by_value, reason = "they are handed to map_err")]
impl Refused {
    fn config(message: impl ToString) -> Self {
        Refused { reason: "CreateContainerConfigError", message: message.to_string() }
    }

    fn create(message: impl ToString) -> Self {
        Refused { reason: "CreateContainerError", message: message.to_string() }
    }
}

impl Worker {
    pub(super) async fn start_container(&mut self, kind: Kind, container_name: &str) {
        let Some((_, container)) = find_container(&self.pod, container_name) else { return };
        let Some(image) = self.images.get(container_name).cloned() else {
            self.state.slot_mut(container_name).image = ImageState::Unknown;
            return;
        };
        self.retire(container_name).await;
        match self.make_spec(&container, &image).await {
            Ok((record, spec)) => self.run_container(kind, &container, record, spec).await,
            Err(refused) => {
                self.tell_container(container_name, Severity::Warning, "Failed", format!("Error: {}", refused.message));
                let slot = self.state.slot_mut(container_name);
                slot.waiting = Some(Waiting::new(refused.reason, refused.message));
                slot.retry = Some(Timestamp::now() + SignedDuration::from_secs(5));
            }
        }
    }

    /// Count the restart, and forget the instance before the last.
    async fn retire(&mut self, container_name: &str) {
        let now = Timestamp::now();
        let slot = self.state.slot_mut(container_name);
        let ended = slot.ended().map(|ended| ended.at);
        if let Some(at) = ended {
            slot.backoff.next(at, now);
        }
        slot.retry = None;
        let old = if slot.current.is_some() { slot.previous.take() } else { None };
        if let Some(record) = old.and_then(|old| self.node.records.remove(&old.id)) {
            self.node.forget(&record).await;
        }
    }

    /// How many instances came before: from what is known, or else from the logs they left.
    // upstream: calcRestartCountByLogDir
    fn next_number(&self, container_name: &str, logs: &Path) -> u32 {
        if let Some(current) = &self.state.slot(container_name).current {
            return current.number + 1;
        }
        let numbers = fs::read_dir(logs).into_iter().flatten().flatten().filter_map(|entry| {
            entry.file_name().to_string_lossy().split('.').next()?.parse::<u32>().ok()
        });
        numbers.max().map_or(0, |last| last + 1)
    }

    async fn make_spec(&mut self, container: &Container, image: &Image) -> Result<(Record, ContainerSpec), Refused> {
        let sandbox = self.state.sandbox.clone().ok_or_else(|| Refused::create("the sandbox is gone"))?;
        let sources = self.sources(container).await.map_err(Refused::config)?;
        let facts = self.node.facts(&sandbox.ip);
        let env = environment(&self.pod, container, &sources, &facts).map_err(Refused::config)?;
        let id = new_id();
        let config = &self.node.config;
        let logs = self.node.pod_logs(namespace(&self.pod), name(&self.pod), uid(&self.pod)).join(&container.name);
        let number = self.next_number(&container.name, &logs);
        let directory = config.containers.join(&id);
        let termination_log = pod_directory(&config.pods, uid(&self.pod)).join("containers").join(&container.name).join(&id[..8]);
        let mut mounts = volumes::mounts(container, &self.volumes, &env).map_err(Refused::config)?;
        let shown_mounts = mounts.clone();
        mounts.extend(self.system_mounts(container, image, &mounts, &termination_log).map_err(Refused::create)?);
        fs::create_dir_all(&directory).map_err(|error| Refused::create(format!("mkdir {}: {error}", directory.display())))?;
        let hostname = self.hostname();
        let qos = self.status.qos_class.clone().unwrap_or_else(|| "BestEffort".to_owned());
        let parts = Parts { id: &id, image, env: &env, mounts, directory: &directory, hostname: &hostname, qos: &qos };
        let mut made = container_spec(&self.pod, container, parts).map_err(Refused::config)?;
        if let Some(target) = self.target_of(&container.name) {
            made.pid = PidMode::Container(target);
        }
        let record = Record {
            id: id.clone(),
            sandbox: sandbox.id.clone(),
            namespace: namespace(&self.pod).to_owned(),
            pod: name(&self.pod).to_owned(),
            uid: uid(&self.pod).to_owned(),
            container: container.name.clone(),
            attempt: number,
            image: container.image.clone().unwrap_or_default(),
            image_tag: image.repo_tags.first().cloned().unwrap_or_else(|| image.reference.to_string()),
            image_ref: image.repo_digests.first().cloned().unwrap_or_else(|| image.id.to_string()),
            image_id: image.id.to_string(),
            created: Some(Timestamp::now()),
            labels: self.labels(&container.name, "container", &sandbox.id),
            log_path: logs.join(format!("{number}.log")),
            directory,
            termination_log,
            stop_signal: stop_signal(container, image),
            process: made.process.clone(),
            mounts: shown_mounts,
            limits: made.cgroup.as_ref().map(|cgroup| cgroup.limits.clone()).unwrap_or_default(),
            hostname,
            stdin_once: container.stdin_once == Some(true),
            ip: sandbox.ip,
            ..Record::default()
        };
        let text = serde_json::to_string(&record).map_err(Refused::create)?;
        made.labels.insert(RECORD.to_owned(), text);
        Ok((record, made))
    }

    /// The container whose processes an ephemeral container sees (`targetContainerName`), while it runs.
    fn target_of(&self, container_name: &str) -> Option<String> {
        let mut debug = spec(&self.pod).ephemeral_containers.iter().flatten();
        let target = debug.find(|debug| debug.name == container_name)?.target_container_name.clone()?;
        self.state.slot(&target).running().map(|attempt| attempt.id.clone())
    }

    /// Fetch what the environment refers to.
    async fn sources(&self, container: &Container) -> Result<Sources, String> {
        let wanted = references(container);
        let mut sources = Sources::default();
        let maps: Api<ConfigMap> = Api::namespaced(self.node.client.clone(), namespace(&self.pod));
        for name in wanted.config_maps {
            if let Some(map) = maps.get_opt(&name).await.map_err(|error| error.to_string())? {
                sources.config_maps.insert(name, map);
            }
        }
        let secrets: Api<Secret> = Api::namespaced(self.node.client.clone(), namespace(&self.pod));
        for name in wanted.secrets {
            if let Some(secret) = secrets.get_opt(&name).await.map_err(|error| error.to_string())? {
                sources.secrets.insert(name, secret);
            }
        }
        // Services must have been listed once, or a container would miss variables it is entitled to.
        let mut services = self.node.services.clone();
        let known = services.wait_for(Option::is_some).await.map_err(|error| error.to_string())?;
        sources.services = known.clone().unwrap_or_default();
        Ok(sources)
    }

    /// Mounts every container has, unless a volume is mounted there.
    fn system_mounts(&self, container: &Container, image: &Image, own: &[Mount], termination_log: &Path) -> Result<Vec<Mount>, String> {
        let etc = self.etc();
        let trusted = trusted_file(image, own, &etc.join(format!("{}-certificates.crt", container.name)), &self.node.config.ca);
        let trusted = trusted.map_err(|error| format!("write the certificates of the lab's Internet: {error}"))?;
        let files = ["hosts", "resolv.conf", "hostname"].map(|file| (etc.join(file), PathBuf::from("/etc").join(file)));
        let target = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
        if let Some(parent) = termination_log.parent() {
            fs::create_dir_all(parent).map_err(|error| format!("mkdir {}: {error}", parent.display()))?;
        }
        fs::write(termination_log, "").map_err(|error| format!("write {}: {error}", termination_log.display()))?;
        use std::os::unix::fs::PermissionsExt;
        let permissions = fs::Permissions::from_mode(0o666);
        fs::set_permissions(termination_log, permissions).map_err(|error| format!("chmod {}: {error}", termination_log.display()))?;
        let all = files.into_iter().chain(trusted).chain([(termination_log.to_owned(), PathBuf::from(target))]);
        Ok(all.filter(|(_, target)| !own.iter().any(|mount| mount.target == *target)).map(|(source, target)| Mount::bind(source, target)).collect())
    }

    async fn run_container(&mut self, kind: Kind, container: &Container, mut record: Record, spec: ContainerSpec) {
        self.tell_container(&container.name, Severity::Normal, "Created", format!("Created container: {}", container.name));
        // A record must exist before the process does: it may end at once.
        self.node.records.set(record.clone(), None);
        let sandbox = record.sandbox.clone();
        match self.node.init.start_container(Some(&sandbox), spec).await {
            Ok((started, stdio)) => {
                record.started = Some(started.at);
                record.pid = started.pid;
                let io = match logs::pump(stdio, &record.log_path, record.stdin_once) {
                    Ok(io) => Some(io),
                    Err(error) => {
                        tracing::error!(path = %record.log_path.display(), %error, "cannot keep a container's log");
                        None
                    }
                };
                self.link_log(&record);
                // It may have ended meanwhile; then the record knows and the message is on its way.
                record.exit = self.node.records.get(&record.id).and_then(|entry| entry.record.exit);
                self.node.records.set(record.clone(), io);
                self.push_attempt(&record, None);
                self.state.slot_mut(&container.name).waiting = None;
                self.tell_container(&container.name, Severity::Normal, "Started", format!("Started container {}", container.name));
                self.watch_container(kind, container, &record);
                if record.exit.is_some() {
                    self.node.tell(uid(&self.pod), Message::Exited { id: record.id.clone() });
                } else {
                    self.post_start(container, &record);
                }
            }
            Err(failure) => self.start_failed(container, record, &failure),
        }
    }

    fn start_failed(&mut self, container: &Container, mut record: Record, failure: &Failure) {
        let message = match failure {
            Failure::Container(error) => error.start_message(),
            other => other.to_string(),
        };
        self.tell_container(&container.name, Severity::Warning, "Failed", format!("Error: {message}"));
        let at = Timestamp::now();
        let exit = RecordExit { code: 128, reason: "StartError".into(), message: None, at };
        record.exit = Some(exit);
        record.error.clone_from(&message);
        if let Err(error) = fs::create_dir_all(record.log_path.parent().unwrap_or(Path::new("/"))).and_then(|()| fs::write(&record.log_path, "")) {
            tracing::debug!(%error, "the log of a container that never ran");
        }
        self.node.records.set(record.clone(), None);
        self.push_attempt(&record, Some(Ended { code: 128, reason: "StartError".into(), message: Some(message.clone()), at, lost: false }));
        let slot = self.state.slot_mut(&container.name);
        slot.image = ImageState::Unknown;
        slot.waiting = Some(Waiting::new("RunContainerError", message));
    }

    fn push_attempt(&mut self, record: &Record, exit: Option<Ended>) {
        let attempt = Attempt { exit, ..attempt(record) };
        let slot = self.state.slot_mut(&record.container);
        if let Some(old) = slot.current.replace(attempt) {
            slot.previous = Some(old);
        }
        (slot.stopping, slot.stop_by) = (false, None);
        slot.unhealthy = None;
    }

    /// What follows from a container running: readiness, probes.
    pub(super) fn watch_container(&mut self, kind: Kind, container: &Container, record: &Record) {
        let probed = matches!(kind, Kind::Regular | Kind::Sidecar);
        let slot = self.state.slot_mut(&container.name);
        slot.started = !(probed && container.startup_probe.is_some());
        slot.ready = !probed;
        if probed && record.exit.is_none() {
            let field = self.field(&container.name);
            let probes = probe::start(&self.node, &self.pod, container, record, &field);
            self.probes.insert(container.name.clone(), probes);
        }
    }

    /// Run the postStart hook beside everything else.
    fn post_start(&mut self, container: &Container, record: &Record) {
        let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone()) else { return };
        self.state.slot_mut(&container.name).hooking = true;
        let (node, spec, record) = (Arc::clone(&self.node), container.clone(), record.clone());
        let task = tokio::spawn(async move {
            let result = crate::kubelet::hook::run(&node, &spec, &record, &hook).await;
            node.tell(&record.uid, Message::Hooked { container: spec.name, id: record.id.clone(), result });
        });
        self.hooks.insert(container.name.clone(), AbortOnDropHandle::new(task));
    }

    /// A container whose hook failed is stopped, and started again as its Pod says.
    pub(super) fn hooked(&mut self, container: &str, id: &str, result: Result<(), String>) {
        let slot = self.state.slot_mut(container);
        if slot.running().is_none_or(|current| current.id != id) {
            return;
        }
        slot.hooking = false;
        if let Err(error) = result {
            tracing::debug!(container, error, "postStart");
            slot.unhealthy = Some("FailedPostStartHook".to_owned());
            self.tell_container(container, Severity::Warning, "FailedPostStartHook", "PostStartHook failed");
        }
    }

    fn link_log(&self, record: &Record) {
        let link = self.node.container_link(record);
        let made = fs::create_dir_all(link.parent().unwrap_or(Path::new("/")))
            .and_then(|()| std::os::unix::fs::symlink(&record.log_path, &link));
        if let Err(error) = made {
            tracing::warn!(link = %link.display(), %error, "cannot link a container's log");
        }
    }
}

/// Where programs look for authorities they trust.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// More than all the authorities there are.
const MAX_CERTIFICATES: u64 = 4 << 20;

/// What a container trusts: what its image does, and the authority of the lab's Internet. An image without a place for certificates has no
/// program that looks for them; where a volume lies, the Pod decides.
fn trusted_file(image: &Image, own: &[Mount], file: &Path, authority: &str) -> std::io::Result<Option<(PathBuf, PathBuf)>> {
    let target = Path::new(CERTIFICATES);
    let inside = target.strip_prefix("/").unwrap_or(target);
    let has_place = image.layers.iter().any(|layer| inside.parent().is_some_and(|parent| in_layer(layer, parent, libc::O_DIRECTORY).is_some()));
    if !has_place || own.iter().any(|mount| target.starts_with(&mount.target)) {
        return Ok(None);
    }
    let of_image = image.layers.iter().rev().find_map(|layer| text_in_layer(layer, inside)).unwrap_or_default();
    fs::write(file, format!("{of_image}{authority}"))?;
    Ok(Some((file.to_owned(), target.to_owned())))
}

/// Open what an image has at a path. Its links are its own: they lead to other files of the layer, never to the node's.
fn in_layer(layer: &Path, path: &Path, flags: libc::c_int) -> Option<fs::File> {
    let root = fs::File::open(layer).ok()?;
    // What may turn out to be a FIFO is not waited for.
    open_in_root(root.as_fd(), path, libc::O_RDONLY | libc::O_NONBLOCK | flags, 0).ok().map(fs::File::from)
}

/// The text of a regular file of an image.
fn text_in_layer(layer: &Path, path: &Path) -> Option<String> {
    let file = in_layer(layer, path, 0)?;
    file.metadata().is_ok_and(|about| about.is_file()).then_some(())?;
    let mut text = String::new();
    let read = file.take(MAX_CERTIFICATES + 1).read_to_string(&mut text).ok()?;
    (read as u64 <= MAX_CERTIFICATES).then_some(text)
}

/// What a worker remembers of a container.
pub(in crate::kubelet) fn attempt(record: &Record) -> Attempt {
    Attempt {
        id: record.id.clone(),
        sandbox: record.sandbox.clone(),
        number: record.attempt,
        image: record.image_tag.clone(),
        image_id: record.image_ref.clone(),
        created: record.created.unwrap_or(Timestamp::UNIX_EPOCH),
        started: record.started,
        exit: None,
    }
}

const MAX_MESSAGE: u64 = 4096;
const MAX_FROM_LOG: u64 = 2048;
const MAX_LINES_FROM_LOG: usize = 80;

/// A container's last words: what it wrote to its termination log, or the end of its output when it failed and that is asked for.
// upstream: pkg/kubelet/kuberuntime/kuberuntime_container.go, getTerminationMessage
pub(in crate::kubelet) fn termination_message(record: &Record, exit: &RecordExit, policy: Option<&str>) -> Option<String> {
    let own = tail_of(&record.termination_log, MAX_MESSAGE);
    if own.is_empty() && exit.message.is_some() {
        return exit.message.clone();
    }
    if !own.is_empty() || exit.code == 0 || policy != Some("FallbackToLogsOnError") {
        return Some(own).filter(|text| !text.is_empty());
    }
    // Log lines carry a time and two words before their text.
    let raw = tail_of(&record.log_path, 4 * MAX_FROM_LOG);
    let lines: Vec<&str> = raw.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let mut text = lines[lines.len().saturating_sub(MAX_LINES_FROM_LOG)..].iter().map(|line| format!("{line}\n")).collect::<String>();
    while text.len() as u64 > MAX_FROM_LOG {
        text = text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    }
    Some(text).filter(|text| !text.is_empty())
}

fn tail_of(path: &Path, limit: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_an_image_trusts_is_in_the_image() {
        let state = tempfile::tempdir().unwrap();
        let (secret, layer) = (state.path().join("secret"), state.path().join("layer"));
        fs::write(&secret, "the node's own").unwrap();
        let path = Path::new("etc/ssl/certs/ca-certificates.crt");
        let at = layer.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::create_dir_all(layer.join("etc/pki")).unwrap();
        fs::write(layer.join("etc/pki/bundle"), "an authority").unwrap();
        for (target, read) in [(secret.to_str().unwrap(), None), ("../../../../secret", None), ("/etc/pki/bundle", Some("an authority")), ("/etc/pki", None)] {
            symlink(target, &at).unwrap();
            assert_eq!(text_in_layer(&layer, path).as_deref(), read, "{target}");
            fs::remove_file(&at).unwrap();
        }
        nix::unistd::mkfifo(&at, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(text_in_layer(&layer, path), None);
        fs::remove_dir_all(layer.join("etc/ssl")).unwrap();
        symlink(state.path(), layer.join("etc/ssl")).unwrap();
        assert!(in_layer(&layer, Path::new("etc/ssl"), libc::O_DIRECTORY).is_none(), "not the node's directory");
    }
}
