//! Control groups: limits, counters, and an honest word about which of them this machine enforces.
//!
//! A cluster started as root hands every node a delegated directory per hierarchy; an ordinary user on version 2 may own one. Where
//! there is none, containers run without limits and [`Enforcement`] says so.
//!
//! 1. [`Cgroups::open`] takes a node's place in each delegated directory, by descriptor: paths may vanish behind a `pivot_root`.
//! 2. [`Cgroups::create`] makes one group per hierarchy and writes its limits; the child joins before it does anything else.
//! 3. [`Group::oom_kills`] and [`Group::usage`] read counters, [`Group::remove`] takes the group and its empty parents away.

mod processes;
mod v1;
mod v2;

pub use processes::anonymous_memory;

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Step};
use crate::spec::{CgroupSpec, Limits};

/// What is really enforced here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// Memory limits kill.
    pub memory: bool,
    /// CPU limits throttle.
    pub cpu: bool,
    /// Process limits refuse forks.
    pub pids: bool,
}

/// The delegated directories of a node: `(controller, directory)` with `memory`, `cpu`, `pids` (version 1) or `unified` (version 2).
pub type Delegated = Vec<(String, PathBuf)>;

/// What a group has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Memory in use now, file cache that can be dropped left out.
    pub memory_bytes: Option<u64>,
    /// CPU time since the start; `None` where no controller counts it.
    pub cpu_nanos: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Usage {
    /// Fill in what no controller counts from `/proc`, over the processes that live in a mount namespace.
    #[must_use]
    pub fn or_by_processes(mut self, mount_namespace: u64) -> Usage {
        if self.memory_bytes.is_some() && self.cpu_nanos.is_some() && self.pids.is_some() {
            return self;
        }
        let mut counted = processes::Counted::default();
        processes::count(mount_namespace, &mut counted);
        self.memory_bytes = self.memory_bytes.or(Some(counted.memory_bytes));
        self.cpu_nanos = self.cpu_nanos.or(Some(counted.cpu_nanos));
        self.pids = self.pids.or(Some(counted.threads));
        self
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Cpu,
    Pids,
    Unified,
}

#[derive(Debug)]
struct Hierarchy {
    controller: Controller,
    directory: OwnedFd,
}

impl Hierarchy {
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd()))
    }
}

/// A node's control groups. Empty where nothing is delegated.
#[derive(Debug, Default)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    enforcement: Enforcement,
    memory_is_watched: bool,
}

/// The group of one container in every hierarchy.
#[derive(Debug)]
pub struct Group<'a> {
    cgroups: &'a Cgroups,
    path: PathBuf,
}

impl Cgroups {
    /// No limits at all.
    pub fn none() -> Cgroups {
        Cgroups::default()
    }

    /// Make `name` in each delegated directory, removing what an earlier node of that name left there.
    /// Returns one sentence per hierarchy that cannot be used.
    pub fn open(delegated: &Delegated, name: &str) -> (Cgroups, Vec<String>) {
        let mut cgroups = Cgroups::none();
        let mut refused = Vec::new();
        for (controller, directory) in delegated {
            match open_hierarchy(controller, &directory.join(name)) {
                Ok(Some(hierarchy)) => cgroups.hierarchies.push(hierarchy),
                Ok(None) => {}
                Err(error) => refused.push(format!("control group {controller} cannot be used: {error}")),
            }
        }
        cgroups.enforcement = cgroups.probe();
        let enforced = cgroups.enforcement;
        for (what, on) in [("memory", enforced.memory), ("cpu", enforced.cpu), ("process", enforced.pids)] {
            if !on {
                refused.push(format!("{what} limits are not enforced by the kernel: no control group is delegated for them"));
            }
        }
        (cgroups, refused)
    }

    /// What is really enforced.
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The caller promises to look at [`anonymous_memory`] and to kill what is above its limit, because the kernel does not.
    /// Returns whether that is needed.
    pub fn watch_memory(&mut self) -> bool {
        self.memory_is_watched = !self.enforcement.memory;
        self.memory_is_watched
    }

