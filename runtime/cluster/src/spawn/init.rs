//! cluster-init: the process that fences the cluster off, then stays as its PID 1.
//!
//! 1. Stage: build the cluster's root file system on a tmpfs out of bind mounts, while paths of the host can be read.
//! 2. Enter a new user namespace, let the host process write the id maps, become id 0 there.
//! 3. Enter new pid, mount, network, uts and ipc namespaces; the child is PID 1 and pivots into the staged root.
//! 4. Start the control plane, make machines for it, reap, and die when the host's socket ends: the kernel then ends
//!    every process in the pid namespace, and the mounts vanish with the last of them.
//!
//! Single-threaded on purpose: it forks. It must not parse anything that comes from a learner.

#![allow(unsafe_code, reason = "fork and clone of a single-threaded process")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stdin, execv, fork, getpid, pipe2, pivot_root, sethostname, setresgid, setresuid};

use super::protocol::{Begin, ClusterMessage, HostMessage, Identity, MachineReply, MachineRequest, pair, receive, send};

/// Where the staged root is put together; covered by a tmpfs in our own mount namespace only.
const STAGE: &str = "/run";
/// Device nodes a machine needs, bound from the host.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// A step of the boot that failed, in words for the person who started it.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct BootError {
    step: String,
    source: io::Error,
}

trait Step<T> {
    fn step(self, step: impl Into<String>) -> Result<T, BootError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, BootError> {
        self.map_err(|source| BootError { step: step.into(), source: source.into() })
    }
}

/// Run as `role:cluster-init`: the message socket of the host process is standard input.
pub fn run() -> ExitCode {
    let host = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(host) => host,
        Err(_) => return ExitCode::from(2),
    };
    match launch(&host) {
        Ok(code) => code,
        Err(error) => {
            let message = ClusterMessage::Failed { what: explain(&error) };
            match send(host.as_fd(), &message, &[]) {
                Ok(()) | Err(_) => ExitCode::FAILURE,
            }
        }
    }
}

/// Add the usual reason and its remedy to the two failures people meet.
fn explain(error: &BootError) -> String {
    let hint = match (error.step.as_str(), error.source.raw_os_error()) {
        ("enter a user namespace", Some(libc::EPERM)) => {
            "; unprivileged user namespaces are switched off here: allow them (sysctl kernel.unprivileged_userns_clone=1, or an \
             AppArmor profile with `userns,` for drydock) or start as root"
        }
        ("enter a user namespace", Some(libc::ENOSPC)) => "; raise the limit: sysctl user.max_user_namespaces=10000",
        (step, Some(libc::EPERM)) if step.starts_with("mount proc") => {
            "; /proc is masked, as in most containers: start this container with an unmasked /proc (--privileged) or use the machine itself"
        }
        _ => "",
    };
    format!("cannot {error}{hint}")
}

fn launch(host: &OwnedFd) -> Result<ExitCode, BootError> {
    let Some((HostMessage::Begin(begin), mut fds)) = receive(host.as_fd()).step("read the settings")? else {
        return Ok(ExitCode::FAILURE);
    };
    let listener = fds.pop();
    let delegated = matches!(begin.identity, Identity::Delegated { .. });
    if delegated {
        // Still root on the host: look up paths while they can be read, in a mount namespace of our own.
        unshare(CloneFlags::CLONE_NEWNS).step("enter a mount namespace")?;
        stage(&begin)?;
        unshare(CloneFlags::CLONE_NEWUSER).step("enter a user namespace")?;
    } else {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).step("enter a user namespace")?;
    }
    send(host.as_fd(), &ClusterMessage::NeedMaps { pid: getpid().as_raw() }, &[]).step("ask for id maps")?;
    let Some((HostMessage::Mapped, _)) = receive(host.as_fd()).step("wait for id maps")? else {
        return Ok(ExitCode::FAILURE);
    };
    let root = nix::unistd::Uid::from_raw(0);
    setresgid(0.into(), 0.into(), 0.into()).step("become group 0 of the user namespace")?;
    setresuid(root, root, root).step("become user 0 of the user namespace")?;
    if !delegated {
        stage(&begin)?;
    }
    let fence = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC;
    unshare(fence).step("enter pid, mount, network, uts and ipc namespaces")?;
    // SAFETY: this process has one thread, so the child may use the allocator and every lock.
    match unsafe { fork() }.step("fork the cluster's PID 1")? {
        ForkResult::Child => pid1(host, listener, &begin),
        ForkResult::Parent { child } => {
            drop(listener);
            // The cluster's PID 1 watches the host's socket; all that is left here is to pass its end on.
            loop {
                match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, code)) => return Ok(ExitCode::from(code.clamp(0, 255) as u8)),
                    Ok(WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => return Ok(ExitCode::FAILURE),
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }
}

