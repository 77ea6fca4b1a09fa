//! Netlink: how a program asks the kernel's network for things.
//!
//! 1. A [`Message`] is a header, a fixed part and attributes (length, kind, value, padding to four bytes); attributes nest.
//! 2. [`Socket::request`] sends one message and waits for its acknowledgement; [`Socket::dump`] collects a multi-part answer.
//! 3. [`Socket::batch`] sends an nftables transaction: all or nothing.
//!
//! See netlink(7). All numbers in headers and lengths are in the machine's byte order.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket, sockopt,
};

use crate::netns::Netns;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Set on attributes that contain attributes; newer kernels insist for some.
const NESTED: u16 = 1 << 15;
const KIND_MASK: u16 = 0x3fff;

/// Flags of a request.
pub mod flags {
    /// Every message to the kernel is a request.
    pub const REQUEST: u16 = 1;
    /// Answer even when all went well.
    pub const ACK: u16 = 4;
    /// Fail when there is one already.
    pub const EXCL: u16 = 0x200;
    /// Replace what is there.
    pub const REPLACE: u16 = 0x100;
    /// Make it when it is not there.
    pub const CREATE: u16 = 0x400;
    /// Put it at the end of the list.
    pub const APPEND: u16 = 0x800;
    /// All of them.
    pub const DUMP: u16 = 0x300;
}

/// One message under construction.
#[derive(Debug, Clone)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// An empty message of a kind.
    pub fn new(kind: u16, flags: u16) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | flags::REQUEST).to_ne_bytes());
        Message { bytes }
    }

    /// Append the fixed part.
    pub fn put(mut self, bytes: &[u8]) -> Message {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Append an attribute.
    pub fn attr(mut self, kind: u16, value: &[u8]) -> Message {
        let length = (4 + value.len()) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Append a string attribute; the kernel wants the zero byte.
    pub fn text(self, kind: u16, value: &str) -> Message {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// Append a 32-bit attribute in the machine's byte order (rtnetlink).
    pub fn number(self, kind: u16, value: u32) -> Message {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Append a 32-bit attribute in network byte order (nftables).
    pub fn number_be(self, kind: u16, value: u32) -> Message {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Append an attribute that contains what `inside` appends.
    pub fn nest(mut self, kind: u16, inside: impl FnOnce(Message) -> Message) -> Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self = inside(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
        self
    }

    fn finish(&mut self, sequence: u32, extra_flags: u16) -> &[u8] {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        let flags = u16_at(&self.bytes, 6) | extra_flags;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes.resize((length as usize).next_multiple_of(4), 0);
        &self.bytes
    }
}

/// Which part of the kernel a socket talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Links, addresses, routes.
    Route,
    /// nftables and connection tracking.
    Netfilter,
}

/// A netlink socket; it stays in the network namespace it was made in.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Open one in the namespace given.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the kernel has no such family.
    pub fn open(netns: &Netns, family: Family) -> io::Result<Socket> {
        netns.run(|| Socket::open_here(family)).map_err(io::Error::other)?
    }

    fn open_here(family: Family) -> io::Result<Socket> {
        let protocol = match family {
            Family::Route => SockProtocol::NetlinkRoute,
            Family::Netfilter => SockProtocol::NetlinkNetFilter,
        };
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        // Large transactions are one datagram; the kernel caps both at its own limits, which is why updates are small.
        setsockopt(&fd, sockopt::SndBuf, &(4 << 20))?;
        setsockopt(&fd, sockopt::RcvBuf, &(1 << 20))?;
        Ok(Socket { fd, sequence: 0 })
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = send(self.fd.as_raw_fd(), bytes, MsgFlags::empty())?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::WriteZero, "netlink took only part of a message")) }
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        // Peek with MSG_TRUNC for the true length first: answers have no upper bound worth guessing.
        let mut probe = [0u8; 4];
        let length = retry(|| recv(self.fd.as_raw_fd(), &mut probe, MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC))?;
        let mut buffer = vec![0u8; length.max(HEADER)];
        let length = retry(|| recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()))?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Send a message and wait until the kernel says it is done.
    ///
    /// # Errors
    /// The kernel's error number.
    pub fn request(&mut self, mut message: Message) -> io::Result<()> {
        let sequence = self.next();
        self.send(message.finish(sequence, flags::ACK))?;
        loop {
            let buffer = self.receive()?;
            for part in Parts(&buffer) {
                if part.sequence == sequence && part.kind == NLMSG_ERROR {
                    return error_of(part.body);
                }
            }
        }
    }

    /// Send a dump request and collect the bodies of the answer, after their netlink headers.
    ///
    /// # Errors
    /// The kernel's error number.
    pub fn dump(&mut self, mut message: Message) -> io::Result<Vec<Vec<u8>>> {
        let sequence = self.next();
        self.send(message.finish(sequence, flags::DUMP))?;
        let mut bodies = Vec::new();
        loop {
            let buffer = self.receive()?;
            for part in Parts(&buffer) {
                match part.kind {
                    _ if part.sequence != sequence => {}
                    NLMSG_DONE => return Ok(bodies),
                    NLMSG_ERROR => error_of(part.body)?,
                    _ => bodies.push(part.body.to_vec()),
                }
            }
        }
    }

    /// Send a request whose answer is one message.
    ///
    /// # Errors
    /// The kernel's error number.
    pub fn get(&mut self, mut message: Message) -> io::Result<Vec<u8>> {
        let sequence = self.next();
        self.send(message.finish(sequence, 0))?;
        loop {
            let buffer = self.receive()?;
            for part in Parts(&buffer) {
                if part.sequence != sequence {
                    continue;
                }
                if part.kind == NLMSG_ERROR {
                    error_of(part.body)?;
                    return Err(Errno::ENOMSG.into());
                }
                return Ok(part.body.to_vec());
            }
        }
    }

    /// Send an nftables transaction: it happens as a whole or not at all.
    ///
    /// # Errors
    /// The index of the first message the kernel refused, and its error number.
    pub fn batch(&mut self, messages: Vec<Message>) -> Result<(), BatchError> {
        let last = messages.len().checked_sub(1);
        let Some(last) = last else { return Ok(()) };
        let whole = |source| BatchError { index: None, source };
        // nfgenmsg: family unspecified, version 0, resource id = nftables in network byte order.
        let marker = |kind: u16| Message::new(kind, 0).put(&[0, 0, 0, NFNL_SUBSYS_NFTABLES]);
        let mut bytes = Vec::new();
        let begin = self.next();
        bytes.extend_from_slice(marker(NFNL_MSG_BATCH_BEGIN).finish(begin, 0));
        for (index, mut message) in messages.into_iter().enumerate() {
            let sequence = self.next();
            // One acknowledgement, on the last: one for each could overflow the receive buffer.
            bytes.extend_from_slice(message.finish(sequence, if index == last { flags::ACK } else { 0 }));
        }
        let end = self.next();
        bytes.extend_from_slice(marker(NFNL_MSG_BATCH_END).finish(end, 0));
        self.send(&bytes).map_err(whole)?;
        let first = begin + 1;
        loop {
            let buffer = self.receive().map_err(whole)?;
            for part in Parts(&buffer) {
                if part.kind != NLMSG_ERROR || part.sequence < begin || part.sequence > end {
                    continue;
                }
                let Err(source) = error_of(part.body) else {
                    if part.sequence == first + last as u32 {
                        return Ok(());
                    }
                    continue;
                };
                self.drain();
                return Err(BatchError { index: part.sequence.checked_sub(first).map(|i| i as usize), source });
            }
        }
    }

    /// Throw away the other errors of a refused transaction.
    fn drain(&self) {
        let mut scrap = [0u8; 4096];
        while recv(self.fd.as_raw_fd(), &mut scrap, MsgFlags::MSG_DONTWAIT).is_ok() {}
    }
}

