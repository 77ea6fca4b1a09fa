//! Starting processes: what the parent does around `clone3`, and how it listens until the child is the program.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, pipe2};

use crate::cgroup::{Cgroups, Group};
use crate::child::{self, Birth, Streams};
use crate::error::{Context, Error, Step};
use crate::privileges::Filters;
use crate::report::{self, Reporter, Said};
use crate::sandbox::{Home, Sandbox};
use crate::spec::{ContainerSpec, PidMode, ProcessSpec};
use crate::stdio::Stdio;
use crate::syscalls::{self, Forked};
use crate::users::IdMap;

/// How often to look for processes that were made while others were held still. Each round takes in all that were there, and those can
/// make no more.
const MOST_ROUNDS: u32 = 100;

/// Where a container is started.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The Pod's namespaces; `None` is the node itself.
    pub sandbox: Option<&'a Sandbox>,
    /// The node's control groups.
    pub cgroups: &'a Cgroups,
    /// The ids of this user namespace.
    pub ids: &'a IdMap,
    /// First process of the container named by [`PidMode::Container`].
    pub neighbor: Option<BorrowedFd<'a>>,
}

/// A process that has become its program. Dropping it ends nothing.
#[derive(Debug)]
pub struct Process {
    /// As the caller sees it.
    pub pid: i32,
    /// Stands for exactly this process, for ever.
    pub pidfd: OwnedFd,
    /// Our ends of its streams.
    pub stdio: Stdio,
    /// What had to be left out, one sentence each.
    pub degraded: Vec<String>,
}

/// A running container to run something in.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its first process.
    pub pidfd: BorrowedFd<'a>,
    /// Its control group, when it has one.
    pub cgroup: Option<&'a Path>,
    /// The node's control groups.
    pub cgroups: &'a Cgroups,
    /// The ids of this user namespace.
    pub ids: &'a IdMap,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Ended {
    /// From a wait status; `None` while it only stopped or went on.
    pub fn from_status(status: WaitStatus) -> Option<Ended> {
        match status {
            WaitStatus::Exited(_, code) => Some(Ended { code, signal: None }),
            WaitStatus::Signaled(_, signal, _) => Some(Ended { code: 128 + signal as i32, signal: Some(signal as i32) }),
            WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(_) | WaitStatus::Continued(_) | WaitStatus::StillAlive => None,
        }
    }
}

/// Make a container and run its program.
///
/// # Errors
/// The step that failed, worded as runc words it; no process, mount or cgroup is left then.
pub fn start(spec: &ContainerSpec, around: Surroundings<'_>) -> Result<Process, Error> {
    check(&spec.process)?;
    let mut degraded = Vec::new();
    let group = match &spec.cgroup {
        Some(cgroup) => {
            degraded = around.cgroups.unenforced(&cgroup.limits);
            Some(around.cgroups.create(cgroup)?)
        }
        None => None,
    };
    let join = match &spec.pid {
        PidMode::Own => None,
        PidMode::Node => Some(None),
        PidMode::Sandbox => around.sandbox.and_then(Sandbox::pid_namespace).map(Some),
        PidMode::Container(id) => match around.neighbor {
            Some(neighbor) => Some(Some(neighbor)),
            None => return Err(Error::new(Step::Request, format!("container {id:?}, whose processes should be shared, is not running"))),
        },
    };
    let (namespaces, join) = match join {
        None => (libc::CLONE_NEWNS | libc::CLONE_NEWPID, None),
        Some(join) => (libc::CLONE_NEWNS, join),
    };
    let started = launch(&spec.process, group.as_ref(), spec.oom_score_adj, around.ids, Launch { namespaces, join }, |birth, reporter| {
        child::become_container(birth, spec, around.sandbox, reporter)
    });
    match started {
        Ok(mut process) => {
            degraded.append(&mut process.degraded);
            Ok(Process { degraded, ..process })
        }
        Err(error) => {
            if let Some(group) = &group {
                group.remove();
            }
            Err(error)
        }
    }
}

