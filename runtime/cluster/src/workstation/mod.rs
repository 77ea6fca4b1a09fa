//! Seats: long-lived containers on machines of the LAN in which people work. The learner's laptop is one, a shell on a node another.
//!
//! 1. `setup` says what the laptop is made of; [`Seat::start`] starts its container through the machine's node-init.
//! 2. [`Seat::open`] runs a process in it; `session` ties a terminal to a web socket and reads its shell marks.
//! 3. Files and connections for the page and the grader go the same ways: processes in the container, sockets in its network.

mod files;
pub(crate) mod marks;
mod pty;
mod session;
mod setup;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drydock_container::stdio::Stdio;
use drydock_container::{ProcessSpec, TerminalSize, UserSpec};
use drydock_node::init::protocol::{Event, Exit, Failure, Netns, Scope};
use drydock_node::init::{Client, Events};
use drydock_container::ContainerSpec;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::evidence::Evidence;
use crate::undo::Files;
pub(crate) use files::{FileError, MAX_FILE};
use pty::Stream;
pub(crate) use session::ExecRequest;
pub(crate) use setup::{Setup, first_process, group};

/// Where the learner's files are.
pub(crate) const HOME: &str = "/home/learner";

/// More processes and threads than anybody sits in front of.
const CROWD: u64 = 500;

/// Who a process of the workstation runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// The learner.
    Learner,
    /// Root of the workstation, for the page's own errands.
    Root,
}

/// Where is written down what happens in terminals.
#[derive(Clone)]
pub(crate) struct Diary {
    /// Commands.
    pub(crate) evidence: Evidence,
    /// The files as they were before each of them.
    pub(crate) files: Files,
}

/// A running seat. Clones share it.
#[derive(Clone)]
pub(crate) struct Seat {
    inner: Arc<Inner>,
}

struct Inner {
    init: Client,
    /// Id of its container.
    container: String,
    /// The container itself, for when it has to be started again.
    spec: ContainerSpec,
    diary: Diary,
    /// Who sits there, by the container's `/etc/passwd`; `None` is root.
    user: Option<String>,
    /// Where processes start when nobody says: the learner's home, on a node the root.
    home: &'static str,
    hosts: BTreeMap<String, Ipv4Addr>,
    next: AtomicU64,
    making_room: tokio::sync::Mutex<()>,
    exits: Mutex<HashMap<String, oneshot::Sender<Exit>>>,
    terminals: Mutex<BTreeMap<String, Arc<Stream>>>,
}

/// What is in front of a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreground {
    /// Its shell is, ready for a command.
    pub(crate) shell: bool,
    /// Name of the program.
    pub(crate) program: String,
}

/// A process that runs in the workstation.
pub(crate) struct Process {
    id: String,
    stdio: Stdio,
    exit: oneshot::Receiver<Exit>,
}

impl Seat {
    /// Start the container of a seat on a machine. `user` sits there; `hosts` are the names it knows.
    ///
    /// # Errors
    /// When the container cannot start, in runc's words.
    pub(crate) async fn start(
        (init, events): (Client, Events),
        spec: ContainerSpec,
        user: Option<&str>,
        hosts: BTreeMap<String, Ipv4Addr>,
        diary: Diary,
    ) -> Result<Seat, Failure> {
        let inner = Inner {
            init: init.clone(),
            container: spec.id.clone(),
            spec: spec.clone(),
            diary,
            user: user.map(str::to_owned),
            home: if spec.mounts.iter().any(|mount| mount.target == Path::new(HOME)) { HOME } else { "/" },
            hosts,
            next: AtomicU64::new(1),
            making_room: tokio::sync::Mutex::default(),
            exits: Mutex::default(),
            terminals: Mutex::default(),
        };
        let seat = Seat { inner: Arc::new(inner) };
        tokio::spawn(hear(Arc::clone(&seat.inner), events));
        init.start_container(None, spec).await?;
        Ok(seat)
    }

    /// Whether so much runs in it that hardly anything else can: a fork bomb.
    pub(crate) async fn is_crowded(&self) -> bool {
        self.inner.init.usage(&self.inner.container).await.is_ok_and(|usage| usage.pids.is_some_and(|pids| pids > CROWD))
    }

    /// After a fork bomb whoever sits down finds a seat that was switched off and on again.
    pub(crate) async fn make_room(&self) -> Result<(), Failure> {
        // One at a time: the next one finds room.
        let _turn = self.inner.making_room.lock().await;
        if !self.is_crowded().await {
            return Ok(());
        }
        tracing::info!(container = self.inner.container, "a seat full of processes is started again");
        self.restart(|| {}).await
    }

    /// Start its container again, whatever is left of it. Everything that runs in it ends; what `meanwhile` does nobody in it sees.
    ///
    /// # Errors
    /// When it cannot start.
    pub(crate) async fn restart(&self, meanwhile: impl FnOnce()) -> Result<(), Failure> {
        match self.inner.init.remove(&self.inner.container).await {
            Ok(()) | Err(Failure::NotFound { .. }) => {}
            Err(failure) => return Err(failure),
        }
        meanwhile();
        let mut spec = self.inner.spec.clone();
        // What was killed needs its time to be gone; until then its control group is as full as it was.
        if let Some(group) = &mut spec.cgroup {
            group.path = format!("{}-{}", group.path.display(), self.inner.next.fetch_add(1, Ordering::Relaxed)).into();
        }
        self.inner.init.start_container(None, spec).await.map(drop)
    }

