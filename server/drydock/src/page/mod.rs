//! What the page needs of the cluster, the grader and the course: one small adapter for each of its seams.

pub(crate) mod back;
pub(crate) mod changes;
pub(crate) mod course;
pub(crate) mod dial;
pub(crate) mod picture;
pub(crate) mod shell;
pub(crate) mod verdicts;
pub(crate) mod workbench;
