//! Everything mounted into a container: `/proc`, `/dev`, `/sys`, the Pod's volumes, and what is hidden again.
//!
//! 1. [`Prepared::new`], still in the node's root: every mount becomes a tree that is mounted nowhere yet, held by descriptor. Sources
//!    are looked up here, as the node sees them; a fresh proc is only granted while a complete one is in sight.
//! 2. [`Prepared::attach`], in the container's root: each tree is moved to its place. Targets are looked up here, so that a symbolic
//!    link of the image leads nowhere but into the container.
//! 3. [`hide`]: mask and write-protect what containers have no business with.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use crate::error::{Context, Error, Step};
use crate::report::Reporter;
use crate::sandbox::Sandbox;
use crate::spec::{ContainerSpec, Mount, MountKind};
use crate::syscalls::{self, ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, Reach};
use crate::users::IdMap;

/// Devices every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Links every container has in `/dev`.
const LINKS: [(&str, &str); 6] =
    [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"), ("core", "/proc/kcore")];
/// Hidden behind `/dev/null` or an empty directory.
// upstream: containerd pkg/oci/spec.go, populateDefaultUnixSpec
pub const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// Visible, not writable.
pub const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// The `tty` group of every distribution.
const TTY_GROUP: u32 = 5;

/// As many symbolic links as the kernel follows.
const MAX_LINKS: u32 = 40;

/// What goes where, not mounted yet.
pub(crate) struct Prepared(Vec<(OwnedFd, PathBuf, Shape)>);

/// Which devices of the node are bound into `/dev`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Devices {
    /// Those every program expects and that give away nothing.
    Harmless,
    /// All there are.
    All,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Directory,
    File,
}

/// The mounts every container has, before its own.
fn standard(spec: &ContainerSpec, sandbox: Option<&Sandbox>) -> Vec<Mount> {
    let mount = |target: &str, kind: MountKind, readonly: bool| Mount { target: target.into(), kind, readonly };
    let shm = match sandbox.and_then(Sandbox::shm) {
        Some(source) => MountKind::Bind { source: source.to_owned() },
        None => MountKind::Tmpfs { size: Some(64 << 20), mode: 0o1777 },
    };
    vec![
        mount("/proc", MountKind::Proc, false),
        mount("/dev", MountKind::Tmpfs { size: Some(64 << 20), mode: 0o755 }, false),
        mount("/dev/pts", MountKind::Devpts, false),
        mount("/dev/mqueue", MountKind::Mqueue, false),
        mount("/dev/shm", shm, false),
        mount("/sys", MountKind::Sysfs, !spec.privileged),
    ]
}

impl Prepared {
    /// A container's mounts.
    pub(crate) fn new(spec: &ContainerSpec, sandbox: Option<&Sandbox>, ids: &IdMap, reporter: &Reporter) -> Result<Prepared, Error> {
        let mut mounts = standard(spec, sandbox);
        mounts.extend_from_slice(&spec.mounts);
        let devices = if spec.privileged { Devices::All } else { Devices::Harmless };
        let (prepared, notes) = Self::from_mounts(&mounts, devices, ids)?;
        for note in notes {
            reporter.degraded(note)?;
        }
        Ok(prepared)
    }

    /// These mounts, and devices in the first one that is `/dev`. Returns what had to be left out as well.
    pub(crate) fn from_mounts(mounts: &[Mount], devices: Devices, ids: &IdMap) -> Result<(Prepared, Vec<String>), Error> {
        let (mut prepared, mut notes) = (Vec::new(), Vec::new());
        let mut dev = false;
        for mount in mounts {
            prepared.push(prepare(mount, ids, &mut notes)?);
            if !dev && mount.target == Path::new("/dev") {
                dev = true;
                bind_devices(devices, &mut prepared)?;
            }
        }
        Ok((Prepared(prepared), notes))
    }