/// Put the cluster's root together under [`STAGE`].
fn stage(begin: &Begin) -> Result<(), BootError> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).step("make mounts private")?;
    // Opened before the stage covers /run, so that sources below /run are found too.
    let open = |path: &Path| fs::File::options().read(true).open(path);
    let mut binds = vec![("state".to_owned(), open(&begin.state).step(format!("open {}", begin.state.display()))?)];
    binds.push(("drydock".to_owned(), open(&begin.exe).step(format!("open {}", begin.exe.display()))?));
    if let Some(kubectl) = &begin.kubectl {
        binds.push(("kubectl".to_owned(), open(kubectl).step(format!("open {}", kubectl.display()))?));
    }
    for (controller, path) in &begin.cgroups {
        binds.push((format!("cgroup/{controller}"), open(path).step(format!("open {}", path.display()))?));
    }
    mount(Some("drydock"), STAGE, Some("tmpfs"), MsFlags::empty(), Some("mode=755,size=50%")).step("mount the stage")?;
    let stage = Path::new(STAGE);
    for directory in ["proc", "sys", "dev/pts", "dev/shm", "tmp", "run", "etc", "cgroup", "state"] {
        fs::create_dir_all(stage.join(directory)).step(format!("make {directory} on the stage"))?;
    }
    for (name, source) in &binds {
        let target = stage.join(name);
        let from = format!("/proc/self/fd/{}", source.as_raw_fd());
        let directory = source.metadata().is_ok_and(|m| m.is_dir());
        let made = if directory { fs::create_dir_all(&target) } else { fs::write(&target, []) };
        made.step(format!("make {name} on the stage"))?;
        mount(Some(from.as_str()), &target, none, MsFlags::MS_BIND, none).step(format!("bind {name}"))?;
    }
    for device in DEVICES {
        let target = stage.join("dev").join(device);
        fs::write(&target, []).step(format!("make /dev/{device}"))?;
        mount(Some(&*Path::new("/dev").join(device)), &target, none, MsFlags::MS_BIND, none).step(format!("bind /dev/{device}"))?;
    }
    for (link, target) in [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")] {
        std::os::unix::fs::symlink(target, stage.join("dev").join(link)).step(format!("link /dev/{link}"))?;
    }
    fs::write(stage.join("etc/hosts"), "127.0.0.1 localhost\n").step("write /etc/hosts")?;
    Ok(())
}

