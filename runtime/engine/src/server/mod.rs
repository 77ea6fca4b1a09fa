//! The engine's side: the routes of the API, with or without a version in front.
//!
//! * `find` turns what a person typed into a container, `filters` narrows lists.
//! * `containers`, `logs`, `images`, `system` answer one group of routes each.
//!
//! Paths are taken apart by hand: image names contain slashes, and a version may stand before anything.

mod containers;
mod error;
mod filters;
mod find;
mod images;
mod logs;
mod signals;
mod system;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, Method, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::UnixListener;

use crate::API_VERSION;
use crate::runtime::Runtime;
use error::ApiError;

/// Answer the API on a unix socket for ever.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: UnixListener, runtime: Arc<dyn Runtime>) -> io::Result<()> {
    axum::serve(listener, Router::new().fallback(answer).with_state(runtime)).await
}

/// Parameters behind the question mark.
struct Parameters(HashMap<String, String>);

impl Parameters {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    // upstream: daemon/server/httputils/form.go, BoolValue
    fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name).trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }
}

async fn answer(State(runtime): State<Arc<dyn Runtime>>, method: Method, uri: Uri, parameters: Query<HashMap<String, String>>) -> Response {
    let path: Vec<String> = uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let parts = match parts.as_slice() {
        [version, rest @ ..] if is_version(version) => rest,
        all => all,
    };
    tracing::debug!(%method, %uri, "docker");
    let mut response = match route(&*runtime, &method, parts, &Parameters(parameters.0)).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert("Api-Version", HeaderValue::from_static(API_VERSION));
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    headers.insert("Server", HeaderValue::from_static("Docker/drydock (linux)"));
    response
}

async fn route(runtime: &dyn Runtime, method: &Method, path: &[&str], parameters: &Parameters) -> Result<Response, ApiError> {
    match (method.as_str(), path) {
        ("GET" | "HEAD", ["_ping"]) => Ok(system::ping()),
        ("GET", ["version"]) => Ok(system::version(runtime)),
        ("GET", ["info"]) => Ok(system::info(runtime)),
        ("GET", ["containers", "json"]) => containers::list(runtime, parameters),
        ("GET", ["containers", id, "json"]) => containers::inspect(runtime, id),
        ("GET", ["containers", id, "logs"]) => logs::read(runtime, id, parameters).await,
        ("DELETE", ["containers", id]) => containers::remove(runtime, id, parameters).await,
        ("POST", ["containers", id, "kill"]) => containers::kill(runtime, id, parameters).await,
        ("POST", ["containers", id, "stop"]) => containers::stop(runtime, id, parameters).await,
        ("GET", ["images", "json"]) => images::list(runtime, parameters),
        ("GET", ["images", name @ .., "json"]) => images::inspect(runtime, &name.join("/")),
        ("POST" | "PUT" | "DELETE", ["containers" | "images" | "networks" | "volumes" | "build" | "exec" | "commit", ..]) => Err(ApiError::not_ours()),
        _ => Err(ApiError::no_route()),
    }
}

fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

/// Undo percent encoding; what is not text stays as it is.
fn decode(part: &str) -> String {
    let (bytes, mut decoded, mut at) = (part.as_bytes(), Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = (*byte == b'%').then(|| part.get(at + 1..at + 3)).flatten().and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(hex.unwrap_or(*byte));
        at += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| part.to_owned())
}
