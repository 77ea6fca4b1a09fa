//! The node as Docker users know it: the kubelet's records behind `drydock_engine`'s API, on a unix socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drydock_container::MountKind;
use drydock_engine::{
    Container, ContainerState, Image, Info, LogLine, LogQuery, MountPoint, Runtime, RuntimeError, RuntimeFuture, Source,
};
use drydock_primitives::quantity::Quantity;
use jiff::Timestamp;
use nix::sys::signal::Signal;
use tokio::net::UnixListener;
use tokio::sync::mpsc;

use super::log_reader::{LogReader, parse_line};
use super::node::Node;
use super::records::{Entry, Record};
use crate::init::protocol::Scope;

/// Serve the engine's API at `socket` in the background. A node without it is still a node.
pub(super) fn start(node: &Arc<Node>, socket: &Path) {
    let listener = match listen(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(socket = %socket.display(), %error, "no container engine on this node");
            return;
        }
    };
    let runtime = Arc::new(Engine(Arc::clone(node)));
    tokio::spawn(async move {
        if let Err(error) = drydock_engine::serve(listener, runtime).await {
            tracing::error!(%error, "the container engine");
        }
    });
}

fn listen(socket: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = socket.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    // For everybody who sees it. The learner is an ordinary user of another machine, so no group of this node would mean anything there;
    // Pods see it only where they may mount the node's files, and are root of the node then anyway.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

struct Engine(Arc<Node>);

impl Engine {
    fn entry(&self, id: &str) -> Result<Entry, RuntimeError> {
        self.0.records.get(id).ok_or_else(|| RuntimeError::NotFound(id.to_owned()))
    }
}

impl Runtime for Engine {
    fn info(&self) -> Info {
        let config = &self.0.config;
        let amount = |name: &str| config.capacity.get(name).and_then(|text| text.parse::<Quantity>().ok()).map_or(0, Quantity::value);
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let release = read("/etc/os-release");
        let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Drydock");
        Info {
            name: config.node_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            operating_system: pretty.trim_matches('"').to_owned(),
            cpus: u32::try_from(amount("cpu")).unwrap_or(1),
            memory: u64::try_from(amount("memory")).unwrap_or(0),
            directory: "/var/lib/drydock".to_owned(),
        }
    }

    fn containers(&self) -> Vec<Container> {
        self.0.records.all().iter().map(container).collect()
    }

    fn images(&self) -> Vec<Image> {
        match self.0.images.list() {
            Ok(images) => images.iter().map(image).collect(),
            Err(error) => {
                tracing::warn!(%error, "cannot list images");
                Vec::new()
            }
        }
    }

    fn remove<'a>(&'a self, id: &'a str) -> RuntimeFuture<'a, ()> {
        Box::pin(async move {
            self.entry(id)?;
            self.0.remove(id).await;
            Ok(())
        })
    }

    fn stop<'a>(&'a self, id: &'a str, grace: Option<Duration>) -> RuntimeFuture<'a, ()> {
        Box::pin(async move {
            self.entry(id)?;
            self.0.stop(id, grace.unwrap_or(Duration::from_secs(10))).await;
            Ok(())
        })
    }

    fn kill<'a>(&'a self, id: &'a str, signal: i32) -> RuntimeFuture<'a, ()> {
        Box::pin(async move {
            let entry = self.entry(id)?;
            if entry.record.exit.is_some() {
                return Err(RuntimeError::Conflict(format!("cannot kill container: {id}: container {id} is not running")));
            }
            let signal = Signal::try_from(signal).map_err(|_| RuntimeError::Failed(format!("invalid signal: {signal}")))?;
            self.0.signal(id, signal, Scope::Process).await;
            Ok(())
        })
    }

    fn logs<'a>(&'a self, id: &'a str, query: LogQuery) -> RuntimeFuture<'a, mpsc::Receiver<LogLine>> {
        Box::pin(async move {
            let entry = self.entry(id)?;
            let (sender, receiver) = mpsc::channel(64);
            if entry.record.is_sandbox() {
                return Ok(receiver);
            }
            let reader = LogReader::open(entry.record.log_path.clone()).map_err(|error| RuntimeError::Failed(error.to_string()))?;
            let growth = entry.io.map(|io| io.progress());
            let lines = reader.spawn(query.tail, query.follow, growth);
            tokio::spawn(pass(lines, query, sender));
            Ok(receiver)
        })
    }
}

async fn pass(mut pieces: mpsc::Receiver<io::Result<Vec<u8>>>, query: LogQuery, sender: mpsc::Sender<LogLine>) {
    while let Some(Ok(piece)) = pieces.recv().await {
        for line in piece.split(|byte| *byte == b'\n').filter_map(|line| log_line(line, &query)) {
            if sender.send(line).await.is_err() {
                return;
            }
        }
    }
}

fn log_line(line: &[u8], query: &LogQuery) -> Option<LogLine> {
    let line = parse_line(line)?;
    let time: Timestamp = line.time.parse().ok()?;
    if query.since.is_some_and(|since| time < since) || query.until.is_some_and(|until| time >= until) {
        return None;
    }
    let source = if line.stream == "stderr" { Source::Stderr } else { Source::Stdout };
    let mut bytes = line.text.to_vec();
    if line.complete {
        bytes.push(b'\n');
    }
    Some(LogLine { source, time, bytes: Bytes::from(bytes) })
}

fn container(record: &Record) -> Container {
    let process = &record.process;
    let user = &process.user;
    Container {
        id: record.id.clone(),
        name: record.docker_name(),
        image: record.image.clone(),
        image_id: record.image_id.clone(),
        args: if record.is_sandbox() { vec!["/pause".to_owned()] } else { process.args.clone() },
        env: process.env.clone(),
        working_dir: process.cwd.display().to_string(),
        user: user.uid.map_or_else(|| user.name.clone(), |uid| uid.to_string()),
        tty: process.tty,
        stdin: process.stdin,
        hostname: record.hostname.clone(),
        labels: record.labels.clone(),
        created: record.created,
        state: state(record),
        mounts: record.mounts.iter().filter_map(|mount| match &mount.kind {
            MountKind::Bind { source } => Some(MountPoint {
                source: source.display().to_string(),
                destination: mount.target.display().to_string(),
                writable: !mount.readonly,
            }),
            _ => None,
        }).collect(),
        network_mode: if record.is_sandbox() { "none".to_owned() } else { format!("container:{}", record.sandbox) },
        log_path: record.log_path.display().to_string(),
        restart_count: 0,
        memory_limit: record.limits.memory.unwrap_or(0),
        cpu_millis: record.limits.cpu_millis.unwrap_or(0),
    }
}

fn state(record: &Record) -> ContainerState {
    match (&record.exit, record.started) {
        (Some(exit), started) => ContainerState::Exited {
            started,
            finished: exit.at,
            code: exit.code,
            oom_killed: exit.reason == "OOMKilled",
            error: record.error.clone(),
        },
        (None, Some(started)) => ContainerState::Running { started, pid: record.pid },
        (None, None) => ContainerState::Created,
    }
}

fn image(image: &drydock_image::Image) -> Image {
    let config = image.config.config().clone().unwrap_or_default();
    let familiar = |name: &String| match drydock_image::Reference::parse(name) {
        Ok(reference) => {
            let rest = &name[name.find(&reference.path).map_or(0, |at| at + reference.path.len())..];
            format!("{}{rest}", reference.familiar_repository())
        }
        Err(_) => name.clone(),
    };
    Image {
        id: image.id.to_string(),
        tags: image.repo_tags.iter().map(familiar).collect(),
        digests: image.repo_digests.iter().map(familiar).collect(),
        created: image.config.created().as_ref().and_then(|at| at.parse().ok()),
        size: image.size,
        labels: config.labels().clone().unwrap_or_default().into_iter().collect(),
        entrypoint: config.entrypoint().clone().unwrap_or_default(),
        command: config.cmd().clone().unwrap_or_default(),
        env: config.env().clone().unwrap_or_default(),
        working_dir: config.working_dir().clone().unwrap_or_default(),
        user: config.user().clone().unwrap_or_default(),
        layers: image.config.rootfs().diff_ids().clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::records::{RecordExit, SANDBOX};

    #[test]
    fn a_container_is_shown_as_dockershim_showed_it() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut record = Record {
            id: "ab".into(),
            sandbox: "box".into(),
            namespace: "default".into(),
            pod: "web".into(),
            uid: "u".into(),
            container: "c".into(),
            attempt: 2,
            ..Record::default()
        };
        assert_eq!(container(&record).name, "k8s_c_web_default_u_2");
        assert_eq!(container(&record).network_mode, "container:box");
        assert_eq!(container(&record).state, ContainerState::Created);
        record.started = Some(at(1));
        record.pid = 7;
        assert_eq!(container(&record).state, ContainerState::Running { started: at(1), pid: 7 });
        record.exit = Some(RecordExit { code: 137, reason: "OOMKilled".into(), message: None, at: at(9) });
        assert!(matches!(container(&record).state, ContainerState::Exited { code: 137, oom_killed: true, .. }));
        record.container = SANDBOX.into();
        assert_eq!(container(&record).args, ["/pause"]);
    }

    #[test]
    fn log_lines_are_chosen_by_their_time() {
        let query = |since: Option<&str>, until: Option<&str>| LogQuery {
            since: since.map(|text| text.parse().unwrap()),
            until: until.map(|text| text.parse().unwrap()),
            ..LogQuery::default()
        };
        let line = b"2026-01-01T00:00:05Z stderr F hi";
        for (since, until, wanted) in [
            (None, None, true),
            (Some("2026-01-01T00:00:05Z"), None, true),
            (Some("2026-01-01T00:00:06Z"), None, false),
            (None, Some("2026-01-01T00:00:05Z"), false),
        ] {
            assert_eq!(log_line(line, &query(since, until)).is_some(), wanted, "{since:?} {until:?}");
        }
        let shown = log_line(line, &query(None, None)).unwrap();
        assert_eq!((shown.source, &shown.bytes[..]), (Source::Stderr, &b"hi\n"[..]));
    }
}
