//! What the engine needs of a node: plain data about containers and images, and a few things to do to them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

/// What a slow operation of a [`Runtime`] returns.
pub type RuntimeFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, RuntimeError>> + Send + 'a>>;

/// A node, as the engine sees it. `id` is always the whole id of something that was listed a moment ago.
pub trait Runtime: Send + Sync + 'static {
    /// The machine.
    fn info(&self) -> Info;

    /// Every container there is, also those that ended, in any order.
    fn containers(&self) -> Vec<Container>;

    /// Every image there is.
    fn images(&self) -> Vec<Image>;

    /// End a container at once if it runs, and forget it: its record, its writable layer. Done when it is gone.
    fn remove<'a>(&'a self, id: &'a str) -> RuntimeFuture<'a, ()>;

    /// Ask a container to end, kill it after `grace`. Done when it has ended. `grace` is `None` for the image's own or ten seconds.
    fn stop<'a>(&'a self, id: &'a str, grace: Option<Duration>) -> RuntimeFuture<'a, ()>;

    /// Send a signal to the first process.
    fn kill<'a>(&'a self, id: &'a str, signal: i32) -> RuntimeFuture<'a, ()>;

    /// What it has written so far and, when asked to follow, what it goes on to write. The channel closes at the end; the engine drops
    /// its end when the reader goes away.
    fn logs<'a>(&'a self, id: &'a str, query: LogQuery) -> RuntimeFuture<'a, mpsc::Receiver<LogLine>>;
}

/// Something that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// It went away in the meantime.
    #[error("No such container: {0}")]
    NotFound(String),
    /// It is in no state for that.
    #[error("{0}")]
    Conflict(String),
    /// It failed.
    #[error("{0}")]
    Failed(String),
}

/// The machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// The node's name.
    pub name: String,
    /// Version of this program.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of the node's `/etc/os-release`.
    pub operating_system: String,
    /// Processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory: u64,
    /// Where images and containers are kept.
    pub directory: String,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
    pub name: String,
    /// The image as it was asked for.
    pub image: String,
    /// `sha256:...` of the image's configuration.
    pub image_id: String,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory.
    pub working_dir: String,
    /// `USER`, or empty.
    pub user: String,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input is open.
    pub stdin: bool,
    /// Host name inside.
    pub hostname: String,
    /// Labels, those of Kubernetes among them.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// What it does.
    pub state: ContainerState,
    /// Mounted volumes.
    pub mounts: Vec<MountPoint>,
    /// `container:<id>` of the sandbox, `none` for a sandbox.
    pub network_mode: String,
    /// Where its output is kept.
    pub log_path: String,
    /// How many instances came before this one.
    pub restart_count: u32,
    /// Bytes of memory it may use; 0 is no limit.
    pub memory_limit: u64,
    /// Thousandths of a core it may use; 0 is no limit.
    pub cpu_millis: u64,
}

/// What a container does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, not run yet.
    #[default]
    Created,
    /// Runs.
    Running {
        /// Since when.
        started: Timestamp,
        /// As the node sees it.
        pid: i32,
    },
    /// Has ended.
    Exited {
        /// When it began; `None` when it never did.
        started: Option<Timestamp>,
        /// When it ended.
        finished: Timestamp,
        /// Exit code, or 128 + signal.
        code: i32,
        /// The kernel killed it for lack of memory.
        oom_killed: bool,
        /// Why it could not be started, if that is what happened.
        error: String,
    },
}

impl ContainerState {
    /// `created`, `running`, `exited`.
    pub fn name(&self) -> &'static str {
        match self {
            ContainerState::Created => "created",
            ContainerState::Running { .. } => "running",
            ContainerState::Exited { .. } => "exited",
        }
    }
}

/// One volume in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountPoint {
    /// Path on the node.
    pub source: String,
    /// Path in the container.
    pub destination: String,
    /// Whether it may be written to.
    pub writable: bool,
}

/// One image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:...` of its configuration.
    pub id: String,
    /// `name:tag`, short names as Docker has them (`busybox:latest`).
    pub tags: Vec<String>,
    /// `name@sha256:...`.
    pub digests: Vec<String>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Bytes of all layers.
    pub size: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Program it runs, with arguments: `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub command: Vec<String>,
    /// `ENV`.
    pub env: Vec<String>,
    /// `WORKDIR`.
    pub working_dir: String,
    /// `USER`.
    pub user: String,
    /// Digests of its layers, lowest first.
    pub layers: Vec<String>,
}

/// Which lines of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Go on until the container ends.
    pub follow: bool,
    /// Only this many of the last lines that are there already; `None` is all.
    pub tail: Option<usize>,
    /// Only lines written at or after this.
    pub since: Option<Timestamp>,
    /// Only lines written before this.
    pub until: Option<Timestamp>,
}

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line, or the part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where to.
    pub source: Source,
    /// When.
    pub time: Timestamp,
    /// What, with its newline unless it is a part.
    pub bytes: Bytes,
}
