//! The processes node-init keeps alive: this same executable in other roles, the kubelet above all.
//!
//! A child that ends comes back after a pause that doubles from a tenth of a second to ten seconds; running for a minute forgives all.

#![allow(unsafe_code, reason = "fork and exec of a single-threaded process")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use drydock_container::Ended;
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigHandler, SigSet, Signal, kill, signal};
use nix::unistd::{ForkResult, Pid, dup2_stdin, execve, fork};

use super::protocol::{ChildAction, ChildSpec};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Running this long means the last trouble is over.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// All of them.
#[derive(Debug)]
pub(super) struct Children {
    exe: OwnedFd,
    children: Vec<Child>,
}

#[derive(Debug)]
struct Child {
    spec: ChildSpec,
    state: State,
    pause: Duration,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Comes back at this time.
    Waiting(Instant),
    Running {
        pid: Pid,
        since: Instant,
        /// Asked to end and to stay ended; killed at this time.
        stopping: Option<Instant>,
    },
    /// Stays down until started.
    Stopped,
}

impl Children {
    pub(super) fn new(exe: OwnedFd, specs: Vec<ChildSpec>) -> Children {
        let now = Instant::now();
        let child = |spec| Child { spec, state: State::Waiting(now), pause: FIRST_PAUSE };
        Children { exe, children: specs.into_iter().map(child).collect() }
    }

    /// Do what is due; returns when to come back.
    pub(super) fn tend(&mut self) -> Option<Instant> {
        let now = Instant::now();
        for child in &mut self.children {
            match child.state {
                State::Waiting(at) if at <= now => match spawn(&self.exe, &child.spec) {
                    Ok(pid) => child.state = State::Running { pid, since: now, stopping: None },
                    Err(error) => {
                        eprintln!("node-init: cannot start {}: {error}", child.spec.name);
                        child.retry(now);
                    }
                },
                State::Running { pid, since, stopping: Some(at) } if at <= now => {
                    child.kill(pid, Signal::SIGKILL);
                    // Once is enough; what is left is to hear of its end.
                    child.state = State::Running { pid, since, stopping: Some(now + Duration::from_secs(3600)) };
                }
                State::Waiting(_) | State::Running { .. } | State::Stopped => {}
            }
        }
        let due = |child: &Child| match child.state {
            State::Waiting(at) | State::Running { stopping: Some(at), .. } => Some(at),
            State::Running { stopping: None, .. } | State::Stopped => None,
        };
        self.children.iter().filter_map(due).min()
    }

    /// A process ended; its name if it was one of ours.
    pub(super) fn ended(&mut self, pid: Pid, ended: Ended) -> Option<String> {
        let child = self.children.iter_mut().find(|child| matches!(child.state, State::Running { pid: own, .. } if own == pid))?;
        let now = Instant::now();
        if let State::Running { since, stopping, .. } = child.state {
            if stopping.is_some() {
                child.state = State::Stopped;
            } else {
                eprintln!("node-init: {} ended ({ended:?})", child.spec.name);
                if now.duration_since(since) >= FORGIVEN_AFTER {
                    child.pause = FIRST_PAUSE;
                }
                child.retry(now);
            }
        }
        Some(child.spec.name.clone())
    }

    /// Carry out a request; `false` when there is no such child.
    pub(super) fn act(&mut self, name: &str, action: ChildAction) -> bool {
        let Some(child) = self.children.iter_mut().find(|child| child.spec.name == name) else { return false };
        let now = Instant::now();
        match (action, child.state) {
            (ChildAction::Start | ChildAction::Restart, State::Waiting(_) | State::Stopped) => child.state = State::Waiting(now),
            (ChildAction::Start, State::Running { pid, since, stopping: Some(_) }) => {
                // It is on its way out; it comes back when it is gone.
                child.state = State::Running { pid, since, stopping: None };
            }
            (ChildAction::Start, State::Running { stopping: None, .. }) => {}
            (ChildAction::Restart, State::Running { pid, since, .. }) => {
                child.kill(pid, Signal::SIGKILL);
                child.pause = FIRST_PAUSE;
                child.state = State::Running { pid, since, stopping: None };
            }
            (ChildAction::Stop, State::Running { pid, since, .. }) => {
                child.kill(pid, Signal::SIGTERM);
                child.state = State::Running { pid, since, stopping: Some(now + GRACE) };
            }
            (ChildAction::Stop, State::Waiting(_) | State::Stopped) => child.state = State::Stopped,
        }
        true
    }

    /// Names and process ids.
    pub(super) fn list(&self) -> impl Iterator<Item = (String, Option<i32>)> + '_ {
        self.children.iter().map(|child| {
            let pid = match child.state {
                State::Running { pid, .. } => Some(pid.as_raw()),
                State::Waiting(_) | State::Stopped => None,
            };
            (child.spec.name.clone(), pid)
        })
    }
}

impl Child {
    fn retry(&mut self, now: Instant) {
        self.state = State::Waiting(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn kill(&self, pid: Pid, with: Signal) {
        // Not reaped yet (we would have changed state), so the number is still its own.
        if let Err(errno) = kill(pid, with) {
            eprintln!("node-init: cannot send {with} to {}: {errno}", self.spec.name);
        }
    }
}

fn spawn(exe: &OwnedFd, spec: &ChildSpec) -> io::Result<Pid> {
    let mut stdin = File::from(memfd_create(c"configuration", MFdFlags::MFD_CLOEXEC)?);
    stdin.write_all(spec.stdin.as_bytes())?;
    stdin.rewind()?;
    let text = |text: &str| CString::new(text).map_err(io::Error::from);
    let program = text(&format!("/proc/self/fd/{}", exe.as_raw_fd()))?;
    let mut arguments = vec![text("drydock")?];
    for argument in &spec.args {
        arguments.push(text(argument)?);
    }
    let environment = spec.env.iter().map(|entry| text(entry)).collect::<io::Result<Vec<_>>>()?;
    // SAFETY: this process has one thread, so the child may use the allocator and every lock.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let Err(errno) = become_child(&stdin, &program, &arguments, &environment);
            eprintln!("node-init: cannot run {}: {errno}", spec.name);
            // SAFETY: _exit is always sound; our parent reaps us.
            unsafe { libc::_exit(127) }
        }
    }
}

fn become_child(stdin: &File, program: &CString, arguments: &[CString], environment: &[CString]) -> Result<std::convert::Infallible, Errno> {
    dup2_stdin(stdin)?;
    // SAFETY: the default action runs no code of ours.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    SigSet::empty().thread_set_mask()?;
    execve(program, arguments, environment)
}
