//! Directories of the node: made for a Pod, in memory, or the node's own.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use drydock_primitives::quantity::Quantity;
use k8s_openapi::api::core::v1::HostPathVolumeSource;

/// Make an empty directory anybody may write to; what is in it already stays.
pub(super) fn empty_directory(path: &Path, memory: bool, size: Option<Quantity>) -> Result<(), String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| format!("{what} {}: {error}", path.display());
    if memory {
        in_memory(path, size)?;
    } else {
        fs::create_dir_all(path).map_err(|error| failed("mkdir", &error))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(|error| failed("chmod", &error))
}

/// Make a directory that is never written to a disk.
pub(super) fn in_memory(path: &Path, size: Option<Quantity>) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("mkdir {}: {error}", path.display()))?;
    if is_mount_point(path) {
        return Ok(());
    }
    let options = size.map(|size| format!("size={}", size.value()));
    nix::mount::mount(Some("tmpfs"), path, Some("tmpfs"), nix::mount::MsFlags::empty(), options.as_deref())
        .map_err(|error| format!("mount tmpfs at {}: {error}", path.display()))
}

/// Whether something is mounted here.
pub(super) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    path.parent().is_some_and(|parent| device(parent) != device(path))
}

/// `fsGroup`: everything belongs to the group, which may do what its owner may, and what is made in it will too.
// upstream: pkg/volume/volume_linux.go, SetVolumeOwnership
pub(super) fn give_to_group(path: &Path, group: Option<u32>) -> Result<(), String> {
    let Some(group) = group else { return Ok(()) };
    give(path, group).map_err(|error| format!("applying fsGroup {group} to {}: {error}", path.display()))
}

fn give(path: &Path, group: u32) -> io::Result<()> {
    change_group(path, group)?;
    let metadata = path.symlink_metadata()?;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return Ok(());
    }
    let more = if kind.is_dir() { 0o2770 } else { 0o660 };
    fs::set_permissions(path, fs::Permissions::from_mode(metadata.mode() & 0o7777 | more))?;
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), group)?;
        }
    }
    Ok(())
}

/// Change a group, where there is more than one: in a cluster with a single id everything belongs to that.
pub(super) fn change_group(path: &Path, group: u32) -> io::Result<()> {
    match lchown(path, None, Some(group)) {
        Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => Ok(()),
        other => other,
    }
}

/// Why there is no such place in a volume.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BelowError {
    /// No path may be like this.
    Invalid(&'static str),
    /// It is missing and cannot be made.
    Make,
    /// A symbolic link leads out of the volume.
    Outside,
}

/// A place in a volume, made when it is missing.
// upstream: pkg/volume/util/subpath/subpath_linux.go
pub(super) fn below(volume: &Path, sub_path: &str) -> Result<PathBuf, BelowError> {
    let sub_path = Path::new(sub_path);
    if sub_path.is_absolute() {
        return Err(BelowError::Invalid("must be a relative path"));
    }
    if sub_path.components().any(|part| part == Component::ParentDir) {
        return Err(BelowError::Invalid("must not contain '..'"));
    }
    let inside = volume.join(sub_path);
    let root = volume.canonicalize().map_err(|_| BelowError::Make)?;
    if inside.symlink_metadata().is_err() {
        let parent = inside.ancestors().skip(1).find_map(|ancestor| ancestor.canonicalize().ok());
        if !parent.is_some_and(|parent| parent.starts_with(&root)) {
            return Err(BelowError::Outside);
        }
        let mode = fs::metadata(&root).map(|metadata| metadata.mode() & 0o7777).map_err(|_| BelowError::Make)?;
        fs::create_dir_all(&inside).and_then(|()| fs::set_permissions(&inside, fs::Permissions::from_mode(mode))).map_err(|_| BelowError::Make)?;
    }
    let real = inside.canonicalize().map_err(|_| BelowError::Make)?;
    if real.starts_with(&root) { Ok(real) } else { Err(BelowError::Outside) }
}

