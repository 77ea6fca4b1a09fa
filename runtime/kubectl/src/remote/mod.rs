//! Connections that stay open: commands in containers, forwarded ports.
//!
//! [`upgrade`] makes a WebSocket out of a request; [`command`] speaks the channels of exec and attach over it, [`tunnel`] SPDY streams for
//! port-forward; [`terminal`] makes the reader's terminal raw and watches its size.

pub mod command;
pub mod terminal;
pub mod tunnel;

use base64::Engine as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

/// A connection that no longer speaks HTTP.
pub type Connection = TokioIo<Upgraded>;
/// A WebSocket to the server.
pub type Socket = WebSocketStream<Connection>;

/// Open a WebSocket that speaks one of these protocols.
// upstream: client-go/transport/websocket/roundtripper.go
pub async fn upgrade(factory: &Factory, call: &Call, protocols: &[&str]) -> Result<(Socket, String), Failure> {
    let key = base64::engine::general_purpose::STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(call.target())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, key);
    for protocol in protocols {
        request = request.header(header::SEC_WEBSOCKET_PROTOCOL, *protocol);
    }
    let (connection, protocol) = switch(factory, request, header::SEC_WEBSOCKET_PROTOCOL).await?;
    Ok((WebSocketStream::from_raw_socket(connection, Role::Client, None).await, protocol))
}

/// Open a connection that carries SPDY without a WebSocket around it, as servers before 1.30 want it.
// upstream: apimachinery/pkg/util/httpstream/spdy/roundtripper.go
pub async fn upgrade_to_spdy(factory: &Factory, call: &Call, protocol: &str) -> Result<(Connection, String), Failure> {
    const VERSION: header::HeaderName = header::HeaderName::from_static("x-stream-protocol-version");
    let request = Request::builder().method(Method::POST).uri(call.target()).header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "SPDY/3.1").header(VERSION, protocol);
    switch(factory, request, VERSION).await
}

/// Ask for another protocol: the connection, and what the server calls what is spoken on it in this header.
async fn switch(factory: &Factory, request: http::request::Builder, spoken: header::HeaderName) -> Result<(Connection, String), Failure> {
    let request = request.body(Body::empty()).map_err(|error| Failure::new(error.to_string()))?;
    let rest = factory.rest().await?;
    rest.reachable()?;
    let response = rest.client.send(request).await.map_err(|error| rest.unreachable(&error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(response).await);
    }
    let protocol = response.headers().get(spoken).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| Failure::new(format!("error upgrading connection: {error}")))?;
    Ok((TokioIo::new(upgraded), protocol))
}

/// What the server said instead of upgrading.
async fn refused(response: http::Response<Body>) -> Failure {
    let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match serde_json::from_slice::<Value>(&body) {
        Ok(status) if status["kind"] == "Status" => Failure::Status(Box::new(status)),
        _ => Failure::new(format!("unable to upgrade connection: {}", String::from_utf8_lossy(&body).trim())),
    }
}
