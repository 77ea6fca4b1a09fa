//! drydock-test-parity: our kubectl prints what stock kubectl prints.
//!
//! 1. `corpus/NAME.txt` is a scenario: command lines, some of them set-up ([`corpus`]).
//! 2. [`play`] runs a scenario with one kubectl, on a cluster of its own, and takes down what it printed and how it ended.
//! 3. [`redact`] puts words in place of what no two runs have in common: ages, addresses, generated names.
//! 4. `golden/NAME.txt` is what stock kubectl 1.32 did, recorded by `cargo xtask record parity`; the test compares ours with it, so it needs no
//!    stock kubectl. What differs and is known is in `differences.txt`, with the reason; a line there that no longer differs fails too.
//!
//! # Invariants
//! * A recording is made by stock kubectl and by nothing else.
//! * Every scenario begins on a new cluster of two nodes: no scenario sees what another one left.

pub mod corpus;
pub mod golden;
pub mod play;
pub mod redact;

use std::path::{Path, PathBuf};

/// A file or folder of this suite.
pub fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
