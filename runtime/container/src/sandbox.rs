//! The namespaces the containers of one Pod share: network, ipc, host name, and on request process ids.
//!
//! They are made in place: the (single-threaded) caller enters new ones, keeps them by descriptor and goes back to its own. No process
//! stands in them, unlike elsewhere where a "pause" container holds them open; only `shareProcessNamespace` needs one, to be PID 1.

#![allow(unsafe_code, reason = "the loopback interface is raised by ioctl; the reaper rewrites its own arguments")]

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, sethostname};

use crate::error::{Context, Error, Step};
use crate::spec::SandboxConfig;
use crate::syscalls::{self, Forked};

/// Size of a Pod's shared memory, as container engines have it.
const SHM_OPTIONS: &str = "mode=1777,size=65536k";

/// Namespaces held open. Dropping it lets them go; call [`Sandbox::remove`] to see what could not be undone.
#[derive(Debug)]
pub struct Sandbox {
    /// As it was asked for.
    pub config: SandboxConfig,
    net: Option<OwnedFd>,
    ipc: Option<OwnedFd>,
    uts: Option<OwnedFd>,
    reaper: Option<Reaper>,
    shm: Option<PathBuf>,
}

/// PID 1 of a shared pid namespace.
#[derive(Debug)]
struct Reaper {
    pid: Pid,
    pidfd: OwnedFd,
    namespace: OwnedFd,
}

impl Sandbox {
    /// Make the namespaces. `shm` is a directory (made here) where the Pod's shared memory is mounted for its containers to bind;
    /// without it each container has its own.
    ///
    /// # Errors
    /// When the kernel refuses; nothing is left then.
    pub fn create(config: &SandboxConfig, shm: Option<&Path>) -> Result<Sandbox, Error> {
        if config.hostname.len() > 64 {
            return Err(Error::new(Step::Request, format!("hostname {:?} is longer than 64 bytes", config.hostname)));
        }
        let mut wanted = CloneFlags::empty();
        if !config.host_network {
            wanted |= CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
        }
        if !config.host_ipc {
            wanted |= CloneFlags::CLONE_NEWIPC;
        }
        let mut sandbox = Sandbox { config: config.clone(), net: None, ipc: None, uts: None, reaper: None, shm: None };
        if !wanted.is_empty() {
            let home = Home::remember(wanted)?;
            let made = unshare(wanted).context(Step::Namespaces, || "make namespaces").and_then(|()| sandbox.furnish(wanted));
            home.go_back();
            made?;
        }
        if config.share_processes {
            sandbox.reaper = Some(reaper()?);
        }
        if let (Some(shm), false) = (shm, config.host_ipc) {
            fs::create_dir_all(shm).context(Step::Mount, || format!("make {}", shm.display()))?;
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount(Some("shm"), shm, Some("tmpfs"), flags, Some(SHM_OPTIONS)).context(Step::Mount, || "mount shared memory")?;
            sandbox.shm = Some(shm.to_owned());
        }
        Ok(sandbox)
    }

    /// Inside the new namespaces: name, loopback, sysctls, and a descriptor of each.
    fn furnish(&mut self, made: CloneFlags) -> Result<(), Error> {
        let own = |name: &str| -> Result<OwnedFd, Error> {
            let file = File::open(format!("/proc/self/ns/{name}")).context(Step::Namespaces, || format!("open the {name} namespace"))?;
            Ok(file.into())
        };
        if made.contains(CloneFlags::CLONE_NEWUTS) {
            if !self.config.hostname.is_empty() {
                sethostname(&self.config.hostname).context(Step::Namespaces, || "set the host name")?;
            }
            self.uts = Some(own("uts")?);
        }
        if made.contains(CloneFlags::CLONE_NEWNET) {
            raise_loopback().context(Step::Namespaces, || "bring up the loopback interface")?;
            self.net = Some(own("net")?);
        }
        if made.contains(CloneFlags::CLONE_NEWIPC) {
            self.ipc = Some(own("ipc")?);
        }
        for (name, value) in &self.config.sysctls {
            let path = Path::new("/proc/sys").join(name.replace('.', "/"));
            fs::write(&path, value).context(Step::Namespaces, || format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// Its network namespace; `None` when it lives in the caller's.
    pub fn netns(&self) -> Option<BorrowedFd<'_>> {
        self.net.as_ref().map(AsFd::as_fd)
    }

    /// Where the Pod's shared memory is mounted.
    pub(crate) fn shm(&self) -> Option<&Path> {
        self.shm.as_deref()
    }

    /// The shared pid namespace, for joining it.
    pub(crate) fn pid_namespace(&self) -> Option<BorrowedFd<'_>> {
        self.reaper.as_ref().map(|reaper| reaper.namespace.as_fd())
    }

    /// The process id of the shared pid namespace's PID 1.
    pub fn reaper_pid(&self) -> Option<i32> {
        self.reaper.as_ref().map(|reaper| reaper.pid.as_raw())
    }

    /// Join all of it; called by a child that is about to become a container.
    pub(crate) fn enter(&self) -> Result<(), Error> {
        let joined = [(&self.uts, CloneFlags::CLONE_NEWUTS), (&self.ipc, CloneFlags::CLONE_NEWIPC), (&self.net, CloneFlags::CLONE_NEWNET)];
        for (namespace, kind) in joined {
            if let Some(namespace) = namespace {
                setns(namespace, kind).context(Step::Namespaces, || format!("join {kind:?}"))?;
            }
        }
        Ok(())
    }

    /// Run something inside its network namespace and come back. For making sockets: they stay where they were made.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or what `work` returns.
    pub fn in_network<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(net) = &self.net else { return work() };
        let home = Home::remember(CloneFlags::CLONE_NEWNET).map_err(io::Error::other)?;
        let result = setns(net, CloneFlags::CLONE_NEWNET).map_err(io::Error::from).and_then(|()| work());
        home.go_back();
        result
    }

