//! Unpacking a layer into a directory that overlayfs can use as a `lowerdir`.
//!
//! Works as real root, as root of a user namespace with many ids, and as root of one with a single id: an owner that is
//! not mapped is not set, everything else of the entry is. A layer's whiteouts (`.wh.NAME`, `.wh..wh..opq`) become
//! those of overlayfs mounted with `userxattr`.
//!
//! An entry is never written outside the directory: its path may not climb, and the real path of its parent must still
//! be inside after links are followed.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, lchown, symlink},
    path::{Component, Path, PathBuf},
};

use nix::sys::{
    stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat},
    time::TimeSpec,
};

use crate::error::StoreError;

const WHITEOUT_PREFIX: &str = ".wh.";
const OPAQUE_MARKER: &str = ".wh..wh..opq";

/// Unpacks the tar `reader` gives into the existing directory `root`.
pub(crate) fn unpack(digest: &str, reader: impl io::Read, root: &Path) -> Result<(), StoreError> {
    let root = root.canonicalize().map_err(StoreError::io("resolve", root))?;
    let bad = |reason: String| StoreError::BadLayer { digest: digest.to_owned(), reason };
    let mut archive = tar::Archive::new(reader);
    // Directories get their mode and time last, so that a read-only one can be filled first.
    let mut directories = Vec::new();
    for entry in archive.entries().map_err(|error| bad(error.to_string()))? {
        let mut entry = entry.map_err(|error| bad(error.to_string()))?;
        let path = entry.path().map_err(|error| bad(error.to_string()))?.into_owned();
        let Some(relative) = inside(&path) else {
            return Err(bad(format!("entry {} is outside the image", path.display())));
        };
        if relative.as_os_str().is_empty() {
            continue;
        }
        let target = root.join(&relative);
        let parent = target.parent().expect("joined to the root, so it has a parent");
        fs::create_dir_all(parent).map_err(StoreError::io("create directory", parent))?;
        let real_parent = parent.canonicalize().map_err(StoreError::io("resolve", parent))?;
        if !real_parent.starts_with(&root) {
            return Err(bad(format!("entry {} leaves the image by a link", path.display())));
        }
        place(&mut entry, &root, &target, &mut directories)
            .map_err(StoreError::io("unpack", &target))?;
    }
    for (path, mode, mtime) in directories.into_iter().rev() {
        let finish = fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .and_then(|()| set_time(&path, mtime));
        finish.map_err(StoreError::io("set mode of", &path))?;
    }
    Ok(())
}

/// The path without `.`, a leading `/`; `None` if it climbs.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

fn place(
    entry: &mut tar::Entry<'_, impl io::Read>,
    root: &Path,
    target: &Path,
    directories: &mut Vec<(PathBuf, u32, u64)>,
) -> io::Result<()> {
    let header = entry.header().clone();
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name == OPAQUE_MARKER {
        return set_opaque(target.parent().unwrap_or(root));
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT_PREFIX) {
        return whiteout(&target.with_file_name(hidden));
    }
    let mode = header.mode()? & 0o7777;
    let mtime = header.mtime()?;
    match header.entry_type() {
        tar::EntryType::Directory => {
            if !fs::symlink_metadata(target).is_ok_and(|meta| meta.is_dir()) {
                remove_existing(target)?;
                fs::create_dir(target)?;
            }
            set_owner(target, &header)?;
            directories.push((target.to_owned(), mode, mtime));
            return Ok(());
        }
        tar::EntryType::Regular | tar::EntryType::Continuous => {
            remove_existing(target)?;
            let mut file = fs::File::create_new(target)?;
            io::copy(entry, &mut file)?;
        }
        tar::EntryType::Symlink => {
            let link = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
            remove_existing(target)?;
            symlink(link, target)?;
            return set_owner(target, &header);
        }
        tar::EntryType::Link => {
            let link = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
            let source = root.join(inside(&link).ok_or(io::ErrorKind::InvalidData)?);
            let real = source.canonicalize()?;
            if !real.starts_with(root) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            remove_existing(target)?;
            return fs::hard_link(real, target);
        }
        tar::EntryType::Fifo => {
            remove_existing(target)?;
            nix::unistd::mkfifo(target, Mode::from_bits_truncate(mode))?;
        }
        // Devices come from the runtime, never from an image; extension headers are read by the tar crate.
        _ => return Ok(()),
    }
    set_owner(target, &header)?;
    // After chown, which clears set-user-id bits.
    fs::set_permissions(target, fs::Permissions::from_mode(mode))?;
    set_time(target, mtime)
}

