//! drydock-node: one machine of the cluster. Its first process, its kubelet, its Service proxy.
//!
//! 1. [`init`] is PID 1 of the node: it forks containers, holds their namespaces and pipes, and reaps them.
//! 2. [`kubelet`] makes the Pods of its node real and serves the node's API; it may be killed and restarted at any time.
//! 3. [`proxy`] turns Services and EndpointSlices into translation rules of the node's kernel; it runs inside the kubelet's process.
//!
//! # Invariants
//! * `init` has one thread and no async; only it forks. `kubelet` and `proxy` never fork and never enter a namespace.
//! * What must survive a kubelet is held by `init`: a restarted kubelet finds every container, its exit code and its unread output.
//! * Decisions are pure functions (`kubelet::decide`, `kubelet::status`, `proxy::table`) with tables of cases as tests.
//! * A Pod is changed by its own worker alone.

mod disk;
pub mod init;
pub mod kubelet;
pub mod proxy;