    pub(crate) fn attach(self) -> Result<(), Error> {
        let mut linked = false;
        for (tree, target, shape) in self.0 {
            let place = resolve(&target).context(Step::Mount, || format!("make mount point {}", target.display()))?;
            make_target(&place, shape)?;
            syscalls::attach(tree.as_fd(), &place).context(Step::Mount, || format!("mount {}", target.display()))?;
            if !linked && target == Path::new("/dev") {
                linked = true;
                for (name, to) in LINKS {
                    symlink(to, Path::new("/dev").join(name)).context(Step::Mount, || format!("link /dev/{name}"))?;
                }
            }
        }
        Ok(())
    }
}

fn prepare(mount: &Mount, ids: &IdMap, notes: &mut Vec<String>) -> Result<(OwnedFd, PathBuf, Shape), Error> {
    let what = || format!("mount {}", mount.target.display());
    if !mount.target.is_absolute() {
        return Err(Error::new(Step::Request, format!("mount target {:?} is not absolute", mount.target.display().to_string())));
    }
    let careful = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;
    let fresh = |kind: &std::ffi::CStr, options: &[(&str, Option<String>)], attributes: u64| {
        syscalls::new_filesystem(kind, options, attributes).context(Step::Mount, what)
    };
    let mut shape = Shape::Directory;
    let tree = match &mount.kind {
        MountKind::Bind { source } => {
            let metadata = fs::metadata(source).context(Step::Mount, || format!("error mounting {:?} to rootfs at {:?}: stat {}", source.display().to_string(), mount.target.display().to_string(), source.display()))?;
            shape = if metadata.is_dir() { Shape::Directory } else { Shape::File };
            syscalls::copy_tree(source).context(Step::Mount, || format!("error mounting {:?} to rootfs at {:?}", source.display().to_string(), mount.target.display().to_string()))?
        }
        MountKind::Tmpfs { size, mode } => {
            let mut options = vec![("mode", Some(format!("{mode:o}")))];
            options.extend(size.map(|size| ("size", Some(size.to_string()))));
            fresh(c"tmpfs", &options, if mount.target.starts_with("/dev") { ATTR_NOSUID | ATTR_NOEXEC } else { ATTR_NOSUID | ATTR_NODEV })?
        }
        MountKind::Proc => fresh(c"proc", &[], careful)?,
        MountKind::Devpts => {
            let mut options = vec![("newinstance", None), ("ptmxmode", Some("0666".into())), ("mode", Some("0620".into()))];
            if ids.has_gid(TTY_GROUP) {
                options.push(("gid", Some(TTY_GROUP.to_string())));
            }
            fresh(c"devpts", &options, ATTR_NOSUID | ATTR_NOEXEC)?
        }
        MountKind::Mqueue => fresh(c"mqueue", &[], careful)?,
        MountKind::Sysfs => match syscalls::new_filesystem(c"sysfs", &[], careful) {
            // The network namespace is not ours (or /sys is covered): what the node sees is the best there is.
            Err(Errno::EPERM) => {
                notes.push("/sys is the node's: a fresh one is refused here".to_owned());
                syscalls::copy_tree(Path::new("/sys")).context(Step::Mount, what)?
            }
            other => other.context(Step::Mount, what)?,
        },
    };
    if mount.readonly {
        syscalls::restrict(tree.as_fd(), ATTR_RDONLY, Reach::Tree).context(Step::Mount, || format!("make {} read-only", mount.target.display()))?;
    }
    Ok((tree, mount.target.clone(), shape))
}