/// Finish the root file system from inside the new namespaces and leave the host's behind.
fn enter_root() -> Result<(), BootError> {
    let none = None::<&str>;
    let stage = Path::new(STAGE);
    // A fresh proc shows only our pid namespace; the kernel wants a complete one in sight, so it comes before the pivot.
    mount(Some("proc"), &stage.join("proc"), Some("proc"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, none).step("mount proc")?;
    mount(Some("sysfs"), &stage.join("sys"), Some("sysfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, none).step("mount sysfs")?;
    let pts = Some("newinstance,ptmxmode=0666,mode=0620");
    mount(Some("devpts"), &stage.join("dev/pts"), Some("devpts"), MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, pts).step("mount devpts")?;
    // The staged mount came with the namespace and is locked; a bind of it is ours to pivot into.
    mount(Some(STAGE), STAGE, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).step("bind the stage")?;
    chdir(STAGE).step("enter the stage")?;
    pivot_root(".", ".").step("pivot into the stage")?;
    umount2(".", MntFlags::MNT_DETACH).step("leave the host's file systems")?;
    chdir("/").step("enter /")
}

fn pid1(host: &OwnedFd, listener: Option<OwnedFd>, begin: &Begin) -> Result<ExitCode, BootError> {
    sethostname("drydock").step("set the host name")?;
    enter_root()?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block().step("block SIGCHLD")?;
    let children = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).step("watch for children")?;
    let (ours, theirs) = pair().step("make the control plane's socket")?;
    let control_plane = start_control_plane(host, &theirs, listener.as_ref(), begin)?;
    drop(theirs);
    drop(listener);
    Ok(supervise(host, &ours, &children, control_plane))
}

/// Fork the control plane: it inherits the host's socket, its machine socket and the API listener as 3, 4 and 5.
fn start_control_plane(host: &OwnedFd, machines: &OwnedFd, listener: Option<&OwnedFd>, begin: &Begin) -> Result<Pid, BootError> {
    let settings = serde_json::to_string(begin).map_err(io::Error::from).step("encode the settings")?;
    let (read, write) = pipe2(OFlag::O_CLOEXEC).step("make a pipe")?;
    // SAFETY: this process has one thread, so the child may use the allocator and every lock.
    match unsafe { fork() }.step("fork the control plane")? {
        ForkResult::Parent { child } => {
            drop(read);
            nix_write_all(&write, settings.as_bytes()).step("send the settings")?;
            Ok(child)
        }
        ForkResult::Child => {
            drop(write);
            // A machine of its own on the LAN: it shares every namespace with PID 1 but the network.
            let outcome = unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from).and_then(|()| {
                dup2_stdin(&read)?;
                let mut inherited = vec![host.as_fd(), machines.as_fd()];
                inherited.extend(listener.map(AsFd::as_fd));
                exec_role("role:control-plane", &inherited)
            });
            report_and_exit(host, "start the control plane", outcome)
        }
    }
}

/// Say why a child could not start, then end it without running anybody's destructors.
fn report_and_exit(host: &OwnedFd, step: &str, outcome: io::Result<std::convert::Infallible>) -> ! {
    let Err(error) = outcome;
    let sent = send(host.as_fd(), &ClusterMessage::Failed { what: format!("cannot {step}: {error}") }, &[]);
    // SAFETY: _exit is always sound; the parent reaps us.
    unsafe { libc::_exit(if sent.is_ok() { 1 } else { 2 }) }
}

/// Become a role of the drydock binary with these descriptors from 3 on, and the signal mask a program expects.
fn exec_role(role: &str, inherited: &[BorrowedFd<'_>]) -> io::Result<std::convert::Infallible> {
    // Copies above the targets first, so that no dup2 overwrites a source that is still needed.
    let mut copies = Vec::new();
    for fd in inherited {
        copies.push(nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(64))?);
    }
    for (index, copy) in copies.into_iter().enumerate() {
        // SAFETY: dup2 onto 3.. replaces descriptors of this child only; it is about to exec and uses none of them again.
        if unsafe { libc::dup2(copy, 3 + index as i32) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    SigSet::empty().thread_set_mask()?;
    let text = |text: &str| std::ffi::CString::new(text).map_err(io::Error::from);
    Ok(execv(&text("/drydock")?, &[text("drydock")?, text(role)?])?)
}

struct Machine {
    pid: Pid,
    start: Option<OwnedFd>,
}

/// The loop of PID 1: serve machine requests, reap, die with the host process or the control plane.
fn supervise(host: &OwnedFd, requests: &OwnedFd, children: &SignalFd, control_plane: Pid) -> ExitCode {
    let mut machines: BTreeMap<String, Machine> = BTreeMap::new();
    loop {
        let mut polled = [
            PollFd::new(host.as_fd(), PollFlags::empty()),
            PollFd::new(requests.as_fd(), PollFlags::POLLIN),
            PollFd::new(children.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ExitCode::FAILURE,
        }
        let ended = |index: usize| polled[index].revents().is_some_and(|r| r.intersects(PollFlags::POLLHUP | PollFlags::POLLERR));
        let readable = |index: usize| polled[index].revents().is_some_and(|r| r.contains(PollFlags::POLLIN));
        if ended(0) {
            return ExitCode::SUCCESS;
        }
        if readable(2) {
            while let Ok(Some(_)) = children.read_signal() {}
            if reap(requests, &mut machines, control_plane) == Life::Over {
                return ExitCode::FAILURE;
            }
        }
        if readable(1) && serve_request(requests, &mut machines).is_err() {
            return ExitCode::FAILURE;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    Over,
}

fn reap(requests: &OwnedFd, machines: &mut BTreeMap<String, Machine>, control_plane: Pid) -> Life {
    loop {
        let status = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(_) => return Life::GoesOn,
            Ok(status) => status,
        };
        let Some(pid) = status.pid() else { continue };
        if pid == control_plane {
            return Life::Over;
        }
        if let Some(name) = machines.iter().find(|(_, m)| m.pid == pid).map(|(name, _)| name.clone()) {
            machines.remove(&name);
            let told = send(requests.as_fd(), &MachineReply::Exited { name, status: format!("{status:?}") }, &[]);
            if told.is_err() {
                return Life::Over;
            }
        }
    }
}

fn serve_request(requests: &OwnedFd, machines: &mut BTreeMap<String, Machine>) -> io::Result<()> {
    let Some((request, _)) = receive::<MachineRequest>(requests.as_fd())? else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let name = match &request {
        MachineRequest::Create { name } | MachineRequest::Start { name, .. } | MachineRequest::Kill { name } => name.clone(),
    };
    match carry_out(request, machines) {
        Ok((reply, fds)) => send(requests.as_fd(), &reply, &fds.iter().map(AsFd::as_fd).collect::<Vec<_>>()),
        Err(error) => send(requests.as_fd(), &MachineReply::Failed { name, what: error.to_string() }, &[]),
    }
}

fn carry_out(request: MachineRequest, machines: &mut BTreeMap<String, Machine>) -> io::Result<(MachineReply, Vec<OwnedFd>)> {
    match request {
        MachineRequest::Create { name } => {
            if machines.contains_key(&name) {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("machine {name} runs already")));
            }
            let (machine, namespace, socket) = create_machine(&name)?;
            machines.insert(name.clone(), machine);
            Ok((MachineReply::Created { name }, vec![socket, namespace]))
        }
        MachineRequest::Start { name, config } => {
            let start = machines.get_mut(&name).and_then(|m| m.start.take());
            let start = start.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("machine {name} is not waiting to start")))?;
            nix_write_all(&start, config.as_bytes())?;
            Ok((MachineReply::Started { name }, Vec::new()))
        }
        MachineRequest::Kill { name } => {
            let machine = machines.get(&name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("machine {name} does not run")))?;
            kill(machine.pid, Signal::SIGKILL)?;
            Ok((MachineReply::Started { name }, Vec::new()))
        }
    }
}

