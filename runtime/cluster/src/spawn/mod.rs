//! Starting a cluster from the host: the only code that runs with the rights of the person who typed `drydock`.
//!
//! 1. Decide which ids the cluster gets ([`Identity`]) and which cgroups are delegated to it.
//! 2. Open the API port, start `role:cluster-init`, send it the settings, write its id maps.
//! 3. Hold the socket whose end of file ends the cluster.

pub mod cgroups;
pub mod init;
pub mod kubectl;
pub mod machines;
pub mod protocol;
pub mod remove;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::{Uid, getgid, getuid};

pub use protocol::{Balancers, Begin, ClusterMessage, HostMessage, Identity, SUBJECT_SOCKET, Settings, subject_server, usual_disk};

/// What the cluster's processes see of the environment `drydock` was started in: how they log, where programs and authorities are.
const INHERITED: [&str; 7] = ["PATH", "RUST_LOG", "RUST_BACKTRACE", "TZ", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// First host id of a cluster started as root; far above what distributions hand out.
const DELEGATED_BASE: u32 = 20_000 * 65_536;
/// Ids a cluster has when it has many.
const IDS: u32 = 65_536;

/// Why a cluster could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A step on the host failed.
    #[error("cannot {step}: {source}")]
    Step {
        /// What was attempted.
        step: String,
        /// What the system said.
        source: io::Error,
    },
    /// The API port is taken.
    #[error("the API cannot listen on 127.0.0.1:{port}; choose another port with --api-port PORT, or 0 for any free one")]
    Port {
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The cluster said why it cannot boot.
    #[error("{0}")]
    Boot(String),
    /// The cluster ended before it was ready.
    #[error("the cluster ended before it was ready; its log is {0}")]
    Ended(PathBuf),
}

fn step<T>(result: io::Result<T>, step: impl Into<String>) -> Result<T, SpawnError> {
    result.map_err(|source| SpawnError::Step { step: step.into(), source })
}

/// What to start.
#[derive(Debug, Clone)]
pub struct SpawnConfig {
    /// State directory of the learner; the cluster owns `cluster/` in it.
    pub state: PathBuf,
    /// Where the API server should listen on 127.0.0.1; `None` for 6443 or the next free port.
    pub api_port: Option<u16>,
    /// kubectl of the host, when the terminals are to have that instead of ours.
    pub kubectl: Option<PathBuf>,
    /// The rest.
    pub settings: Settings,
}

/// A running cluster. Dropping it ends the cluster: no process and no mount is left.
#[derive(Debug)]
pub struct Running {
    socket: OwnedFd,
    child: Child,
    delegated: cgroups::Delegated,
    log: PathBuf,
    /// Port of the API server on 127.0.0.1.
    pub api_port: u16,
    /// The cluster's part of the state directory.
    pub directory: PathBuf,
}

/// Start a cluster; it boots while the caller goes on. Await [`Running::ready`].
///
/// # Errors
/// When a step on the host fails; each error names it and, where one is known, the fix.
pub fn start(config: SpawnConfig) -> Result<Running, SpawnError> {
    let identity = identity();
    let owner = identity.owner();
    let directory = config.state.join("cluster");
    prepare_directory(&directory, owner)?;
    let listener = listen(config.api_port)?;
    let api_port = step(listener.local_addr(), "read the API port")?.port();
    remove_leftovers(&directory);
    cgroups::sweep();
    let delegated = cgroups::delegate(std::process::id(), owner);
    remember_cgroups(&config.state, &delegated)?;

    let log = config.state.join("cluster.log");
    let log_file = step(fs::File::options().create(true).append(true).open(&log), format!("open {}", log.display()))?;
    let (ours, theirs) = step(protocol::pair(), "make a socket")?;
    let exe = step(std::env::current_exe(), "find the drydock executable")?;
    let child = Command::new(&exe)
        .arg("role:cluster-init")
        // A privileged Pod may read the environment of every process of the cluster; the learner's keys are none of its business.
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(step(log_file.try_clone(), "duplicate the log")?))
        .stderr(Stdio::from(log_file))
        .current_dir("/")
        .spawn();
    let child = step(child, format!("start {}", exe.display()))?;
    let pid = child.id() as i32;
    let running = Running { socket: ours, child, delegated, log, api_port, directory: directory.clone() };
    if matches!(identity, Identity::Delegated { .. }) || !running.delegated.is_empty() {
        step(cgroups::enter(&running.delegated, pid, owner), "enter the delegated cgroups")?;
    }
    let mut settings = config.settings;
    settings.api_port = api_port;
    let begin = Begin { state: directory, exe, kubectl: config.kubectl, identity, cgroups: running.delegated.clone(), settings };
    step(protocol::send(running.socket.as_fd(), &HostMessage::Begin(Box::new(begin)), &[listener.as_fd()]), "send the settings")?;
    running.map_ids(identity, pid)?;
    Ok(running)
}

