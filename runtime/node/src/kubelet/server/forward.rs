//! Port-forward: a WebSocket whose binary messages are the bytes of one connection to a port of a Pod.
//!
//! The connection is made from inside the Pod's network namespace, so it reaches what listens on its loopback. An empty message is a
//! half-close.

// upstream: containerd internal/cri/server/sandbox_portforward_linux.go (the words of its errors)

use std::net::{Ipv4Addr, SocketAddr};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Path, RawQuery, State, WebSocketUpgrade};
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Query, Refusal, Shared};
use crate::init::protocol::Netns;
use crate::kubelet::records::SANDBOX;

pub(super) async fn serve(
    State(node): Shared,
    Path((namespace, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let port = Query::parse(query.as_deref()).get("port").and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let port = port.ok_or_else(|| Refusal::bad("query parameter \"port\" is required"))?;
    let sandbox = node.records.find(&namespace, &name, None, SANDBOX);
    let sandbox = sandbox.ok_or_else(|| Refusal::missing(format!("pod not found (\"{name}_{namespace}\")")))?;
    let id = sandbox.record.id;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = node.init.dial(Netns::Sandbox(id.clone()), to).await.map_err(|error| {
        let netns = format!("/var/run/netns/cni-{}", &id[..12.min(id.len())]);
        let words = match error.raw_os_error() {
            Some(number) => drydock_container::error::describe(nix::errno::Errno::from_raw(number)),
            None => error.to_string(),
        };
        Refusal::internal(format!(
            "failed to execute portforward in network namespace \"{netns}\": failed to connect to localhost:{port} inside namespace \"{id}\", \
             IPv4: dial tcp4 127.0.0.1:{port}: connect: {words} IPv6 dial tcp6: address localhost: no suitable address found "
        ))
    })?;
    Ok(upgrade.on_upgrade(move |socket| copy(socket, stream)))
}

async fn copy(socket: WebSocket, stream: TcpStream) {
    let (mut sink, mut source) = socket.split();
    let (mut reader, mut writer) = stream.into_split();
    let up = async move {
        while let Some(Ok(message)) = source.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Text(text) => Bytes::from(text),
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return Stop::Gone,
            };
            let done = if bytes.is_empty() { writer.shutdown().await } else { writer.write_all(&bytes).await };
            if done.is_err() {
                return Stop::Server;
            }
        }
        Stop::Gone
    };
    let down = async {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if sink.send(Message::Binary(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                return;
            }
        }
        drop(sink.close().await);
    };
    let mut up = Box::pin(up);
    let mut down = Box::pin(down);
    tokio::select! {
        stop = &mut up => match stop {
            // What the Pod still sends has a reader.
            Stop::Server => down.await,
            Stop::Gone => {}
        },
        () = &mut down => {}
    }
}

enum Stop {
    Gone,
    Server,
}
