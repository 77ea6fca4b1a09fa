//! Counting without a controller: the sum over a container's processes in `/proc`. Processes that were reaped inside are counted through
//! their parents; those whose parents are gone too are lost, so this is a lower bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::run::mount_namespace;

/// The kernel's clock tick in every user-visible time, on every architecture we build for.
const NANOS_PER_TICK: u64 = 10_000_000;
const PAGE: u64 = 4096;

#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) memory_bytes: u64,
    pub(super) cpu_nanos: u64,
    pub(super) threads: u64,
}

pub(super) fn count(namespace: u64, counted: &mut Counted) {
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if mount_namespace(pid) != Some(namespace) {
            continue;
        }
        if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
            add(&stat, counted);
        }
    }
}

/// Bytes of memory that only their processes keep in use, by mount namespace: what a limit is about where nobody but us looks. Files
/// and shared memory are left out.
pub fn anonymous_memory(namespaces: &BTreeSet<u64>) -> BTreeMap<u64, u64> {
    let mut used = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return used };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Some(namespace) = mount_namespace(pid).filter(|namespace| namespaces.contains(namespace)) else { continue };
        if let Ok(statm) = fs::read_to_string(format!("/proc/{pid}/statm")) {
            *used.entry(namespace).or_default() += anonymous(&statm);
        }
    }
    used
}

/// `man 5 proc_pid_statm`: size, resident, shared, in pages.
fn anonymous(statm: &str) -> u64 {
    let mut pages = statm.split_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * PAGE
}

/// `man 5 proc_pid_stat`: after the name come state (field 3), utime 14, stime 15, cutime 16, cstime 17, threads 20, rss 24.
fn add(stat: &str, counted: &mut Counted) {
    let Some((_, rest)) = stat.rsplit_once(") ") else { return };
    let fields: Vec<u64> = rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
    counted.cpu_nanos += (field(14) + field(15) + field(16) + field(17)) * NANOS_PER_TICK;
    counted.threads += field(20);
    counted.memory_bytes += field(24) * PAGE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_not_counted_as_memory_of_a_process() {
        assert_eq!([anonymous("100 30 10 1 0 5 0"), anonymous("100 3 10"), anonymous("")], [20 * PAGE, 0, 0]);
    }

    #[test]
    fn a_stat_line_is_read_by_field_number() {
        let mut counted = Counted::default();
        add("7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 3 2 1 4 20 0 5 0 100 1000000 42 18446744073709551615", &mut counted);
        assert_eq!((counted.cpu_nanos, counted.threads, counted.memory_bytes), (100_000_000, 5, 42 * 4096));
    }
}
