//! Room on the disk: a machine of the lab may fill its own disk, and never the disk of the computer it is on.
//!
//! Nobody counts blocks for us, so we look, the sooner the less is left. When the disk is full, whoever has written most since the last
//! look is ended, as whoever takes most memory is when that is full, and hears why on its standard error; of a container that ends by it
//! the Pod's status and an event tell why. What was written stays: to make room is up to whoever wrote it.
//!
//! Why nobody meets ENOSPC, as on a full disk: a user namespace may neither set quotas (project quotas want rights over the file system) nor
//! mount a disk that lies in a file (loop devices are the host's); a tmpfs of the disk's size would take its room from memory; a lower
//! RLIMIT_FSIZE is met with EFBIG and SIGXFSZ, which end a program too and say something that is not so. Where the kernel lets a user
//! namespace have a disk with a size, this module is what to take away.
//!
//! 1. What the files take is guessed from what the computer has left; where the guess says full, the files are counted, a slice a look.
//! 2. Nobody is ended on a guess, except when the computer itself has no room left.
//! 3. Nobody is ended for what it wrote before the last look, or for what its children wrote.
//!
//! What may be lost is one look's worth of writing, for which [`HOST_KEEPS`] has room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::time::{Duration, Instant};

use drydock_container::mount_namespace;
use drydock_primitives::quantity::Quantity;
use nix::sys::signal::{Signal, kill};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

use super::protocol::DiskLimit;
use crate::disk::Count;

/// The computer's own programs need this much, whatever the machines of the lab may have; less where the whole disk is small.
const HOST_KEEPS: u64 = 256 << 20;
/// Bytes a second: more than disks and their caches take.
const FASTEST: u64 = 4 << 30;
const LATEST: Duration = Duration::from_secs(1);
const SOONEST: Duration = Duration::from_millis(50);
/// Files counted in one look: some ten milliseconds, in which the machine starts and ends nothing.
const SLICE: usize = 5000;
/// A count is not begun again before so many times what the last one took.
const REST: u32 = 3;
/// To end who wrote less since the last look would help nobody.
const WRITER: u64 = 256 << 10;

/// The disk of one machine.
#[derive(Debug)]
pub(super) struct Room {
    machine: String,
    limit: DiskLimit,
    /// The last count, if there was one.
    counted: Option<Counted>,
    /// The count that is being made, and when it began.
    counting: Option<(Count, Instant)>,
    next: Instant,
    /// What each process had written at the last look, if that was of interest.
    written: Option<BTreeMap<i32, u64>>,
    /// The mount namespace of whom was ended last, and whose disk was full.
    ended: Option<(u64, String)>,
}

#[derive(Debug, Clone, Copy)]
struct Counted {
    /// What the machine's files took.
    used: u64,
    /// The most the computer has had left since.
    free: u64,
    /// Not to be repeated before.
    again: Instant,
}

impl Counted {
    fn guess(&self, free: u64) -> u64 {
        self.used + self.free.saturating_sub(free)
    }
}

/// Bytes that may be written before a disk is full, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Machine(u64),
    Computer(u64),
}

impl Left {
    fn bytes(self) -> u64 {
        let (Left::Machine(bytes) | Left::Computer(bytes)) = self;
        bytes
    }

    fn min_by_bytes(self, other: Left) -> Left {
        if other.bytes() < self.bytes() { other } else { self }
    }
}

impl Room {
    pub(super) fn new(machine: &str, limit: DiskLimit) -> Room {
        Room { machine: machine.to_owned(), limit, counted: None, counting: None, next: Instant::now() + LATEST, written: None, ended: None }
    }

    /// Look, when it is time; says when it is time again. `spared` are the machine's own processes.
    pub(super) fn look(&mut self, spared: &BTreeSet<i32>) -> Instant {
        let now = Instant::now();
        if now < self.next {
            return self.next;
        }
        let left = self.left(now);
        let wait = until_next(left.bytes());
        if wait < LATEST {
            let written = written(spared);
            if left.bytes() == 0
                && let Some((pid, bytes)) = self.written.as_ref().and_then(|before| greediest(before, &written))
            {
                self.end(pid, bytes, left);
            }
            self.written = Some(written);
        } else {
            self.written = None;
        }
        self.next = now + wait;
        self.next
    }

    /// Whom the last look has ended, by the mount namespace it sees, and whose disk was full.
    pub(super) fn take_ended(&mut self) -> Option<(u64, String)> {
        self.ended.take()
    }

    /// What may be written before somebody is ended.
    fn left(&mut self, now: Instant) -> Left {
        let Some(free) = self.free() else { return Left::Machine(u64::MAX) };
        // What others remove is not what this machine has removed: it may not write as much in its place.
        if let Some(counted) = &mut self.counted {
            counted.free = counted.free.max(free);
        }
        let doubtful = |counted: &Option<Counted>| counted.is_none_or(|counted| counted.guess(free) >= self.limit.most);
        let rested = self.counted.is_none_or(|counted| counted.again <= now);
        if self.counting.is_some() || doubtful(&self.counted) && rested {
            self.count(now, free);
        } else if doubtful(&self.counted) {
            // Others on this computer write, too: nobody is ended on a guess.
            return Left::Computer(free.min(1));
        }
        let Some(counted) = self.counted.filter(|_| self.counting.is_none()) else { return Left::Computer(free.min(1)) };
        Left::Machine(self.limit.most.saturating_sub(counted.guess(free))).min_by_bytes(Left::Computer(free))
    }

