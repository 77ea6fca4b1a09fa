//! Delegated cgroups: made by the host process before it gives up its rights, removed by the next start at the latest.
//!
//! 1. Find the hierarchies (`/proc/self/cgroup`, `/proc/self/mountinfo`); both versions, hybrid included.
//! 2. Make `drydock-<pid>` below our own cgroup in each and give it to the cluster's root user.
//! 3. Remember the paths in the state directory, so that a later start can remove what a `kill -9` left. Groups of dead clusters whose
//!    state directory is gone too are found by their names.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drydock_container::cgroup::{Cgroups, Enforcement};

/// Every cluster's group is called this and the id of its host process.
const PREFIX: &str = "drydock-";
/// How long a group may stay busy after its last process was reaped: the kernel lets go of a task a moment after its parent heard of its end.
const LETTING_GO: Duration = Duration::from_secs(2);
/// How often to try meanwhile; version 1 has nothing to wait for.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// The controllers containers are limited by.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
/// Processes and threads of a whole cluster: a fork bomb in a terminal is over when it has this many.
const PIDS: &str = "8192";

/// Directories that belong to the cluster, by controller (`unified` for version 2).
pub type Delegated = Vec<(String, PathBuf)>;

/// Make the delegated directories of drydock `pid`, owned by `owner`. Hierarchies that refuse are left out: limits are then not enforced.
pub fn delegate(pid: u32, owner: u32) -> Delegated {
    let mut delegated = Delegated::new();
    for (controller, own) in own_groups() {
        let parent = if controller == "unified" { handing_down(&own) } else { Some(own) };
        let Some(path) = parent.map(|parent| parent.join(format!("{PREFIX}{pid}"))) else { continue };
        if make(&path, owner).is_ok() {
            delegated.push((controller, path));
        }
    }
    delegated
}

/// Move a process into the delegated cgroups. On version 2 a leaf keeps the top free of processes.
///
/// # Errors
/// When the kernel refuses the move.
pub fn enter(delegated: &Delegated, pid: i32, owner: u32) -> io::Result<()> {
    for (controller, path) in delegated {
        let leaf = path.join("init");
        make(&leaf, owner)?;
        fs::write(leaf.join("cgroup.procs"), pid.to_string())?;
        if controller == "unified" {
            enable_controllers(path);
        }
        // The file belongs to us, not to the cluster: it cannot raise the number.
        let limit = path.join("pids.max");
        if limit.exists() {
            fs::write(limit, PIDS)?;
        }
    }
    Ok(())
}

/// What would be enforced for a cluster of this `owner`, and a sentence for whatever would not: its groups are made, looked at and
/// removed again.
pub fn attempt(owner: u32) -> (Enforcement, Vec<String>) {
    let delegated = delegate(std::process::id(), owner);
    for (_, path) in delegated.iter().filter(|(controller, _)| controller == "unified") {
        // What cannot be handed down is what the sentences are about.
        enable_controllers(path);
    }
    let (groups, refused) = Cgroups::open(&delegated, "attempt");
    let enforcement = groups.enforcement();
    drop(groups);
    for path in remove(&delegated) {
        tracing::debug!(path = %path.display(), "a control group that was made to try it stays until the next start");
    }
    (enforcement, refused)
}

/// Remove cgroup trees deepest first. What stays busy is reported.
pub fn remove(delegated: &Delegated) -> Vec<PathBuf> {
    let started = Instant::now();
    let mut left: Vec<PathBuf> = delegated.iter().map(|(_, path)| path.clone()).collect();
    loop {
        left.retain(|path| path.exists() && remove_tree(path).is_err());
        if left.is_empty() || started.elapsed() > LETTING_GO {
            return left;
        }
        std::thread::sleep(TRY_EVERY);
    }
}

/// Remove the groups of clusters whose host process is gone and which hold no process.
pub fn sweep() {
    for path in leftovers() {
        if let Err(error) = remove_tree(&path) {
            tracing::debug!(path = %path.display(), %error, "a control group of an earlier run stays");
        }
    }
}

/// The groups of clusters that are gone and that [`sweep`] would remove.
pub fn leftovers() -> Vec<PathBuf> {
    let gone = |name: &str| host_process(name).is_some_and(|pid| !Path::new("/proc").join(pid).exists());
    let mut left = Vec::new();
    for (controller, own) in own_groups() {
        // Where version 2 groups are made depends on who may hand controllers down, so all the way up is looked at.
        let above = if controller == "unified" { usize::MAX } else { 1 };
        for parent in own.ancestors().take(above).take_while(|parent| parent.join("cgroup.procs").exists()) {
            let entries = fs::read_dir(parent).into_iter().flatten().flatten();
            let ours = entries.filter(|entry| entry.file_name().to_str().is_some_and(gone)).map(|entry| entry.path());
            left.extend(ours.filter(|path| is_empty(path)));
        }
    }
    left
}

