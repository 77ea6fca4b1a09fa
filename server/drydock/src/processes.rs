//! What the cluster's processes take: this process's descendants, as `/proc` shows them.

use std::fs;
use std::io;

/// This process's descendants: the cluster.
fn descendants() -> io::Result<Vec<i32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // A process that has ended in between is no descendant any more.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).and_then(|parent| parent.parse().ok());
        parents.extend(parent.map(|parent: i32| (pid, parent)));
    }
    let mut family = vec![std::process::id() as i32];
    let mut at = 0;
    while at < family.len() {
        let children: Vec<i32> = parents.iter().filter(|(_, parent)| *parent == family[at]).map(|(pid, _)| *pid).collect();
        family.extend(children);
        at += 1;
    }
    Ok(family.split_off(1))
}

/// Kibibytes of a process, shared pages by their share.
fn pss(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse().ok())
}

/// Hundredths of a second the cluster's processes have used.
pub(crate) fn ticks() -> io::Result<u64> {
    let used = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<u64> = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Some(fields.iter().sum::<u64>())
    };
    Ok(descendants()?.iter().filter_map(used).sum())
}

/// Bytes of memory the cluster's processes take, shared pages by their share.
pub(crate) fn memory() -> io::Result<u64> {
    Ok(descendants()?.iter().filter_map(|pid| pss(*pid)).sum::<u64>() * 1024)
}
