//! The messages the three processes of a cluster exchange, and the socket they travel on.
//!
//! 1. The *host* process (`drydock serve`, `drydock cluster up`) speaks [`HostMessage`] to cluster-init.
//! 2. cluster-init and the control plane answer with [`ClusterMessage`].
//! 3. The control plane asks cluster-init for machines with [`MachineRequest`] and hears [`MachineReply`].
//!
//! Every socket is `SOCK_SEQPACKET`: one message is one datagram of [`drydock_node::init::wire`], file descriptors ride along.
//! The end of file of the host's socket is the order to die.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;

use drydock_node::init::wire::Packet;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the host process tells cluster-init.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum HostMessage {
    /// Everything needed to boot. Carries the API listener as its only descriptor.
    Begin(Box<Begin>),
    /// The id maps asked for by [`ClusterMessage::NeedMaps`] are in place.
    Mapped,
}

/// What a cluster is made of, as the host process decided it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begin {
    /// Directory that survives; owned by the cluster's root user.
    pub state: PathBuf,
    /// The drydock executable.
    pub exe: PathBuf,
    /// A kubectl of the host that the workstation is to have instead of ours, bound read-only.
    pub kubectl: Option<PathBuf>,
    /// Who may be who in the cluster.
    pub identity: Identity,
    /// Delegated cgroup directories by controller name (`memory`, `cpu`, `pids`; `unified` for version 2).
    pub cgroups: Vec<(String, PathBuf)>,
    /// Settings the control plane boots with.
    pub settings: Settings,
}

/// Which ids exist inside the cluster's user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// Started as root: 65,536 ids from `base` on the host, so that root in the cluster is nobody outside.
    Delegated {
        /// Host id that is 0 inside.
        base: u32,
    },
    /// Started as an ordinary user who owns subordinate ids; `newuidmap` writes the maps.
    Subordinate {
        /// The user's own id, 0 inside.
        uid: u32,
        /// The user's own group, 0 inside.
        gid: u32,
        /// First subordinate user id, 1 inside.
        subuid: u32,
        /// First subordinate group id, 1 inside.
        subgid: u32,
        /// How many there are.
        count: u32,
    },
    /// Started as an ordinary user without subordinate ids: there is only id 0 inside (degraded).
    Single {
        /// The user's own id.
        uid: u32,
        /// The user's own group.
        gid: u32,
    },
}

impl Identity {
    /// The host id that is 0 inside.
    pub fn owner(self) -> u32 {
        match self {
            Identity::Delegated { base } => base,
            Identity::Subordinate { uid, .. } | Identity::Single { uid, .. } => uid,
        }
    }

    /// Whether more than one id exists inside.
    pub fn has_ids(&self) -> bool {
        !matches!(self, Identity::Single { .. })
    }
}

/// The settings of a cluster that a learner or a scene chooses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many nodes.
    pub nodes: u32,
    /// Port of the API server on the host's loopback.
    pub api_port: u16,
    /// Milliseconds since the epoch when the host process was asked to start; the boot time is counted from here.
    pub asked_at_ms: i64,
    /// Directory below the workstation's home and the files put there (`path`, `contents`).
    pub home_files: Vec<(String, String)>,
    /// What the lab's Internet answers: (`host`, `path`, `contents`), and where its hosts are: (empty, `names.yaml`, `contents`).
    pub internet: Vec<(String, String, String)>,
    /// Who serves Services of type LoadBalancer.
    #[serde(default)]
    pub balancers: Balancers,
    /// Bytes that each node's disk holds, and the learner's home.
    #[serde(default = "usual_disk")]
    pub disk: u64,
    /// The learner's kubeconfig for a cluster that is not ours, as the workstation needs it: its server is [`subject_server`]. There are
    /// no nodes then, and what goes there leaves through the socket [`SUBJECT_SOCKET`] of the host process.
    #[serde(default)]
    pub subject: Option<String>,
}

/// What a disk holds where nobody says.
#[must_use]
pub const fn usual_disk() -> u64 {
    drydock_node::init::USUAL_DISK
}

/// Where the workstation finds a cluster that is not ours: a door in the cluster's LAN.
#[must_use]
pub fn subject_server() -> String {
    format!("{}:6443", drydock_network::fabric::CONTROL_PLANE)
}

/// Where the host process waits behind that door, below the cluster's state directory.
pub const SUBJECT_SOCKET: &str = "workstation/page/subject.sock";

/// Who serves Services of type LoadBalancer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Balancers {
    /// The workstation's own `localhost`, as Docker Desktop does it.
    #[default]
    Desktop,
    /// An address of its own for each, after a moment.
    Cloud,
    /// Nobody.
    Bare,
}

/// What cluster-init and the control plane tell the host process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ClusterMessage {
    /// The user namespace exists; write the maps of this process.
    NeedMaps {
        /// Process id as the host sees it.
        pid: i32,
    },
    /// All nodes are Ready and DNS answers.
    Ready {
        /// Milliseconds from [`Settings::asked_at_ms`].
        millis: i64,
        /// What is not enforced or not available here, one sentence each.
        degraded: Vec<String>,
    },
    /// The boot ended; one sentence that names the thing and the fix.
    Failed {
        /// What went wrong.
        what: String,
    },
}

/// What the control plane asks of cluster-init.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum MachineRequest {
    /// Make a machine: new pid, mount, network, uts and ipc namespaces. It waits for [`MachineRequest::Start`].
    Create {
        /// Its host name.
        name: String,
    },
    /// Let it run `role:node-init` with this configuration on standard input.
    Start {
        /// The machine.
        name: String,
        /// Configuration as JSON.
        config: String,
    },
    /// Power it off: kill its PID 1, and with it everything in it.
    Kill {
        /// The machine.
        name: String,
    },
}

/// What cluster-init answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum MachineReply {
    /// The machine exists. Carries two descriptors: a socket connected to its node-init (for `drydock_node::init::Client::from_socket`),
    /// and, last, its network namespace.
    Created {
        /// The machine.
        name: String,
    },
    /// It runs.
    Started {
        /// The machine.
        name: String,
    },
    /// Its PID 1 ended, asked for or not.
    Exited {
        /// The machine.
        name: String,
        /// Wait status in words.
        status: String,
    },
    /// The request failed.
    Failed {
        /// The machine.
        name: String,
        /// Why.
        what: String,
    },
}

/// A connected pair of message sockets, close-on-exec.
///
/// # Errors
/// When the kernel refuses (descriptor limit).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Send one message with descriptors.
///
/// # Errors
/// When the peer is gone or there are no descriptors left.
pub fn send<T: Serialize>(socket: BorrowedFd<'_>, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let own = fds.iter().map(BorrowedFd::try_clone_to_owned).collect::<io::Result<_>>()?;
    Packet::encode(message, own)?.send(socket)
}

/// Receive one message and its descriptors; `None` at the end of file.
///
/// # Errors
/// When the socket fails or the datagram is not a message of this type.
pub fn receive<T: DeserializeOwned>(socket: BorrowedFd<'_>) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    Packet::receive(socket)?.map(Packet::decode).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors_and_eof_is_none() {
        let (left, right) = pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        send(left.as_fd(), &MachineReply::Created { name: "node-1".into() }, &[file.as_fd()]).unwrap();
        let (reply, fds) = receive::<MachineReply>(right.as_fd()).unwrap().unwrap();
        assert!(matches!(reply, MachineReply::Created { name } if name == "node-1"));
        assert_eq!(fds.len(), 1);
        drop(left);
        assert!(receive::<MachineReply>(right.as_fd()).unwrap().is_none());
    }
}
