//! The browser pane: web pages of the learner's cluster, each under an origin of its own.
//!
//! `http://p8080.localhost:4747` is what the workstation finds at its `localhost:8080`; `http://p80.web.default.localhost:4747` is port 80 of
//! the Service `web` in `default`. Names below `localhost` lead to this machine in every browser. No cookie of ours belongs to them, what
//! they serve cannot reach the page, and other sites may link to them but not post.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::page::escape;
use crate::routes::Shared;

/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Headers that belong to one connection.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A connection, whatever it goes through.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What a pane shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A port of the workstation's `localhost`.
    Local(u16),
    /// A port of a Service.
    Service {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Port of the Service.
        port: u16,
    },
}

impl Target {
    /// From a host name and the port of the page, as `p8080.localhost:4747`.
    fn of_host(host: &str, page: u16) -> Option<Target> {
        let label = host.strip_suffix(&format!(":{page}"))?.strip_suffix(".localhost")?;
        let mut parts = label.strip_prefix('p')?.split('.');
        let digits = parts.next()?;
        let port = digits.parse().ok().filter(|port| *port > 0 && !digits.starts_with(['0', '+']))?;
        let plain = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => Some(Target::Local(port)),
            (Some(name), Some(namespace), None) if plain(&name) && plain(&namespace) => {
                Some(Target::Service { namespace: namespace.to_owned(), name: name.to_owned(), port })
            }
            _ => None,
        }
    }
}

/// The label of its host name.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Local(port) => write!(f, "p{port}"),
            Target::Service { namespace, name, port } => write!(f, "p{port}.{name}.{namespace}"),
        }
    }
}

/// A document that a pane has loaded: the page cannot look into another origin, so it is told.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Visit {
    /// `p8080`.
    pane: String,
    /// Path and query.
    path: String,
    status: u16,
    reason: &'static str,
    headers: Vec<(String, String)>,
}

/// Requests for a pane never reach the routes of the page.
pub(crate) async fn divert(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    match host.and_then(|host| Target::of_host(host, shared.guard.port)) {
        None => next.run(request).await,
        Some(_) if !shared.guard.knows_user(&request) => (StatusCode::FORBIDDEN, "this Drydock was started by another user of this machine").into_response(),
        Some(_) if is_pushed(&request) => (StatusCode::FORBIDDEN, "other sites may link here, no more").into_response(),
        Some(target) => serve(&shared, &target, request).await,
    }
}

/// Another site makes the browser ask, and not by a link or a frame.
fn is_pushed(request: &Request) -> bool {
    let says = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let elsewhere = matches!(says("sec-fetch-site"), "cross-site" | "same-site");
    elsewhere && !(*request.method() == Method::GET && says("sec-fetch-mode") == "navigate")
}

async fn serve(shared: &Shared, target: &Target, request: Request) -> Response {
    let shown = matches!(request.headers().get("sec-fetch-dest").map(HeaderValue::as_bytes), Some(b"iframe" | b"document"));
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str).to_owned();
    let response = match forward(shared, target, request).await {
        Ok(response) => response,
        Err(why) => refused(target, &why),
    };
    // A redirect is only on the way.
    if shown && !response.headers().contains_key(header::LOCATION) {
        let (status, headers) = (response.status(), response.headers());
        let headers = headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let visit = Visit { pane: target.to_string(), path, status: status.as_u16(), reason: status.canonical_reason().unwrap_or_default(), headers: headers.collect() };
        // Nobody may be looking.
        shared.visits.send(visit).unwrap_or_default();
    }
    response
}

async fn forward(shared: &Shared, target: &Target, mut request: Request) -> Result<Response, String> {
    let dialed = tokio::time::timeout(CONNECT, shared.config.workbench.dial(target)).await;
    let connection = dialed.map_err(|_| "nobody answers".to_owned())??;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(connection)).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a pane's connection ended");
        }
    });
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let client = hyper::upgrade::on(&mut request);
    outward(target, shared.guard.port, upgrade.as_ref(), &mut request);
    let mut response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let Ok((client, server)) = tokio::try_join!(client, server) else { return };
            if let Err(error) = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await {
                tracing::debug!(%error, "a pane's socket ended");
            }
        });
        return Ok(response.map(Body::new));
    }
    inward(target, response.headers_mut());
    Ok(response.map(Body::new))
}

/// The name under which the learner knows it.
fn authority(target: &Target) -> String {
    match target {
        Target::Local(80) => "localhost".to_owned(),
        Target::Local(port) => format!("localhost:{port}"),
        Target::Service { name, port: 80, .. } => name.clone(),
        Target::Service { name, port, .. } => format!("{name}:{port}"),
    }
}

/// A request as the program would get it from a browser on the workstation.
fn outward(target: &Target, page: u16, upgrade: Option<&HeaderValue>, request: &mut Request) {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    *request.uri_mut() = path.parse::<Uri>().unwrap_or_default();
    let authority = authority(target);
    let headers = request.headers_mut();
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, upgrade.clone());
    }
    let own = format!("http://{target}.localhost:{page}");
    for name in [header::ORIGIN, header::REFERER] {
        let told = headers.get(&name).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix(&own)).map(|rest| format!("http://{authority}{rest}"));
        match told.and_then(|told| HeaderValue::from_str(&told).ok()) {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
    // A cookie of the page does not come here; should one ever, it goes no further.
    let cookies: Vec<&str> = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';')).collect();
    let kept: Vec<&str> = cookies.into_iter().map(str::trim).filter(|pair| !pair.starts_with("drydock-")).collect();
    let kept = HeaderValue::from_str(&kept.join("; ")).ok().filter(|value| !value.is_empty());
    headers.remove(header::COOKIE);
    if let Some(kept) = kept {
        headers.insert(header::COOKIE, kept);
    }
    if let Ok(host) = HeaderValue::from_str(&authority) {
        headers.insert(header::HOST, host);
    }
}