/// Clone the machine's PID 1 into its namespaces; it blocks on its standard input until the configuration comes.
///
/// It inherits one end of a socket pair as descriptor 3; the other end goes to the control plane, which thereby speaks to the
/// machine's node-init (`drydock_node::init::Client::from_socket`) from the first moment on.
fn create_machine(name: &str) -> io::Result<(Machine, OwnedFd, OwnedFd)> {
    // Closed on exec: a machine made meanwhile must not keep this one waiting for the end of its configuration.
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    let (socket, inherited) = pair()?;
    // Until it execs, the child has a copy of our memory, which belongs to the user namespace we were executed in: its /proc entries are
    // closed to us. The exec closes its end of this pipe, and what it executes belongs to our own user namespace.
    let (executed, announce) = pipe2(OFlag::O_CLOEXEC)?;
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWNET | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is fork with namespaces; this process has one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags as libc::c_ulong, 0, 0, 0, 0) };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(write);
            let outcome = sethostname(name).map_err(io::Error::from).and_then(|()| {
                dup2_stdin(&read)?;
                exec_role("role:node-init", &[inherited.as_fd()])
            });
            let Err(_) = outcome;
            // SAFETY: _exit is always sound; PID 1 reaps us and reports the machine as exited.
            unsafe { libc::_exit(1) }
        }
        pid => {
            let pid = Pid::from_raw(pid as i32);
            drop(announce);
            nix::unistd::read(&executed, &mut [0])?;
            let namespace = fs::File::open(format!("/proc/{pid}/ns/net"))?.into();
            Ok((Machine { pid, start: Some(write) }, namespace, socket))
        }
    }
}

fn nix_write_all(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    fs::File::from(fd.try_clone()?).write_all(bytes)
}

/// Take the descriptors a role was started with from 3 on.
///
/// # Errors
/// When one of them is not open.
pub fn inherited(count: usize) -> io::Result<Vec<OwnedFd>> {
    (0..count as i32)
        .map(|index| {
            let fd = 3 + index;
            // SAFETY: fcntl only reads the descriptor table; a closed descriptor gives EBADF.
            if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: cluster-init put this descriptor here for us by exec; nothing else in this process owns it.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        })
        .collect()
}
