//! A descriptor of a process's standard stream as an asynchronous stream.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A pipe end or terminal.
#[derive(Debug)]
pub(crate) struct Stream(AsyncFd<File>);

impl Stream {
    /// Take over a descriptor. Must be called inside a tokio runtime.
    #[expect(deprecated, reason = "the descriptor is owned by what is registered, so it cannot be closed early")]
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Stream> {
        drydock_container::stdio::set_nonblocking(fd.as_fd()).map_err(io::Error::other)?;
        Ok(Stream(AsyncFd::new(File::from(fd))?))
    }

    /// Read some bytes; 0 at the end. A terminal whose last user is gone is at its end.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.async_io(Interest::READABLE, |mut file| (&mut file).read(buffer)).await {
            // man 7 pty: EIO once no process has the terminal open.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(0),
            result => result,
        }
    }

    /// Read until the end.
    pub(crate) async fn read_to_end(&self) -> io::Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
        loop {
            match self.read(&mut buffer).await? {
                0 => return Ok(all),
                length => all.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// Write all bytes.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.0.async_io(Interest::WRITABLE, |mut file| (&mut file).write(bytes)).await?;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// The descriptor.
    pub(crate) fn file(&self) -> &File {
        self.0.get_ref()
    }
}
