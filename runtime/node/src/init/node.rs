//! What a node holds (sandboxes, containers, execs) and what each request does to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use drydock_container::cgroup::{Cgroups, Removal, Usage, anonymous_memory};
use drydock_container::stdio::Stdio;
use drydock_container::{
    ContainerSpec, Ended, IdMap, PidMode, Process, ProcessSpec, Rlimit, Sandbox, SandboxConfig, Surroundings, Target, exec, mount_namespace,
    open_in_root, signal, signal_mount_namespace, start,
};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::protocol::{
    ContainerRecord, Event, Exit, Failure, FileAccess, Inventory, Netns, NodeInfo, Reply, Request, SandboxRecord, Scope, Started, StdioKind,
};

/// Processes and threads all containers may have together where no control group counts each one's: a fork bomb takes what is left for
/// containers, and the machine, the kubelet and the learner's other programs go on.
// The kernel counts them per user of the user namespace (user_namespaces(7)), which here is the whole cluster.
const PROCESSES: u64 = 2048;
/// A container that ends so soon after something of it was ended for a full disk has ended by that.
const LATELY: Duration = Duration::from_secs(10);
/// The same for the seats of people, who want to end what a Pod has begun.
const PROCESSES_OF_SEATS: u64 = 3072;

/// How long a killed container may take to be gone: on a busy machine a thousand processes need their turn to end. More means that the
/// kernel is stuck in a disk or network file system.
const KILL_PATIENCE_MILLIS: u16 = 30_000;

type Answer = Result<(Reply, Vec<OwnedFd>), Failure>;

pub(super) struct Node {
    name: String,
    /// Where the node's own mounts go.
    private: PathBuf,
    cgroups: Cgroups,
    /// The kernel limits no memory here, so we look.
    watches_memory: bool,
    ids: IdMap,
    /// What we may allow others.
    most_processes: u64,
    degraded: Vec<String>,
    booted: Timestamp,
    sandboxes: BTreeMap<String, HeldSandbox>,
    containers: BTreeMap<String, HeldContainer>,
    execs: BTreeMap<String, HeldExec>,
    /// Control groups that were still busy when they should have gone.
    busy_groups: Vec<PathBuf>,
    events: Vec<Event>,
}

struct HeldSandbox {
    sandbox: Sandbox,
    record: SandboxRecord,
}

struct HeldContainer {
    record: ContainerRecord,
    pidfd: OwnedFd,
    /// Kept open so that no byte is lost while nobody reads.
    stdio: Stdio,
    mount_namespace: Option<u64>,
    /// Killed by us because it used too much memory.
    over_limit: bool,
    /// Something of it was ended because the disk was full: when, and whose disk.
    disk_full: Option<(Instant, String)>,
}

struct HeldExec {
    container: String,
    pid: i32,
    pidfd: OwnedFd,
}

impl HeldContainer {
    fn runs(&self) -> bool {
        self.record.exit.is_none()
    }

    fn cgroup(&self) -> Option<&Path> {
        self.record.spec.cgroup.as_ref().map(|cgroup| cgroup.path.as_path())
    }

    /// Its mount namespace and how much memory its processes may use, while it runs.
    fn memory_limit(&self) -> Option<(u64, u64)> {
        let limit = self.record.spec.cgroup.as_ref().and_then(|cgroup| cgroup.limits.memory);
        self.mount_namespace.zip(limit).filter(|_| self.runs())
    }
}