/// Run one more process in a container.
///
/// # Errors
/// The step that failed, worded as runc words it.
pub fn exec(target: Target<'_>, process: &ProcessSpec) -> Result<Process, Error> {
    check(process)?;
    let group = target.cgroup.map(|path| target.cgroups.group(path)).transpose()?;
    let how = Launch { namespaces: 0, join: Some(target.pidfd) };
    launch(process, group.as_ref(), None, target.ids, how, |birth, reporter| child::become_exec(birth, target.pidfd, reporter))
}

/// Wait for a process started here, and reap it.
///
/// # Errors
/// When somebody else reaped it.
pub fn wait(process: &Process) -> Result<Ended, Error> {
    loop {
        match waitid(Id::PIDFd(process.pidfd.as_fd()), WaitPidFlag::WEXITED) {
            Ok(status) => {
                if let Some(ended) = Ended::from_status(status) {
                    return Ok(ended);
                }
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::errno(Step::Died, "wait for the process", errno)),
        }
    }
}

/// Send a signal to exactly this process. `Ok(false)` when it has ended.
///
/// # Errors
/// When the signal number is invalid.
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<bool, Error> {
    match syscalls::pidfd_send_signal(pidfd, signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(Error::errno(Step::Request, format!("send signal {signal}"), errno)),
    }
}

/// Send a signal to every process that lives in a mount namespace, which is what sets a container apart from others in a shared pid
/// namespace. Returns how many there were. What is to be killed is held still first, so that it cannot multiply meanwhile.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn signal_mount_namespace(namespace: u64, signal: i32) -> Result<usize, Error> {
    if signal == libc::SIGKILL {
        hold_still(namespace)?;
    }
    let mut reached = 0;
    for pid in living_in(namespace)? {
        reached += usize::from(send(pid, signal)?);
    }
    Ok(reached)
}

/// Stop processes until nobody is left to make new ones. A stopped process keeps its place below the limit, so even a fork bomb comes
/// to an end of it.
fn hold_still(namespace: u64) -> Result<(), Error> {
    let mut held = BTreeSet::new();
    for _ in 0..MOST_ROUNDS {
        let moving: Vec<i32> = living_in(namespace)?.into_iter().filter(|pid| !held.contains(pid)).collect();
        if moving.is_empty() {
            return Ok(());
        }
        for pid in moving {
            if send(pid, libc::SIGSTOP)? {
                held.insert(pid);
            }
        }
    }
    Ok(())
}

/// Processes of a mount namespace, those that have ended left out.
fn living_in(namespace: u64) -> Result<Vec<i32>, Error> {
    let entries = std::fs::read_dir("/proc").context(Step::Request, || "read /proc")?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter(|pid| mount_namespace(*pid) == Some(namespace)).collect())
}

/// Says whether it was still there.
fn send(pid: i32, signal: i32) -> Result<bool, Error> {
    match nix::sys::signal::kill(Pid::from_raw(pid), nix::sys::signal::Signal::try_from(signal).ok()) {
        Ok(()) => Ok(true),
        // It ended between the two steps.
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(Error::errno(Step::Request, format!("send signal {signal} to {pid}"), errno)),
    }
}

/// The number of a process's mount namespace.
pub fn mount_namespace(pid: i32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata))
}

fn check(process: &ProcessSpec) -> Result<(), Error> {
    if process.args.is_empty() {
        return Err(Error::new(Step::Request, "no command specified"));
    }
    if !process.cwd.as_os_str().is_empty() && !process.cwd.is_absolute() {
        return Err(Error::new(Step::Request, "Cwd must be an absolute path"));
    }
    Ok(())
}

struct Launch<'a> {
    namespaces: libc::c_int,
    /// Whose pid namespace the child is born into.
    join: Option<BorrowedFd<'a>>,
}

