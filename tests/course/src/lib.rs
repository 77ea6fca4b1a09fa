//! drydock-test-course: every lesson and lab, as a reader would do it. The test is in `tests/`.
//!
//! # Invariants
//! * What a lesson shows is what its commands print; what a check says is what the cluster shows.
