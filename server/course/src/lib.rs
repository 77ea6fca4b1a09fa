//! Courses as data: load, lint and render chapters and labs.
//!
//! # Invariants
//! * Pure: text in, typed blocks and HTML out. No network, no clock, no cluster.
//! * Unknown keys and duplicate ids are errors that name the file and the line.

pub mod check;
