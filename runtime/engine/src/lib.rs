//! drydock-engine: what Docker users know, on a node. A subset of the Docker Engine API on a unix socket, and the `docker` command.
//!
//! * [`Runtime`] is what the engine needs of a node; the kubelet implements it.
//! * [`serve`] answers the API for it (`server`).
//! * [`cli`] is the command, a client of that API and of nothing else: it works against a real Docker Engine too.
//!
//! # Invariants
//! * The engine owns nothing. What it lists is what the node has at that moment, and what it removes is gone for the kubelet as well.
//! * The command prints what the stock command prints, to the character, for everything it knows; for the rest it says that it does
//!   not know it and ends with an error.
//! * Filters are applied by the engine, formatting is done by the command, as upstream.

pub mod cli;
pub mod runtime;

mod humanize;
mod server;

pub use runtime::{Container, ContainerState, Image, Info, LogLine, LogQuery, MountPoint, Runtime, RuntimeError, RuntimeFuture, Source};
pub use server::serve;

/// The version of the API spoken by both ends.
pub const API_VERSION: &str = "1.47";
