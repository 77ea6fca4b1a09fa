//! What is on a disk: bytes of directories, counted by their files' blocks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file's blocks are counted in these, whatever the file system's are.
const BLOCK: u64 = 512;

/// Bytes on the disk below a path, on the file system the path is on, without what is below `except`. `budget` files are looked at, so that
/// nobody with a million of them keeps the machine busy: what comes after them is not counted. What vanishes meanwhile was not there.
pub(crate) fn size(path: &Path, except: &[PathBuf], budget: &mut usize) -> u64 {
    let Ok(root) = fs::metadata(path) else { return 0 };
    let mut bytes = 0;
    let mut open = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if *budget == 0 {
                return bytes;
            }
            *budget -= 1;
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.dev() != root.dev() {
                continue;
            }
            bytes += metadata.blocks() * BLOCK;
            if metadata.is_dir() {
                let path = entry.path();
                if !except.contains(&path) {
                    open.push(path);
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_until_the_budget_is_spent() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["own", "theirs"] {
            fs::create_dir(root.path().join(directory)).unwrap();
            for number in 0..10 {
                fs::write(root.path().join(directory).join(number.to_string()), vec![1; 100 << 10]).unwrap();
            }
        }
        let kilobytes = |except: &[PathBuf], mut budget: usize| {
            let bytes = size(root.path(), except, &mut budget);
            (bytes >> 10, budget)
        };
        let (all, left) = kilobytes(&[], 100);
        assert!((2000..2200).contains(&all) && left == 78, "{all} {left}");
        let (own, _) = kilobytes(&[root.path().join("theirs")], 100);
        assert!((1000..1100).contains(&own), "{own}");
        let (some, left) = kilobytes(&[], 8);
        assert!(some < 1000 && left == 0, "{some} {left}");
        assert_eq!(size(&root.path().join("nowhere"), &[], &mut 10), 0);
    }
}
