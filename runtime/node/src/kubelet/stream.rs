//! The ends of a process's standard streams as tokio reads and writes them: pipes and terminals alike.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One end of a pipe, or the master of a terminal.
#[derive(Debug)]
pub(super) struct Stream(AsyncFd<OwnedFd>);

impl Stream {
    /// Take a descriptor over and make it non-blocking.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Stream> {
        fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Stream(register(fd)?))
    }

    /// Read some bytes; 0 is the end. A terminal whose last process is gone has ended too.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = self.0.async_io(Interest::READABLE, |fd| nix::unistd::read(fd, buffer).map_err(io::Error::from)).await;
        match result {
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(0),
            other => other,
        }
    }

    /// Write everything.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.0.async_io(Interest::WRITABLE, |fd| nix::unistd::write(fd, bytes).map_err(io::Error::from)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The descriptor, to be resized.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

#[allow(unsafe_code, reason = "tokio asks for the promise that the descriptor stays the same file")]
fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `AsyncFd` owns the descriptor, so it stays open and the same file as long as it is registered.
    unsafe { AsyncFd::register_with_interest(fd, interest()) }.map_err(|error| error.into_parts().1)
}

fn interest() -> Interest {
    Interest::READABLE | Interest::WRITABLE
}
