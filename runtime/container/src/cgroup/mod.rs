//! Control groups: limits, counters, and an honest word about which of them this machine enforces.
//!
//! A cluster started as root hands every node a delegated directory per hierarchy; an ordinary user on version 2 may own one. Where
//! there is none, containers run without limits and [`Enforcement`] says so.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is really enforced here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforcement {
    /// Memory limits kill.
    pub memory: bool,
    /// CPU limits throttle.
    pub cpu: bool,
    /// Process limits refuse forks.
    pub pids: bool,
}

/// The delegated directories of a node: `(controller, directory)` with `memory`, `cpu`, `pids` (version 1) or `unified` (version 2).
pub type Delegated = Vec<(String, PathBuf)>;
