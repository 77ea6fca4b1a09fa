//! Room on the disk: a machine of the lab may fill its own disk, and never the disk of the computer it is on.
//!
//! Nobody counts blocks for us (quotas and disks in files need rights over the host), so we look, the sooner the less is left. When the
//! disk is full, whoever has written most since the last look is ended, as whoever takes most memory is when that is full, and hears why
//! on its standard error. What was written stays: to make room is up to whoever wrote it.
//!
//! What may be lost is one look's worth of writing, for which [`HOST_KEEPS`] has room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

use super::protocol::DiskLimit;
use crate::disk;

/// The computer's own programs need this much, whatever the machines of the lab may have; less where the whole disk is small.
const HOST_KEEPS: u64 = 256 << 20;
/// Bytes a second: more than disks and their caches take.
const FASTEST: u64 = 4 << 30;
const LATEST: Duration = Duration::from_secs(1);
const SOONEST: Duration = Duration::from_millis(50);
/// Files counted in one walk.
const BUDGET: usize = 100_000;
/// To end who wrote less since the last look would help nobody.
const WRITER: u64 = 256 << 10;

/// The disk of one machine.
#[derive(Debug)]
pub(super) struct Room {
    machine: String,
    limit: DiskLimit,
    /// The last walk, if there was one.
    walked: Option<Walk>,
    next: Instant,
    /// What each process has written so far, when it was last of interest.
    written: BTreeMap<i32, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Walk {
    /// What the machine's files took.
    used: u64,
    /// The most the computer has had left since.
    free: u64,
    /// Not to be repeated before.
    again: Instant,
}

impl Room {
    pub(super) fn new(machine: &str, limit: DiskLimit) -> Room {
        Room { machine: machine.to_owned(), limit, walked: None, next: Instant::now() + LATEST, written: BTreeMap::new() }
    }

    /// Look, when it is time; says when it is time again. `spared` are the machine's own processes.
    pub(super) fn look(&mut self, spared: &BTreeSet<i32>) -> Instant {
        let now = Instant::now();
        if now < self.next {
            return self.next;
        }
        let left = self.left(now);
        let wait = until_next(left);
        if wait < LATEST {
            let before = std::mem::replace(&mut self.written, written(spared));
            if left == 0 {
                self.end_one(&before);
            }
        } else {
            self.written.clear();
        }
        self.next = now + wait;
        self.next
    }

    /// Bytes the machine may write before it is stopped.
    fn left(&mut self, now: Instant) -> u64 {
        let Some(free) = self.free() else { return u64::MAX };
        // What others remove is not what this machine has removed: it may not write as much in its place.
        if let Some(walk) = &mut self.walked {
            walk.free = walk.free.max(free);
        }
        let guessed = self.walked.map(|walk| walk.used + walk.free.saturating_sub(free));
        let doubtful = guessed.is_none_or(|guessed| guessed >= self.limit.most);
        if doubtful && self.walked.is_some_and(|walk| walk.again > now) {
            // Others on this computer write, too: nobody is ended on a guess.
            return 1;
        }
        if doubtful {
            let mut budget = BUDGET;
            let used = self.limit.places.iter().map(|place| disk::size(place, &self.limit.except, &mut budget)).sum();
            // What a walk takes, it takes from everybody else on this machine.
            let again = now + now.elapsed() * 10;
            self.walked = Some(Walk { used, free: self.free().unwrap_or(free), again });
        }
        let used = self.walked.map_or(0, |walk| walk.used + walk.free.saturating_sub(free));
        let own = self.limit.most.saturating_sub(used);
        own.min(free)
    }

    /// What may still be written to the computer's disk: what it keeps for itself is taken off.
    fn free(&self) -> Option<u64> {
        let disk = statvfs(self.limit.places.first()?.as_path()).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        let keeps = HOST_KEEPS.min(bytes(disk.blocks()) / 64);
        Some(bytes(disk.blocks_available()).saturating_sub(keeps))
    }