    fn probe(&self) -> Enforcement {
        let mut enforcement = Enforcement::default();
        for hierarchy in &self.hierarchies {
            let path = hierarchy.path();
            match hierarchy.controller {
                Controller::Memory => enforcement.memory = path.join("memory.limit_in_bytes").exists(),
                Controller::Cpu => enforcement.cpu = path.join("cpu.cfs_quota_us").exists(),
                Controller::Pids => enforcement.pids = path.join("cgroup.procs").exists(),
                Controller::Unified => {
                    let enabled = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
                    let has = |name: &str| enabled.split_whitespace().any(|enabled| enabled == name);
                    enforcement.memory |= has("memory");
                    enforcement.cpu |= has("cpu");
                    enforcement.pids |= has("pids");
                }
            }
        }
        enforcement
    }

    /// Make a group with its limits.
    ///
    /// # Errors
    /// When the path leads elsewhere or the kernel refuses a limit.
    pub fn create(&self, spec: &CgroupSpec) -> Result<Group<'_>, Error> {
        let group = self.group(&spec.path)?;
        for hierarchy in &self.hierarchies {
            let made = hierarchy.make(&group.path).and_then(|path| hierarchy.limit(&path, &spec.limits));
            if let Err(error) = made {
                group.remove();
                return Err(error).context(Step::Cgroup, || format!("make cgroup {}", spec.path.display()));
            }
        }
        Ok(group)
    }

    /// Change the limits of a group (made when missing): a Pod's own, or a container resized in place.
    ///
    /// # Errors
    /// When the path leads elsewhere or the kernel refuses a limit.
    pub fn update(&self, spec: &CgroupSpec) -> Result<(), Error> {
        self.create(spec).map(drop)
    }

    /// A group that exists, or once existed.
    ///
    /// # Errors
    /// When the path is empty, absolute or has `..`.
    pub fn group(&self, path: &Path) -> Result<Group<'_>, Error> {
        let plain = path.components().all(|part| matches!(part, Component::Normal(_))) && path.components().next().is_some();
        if !plain {
            return Err(Error::new(Step::Request, format!("invalid cgroup path {:?}", path.display().to_string())));
        }
        Ok(Group { cgroups: self, path: path.to_owned() })
    }

    /// Which of these limits do nothing here, one sentence each.
    pub fn unenforced(&self, limits: &Limits) -> Vec<String> {
        let cases = [
            ("memory", limits.memory.is_some(), self.enforcement.memory),
            ("cpu", limits.cpu_millis.is_some(), self.enforcement.cpu),
            ("process", limits.pids.is_some(), self.enforcement.pids),
        ];
        let sentence = |what: &str| match what {
            "memory" if self.memory_is_watched => "the memory limit is kept by looking now and then, not by the kernel".to_owned(),
            _ => format!("the {what} limit is not enforced here"),
        };
        cases.iter().filter(|(_, asked, on)| *asked && !on).map(|(what, ..)| sentence(what)).collect()
    }
}

