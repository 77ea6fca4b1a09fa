//! The ends of a process's standard streams that the outside keeps: pipes, or the master of a terminal made inside the container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

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

/// Unlock the other side of a terminal and open it, whatever its name is where we stand.
#[allow(unsafe_code, reason = "TIOCSPTLCK and TIOCGPTPEER have no wrapper")]
pub(crate) fn terminal_peer(master: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let unlock: libc::c_int = 0;
    let raw = std::os::fd::AsRawFd::as_raw_fd(&master);
    // SAFETY: the ioctl reads one integer, which lives on our stack.
    Errno::result(unsafe { libc::ioctl(raw, libc::TIOCSPTLCK, &raw const unlock) })?;
    // SAFETY: the ioctl takes open flags and returns a new descriptor.
    let peer = Errno::result(unsafe { libc::ioctl(raw, libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(peer) })
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

/// Make reads and writes of a stream return at once when there is nothing to do, for callers with a poll loop.
///
/// # Errors
/// When the descriptor is not a stream.
pub fn set_nonblocking(stream: BorrowedFd<'_>) -> Result<(), Error> {
    let set = || -> Result<(), Errno> {
        let flags = OFlag::from_bits_truncate(fcntl(stream, FcntlArg::F_GETFL)?);
        fcntl(stream, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
    };
    set().context(Step::Terminal, || "switch stream to non-blocking")
}

/// The process group in the foreground of a terminal, by the process ids of the caller's pid namespace.
///
/// # Errors
/// When `terminal` is not one, or nobody has it open any more.
pub fn foreground(terminal: BorrowedFd<'_>) -> Result<i32, Error> {
    let group = nix::unistd::tcgetpgrp(terminal).context(Step::Terminal, || "ask for the foreground process group")?;
    Ok(group.as_raw())
}
