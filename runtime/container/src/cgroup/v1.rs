//! Version 1: one hierarchy per controller.

use std::io;
use std::path::Path;

use super::{keyed, number, write};
use crate::spec::Limits;

/// Length of a CPU accounting period.
const PERIOD_MICROS: u64 = 100_000;
/// The kernel's smallest quota.
const MIN_QUOTA_MICROS: u64 = 1_000;

pub(super) fn limit_memory(path: &Path, limits: &Limits) -> io::Result<()> {
    let Some(bytes) = limits.memory else { return Ok(()) };
    let (memory, with_swap) = (path.join("memory.limit_in_bytes"), path.join("memory.memsw.limit_in_bytes"));
    let value = bytes.to_string();
    if !with_swap.exists() {
        return write(&memory, &value);
    }
    // Memory may never exceed memory and swap, so which of the two goes first depends on whether the limit grows.
    match write(&memory, &value) {
        Ok(()) => write(&with_swap, &value),
        Err(_) => write(&with_swap, &value).and_then(|()| write(&memory, &value)),
    }
}

// upstream: pkg/kubelet/cm/helpers_linux.go, MilliCPUToQuota and MilliCPUToShares
pub(super) fn limit_cpu(path: &Path, limits: &Limits) -> io::Result<()> {
    if let Some(millis) = limits.cpu_request_millis {
        write(&path.join("cpu.shares"), &(millis * 1024 / 1000).clamp(2, 262_144).to_string())?;
    }
    if let Some(millis) = limits.cpu_millis {
        write(&path.join("cpu.cfs_period_us"), &PERIOD_MICROS.to_string())?;
        write(&path.join("cpu.cfs_quota_us"), &quota(millis).to_string())?;
    }
    Ok(())
}

/// Microseconds of CPU per period.
pub(super) fn quota(millis: u64) -> u64 {
    (millis * PERIOD_MICROS / 1000).max(MIN_QUOTA_MICROS)
}

pub(super) fn limit_pids(path: &Path, limits: &Limits) -> io::Result<()> {
    limits.pids.map_or(Ok(()), |pids| write(&path.join("pids.max"), &pids.to_string()))
}

pub(super) fn oom_kills(path: &Path) -> Option<u64> {
    keyed(&path.join("memory.oom_control"), "oom_kill")
}

pub(super) fn memory(path: &Path) -> Option<u64> {
    let inactive = keyed(&path.join("memory.stat"), "total_inactive_file").unwrap_or(0);
    Some(number(&path.join("memory.usage_in_bytes"))?.saturating_sub(inactive))
}

pub(super) fn cpu(path: &Path) -> Option<u64> {
    // Only there when the cpuacct controller is mounted with cpu.
    number(&path.join("cpuacct.usage"))
}

pub(super) fn pids(path: &Path) -> Option<u64> {
    number(&path.join("pids.current"))
}