fn remove_existing(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives `path` its owner where the user namespace maps it (EINVAL) and the process may (EPERM).
fn set_owner(path: &Path, header: &tar::Header) -> io::Result<()> {
    let id = |id: u64| u32::try_from(id).map_err(|_| io::Error::from(io::ErrorKind::InvalidData));
    // Some writers leave the fields of root empty.
    match lchown(path, Some(id(header.uid().unwrap_or(0))?), Some(id(header.gid().unwrap_or(0))?)) {
        Err(error) if matches!(error.raw_os_error(), Some(libc_errno::EPERM | libc_errno::EINVAL)) => Ok(()),
        other => other,
    }
}

mod libc_errno {
    //! The two numbers `lchown` may answer when an id is not ours to give.
    pub(super) const EPERM: i32 = nix::errno::Errno::EPERM as i32;
    pub(super) const EINVAL: i32 = nix::errno::Errno::EINVAL as i32;
}

fn set_time(path: &Path, mtime: u64) -> io::Result<()> {
    let time = TimeSpec::new(i64::try_from(mtime).unwrap_or(0), 0);
    Ok(utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

/// A 0/0 character device hides the name below; making one needs no privilege since Linux 5.8.
fn whiteout(path: &Path) -> io::Result<()> {
    remove_existing(path)?;
    Ok(mknod(path, SFlag::S_IFCHR, Mode::empty(), 0)?)
}

/// Hides everything below the directory, in the attribute overlayfs reads under `userxattr`.
fn set_opaque(directory: &Path) -> io::Result<()> {
    xattr::set(directory, "user.overlay.opaque", b"y")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    fn layer(entries: &[(tar::EntryType, &str, u32, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, mode, content) in entries {
            if kind.is_symlink() || kind.is_hard_link() {
                let mut header = header(*kind, *mode, 0);
                builder.append_link(&mut header, path, content).unwrap();
            } else {
                let mut header = header(*kind, *mode, content.len() as u64);
                // Set by hand: the tar crate refuses to write a path that climbs.
                header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
                header.set_cksum();
                builder.append(&header, content.as_bytes()).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_links_and_modes_arrive() {
        use tar::EntryType as T;
        let root = tempfile::tempdir().unwrap();
        let tar = layer(&[
            (T::Directory, "ro", 0o555, ""),
            (T::Regular, "ro/a", 0o4755, "hello"),
            (T::Symlink, "b", 0o777, "ro/a"),
            (T::Link, "c", 0o644, "ro/a"),
        ]);
        unpack("sha256:x", tar.as_slice(), root.path()).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("b")).unwrap(), "hello");
        assert_eq!(fs::read_to_string(root.path().join("c")).unwrap(), "hello");
        let mode = |name: &str| fs::metadata(root.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode("ro") & 0o7777, 0o555);
        assert_eq!(mode("ro/a") & 0o7777, 0o4755);
        fs::set_permissions(root.path().join("ro"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn nothing_leaves_the_directory() {
        use tar::EntryType as T;
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().to_str().unwrap();
        let cases: [&[(T, &str, u32, &str)]; 3] = [
            &[(T::Regular, "../evil", 0o644, "x")],
            &[(T::Symlink, "l", 0o777, target), (T::Regular, "l/evil", 0o644, "x")],
            &[(T::Link, "h", 0o644, "../../etc/passwd")],
        ];
        for entries in cases {
            let root = tempfile::tempdir().unwrap();
            assert!(unpack("sha256:x", layer(entries).as_slice(), root.path()).is_err());
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        }
    }
}