/// A path of the node, which is what its type says.
// upstream: pkg/volume/hostpath/host_path.go, checkType
pub(super) fn host_path(host: &HostPathVolumeSource) -> Result<PathBuf, String> {
    let path = PathBuf::from(&host.path);
    let wrong = |what: &str| format!("hostPath type check failed: {} is not a {what}", host.path);
    let make = |error: std::io::Error| format!("mkdir {}: {error}", host.path);
    let kind = fs::metadata(&path).map(|metadata| metadata.file_type()).ok();
    match host.type_.as_deref().unwrap_or_default() {
        "DirectoryOrCreate" => match kind {
            Some(kind) if !kind.is_dir() => return Err(wrong("directory")),
            Some(_) => {}
            None => fs::create_dir_all(&path).map_err(make)?,
        },
        "Directory" if !kind.is_some_and(|kind| kind.is_dir()) => return Err(wrong("directory")),
        "FileOrCreate" => match kind {
            Some(kind) if !kind.is_file() => return Err(wrong("file")),
            Some(_) => {}
            None => fs::write(&path, "").map_err(make)?,
        },
        "File" if !kind.is_some_and(|kind| kind.is_file()) => return Err(wrong("file")),
        "Socket" if !kind.is_some_and(|kind| kind.is_socket()) => return Err(wrong("socket file")),
        "CharDevice" if !kind.is_some_and(|kind| kind.is_char_device()) => return Err(wrong("character device")),
        "BlockDevice" if !kind.is_some_and(|kind| kind.is_block_device()) => return Err(wrong("block device")),
        // Without a type nothing is checked, and container engines make a missing directory.
        "" if kind.is_none() => fs::create_dir_all(&path).map_err(make)?,
        _ => {}
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_place_in_a_volume_never_leads_out_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("volume");
        fs::create_dir_all(volume.join("here")).unwrap();
        fs::create_dir(directory.path().join("secret")).unwrap();
        symlink("../secret", volume.join("out")).unwrap();
        symlink("here", volume.join("link")).unwrap();
        for (sub_path, expected) in [
            ("here", Ok("volume/here")),
            ("link", Ok("volume/here")),
            ("new/deep", Ok("volume/new/deep")),
            ("out", Err(BelowError::Outside)),
            ("out/new", Err(BelowError::Outside)),
            ("../secret", Err(BelowError::Invalid("must not contain '..'"))),
            ("/etc", Err(BelowError::Invalid("must be a relative path"))),
        ] {
            let found = below(&volume, sub_path);
            assert_eq!(found, expected.map(|path| directory.path().canonicalize().unwrap().join(path)), "{sub_path}");
        }
        assert!(!directory.path().join("secret/new").exists());
    }

    #[test]
    fn a_path_of_the_node_is_what_its_type_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        fs::create_dir(path("dir")).unwrap();
        fs::write(path("file"), "").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (name, kind, refused) in [
            ("dir", Some("Directory"), None),
            ("file", Some("Directory"), Some("directory")),
            ("none", Some("Directory"), Some("directory")),
            ("made", Some("DirectoryOrCreate"), None),
            ("file", Some("DirectoryOrCreate"), Some("directory")),
            ("file", Some("File"), None),
            ("dir", Some("File"), Some("file")),
            ("none", Some("File"), Some("file")),
            ("touched", Some("FileOrCreate"), None),
            ("socket", Some("Socket"), None),
            ("file", Some("Socket"), Some("socket file")),
            ("file", Some("CharDevice"), Some("character device")),
            ("file", Some("BlockDevice"), Some("block device")),
            ("any/where", None, None),
            ("file", Some(""), None),
        ] {
            let host = HostPathVolumeSource { path: path(name), type_: kind.map(str::to_owned) };
            let expected = match refused {
                None => Ok(PathBuf::from(path(name))),
                Some(what) => Err(format!("hostPath type check failed: {} is not a {what}", path(name))),
            };
            assert_eq!(host_path(&host), expected, "{name} {kind:?}");
        }
        assert!(directory.path().join("made").is_dir() && directory.path().join("touched").is_file() && directory.path().join("any/where").is_dir());
    }
}
