//! The ends of a process's standard streams that the outside keeps: pipes, or the master of a terminal made inside the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use crate::error::{Context, Error, Step};
use crate::spec::TerminalSize;

/// The outside's end of a process's streams.
#[derive(Debug)]
pub enum Stdio {
    /// One pipe per stream.
    Pipes {
        /// Written to by us; absent when standard input was not asked for.
        stdin: Option<OwnedFd>,
        /// Read by us.
        stdout: OwnedFd,
        /// Read by us.
        stderr: OwnedFd,
    },
    /// A terminal. Reading it ends with `EIO`, not end of file, once the last process has closed it.
    Terminal(OwnedFd),
}

impl Stdio {
    /// Descriptors in the order standard input (if any), output, error; or the terminal alone.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Stdio::Pipes { stdin, stdout, stderr } => {
                stdin.iter().chain([stdout, stderr]).map(AsFd::as_fd).collect()
            }
            Stdio::Terminal(master) => vec![master.as_fd()],
        }
    }
}

/// Tell a terminal its size; the foreground process gets SIGWINCH when it changed.
///
/// # Errors
/// When `terminal` is not one.
pub fn resize(terminal: BorrowedFd<'_>, size: TerminalSize) -> Result<(), Error> {
    set_window_size(terminal, size).context(Step::Terminal, || "resize terminal")
}

fn set_window_size(terminal: BorrowedFd<'_>, size: TerminalSize) -> Result<(), Errno> {
    let window = libc::winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads one winsize, which lives on our stack.
    #[allow(unsafe_code, reason = "TIOCSWINSZ has no wrapper")]
    let result = unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&terminal), libc::TIOCSWINSZ, &raw const window) };
    Errno::result(result).map(drop)
}
