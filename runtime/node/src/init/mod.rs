//! node-init: PID 1 of a node, and the process that starts, holds and reaps everything on it.
//!
//! * [`protocol`] is what it can be asked, [`Client`] asks it from tokio.
//! * `server` is the process itself: one thread, one poll loop. It forks containers (a threaded process must not) and keeps what must
//!   survive a kubelet: namespaces, log pipes, exit codes.
//! * `root` gives the node a file system of its own before anything else runs.
//!
//! Kill node-init and the node is down, for real: the kernel kills everything in its pid namespace.

pub mod protocol;

mod client;
mod wire;

pub use client::{Client, Events};
pub use protocol::{ChildSpec, InitConfig, RootBind};
