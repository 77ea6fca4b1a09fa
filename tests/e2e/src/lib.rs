//! drydock-test-e2e: whole clusters, driven as users drive them. The tests are in `tests/`.
//!
//! # Invariants
//! * Nothing here knows more of Drydock than a person at a terminal: commands, kubectl, processes, files.
