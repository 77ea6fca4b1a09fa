//! Courses as data: load, lint and render chapters and labs.
//!
//! 1. A [`source::Source`] gives files by path: a directory while writing, the ones inside the program otherwise.
//! 2. [`course::load`] reads `chapters/<track>/course.yaml` and everything it names into a [`course::Course`] of chapters, sections
//!    and blocks ([`chapter`]) and labs ([`lab`]), and says in [`diagnostic::Diagnostic`]s what is wrong, where, and what to do.
//! 3. [`output`] compares what a command printed with what the lesson shows; [`search`] and [`text`] serve the search field and
//!    the terminal from the same blocks.
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
pub mod search;
pub mod source;
pub mod text;

mod fence;
mod info;
mod links;
mod markup;
mod render;
mod svg;
mod yaml;