impl Node {
    pub(super) fn new(name: String, private: PathBuf, mut cgroups: Cgroups, ids: IdMap, mut degraded: Vec<String>) -> Node {
        let watches_memory = cgroups.watch_memory();
        if watches_memory {
            degraded.push("containers above their memory limit are found by looking now and then, so they may exceed it for a moment".to_owned());
        }
        Node {
            name,
            private,
            cgroups,
            watches_memory,
            ids,
            most_processes: most_processes(),
            degraded,
            booted: Timestamp::now(),
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            busy_groups: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn carry_out(&mut self, request: Request) -> Answer {
        let nothing = |()| (Reply::Done, Vec::new());
        let one = |fd: OwnedFd| (Reply::Done, vec![fd]);
        match request {
            Request::Info => Ok((Reply::Info(self.info()), Vec::new())),
            Request::CreateSandbox { id, config, labels } => self.create_sandbox(id, config, labels).map(one),
            Request::RemoveSandbox { id } => self.remove_sandbox(&id).map(nothing),
            Request::StartContainer { sandbox, spec } => self.start_container(sandbox, *spec),
            Request::Exec { container, id, process } => self.exec(&container, id, &process),
            Request::Signal { id, signal, scope } => self.signal(&id, signal, scope).map(nothing),
            Request::Remove { id } => self.remove(&id).map(nothing),
            Request::Stdio { id } => self.stdio(&id),
            Request::CloseStdin { id } => self.close_stdin(&id).map(nothing),
            Request::Netns { of } => self.netns(&of).map(one),
            Request::Socket { of, v6, datagram } => self.socket(&of, v6, datagram).map(one),
            Request::OpenFile { container, path, access } => self.open_file(&container, &path, access).map(one),
            Request::Usage { id } => self.usage(&id).map(|usage| (Reply::Usage(usage), Vec::new())),
            Request::List => Ok((Reply::List(self.inventory()), Vec::new())),
            // The server's business; it does not pass them on.
            Request::Child { name, .. } => Err(Failure::NotFound { kind: "child".into(), id: name }),
            Request::PowerOff => Ok((Reply::Done, Vec::new())),
        }
    }

    fn info(&self) -> NodeInfo {
        NodeInfo { name: self.name.clone(), enforcement: self.cgroups.enforcement(), degraded: self.degraded.clone(), booted: self.booted }
    }

    pub(super) fn inventory(&self) -> Inventory {
        Inventory {
            sandboxes: self.sandboxes.iter().map(|(id, held)| (id.clone(), held.record.clone())).collect(),
            containers: self.containers.iter().map(|(id, held)| (id.clone(), held.record.clone())).collect(),
            children: BTreeMap::new(),
        }
    }

    fn create_sandbox(&mut self, id: String, config: SandboxConfig, labels: BTreeMap<String, String>) -> Result<OwnedFd, Failure> {
        if self.sandboxes.contains_key(&id) {
            return Err(Failure::Exists { kind: "sandbox".into(), id });
        }
        if !matches!(Path::new(&id).components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]) {
            return Err(kernel("make a sandbox", &format!("{id:?} is not a plain name")));
        }
        let sandbox = Sandbox::create(&config, Some(&self.private.join("shm").join(&id)))?;
        let netns = netns_of(&sandbox)?;
        let record = SandboxRecord { config, labels, created: Timestamp::now() };
        self.sandboxes.insert(id, HeldSandbox { sandbox, record });
        Ok(netns)
    }

    fn remove_sandbox(&mut self, id: &str) -> Result<(), Failure> {
        if !self.sandboxes.contains_key(id) {
            return Err(not_found("sandbox", id));
        }
        let inside: Vec<String> =
            self.containers.iter().filter(|(_, held)| held.record.sandbox.as_deref() == Some(id)).map(|(id, _)| id.clone()).collect();
        for container in inside {
            self.remove(&container)?;
        }
        match self.sandboxes.remove(id).map(|held| held.sandbox.remove()) {
            Some(Err(error)) => Err(kernel("remove the sandbox", &error.to_string())),
            Some(Ok(())) | None => Ok(()),
        }
    }

    fn start_container(&mut self, sandbox: Option<String>, spec: ContainerSpec) -> Answer {
        if self.containers.contains_key(&spec.id) {
            return Err(Failure::Exists { kind: "container".into(), id: spec.id });
        }
        let held = match &sandbox {
            Some(id) => Some(&self.sandboxes.get(id).ok_or_else(|| not_found("sandbox", id))?.sandbox),
            None => None,
        };
        let neighbor = match &spec.pid {
            PidMode::Container(id) => Some(self.running(id)?.pidfd.as_fd()),
            PidMode::Own | PidMode::Sandbox | PidMode::Node => None,
        };
        let mut spec = spec;
        self.bound_processes(&mut spec.process, sandbox.as_deref());
        let process = start(&spec, Surroundings { sandbox: held, cgroups: &self.cgroups, ids: &self.ids, neighbor })?;
        let (started, fds) = started(&process)?;
        let Process { pid, pidfd, stdio, degraded } = process;
        let record = ContainerRecord { sandbox, spec, pid, started: started.at, exit: None, degraded };
        let held = HeldContainer { mount_namespace: mount_namespace(pid), record, pidfd, stdio, over_limit: false, disk_full: None };
        self.containers.insert(held.record.spec.id.clone(), held);
        Ok((Reply::Started(started), fds))
    }

    fn exec(&mut self, container: &str, id: String, process: &ProcessSpec) -> Answer {
        if self.execs.contains_key(&id) || self.containers.contains_key(&id) {
            return Err(Failure::Exists { kind: "process".into(), id });
        }
        let held = self.running(container)?;
        let target = Target { pidfd: held.pidfd.as_fd(), cgroup: held.cgroup(), cgroups: &self.cgroups, ids: &self.ids };
        let mut process = process.clone();
        self.bound_processes(&mut process, held.record.sandbox.as_deref());
        let process = match exec(target, &process) {
            Ok(process) => process,
            // It ended just now; its exit is on its way.
            Err(error) if error.errno == Some(Errno::ESRCH as i32) => return Err(Failure::NotRunning { id: container.to_owned() }),
            Err(error) => return Err(error.into()),
        };
        let (started, fds) = started(&process)?;
        self.execs.insert(id, HeldExec { container: container.to_owned(), pid: process.pid, pidfd: process.pidfd });
        // Its streams are the caller's alone: when the caller goes, so do they, and the process hears of it.
        Ok((Reply::Started(started), fds))
    }

    /// Limit the number of processes where no control group does. Seats are in no Pod's sandbox.
    fn bound_processes(&self, process: &mut ProcessSpec, sandbox: Option<&str>) {
        let bounded = self.cgroups.enforcement().pids || process.rlimits.iter().any(|limit| limit.resource == libc::RLIMIT_NPROC as u32);
        if !bounded {
            let wanted = if sandbox.is_some() { PROCESSES } else { PROCESSES_OF_SEATS };
            let most = wanted.min(self.most_processes);
            process.rlimits.push(Rlimit { resource: libc::RLIMIT_NPROC as u32, soft: most, hard: most });
        }
    }

    fn signal(&mut self, id: &str, number: i32, scope: Scope) -> Result<(), Failure> {
        if let Some(exec) = self.execs.get(id) {
            return if signal(exec.pidfd.as_fd(), number)? { Ok(()) } else { Err(Failure::NotRunning { id: id.to_owned() }) };
        }
        let held = self.running(id)?;
        if scope == Scope::All
            && let Some(namespace) = held.mount_namespace
        {
            signal_mount_namespace(namespace, number)?;
            return Ok(());
        }
        if signal(held.pidfd.as_fd(), number)? { Ok(()) } else { Err(Failure::NotRunning { id: id.to_owned() }) }
    }

    fn remove(&mut self, id: &str) -> Result<(), Failure> {
        let held = self.container(id)?;
        if held.runs() {
            signal(held.pidfd.as_fd(), libc::SIGKILL)?;
            self.end_execs_of(id)?;
            let held = self.container(id)?;
            let gone = poll(&mut [PollFd::new(held.pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(KILL_PATIENCE_MILLIS));
            if gone != Ok(1) {
                return Err(kernel("kill the container", "it does not go away"));
            }
            let status = waitid(Id::PIDFd(held.pidfd.as_fd()), WaitPidFlag::WEXITED).map_err(|errno| kernel("reap the container", errno.desc()))?;
            let pid = held.record.pid;
            if let Some(ended) = Ended::from_status(status) {
                self.ended(pid, ended);
            }
        }
        if let Some(path) = self.containers.remove(id).and_then(|held| held.cgroup().map(Path::to_owned)) {
            self.busy_groups.push(path);
            self.tidy_groups();
        }
        Ok(())
    }

    /// Kill containers that use more memory than they may, where the kernel does not. Says whether there is anything to look at.
    pub(super) fn watch_memory(&mut self) -> bool {
        if !self.watches_memory {
            return false;
        }
        let namespaces: BTreeSet<u64> = self.containers.values().filter_map(|held| held.memory_limit()).map(|(namespace, _)| namespace).collect();
        if namespaces.is_empty() {
            return false;
        }
        let used = anonymous_memory(&namespaces);
        for held in self.containers.values_mut() {
            let Some((namespace, limit)) = held.memory_limit() else { continue };
            if held.over_limit || used.get(&namespace).is_none_or(|used| *used <= limit) {
                continue;
            }
            match signal(held.pidfd.as_fd(), libc::SIGKILL) {
                Ok(_) => held.over_limit = true,
                Err(error) => eprintln!("node-init: cannot kill {}, which uses too much memory: {error}", held.record.spec.id),
            }
        }
        true
    }

    /// Kill and reap what was run in a container later. The kernel lets PID 1 of a pid namespace go only when all others in it have
    /// been reaped, and these are our children, not the container's.
    fn end_execs_of(&mut self, container: &str) -> Result<(), Failure> {
        let inside: Vec<&HeldExec> = self.execs.values().filter(|held| held.container == container).collect();
        let mut reaped = Vec::new();
        for held in inside {
            signal(held.pidfd.as_fd(), libc::SIGKILL)?;
            if poll(&mut [PollFd::new(held.pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(KILL_PATIENCE_MILLIS)) != Ok(1) {
                return Err(kernel("kill what runs in the container", "it does not go away"));
            }
            let status = waitid(Id::PIDFd(held.pidfd.as_fd()), WaitPidFlag::WEXITED);
            let status = status.map_err(|errno| kernel("reap what ran in the container", errno.desc()))?;
            reaped.extend(Ended::from_status(status).map(|ended| (held.pid, ended)));
        }
        for (pid, ended) in reaped {
            self.ended(pid, ended);
        }
        Ok(())
    }

    /// Remove control groups whose last process has gone; says whether some are left.
    pub(super) fn tidy_groups(&mut self) -> bool {
        let cgroups = &self.cgroups;
        self.busy_groups.retain(|path| cgroups.group(path).is_ok_and(|group| group.remove() == Removal::Busy));
        !self.busy_groups.is_empty()
    }

    fn stdio(&self, id: &str) -> Answer {
        let held = self.container(id)?;
        let (kind, fds) = duplicate(&held.stdio)?;
        let started = Started { pid: held.record.pid, stdio: kind, at: held.record.started, degraded: held.record.degraded.clone() };
        Ok((Reply::Started(started), fds))
    }

    fn close_stdin(&mut self, id: &str) -> Result<(), Failure> {
        let held = self.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        if let Stdio::Pipes { stdin, .. } = &mut held.stdio {
            *stdin = None;
        }
        Ok(())
    }

    fn netns(&self, of: &Netns) -> Result<OwnedFd, Failure> {
        match of {
            Netns::Node => own_netns(),
            Netns::Sandbox(id) => netns_of(&self.sandboxes.get(id).ok_or_else(|| not_found("sandbox", id))?.sandbox),
        }
    }

    fn socket(&self, of: &Netns, v6: bool, datagram: bool) -> Result<OwnedFd, Failure> {
        let family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let kind = if datagram { SockType::Datagram } else { SockType::Stream };
        let make = || Ok(socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?);
        let made = match of {
            Netns::Node => make(),
            Netns::Sandbox(id) => self.sandboxes.get(id).ok_or_else(|| not_found("sandbox", id))?.sandbox.in_network(make),
        };
        made.map_err(|error: io::Error| kernel("make a socket", &error.to_string()))
    }

    fn open_file(&self, container: &str, path: &Path, access: FileAccess) -> Result<OwnedFd, Failure> {
        let held = self.running(container)?;
        let failed = |errno: Errno| Failure::File { path: path.to_owned(), errno: errno as i32 };
        let root = File::open(format!("/proc/{}/root", held.record.pid)).map_err(|error| failed(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))))?;
        // Not blocking: the container may have put a pipe there.
        let (flags, mode) = match access {
            FileAccess::Read => (libc::O_RDONLY | libc::O_NONBLOCK, 0),
            FileAccess::Replace { mode } => (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC | libc::O_NONBLOCK, mode),
        };
        open_in_root(root.as_fd(), path, flags, mode).map_err(failed)
    }

    fn usage(&self, id: &str) -> Result<Usage, Failure> {
        let held = self.container(id)?;
        let counted = match held.cgroup() {
            Some(path) => self.cgroups.group(path)?.usage(),
            None => Usage::default(),
        };
        Ok(held.mount_namespace.filter(|_| held.runs()).map_or(counted, |namespace| counted.or_by_processes(namespace)))
    }

    /// A process was reaped: note how it ended, whoever it was.
    pub(super) fn ended(&mut self, pid: i32, ended: Ended) {
        if let Some(id) = self.execs.iter().find(|(_, held)| held.pid == pid).map(|(id, _)| id.clone()) {
            let exec_in = self.execs.remove(&id).map(|held| held.container);
            self.events.push(Event::Exited { id, exec_in, exit: Self::exit(ended) });
            return;
        }
        let found = self.containers.values_mut().find(|held| held.runs() && held.record.pid == pid);
        // An orphan: its parent is gone, and so is the interest in it.
        let Some(held) = found else { return };
        let mut exit = Self::exit(ended);
        exit.oom_killed = held.over_limit || held.cgroup().and_then(|path| self.cgroups.group(path).ok()).is_some_and(|group| group.oom_kills() > 0);
        exit.disk_full = held.disk_full.take().filter(|(at, _)| exit.code != 0 && at.elapsed() < LATELY).map(|(_, whose)| whose);
        // With process ids of its own the kernel has ended the rest; where they are shared, that is for us to do.
        if !matches!(held.record.spec.pid, PidMode::Own)
            && let Some(namespace) = held.mount_namespace
            && let Err(error) = signal_mount_namespace(namespace, libc::SIGKILL)
        {
            eprintln!("node-init: cannot end the rest of {}: {error}", held.record.spec.id);
        }
        held.record.exit = Some(exit.clone());
        self.events.push(Event::Exited { id: held.record.spec.id.clone(), exec_in: None, exit });
    }

    /// A process that sees this mount namespace was ended, because a disk was full.
    pub(super) fn disk_full(&mut self, namespace: u64, whose: &str) {
        for held in self.containers.values_mut().filter(|held| held.runs() && held.mount_namespace == Some(namespace)) {
            held.disk_full = Some((Instant::now(), whose.to_owned()));
        }
    }

    pub(super) fn exit(ended: Ended) -> Exit {
        Exit { code: ended.code, signal: ended.signal, oom_killed: false, disk_full: None, at: Timestamp::now() }
    }

    pub(super) fn note(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn container(&self, id: &str) -> Result<&HeldContainer, Failure> {
        self.containers.get(id).ok_or_else(|| not_found("container", id))
    }

    fn running(&self, id: &str) -> Result<&HeldContainer, Failure> {
        let held = self.container(id)?;
        if held.runs() { Ok(held) } else { Err(Failure::NotRunning { id: id.to_owned() }) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Powered off: the kernel ends every process and takes the mounts; groups are best effort, the next boot removes the rest.
        for held in self.containers.values() {
            if let Some(path) = held.cgroup() {
                match self.cgroups.group(path).map(|group| group.remove()) {
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }
}

/// The ceiling of this process, which none of its children can raise.
fn most_processes() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let hard = limits.lines().find_map(|line| line.strip_prefix("Max processes")?.split_whitespace().nth(1)?.parse().ok());
    hard.unwrap_or(u64::MAX)
}

fn started(process: &Process) -> Result<(Started, Vec<OwnedFd>), Failure> {
    let (stdio, fds) = duplicate(&process.stdio)?;
    Ok((Started { pid: process.pid, stdio, at: Timestamp::now(), degraded: process.degraded.clone() }, fds))
}

/// Descriptors to give away; ours stay.
fn duplicate(stdio: &Stdio) -> Result<(StdioKind, Vec<OwnedFd>), Failure> {
    let kind = match stdio {
        Stdio::Pipes { stdin, .. } => StdioKind::Pipes { stdin: stdin.is_some() },
        Stdio::Terminal(_) => StdioKind::Terminal,
    };
    let fds = stdio.fds().into_iter().map(|fd| fd.try_clone_to_owned()).collect::<io::Result<Vec<_>>>();
    Ok((kind, fds.map_err(|error| kernel("duplicate the standard streams", &error.to_string()))?))
}

fn netns_of(sandbox: &Sandbox) -> Result<OwnedFd, Failure> {
    match sandbox.netns() {
        Some(netns) => netns.try_clone_to_owned().map_err(|error| kernel("duplicate the network namespace", &error.to_string())),
        None => own_netns(),
    }
}

fn own_netns() -> Result<OwnedFd, Failure> {
    fs::File::open("/proc/self/ns/net").map(OwnedFd::from).map_err(|error| kernel("open the network namespace", &error.to_string()))
}

fn not_found(kind: &str, id: &str) -> Failure {
    Failure::NotFound { kind: kind.to_owned(), id: id.to_owned() }
}

fn kernel(what: &str, error: &str) -> Failure {
    Failure::Kernel { what: what.to_owned(), error: error.to_owned() }
}