    /// Let it go: ends the reaper (the caller reaps it) and unmounts the shared memory.
    ///
    /// # Errors
    /// When the mount is busy; the namespaces are gone all the same.
    pub fn remove(mut self) -> io::Result<()> {
        self.release()
    }

    fn release(&mut self) -> io::Result<()> {
        if let Some(reaper) = self.reaper.take() {
            match syscalls::pidfd_send_signal(reaper.pidfd.as_fd(), libc::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if let Some(shm) = self.shm.take() {
            umount2(&shm, MntFlags::MNT_DETACH)?;
            fs::remove_dir(&shm)?;
        }
        Ok(())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        match self.release() {
            // Nobody to tell: `remove` is for those who want to know.
            Ok(()) | Err(_) => {}
        }
    }
}

/// The caller's own namespaces, to come back to.
pub(crate) struct Home(Vec<(File, CloneFlags)>);

impl Home {
    pub(crate) fn remember(kinds: CloneFlags) -> Result<Home, Error> {
        let all = [
            ("net", CloneFlags::CLONE_NEWNET),
            ("ipc", CloneFlags::CLONE_NEWIPC),
            ("uts", CloneFlags::CLONE_NEWUTS),
            // What children get; our own never changes.
            ("pid_for_children", CloneFlags::CLONE_NEWPID),
        ];
        let mut kept = Vec::new();
        for (name, kind) in all.into_iter().filter(|(_, kind)| kinds.contains(*kind)) {
            let file = File::open(format!("/proc/self/ns/{name}")).context(Step::Namespaces, || format!("open our own {name} namespace"))?;
            kept.push((file, kind));
        }
        Ok(Home(kept))
    }

    /// Return. A process lost in a stranger's namespaces must not go on: it would do its next work there.
    pub(crate) fn go_back(self) {
        for (namespace, kind) in self.0 {
            if let Err(errno) = setns(&namespace, kind) {
                eprintln!("cannot return to {kind:?}: {errno}");
                std::process::abort();
            }
        }
    }
}

fn raise_loopback() -> Result<(), Errno> {
    let socket = nix::sys::socket::socket(
        nix::sys::socket::AddressFamily::Inet,
        nix::sys::socket::SockType::Datagram,
        nix::sys::socket::SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the ioctl reads one ifreq, which lives on our stack.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }).map(drop)
}

/// Fork PID 1 of a shared pid namespace.
fn reaper() -> Result<Reaper, Error> {
    let what = || "fork the reaper of a shared pid namespace";
    let home = Home::remember(CloneFlags::CLONE_NEWPID)?;
    unshare(CloneFlags::CLONE_NEWPID).context(Step::Namespaces, what)?;
    let forked = syscalls::clone3(0);
    if let Ok(Forked::Child) = forked {
        // A copy of node-init without its descriptors, so that nothing of the node is reachable through it.
        let code = match syscalls::close_from_3().and_then(|()| reap_forever()) {
            Ok(()) => 0,
            Err(_) => 1,
        };
        syscalls::exit_now(code)
    }
    // By way of our own children: looking at the reaper itself takes rights over its memory, which is a copy of ours.
    let namespace = File::open("/proc/self/ns/pid_for_children");
    home.go_back();
    match forked.context(Step::Clone, what)? {
        Forked::Parent { pid, pidfd } => match namespace {
            Ok(namespace) => Ok(Reaper { pid, pidfd, namespace: namespace.into() }),
            Err(error) => {
                syscalls::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).context(Step::Namespaces, || "end the reaper")?;
                Err(error).context(Step::Namespaces, || "open the shared pid namespace")
            }
        },
        Forked::Child => syscalls::exit_now(1),
    }
}

fn reap_forever() -> Result<(), Errno> {
    // Our files below /proc are ours only while others may look at us, which is no longer than this.
    syscalls::prctl(libc::PR_SET_DUMPABLE, 1)?;
    rename("/pause");
    syscalls::prctl(libc::PR_SET_DUMPABLE, 0)?;
    nix::unistd::chdir("/")?;
    let mut children = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT] {
        children.add(signal);
    }
    children.thread_set_mask()?;
    loop {
        // PID 1 of a Pod ends on TERM or INT, as upstream's pause does; the kernel then ends the others.
        if children.wait()? != Signal::SIGCHLD {
            return Ok(());
        }
        while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status.pid().is_some()) {}
    }
}

/// Show as `name` in `ps`: process name, and the argument memory the kernel shows as the command line.
fn rename(name: &str) {
    let comm = name.trim_start_matches('/');
    if fs::write("/proc/self/comm", comm).is_err() {
        return;
    }
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // Fields after the parenthesized name start at number 3; 48 and 49 are the bounds of the arguments.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return };
    let mut bounds = rest.split(' ').skip(45).map(|field| field.parse::<usize>().unwrap_or(0));
    let (Some(start), Some(end)) = (bounds.next(), bounds.next()) else { return };
    if start == 0 || end <= start + name.len() {
        return;
    }
    // SAFETY: the kernel just named this range as our argument strings: mapped, writable, private to this forked process. Nothing
    // here reads them again.
    unsafe {
        std::ptr::write_bytes(start as *mut u8, 0, end - start);
        std::ptr::copy_nonoverlapping(name.as_ptr(), start as *mut u8, name.len());
    }
}
