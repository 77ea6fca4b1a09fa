//! What is on a disk: bytes of directories, counted by their files' blocks.

use std::fs::{self, ReadDir};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file's blocks are counted in these, whatever the file system's are.
const BLOCK: u64 = 512;

/// Bytes on the disk below a path, on the file system the path is on, without what is below `except`. `budget` files are looked at, so that
/// nobody with a million of them keeps the machine busy: what comes after them is not counted. What vanishes meanwhile was not there.
pub(crate) fn size(path: &Path, except: &[PathBuf], budget: &mut usize) -> u64 {
    let mut count = Count::of([path.to_owned()]);
    count.go_on(except, budget);
    count.bytes
}

/// A count of [`size`]'s kind that can be made in pieces.
#[derive(Debug)]
pub(crate) struct Count {
    /// What has been counted so far.
    bytes: u64,
    /// Directories to come, and the file system they have to be on; nothing for the places themselves.
    open: Vec<(PathBuf, Option<u64>)>,
    /// The directory in hand.
    reading: Option<(ReadDir, u64)>,
}

impl Count {
    /// Nothing counted yet.
    pub(crate) fn of(places: impl IntoIterator<Item = PathBuf>) -> Count {
        Count { bytes: 0, open: places.into_iter().map(|place| (place, None)).collect(), reading: None }
    }

    /// Count up to `budget` more files, which are taken off it; says what there is in all when all has been seen.
    pub(crate) fn go_on(&mut self, except: &[PathBuf], budget: &mut usize) -> Option<u64> {
        loop {
            let Some((entries, device)) = &mut self.reading else {
                let Some((directory, device)) = self.open.pop() else { return Some(self.bytes) };
                let device = device.or_else(|| Some(fs::metadata(&directory).ok()?.dev()));
                self.reading = fs::read_dir(directory).ok().zip(device);
                continue;
            };
            if *budget == 0 {
                return None;
            }
            let device = *device;
            let Some(entry) = entries.next() else {
                self.reading = None;
                continue;
            };
            *budget -= 1;
            let Some((entry, metadata)) = entry.ok().and_then(|entry| Some((entry.path(), entry.metadata().ok()?))) else { continue };
            if metadata.dev() != device {
                continue;
            }
            self.bytes += metadata.blocks() * BLOCK;
            if metadata.is_dir() && !except.contains(&entry) {
                self.open.push((entry, Some(device)));
            }
        }
    }
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
        let mut count = Count::of([root.path().to_owned()]);
        let pieces = (1..).find_map(|piece| count.go_on(&[], &mut 5).map(|bytes| (piece, bytes >> 10)));
        assert_eq!(pieces, Some((5, all)), "in pieces it is the same");
    }
}
