//! `role:node-init`: from a configuration on standard input to a running machine.
//!
//! 1. Read the configuration; take the socket that may have been inherited as descriptor 3.
//! 2. Open what only the outside can see: the control groups, this executable.
//! 3. Enter the node's own root, bind the socket, start the children, serve.

#![allow(unsafe_code, reason = "a descriptor inherited across exec is raw")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drydock_container::cgroup::Cgroups;
use drydock_container::{IdMap, Mount, machine};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, getsockopt, listen, socket, sockopt,
};
use nix::unistd::dup2_stdin;

use super::children::Children;
use super::node::Node;
use super::protocol::InitConfig;
use super::room::Room;
use super::server::Server;

/// The socket cluster-init leaves us, if any.
const INHERITED: i32 = 3;

/// Why a machine could not boot.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootError {
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// What was tried.
        step: String,
        /// What the system said.
        source: io::Error,
    },
    /// The root could not be entered.
    #[error(transparent)]
    Root(#[from] drydock_container::Error),
}

pub(super) trait StepExt<T> {
    fn step(self, step: impl Into<String>) -> Result<T, BootError>;
}

impl<T, E: Into<io::Error>> StepExt<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, BootError> {
        self.map_err(|source| BootError::Step { step: step.into(), source: source.into() })
    }
}

/// Run as `role:node-init`. The process must have one thread, a mount namespace of its own and be root of its user namespace.
pub fn main() -> ExitCode {
    match boot() {
        Ok(mut server) => server.run(),
        Err(error) => {
            eprintln!("node-init: {error}");
            ExitCode::FAILURE
        }
    }
}

fn boot() -> Result<Server, BootError> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).step("read the configuration")?;
    let config: InitConfig = serde_json::from_str(&text).map_err(io::Error::from).step("understand the configuration")?;
    let inherited = inherited_socket();
    let ids = IdMap::current();
    // By descriptor: neither will have a path where we are going.
    let exe = File::open("/proc/self/exe").step("open this executable")?;
    let (cgroups, mut degraded) = Cgroups::open(&config.cgroups, &config.name);
    if ids.is_single() {
        degraded.push(
            "there is only one user id: every process runs as root of the cluster, and changing owner or user succeeds without doing anything"
                .to_owned(),
        );
    }
    let private = match &config.root {
        Some(root) => {
            degraded.extend(machine::enter(root, &binds(&config), &ids)?);
            name_machine(&config.name).step("name the machine")?;
            PathBuf::from("/run/drydock")
        }
        None => config.socket.parent().unwrap_or(Path::new("/")).join("init"),
    };
    let null = File::open("/dev/null").step("open /dev/null")?;
    dup2_stdin(&null).step("close the configuration")?;
    let listener = listen_at(&config.socket).step(format!("listen at {}", config.socket.display()))?;

    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block().step("block SIGCHLD")?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).step("watch for children")?;
    let children = Children::new(exe.into(), config.children.clone());
    let node = Node::new(config.name.clone(), private, cgroups, ids, degraded);
    if let Some(limit) = &config.disk {
        // No file is larger than the disk it is on: what takes room without writing is not seen before it has it.
        setrlimit(Resource::RLIMIT_FSIZE, limit.most, limit.most).step("limit the size of files")?;
    }
    let room = config.disk.map(|limit| Room::new(&config.name, limit));
    Ok(Server::new(node, children, listener, signals, inherited).with_room(room))
}

fn binds(config: &InitConfig) -> Vec<Mount> {
    let bind = |bind: &super::protocol::RootBind| {
        let mount = Mount::bind(&bind.source, &bind.target);
        if bind.readonly { mount.readonly() } else { mount }
    };
    config.binds.iter().map(bind).collect()
}

/// What programs look up about the machine they run on. Files that are there already are somebody's choice.
fn name_machine(name: &str) -> io::Result<()> {
    let files = [("/etc/hostname", format!("{name}\n")), ("/etc/hosts", format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{name}\n"))];
    for (path, text) in files {
        if !Path::new(path).exists() {
            fs::write(path, text)?;
        }
    }
    Ok(())
}

fn inherited_socket() -> Option<OwnedFd> {
    // SAFETY: fcntl on a number that may be closed reads and changes nothing then.
    let flags = unsafe { libc::fcntl(INHERITED, libc::F_GETFD) };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        // Closed, or opened by ourselves.
        return None;
    }
    // SAFETY: it is open and came with exec, so nothing in this process owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(INHERITED) };
    let usable = getsockopt(&fd, sockopt::SockType).is_ok_and(|kind| kind == SockType::SeqPacket)
        && fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok()
        && fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).is_ok();
    usable.then_some(fd)
}

fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    bind(listener.as_raw_fd(), &UnixAddr::new(path)?)?;
    listen(&listener, Backlog::new(16)?)?;
    Ok(listener)
}
