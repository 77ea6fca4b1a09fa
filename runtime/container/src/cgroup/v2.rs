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
    use super::*;

    #[test]
    fn weights_follow_shares() {
        assert_eq!([0, 100, 1000, 1_000_000].map(weight), [1, 4, 39, 10_000]);
    }

    /// A group on paper: the kernel's files and what they hold.
    fn paper(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("drydock-v2-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        for (file, text) in files {
            fs::write(path.join(file), text).unwrap();
        }
        path
    }

    #[test]
    fn limits_land_in_the_files_of_delegated_controllers() {
        let path = paper("limits", &[("memory.max", ""), ("memory.oom.group", ""), ("cpu.max", ""), ("cpu.weight", "")]);
        let limits = Limits { memory: Some(64 << 20), cpu_millis: Some(250), cpu_request_millis: Some(100), pids: Some(10) };
        limit(&path, &limits).unwrap();
        let read = |file: &str| fs::read_to_string(path.join(file)).ok();
        assert_eq!(read("memory.max").as_deref(), Some("67108864"));
        assert_eq!(read("memory.oom.group").as_deref(), Some("1"));
        assert_eq!(read("cpu.max").as_deref(), Some("25000 100000"));
        assert_eq!(read("cpu.weight").as_deref(), Some("4"));
        assert_eq!(read("pids.max"), None, "a controller that was not delegated is left alone");
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn only_missing_controllers_are_handed_down() {
        let path = paper("hand", &[("cgroup.controllers", "cpuset cpu io memory pids\n"), ("cgroup.subtree_control", "pids\n")]);
        hand_down(&path).unwrap();
        assert_eq!(fs::read_to_string(path.join("cgroup.subtree_control")).unwrap(), "+memory +cpu");
        fs::remove_dir_all(&path).unwrap();
    }

    #[test]
    fn counters_are_read_by_name() {
        let files = [
            ("memory.current", "5000\n"),
            ("memory.stat", "anon 100\ninactive_file 1000\n"),
            ("memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 1\n"),
            ("cpu.stat", "usage_usec 42\nuser_usec 40\n"),
            ("pids.current", "3\n"),
        ];
        let path = paper("counters", &files);
        let mut used = Usage::default();
        usage(&path, &mut used);
        assert_eq!(used, Usage { memory_bytes: Some(4000), cpu_nanos: Some(42_000), pids: Some(3) });
        assert_eq!(oom_kills(&path), Some(1));
        fs::remove_dir_all(&path).unwrap();
    }
}
