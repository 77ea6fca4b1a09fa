//! The asynchronous end of node-init's socket, used by the kubelet and by the workstation module.
//!
//! Calls may overlap; each carries a number and its reply finds the caller. Events come on their own stream, in the order they
//! happened. Sockets and namespaces arrive as descriptors: a socket made in a Pod's network namespace stays there, so [`Client::dial`]
//! connects from inside the Pod although the kubelet never enters it.

#![allow(unsafe_code, reason = "tokio takes sockets made elsewhere as raw descriptors")]

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drydock_container::cgroup::Usage;
use drydock_container::stdio::Stdio;
use drydock_container::{ContainerSpec, ProcessSpec, SandboxConfig};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::protocol::{
    Call, ChildAction, Event, Failure, FileAccess, Inventory, Message, Netns, NodeInfo, Reply, Request, Scope, Started, StdioKind,
};
use super::wire::Packet;

type Answer = Result<(Reply, Vec<OwnedFd>), Failure>;
type Waiting = HashMap<u64, oneshot::Sender<Answer>>;

/// A connection to node-init. Clones share it; it closes with the last one.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    _reader: Arc<AbortOnDropHandle<()>>,
}

/// What happened on the node, in order. `None` when the connection ended.
pub struct Events(mpsc::UnboundedReceiver<Event>);

struct Inner {
    socket: AsyncFd<OwnedFd>,
    next: AtomicU64,
    /// `None` once the connection is lost.
    waiting: Mutex<Option<Waiting>>,
}

impl Events {
    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }
}