impl Running {
    /// Wait until the cluster is ready; blocking. Returns the milliseconds it took and what is degraded.
    ///
    /// # Errors
    /// The reason the cluster itself gave, or that it ended.
    pub fn ready(&self) -> Result<(i64, Vec<String>), SpawnError> {
        match self.receive()? {
            ClusterMessage::Ready { millis, degraded } => Ok((millis, degraded)),
            ClusterMessage::NeedMaps { .. } => Err(SpawnError::Ended(self.log.clone())),
            ClusterMessage::Failed { what } => Err(SpawnError::Boot(what)),
        }
    }

    /// Wait until the cluster ends by itself; blocking.
    ///
    /// # Errors
    /// The reason the cluster gave.
    pub fn ended(&self) -> Result<(), SpawnError> {
        match self.receive() {
            Ok(ClusterMessage::Failed { what }) => Err(SpawnError::Boot(what)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The file the cluster's processes log to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Order the cluster to end; returns at once. Dropping the value waits for it.
    pub fn end(&self) {
        // The end of file on the socket is the order.
        if let Err(error) = shutdown(self.socket.as_raw_fd(), Shutdown::Both) {
            tracing::debug!(%error, "the cluster's socket was closed already");
        }
    }

    fn receive(&self) -> Result<ClusterMessage, SpawnError> {
        let message = step(protocol::receive(self.socket.as_fd()), "hear from the cluster")?;
        message.map(|(message, _)| message).ok_or_else(|| SpawnError::Ended(self.log.clone()))
    }

    fn map_ids(&self, identity: Identity, pid: i32) -> Result<(), SpawnError> {
        match self.receive()? {
            // cluster-init is a child of ours, so we know its id by our own eyes.
            ClusterMessage::NeedMaps { .. } => {}
            ClusterMessage::Failed { what } => return Err(SpawnError::Boot(what)),
            ClusterMessage::Ready { .. } => return Err(SpawnError::Ended(self.log.clone())),
        }
        step(write_maps(identity, pid), "write the id maps")?;
        step(protocol::send(self.socket.as_fd(), &HostMessage::Mapped, &[]), "confirm the id maps")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
        match self.child.wait() {
            Ok(status) => tracing::debug!(%status, "cluster ended"),
            Err(error) => tracing::warn!(%error, "cannot wait for the cluster"),
        }
        for path in cgroups::remove(&self.delegated) {
            tracing::warn!(path = %path.display(), "cgroup is still busy; the next start removes it");
        }
    }
}

/// Who the cluster's ids are, from who we are.
pub fn identity() -> Identity {
    let (uid, gid) = (getuid(), getgid());
    if uid.is_root() {
        return Identity::Delegated { base: DELEGATED_BASE };
    }
    let user = user_name(uid);
    let subuid = subordinate("/etc/subuid", user.as_deref(), uid);
    let subgid = subordinate("/etc/subgid", user.as_deref(), uid);
    match (subuid, subgid, find_program("newuidmap"), find_program("newgidmap")) {
        (Some((subuid, uids)), Some((subgid, gids)), Some(_), Some(_)) => {
            Identity::Subordinate { uid: uid.as_raw(), gid: gid.as_raw(), subuid, subgid, count: uids.min(gids).min(IDS - 1) }
        }
        _ => Identity::Single { uid: uid.as_raw(), gid: gid.as_raw() },
    }
}

/// The user's name by `/etc/passwd`; the C library's own lookup loads plugins, which a static binary cannot.
fn user_name(uid: Uid) -> Option<String> {
    let uid = uid.to_string();
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    })
}

/// Find a program on PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    find_programs(name).into_iter().next()
}