    /// Count the next slice of the machine's files.
    fn count(&mut self, now: Instant, free: u64) {
        let (mut count, began) = self.counting.take().unwrap_or_else(|| (Count::of(self.limit.places.clone()), now));
        match count.go_on(&self.limit.except, &mut { SLICE }) {
            Some(used) => self.counted = Some(Counted { used, free, again: now + began.elapsed() * REST }),
            None => self.counting = Some((count, began)),
        }
    }

    /// What may still be written to the computer's disk: what it keeps for itself is taken off.
    fn free(&self) -> Option<u64> {
        let disk = statvfs(self.limit.places.first()?.as_path()).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        let keeps = HOST_KEEPS.min(bytes(disk.blocks()) / 64);
        Some(bytes(disk.blocks_available()).saturating_sub(keeps))
    }

    /// Whose disk is full, by the size it was given.
    fn full(&self, left: Left) -> String {
        match left {
            Left::Machine(_) => format!("the disk of {} ({}) is full", self.machine, Quantity::from_bytes(self.limit.most.try_into().unwrap_or(i64::MAX))),
            Left::Computer(_) => "the disk of your computer is full".to_owned(),
        }
    }

    fn end(&mut self, pid: i32, bytes: u64, left: Left) {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let name: String = name.chars().filter(|letter| !letter.is_control()).collect();
        let full = self.full(left);
        tell(pid, &format!("{name}: No space left on device: {full}\n"));
        self.ended = mount_namespace(pid).map(|namespace| (namespace, full.clone()));
        eprintln!("node-init: {full}; {name} ({pid}) wrote {bytes} bytes to it and is ended");
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

/// Bytes that went to a disk, by process: what its threads wrote themselves. Its own `io` would hold what its ended children wrote, too.
fn written(spared: &BTreeSet<i32>) -> BTreeMap<i32, u64> {
    let numbers = |directory: &str| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).collect::<Vec<i32>>()
    };
    let own = |pid: i32| {
        let threads = numbers(&format!("/proc/{pid}/task")).into_iter();
        threads.filter_map(|thread| bytes_written(&fs::read_to_string(format!("/proc/{pid}/task/{thread}/io")).ok()?)).sum()
    };
    numbers("/proc").into_iter().filter(|pid| !spared.contains(pid)).map(|pid| (pid, own(pid))).collect()
}

/// `man 5 proc_pid_io`
fn bytes_written(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.trim().parse().ok())
}

/// Say something on a process's standard error, where somebody can read it: a terminal, or a pipe that is a log.
fn tell(pid: i32, text: &str) {
    let opened = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(format!("/proc/{pid}/fd/2"));
    let Ok(mut stream) = opened else { return };
    // What was opened is asked, not what is there: a process may turn its standard error elsewhere meanwhile.
    let readable = stream.metadata().is_ok_and(|about| about.file_type().is_char_device() || about.file_type().is_fifo());
    if readable && let Err(error) = stream.write_all(text.as_bytes()) {
        eprintln!("node-init: {pid} does not hear why it is ended: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_less_is_left_the_sooner_is_the_next_look() {
        for (left, millis) in [(100 * GIB, 1000), (4 * GIB, 1000), (2 * GIB, 500), (GIB, 250), (1, 50), (0, 50)] {
            assert_eq!(until_next(left), Duration::from_millis(millis), "{left}");
        }
    }

    #[test]
    fn a_full_disk_is_told_by_its_size() {
        for (most, wanted) in [
            (512 << 20, "the disk of node-1 (512Mi) is full"),
            (10 * GIB, "the disk of node-1 (10Gi) is full"),
            (5 * GIB / 2, "the disk of node-1 (2560Mi) is full"),
            (1_000_000_000, "the disk of node-1 (1000000000) is full"),
        ] {
            let room = Room::new("node-1", DiskLimit { places: Vec::new(), except: Vec::new(), most });
            assert_eq!(room.full(Left::Machine(0)), wanted);
            assert_eq!(room.full(Left::Computer(0)), "the disk of your computer is full");
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
    fn what_children_wrote_is_not_their_parents() {
        let root = tempfile::tempdir().unwrap();
        let script = format!("dd if=/dev/zero of={0}/file bs=1M count=8 conv=fsync 2>{0}/said; echo done; read line", root.path().display());
        let mut shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut done = [0; 5];
        shell.stdout.as_mut().unwrap().read_exact(&mut done).unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        let (own, whole) = (written(&BTreeSet::new())[&pid], bytes_written(&fs::read_to_string(format!("/proc/{pid}/io")).unwrap()).unwrap());
        assert!(own < WRITER && whole >= 8 << 20 || whole < WRITER, "{own} of {whole}");
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    #[test]
    fn a_machine_has_what_its_files_leave_of_its_disk() {
        let root = tempfile::tempdir().unwrap();
        let room = |most: u64| Room::new("m", DiskLimit { places: vec![root.path().to_owned()], except: Vec::new(), most });
        let free = room(0).free().unwrap();
        fs::write(root.path().join("file"), vec![1; 1 << 20]).unwrap();
        assert_eq!(room(1 << 20).left(Instant::now()), Left::Machine(0), "it is full");
        let left = room(64 << 20).left(Instant::now()).bytes();
        assert!(free < 64 << 20 || (62 << 20..64 << 20).contains(&left), "{left}");
        for number in 0..=SLICE {
            fs::write(root.path().join(number.to_string()), "").unwrap();
        }
        let (mut many, now) = (room(1 << 20), Instant::now());
        assert_eq!(many.left(now), Left::Computer(1), "nobody is ended before all is counted");
        assert_eq!(many.left(now), Left::Machine(0), "now it is");
    }
}
