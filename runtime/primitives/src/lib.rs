//! Words every other crate uses: quantities, names, selectors, clocks, YAML, SPDY frames.
//!
//! Pure values and their texts, as Kubernetes reads and prints them; no I/O, no process state apart from clocks and random identifiers.
//!
//! # Invariants
//! * Texts that a learner can see equal upstream's byte for byte.
//! * Nothing here knows a kind, a file or a socket: this crate depends on no other crate of ours.
//! * All time goes through [`clock::Clock`], so that a test never sleeps.

pub mod clock;
pub mod ids;
pub mod int_or_string;
pub mod look;
pub mod names;
pub mod placement;
pub mod quantity;
pub mod release;
pub mod selector;
pub mod spdy;
pub mod time;
pub mod yaml;
