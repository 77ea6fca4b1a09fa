//! Courses as data: load, lint and render chapters and labs.
//!
//! 1. A [`source::Source`] gives files by path: a directory while writing, [`source::embedded`] otherwise.
//! 2. [`Course::load`] reads `chapters/<track>/course.yaml` and everything it names into chapters, sections and blocks
//!    ([`chapter`]) and labs ([`lab`]), and says in [`Diagnostic`]s what is wrong, where, and what to do.
//! 3. [`check`] is the grammar of checks; [`output`] compares what a command printed with what the lesson shows.
//!
//! # Invariants
//! * Pure: text in, typed blocks and HTML out. No network, no clock, no cluster.
//! * Unknown keys and duplicate ids are errors that name the file and the line.
//! * A chapter with an error does not hide another one; no input makes this crate panic.
//! * HTML that leaves here has no script, no event handler, no address outside of the page.

pub mod chapter;
pub mod check;
pub mod course;
pub mod diagnostic;
pub mod lab;
pub mod output;
pub mod source;

mod fence;
mod html;
mod info;
mod lint;
mod render;
mod svg;
mod yaml;

pub use chapter::Chapter;
pub use course::Course;
pub use diagnostic::Diagnostic;
