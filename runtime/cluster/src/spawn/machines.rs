//! Asking cluster-init for machines: the control plane's end of the machine socket.
//!
//! Requests are answered in order, one at a time; exits arrive between them and go to whoever listens.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, broadcast, mpsc};

use super::protocol::{self, MachineReply, MachineRequest};

type Reply = (MachineReply, Vec<OwnedFd>);

/// A machine that ended, asked for or not.
#[derive(Debug, Clone)]
pub struct Exited {
    /// Its name.
    pub name: String,
    /// Wait status in words.
    pub status: String,
}

/// A machine that was made.
#[derive(Debug)]
pub struct Created {
    /// Its network namespace.
    pub network: OwnedFd,
    /// A socket connected to its node-init.
    pub init: OwnedFd,
}

/// The control plane's handle on the machines of the cluster. Clones share it.
#[derive(Clone)]
pub struct Machines {
    socket: Arc<AsyncFd<OwnedFd>>,
    replies: Arc<Mutex<mpsc::UnboundedReceiver<Reply>>>,
    exits: broadcast::Sender<Exited>,
}

impl Machines {
    /// Take over the machine socket. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be made non-blocking or registered.
    #[expect(deprecated, reason = "the descriptor is owned by what is registered, so it cannot be closed early")]
    pub fn new(socket: OwnedFd) -> io::Result<Machines> {
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let socket = Arc::new(AsyncFd::new(socket)?);
        let (sender, replies) = mpsc::unbounded_channel();
        let (exits, _) = broadcast::channel(64);
        tokio::spawn(read(Arc::clone(&socket), sender, exits.clone()));
        Ok(Machines { socket, replies: Arc::new(Mutex::new(replies)), exits })
    }

    /// Hear of machines that end from now on.
    pub fn exits(&self) -> broadcast::Receiver<Exited> {
        self.exits.subscribe()
    }

    /// Make a machine. It waits for [`Machines::start`].
    ///
    /// # Errors
    /// When one of that name runs or the kernel refuses.
    pub async fn create(&self, name: &str) -> io::Result<Created> {
        let (_, mut fds) = self.ask(MachineRequest::Create { name: name.to_owned() }).await?;
        match (fds.pop(), fds.pop()) {
            (Some(network), Some(init)) => Ok(Created { network, init }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "cluster-init sent too few descriptors")),
        }
    }

    /// Let a machine run its node-init with this configuration (JSON).
    ///
    /// # Errors
    /// When it does not wait for its start.
    pub async fn start(&self, name: &str, config: String) -> io::Result<()> {
        self.ask(MachineRequest::Start { name: name.to_owned(), config }).await.map(drop)
    }

    /// Power a machine off and wait until it is gone.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&self, name: &str) -> io::Result<()> {
        let mut exits = self.exits();
        self.ask(MachineRequest::Kill { name: name.to_owned() }).await?;
        loop {
            match exits.recv().await {
                Ok(exited) if exited.name == name => return Ok(()),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    async fn ask(&self, request: MachineRequest) -> io::Result<Reply> {
        let mut replies = self.replies.lock().await;
        self.socket.async_io(Interest::WRITABLE, |socket| protocol::send(socket.as_fd(), &request, &[])).await?;
        match replies.recv().await {
            Some((MachineReply::Failed { name, what }, _)) => Err(io::Error::other(format!("machine {name}: {what}"))),
            Some(reply) => Ok(reply),
            None => Err(io::Error::new(io::ErrorKind::BrokenPipe, "cluster-init is gone")),
        }
    }
}

async fn read(socket: Arc<AsyncFd<OwnedFd>>, replies: mpsc::UnboundedSender<Reply>, exits: broadcast::Sender<Exited>) {
    loop {
        let received = socket.async_io(Interest::READABLE, |socket| protocol::receive::<MachineReply>(socket.as_fd())).await;
        match received {
            Ok(Some((MachineReply::Exited { name, status }, _))) => {
                let listeners = exits.send(Exited { name: name.clone(), status: status.clone() }).unwrap_or(0);
                tracing::info!(machine = name, status, listeners, "machine ended");
            }
            Ok(Some(reply)) => {
                if replies.send(reply).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::error!(%error, "machine socket");
                return;
            }
        }
    }
}
