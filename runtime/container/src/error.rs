//! The one error of this crate: which step failed, what the kernel said, and the sentence runc would print.

use std::fmt;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// The steps of making a process, in the order they happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The request itself makes no sense.
    Request,
    /// Control group: make, limit, join.
    Cgroup,
    /// Namespaces: make or join.
    Namespaces,
    /// A new process could not be made.
    Clone,
    /// The root file system.
    Root,
    /// Something mounted into it.
    Mount,
    /// The pseudo terminal or pipes.
    Terminal,
    /// The user or group does not exist or is not mapped.
    User,
    /// The working directory.
    Directory,
    /// Resource limits and the like.
    Limits,
    /// System call filter and capabilities.
    Privileges,
    /// The program is not there: `executable file not found in $PATH`.
    Lookup,
    /// The program is there and the kernel would not run it.
    Exec,
    /// The child ended before it became the program.
    Died,
}

/// A start or exec that did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct Error {
    /// Where it stopped.
    pub step: Step,
    /// The kernel's number, when it was the kernel.
    pub errno: Option<i32>,
    /// Worded as runc words it: `exec: "foo": executable file not found in $PATH`.
    pub message: String,
}

impl Error {
    /// An error in our own words.
    pub fn new(step: Step, message: impl Into<String>) -> Self {
        Error { step, errno: None, message: message.into() }
    }

    /// A system call that failed: `what: no such file or directory`.
    pub fn errno(step: Step, what: impl fmt::Display, errno: Errno) -> Self {
        Error { step, errno: Some(errno as i32), message: format!("{what}: {}", describe(errno)) }
    }

    /// Whether the image lacks the program (or may not run it), as opposed to a failure of ours.
    pub fn is_command_problem(&self) -> bool {
        matches!(self.step, Step::Lookup | Step::Exec | Step::Directory | Step::User)
    }

    /// The whole sentence of `StartError` in a container status.
    // upstream: containerd client/task.go and cmd/containerd-shim-runc-v2/process/init.go, around runc's own text
    pub fn start_message(&self) -> String {
        format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: \
             unable to start container process: error during container init: {}: unknown",
            self.message
        )
    }

    /// The whole sentence `kubectl exec` prints after `error: Internal error occurred: `.
    pub fn exec_message(&self, exec_id: &str) -> String {
        format!(
            "error executing command in container: failed to exec in container: failed to start exec \"{exec_id}\": OCI runtime exec \
             failed: exec failed: unable to start container process: {}: unknown",
            self.message
        )
    }
}

/// The kernel's message as Go programs print it: lower case, no full stop.
pub fn describe(errno: Errno) -> String {
    let text = errno.desc();
    match errno {
        Errno::EACCES => "permission denied".into(),
        Errno::ENOENT => "no such file or directory".into(),
        Errno::EISDIR => "is a directory".into(),
        Errno::ENOTDIR => "not a directory".into(),
        Errno::ENOEXEC => "exec format error".into(),
        Errno::EIO => "input/output error".into(),
        _ if text.starts_with(|c: char| c.is_ascii_uppercase()) && !text[1..].starts_with(|c: char| c.is_ascii_uppercase()) => {
            text[..1].to_ascii_lowercase() + &text[1..]
        }
        _ => text.to_owned(),
    }
}

/// Attach a step and a subject to a failing system call.
pub trait Context<T> {
    /// `what` is evaluated only on failure.
    ///
    /// # Errors
    /// The original error, with step and subject.
    fn context<D: fmt::Display>(self, step: Step, what: impl FnOnce() -> D) -> Result<T, Error>;
}

impl<T> Context<T> for Result<T, Errno> {
    fn context<D: fmt::Display>(self, step: Step, what: impl FnOnce() -> D) -> Result<T, Error> {
        self.map_err(|errno| Error::errno(step, what(), errno))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context<D: fmt::Display>(self, step: Step, what: impl FnOnce() -> D) -> Result<T, Error> {
        self.map_err(|error| match error.raw_os_error() {
            Some(raw) => Error::errno(step, what(), Errno::from_raw(raw)),
            None => Error::new(step, format!("{}: {error}", what())),
        })
    }
}