/// All programs of this name on PATH, in its order.
fn find_programs(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let programs = std::env::split_paths(&path).map(|directory| directory.join(name)).filter_map(|path| {
        let metadata = fs::metadata(&path).ok()?;
        let executable = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
        (metadata.is_file() && executable).then(|| path.canonicalize().unwrap_or(path))
    });
    programs.collect()
}

fn subordinate(file: &str, user: Option<&str>, uid: Uid) -> Option<(u32, u32)> {
    fs::read_to_string(file).ok()?.lines().find_map(|line| {
        let mut parts = line.split(':');
        let who = parts.next()?;
        let first = parts.next()?.parse().ok()?;
        let count = parts.next()?.trim().parse().ok()?;
        (Some(who) == user || who == uid.to_string()).then_some((first, count))
    })
}

fn write_maps(identity: Identity, pid: i32) -> io::Result<()> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    match identity {
        Identity::Delegated { base } => {
            fs::write(proc.join("uid_map"), format!("0 {base} {IDS}\n"))?;
            fs::write(proc.join("gid_map"), format!("0 {base} {IDS}\n"))
        }
        Identity::Single { uid, gid } => {
            fs::write(proc.join("setgroups"), "deny")?;
            fs::write(proc.join("uid_map"), format!("0 {uid} 1\n"))?;
            fs::write(proc.join("gid_map"), format!("0 {gid} 1\n"))
        }
        Identity::Subordinate { uid, gid, subuid, subgid, count } => {
            map_tool("newuidmap", pid, uid, subuid, count)?;
            map_tool("newgidmap", pid, gid, subgid, count)
        }
    }
}

fn map_tool(tool: &str, pid: i32, own: u32, first: u32, count: u32) -> io::Result<()> {
    let program = find_program(tool).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{tool} is not on PATH")))?;
    let arguments = [pid as u32, 0, own, 1, 1, first, count].map(|n| n.to_string());
    let output = Command::new(program).args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{tool}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn prepare_directory(directory: &Path, owner: u32) -> Result<(), SpawnError> {
    step(fs::create_dir_all(directory), format!("make {}", directory.display()))?;
    let owned = std::os::unix::fs::chown(directory, Some(owner), Some(owner)).or_else(|error| if getuid().is_root() { Err(error) } else { Ok(()) });
    step(owned, format!("give {} to the cluster", directory.display()))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    step(fs::set_permissions(directory, mode), format!("close {} to others", directory.display()))
}

fn listen(port: Option<u16>) -> Result<TcpListener, SpawnError> {
    if let Some(port) = port {
        return TcpListener::bind(("127.0.0.1", port)).map_err(|source| SpawnError::Port { port, source });
    }
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in 6443..6543 {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(SpawnError::Port { port: 6443, source: last })
}

fn remember_cgroups(state: &Path, delegated: &cgroups::Delegated) -> Result<(), SpawnError> {
    let file = state.join("cgroups.json");
    let text = serde_json::to_vec(delegated).map_err(io::Error::from);
    step(text.and_then(|text| fs::write(&file, text)), format!("write {}", file.display()))
}

/// Remove the cgroups an earlier, killed cluster of this state directory left.
fn remove_leftovers(directory: &Path) {
    let Some(state) = directory.parent() else { return };
    let Ok(text) = fs::read(state.join("cgroups.json")) else { return };
    let Ok(delegated) = serde_json::from_slice::<cgroups::Delegated>(&text) else { return };
    for path in cgroups::remove(&delegated) {
        tracing::warn!(path = %path.display(), "cgroup of an earlier run is still busy");
    }
}