    /// Run a process.
    pub(crate) async fn open(&self, who: As, args: Vec<String>, cwd: &str, terminal: Option<TerminalSize>, env: Vec<String>) -> Result<Process, Failure> {
        let id = format!("{}-{}", self.inner.container, self.inner.next.fetch_add(1, Ordering::Relaxed));
        let (sender, exit) = oneshot::channel();
        lock(&self.inner.exits).insert(id.clone(), sender);
        let process = ProcessSpec {
            args,
            env: self.environment(who, env),
            cwd: if cwd.is_empty() { self.inner.home.into() } else { cwd.into() },
            user: self.user(who),
            tty: terminal.is_some(),
            terminal_size: terminal,
            stdin: true,
            ..ProcessSpec::default()
        };
        let mut started = self.inner.init.exec(&self.inner.container, &id, process.clone()).await;
        if matches!(started, Err(Failure::NotRunning { .. } | Failure::NotFound { .. })) {
            // Somebody killed everything in sight; a new seat is the same to whoever sits down now.
            self.restart(|| {}).await?;
            started = self.inner.init.exec(&self.inner.container, &id, process).await;
        }
        match started {
            Ok((_, stdio)) => Ok(Process { id, stdio, exit }),
            Err(failure) => {
                lock(&self.inner.exits).remove(&id);
                Err(failure)
            }
        }
    }

    fn user(&self, who: As) -> UserSpec {
        match (who, &self.inner.user) {
            (As::Learner, Some(name)) => UserSpec { name: name.clone(), ..UserSpec::default() },
            _ => UserSpec::ids(0, 0),
        }
    }

    fn environment(&self, who: As, more: Vec<String>) -> Vec<String> {
        let mut env: Vec<String> = [
            "PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "TERM=xterm-256color",
            "COLORTERM=truecolor",
            "LANG=C.UTF-8",
            "SHELL=/bin/sh",
            "EDITOR=nano",
            "KUBE_EDITOR=nano",
        ]
        .map(str::to_owned)
        .into();
        let laptop = self.inner.home == HOME;
        // On a node the engine's socket is the node's own, seen through /host.
        env.push(format!("DOCKER_HOST=unix://{}", if laptop { "/run/node-1/docker.sock" } else { "/host/run/shared/docker.sock" }));
        env.push(format!("HOME={}", if laptop { HOME } else { "/root" }));
        env.push(format!("USER={}", if laptop && who == As::Learner { "learner" } else { "root" }));
        env.extend(more);
        env
    }

    /// Connect from the workstation.
    pub(crate) async fn dial(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let host = host.trim_matches(['[', ']']);
        let address = match host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) if host == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Err(_) => match self.inner.hosts.get(host) {
                Some(address) => IpAddr::V4(*address),
                None => return Err(io::Error::new(io::ErrorKind::NotFound, format!("the workstation does not know the host {host:?}"))),
            },
        };
        self.inner.init.dial(Netns::Node, SocketAddr::new(address, port)).await
    }

    /// What is in front of the terminal of a session.
    pub(crate) fn foreground(&self, session: &str) -> Option<Foreground> {
        use std::os::fd::AsFd;
        let terminal = lock(&self.inner.terminals).get(session).cloned()?;
        let group = drydock_container::stdio::foreground(terminal.file().as_fd()).ok()?;
        let stat = std::fs::read_to_string(format!("/proc/{group}/stat")).ok()?;
        // man 5 proc: `pid (comm) state ppid pgrp session ...`; the session leader is the shell itself.
        let (head, tail) = stat.rsplit_once(')')?;
        let leader = tail.split_whitespace().nth(3).and_then(|text| text.parse::<i32>().ok());
        let program = head.split_once('(').map(|(_, comm)| comm.to_owned()).unwrap_or_default();
        Some(Foreground { shell: leader == Some(group), program })
    }
}

impl Process {
    async fn hang_up(&self, seat: &Seat) {
        match seat.inner.init.signal(&self.id, libc::SIGHUP, Scope::Process).await {
            Ok(()) => {}
            Err(failure) => tracing::debug!(%failure, id = self.id, "hang up"),
        }
    }
}

/// Tell whoever waits for the end of a process.
async fn hear(inner: Arc<Inner>, mut events: Events) {
    while let Some(event) = events.next().await {
        if let Event::Exited { id, exit, .. } = event {
            if id == inner.container {
                tracing::error!(code = exit.code, container = id, "the container of a seat ended");
            }
            if let Some(waiting) = lock(&inner.exits).remove(&id)
                && waiting.send(exit).is_err()
            {
                tracing::trace!(id, "nobody waits for this process");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every critical section here is a single map operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
