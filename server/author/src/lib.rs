//! Tools for those who write lessons.
//!
//! 1. [`lint`] says what is wrong with content without running anything: `drydock author lint`.
//! 2. [`test`] does all a learner does, on a real cluster: `drydock author test`. It types every fence into the terminal it is for
//!    ([`terminal`], over [`tape`]), compares every output block, answers every question, waits for every check, and does each lab
//!    the right ways and the wrong ones. The cluster, its terminals and its grader are behind [`stage::Stage`].
//!    What cannot be had here ([`needs`]) is skipped with the reason.
//! 3. [`report`] keeps what came of it, for people and as JUnit XML.
//!
//! # Invariants
//! * Fences are typed through the same terminal sessions the page uses: what passes here works by click.
//! * Nothing waits for a fixed time: every wait ends with what it waits for, or with a deadline that is an error.
//! * A problem does not stop the test of what comes after it.

pub mod lint;
pub mod needs;
pub mod report;
pub mod stage;
pub mod tape;
pub mod terminal;
pub mod test;

pub use stage::{Live, Stage};
