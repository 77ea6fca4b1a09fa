//! What node-init is asked and what it answers: plain data over `SOCK_SEQPACKET`, one JSON message per datagram, descriptors beside it.
//!
//! Both ends live in this crate, so the format may change freely; the shapes are what matters to the kubelet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use drydock_container::cgroup::{Enforcement, Usage};
use drydock_container::{ContainerSpec, ProcessSpec, SandboxConfig};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A request and the number its reply carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the client, unique on its connection.
    pub id: u64,
    /// What is asked.
    pub request: Request,
}

/// What node-init can be asked. Descriptors that come with the reply are named in brackets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// What this node can do, and since when it runs.
    Info,
    /// Make the namespaces of a Pod. [network namespace]
    CreateSandbox {
        /// Chosen by the caller.
        id: String,
        /// What to make.
        config: SandboxConfig,
        /// Free text returned by [`Request::List`].
        labels: BTreeMap<String, String>,
    },
    /// Let the namespaces go. Containers still in it are killed and removed first.
    RemoveSandbox {
        /// Which.
        id: String,
    },
    /// Make and run a container. [stdin if open, stdout, stderr] or [terminal]
    StartContainer {
        /// The sandbox it lives in; `None` is the node itself.
        sandbox: Option<String>,
        /// What to run.
        spec: Box<ContainerSpec>,
    },
    /// Run one more process in a running container. [as for StartContainer]
    Exec {
        /// The container.
        container: String,
        /// Chosen by the caller; [`Event::Exited`] carries it.
        id: String,
        /// What to run.
        process: Box<ProcessSpec>,
    },
    /// Signal a container's or an exec's process.
    Signal {
        /// Container or exec id.
        id: String,
        /// Signal number.
        signal: i32,
        /// Only the first process, or everything in the container.
        scope: Scope,
    },
    /// Forget an exited container: its cgroup and its descriptors go. Killed first when it runs.
    Remove {
        /// Container id.
        id: String,
    },
    /// Everything there is, for a kubelet that was restarted.
    List,
    /// The pipes or terminal of a container once more. [as for StartContainer]
    Stdio {
        /// Container id.
        id: String,
    },
    /// Let go of node-init's end of a container's standard input, so that it can reach end of file (`stdinOnce`).
    CloseStdin {
        /// Container id.
        id: String,
    },
    /// The network namespace. [namespace]
    Netns {
        /// Whose.
        of: Netns,
    },
    /// A socket made in a network namespace; it stays there wherever it is used. [socket]
    Socket {
        /// Where.
        of: Netns,
        /// IPv6 instead of IPv4.
        v6: bool,
        /// UDP instead of TCP.
        datagram: bool,
    },
    /// A file below the root of a running container, opened as if that root were `/`. [file]
    OpenFile {
        /// Container id.
        container: String,
        /// Absolute path inside.
        path: PathBuf,
        /// For what.
        access: FileAccess,
    },
    /// What a container uses.
    Usage {
        /// Container id.
        id: String,
    },
    /// Start, stop or restart one of the configured child processes (`kubelet`).
    Child {
        /// Its name.
        name: String,
        /// What to do.
        action: ChildAction,
    },
    /// Power the node off: node-init ends and everything with it.
    PowerOff,
}

/// How far a signal reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// The process itself.
    Process,
    /// All processes of the container.
    All,
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileAccess {
    /// Reading; directories too.
    Read,
    /// Writing from the start; made when missing, emptied when not.
    Replace {
        /// Permission bits of a new file.
        mode: u32,
    },
}

/// Which network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Netns {
    /// The node's.
    Node,
    /// A sandbox's.
    Sandbox(String),
}

/// What to do with a child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildAction {
    /// Run it (again); nothing when it runs.
    Start,
    /// End it (SIGTERM, then SIGKILL after two seconds) and leave it ended.
    Stop,
    /// Kill it; it comes back by itself.
    Restart,
}

/// What node-init sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Message {
    /// The answer to the call with this number.
    Reply {
        /// The call's number.
        id: u64,
        /// Its result.
        result: Result<Reply, Failure>,
    },
    /// Something happened.
    Event(Event),
}

