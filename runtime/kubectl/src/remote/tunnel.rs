//! Port-forward: SPDY streams inside the binary messages of one WebSocket, or on a bare connection where a server knows no such messages.
//!
//! Every connection to a local port takes a pair of streams: one for errors, one for data, tied together by a request id. One task owns the
//! socket; streams talk to it over channels.
// upstream: client-go/tools/portforward/{portforward,tunneling_dialer,tunneling_connection}.go

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use drydock_primitives::spdy::frame::{Decoder, Encoder, Frame};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use super::{Connection, Socket, upgrade, upgrade_to_spdy};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

/// What it is called in the handshake.
const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// The same without WebSocket messages around it.
const BARE_PROTOCOL: &str = "portforward.k8s.io";
/// `false` asks for the latter at once.
// upstream: kubectl/pkg/cmd/util/helpers.go PortForwardWebsockets
const WEBSOCKETS: &str = "KUBECTL_PORT_FORWARD_WEBSOCKETS";
/// How much is sent at a time.
const CHUNK: usize = 32 * 1024;

/// What streams ask of the task that owns the socket.
enum Order {
    /// A new stream; what arrives on it goes to `inbox`, its number comes back.
    Open { headers: Vec<(String, String)>, fin: bool, inbox: mpsc::Sender<Bytes>, id: oneshot::Sender<u32> },
    /// Bytes, or the end, of a stream.
    Data { id: u32, fin: bool, bytes: Bytes },
    /// A stream is not wanted any more.
    Reset { id: u32 },
}

/// A connection to a Pod that carries any number of forwarded connections.
#[derive(Clone)]
pub struct Tunnel {
    orders: mpsc::Sender<Order>,
}

/// The end of a tunnel, told when it is there.
pub struct Lost(oneshot::Receiver<()>);

impl Lost {
    /// Wait for it.
    pub async fn wait(self) {
        // Nothing is ever sent: its other half goes with the tunnel.
        drop(self.0.await);
    }
}

impl Tunnel {
    /// Open one to a Pod.
    pub async fn open(factory: &Factory, namespace: &str, pod: &str) -> Result<(Self, Lost), Failure> {
        let call = Call::get(format!("/api/v1/namespaces/{namespace}/pods/{pod}/portforward"));
        let wire = Wire::open(factory, &call).await?;
        let (orders, received) = mpsc::channel(64);
        let (ended, lost) = oneshot::channel::<()>();
        tokio::spawn(async move {
            // Why it ended makes no difference to those who lost it: they learn it when `ended` goes.
            drop(Owner::new(wire).serve(received).await);
            drop(ended);
        });
        Ok((Self { orders }, Lost(lost)))
    }

    /// Carry one connection to a port of the Pod, to its end; what the other side complains of.
    pub async fn carry(&self, connection: TcpStream, request: u64, port: u16) -> Result<(), String> {
        let headers = |kind: &str| vec![("streamtype".to_owned(), kind.to_owned()), ("port".to_owned(), port.to_string()), ("requestid".to_owned(), request.to_string())];
        let (error_id, mut complaints) = self.stream(headers("error"), true).await?;
        let (data_id, inbox) = self.stream(headers("data"), false).await?;
        let copied = self.copy(connection, data_id, inbox).await;
        let complaint = complaints.recv().await;
        self.send(Order::Reset { id: error_id }).await?;
        match complaint {
            Some(text) if !text.is_empty() => Err(format!("an error occurred forwarding {{}}: {}", String::from_utf8_lossy(&text))),
            _ => copied,
        }
    }

    async fn stream(&self, headers: Vec<(String, String)>, fin: bool) -> Result<(u32, mpsc::Receiver<Bytes>), String> {
        let (inbox, messages) = mpsc::channel(64);
        let (id, told) = oneshot::channel();
        self.send(Order::Open { headers, fin, inbox, id }).await?;
        Ok((told.await.map_err(|_gone| "lost connection to pod".to_owned())?, messages))
    }

    async fn send(&self, order: Order) -> Result<(), String> {
        self.orders.send(order).await.map_err(|_gone| "lost connection to pod".to_owned())
    }

    /// Both directions, until the Pod's side ends.
    async fn copy(&self, connection: TcpStream, id: u32, mut inbox: mpsc::Receiver<Bytes>) -> Result<(), String> {
        let (mut read, mut write) = connection.into_split();
        let upload = async {
            let mut buffer = vec![0; CHUNK];
            loop {
                let count = read.read(&mut buffer).await.unwrap_or_default();
                let bytes = Bytes::copy_from_slice(&buffer[..count]);
                self.send(Order::Data { id, fin: count == 0, bytes }).await?;
                if count == 0 {
                    return Ok::<(), String>(());
                }
            }
        };
        let download = async {
            while let Some(bytes) = inbox.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            drop(write.shutdown().await);
        };
        tokio::pin!(upload, download);
        let mut uploading = true;
        loop {
            tokio::select! {
                () = &mut download => {
                    self.send(Order::Reset { id }).await?;
                    return Ok(());
                }
                outcome = &mut upload, if uploading => {
                    outcome?;
                    uploading = false;
                }
            }
        }
    }
}

/// What carries the frames.
enum Wire {
    Messages(Socket),
    Bytes(Connection),
}

