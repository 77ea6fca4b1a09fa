//! Version 2: one hierarchy, controllers handed down from parent to child.

use std::fs;
use std::io;
use std::path::Path;

use super::{Usage, keyed, number, v1, write};
use crate::spec::Limits;

/// The controllers containers need.
const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// Let the children of this group use what it may use itself.
pub(super) fn hand_down(path: &Path) -> io::Result<()> {
    let available = fs::read_to_string(path.join("cgroup.controllers"))?;
    let control = path.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control)?;
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    let wanted: Vec<String> =
        CONTROLLERS.iter().filter(|name| has(&available, name) && !has(&enabled, name)).map(|name| format!("+{name}")).collect();
    if wanted.is_empty() { Ok(()) } else { write(&control, &wanted.join(" ")) }
}

pub(super) fn limit(path: &Path, limits: &Limits) -> io::Result<()> {
    let set = |file: &str, value: String| {
        let file = path.join(file);
        // A controller that was not delegated has no files; `Enforcement` says so.
        if file.exists() { write(&file, &value) } else { Ok(()) }
    };
    if let Some(bytes) = limits.memory {
        set("memory.max", bytes.to_string())?;
        set("memory.swap.max", "0".to_owned())?;
        // upstream: pkg/kubelet/kuberuntime/kuberuntime_container_linux.go (one victim ends the container)
        set("memory.oom.group", "1".to_owned())?;
    }
    if let Some(millis) = limits.cpu_millis {
        set("cpu.max", format!("{} 100000", v1::quota(millis)))?;
    }
    if let Some(millis) = limits.cpu_request_millis {
        set("cpu.weight", weight(millis).to_string())?;
    }
    limits.pids.map_or(Ok(()), |pids| set("pids.max", pids.to_string()))
}

// upstream: pkg/kubelet/cm/cgroup_manager_linux.go, getCPUWeight
fn weight(millis: u64) -> u64 {
    let shares = (millis * 1024 / 1000).clamp(2, 262_144);
    1 + (shares - 2) * 9999 / 262_142
}

pub(super) fn oom_kills(path: &Path) -> Option<u64> {
    keyed(&path.join("memory.events"), "oom_kill")
}

pub(super) fn usage(path: &Path, usage: &mut Usage) {
    if let Some(bytes) = number(&path.join("memory.current")) {
        let inactive = keyed(&path.join("memory.stat"), "inactive_file").unwrap_or(0);
        usage.memory_bytes = Some(bytes.saturating_sub(inactive));
    }
    if let Some(micros) = keyed(&path.join("cpu.stat"), "usage_usec") {
        usage.cpu_nanos = Some(micros * 1000);
    }
    usage.pids = usage.pids.or_else(|| number(&path.join("pids.current")));
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn weights_follow_shares() {
        assert_eq!([0, 100, 1000, 1_000_000].map(weight), [1, 4, 39, 10_000]);
    }
}
