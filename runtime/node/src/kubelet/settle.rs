//! Has a container come to rest after its start? What stands in for a readiness probe where there is none.
//!
//! Without a probe a running container counts as ready. Upstream's kubelet learns that it runs from a look once a second, so a program has had
//! the best part of a second to open its port, or to crash, before anything sends it traffic. Here the news takes microseconds: without
//! this, every program would get traffic before its port is open, and one that crashes at once would count as ready for a moment.
//! So a container is ready when its processes wait for something (twice in a row, no processor time used in between), and in
//! any case after a second, like upstream's.

// upstream: pkg/kubelet/pleg/generic.go (relist period 1 s), pkg/kubelet/prober/prober_manager.go (UpdatePodStatus: no worker means ready)

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest a container without a readiness probe is held back: upstream's relist period.
const LONGEST: Duration = Duration::from_secs(1);

/// The first pause between two looks; each is twice the one before, up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// The longest pause between two looks.
const LAST_PAUSE: Duration = Duration::from_millis(64);

/// Most threads looked at: a container with more is left to the time.
const MOST_THREADS: usize = 256;

/// Return when the process `pid` (as `/proc` has it) and its descendants rest, have ended, or a second has passed.
pub(super) async fn settled(pid: i32) {
    let waited = async {
        let mut pause = FIRST_PAUSE;
        let mut before = None;
        loop {
            let now = look(Path::new("/proc"), pid);
            if now.rests_since(before.as_ref()) {
                return;
            }
            before = Some(now);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    };
    // Whatever it does then, upstream would call it ready.
    drop(tokio::time::timeout(LONGEST, waited).await);
}

/// What one look saw.
#[derive(Debug, Default, PartialEq, Eq)]
struct Look {
    /// Nanoseconds on a processor, of each thread by its number.
    threads: Vec<(u32, u64)>,
    /// At least one was running, or waiting for a processor or a disk.
    busy: bool,
    /// There is nobody left to look at.
    gone: bool,
}

impl Look {
    fn rests_since(&self, before: Option<&Look>) -> bool {
        self.gone || (!self.busy && before == Some(self))
    }
}

fn look(proc: &Path, pid: i32) -> Look {
    let mut seen = Look::default();
    let mut left = vec![pid.unsigned_abs()];
    while let Some(process) = left.pop() {
        for thread in threads(&proc.join(process.to_string())) {
            if seen.threads.len() >= MOST_THREADS {
                return Look { busy: true, ..seen };
            }
            let Some((number, state)) = state(&thread) else { continue };
            seen.busy |= !matches!(state, 'S' | 'Z' | 'X' | 'I');
            seen.threads.push((number, time_used(&thread)));
            let children = fs::read_to_string(thread.join("children")).unwrap_or_default();
            left.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    seen.gone = seen.threads.is_empty();
    seen
}

fn threads(process: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let mut threads: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    threads.sort();
    threads
}

/// Number and state letter (proc(5), `stat`): the name between them may hold anything, so they are found from its last parenthesis.
fn state(thread: &Path) -> Option<(u32, char)> {
    let stat = fs::read_to_string(thread.join("stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let number = head.split_whitespace().next()?.parse().ok()?;
    Some((number, tail.trim_start().chars().next()?))
}

/// Nanoseconds on a processor (the first number of `schedstat`), or clock ticks where the kernel has no such file.
fn time_used(thread: &Path) -> u64 {
    let first = |text: String| text.split_whitespace().next().and_then(|number| number.parse().ok());
    if let Some(nanoseconds) = fs::read_to_string(thread.join("schedstat")).ok().and_then(first) {
        return nanoseconds;
    }
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, tail)| tail.split_whitespace().collect::<Vec<_>>()).unwrap_or_default();
    // Fields 14 and 15 of the line, the state being the third.
    fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up `/proc` with threads of (process, thread, state, nanoseconds, children).
    fn proc(threads: &[(u32, u32, char, u64, &str)]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        for (process, thread, state, used, children) in threads {
            let folder = proc.path().join(format!("{process}/task/{thread}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("stat"), format!("{thread} (a) S (b) {state} 1 1")).unwrap();
            fs::write(folder.join("schedstat"), format!("{used} 5 7\n")).unwrap();
            fs::write(folder.join("children"), children).unwrap();
        }
        proc
    }

    #[test]
    fn rest_is_waiting_twice_without_work_between() {
        let waits = proc(&[(7, 7, 'S', 10, "9 "), (9, 9, 'S', 20, "")]);
        let worked = proc(&[(7, 7, 'S', 10, "9 "), (9, 9, 'S', 21, "")]);
        let child_runs = proc(&[(7, 7, 'S', 10, "9 "), (9, 9, 'R', 20, "")]);
        let thread_reads = proc(&[(7, 7, 'S', 10, ""), (7, 8, 'D', 20, "")]);
        let child_ended = proc(&[(7, 7, 'S', 10, "9 "), (9, 9, 'Z', 20, "")]);
        let nobody = proc(&[]);
        for (before, now, rests) in [
            (None, &waits, false),
            (Some(&waits), &waits, true),
            (Some(&waits), &worked, false),
            (Some(&child_runs), &child_runs, false),
            (Some(&thread_reads), &thread_reads, false),
            (Some(&child_ended), &child_ended, true),
            (None, &nobody, true),
        ] {
            let before = before.map(|proc| look(proc.path(), 7));
            let now = look(now.path(), 7);
            assert_eq!(now.rests_since(before.as_ref()), rests, "{before:?} then {now:?}");
        }
    }

    #[tokio::test]
    async fn a_sleeping_process_settles_and_a_missing_one_is_not_waited_for() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        settled(i32::try_from(child.id()).unwrap()).await;
        let seen = look(Path::new("/proc"), i32::try_from(child.id()).unwrap());
        assert!(!seen.busy && !seen.gone, "{seen:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        settled(i32::try_from(child.id()).unwrap()).await;
    }
}