fn launch(
    process: &ProcessSpec,
    group: Option<&Group<'_>>,
    oom_score_adj: Option<i32>,
    ids: &IdMap,
    how: Launch<'_>,
    run: impl FnOnce(Birth<'_>, &Reporter) -> Result<std::convert::Infallible, Error>,
) -> Result<Process, Error> {
    let doors = group.map_or_else(|| Ok(Vec::new()), Group::doors)?;
    let (ours, streams) = streams(process)?;
    let filters = Filters::new(process, ids)?;
    let (reports, reporter) = report::pair()?;
    let birth = Birth { process, ids, filters, doors, streams, oom_score_adj };
    let (pid, pidfd) = match clone_into(&how)? {
        Forked::Child => {
            drop(reports);
            // A panic must not unwind into the parent's code, of which this process is a copy.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(birth, &reporter)));
            match outcome {
                Ok(Err(error)) => reporter.fail(error),
                Err(_) => reporter.fail(Error::new(Step::Died, "the child panicked before it became the program")),
            }
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(birth);
    drop(reporter);
    match reports.listen().and_then(|said| finish(ours, said)) {
        Ok((stdio, degraded)) => Ok(Process { pid: pid.as_raw(), pidfd, stdio, degraded }),
        Err(error) => {
            // It exits by itself unless it is stuck; either way nothing of it may be left.
            signal(pidfd.as_fd(), libc::SIGKILL)?;
            reap(pidfd.as_fd())?;
            Err(error)
        }
    }
}

fn reap(pidfd: BorrowedFd<'_>) -> Result<(), Error> {
    loop {
        match waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED) {
            Ok(_) | Err(Errno::ECHILD) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::errno(Step::Died, "reap the child", errno)),
        }
    }
}

fn clone_into(how: &Launch<'_>) -> Result<Forked, Error> {
    let Some(join) = how.join else {
        return syscalls::clone3(how.namespaces).context(Step::Clone, || "clone");
    };
    // Joining a pid namespace changes where children are born, not the caller; the child still is our child, to be reaped by us.
    let home = Home::remember(CloneFlags::CLONE_NEWPID)?;
    setns(join, CloneFlags::CLONE_NEWPID).context(Step::Namespaces, || "join the pid namespace")?;
    let forked = syscalls::clone3(how.namespaces);
    if !matches!(forked, Ok(Forked::Child)) {
        home.go_back();
    }
    match forked {
        // The kernel's answer once PID 1 of the namespace has ended.
        Err(Errno::ENOMEM) => Err(Error::errno(Step::Namespaces, "join the pid namespace", Errno::ESRCH)),
        other => other.context(Step::Clone, || "clone"),
    }
}

/// Our ends of the pipes; nothing for a terminal, which comes from inside.
struct OurEnds(Option<(Option<OwnedFd>, OwnedFd, OwnedFd)>);

fn streams(process: &ProcessSpec) -> Result<(OurEnds, Streams), Error> {
    if process.tty {
        return Ok((OurEnds(None), Streams::Terminal));
    }
    let pipe = || pipe2(OFlag::O_CLOEXEC).context(Step::Terminal, || "make a pipe");
    let (stdout, their_stdout) = pipe()?;
    let (stderr, their_stderr) = pipe()?;
    let (their_stdin, stdin) = if process.stdin {
        let (read, write) = pipe()?;
        (read, Some(write))
    } else {
        // Opened here: in the container it could be anything.
        let null = File::open("/dev/null").context(Step::Terminal, || "open /dev/null")?;
        (null.into(), None)
    };
    Ok((OurEnds(Some((stdin, stdout, stderr))), Streams::Pipes([their_stdin, their_stdout, their_stderr])))
}

fn finish(ours: OurEnds, said: Said) -> Result<(Stdio, Vec<String>), Error> {
    let stdio = match (ours.0, said.terminal) {
        (Some((stdin, stdout, stderr)), _) => Stdio::Pipes { stdin, stdout, stderr },
        (None, Some(terminal)) => Stdio::Terminal(terminal),
        (None, None) => return Err(Error::new(Step::Died, "the child ended before it became the program")),
    };
    Ok((stdio, said.degraded))
}

