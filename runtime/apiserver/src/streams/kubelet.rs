//! The client's side of the kubelet's API: plain requests and WebSockets over a dialed stream, HTTP/1.1.

use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use drydock_api::status::Status;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::websocket::{Socket, socket};
use crate::body::{self, Body};
use crate::config::{Dial, Target};

const MAX_REFUSAL: usize = 64 * 1024;

/// Why a kubelet did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeletError {
    /// It could not be reached.
    #[error("error dialing backend: {0}")]
    Dial(#[source] std::io::Error),
    /// The connection broke.
    #[error("error sending request to the kubelet: {0}")]
    Http(#[from] hyper::Error),
    /// It said no.
    #[error("{text}")]
    Refused {
        /// Its HTTP status.
        code: StatusCode,
        /// Its words.
        text: String,
    },
}

impl From<KubeletError> for Status {
    fn from(error: KubeletError) -> Status {
        Status::internal(error)
    }
}

/// Sends one request; the response may still be streaming when this returns.
pub(crate) async fn send(dial: &Arc<dyn Dial>, target: Target, mut request: Request<Body>) -> Result<Response<Incoming>, KubeletError> {
    let host = match &target {
        Target::Kubelet { node, address, port } => format!("{}:{port}", if address.is_empty() { node } else { address }),
        Target::Tcp { host, port } => format!("{host}:{port}"),
    };
    let stream = dial.dial(target).await.map_err(KubeletError::Dial)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "connection to a node ended");
        }
    });
    if let Ok(host) = host.parse()
        && !request.headers().contains_key(header::HOST)
    {
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(sender.send_request(request).await?)
}

/// A plain GET whose refusals are errors.
pub(crate) async fn get(dial: &Arc<dyn Dial>, target: Target, path: &str) -> Result<Response<Incoming>, KubeletError> {
    let response = send(dial, target, Request::get(path).body(body::empty()).map_err(malformed)?).await?;
    if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
}

/// A WebSocket with a subprotocol.
pub(crate) async fn websocket(dial: &Arc<dyn Dial>, target: Target, path: &str, protocol: Option<&str>) -> Result<Socket, KubeletError> {
    let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 16]>());
    let mut request = Request::get(path)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, key);
    if let Some(protocol) = protocol {
        request = request.header(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let response = send(dial, target, request.body(body::empty()).map_err(malformed)?).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(response).await);
    }
    Ok(socket(hyper::upgrade::on(response).await?, Role::Client).await)
}

fn malformed(error: http::Error) -> KubeletError {
    KubeletError::Refused { code: StatusCode::BAD_REQUEST, text: error.to_string() }
}

async fn refused(response: Response<Incoming>) -> KubeletError {
    let code = response.status();
    let text = match Limited::new(response.into_body(), MAX_REFUSAL).collect().await {
        Ok(collected) => String::from_utf8_lossy(&Bytes::from(collected.to_bytes())).trim_end().to_owned(),
        Err(error) => error.to_string(),
    };
    // A kubelet may answer with a Status; its message is what counts.
    let message = serde_json::from_str::<serde_json::Value>(&text).ok().and_then(|status| status["message"].as_str().map(str::to_owned));
    KubeletError::Refused { code, text: message.unwrap_or(text) }
}