/// An answer as the pane can show it: it may be framed, and its redirects stay in it.
fn inward(target: &Target, headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::X_FRAME_OPTIONS);
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let own = [format!("http://{}", authority(target)), authority(target).replace("localhost", "http://127.0.0.1")];
    let stays = own.iter().find_map(|own| location.strip_prefix(own)).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    if let Some(value) = stays.and_then(|rest| HeaderValue::from_str(if rest.is_empty() { "/" } else { rest }).ok()) {
        headers.insert(header::LOCATION, value);
    }
}

fn refused(target: &Target, why: &str) -> Response {
    let (what, next) = match target {
        Target::Local(port) => (
            format!("Nothing answers at localhost:{port}"),
            "Is the port-forward still running in its terminal? Does a LoadBalancer Service have this port?".to_owned(),
        ),
        Target::Service { namespace, name, port } => (
            format!("The Service {name} does not answer on port {port}"),
            format!("Has it endpoints that are ready? <code>kubectl get endpointslices -n {}</code> tells.", escape(namespace)),
        ),
    };
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\"><title>{what}</title>\
         <style>body{{font:16px/1.55 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}}h1{{font-size:1.3rem;margin:0 0 .5rem}}p{{margin:0 0 .75rem}}small{{opacity:.75}}</style>\
         <h1>{what}</h1><p>{next}</p><p><small>{}</small></p>",
        escape(why),
        what = escape(&what)
    );
    (StatusCode::BAD_GATEWAY, [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Target {
        Target::Service { namespace: "default".into(), name: "web".into(), port: 80 }
    }

    #[test]
    fn a_host_name_says_what_is_shown() {
        let cases = [
            ("p8080.localhost:4747", Some(Target::Local(8080))),
            ("p80.web.default.localhost:4747", Some(service())),
            ("localhost:4747", None),
            ("127.0.0.1:4747", None),
            ("p8080.localhost:80", None),
            ("p8080.localhost", None),
            ("p0.localhost:4747", None),
            ("p08.localhost:4747", None),
            ("p99999.localhost:4747", None),
            ("p8080.evil.example:4747", None),
            ("p80.web.localhost:4747", None),
            ("p80.web.default.x.localhost:4747", None),
            ("p80.we%2fb.default.localhost:4747", None),
        ];
        for (host, wanted) in cases {
            assert_eq!(Target::of_host(host, 4747), wanted, "{host}");
            if let Some(target) = wanted {
                assert_eq!(format!("{target}.localhost:4747"), host);
            }
        }
    }

    #[test]
    fn a_program_sees_a_browser_on_the_workstation() {
        let request = Request::get("http://p8080.localhost:4747/a?b=c").header("host", "p8080.localhost:4747").header("cookie", "theme=dark; drydock-4747=secret; a=b");
        let request = request.header("origin", "http://p8080.localhost:4747").header("referer", "http://127.0.0.1:4747/ch02").header("connection", "close");
        let mut request = request.body(Body::empty()).unwrap();
        outward(&Target::Local(8080), 4747, None, &mut request);
        assert_eq!(request.uri(), "/a?b=c");
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("host"), Some("localhost:8080"));
        assert_eq!(header("cookie"), Some("theme=dark; a=b"));
        assert_eq!(header("origin"), Some("http://localhost:8080"));
        assert_eq!((header("referer"), header("connection")), (None, None));
    }

    #[test]
    fn redirects_stay_in_the_pane() {
        let cases = [
            (Target::Local(8080), "http://localhost:8080/new", "/new"),
            (Target::Local(8080), "http://127.0.0.1:8080", "/"),
            (Target::Local(8080), "http://localhost:80801/new", "http://localhost:80801/new"),
            (Target::Local(8080), "/list", "/list"),
            (service(), "http://web/list", "/list"),
        ];
        for (target, location, wanted) in cases {
            let mut headers = HeaderMap::from_iter([(header::LOCATION, location.parse().unwrap()), (header::X_FRAME_OPTIONS, "DENY".parse().unwrap())]);
            inward(&target, &mut headers);
            assert_eq!(headers[header::LOCATION], wanted);
            assert_eq!(headers.len(), 1);
        }
    }

    #[test]
    fn other_sites_may_link_but_not_post() {
        let cases = [("GET", "cross-site", "navigate", false), ("POST", "cross-site", "navigate", true), ("GET", "cross-site", "no-cors", true), ("POST", "same-origin", "cors", false)];
        for (method, site, mode, wanted) in cases {
            let request = Request::builder().method(method).header("sec-fetch-site", site).header("sec-fetch-mode", mode).body(Body::empty()).unwrap();
            assert_eq!(is_pushed(&request), wanted, "{method} {site} {mode}");
        }
    }
}
