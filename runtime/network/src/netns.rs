//! Network namespaces by descriptor.
//!
//! A thread is in exactly one network namespace, and a socket belongs to the namespace of the thread that made it, for
//! ever. So work in another namespace is done by a thread of its own that enters it and ends; what it brings back
//! (sockets) may be used anywhere, also by an async runtime.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{NetworkError, Step};

/// A handle of a network namespace; the namespace lives at least as long as it.
#[derive(Debug, Clone)]
pub struct Netns {
    fd: Arc<OwnedFd>,
}

impl Netns {
    /// The namespace the calling thread is in.
    ///
    /// # Errors
    /// When `/proc` is not there.
    pub fn current() -> Result<Netns, NetworkError> {
        let file = File::open("/proc/thread-self/ns/net").step(|| "open the thread's network namespace".to_owned())?;
        Ok(Netns::from(OwnedFd::from(file)))
    }

    /// A new, empty namespace, owned by the caller's user namespace.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN` in the user namespace, or when the limit of namespaces is reached.
    pub fn create() -> Result<Netns, NetworkError> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).step(|| "make a network namespace".to_owned())?;
            Netns::current()
        })?
    }

    /// Do something inside. The closure runs on a thread of its own; the calling thread waits for it.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
        in_thread(|| {
            setns(self.fd.as_fd(), CloneFlags::CLONE_NEWNET).step(|| "enter a network namespace".to_owned())?;
            Ok(work())
        })?
    }

    /// Write a sysctl of the namespace, `net/ipv4/ip_forward` for example. What has the value already is not written.
    ///
    /// # Errors
    /// When `/proc/sys` is missing or read-only.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), NetworkError> {
        let path = format!("/proc/sys/{name}");
        self.run(|| match std::fs::read_to_string(&path) {
            Ok(current) if current.trim() == value => Ok(()),
            Ok(_) | Err(_) => std::fs::write(&path, value),
        })?
        .step(|| format!("set sysctl {name} to {value}"))
    }

    /// Let ordinary users ping, as desktop systems do. False when the kernel refuses: then only root can.
    ///
    /// The range ends at the last group that the calling user namespace knows; with one user there is one group.
    pub fn allow_ping(&self) -> bool {
        ["0\t65535", "0\t0"].iter().any(|range| self.set_sysctl("net/ipv4/ping_group_range", range).is_ok())
    }

    /// A listening TCP socket in the namespace.
    ///
    /// # Errors
    /// When the address is taken or not there.
    pub fn listen_tcp(&self, address: Ipv4Addr, port: u16) -> Result<TcpListener, NetworkError> {
        self.run(|| TcpListener::bind((address, port)))?.step(|| format!("listen on {address}:{port}"))
    }

    /// A UDP socket in the namespace.
    ///
    /// # Errors
    /// When the address is taken or not there.
    pub fn bind_udp(&self, address: Ipv4Addr, port: u16) -> Result<UdpSocket, NetworkError> {
        self.run(|| UdpSocket::bind((address, port)))?.step(|| format!("bind udp {address}:{port}"))
    }

    /// A TCP connection made from the namespace; blocking, so not for an async thread.
    ///
    /// # Errors
    /// Whatever connecting says.
    pub fn connect_tcp(&self, to: SocketAddrV4, timeout: std::time::Duration) -> Result<TcpStream, NetworkError> {
        self.run(|| TcpStream::connect_timeout(&to.into(), timeout))?.step(|| format!("connect to {to}"))
    }
}

impl From<OwnedFd> for Netns {
    fn from(fd: OwnedFd) -> Netns {
        Netns { fd: Arc::new(fd) }
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
    thread::scope(|scope| {
        let handle = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, work)
            .step(|| "start a thread for a network namespace".to_owned())?;
        handle.join().map_err(|_| NetworkError::Kernel {
            step: "finish work in a network namespace".to_owned(),
            source: io::Error::other("its thread panicked"),
        })
    })
}