impl Group<'_> {
    /// Open files to which a process writes `0` to join.
    pub(crate) fn doors(&self) -> Result<Vec<fs::File>, Error> {
        let doors: io::Result<Vec<fs::File>> = self
            .cgroups
            .hierarchies
            .iter()
            .map(|hierarchy| fs::File::options().write(true).open(hierarchy.path().join(&self.path).join("cgroup.procs")))
            .collect();
        doors.context(Step::Cgroup, || format!("open cgroup {}", self.path.display()))
    }

    /// How often the kernel killed something in it for lack of memory.
    pub fn oom_kills(&self) -> u64 {
        self.each(|hierarchy, path| match hierarchy.controller {
            Controller::Memory => v1::oom_kills(path),
            Controller::Unified => v2::oom_kills(path),
            Controller::Cpu | Controller::Pids => None,
        })
        .unwrap_or(0)
    }

    /// What it uses.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for hierarchy in &self.cgroups.hierarchies {
            let path = hierarchy.path().join(&self.path);
            match hierarchy.controller {
                Controller::Memory => usage.memory_bytes = v1::memory(&path),
                Controller::Cpu => usage.cpu_nanos = usage.cpu_nanos.or_else(|| v1::cpu(&path)),
                Controller::Pids => usage.pids = v1::pids(&path),
                Controller::Unified => v2::usage(&path, &mut usage),
            }
        }
        usage
    }

    /// Process ids in it, as this process sees them.
    pub fn processes(&self) -> Vec<i32> {
        let read = |path: &Path| fs::read_to_string(path.join("cgroup.procs")).ok();
        self.each(|_, path| read(path)).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Remove it and those parents that are empty now. Says whether it is gone: a group is busy until its last process is reaped.
    pub fn remove(&self) -> Removal {
        let mut outcome = Removal::Gone;
        for hierarchy in &self.cgroups.hierarchies {
            let base = hierarchy.path();
            for (depth, ancestor) in self.path.ancestors().take_while(|path| !path.as_os_str().is_empty()).enumerate() {
                match remove_tree(&base.join(ancestor), if depth == 0 { Depth::Tree } else { Depth::One }) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(_) if depth == 0 => {
                        outcome = Removal::Busy;
                        break;
                    }
                    // A parent with other children stays.
                    Err(_) => break,
                }
            }
        }
        outcome
    }

    fn each<T>(&self, read: impl Fn(&Hierarchy, &Path) -> Option<T>) -> Option<T> {
        self.cgroups.hierarchies.iter().find_map(|hierarchy| read(hierarchy, &hierarchy.path().join(&self.path)))
    }
}

/// Whether a group could be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Gone,
    /// Something in it has not ended yet; try again.
    Busy,
}

impl Hierarchy {
    /// Make the directory and its parents; on version 2 parents hand their controllers down.
    fn make(&self, path: &Path) -> io::Result<PathBuf> {
        let base = self.path();
        let mut made = base.clone();
        for part in path.components() {
            if self.controller == Controller::Unified && made != base {
                v2::hand_down(&made)?;
            }
            made.push(part);
            ensure_directory(&made)?;
        }
        Ok(made)
    }

    fn limit(&self, path: &Path, limits: &Limits) -> io::Result<()> {
        match self.controller {
            Controller::Memory => v1::limit_memory(path, limits),
            Controller::Cpu => v1::limit_cpu(path, limits),
            Controller::Pids => v1::limit_pids(path, limits),
            Controller::Unified => v2::limit(path, limits),
        }
    }
}

fn open_hierarchy(controller: &str, directory: &Path) -> io::Result<Option<Hierarchy>> {
    let controller = match controller {
        "memory" => Controller::Memory,
        "cpu" => Controller::Cpu,
        "pids" => Controller::Pids,
        "unified" => Controller::Unified,
        _ => return Ok(None),
    };
    match remove_tree(directory, Depth::Tree) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Still busy: what an earlier node left is used by somebody; we live beside it.
        Err(_) => {}
    }
    ensure_directory(directory)?;
    if controller == Controller::Unified {
        v2::hand_down(directory)?;
    }
    Ok(Some(Hierarchy { controller, directory: fs::File::open(directory)?.into() }))
}

fn ensure_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    One,
    Tree,
}

fn remove_tree(path: &Path, depth: Depth) -> io::Result<()> {
    if depth == Depth::Tree {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                remove_tree(&entry.path(), depth)?;
            }
        }
    }
    fs::remove_dir(path)
}

/// Write a control file in one write, as the kernel requires.
fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// A number in a control file.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A number after a word in a control file of `word number` lines.
fn keyed(path: &Path, word: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Put the calling process into the groups behind these files.
pub(crate) fn join(doors: &[fs::File]) -> Result<(), Error> {
    for mut door in doors {
        // "0" is the writer itself, whatever its number is in which pid namespace.
        match door.write_all(b"0") {
            Ok(()) => {}
            // It was removed under our feet: whoever we wanted to join has ended.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Err(Error::errno(Step::Cgroup, "join cgroup", Errno::ENODEV)),
            Err(error) => return Err(error).context(Step::Cgroup, || "join cgroup"),
        }
    }
    Ok(())
}