    fn end_one(&self, before: &BTreeMap<i32, u64>) {
        let Some((pid, bytes)) = greediest(before, &self.written) else { return };
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let gigabytes = self.limit.most >> 30;
        tell(pid, &format!("{}: No space left on device: the disk of {} ({gigabytes} GiB) is full\n", name.trim(), self.machine));
        eprintln!("node-init: the disk is full; {} ({pid}) wrote {bytes} bytes to it and is ended", name.trim());
        if let Err(errno) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
            eprintln!("node-init: cannot end {pid}: {errno}");
        }
    }
}

/// How long that much is enough for whoever writes as fast as it goes.
fn until_next(left: u64) -> Duration {
    Duration::from_secs_f64(left as f64 / FASTEST as f64).clamp(SOONEST, LATEST)
}

/// Who wrote most between two looks, if anybody wrote much. Whoever was not there before wrote all it did meanwhile.
fn greediest(before: &BTreeMap<i32, u64>, now: &BTreeMap<i32, u64>) -> Option<(i32, u64)> {
    let since = now.iter().map(|(pid, bytes)| (*pid, bytes.saturating_sub(before.get(pid).copied().unwrap_or(0))));
    since.filter(|(_, bytes)| *bytes >= WRITER).max_by_key(|(_, bytes)| *bytes)
}

/// Bytes that went to a disk, by process. Those of children that have ended count for their parents.
fn written(spared: &BTreeSet<i32>) -> BTreeMap<i32, u64> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let bytes = |pid: i32| bytes_written(&fs::read_to_string(format!("/proc/{pid}/io")).ok()?);
    processes.filter(|pid| !spared.contains(pid)).filter_map(|pid| Some((pid, bytes(pid)?))).collect()
}

/// `man 5 proc_pid_io`
fn bytes_written(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.trim().parse().ok())
}

/// Say something on a process's standard error, where somebody can read it: a terminal, or a pipe that is a log.
fn tell(pid: i32, text: &str) {
    let path = format!("/proc/{pid}/fd/2");
    let readable = fs::metadata(&path).is_ok_and(|about| about.file_type().is_char_device() || about.file_type().is_fifo());
    let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path);
    if let Ok(mut stream) = opened
        && readable
        && let Err(error) = stream.write_all(text.as_bytes())
    {
        eprintln!("node-init: {pid} does not hear why it is ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_less_is_left_the_sooner_is_the_next_look() {
        for (left, millis) in [(100 * GIB, 1000), (4 * GIB, 1000), (2 * GIB, 500), (GIB, 250), (1, 50), (0, 50)] {
            assert_eq!(until_next(left), Duration::from_millis(millis), "{left}");
        }
    }

    #[test]
    fn whoever_wrote_most_is_found() {
        let table = |entries: &[(i32, u64)]| entries.iter().map(|(pid, kilobytes)| (*pid, kilobytes << 10)).collect::<BTreeMap<_, _>>();
        for (before, now, wanted) in [
            (table(&[(1, 5000), (2, 100)]), table(&[(1, 5100), (2, 900)]), Some((2, 800 << 10))),
            (table(&[(1, 5000)]), table(&[(1, 5100), (3, 400)]), Some((3, 400 << 10))),
            (table(&[(1, 5000)]), table(&[(1, 5100)]), None),
            (table(&[]), table(&[]), None),
        ] {
            assert_eq!(greediest(&before, &now), wanted, "{before:?} {now:?}");
        }
        assert_eq!(bytes_written("rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n"), Some(4096));
    }

    #[test]
    fn a_machine_has_what_its_files_leave_of_its_disk() {
        let root = tempfile::tempdir().unwrap();
        let room = |most: u64| Room::new("m", DiskLimit { places: vec![root.path().to_owned()], except: Vec::new(), most });
        let free = room(0).free().unwrap();
        fs::write(root.path().join("file"), vec![1; 1 << 20]).unwrap();
        assert_eq!(room(1 << 20).left(Instant::now()), 0, "it is full");
        let left = room(64 << 20).left(Instant::now());
        assert!(free < 64 << 20 || (62 << 20..64 << 20).contains(&left), "{left}");
    }
}
