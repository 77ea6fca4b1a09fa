//! WebSockets, both ends: accepting a client's upgrade, and treating a socket's binary messages as a byte stream.

use bytes::Bytes;
use drydock_api::status::Status;
use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use crate::audit::Counters;
use crate::body::{self, Body};

/// A WebSocket over an upgraded HTTP connection.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// An upgrade that was agreed to: send the response, then wait for the connection.
pub(crate) struct Accepted {
    /// 101.
    pub(crate) response: Response<Body>,
    /// The connection, once the response is out.
    pub(crate) connection: OnUpgrade,
}

/// Whether a request wants a WebSocket.
pub(crate) fn is_websocket<B>(request: &Request<B>) -> bool {
    header_contains(request, header::UPGRADE.as_str(), "websocket")
}

/// Whether a request wants SPDY/3.1.
pub(crate) fn is_spdy<B>(request: &Request<B>) -> bool {
    header_contains(request, header::UPGRADE.as_str(), "spdy/3.1")
}

fn header_contains<B>(request: &Request<B>, name: &str, token: &str) -> bool {
    list(request, name).iter().any(|own| own.eq_ignore_ascii_case(token))
}

fn list<B>(request: &Request<B>, name: &str) -> Vec<String> {
    request
        .headers()
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty())
        .collect()
}

/// The first of `supported` that the client offers; an empty offer is `None`.
pub(crate) fn choose<'a, B>(request: &Request<B>, name: &str, supported: &[&'a str]) -> Option<&'a str> {
    let offered = list(request, name);
    supported.iter().find(|own| offered.iter().any(|other| other == *own)).copied()
}

/// Agrees to a WebSocket with a subprotocol.
pub(crate) fn accept(request: &mut Request<Body>, protocol: Option<&str>) -> Result<Accepted, Status> {
    let key = request
        .headers()
        .get(header::SEC_WEBSOCKET_KEY)
        .ok_or_else(|| Status::bad_request("websocket server: the Sec-WebSocket-Key header is missing"))?;
    let answer = derive_accept_key(key.as_bytes());
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, answer);
    if let Some(protocol) = protocol {
        response = response.header(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let response = response.body(body::empty()).map_err(Status::internal)?;
    Ok(Accepted { response, connection: hyper::upgrade::on(request) })
}

/// Agrees to SPDY/3.1.
pub(crate) fn accept_spdy(request: &mut Request<Body>, protocol: &str) -> Result<Accepted, Status> {
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "SPDY/3.1")
        .header("X-Stream-Protocol-Version", protocol)
        .body(body::empty())
        .map_err(Status::internal)?;
    Ok(Accepted { response, connection: hyper::upgrade::on(request) })
}

/// The WebSocket on an upgraded connection.
pub(crate) async fn socket(connection: Upgraded, role: Role) -> Socket {
    let config = WebSocketConfig::default().read_buffer_size(32 * 1024).write_buffer_size(0);
    WebSocketStream::from_raw_socket(TokioIo::new(connection), role, Some(config)).await
}

/// Says that all is said. A close without a code is an error to Go's clients.
pub(crate) async fn close(sink: &mut SplitSink<Socket, Message>) {
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    // The other side may be gone; then there is nobody to tell.
    drop(sink.send(Message::Close(Some(normal))).await);
}

/// The payload of a data message.
pub(crate) fn payload(message: Message) -> Option<Bytes> {
    match message {
        Message::Binary(bytes) => Some(bytes),
        Message::Text(text) => Some(text.into()),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => None,
    }
}

/// Joins a socket's binary messages into a byte stream. The socket is closed when the stream is.
pub(crate) fn byte_stream(socket: Socket) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(far);
        let (mut sink, mut source) = socket.split();
        let to_stream = async {
            while let Some(Ok(message)) = source.next().await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
                if let Some(bytes) = payload(message)
                    && write.write_all(&bytes).await.is_err()
                {
                    break;
                }
            }
            // The other half may be gone already; then there is nobody left to tell.
            drop(write.shutdown().await);
        };
        let to_socket = async {
            let mut buffer = vec![0; 32 * 1024];
            while let Ok(count @ 1..) = read.read(&mut buffer).await {
                if sink.send(Message::Binary(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                    break;
                }
            }
            close(&mut sink).await;
        };
        tokio::join!(to_stream, to_socket);
    });
    near
}

/// Copies raw bytes between a stream of a client and a socket whose messages are raw bytes, until both directions ended.
pub(crate) async fn copy_raw(socket: Socket, mut incoming: impl Incoming, mut outgoing: impl Outgoing, counters: &Counters) {
    let (mut sink, mut source) = socket.split();
    let up = async {
        while let Some(bytes) = incoming.next().await {
            counters.add_in(bytes.len());
            if sink.send(Message::Binary(bytes)).await.is_err() {
                break;
            }
        }
        // An empty message is the half-close of the raw protocol: the kubelet shuts down its writing side.
        drop(sink.send(Message::Binary(Bytes::new())).await);
    };
    let down = async {
        while let Some(Ok(message)) = source.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
            let Some(bytes) = payload(message) else { continue };
            counters.add_out(bytes.len());
            if outgoing.write(bytes).await.is_err() {
                break;
            }
        }
        outgoing.finish().await;
    };
    tokio::pin!(up, down);
    let mut up_ended = false;
    loop {
        tokio::select! {
            () = &mut up, if !up_ended => up_ended = true,
            () = &mut down => break,
        }
    }
}

/// Where a client's bytes come from.
pub(crate) trait Incoming: Send {
    /// The next bytes, `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Where bytes for the client go.
pub(crate) trait Outgoing: Send {
    /// Writes.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = std::io::Result<()>> + Send;
    /// Says that no more will come.
    fn finish(&mut self) -> impl Future<Output = ()> + Send;
}
