//! Datagrams between the processes of a cluster: JSON, with descriptors riding along.
//!
//! A `SOCK_SEQPACKET` datagram is bounded by the socket buffer (208 KiB by default) while a container's environment may carry a whole
//! Secret. Messages above [`INLINE`] therefore travel in a memfd, passed as the last descriptor.

#![allow(unsafe_code, reason = "SCM_RIGHTS hands over raw descriptors")]

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest message that travels in the datagram itself.
const INLINE: usize = 32 * 1024;
/// Most descriptors that travel with one message.
const MAX_FDS: usize = 8;
/// First byte of a datagram that is JSON.
const TAG_INLINE: u8 = b'J';
/// First byte of a datagram whose JSON is in the last descriptor.
const TAG_MEMFD: u8 = b'M';

/// One datagram.
#[derive(Debug)]
pub struct Packet {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Packet {
    /// Encode a message and its descriptors.
    ///
    /// # Errors
    /// When a memfd is needed and cannot be made.
    pub fn encode<T: Serialize>(message: &T, mut fds: Vec<OwnedFd>) -> io::Result<Packet> {
        let mut bytes = vec![TAG_INLINE];
        serde_json::to_writer(&mut bytes, message)?;
        if bytes.len() > INLINE {
            let mut file = File::from(memfd_create(c"drydock-message", MFdFlags::MFD_CLOEXEC)?);
            file.write_all(&bytes[1..])?;
            file.rewind()?;
            fds.push(file.into());
            bytes = vec![TAG_MEMFD];
        }
        Ok(Packet { bytes, fds })
    }

    /// Decode what [`Packet::receive`] gave.
    ///
    /// # Errors
    /// When it is not a message of this type.
    pub fn decode<T: DeserializeOwned>(mut self) -> io::Result<(T, Vec<OwnedFd>)> {
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed datagram");
        match self.bytes.split_first() {
            Some((&TAG_INLINE, json)) => Ok((serde_json::from_slice(json)?, self.fds)),
            Some((&TAG_MEMFD, [])) => {
                let mut file = File::from(self.fds.pop().ok_or_else(malformed)?);
                let mut json = Vec::new();
                file.rewind()?;
                file.read_to_end(&mut json)?;
                Ok((serde_json::from_slice(&json)?, self.fds))
            }
            _ => Err(malformed()),
        }
    }

    /// Send it in one piece.
    ///
    /// # Errors
    /// `WouldBlock` on a full non-blocking socket, else the peer is gone.
    pub fn send(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let raw: Vec<RawFd> = self.fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
        sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&self.bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// Receive one datagram; `None` at the end of file.
    ///
    /// # Errors
    /// `WouldBlock` on an empty non-blocking socket, else the socket failed.
    pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Packet>> {
        let mut buffer = vec![0u8; INLINE + 1];
        let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
        let mut fds = Vec::new();
        let length = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
            for control in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(received) = control {
                    // SAFETY: the kernel installed these descriptors for us in this very call; nobody else owns them.
                    fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                }
            }
            message.bytes
        };
        if length == 0 {
            return Ok(None);
        }
        buffer.truncate(length);
        Ok(Some(Packet { bytes: buffer, fds }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use std::os::fd::AsFd;

    #[test]
    fn small_and_huge_messages_arrive_with_their_descriptors() {
        let (left, right) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        for size in [0, 10, INLINE - 3, INLINE, 2_000_000] {
            let text = "x".repeat(size);
            let file = OwnedFd::from(File::open("/dev/null").unwrap());
            Packet::encode(&text, vec![file]).unwrap().send(left.as_fd()).unwrap();
            let (got, fds): (String, _) = Packet::receive(right.as_fd()).unwrap().unwrap().decode().unwrap();
            assert_eq!((got.len(), fds.len()), (size, 1));
        }
        drop(left);
        assert!(Packet::receive(right.as_fd()).unwrap().is_none());
    }

    #[test]
    fn foreign_bytes_are_refused() {
        for bytes in [&b"M"[..], b"Mx", b"J{", b"?", b"J\"a\"junk"] {
            let packet = Packet { bytes: bytes.to_vec(), fds: Vec::new() };
            assert!(packet.decode::<String>().is_err(), "{bytes:?}");
        }
    }
}
