//! Moving queries and responses: datagrams, and TCP messages with a length in front.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::answer::{Authority, answer};
use super::metrics::Metrics;
use super::records::Zone;

/// The largest response a client without EDNS takes in a datagram (RFC 1035).
const PLAIN_UDP: usize = 512;
/// How long a TCP client may be silent (RFC 7766 leaves it to us).
const IDLE: Duration = Duration::from_secs(10);
/// Most TCP clients at a time; more wait in the kernel's queue.
const MAX_CLIENTS: usize = 256;

/// The DNS server.
#[derive(Clone)]
pub struct Server {
    zone: Arc<dyn Zone>,
    authority: Arc<Authority>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Server {
    /// A server that answers from a zone.
    pub fn new(zone: Arc<dyn Zone>, authority: Authority) -> Server {
        Server { zone, authority: Arc::new(authority), metrics: Arc::default() }
    }

    /// Serve on sockets of the caller until `shutdown` is ready.
    ///
    /// # Errors
    /// When a socket fails for good.
    pub async fn serve(self, udp: UdpSocket, tcp: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        tokio::select! {
            result = self.serve_udp(&udp) => result,
            result = self.serve_tcp(&tcp) => result,
            () = shutdown => Ok(()),
        }
    }

    /// Show what was counted by HTTP at `/metrics`, for ever.
    ///
    /// # Errors
    /// When the socket fails for good.
    pub async fn serve_metrics(self, listener: TcpListener) -> io::Result<()> {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if clients.len() < MAX_CLIENTS => {
                    let (mut stream, _) = accepted?;
                    let metrics = Arc::clone(&self.metrics);
                    clients.spawn(async move {
                        let mut request = [0; 1024];
                        let Ok(Ok(length)) = tokio::time::timeout(IDLE, stream.read(&mut request)).await else { return };
                        let response = metrics.answer(&String::from_utf8_lossy(&request[..length]));
                        if let Err(error) = stream.write_all(response.as_bytes()).await {
                            tracing::debug!(%error, "nobody reads the metrics of DNS");
                        }
                    });
                }
                Some(ended) = clients.join_next() => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, "a client of DNS metrics failed");
                    }
                }
            }
        }
    }

    async fn serve_udp(&self, socket: &UdpSocket) -> io::Result<()> {
        let mut buffer = vec![0; 65_535];
        loop {
            let (length, client) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // A client that went away makes the kernel report its refusal here; it is not ours.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            if let Some(response) = self.respond(&buffer[..length], Some(PLAIN_UDP)) {
                self.send_udp(socket, &response, client).await;
            }
        }
    }

    async fn send_udp(&self, socket: &UdpSocket, response: &[u8], client: SocketAddr) {
        if let Err(error) = socket.send_to(response, client).await {
            tracing::debug!(%client, %error, "cannot send a DNS response");
        }
    }

    async fn serve_tcp(&self, listener: &TcpListener) -> io::Result<()> {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if clients.len() < MAX_CLIENTS => {
                    let (stream, client) = accepted?;
                    let server = self.clone();
                    clients.spawn(async move {
                        if let Err(error) = server.serve_client(stream).await {
                            tracing::debug!(%client, %error, "DNS client over TCP ended");
                        }
                    });
                }
                Some(ended) = clients.join_next() => {
                    if let Err(error) = ended {
                        tracing::warn!(%error, "DNS client task failed");
                    }
                }
            }
        }
    }

    async fn serve_client(&self, mut stream: TcpStream) -> io::Result<()> {
        loop {
            let read = async {
                let length = stream.read_u16().await?;
                let mut query = vec![0; usize::from(length)];
                stream.read_exact(&mut query).await?;
                io::Result::Ok(query)
            };
            let query = match tokio::time::timeout(IDLE, read).await {
                Ok(Ok(query)) => query,
                Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(()),
            };
            let Some(response) = self.respond(&query, None) else { return Ok(()) };
            let mut framed = u16::try_from(response.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
            framed.extend_from_slice(&response);
            stream.write_all(&framed).await?;
        }
    }

    /// The response to the bytes of a query; `None` when not even its number can be read.
    fn respond(&self, query: &[u8], datagram: Option<usize>) -> Option<Vec<u8>> {
        let Ok(query) = Message::from_vec(query) else {
            let id = u16::from_be_bytes([*query.first()?, *query.get(1)?]);
            return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
        };
        if query.metadata.message_type != MessageType::Query {
            return None;
        }
        let response = answer(&query, &self.zone.snapshot(), &self.authority);
        let kind = query.queries.first().map(hickory_proto::op::Query::query_type);
        self.metrics.count(if datagram.is_some() { "udp" } else { "tcp" }, kind, response.metadata.response_code);
        let bytes = response.to_vec().ok()?;
        let limit = datagram.map(|plain| query.edns.as_ref().map_or(plain, |edns| usize::from(edns.max_payload()).clamp(plain, 4096)));
        match limit {
            Some(limit) if bytes.len() > limit => response.truncate().to_vec().ok(),
            Some(_) | None => Some(bytes),
        }
    }
}