impl Wire {
    /// A WebSocket, if the server knows what that is for.
    // upstream: client-go/tools/portforward/fallback_dialer.go
    async fn open(factory: &Factory, call: &Call) -> Result<Wire, Failure> {
        let negotiated = |wanted: &str, got: &str| {
            if wanted == got { Ok(()) } else { Err(Failure::new(format!("unable to negotiate protocol: client supports [{wanted}], server returned {got:?}"))) }
        };
        let asked = match factory.env.get(WEBSOCKETS) {
            Some("false") => None,
            _ => Some(upgrade(factory, call, &[PROTOCOL]).await),
        };
        let refused = match asked {
            Some(Ok((socket, protocol))) => return negotiated(PROTOCOL, &protocol).map(|()| Wire::Messages(socket)),
            Some(Err(refused @ Failure::Status(_))) => Some(refused),
            Some(Err(failure)) => return Err(failure),
            None => None,
        };
        let (connection, protocol) = upgrade_to_spdy(factory, call, BARE_PROTOCOL).await.map_err(|failure| refused.unwrap_or(failure))?;
        negotiated(BARE_PROTOCOL, &protocol).map(|()| Wire::Bytes(connection))
    }

    /// What comes next; nothing at the end. Nothing is lost when it is not waited for.
    async fn receive(&mut self) -> Result<Option<Bytes>, String> {
        match self {
            Wire::Messages(socket) => loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes)),
                    Some(Ok(Message::Close(_))) | None => return Ok(None),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.to_string()),
                }
            },
            Wire::Bytes(connection) => {
                let mut bytes = BytesMut::with_capacity(CHUNK);
                let count = connection.read_buf(&mut bytes).await.map_err(|error| error.to_string())?;
                Ok((count > 0).then(|| bytes.freeze()))
            }
        }
    }

    async fn send(&mut self, bytes: Bytes) -> Result<(), String> {
        match self {
            Wire::Messages(socket) => socket.send(Message::Binary(bytes)).await.map_err(|error| error.to_string()),
            Wire::Bytes(connection) => {
                connection.write_all(&bytes).await.map_err(|error| error.to_string())?;
                connection.flush().await.map_err(|error| error.to_string())
            }
        }
    }

    async fn close(&mut self) -> Result<(), String> {
        match self {
            Wire::Messages(socket) => socket.close(None).await.map_err(|error| error.to_string()),
            Wire::Bytes(connection) => connection.shutdown().await.map_err(|error| error.to_string()),
        }
    }
}

struct Owner {
    wire: Wire,
    encoder: Option<Encoder>,
    decoder: Decoder,
    received: BytesMut,
    inboxes: HashMap<u32, mpsc::Sender<Bytes>>,
    next: u32,
}

impl Owner {
    fn new(wire: Wire) -> Self {
        Self { wire, encoder: Encoder::new().ok(), decoder: Decoder::default(), received: BytesMut::new(), inboxes: HashMap::new(), next: 1 }
    }

    async fn serve(&mut self, mut orders: mpsc::Receiver<Order>) -> Result<(), String> {
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await?,
                    None => return self.wire.close().await,
                },
                received = self.wire.receive() => match received? {
                    Some(bytes) => self.take(&bytes).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), String> {
        match order {
            Order::Open { headers, fin, inbox, id } => {
                let own = self.next;
                self.next += 2;
                self.inboxes.insert(own, inbox);
                self.write(&Frame::SynStream { id: own, fin, headers }).await?;
                id.send(own).map_err(|_gone| "the stream's reader has left".to_owned()).or(Ok(()))
            }
            Order::Data { id, fin, bytes } => self.write(&Frame::Data { id, fin, bytes }).await,
            Order::Reset { id } => {
                // What ended by itself needs no ending.
                if self.inboxes.remove(&id).is_some() { self.write(&Frame::RstStream { id, status: 5 }).await } else { Ok(()) }
            }
        }
    }

    async fn write(&mut self, frame: &Frame) -> Result<(), String> {
        let Some(encoder) = &mut self.encoder else { return Err("compression failed".to_owned()) };
        let mut wire = BytesMut::new();
        encoder.encode(frame, &mut wire).map_err(|error| error.to_string())?;
        self.wire.send(wire.freeze()).await
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.received.extend_from_slice(bytes);
        while let Some(frame) = self.decoder.decode(&mut self.received).map_err(|error| error.to_string())? {
            match frame {
                Frame::Data { id, fin, bytes } => {
                    let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    if let Some(inbox) = self.inboxes.get(&id)
                        && !bytes.is_empty()
                        && inbox.send(bytes).await.is_err()
                    {
                        self.inboxes.remove(&id);
                    }
                    if count > 0 {
                        self.write(&Frame::WindowUpdate { id, delta: count }).await?;
                    }
                    if fin {
                        self.inboxes.remove(&id);
                    }
                }
                Frame::RstStream { id, .. } | Frame::Headers { id, fin: true, .. } | Frame::SynReply { id, fin: true, .. } => {
                    self.inboxes.remove(&id);
                }
                Frame::Ping { id } if id % 2 == 0 => self.write(&Frame::Ping { id }).await?,
                _ => {}
            }
        }
        Ok(())
    }
}