/// A successful answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Reply {
    /// Done; descriptors, if any, are as the request says.
    Done,
    /// [`Request::Info`].
    Info(NodeInfo),
    /// A process runs.
    Started(Started),
    /// [`Request::List`].
    List(Inventory),
    /// [`Request::Usage`].
    Usage(Usage),
}

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Failure {
    /// The container runtime failed; carries runc's wording.
    #[error(transparent)]
    Container(#[from] drydock_container::Error),
    /// There is no such sandbox, container, exec or child.
    #[error("{kind} {id:?} not found")]
    NotFound {
        /// `sandbox`, `container`, `process`, `child`.
        kind: String,
        /// What was asked for.
        id: String,
    },
    /// There is one already.
    #[error("{kind} {id:?} already exists")]
    Exists {
        /// `sandbox`, `container`, `process`.
        kind: String,
        /// What was asked for.
        id: String,
    },
    /// It has ended.
    #[error("container {id:?} is not running")]
    NotRunning {
        /// Container id.
        id: String,
    },
    /// The kernel refused.
    #[error("{what}: {error}")]
    Kernel {
        /// What was tried.
        what: String,
        /// What it said.
        error: String,
    },
    /// A file could not be opened.
    #[error("{}: {}", path.display(), drydock_container::error::describe(nix::errno::Errno::from_raw(*errno)))]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        errno: i32,
    },
    /// The connection to node-init is gone.
    #[error("node-init is gone")]
    Gone,
}

/// What a node can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The node's name.
    pub name: String,
    /// Which limits are enforced.
    pub enforcement: Enforcement,
    /// What had to be left out here, one sentence each.
    pub degraded: Vec<String>,
    /// When node-init started.
    pub booted: Timestamp,
}

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// As the node sees it.
    pub pid: i32,
    /// What its descriptors are.
    pub stdio: StdioKind,
    /// When it became the program.
    pub at: Timestamp,
    /// What had to be left out for this one.
    pub degraded: Vec<String>,
}

/// Which descriptors come with a reply, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StdioKind {
    /// Pipes: standard input when `stdin`, then output, then error.
    Pipes {
        /// Whether the first descriptor is standard input.
        stdin: bool,
    },
    /// One terminal for all three.
    Terminal,
}

/// Everything on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Sandboxes by id.
    pub sandboxes: BTreeMap<String, SandboxRecord>,
    /// Containers by id, also those that ended and were not removed.
    pub containers: BTreeMap<String, ContainerRecord>,
    /// Child processes by name, with their process id while they run.
    pub children: BTreeMap<String, Option<i32>>,
}

/// One sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// As it was asked for.
    pub config: SandboxConfig,
    /// As they were given.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Its sandbox.
    pub sandbox: Option<String>,
    /// As it was asked for.
    pub spec: ContainerSpec,
    /// As the node sees it.
    pub pid: i32,
    /// When it became the program.
    pub started: Timestamp,
    /// How it ended, if it did.
    pub exit: Option<Exit>,
    /// What had to be left out for this one.
    pub degraded: Vec<String>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// What `wait` gave, or 128 + signal.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed something in its cgroup for lack of memory.
    pub oom_killed: bool,
    /// Something of it was ended because the disk was full: whose disk.
    #[serde(default)]
    pub disk_full: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Something that happened; every connected client hears of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A container or exec ended.
    Exited {
        /// Container or exec id.
        id: String,
        /// For an exec, the container it ran in.
        exec_in: Option<String>,
        /// How.
        exit: Exit,
    },
    /// A child process ended; it will be started again unless it was asked to stop.
    ChildExited {
        /// Its name.
        name: String,
        /// How.
        exit: Exit,
    },
}

/// How to run node-init; read as JSON from standard input by `role:node-init`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InitConfig {
    /// The node's name and host name.
    pub name: String,
    /// The node's own root directory (`<state>/nodes/<name>`), entered by `pivot_root`; `None` stays where it is.
    pub root: Option<PathBuf>,
    /// Files and directories brought into that root.
    pub binds: Vec<RootBind>,
    /// Path of the listening socket, inside the node's root.
    pub socket: PathBuf,
    /// Delegated cgroup directories as the *caller* sees them: `memory`, `cpu`, `pids`, or `unified`.
    pub cgroups: Vec<(String, PathBuf)>,
    /// Child processes to keep alive.
    pub children: Vec<ChildSpec>,
    /// How much may be on its disk; `None` is as much as there is room for.
    pub disk: Option<DiskLimit>,
}

/// What a machine's disk holds when nobody says otherwise.
pub const USUAL_DISK: u64 = 10 << 30;

/// How much may be on a machine's disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskLimit {
    /// The directories its disk is made of, as the machine sees them.
    pub places: Vec<PathBuf>,
    /// What is below them and somebody else's: directories brought in from outside.
    pub except: Vec<PathBuf>,
    /// Bytes.
    pub most: u64,
}

/// Something of the caller's file system that the node may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootBind {
    /// Path as the caller sees it.
    pub source: PathBuf,
    /// Path in the node.
    pub target: PathBuf,
    /// Read-only there.
    pub readonly: bool,
}

/// A process node-init keeps alive: this same executable with other arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChildSpec {
    /// How requests name it (`kubelet`).
    pub name: String,
    /// Arguments after the program name (`role:kubelet`).
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// What it reads from standard input: its configuration.
    pub stdin: String,
}