impl Client {
    /// Connect to the socket at `path`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(path: &Path) -> io::Result<(Client, Events)> {
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?;
        connect_unix(&socket, path)?;
        Self::from_socket(socket)
    }

    /// Use a socket that is connected already: the one cluster-init hands out with a new machine. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When it cannot be made non-blocking or registered.
    pub fn from_socket(socket: OwnedFd) -> io::Result<(Client, Events)> {
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // SAFETY: the `AsyncFd` owns the descriptor, so it stays open and the same file as long as it is registered.
        let socket = unsafe { AsyncFd::register(socket) }.map_err(|error| error.into_parts().1)?;
        let inner = Arc::new(Inner { socket, next: AtomicU64::new(1), waiting: Mutex::new(Some(HashMap::new())) });
        let (sender, events) = mpsc::unbounded_channel();
        let reader = AbortOnDropHandle::new(tokio::spawn(read(Arc::clone(&inner), sender)));
        Ok((Client { inner, _reader: Arc::new(reader) }, Events(events)))
    }

    async fn call(&self, request: Request) -> Answer {
        let id = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match self.inner.waiting().as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(Failure::Gone),
        };
        let sent = match Packet::encode(&Call { id, request }, Vec::new()) {
            Ok(packet) => self.inner.socket.async_io(Interest::WRITABLE, |socket| packet.send(socket.as_fd())).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            if let Some(waiting) = self.inner.waiting().as_mut() {
                waiting.remove(&id);
            }
            return Err(Failure::Kernel { what: "send to node-init".into(), error: error.to_string() });
        }
        receiver.await.unwrap_or(Err(Failure::Gone))
    }

    async fn call_for_fd(&self, request: Request) -> Result<OwnedFd, Failure> {
        self.call(request).await?.1.pop().ok_or_else(unexpected)
    }

    async fn call_for_nothing(&self, request: Request) -> Result<(), Failure> {
        self.call(request).await.map(drop)
    }

    async fn call_for_process(&self, request: Request) -> Result<(Started, Stdio), Failure> {
        match self.call(request).await? {
            (Reply::Started(started), fds) => {
                let stdio = stdio_from(started.stdio, fds).ok_or_else(unexpected)?;
                Ok((started, stdio))
            }
            _ => Err(unexpected()),
        }
    }

    /// What this node can do.
    ///
    /// # Errors
    /// When node-init is gone.
    pub async fn info(&self) -> Result<NodeInfo, Failure> {
        match self.call(Request::Info).await? {
            (Reply::Info(info), _) => Ok(info),
            _ => Err(unexpected()),
        }
    }

    /// Make a Pod's namespaces; returns the network namespace, for the network to be attached.
    ///
    /// # Errors
    /// When the id is taken or the kernel refuses.
    pub async fn create_sandbox(&self, id: &str, config: SandboxConfig, labels: BTreeMap<String, String>) -> Result<OwnedFd, Failure> {
        self.call_for_fd(Request::CreateSandbox { id: id.to_owned(), config, labels }).await
    }

    /// Kill and remove what is left in a sandbox and let its namespaces go.
    ///
    /// # Errors
    /// When there is none.
    pub async fn remove_sandbox(&self, id: &str) -> Result<(), Failure> {
        self.call_for_nothing(Request::RemoveSandbox { id: id.to_owned() }).await
    }

    /// Make and run a container in a sandbox (`None`: on the node itself).
    ///
    /// # Errors
    /// [`Failure::Container`] in runc's words when it cannot be started; nothing is left of it then.
    pub async fn start_container(&self, sandbox: Option<&str>, spec: ContainerSpec) -> Result<(Started, Stdio), Failure> {
        self.call_for_process(Request::StartContainer { sandbox: sandbox.map(str::to_owned), spec: Box::new(spec) }).await
    }

    /// Run one more process in a container. `id` names it in [`Event::Exited`] and for [`Client::signal`].
    ///
    /// # Errors
    /// [`Failure::NotRunning`], or [`Failure::Container`] in runc's words.
    pub async fn exec(&self, container: &str, id: &str, process: ProcessSpec) -> Result<(Started, Stdio), Failure> {
        let (container, id, process) = (container.to_owned(), id.to_owned(), Box::new(process));
        self.call_for_process(Request::Exec { container, id, process }).await
    }

    /// Send a signal to a container or exec.
    ///
    /// # Errors
    /// When it is unknown or not running.
    pub async fn signal(&self, id: &str, signal: i32, scope: Scope) -> Result<(), Failure> {
        self.call_for_nothing(Request::Signal { id: id.to_owned(), signal, scope }).await
    }

    /// Forget a container, killing it first when it runs.
    ///
    /// # Errors
    /// When it is unknown.
    pub async fn remove(&self, id: &str) -> Result<(), Failure> {
        self.call_for_nothing(Request::Remove { id: id.to_owned() }).await
    }

    /// Everything on the node.
    ///
    /// # Errors
    /// When node-init is gone.
    pub async fn list(&self) -> Result<Inventory, Failure> {
        match self.call(Request::List).await? {
            (Reply::List(inventory), _) => Ok(inventory),
            _ => Err(unexpected()),
        }
    }

    /// The pipes or terminal of a container once more (after a restart of the kubelet).
    ///
    /// # Errors
    /// When it is unknown or already removed.
    pub async fn stdio(&self, id: &str) -> Result<Stdio, Failure> {
        self.call_for_process(Request::Stdio { id: id.to_owned() }).await.map(|(_, stdio)| stdio)
    }

    /// Close node-init's end of a container's standard input. The program reads end of file when the caller's end is closed too.
    ///
    /// # Errors
    /// When it is unknown.
    pub async fn close_stdin(&self, id: &str) -> Result<(), Failure> {
        self.call_for_nothing(Request::CloseStdin { id: id.to_owned() }).await
    }

    /// A network namespace by descriptor.
    ///
    /// # Errors
    /// When the sandbox is unknown.
    pub async fn netns(&self, of: Netns) -> Result<OwnedFd, Failure> {
        self.call_for_fd(Request::Netns { of }).await
    }

    /// Connect by TCP from inside a network namespace; `127.0.0.1` is the Pod's own.
    ///
    /// # Errors
    /// As for any connect; an unknown sandbox is `NotFound`.
    pub async fn dial(&self, of: Netns, to: SocketAddr) -> io::Result<TcpStream> {
        self.tcp_socket(of, to).await?.connect(to).await
    }

    /// Listen by TCP inside a network namespace.
    ///
    /// # Errors
    /// As for any bind; an unknown sandbox is `NotFound`.
    pub async fn listen(&self, of: Netns, at: SocketAddr) -> io::Result<TcpListener> {
        let socket = self.tcp_socket(of, at).await?;
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(1024)
    }

    /// A UDP socket bound inside a network namespace.
    ///
    /// # Errors
    /// As for any bind; an unknown sandbox is `NotFound`.
    pub async fn udp(&self, of: Netns, at: SocketAddr) -> io::Result<UdpSocket> {
        let fd = self.call_for_fd(Request::Socket { of, v6: at.is_ipv6(), datagram: true }).await.map_err(io_error)?;
        let address = nix::sys::socket::SockaddrStorage::from(at);
        nix::sys::socket::bind(fd.as_raw_fd(), &address)?;
        UdpSocket::from_std(std::net::UdpSocket::from(fd))
    }

    async fn tcp_socket(&self, of: Netns, peer: SocketAddr) -> io::Result<TcpSocket> {
        let fd = self.call_for_fd(Request::Socket { of, v6: peer.is_ipv6(), datagram: false }).await.map_err(io_error)?;
        // SAFETY: we own the descriptor and give it away; it is a non-blocking TCP socket by the protocol.
        Ok(unsafe { TcpSocket::from_raw_fd(fd.into_raw_fd()) })
    }

    /// Open a file of a running container as if its root were `/`.
    ///
    /// # Errors
    /// [`Failure::NotRunning`], or the kernel's word in [`Failure::File`].
    pub async fn open_file(&self, container: &str, path: &Path, access: FileAccess) -> Result<std::fs::File, Failure> {
        let (container, path) = (container.to_owned(), path.to_owned());
        self.call_for_fd(Request::OpenFile { container, path, access }).await.map(std::fs::File::from)
    }

    /// What a container uses.
    ///
    /// # Errors
    /// When it is unknown.
    pub async fn usage(&self, id: &str) -> Result<Usage, Failure> {
        match self.call(Request::Usage { id: id.to_owned() }).await? {
            (Reply::Usage(usage), _) => Ok(usage),
            _ => Err(unexpected()),
        }
    }

    /// Start, stop or restart one of node-init's child processes.
    ///
    /// # Errors
    /// When the name is unknown.
    pub async fn child(&self, name: &str, action: ChildAction) -> Result<(), Failure> {
        self.call_for_nothing(Request::Child { name: name.to_owned(), action }).await
    }

    /// End node-init and with it the node. The connection ends; that is the answer.
    pub async fn power_off(&self) {
        match self.call(Request::PowerOff).await {
            Ok(_) | Err(_) => {}
        }
    }
}

