//! Web sockets of the lab API: processes and connections.

use bytes::Bytes;
use drydock_apiserver::body::{self, Body};
use drydock_container::TerminalSize;
use futures::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Answer, Query, Refusal};
use crate::control_plane::Plant;
use crate::workstation::{ExecRequest, Seat};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// `workstations/main/exec`
pub(super) fn exec(workstation: Seat, query: &Query, request: Request<Body>) -> Answer {
    let exec = exec_request(query);
    upgrade(request, move |socket| async move { workstation.serve(exec, socket).await })
}

fn exec_request(query: &Query) -> ExecRequest {
    let number = |key| query.get(key).and_then(|text| text.parse::<u16>().ok()).filter(|number| *number > 0);
    ExecRequest {
        command: query.all("command"),
        session: query.get("session").map(str::to_owned),
        tty: query.flag("tty"),
        size: number("cols").zip(number("rows")).map(|(cols, rows)| TerminalSize { rows, cols }),
        cwd: query.get("cwd").unwrap_or_default().to_owned(),
        env: query.all("env"),
    }
}

/// `nodes/NAME/exec`
pub(super) async fn node_exec(plant: &Plant, node: &str, query: &Query, request: Request<Body>) -> Answer {
    let shell = plant.node_shell(node).await.map_err(Refusal::not_found)?;
    let exec = exec_request(query);
    upgrade(request, move |socket| async move { shell.serve(exec, socket).await })
}

/// `workstations/main/dial`
pub(super) async fn dial(workstation: Seat, query: &Query, request: Request<Body>) -> Answer {
    let host = query.get("host").ok_or_else(|| Refusal::bad_request("host is missing"))?;
    let port = query.get("port").and_then(|port| port.parse().ok()).ok_or_else(|| Refusal::bad_request("port is missing or no number"))?;
    let connection = workstation.dial(host, port).await;
    let connection = connection.map_err(|error| Refusal::new(StatusCode::BAD_GATEWAY, "DialFailed", format!("dial {host}:{port}: {error}")))?;
    upgrade(request, move |socket| relay(socket, connection))
}

async fn relay(socket: Socket, connection: TcpStream) {
    let (mut read, mut write) = connection.into_split();
    let (mut sink, mut source) = socket.split();
    let inward = async move {
        while let Some(Ok(message)) = source.next().await {
            let Message::Binary(bytes) = message else { continue };
            if write.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    let outward = async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if sink.send(Message::Binary(Bytes::copy_from_slice(&buffer[..length]))).await.is_err() {
                return;
            }
        }
        if let Err(error) = sink.close().await {
            tracing::debug!(%error, "close");
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}

/// Answer with a web socket and hand it to `serve`.
fn upgrade<F>(mut request: Request<Body>, serve: impl FnOnce(Socket) -> F + Send + 'static) -> Answer
where
    F: Future<Output = ()> + Send + 'static,
{
    let headers = request.headers();
    let key = headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| Refusal::bad_request("this path speaks WebSocket only"))?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(Refusal::internal)?;
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let protocol = offered.split(',').map(str::trim).find(|protocol| *protocol == "v5.channel.k8s.io").map(str::to_owned);
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgraded.await {
            Ok(stream) => serve(WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await).await,
            Err(error) => tracing::debug!(%error, "upgrade"),
        }
    });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert("sec-websocket-accept", accept);
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(&protocol).map_err(Refusal::internal)?);
    }
    Ok(response)
}
