//! `pods/portforward`: connections a client makes on its side, made again inside the Pod.
//!
//! kubectl opens two SPDY streams per connection, `error` and `data`, tied by a `requestID` header, either straight after an upgrade or inside
//! a WebSocket's binary messages. kube-rs and browsers use WebSocket channels instead: `2i` and `2i+1` are data and errors of the i-th port of
//! the query. Each connection becomes one raw WebSocket to the kubelet.
//! upstream: staging/src/k8s.io/kubelet/pkg/cri/streaming/portforward/{httpstream,websocket}.go

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use drydock_api::status::Status;
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::kubelet;
use super::spdy::session::{Session, SpdyStream, StreamReader, StreamWriter};
use super::websocket::{self, Incoming, Outgoing, Socket, payload};
use crate::audit::{Counters, OpenStream, StreamVerb};
use crate::body::Body;
use crate::call::Call;
use crate::config::{Dial, Duplex, Target};

const TUNNEL_PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
const SPDY_PROTOCOL: &str = "portforward.k8s.io";
const CHANNEL_PROTOCOLS: [&str; 3] = ["v4.channel.k8s.io", "portforward.k8s.io", "channel.k8s.io"];
/// How long the second stream of a pair may take to come. upstream: streamCreationTimeout
const PAIR_PATIENCE: Duration = Duration::from_secs(30);

/// What every connection of a forward needs.
#[derive(Clone)]
struct Backend {
    dial: Arc<dyn Dial>,
    target: Target,
    namespace: String,
    pod: String,
    stream: Arc<Mutex<OpenStream>>,
    counters: Counters,
}

/// Forwards ports.
pub(crate) async fn portforward(call: &Call, mut request: Request<Body>) -> Result<Response<Body>, Status> {
    let located = super::locate(call)?;
    if located.node.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.info.name)));
    }
    let websocket = websocket::is_websocket(&request);
    if !websocket && !websocket::is_spdy(&request) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let tunnel = websocket && websocket::choose(&request, "sec-websocket-protocol", &[TUNNEL_PROTOCOL]).is_some();
    let ports = if websocket && !tunnel { channel_ports(call)? } else { Vec::new() };
    let accepted = if tunnel {
        websocket::accept(&mut request, Some(TUNNEL_PROTOCOL))?
    } else if websocket {
        let protocol = websocket::choose(&request, "sec-websocket-protocol", &CHANNEL_PROTOCOLS);
        websocket::accept(&mut request, protocol)?
    } else {
        websocket::accept_spdy(&mut request, SPDY_PROTOCOL)?
    };
    let stream = super::open(call, StreamVerb::PortForward, "");
    let backend = Backend {
        dial: Arc::clone(&call.server.config().dial),
        target: located.target,
        namespace: call.info.namespace.clone(),
        pod: call.info.name.clone(),
        counters: stream.counters.clone(),
        stream: Arc::new(Mutex::new(stream)),
    };
    tokio::spawn(async move {
        let connection = match accepted.connection.await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(%error, "upgrade for port forwarding");
                return;
            }
        };
        if tunnel {
            let socket = websocket::socket(connection, Role::Server).await;
            serve_spdy(Box::new(websocket::byte_stream(socket)), backend).await;
        } else if websocket {
            serve_channels(websocket::socket(connection, Role::Server).await, ports, backend).await;
        } else {
            serve_spdy(Box::new(TokioIo::new(connection)), backend).await;
        }
    });
    Ok(accepted.response)
}

fn channel_ports(call: &Call) -> Result<Vec<u16>, Status> {
    let ports = call.info.parameters("ports");
    let ports = ports.iter().flat_map(|ports| ports.split(','));
    let ports: Result<Vec<u16>, Status> =
        ports.map(|port| port.parse().map_err(|_parse| Status::bad_request(format!("unable to parse \"{port}\" as a port")))).collect();
    let ports = ports?;
    if ports.is_empty() { Err(Status::bad_request("query parameter \"ports\" is required")) } else { Ok(ports) }
}

impl Backend {
    /// Opens the kubelet's side of one connection.
    async fn connect(&self, port: u16) -> Result<Socket, String> {
        self.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner).connected(port);
        let path = format!("/portForward/{}/{}?port={port}", self.namespace, self.pod);
        kubelet::websocket(&self.dial, self.target.clone(), &path, None)
            .await
            .map_err(|error| format!("error forwarding port {port} to pod {}, uid : {error}", self.pod))
    }
}

struct Pair {
    error: Option<SpdyStream>,
    data: Option<SpdyStream>,
}

