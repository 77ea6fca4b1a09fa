//! HTTP to the engine, over a unix socket or TCP.

use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::API_VERSION;

/// Where the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Unix(PathBuf),
    Tcp(String),
}

impl Host {
    /// `unix:///path`, `tcp://host:port`.
    pub(super) fn parse(text: &str) -> Result<Host, String> {
        let kind = match text.split_once("://") {
            Some(("unix", path)) => Kind::Unix(path.into()),
            Some(("tcp" | "http", address)) => {
                let address = address.trim_end_matches('/');
                Kind::Tcp(if address.contains(':') { address.to_owned() } else { format!("{address}:2375") })
            }
            _ => return Err(format!("unable to parse docker host `{text}`")),
        };
        Ok(Host { text: text.to_owned(), kind })
    }
}

/// Why there is no answer, or not the one hoped for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody listens.
    #[error("Cannot connect to the Docker daemon at {0}. Is the docker daemon running?")]
    NoDaemon(String),
    /// The socket is not for this user.
    #[error("permission denied while trying to connect to the Docker daemon socket at {0}")]
    NotAllowed(String),
    /// The engine refused.
    #[error("Error response from daemon: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Why.
        message: String,
    },
    /// The conversation broke off.
    #[error("error during connect: {0}")]
    Broken(String),
}

impl ClientError {
    /// Whether what was asked for does not exist.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, ClientError::Refused { status: 404, .. })
    }
}

/// A client of one engine.
#[derive(Debug, Clone)]
pub(super) struct Client {
    host: Host,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Client {
    pub(super) fn new(host: Host) -> Client {
        Client { host }
    }

    /// An answer that is there, its body yet to come.
    pub(super) async fn send(&self, method: Method, path: &str) -> Result<Response<Incoming>, ClientError> {
        let request = Request::builder().method(method).uri(format!("/v{API_VERSION}{path}")).header(HOST, "docker");
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| ClientError::Broken(error.to_string()))?;
        let response = match &self.host.kind {
            Kind::Unix(path) => exchange(UnixStream::connect(path).await.map_err(|error| self.unreachable(&error))?, request).await?,
            Kind::Tcp(address) => exchange(TcpStream::connect(address).await.map_err(|error| self.unreachable(&error))?, request).await?,
        };
        if response.status().as_u16() < 400 {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = collect(response).await?;
        let message = serde_json::from_slice::<Refusal>(&body).map_or_else(|_| String::from_utf8_lossy(&body).trim().to_owned(), |refusal| refusal.message);
        Err(ClientError::Refused { status, message })
    }

    /// The whole body of an answer.
    pub(super) async fn bytes(&self, method: Method, path: &str) -> Result<Bytes, ClientError> {
        collect(self.send(method, path).await?).await
    }

    /// The body of an answer, understood.
    pub(super) async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.bytes(Method::GET, path).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Broken(format!("cannot understand the engine: {error}")))
    }

    fn unreachable(&self, error: &std::io::Error) -> ClientError {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => ClientError::NotAllowed(self.host.text.clone()),
            _ => ClientError::NoDaemon(self.host.text.clone()),
        }
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, ClientError> {
    let broken = |error: hyper::Error| ClientError::Broken(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(async move {
        // What breaks here also breaks the body, whose reader says so.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the engine ended");
        }
    });
    sender.send_request(request).await.map_err(broken)
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    response.into_body().collect().await.map(http_body_util::Collected::to_bytes).map_err(|error| ClientError::Broken(error.to_string()))
}

/// A text as part of a path or a query.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// `--filter` values as the API takes them.
pub(super) fn filters(given: &[String]) -> Result<String, String> {
    let mut map = serde_json::Map::new();
    for filter in given {
        // upstream: opts/opts.go, FilterOpt.Set
        let Some((name, value)) = filter.split_once('=') else {
            return Err(format!("invalid argument {filter:?} for \"-f, --filter\" flag: bad format of filter (expected name=value)"));
        };
        let set = map.entry(name.trim().to_ascii_lowercase()).or_insert_with(|| serde_json::json!({}));
        set[value.trim()] = true.into();
    }
    Ok(if map.is_empty() { String::new() } else { serde_json::Value::Object(map).to_string() })
}