/// Device files are bound from the node: making them needs rights nobody in a user namespace has.
fn bind_devices(devices: Devices, prepared: &mut Vec<(OwnedFd, PathBuf, Shape)>) -> Result<(), Error> {
    let mut names: Vec<String> = DEVICES.iter().map(|name| (*name).to_owned()).collect();
    if devices == Devices::All {
        let entries = fs::read_dir("/dev").context(Step::Mount, || "read /dev of the node")?;
        for entry in entries.flatten() {
            let is_device = entry.file_type().is_ok_and(|kind| kind.is_char_device() || kind.is_block_device());
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_device && !names.contains(&name) && !["ptmx", "console"].contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    for name in names {
        let path = Path::new("/dev").join(&name);
        match syscalls::copy_tree(&path) {
            Ok(tree) => prepared.push((tree, path, Shape::File)),
            // A node made by hand (in tests) may lack one; the program that needs it will say so.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(Error::errno(Step::Mount, format!("bind {}", path.display()), errno)),
        }
    }
    Ok(())
}

/// Where a path leads once its symbolic links are followed, also when there is nothing at their end yet.
fn resolve(path: &Path) -> Result<PathBuf, Errno> {
    let (mut place, mut links) = (PathBuf::from("/"), 0);
    let mut ahead: Vec<PathBuf> = path.components().rev().map(|component| component.as_os_str().into()).collect();
    while let Some(next) = ahead.pop() {
        match next.components().next() {
            Some(Component::RootDir) => place = PathBuf::from("/"),
            Some(Component::ParentDir) => {
                place.pop();
            }
            Some(Component::Normal(name)) => match fs::read_link(place.join(name)) {
                Ok(link) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    ahead.extend(link.components().rev().map(|component| PathBuf::from(component.as_os_str())));
                }
                Err(_) => place.push(name),
            },
            Some(Component::CurDir | Component::Prefix(_)) | None => {}
        }
    }
    Ok(place)
}

fn make_target(target: &Path, shape: Shape) -> Result<(), Error> {
    let what = || format!("make mount point {}", target.display());
    match fs::metadata(target) {
        Ok(metadata) if metadata.is_dir() == (shape == Shape::Directory) => return Ok(()),
        Ok(_) => {
            let message = format!("mount {}: not a directory: are you trying to mount a directory onto a file (or vice-versa)?", target.display());
            return Err(Error::new(Step::Mount, message));
        }
        Err(_) => {}
    }
    if shape == Shape::Directory {
        return fs::create_dir_all(target).context(Step::Mount, what);
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).context(Step::Mount, what)?;
    }
    let file = fs::File::options().create(true).append(true).open(target).context(Step::Mount, what)?;
    file.set_permissions(fs::Permissions::from_mode(0o644)).context(Step::Mount, what)
}

/// Take back what a container has no business with.
pub(crate) fn hide(spec: &ContainerSpec) -> Result<(), Error> {
    if spec.privileged || spec.unmasked {
        return Ok(());
    }
    for path in MASKED.map(Path::new) {
        let what = || format!("mask {}", path.display());
        let tree = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                syscalls::new_filesystem(c"tmpfs", &[("nr_blocks", Some("1".into())), ("nr_inodes", Some("1".into()))], ATTR_RDONLY).context(Step::Mount, what)?
            }
            Ok(_) => syscalls::copy_tree(Path::new("/dev/null")).context(Step::Mount, what)?,
            Err(_) => continue,
        };
        syscalls::attach(tree.as_fd(), path).context(Step::Mount, what)?;
    }
    for path in READONLY.map(Path::new) {
        let what = || format!("make {} read-only", path.display());
        let tree = match syscalls::copy_tree(path) {
            Ok(tree) => tree,
            Err(Errno::ENOENT) => continue,
            Err(errno) => return Err(Error::errno(Step::Mount, what(), errno)),
        };
        syscalls::restrict(tree.as_fd(), ATTR_RDONLY, Reach::Tree).context(Step::Mount, what)?;
        syscalls::attach(tree.as_fd(), path).context(Step::Mount, what)?;
    }
    Ok(())
}

/// `readOnlyRootFilesystem`: the root itself, not the volumes in it.
pub(crate) fn readonly_root() -> Result<(), Error> {
    let root = CString::from(c"/");
    syscalls::restrict_path(&root, ATTR_RDONLY, Reach::One).context(Step::Root, || "make the root file system read-only")
}
