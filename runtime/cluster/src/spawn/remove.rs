//! Removing what a cluster kept. With subordinate ids some of it belongs to ids that only the cluster's user namespace may touch.
//!
//! 1. Who started it may remove everything himself, as root or where there is one id only.
//! 2. Otherwise a child enters a user namespace with the same id maps (`role:remove`), becomes its root and removes there.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, getpid, setresgid, setresuid};

use super::protocol::{self, ClusterMessage, HostMessage};
use super::{Identity, SpawnError, identity, step, write_maps};

/// Remove a directory and everything below it, whichever of the cluster's ids it belongs to. One that is missing is removed already.
///
/// # Errors
/// When something cannot be removed.
pub fn directory(path: &Path) -> Result<(), SpawnError> {
    if !path.exists() {
        return Ok(());
    }
    let identity = identity();
    if !matches!(identity, Identity::Subordinate { .. }) {
        return step(remove(path), format!("remove {}", path.display()));
    }
    let (ours, theirs) = step(protocol::pair(), "make a socket")?;
    let exe = step(std::env::current_exe(), "find the drydock executable")?;
    let child = Command::new(&exe).arg("role:remove").arg(path).stdin(Stdio::from(theirs)).spawn();
    let mut child = step(child, format!("start {}", exe.display()))?;
    let outcome = map(&ours, identity, child.id() as i32);
    drop(ours);
    step(child.wait(), "wait for the removal")?;
    outcome
}

/// Give the child its ids, then hear how it went: the end of file is success.
fn map(socket: &OwnedFd, identity: Identity, pid: i32) -> Result<(), SpawnError> {
    let hear = || step(protocol::receive(socket.as_fd()), "hear from the removal");
    if let Some((ClusterMessage::Failed { what }, _)) = hear()? {
        return Err(SpawnError::Boot(what));
    }
    step(write_maps(identity, pid), "write the id maps")?;
    step(protocol::send(socket.as_fd(), &HostMessage::Mapped, &[]), "confirm the id maps")?;
    match hear()? {
        Some((ClusterMessage::Failed { what }, _)) => Err(SpawnError::Boot(what)),
        Some(_) | None => Ok(()),
    }
}

/// Run as `role:remove PATH`: the socket of the host process is standard input.
pub fn run(path: &Path) -> ExitCode {
    let Ok(host) = io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::from(2) };
    match remove_as_root(&host, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let what = format!("cannot remove {}: {error}", path.display());
            match protocol::send(host.as_fd(), &ClusterMessage::Failed { what }, &[]) {
                Ok(()) | Err(_) => ExitCode::FAILURE,
            }
        }
    }
}

fn remove_as_root(host: &OwnedFd, path: &Path) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    protocol::send(host.as_fd(), &ClusterMessage::NeedMaps { pid: getpid().as_raw() }, &[])?;
    let Some((HostMessage::Mapped, _)) = protocol::receive(host.as_fd())? else {
        return Err(io::Error::other("the id maps were not written"));
    };
    let root = Uid::from_raw(0);
    setresgid(0.into(), 0.into(), 0.into())?;
    setresuid(root, root, root)?;
    remove(path)
}

fn remove(path: &Path) -> io::Result<()> {
    if !path.symlink_metadata()?.is_dir() {
        return fs::remove_file(path);
    }
    open_up(path)?;
    fs::remove_dir_all(path)
}

/// Make every directory enterable for its owner: images and overlays have some that are not.
fn open_up(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_directories_go_and_what_links_lead_to_stays() {
        let root = tempfile::tempdir().unwrap();
        let (kept, gone) = (root.path().join("kept"), root.path().join("gone"));
        fs::create_dir_all(gone.join("closed/inner")).unwrap();
        fs::write(&kept, "kept").unwrap();
        std::os::unix::fs::symlink(&kept, gone.join("closed/link")).unwrap();
        fs::set_permissions(gone.join("closed"), Permissions::from_mode(0o000)).unwrap();
        remove(&gone).unwrap();
        assert!(!gone.exists() && kept.exists());
    }
}
