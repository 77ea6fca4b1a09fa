//! The root of a node: a directory on disk that survives, with fresh kernel file systems and the few things of the outside it may see.
//!
//! A node is a container turned inside out: the same mounts, no image, nothing hidden, and it stays root of its user namespace.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::error::{Context, Error, Step};
use crate::mounts::{Devices, Prepared};
use crate::rootfs;
use crate::spec::{Mount, MountKind};
use crate::syscalls;
use crate::users::IdMap;

/// Directories every machine has.
const DIRECTORIES: [&str; 10] = ["proc", "sys", "dev", "etc", "run", "tmp", "root", "var/lib", "var/log/pods", "var/log/containers"];

/// Make `root` the root directory of the calling process, whose mount namespace must be its own. `binds` are looked up outside and
/// mounted inside. Returns what had to be left out, one sentence each.
///
/// # Errors
/// The step that failed; the caller is good for nothing else then.
pub fn enter(root: &Path, binds: &[Mount], ids: &IdMap) -> Result<Vec<String>, Error> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context(Step::Root, || "make mounts private")?;
    let mut notes = furnish(root)?;
    let mut mounts = kernel_mounts();
    mounts.extend_from_slice(binds);
    let (prepared, left_out) = Prepared::from_mounts(&mounts, Devices::Harmless, ids)?;
    notes.extend(left_out);
    // pivot_root wants a mount point.
    let tree = syscalls::copy_tree(root).context(Step::Root, || format!("bind {}", root.display()))?;
    syscalls::attach(tree.as_fd(), root).context(Step::Root, || format!("bind {}", root.display()))?;
    rootfs::enter(root)?;
    prepared.attach()?;
    Ok(notes)
}

fn kernel_mounts() -> Vec<Mount> {
    let mount = |target: &str, kind: MountKind| Mount { target: target.into(), kind, readonly: false };
    vec![
        mount("/proc", MountKind::Proc),
        mount("/sys", MountKind::Sysfs),
        mount("/dev", MountKind::Tmpfs { size: Some(16 << 20), mode: 0o755 }),
        mount("/dev/pts", MountKind::Devpts),
        mount("/dev/mqueue", MountKind::Mqueue),
        mount("/dev/shm", MountKind::Tmpfs { size: Some(64 << 20), mode: 0o1777 }),
    ]
}

/// Directories, and an empty `/run`: what was there belongs to an earlier boot.
fn furnish(root: &Path) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    for directory in DIRECTORIES {
        let path = root.join(directory);
        fs::create_dir_all(&path).context(Step::Root, || format!("make {}", path.display()))?;
    }
    let (run, tmp) = (root.join("run"), root.join("tmp"));
    if let Err(error) = fs::remove_dir_all(&run).and_then(|()| fs::create_dir(&run)) {
        notes.push(format!("/run could not be emptied: {error}"));
    }
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).context(Step::Root, || format!("open {} to all", tmp.display()))?;
    Ok(notes)
}