impl Inner {
    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        // The map is consistent between any two statements, so a panic elsewhere while it was held does no harm.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hand replies to their callers and events to the stream until the connection ends.
async fn read(inner: Arc<Inner>, events: mpsc::UnboundedSender<Event>) {
    while let Ok(Some(packet)) = inner.socket.async_io(Interest::READABLE, |socket| Packet::receive(socket.as_fd())).await {
        match packet.decode::<Message>() {
            Ok((Message::Reply { id, result }, fds)) => {
                let caller = inner.waiting().as_mut().and_then(|waiting| waiting.remove(&id));
                if caller.is_none_or(|caller| caller.send(result.map(|reply| (reply, fds))).is_err()) {
                    tracing::debug!(id, "nobody waits for this reply any more");
                }
            }
            Ok((Message::Event(event), _)) => {
                if events.send(event).is_err() {
                    tracing::trace!("nobody listens to events");
                }
            }
            Err(error) => tracing::error!(%error, "node-init sent something unreadable"),
        }
    }
    // Dropping the senders wakes every caller with `Gone`.
    inner.waiting().take();
}

fn connect_unix(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    match UnixAddr::new(path) {
        Ok(address) => Ok(connect(socket.as_raw_fd(), &address)?),
        // A socket address holds 108 bytes; a descriptor of the directory makes any path short.
        Err(_) => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a socket path", path.display())));
            };
            let directory = std::fs::File::open(parent)?;
            let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
            Ok(connect(socket.as_raw_fd(), &UnixAddr::new(&short)?)?)
        }
    }
}

/// Put received descriptors back together.
fn stdio_from(kind: StdioKind, fds: Vec<OwnedFd>) -> Option<Stdio> {
    let mut fds = fds.into_iter();
    Some(match kind {
        StdioKind::Terminal => Stdio::Terminal(fds.next()?),
        StdioKind::Pipes { stdin } => {
            let stdin = if stdin { Some(fds.next()?) } else { None };
            Stdio::Pipes { stdin, stdout: fds.next()?, stderr: fds.next()? }
        }
    })
}

fn unexpected() -> Failure {
    Failure::Kernel { what: "read the reply of node-init".into(), error: "it is not the kind that was asked for".into() }
}

fn io_error(failure: Failure) -> io::Error {
    match failure {
        Failure::NotFound { .. } => io::Error::new(io::ErrorKind::NotFound, failure),
        Failure::Gone => io::Error::new(io::ErrorKind::BrokenPipe, failure),
        Failure::File { errno, .. } => io::Error::from_raw_os_error(errno),
        other => io::Error::other(other),
    }
}
