//! One connected client: what it sent, what it has not read yet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockFlag, accept4, getsockopt, sockopt};

use super::protocol::{Call, Message};
use super::wire::Packet;

/// A client that lets this many messages pile up does not read at all and is let go.
const MAX_OUTBOX: usize = 10_000;

/// A client.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    outbox: VecDeque<Packet>,
}

/// Whether a connection is still good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    Gone,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Connection {
        Connection { socket, outbox: VecDeque::new() }
    }

    /// Accept a client. Processes of containers are turned away: a Pod that mounts the node's disk can reach the socket file.
    pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<Connection>> {
        let fd = match accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::EAGAIN | Errno::ECONNABORTED | Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // SAFETY: accept4 made this descriptor for us.
        #[allow(unsafe_code, reason = "accept4 returns a raw descriptor")]
        let socket = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) };
        let peer = getsockopt(&socket, sockopt::PeerCredentials)?.pid();
        // 0 is a process we cannot see: it stands outside of this machine, as the control plane does.
        if peer != 0 && pid_namespace(&peer.to_string()) != pid_namespace("self") {
            return Ok(None);
        }
        Ok(Some(Connection::new(socket)))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn has_outbox(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The next call, if a whole one is there.
    pub(super) fn receive(&self) -> Result<Option<Call>, Health> {
        match Packet::receive(self.fd()) {
            Ok(Some(packet)) => packet.decode::<Call>().map(|(call, _)| Some(call)).map_err(|error| {
                eprintln!("node-init: a client speaks another language: {error}");
                Health::Gone
            }),
            Ok(None) => Err(Health::Gone),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(_) => Err(Health::Gone),
        }
    }

    /// Queue a message and send what the socket takes.
    pub(super) fn send(&mut self, message: &Message, fds: Vec<OwnedFd>) -> Health {
        match Packet::encode(message, fds) {
            Ok(packet) => self.outbox.push_back(packet),
            Err(error) => {
                eprintln!("node-init: cannot encode a message: {error}");
                return Health::Gone;
            }
        }
        self.flush()
    }

    /// Send what the socket takes.
    pub(super) fn flush(&mut self) -> Health {
        while let Some(packet) = self.outbox.front() {
            match packet.send(self.fd()) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Health::Gone,
            }
        }
        if self.outbox.len() > MAX_OUTBOX { Health::Gone } else { Health::Good }
    }
}

fn pid_namespace(pid: &str) -> Option<std::path::PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
