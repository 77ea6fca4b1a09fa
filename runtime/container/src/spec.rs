//! What a container is asked to be: plain data, the same values travel from the kubelet to node-init.
//!
//! The shape follows the OCI runtime specification, cut down to what Pods need, and is convertible from its types where the
//! vocabulary is the same (capability names). Nothing here touches the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The namespaces the containers of one Pod share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SandboxConfig {
    /// Host name inside; at most 64 bytes.
    pub hostname: String,
    /// `hostNetwork: true`: stay in the node's network (and therefore keep the node's host name).
    pub host_network: bool,
    /// `hostIPC: true`: stay in the node's ipc namespace.
    pub host_ipc: bool,
    /// `shareProcessNamespace: true`: one pid namespace for all containers, with a small reaper as PID 1.
    pub share_processes: bool,
    /// Extra sysctls of the shared namespaces, `net.ipv4.tcp_syncookies` = `1`.
    pub sysctls: BTreeMap<String, String>,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Unique on the node.
    pub id: String,
    /// Where its files come from.
    pub root: RootFs,
    /// Mounts on top of the standard ones (`/proc`, `/dev`, `/dev/shm`, `/sys` ...), in order.
    pub mounts: Vec<Mount>,
    /// The program that becomes PID 1.
    pub process: ProcessSpec,
    /// Whose process ids it sees.
    pub pid: PidMode,
    /// Its control group; `None` runs it in the caller's.
    pub cgroup: Option<CgroupSpec>,
    /// All capabilities, all devices of the node, no masked paths, writable `/sys`, no system call filter.
    pub privileged: bool,
    /// `procMount: Unmasked`: leave out the masked and read-only paths below `/proc` and `/sys`.
    pub unmasked: bool,
    /// How willingly the kernel kills it when memory runs out (-1000..1000).
    pub oom_score_adj: Option<i32>,
    /// Free text the caller wants back from a listing (Pod uid, container name, log path ...).
    pub labels: BTreeMap<String, String>,
}

/// A root file system: read-only layers and one writable directory above them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    /// Unpacked image layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Directory of this container: `upper`, `work` and the mount point `root` are made below it. The caller removes it.
    pub writable: PathBuf,
    /// `readOnlyRootFilesystem: true`.
    pub readonly: bool,
}

/// One mount inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the container; made if missing. Symbolic links are resolved inside the container's root.
    pub target: PathBuf,
    /// What is mounted.
    pub kind: MountKind,
    /// Read-only, including everything mounted below it.
    #[serde(default)]
    pub readonly: bool,
}

/// What a [`Mount`] mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A file or directory of the node, with everything mounted below it.
    Bind {
        /// Path on the node.
        source: PathBuf,
    },
    /// Memory.
    Tmpfs {
        /// Limit in bytes; `None` is the kernel's default, half of the memory.
        size: Option<u64>,
        /// Permission bits of the top directory.
        mode: u32,
    },
    /// Process information of the container's pid namespace.
    Proc,
    /// A new instance of pseudo terminals.
    Devpts,
    /// POSIX message queues of the sandbox's ipc namespace.
    Mqueue,
    /// Kernel objects, as seen from the sandbox's network namespace.
    Sysfs,
}

impl Mount {
    /// A bind mount.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Self {
        Mount { target: target.into(), kind: MountKind::Bind { source: source.into() }, readonly: false }
    }

    /// A memory file system that anyone may write to, as `/tmp`.
    pub fn tmpfs(target: impl Into<PathBuf>, size: Option<u64>) -> Self {
        Mount { target: target.into(), kind: MountKind::Tmpfs { size, mode: 0o1777 }, readonly: false }
    }

    /// The same mount, read-only.
    #[must_use]
    pub fn readonly(mut self) -> Self {
        self.readonly = true;
        self
    }
}

/// A process to run: a container's first one, or a later `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSpec {
    /// Program and arguments; the program is looked up in the container's `PATH` when it has no slash.
    pub args: Vec<String>,
    /// `NAME=value`. `HOME` is added from the container's `/etc/passwd` when missing.
    pub env: Vec<String>,
    /// Working directory, made if missing; empty means `/`.
    pub cwd: PathBuf,
    /// Who it runs as.
    pub user: UserSpec,
    /// What root, or an id with file capabilities, may do.
    pub capabilities: Capabilities,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    /// System call filter.
    pub seccomp: Seccomp,
    /// Give it a terminal made inside the container instead of pipes.
    pub tty: bool,
    /// Size of that terminal at the start.
    pub terminal_size: Option<TerminalSize>,
    /// Keep standard input open; otherwise it reads end of file (a terminal can always be written to).
    pub stdin: bool,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
}