async fn serve_spdy(connection: Box<dyn Duplex>, backend: Backend) {
    let mut session = Session::serve(connection);
    let mut pairs: HashMap<String, Pair> = HashMap::new();
    let mut connections = JoinSet::new();
    let (expire, mut expired) = mpsc::channel::<String>(16);
    loop {
        let stream = tokio::select! {
            stream = session.accept() => stream,
            Some(id) = expired.recv() => {
                // Dropping a lone stream resets it.
                pairs.remove(&id);
                continue;
            }
            Some(_ended) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Some(stream) = stream else { break };
        let Some(id) = stream.header("requestid").map(str::to_owned) else {
            tracing::debug!("port-forward stream without requestID");
            continue;
        };
        let is_error = stream.header("streamtype") == Some("error");
        let pair = pairs.entry(id.clone()).or_insert(Pair { error: None, data: None });
        if is_error {
            pair.error = Some(stream);
        } else {
            pair.data = Some(stream);
        }
        if pair.error.is_some() && pair.data.is_some() {
            if let Some(Pair { error: Some(error), data: Some(data) }) = pairs.remove(&id) {
                connections.spawn(forward(error, data, backend.clone()));
            }
        } else {
            let expire = expire.clone();
            connections.spawn(async move {
                tokio::time::sleep(PAIR_PATIENCE).await;
                // The loop that listens may have ended, and with it the need to expire.
                drop(expire.send(id).await);
            });
        }
    }
}

async fn forward(error: SpdyStream, data: SpdyStream, backend: Backend) {
    let mut errors = error.writer;
    let Some(port) = data.header("port").and_then(|port| port.parse::<u16>().ok()).filter(|&port| port != 0) else {
        drop(errors.write(Bytes::from_static(b"\"port\" header is required")).await);
        drop(errors.finish().await);
        return;
    };
    let SpdyStream { reader, mut writer, .. } = data;
    match backend.connect(port).await {
        Ok(socket) => websocket::copy_raw(socket, reader, &mut writer, &backend.counters).await,
        Err(text) => {
            // If the client is gone, nobody misses the text.
            drop(errors.write(Bytes::from(text)).await);
        }
    }
    drop(writer.finish().await);
    drop(errors.finish().await);
}

impl Incoming for StreamReader {
    async fn next(&mut self) -> Option<Bytes> {
        self.read().await
    }
}

impl Outgoing for &mut StreamWriter {
    async fn write(&mut self, bytes: Bytes) -> std::io::Result<()> {
        StreamWriter::write(self, bytes).await
    }

    async fn finish(&mut self) {
        // A broken connection ends the forward by itself.
        drop(StreamWriter::finish(self).await);
    }
}

/// One connection per port, multiplexed over WebSocket channels.
async fn serve_channels(socket: Socket, ports: Vec<u16>, backend: Backend) {
    let (mut sink, mut source) = socket.split();
    let (outgoing, mut frames) = mpsc::channel::<Bytes>(16);
    let mut inboxes = Vec::new();
    let mut connections = JoinSet::new();
    for (index, port) in ports.into_iter().enumerate() {
        let (sender, inbox) = mpsc::channel::<Bytes>(16);
        inboxes.push(sender);
        let data = u8::try_from(index * 2).unwrap_or(u8::MAX - 1);
        connections.spawn(forward_channel(data, port, inbox, outgoing.clone(), backend.clone()));
    }
    drop(outgoing);
    let up = async {
        while let Some(Ok(message)) = source.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
            let Some(mut bytes) = payload(message).filter(|bytes| !bytes.is_empty()) else { continue };
            let channel = usize::from(bytes.split_to(1)[0]);
            if channel % 2 == 0
                && let Some(inbox) = inboxes.get(channel / 2)
            {
                // A connection that ended drops what is still sent to it.
                drop(inbox.send(bytes).await);
            }
        }
    };
    let down = async {
        while let Some(bytes) = frames.recv().await {
            if sink.send(Message::Binary(bytes)).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
    websocket::close(&mut sink).await;
}

struct Channel {
    number: u8,
    outgoing: mpsc::Sender<Bytes>,
}

impl Channel {
    async fn send(&self, number: u8, bytes: &[u8]) -> std::io::Result<()> {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.put_u8(number);
        message.put_slice(bytes);
        self.outgoing.send(message.freeze()).await.map_err(|_closed| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl Incoming for mpsc::Receiver<Bytes> {
    async fn next(&mut self) -> Option<Bytes> {
        self.recv().await
    }
}

impl Outgoing for Channel {
    async fn write(&mut self, bytes: Bytes) -> std::io::Result<()> {
        self.send(self.number, &bytes).await
    }

    async fn finish(&mut self) {}
}

async fn forward_channel(data: u8, port: u16, inbox: mpsc::Receiver<Bytes>, outgoing: mpsc::Sender<Bytes>, backend: Backend) {
    let channel = Channel { number: data, outgoing };
    // Each channel begins with its port, little endian.
    for number in [data, data + 1] {
        if channel.send(number, &port.to_le_bytes()).await.is_err() {
            return;
        }
    }
    match backend.connect(port).await {
        Ok(socket) => websocket::copy_raw(socket, inbox, channel, &backend.counters).await,
        Err(text) => drop(channel.send(data + 1, text.as_bytes()).await),
    }
}