/// The host process a group is named after.
fn host_process(name: &str) -> Option<&str> {
    name.strip_prefix(PREFIX).filter(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The groups this process is in.
fn own_groups() -> Vec<(String, PathBuf)> {
    let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    hierarchies(&membership, &mounts)
}

/// Whether no process is in a group or below it. What cannot be read may hold one.
fn is_empty(path: &Path) -> bool {
    let below = || Some(fs::read_dir(path).ok()?.flatten().filter(|entry| entry.path().is_dir()).all(|entry| is_empty(&entry.path())));
    fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|processes| processes.trim().is_empty()) && below().unwrap_or(false)
}

fn make(path: &Path, owner: u32) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    chown(path, Some(owner), Some(owner))?;
    for file in ["cgroup.procs", "tasks", "cgroup.subtree_control", "cgroup.threads"] {
        let file = path.join(file);
        if file.exists() {
            chown(file, Some(owner), Some(owner))?;
        }
    }
    Ok(())
}

fn enable_controllers(path: &Path) -> bool {
    let available = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    let wanted: Vec<String> =
        CONTROLLERS.iter().filter(|name| available.split_whitespace().any(|a| a == **name)).map(|n| format!("+{n}")).collect();
    !wanted.is_empty() && fs::write(path.join("cgroup.subtree_control"), wanted.join(" ")).is_ok()
}

/// The nearest group of version 2, upwards from `own`, that hands controllers down. A group with processes in it may not, which is
/// what a login session usually is; the slice above it may, and so may the root.
fn handing_down(own: &Path) -> Option<PathBuf> {
    own.ancestors().take_while(|group| group.join("cgroup.controllers").exists()).find(|group| enable_controllers(group)).map(Path::to_owned)
}

fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// Pair every usable controller with the directory of the cgroup this process is in.
fn hierarchies(membership: &str, mountinfo: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(own)) = (parts.next(), parts.next(), parts.next()) else { continue };
        for mount in mountinfo.lines() {
            let Some((left, right)) = mount.split_once(" - ") else { continue };
            let left: Vec<&str> = left.split(' ').collect();
            let right: Vec<&str> = right.split(' ').collect();
            let (Some(root), Some(at), Some(kind)) = (left.get(3), left.get(4), right.first()) else { continue };
            let names: Vec<String> = if *kind == "cgroup2" && controllers.is_empty() {
                vec!["unified".to_owned()]
            } else if *kind == "cgroup" && right.get(2).is_some_and(|o| o.split(',').any(|o| controllers.split(',').any(|c| c == o))) {
                controllers.split(',').filter(|c| CONTROLLERS.contains(c)).map(str::to_owned).collect()
            } else {
                continue;
            };
            let below = own.strip_prefix(*root).unwrap_or(own).trim_start_matches('/');
            for name in names {
                if !found.iter().any(|(known, _)| *known == name) {
                    found.push((name, Path::new(at).join(below)));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_named_after_a_process_are_ours_to_sweep() {
        let cases = [("drydock-4711", Some("4711")), ("drydock-", None), ("drydock-test-4711", None), ("docker-4711", None), ("drydock-4711x", None)];
        for (name, wanted) in cases {
            assert_eq!(host_process(name), wanted, "{name}");
        }
    }

    #[test]
    fn a_group_with_processes_passes_the_question_up() {
        let root = std::env::temp_dir().join(format!("drydock-handing-down-{}", std::process::id()));
        let (slice, session) = (root.join("user.slice"), root.join("user.slice/session.scope"));
        fs::create_dir_all(session.join("cgroup.subtree_control")).unwrap();
        for group in [&root, &slice, &session] {
            fs::write(group.join("cgroup.controllers"), "cpuset cpu memory pids\n").unwrap();
        }
        // On paper, what may not be written to is a directory.
        assert_eq!(handing_down(&session), Some(slice.clone()));
        assert_eq!(fs::read_to_string(slice.join("cgroup.subtree_control")).unwrap(), "+memory +cpu +pids");
        for group in [&root, &slice, &session] {
            fs::write(group.join("cgroup.controllers"), "\n").unwrap();
        }
        assert_eq!(handing_down(&session), None, "a hybrid machine has its controllers elsewhere");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_group_with_a_process_anywhere_below_is_not_empty() {
        let root = std::env::temp_dir().join(format!("drydock-is-empty-{}", std::process::id()));
        let (pod, container) = (root.join("kubepods"), root.join("kubepods/container"));
        fs::create_dir_all(&container).unwrap();
        assert!(!is_empty(&root), "nobody knows");
        for group in [&root, &pod, &container] {
            fs::write(group.join("cgroup.procs"), "").unwrap();
        }
        assert!(is_empty(&root));
        fs::write(container.join("cgroup.procs"), "7\n").unwrap();
        assert!(!is_empty(&root));
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn hierarchies_are_found_on_both_versions() {
        let hybrid = hierarchies(
            "4:memory:/\n8:pids:/user\n1:name=systemd:/\n0::/\n",
            "30 24 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
             31 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
             32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        );
        assert_eq!(
            hybrid,
            vec![
                ("memory".to_owned(), PathBuf::from("/sys/fs/cgroup/memory")),
                ("pids".to_owned(), PathBuf::from("/sys/fs/cgroup/pids/user")),
                ("unified".to_owned(), PathBuf::from("/sys/fs/cgroup/unified")),
            ]
        );
        let version2 = hierarchies("0::/user.slice/a\n", "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert_eq!(version2, vec![("unified".to_owned(), PathBuf::from("/sys/fs/cgroup/user.slice/a"))]);
    }
}
