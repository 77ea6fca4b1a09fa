//! The container's root: read-only layers, a writable directory above them, and `pivot_root` into the result.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, pivot_root};

use crate::error::{Context, Error, Step};
use crate::report::Reporter;
use crate::spec::RootFs;

/// Options of a mount(2) call share one page; stay well below.
const MAX_OPTIONS: usize = 3500;

/// In a mount namespace of our own: cut the ties to the old one and mount the new root. Returns where it is.
pub(crate) fn assemble(root: &RootFs, reporter: &Reporter) -> Result<PathBuf, Error> {
    let none = None::<&str>;
    // The copy of the node's mounts we were born with must not pass anything back.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context(Step::Root, || "make mounts private")?;
    let at = root.writable.join("root");
    directories(root)?;
    if root.layers.is_empty() {
        // No image: the writable directory is the whole file system.
        mount(Some(&root.writable.join("upper")), &at, none, MsFlags::MS_BIND, none).context(Step::Root, || "bind the root file system")?;
        return Ok(at);
    }
    match overlay(root, &at) {
        Err(Errno::EINVAL) => {
            // An overlay cannot be the upper layer of an overlay (we run inside a container). Memory can.
            mount(Some("tmpfs"), &root.writable, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).context(Step::Root, || "mount memory for the writable layer")?;
            directories(root)?;
            overlay(root, &at).context(Step::Root, || "mount the root file system")?;
            reporter.degraded("files the container writes are kept in memory: its disk cannot carry an overlay")?;
        }
        other => other.context(Step::Root, || "mount the root file system")?,
    }
    Ok(at)
}

fn directories(root: &RootFs) -> Result<(), Error> {
    for name in ["upper", "work", "root"] {
        let path = root.writable.join(name);
        fs::create_dir_all(&path).context(Step::Root, || format!("make {}", path.display()))?;
    }
    Ok(())
}

fn overlay(root: &RootFs, at: &Path) -> Result<(), Errno> {
    // The kernel wants the topmost layer first.
    let paths: Vec<PathBuf> = root.layers.iter().rev().cloned().collect();
    let (upper, work) = (root.writable.join("upper"), root.writable.join("work"));
    // A volatile overlay leaves a mark there and is refused a second time, in case the computer lost power. Ours may go on: at worst
    // the container finds its last files empty, as on a computer without a journal.
    match fs::remove_dir_all(work.join("work/incompat")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
        _ => {}
    }
    // Descriptors keep the option string short and free of characters that would need escaping; names are nicer in /proc/mounts.
    let mut held = Vec::new();
    let plain = options(&paths, &upper, &work);
    let all = paths.iter().chain([&upper, &work]);
    let options = if plain.len() <= MAX_OPTIONS && all.clone().all(|path| is_plain(path)) {
        plain
    } else {
        let mut short = Vec::new();
        for path in all {
            let file = File::open(path).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            short.push(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())));
            held.push(file);
        }
        match short.as_slice() {
            [layers @ .., upper, work] => options(layers, upper, work),
            _ => return Err(Errno::EINVAL),
        }
    };
    mount(Some("overlay"), at, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
}

fn options(layers: &[PathBuf], upper: &Path, work: &Path) -> String {
    let layers: Vec<String> = layers.iter().map(|path| path.display().to_string()).collect();
    // userxattr: whiteouts and opaque directories work without rights over trusted.* attributes.
    // volatile: without it the end of every container writes all that is unwritten on the disk below, whoever wrote it, and the last
    // process hangs until that is done: a minute beside a compiler (`ovl_sync_fs`). Writable layers need not outlive a power cut.
    format!("lowerdir={},upperdir={},workdir={},userxattr,volatile", layers.join(":"), upper.display(), work.display())
}

fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.contains([':', ',', '\\', '"']))
}

/// Make `root` the root directory and let go of everything that was there before.
pub(crate) fn enter(root: &Path) -> Result<(), Error> {
    chdir(root).context(Step::Root, || "enter the root file system")?;
    // The old root lands on top of the new one and is taken off again: needs no directory to put it in.
    pivot_root(".", ".").context(Step::Root, || "pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context(Step::Root, || "unmount the old root")?;
    chdir("/").context(Step::Root, || "enter the root file system")
}