const NFNL_SUBSYS_NFTABLES: u8 = 10;
const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;

/// A refused transaction.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct BatchError {
    /// Which message, from 0; `None` when the transaction as a whole was refused.
    pub index: Option<usize>,
    /// What the kernel said.
    pub source: io::Error,
}

fn retry(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

fn error_of(body: &[u8]) -> io::Result<()> {
    match i32::from_ne_bytes(array(body, 0)) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.saturating_abs())),
    }
}

/// Bytes at an offset as an array; zeros where the buffer ends.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    out
}

/// A 16-bit number in a kernel answer.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(array(bytes, at))
}

/// A 32-bit number in a kernel answer.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(array(bytes, at))
}

struct Part<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let length = u32_at(self.0, 0) as usize;
        if self.0.len() < HEADER || length < HEADER || length > self.0.len() {
            return None;
        }
        let part = Part { kind: u16_at(self.0, 4), sequence: u32_at(self.0, 8), body: &self.0[HEADER..length] };
        self.0 = &self.0[length.next_multiple_of(4).min(self.0.len())..];
        Some(part)
    }
}

/// The attributes in a body, after its fixed part.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = u16_at(rest, 0) as usize;
        if rest.len() < 4 || length < 4 || length > rest.len() {
            return None;
        }
        let item = (u16_at(rest, 2) & KIND_MASK, &rest[4..length]);
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some(item)
    })
}

/// The value of one attribute.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}
