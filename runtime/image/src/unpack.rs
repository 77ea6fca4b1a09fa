//! Unpacking a layer into a directory that overlayfs can use as a `lowerdir`.
//!
//! Works as real root, as root of a user namespace with many ids, and as root of one with a single id: an owner that is
//! not mapped is not set, everything else of the entry is. A layer's whiteouts (`.wh.NAME`, `.wh..wh..opq`) become
//! those of overlayfs mounted with `userxattr`.
//!
//! An entry is never written outside the directory: its path may not climb, and a link on its way leads where it would lead
//! inside the container, so that `/` is the directory ([`resolve`]).

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink},
    path::{Component, Path, PathBuf},
};

use nix::sys::{
    stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat},
    time::TimeSpec,
};

use crate::error::StoreError;

const WHITEOUT_PREFIX: &str = ".wh.";
const OPAQUE_MARKER: &str = ".wh..wh..opq";
/// As many links may lead from one to the next, as in the kernel.
const LONGEST_CHAIN: u32 = 40;

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
        let parent = resolve(&root, relative.parent().unwrap_or(Path::new("")), true).map_err(StoreError::io("create directory for", &path))?;
        let target = parent.join(relative.file_name().unwrap_or_default());
        place(&mut entry, &root, &target, &mut directories)
            .map_err(StoreError::io("unpack", &target))?;
    }
    for (path, mode, mtime) in directories.into_iter().rev() {
        // A later entry may have put a link in its place, or in that of a directory above it.
        if !path.canonicalize().is_ok_and(|real| real == path && real.is_dir()) {
            continue;
        }
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

/// Where a path leads for somebody whose root directory `root` is; what is missing of it is made, if so wished.
fn resolve(root: &Path, path: &Path, make: bool) -> io::Result<PathBuf> {
    let mut real = root.to_owned();
    let mut left: Vec<OsString> = path.components().rev().map(|component| component.as_os_str().to_owned()).collect();
    let mut links = 0;
    while let Some(next) = left.pop() {
        match Path::new(&next).components().next() {
            Some(Component::RootDir) => real = root.to_owned(),
            Some(Component::ParentDir) => {
                if real != root {
                    real.pop();
                }
            }
            Some(Component::Normal(name)) => {
                let step = real.join(name);
                match fs::symlink_metadata(&step) {
                    Ok(meta) if meta.is_symlink() => {
                        links += 1;
                        if links > LONGEST_CHAIN {
                            return Err(io::Error::other("too many levels of symbolic links"));
                        }
                        left.extend(fs::read_link(&step)?.components().rev().map(|component| component.as_os_str().to_owned()));
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound && make => fs::create_dir(&step)?,
                    Ok(meta) if make && is_whiteout(&meta) => make_directory(&step)?,
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
                real = step;
            }
            _ => {}
        }
    }
    Ok(real)
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
        return match hidden {
            // Not names of files: they would hide the directory, or what is above it.
            "" | "." | ".." => Err(io::Error::new(io::ErrorKind::InvalidData, "it hides nothing that has a name")),
            // The book-keeping of another file system.
            hidden if hidden.starts_with(WHITEOUT_PREFIX) => Ok(()),
            hidden => whiteout(&target.with_file_name(hidden)),
        };
    }
    let mode = header.mode()? & 0o7777;
    let mtime = header.mtime()?;
    match header.entry_type() {
        tar::EntryType::Directory => {
            make_directory(target)?;
            set_owner(target, &header)?;
            directories.push((target.to_owned(), mode, mtime));
            return Ok(());
        }
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
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
            let source = inside(&link).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it links to a file outside the image"))?;
            // A link to a link is one to the link itself.
            let real = resolve(root, source.parent().unwrap_or(Path::new("")), false)?.join(source.file_name().unwrap_or_default());
            if real == target {
                return Ok(());
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

/// A directory of this layer. One that this layer hides begins anew: nothing of the layers below is seen in it.
fn make_directory(path: &Path) -> io::Result<()> {
    let hides = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(meta) => is_whiteout(&meta),
        Err(_) => false,
    };
    remove_existing(path)?;
    fs::create_dir(path)?;
    if hides { set_opaque(path) } else { Ok(()) }
}

/// A 0/0 character device hides the name below; making one needs no privilege since Linux 5.8. Only what is below is hidden: what this layer
/// has under the name, before or after, stays.
// upstream: opencontainers/image-spec layer.md, Whiteouts
fn whiteout(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => set_opaque(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(mknod(path, SFlag::S_IFCHR, Mode::empty(), 0)?),
        Err(error) => Err(error),
    }
}

fn is_whiteout(meta: &fs::Metadata) -> bool {
    meta.file_type().is_char_device() && meta.rdev() == 0
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
    fn whiteouts_hide_what_is_below_and_nothing_of_their_own_layer() {
        use tar::EntryType as T;
        let look = |path: &Path| match fs::symlink_metadata(path) {
            Ok(meta) if is_whiteout(&meta) => "whiteout".to_owned(),
            Ok(meta) if meta.is_dir() => format!("{}{:?}", if xattr::get(path, "user.overlay.opaque").unwrap().is_some() { "opaque" } else { "open" }, all_below(path)),
            Ok(_) => fs::read_to_string(path).unwrap(),
            Err(error) => error.to_string(),
        };
        let (file, other, directory, hidden) = ((T::Regular, "a", 0o644, "x"), (T::Regular, "a/b", 0o644, "x"), (T::Directory, "a", 0o755, ""), (T::Regular, ".wh.a", 0o644, ""));
        let cases: &[(&[(T, &str, u32, &str)], &str)] = &[
            (&[hidden], "whiteout"),
            (&[hidden, hidden], "whiteout"),
            (&[file, hidden], "x"),
            (&[hidden, file], "x"),
            (&[directory, hidden], "opaque[]"),
            (&[hidden, directory], "opaque[]"),
            (&[directory, other, hidden], "opaque[\"b\"]"),
            (&[hidden, other], "opaque[\"b\"]"),
            (&[other], "open[\"b\"]"),
            (&[other, file], "x"),
        ];
        for (entries, wanted) in cases {
            let root = tempfile::tempdir().unwrap();
            unpack("sha256:x", layer(entries).as_slice(), root.path()).unwrap();
            assert_eq!(look(&root.path().join("a")), *wanted, "{entries:?}");
        }
    }

    #[test]
    fn nothing_leaves_the_directory() {
        use tar::EntryType as T;
        let above = tempfile::tempdir().unwrap();
        let outside = above.path().join("outside");
        let target = outside.to_str().unwrap();
        let file = outside.join("file");
        // What the layer is, and the files that are there in the end; an error where it is none.
        let cases: &[(&[(T, &str, u32, &str)], Option<&[&str]>)] = &[
            (&[(T::Regular, "../evil", 0o644, "x")], None),
            (&[(T::Regular, "a/../../evil", 0o644, "x")], None),
            (&[(T::Regular, "/abs", 0o644, "x")], Some(&["abs"])),
            // A link on the way leads where it leads in the container.
            (&[(T::Symlink, "l", 0o777, "/run"), (T::Regular, "l/a/b", 0o644, "x")], Some(&["l", "run", "run/a", "run/a/b"])),
            (&[(T::Symlink, "l", 0o777, "../../.."), (T::Regular, "l/a/b", 0o644, "x")], Some(&["a", "a/b", "l"])),
            (&[(T::Symlink, "d/l", 0o777, "../e"), (T::Regular, "d/l/a", 0o644, "x")], Some(&["d", "d/l", "e", "e/a"])),
            (&[(T::Symlink, "l", 0o777, "m"), (T::Symlink, "m", 0o777, "l"), (T::Regular, "l/a", 0o644, "x")], None),
            // Only the link itself is replaced.
            (&[(T::Symlink, "l", 0o777, "FILE"), (T::Regular, "l", 0o644, "x")], Some(&["l"])),
            (&[(T::Symlink, "l", 0o777, "FILE"), (T::Directory, "l", 0o700, "")], Some(&["l"])),
            (&[(T::Symlink, "l", 0o777, "FILE"), (T::Regular, ".wh.l", 0o644, "")], Some(&["l"])),
            // The mode of a directory is set last, and not that of what is in its place by then.
            (&[(T::Directory, "d", 0o777, ""), (T::Symlink, "d", 0o777, "OUTSIDE")], Some(&["d"])),
            (&[(T::Directory, "d/e", 0o777, ""), (T::Symlink, "d", 0o777, "OUTSIDE")], Some(&["d"])),
            (&[(T::Link, "h", 0o644, "../../etc/passwd")], None),
            (&[(T::Link, "h", 0o644, "/absent")], None),
            (&[(T::Symlink, "l", 0o777, "FILE"), (T::Link, "h", 0o644, "l")], Some(&["h", "l"])),
            (&[(T::Symlink, "l", 0o777, "OUTSIDE"), (T::Link, "h", 0o644, "l/file")], None),
            (&[(T::Regular, "h", 0o644, "x"), (T::Link, "h", 0o644, "h")], Some(&["h"])),
            // Whiteouts of the directory itself, and of those above it.
            (&[(T::Regular, ".wh...", 0o644, "")], None),
            (&[(T::Regular, "d/.wh...", 0o644, "")], None),
            (&[(T::Regular, ".wh..", 0o644, "")], None),
            (&[(T::Regular, ".wh.", 0o644, "")], None),
            (&[(T::Regular, ".wh..wh.plnk", 0o644, "")], Some(&[])),
            (&[(T::Regular, "d/.wh..wh..opq", 0o644, "")], Some(&["d"])),
            (&[(T::Char, "null", 0o666, ""), (T::Block, "disk", 0o666, "")], Some(&[])),
        ];
        for (entries, wanted) in cases {
            fs::create_dir(&outside).unwrap();
            fs::set_permissions(&outside, fs::Permissions::from_mode(0o750)).unwrap();
            fs::write(&file, "theirs").unwrap();
            let root = above.path().join("root");
            fs::create_dir(&root).unwrap();
            let entries: Vec<_> = entries.iter().map(|(kind, path, mode, content)| (*kind, *path, *mode, content.replace("OUTSIDE", target).replace("FILE", file.to_str().unwrap()))).collect();
            let entries: Vec<_> = entries.iter().map(|(kind, path, mode, content)| (*kind, *path, *mode, content.as_str())).collect();
            let done = unpack("sha256:x", layer(&entries).as_slice(), &root);
            assert_eq!(done.is_ok(), wanted.is_some(), "{entries:?}: {done:?}");
            if let Some(wanted) = wanted {
                assert_eq!(all_below(&root), *wanted, "{entries:?}");
            }
            assert_eq!(all_below(above.path()).iter().filter(|path| !path.starts_with("root/")).collect::<Vec<_>>(), ["outside", "outside/file", "root"], "{entries:?}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "theirs", "{entries:?}");
            assert_eq!(fs::metadata(&outside).unwrap().permissions().mode() & 0o777, 0o750, "{entries:?}");
            fs::remove_dir_all(&outside).unwrap();
            fs::remove_dir_all(&root).unwrap();
        }
    }

    /// The paths of everything below a directory.
    fn all_below(directory: &Path) -> Vec<String> {
        let mut all = Vec::new();
        let mut left = vec![directory.to_owned()];
        while let Some(next) = left.pop() {
            for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
                all.push(path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned());
                if fs::symlink_metadata(&path).unwrap().is_dir() {
                    left.push(path);
                }
            }
        }
        all.sort();
        all
    }

    #[test]
    fn a_layer_that_is_cut_off_or_no_tar_is_an_error() {
        let whole = layer(&[(tar::EntryType::Regular, "a", 0o644, &"x".repeat(5000))]);
        for bytes in [&whole[..600], &whole[..100], b"no tar at all, but longer than nothing".repeat(20).as_slice()] {
            let root = tempfile::tempdir().unwrap();
            assert!(unpack("sha256:x", bytes, root.path()).is_err(), "{} bytes", bytes.len());
        }
    }
}
