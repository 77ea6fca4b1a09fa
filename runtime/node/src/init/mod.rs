//! node-init: PID 1 of a node, and the process that starts, holds and reaps everything on it.
//!
//! * [`protocol`] is what it can be asked, [`wire`] how that travels, [`Client`] asks it from tokio.
//! * `boot` gives the node a file system of its own and gathers what it was handed, `server` is its one poll loop, `connection` the
//!   sockets of that loop, `node` what it holds and what each request does to it, `children` the processes it keeps alive,
//!   `room` what is left of its disk.
//!
//! It forks containers (a threaded process must not) and keeps what must survive a kubelet: namespaces, log pipes, exit codes.
//! Kill node-init and the node is down, for real: the kernel kills everything in its pid namespace.

pub mod protocol;
pub mod wire;

mod boot;
mod children;
mod client;
mod connection;
mod node;
mod room;
mod server;

pub use boot::main;
pub use client::{Client, Events};
pub use protocol::{ChildSpec, DiskLimit, InitConfig, RootBind, USUAL_DISK};
