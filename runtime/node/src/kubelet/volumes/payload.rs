//! Files that change all at once: a directory named by the time, a link `..data` to it, and one link per file through that.
//!
//! A reader sees either all old files or all new ones, because only `..data` is exchanged, by one rename.

// upstream: pkg/volume/util/atomic_writer.go

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::KeyToPath;

use super::places::{change_group, is_mount_point};

/// Files to be written.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// Permission bits of files that say nothing else.
    pub(super) mode: Option<i32>,
    files: BTreeMap<PathBuf, (Vec<u8>, Option<i32>)>,
}

impl Payload {
    /// One file.
    pub(super) fn file(&mut self, path: &str, bytes: Vec<u8>, mode: Option<i32>) {
        self.files.insert(PathBuf::from(path), (bytes, mode));
    }

    /// All keys, or those that are listed.
    pub(super) fn add(
        &mut self,
        data: BTreeMap<String, Vec<u8>>,
        items: Option<&[KeyToPath]>,
        optional: bool,
        missing: impl Fn(&str) -> String,
    ) -> Result<(), String> {
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            self.files.extend(data.into_iter().map(|(key, bytes)| (PathBuf::from(key), (bytes, None))));
            return Ok(());
        };
        for item in items {
            match data.get(&item.key) {
                Some(bytes) => self.file(&item.path, bytes.clone(), item.mode),
                None if optional => {}
                None => return Err(missing(&item.key)),
            }
        }
        Ok(())
    }

    /// Write them below `root`, which anybody may look into, unless they are there already.
    pub(super) fn write(&self, root: &Path, group: Option<u32>, now: Timestamp) -> io::Result<()> {
        fs::create_dir_all(root)?;
        let sticky = if is_mount_point(root) { 0o1000 } else { 0 };
        let shared = if group.is_some() { 0o2000 } else { 0 };
        share(root, 0o777 | sticky | shared, group)?;
        let link = root.join("..data");
        let old = fs::read_link(&link).ok();
        if old.is_some() && self.is_written(&link) {
            return Ok(());
        }
        let name = now.strftime("..%Y_%m_%d_%H_%M_%S.").to_string() + &format!("{:09}", now.subsec_nanosecond());
        self.fill(&root.join(&name), group)?;
        let fresh = root.join("..data_tmp");
        if fresh.symlink_metadata().is_ok() {
            fs::remove_file(&fresh)?;
        }
        symlink(&name, &fresh)?;
        fs::rename(&fresh, &link)?;
        self.links(root)?;
        if let Some(old) = old {
            fs::remove_dir_all(root.join(old))?;
        }
        Ok(())
    }

    fn is_written(&self, data: &Path) -> bool {
        self.files.iter().all(|(path, (bytes, _))| fs::read(data.join(path)).is_ok_and(|present| present == *bytes))
            && count(data).is_ok_and(|count| count == self.files.len())
    }

    fn fill(&self, directory: &Path, group: Option<u32>) -> io::Result<()> {
        let (of_directories, of_files) = if group.is_some() { (0o2755, 0o440) } else { (0o755, 0) };
        fs::create_dir(directory)?;
        share(directory, of_directories, group)?;
        for (path, (bytes, mode)) in &self.files {
            let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()).collect::<Vec<_>>();
            for parent in parents.into_iter().rev().map(|parent| directory.join(parent)) {
                if !parent.is_dir() {
                    fs::create_dir(&parent)?;
                    share(&parent, of_directories, group)?;
                }
            }
            let path = directory.join(path);
            fs::write(&path, bytes)?;
            let mode = mode.or(self.mode).and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644);
            share(&path, mode | of_files, group)?;
        }
        Ok(())
    }

    /// Names a reader sees: the first component of every path.
    fn links(&self, root: &Path) -> io::Result<()> {
        let wanted: BTreeSet<_> = self.files.keys().filter_map(|path| path.components().next()).map(|part| part.as_os_str().to_owned()).collect();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let visible = !entry.file_name().to_string_lossy().starts_with("..");
            if visible && !wanted.contains(&entry.file_name()) {
                fs::remove_file(entry.path())?;
            }
        }
        for name in wanted {
            let link = root.join(&name);
            if link.symlink_metadata().is_err() {
                symlink(Path::new("..data").join(&name), link)?;
            }
        }
        Ok(())
    }
}

/// Permissions, and the Pod's group if it has one.
fn share(path: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        change_group(path, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn count(directory: &Path) -> io::Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_exchanged_at_once_and_seen_through_links() {
        let root = std::env::temp_dir().join(format!("drydock-payload-{}", std::process::id()));
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let mut payload = Payload { mode: Some(0o400), ..Payload::default() };
        payload.file("a.txt", b"one".to_vec(), None);
        payload.file("dir/b.txt", b"two".to_vec(), Some(0o600));
        payload.write(&root, None, at(0)).unwrap();
        assert_eq!(fs::read_link(root.join("a.txt")).unwrap(), Path::new("..data/a.txt"));
        assert_eq!(fs::read_link(root.join("dir")).unwrap(), Path::new("..data/dir"));
        assert_eq!(fs::read_to_string(root.join("dir/b.txt")).unwrap(), "two");
        assert_eq!(fs::metadata(root.join("a.txt")).unwrap().permissions().mode() & 0o777, 0o400);
        let first = fs::read_link(root.join("..data")).unwrap();
        payload.write(&root, None, at(1)).unwrap();
        assert_eq!(fs::read_link(root.join("..data")).unwrap(), first, "nothing changed");
        let mut other = Payload::default();
        other.file("a.txt", b"three".to_vec(), None);
        other.write(&root, None, at(2)).unwrap();
        assert_eq!(fs::read_to_string(root.join("a.txt")).unwrap(), "three");
        assert!(root.join("dir").symlink_metadata().is_err());
        assert!(!root.join(first).exists());
        fs::remove_dir_all(root).unwrap();
    }
}
