//! drydock-container: what a "container" is, in about two thousand lines. Namespaces, an overlay root, a pty, capabilities, a system
//! call filter, control groups, and `exec`.
//!
//! Where to start reading:
//! * [`Sandbox`] makes the namespaces the containers of one Pod share (network, ipc, host name) and holds them open by descriptor.
//! * [`start`] makes one container: a child in new pid and mount namespaces that builds its own root (`rootfs`, `mounts`), gives up
//!   its rights (`privileges`) and becomes the program. The sequence is written down, step by step, in `child`.
//! * [`exec`] runs one more process inside a running container.
//! * [`cgroup`] limits and counts; [`wait`] reaps; [`signal`] kills without racing against process id reuse.
//!
//! # Invariants
//! * Synchronous and single-threaded. The children allocate between `clone3` and `execve`, which is only safe because no other
//!   thread can hold a lock; callers are `node-init` and test children, never a tokio process.
//! * The caller is root of a user namespace of its own. Nothing here asks for rights over the host and nothing would work with them.
//! * Nothing stands in front of the container's program: PID 1 of the container is the program itself.
//! * A failed start leaves no process, no mount and no cgroup. The error names the step and reads as runc words it.
//! * What cannot be done here (other ids, limits) is skipped and *reported*, never pretended.

pub mod cgroup;
pub mod error;
pub mod machine;
pub mod spec;
pub mod stdio;

mod child;
mod mounts;
mod privileges;
mod report;
mod rootfs;
mod run;
mod sandbox;
mod seccomp;
mod syscalls;
mod users;

pub use error::{Error, Step};
pub use mounts::{MASKED, READONLY};
pub use run::{Ended, Process, Surroundings, Target, exec, mount_namespace, signal, signal_mount_namespace, start, wait};
pub use sandbox::Sandbox;
pub use spec::{
    Capabilities, CgroupSpec, ContainerSpec, Limits, Mount, MountKind, PidMode, ProcessSpec, Rlimit, RootFs, SandboxConfig, Seccomp,
    TerminalSize, UserSpec,
};
pub use syscalls::open_in_root;
pub use users::IdMap;
