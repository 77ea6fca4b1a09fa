//! drydock-cluster: boots, supervises, resets and ends a mini-cluster, and serves what only our own cluster can tell.
//!
//! Where to start reading:
//! * [`spawn`] runs on the host: it fences the cluster off in namespaces and holds the socket whose end is the cluster's end.
//! * `control_plane` is the process inside: API server, controllers, scheduler, DNS, nodes and the learner's workstation.
//! * `lab` is `lab.drydock.internal/v1alpha1`: commands, streams, containers, history, snapshots, terminals and files.
//! * [`pki`] hands out certificates and kubeconfigs.
//!
//! # Invariants
//! * Only `spawn` runs with the rights of the person who typed `drydock`; everything else is root of a user namespace at most.
//! * The host's network is never touched: two listening sockets are inherited, nothing else is reachable.
//! * Components talk to each other through the API server, also when they share this process.
//! * The end of the host's socket is the end of every process and mount of the cluster.

pub mod control_plane;
pub mod pki;
pub mod spawn;

mod evidence;
mod internet;
mod lab;
mod undo;
mod workstation;

/// What to do about a full disk: the end of a sentence that says what could not be done.
pub const FULL_DISK: &str = "; the disk of the state directory is full: make room there, or choose another with --state, and start again; nothing is lost";