impl Default for ProcessSpec {
    fn default() -> Self {
        ProcessSpec {
            args: Vec::new(),
            env: Vec::new(),
            cwd: PathBuf::from("/"),
            user: UserSpec::default(),
            capabilities: Capabilities::default(),
            no_new_privileges: false,
            seccomp: Seccomp::Default,
            tty: false,
            terminal_size: None,
            stdin: false,
            rlimits: Vec::new(),
        }
    }
}

/// Who a process runs as. Names are looked up in the container's own `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserSpec {
    /// `USER` of the image: `""`, `name`, `uid`, `name:group` or `uid:gid`. Overridden by the two below.
    pub name: String,
    /// `runAsUser`.
    pub uid: Option<u32>,
    /// `runAsGroup`; without it the group of the user's `/etc/passwd` entry, else 0.
    pub gid: Option<u32>,
    /// `supplementalGroups` and `fsGroup`.
    pub groups: Vec<u32>,
}

impl UserSpec {
    /// A numeric user and group.
    pub fn ids(uid: u32, gid: u32) -> Self {
        UserSpec { uid: Some(uid), gid: Some(gid), ..UserSpec::default() }
    }
}

/// System call filter of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The allow-list most container engines ship.
    #[default]
    Default,
    /// None.
    Unconfined,
}

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Height in characters.
    pub rows: u16,
    /// Width in characters.
    pub cols: u16,
}

/// One resource limit, `RLIMIT_NOFILE` and friends by their kernel number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// `libc::RLIMIT_*`.
    pub resource: u32,
    /// Limit the process may raise up to `hard`.
    pub soft: u64,
    /// Ceiling.
    pub hard: u64,
}

/// Whose process ids a container sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PidMode {
    /// A pid namespace of its own: the program is PID 1.
    #[default]
    Own,
    /// The sandbox's, when it was made with `share_processes`; otherwise as [`PidMode::Own`].
    Sandbox,
    /// Another running container's (`targetContainerName` of an ephemeral container).
    Container(String),
    /// The node's (`hostPID: true`).
    Node,
}

/// A control group: a path below the node's delegated directory, and its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupSpec {
    /// Relative path, `kubepods/pod<uid>/<id>`. Parents are made without limits.
    pub path: PathBuf,
    /// What it may use.
    pub limits: Limits,
}

/// Limits of a control group. `None` means unlimited (or the kernel's default weight).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of memory, swap included.
    pub memory: Option<u64>,
    /// Thousandths of a core it may use at most.
    pub cpu_millis: Option<u64>,
    /// Thousandths of a core it is entitled to when others want the core too.
    pub cpu_request_millis: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// A set of capabilities by canonical name (`CAP_CHOWN`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(BTreeSet<String>);

/// What container engines leave to root by default.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

impl Default for Capabilities {
    fn default() -> Self {
        Capabilities(DEFAULT_CAPABILITIES.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl Capabilities {
    /// Every capability this kernel knows.
    pub fn all() -> Self {
        Capabilities(caps::all().iter().map(ToString::to_string).collect())
    }

    /// None at all.
    pub fn none() -> Self {
        Capabilities(BTreeSet::new())
    }

    /// The default set changed as a Pod's `securityContext.capabilities` says: first `drop`, then `add`; `ALL` is understood.
    // upstream: containerd internal/cri/server/container_create_linux.go, WithCapabilities
    #[must_use]
    pub fn adjusted<S: AsRef<str>>(&self, add: &[S], drop: &[S]) -> Self {
        let canonical = |name: &S| {
            let name = name.as_ref().to_ascii_uppercase();
            if name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
        };
        let (add, drop): (BTreeSet<String>, BTreeSet<String>) = (add.iter().map(canonical).collect(), drop.iter().map(canonical).collect());
        let mut set = if add.contains("CAP_ALL") { Self::all().0 } else { self.0.clone() };
        if drop.contains("CAP_ALL") && !add.contains("CAP_ALL") {
            set.clear();
        }
        set.retain(|name| !drop.contains(name));
        set.extend(add.into_iter().filter(|name| name != "CAP_ALL"));
        Capabilities(set)
    }

    /// Names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a capability, by canonical name, is in the set.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_follow_the_security_context() {
        let names = |set: Capabilities| set.names().map(str::to_owned).collect::<Vec<_>>();
        let default = Capabilities::default();
        let none: [&str; 0] = [];
        assert_eq!(names(default.adjusted(&["NET_ADMIN"], &["ALL"])), ["CAP_NET_ADMIN"]);
        assert_eq!(names(default.adjusted(&none, &["all"])), Vec::<String>::new());
        assert!(default.adjusted(&["sys_time"], &none).contains("CAP_SYS_TIME"));
        assert!(!default.adjusted(&none, &["CAP_CHOWN"]).contains("CAP_CHOWN"));
        let all_but_one = default.adjusted(&["ALL"], &["KILL"]);
        assert!(all_but_one.contains("CAP_SYS_ADMIN") && !all_but_one.contains("CAP_KILL"));
    }
}
