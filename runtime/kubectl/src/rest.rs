//! Requests to the server, with the headers of stock kubectl, and its answers.
//!
//! One [`Call`] is one request. An answer other than 2xx is a [`Failure::Status`]; a server that cannot be reached is told as stock kubectl
//! tells it. The kube client below carries TLS, credentials and upgrades; it knows no kinds.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::io::AsyncBufRead;

use crate::connect::Refused;
use crate::failure::{Failure, Lost};
use crate::streams::Streams;
use crate::trace::Trace;

/// Objects as they are.
pub const JSON: &str = "application/json";
/// Rows for people, or objects where the server has no rows.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
/// What a path has, whichever type that is of.
pub const ANYTHING: &str = "application/json, */*";
/// A JSON patch.
pub const JSON_PATCH: &str = "application/json-patch+json";
/// A merge patch.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// A strategic merge patch.
pub const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
/// A server-side apply patch.
pub const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// What is said when `--request-timeout` is over.
// upstream: net/http/client.go; its context may end first, and then it says "context deadline exceeded" alone
const TIMED_OUT: &str = "net/http: request canceled (Client.Timeout exceeded while awaiting headers)";
/// How often an answer may lead elsewhere.
// upstream: net/http/client.go defaultCheckRedirect
const REDIRECTS: usize = 10;

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its verb.
    pub method: Method,
    /// Its path, from `/`.
    pub path: String,
    /// Its parameters.
    pub query: Vec<(String, String)>,
    /// What it wants back.
    pub accept: &'static str,
    /// What it sends and of which type.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Call {
    /// A request without parameters and body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), accept: JSON, body: None }
    }

    /// GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// With a parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// With a parameter, unless it is empty.
    #[must_use]
    pub fn query_some(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.query(name, value) }
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.body(JSON, value.to_string().into_bytes())
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, kind: &'static str, bytes: Vec<u8>) -> Self {
        self.body = Some((kind, bytes));
        self
    }

    /// Wanting another representation.
    #[must_use]
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Path and parameters.
    pub fn target(&self) -> String {
        let mut target = self.path.clone();
        for (index, (name, value)) in self.query.iter().enumerate() {
            target.push(if index == 0 && !self.path.contains('?') { '?' } else { '&' });
            target.push_str(&encode(name));
            target.push('=');
            target.push_str(&encode(value));
        }
        target
    }
}

/// Go's `url.QueryEscape`.
pub fn encode(text: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');
    percent_encoding::utf8_percent_encode(text, KEPT).to_string().replace(' ', "+")
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its code.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The connection to a server.
pub struct Rest {
    /// The client below; for upgrades.
    pub client: kube::Client,
    /// `https://host:port`, with the path prefix the kubeconfig may have.
    pub server: String,
    timeout: Option<Duration>,
    verbosity: i64,
    /// What `-v` shows of our headers.
    pub identity: Vec<(String, String)>,
    /// What was asked last: `Get "https://host/api"`.
    asked: RefCell<String>,
    /// Why no request can be sent, when that is known before.
    pub refused: Option<String>,
    warned: RefCell<Vec<String>>,
}

impl Rest {
    /// Around a client.
    pub fn new(client: kube::Client, server: String, timeout: Option<Duration>, verbosity: i64) -> Self {
        Self { client, server, timeout, verbosity, identity: Vec::new(), asked: RefCell::default(), refused: None, warned: RefCell::new(Vec::new()) }
    }

    /// `host:port` of the server.
    pub fn host(&self) -> String {
        let rest = self.server.split_once("://").map_or(self.server.as_str(), |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// Whether warnings were shown.
    pub fn warnings(&self) -> usize {
        self.warned.borrow().len()
    }

    /// The answer as an object.
    pub async fn value(&self, streams: &Streams, call: Call) -> Result<Value, Failure> {
        let answer = self.bytes(streams, call).await?;
        serde_json::from_slice(&answer).map_err(|error| Failure::new(format!("the server's answer is no JSON: {error}")))
    }

    /// The answer's bytes.
    pub async fn bytes(&self, streams: &Streams, call: Call) -> Result<Bytes, Failure> {
        let answer = self.answer(streams, call).await?;
        Ok(answer.body)
    }

    /// The whole answer, when it is 2xx.
    pub async fn answer(&self, streams: &Streams, call: Call) -> Result<Answer, Failure> {
        let work = async {
            let response = self.send(streams, call.clone()).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| self.unreachable(&error))?.to_bytes();
            self.trace(streams, &call).answered(&body);
            if parts.status.is_success() {
                return Ok(Answer { status: parts.status, headers: parts.headers, body });
            }
            Err(status(parts.status, &body, &call))
        };
        self.in_time(work).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match self.timeout {
            Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(self.lost(TIMED_OUT))),
            None => work.await,
        }
    }

    /// An answer that goes on, line by line.
    pub async fn stream(&self, streams: &Streams, call: Call) -> Result<impl AsyncBufRead + Unpin + use<>, Failure> {
        let response = self.in_time(self.send(streams, call.clone())).await?;
        if !response.status().is_success() {
            let code = response.status();
            let body = response.into_body().collect().await.map_err(|error| self.unreachable(&error))?.to_bytes();
            return Err(status(code, &body, &call));
        }
        let limit = self.timeout;
        let end = async move {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let frames = response.into_body().into_data_stream().map_err(|error| broken(&error)).take_until(end);
        Ok(tokio_util::io::StreamReader::new(Box::pin(frames)))
    }

    /// The answer, from wherever on this server it is found.
    async fn send(&self, streams: &Streams, call: Call) -> Result<http::Response<Body>, Failure> {
        let mut next = call.clone();
        for _ in 0..=REDIRECTS {
            let response = self.send_once(streams, &next).await?;
            match self.elsewhere(&next, &response) {
                Some(path) => next = Call { path, query: Vec::new(), ..call.clone() },
                None => return Ok(response),
            }
        }
        Err(self.lost(&format!("stopped after {REDIRECTS} redirects")))
    }

    /// Where on this server the answer is, when it is elsewhere.
    fn elsewhere(&self, call: &Call, response: &http::Response<Body>) -> Option<String> {
        if call.method != Method::GET || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = response.headers().get(http::header::LOCATION)?.to_str().ok()?;
        let path = location.strip_prefix(&self.server).unwrap_or(location);
        (path.starts_with('/') && !path.starts_with("//")).then(|| path.to_owned())
    }

    async fn send_once(&self, streams: &Streams, call: &Call) -> Result<http::Response<Body>, Failure> {
        let mut request = Request::builder().method(call.method.clone()).uri(call.target()).header(http::header::ACCEPT, call.accept);
        let bytes = match &call.body {
            Some((kind, bytes)) => {
                request = request.header(http::header::CONTENT_TYPE, *kind);
                bytes.clone()
            }
            None => Vec::new(),
        };
        let trace = self.trace(streams, call);
        trace.request(&bytes);
        *self.asked.borrow_mut() = format!("{} \"{}{}\"", verb(&call.method), self.server, call.target());
        self.reachable()?;
        let request = request.body(Body::from(bytes)).map_err(|error| Failure::new(error.to_string()))?;
        let started = Instant::now();
        let response = self.client.send(request).await.map_err(|error| self.unreachable(&error))?;
        trace.answer(response.status(), response.headers(), started.elapsed());
        self.warn(streams, response.headers());
        Ok(response)
    }

    /// Whether a request can be sent at all.
    pub(crate) fn reachable(&self) -> Result<(), Failure> {
        match &self.refused {
            Some(why) => Err(self.lost(why)),
            None => Ok(()),
        }
    }

    fn trace<'a>(&'a self, streams: &'a Streams, call: &'a Call) -> Trace<'a> {
        Trace { streams, level: self.verbosity, call, server: &self.server, identity: &self.identity }
    }

    /// Show the server's warnings, each once.
    fn warn(&self, streams: &Streams, headers: &HeaderMap) {
        for header in headers.get_all(http::header::WARNING) {
            let text = String::from_utf8_lossy(header.as_bytes()).into_owned();
            let Some(message) = text.strip_prefix("299 ").and_then(|rest| rest.split_once('"')).map(|(_, quoted)| unquote(quoted)) else { continue };
            self.warn_once(streams, message);
        }
    }

    /// Show a warning, unless it was shown.
    pub fn warn_once(&self, streams: &Streams, message: String) {
        if self.warned.borrow().contains(&message) {
            return;
        }
        if streams.err_is_terminal {
            streams.warn(&format!("\u{1b}[33;1mWarning:\u{1b}[0m {message}"));
        } else {
            streams.warn(&format!("Warning: {message}"));
        }
        self.warned.borrow_mut().push(message);
    }

    /// That there was no answer to what was asked last.
    fn lost(&self, why: &str) -> Failure {
        Failure::Unreachable(Box::new(Lost { said: format!("Unable to connect to the server: {why}"), whole: format!("{}: {why}", self.asked.borrow()) }))
    }

    /// What stock kubectl says when there is no answer.
    // upstream: kubectl/pkg/cmd/util/helpers.go StandardErrorMessage
    pub(crate) fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Failure {
        let why = cause(&self.host(), error);
        if why.contains("connection refused") {
            let said = format!("The connection to the server {} was refused - did you specify the right host or port?", self.host());
            let why = why.replace("dial tcp localhost:", "dial tcp 127.0.0.1:");
            return Failure::Unreachable(Box::new(Lost { said, whole: format!("{}: {why}", self.asked.borrow()) }));
        }
        self.lost(&why)
    }
}

/// Why there was no answer from `host`, in Go's words.
pub fn cause(host: &str, error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let of_system = cause.downcast_ref::<std::io::Error>();
        let told = of_system.and_then(std::io::Error::get_ref).and_then(|inner| inner.downcast_ref());
        if let Some(Refused(said)) = cause.downcast_ref().or(told) {
            return said.clone();
        }
        match of_system.map(std::io::Error::kind) {
            Some(std::io::ErrorKind::ConnectionRefused) => return format!("dial tcp {host}: connect: connection refused"),
            Some(std::io::ErrorKind::UnexpectedEof) => return "EOF".to_owned(),
            _ => {}
        }
        texts.push(cause.to_string());
        next = cause.source();
    }
    in_go(host, &texts)
}

/// An answer that ended early, in Go's words.
fn broken(error: &(dyn std::error::Error + 'static)) -> std::io::Error {
    let cut = |cause: &(dyn std::error::Error + 'static)| {
        let of_system = cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof);
        of_system || cause.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_incomplete_message() || error.is_body_write_aborted())
    };
    let mut next = Some(error);
    let mut last = String::new();
    while let Some(cause) = next {
        if cut(cause) || cause.to_string().contains("end of file before message length reached") {
            return std::io::Error::other("unexpected EOF");
        }
        last = cause.to_string();
        next = cause.source();
    }
    std::io::Error::other(last)
}

/// `Get` of `GET`.
fn verb(method: &Method) -> String {
    let (first, rest) = method.as_str().split_at(1);
    first.to_owned() + &rest.to_lowercase()
}

/// The common causes in Go's words.
fn in_go(host: &str, texts: &[String]) -> String {
    let all = texts.join(": ");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if all.contains("failed to lookup address") {
        let asked = nameserver().map(|server| format!(" on {server}:53")).unwrap_or_default();
        return format!("dial tcp: lookup {name}{asked}: no such host");
    }
    if all.contains("UnknownIssuer") {
        return "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned();
    }
    if let Some(said) = texts.iter().find_map(|text| other_name(text)) {
        return format!("tls: failed to verify certificate: x509: {said}");
    }
    if all.contains("NotValidForName") {
        return format!("tls: failed to verify certificate: x509: certificate is not valid for {name}");
    }
    if all.contains("InvalidContentType") {
        return "http: server gave HTTP response to HTTPS client".to_owned();
    }
    if all.contains("connection closed before message completed") || all.contains("tls handshake eof") {
        return "EOF".to_owned();
    }
    for (found, said) in [("Network is unreachable", "network is unreachable"), ("No route to host", "no route to host"), ("deadline has elapsed", "i/o timeout")] {
        if all.contains(found) {
            return format!("dial tcp {host}: connect: {said}");
        }
    }
    texts.last().cloned().unwrap_or_default()
}

/// Who was asked for the address, which Go tells.
fn nameserver() -> Option<String> {
    let settings = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    settings.lines().find_map(|line| line.strip_prefix("nameserver")).map(|server| server.trim().to_owned())
}

/// For whom a certificate is, when it is for others.
// upstream: crypto/x509/verify.go HostnameError
fn other_name(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("certificate not valid for name ")?;
    let mut words = rest.split('"');
    let wanted = words.nth(1)?;
    let (_, names) = rest.split_once("only valid for ").unwrap_or(("", ""));
    let kind = if wanted.parse::<std::net::IpAddr>().is_ok() { "IpAddress(" } else { "DnsName(" };
    let names: Vec<&str> = names.split(kind).skip(1).filter_map(|name| name.split(')').next()).map(|name| name.trim_matches('"')).collect();
    Some(match names.as_slice() {
        [] if kind == "IpAddress(" => format!("cannot validate certificate for {wanted} because it doesn't contain any IP SANs"),
        [] => format!("certificate is not valid for any names, but wanted to match {wanted}"),
        names => format!("certificate is valid for {}, not {wanted}", names.join(", ")),
    })
}

fn unquote(quoted: &str) -> String {
    let mut text = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => break,
            '\\' => text.extend(letters.next()),
            other => text.push(other),
        }
    }
    text
}

/// A log line as klog writes it.
pub fn log(streams: &Streams, place: &str, text: &str) {
    streams.warn(&crate::write::klog_line('I', place, text));
}

/// What the server says, or what its silence means.
// upstream: apimachinery/pkg/api/errors/errors.go NewGenericServerResponse
fn status(code: StatusCode, body: &[u8], call: &Call) -> Failure {
    if let Ok(value) = serde_json::from_slice::<Value>(body)
        && value["kind"] == "Status"
    {
        return Failure::Status(Box::new(value));
    }
    let text = String::from_utf8_lossy(body).trim().to_owned();
    let (reason, message) = match code.as_u16() {
        400 => ("BadRequest", "the server rejected our request for an unknown reason".to_owned()),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
        403 => ("Forbidden", text),
        404 => ("NotFound", "the server could not find the requested resource".to_owned()),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource".to_owned()),
        409 => ("Conflict", format!("the server reported a conflict: {text}")),
        406 => ("NotAcceptable", "the server was unable to respond with a content type that the client supports".to_owned()),
        415 => ("UnsupportedMediaType", format!("the body of the request was in an unknown format - accepted media types include: {text}")),
        429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later".to_owned()),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
        504 => ("Timeout", "the server was unable to return a response in the time allotted, but may still be processing the request".to_owned()),
        500..=599 => ("InternalError", format!("an error on the server ({text:?}) has prevented the request from succeeding")),
        other => ("", format!("the server responded with the status code {other} but did not return more information")),
    };
    let message = match about(&call.path) {
        // A request for a path is about no kind.
        Some(about) if call.accept != ANYTHING => format!("{message} ({} {about})", call.method.as_str().to_lowercase()),
        _ => message,
    };
    Failure::Status(Box::new(json!({"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code.as_u16()})))
}

/// The kind and the name a path is about: `deployments.apps web`.
fn about(path: &str) -> Option<String> {
    let path = path.split('?').next().unwrap_or_default();
    let mut parts: Vec<&str> = path.split('/').skip(1).collect();
    let group = match parts.as_slice() {
        ["api", _, _, ..] => "",
        ["apis", group, _, _, ..] => group,
        _ => return None,
    };
    parts.drain(..if group.is_empty() { 2 } else { 3 });
    let parts = if let ["namespaces", _, rest @ ..] = parts.as_slice() && !rest.is_empty() { rest } else { parts.as_slice() };
    let kind = if group.is_empty() { parts[0].to_owned() } else { format!("{}.{group}", parts[0]) };
    Some(parts.get(1).map_or(kind.clone(), |name| format!("{kind} {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_words_is_told_with_what_was_asked() {
        let cases = [
            ("/version", None),
            ("/api", None),
            ("/api/v1", None),
            ("/api/v1/nodes?limit=500", Some("nodes")),
            ("/api/v1/namespaces", Some("namespaces")),
            ("/api/v1/namespaces/a", Some("namespaces a")),
            ("/api/v1/namespaces/a/pods/b/log", Some("pods b")),
            ("/apis/apps/v1/namespaces/a/deployments", Some("deployments.apps")),
            ("/apis/apps/v1/namespaces/a/deployments/web", Some("deployments.apps web")),
        ];
        for (path, wanted) in cases {
            assert_eq!(about(path).as_deref(), wanted, "{path}");
        }
    }

    fn silent() -> Streams {
        Streams::new(Box::new(std::io::empty()), Box::new(std::io::sink()), Box::new(std::io::sink()))
    }

    #[tokio::test]
    async fn an_answer_is_found_where_the_server_says() {
        let server = tower::service_fn(async |request: Request<Body>| {
            let (code, location) = match request.uri().path() {
                "/once" => (302, "/here"),
                "/whole" => (307, "https://a:1/here"),
                "/loop" => (301, "/loop"),
                "/away" => (302, "https://b/here"),
                _ => (200, ""),
            };
            http::Response::builder().status(code).header(http::header::LOCATION, location).body(Body::from(b"found".to_vec()))
        });
        let rest = Rest::new(kube::Client::new(server, "default"), "https://a:1".to_owned(), None, 0);
        for (path, wanted) in [
            ("/here", "found"),
            ("/once", "found"),
            ("/whole", "found"),
            ("/loop", "Unable to connect to the server: stopped after 10 redirects"),
            ("/away", "the server responded with the status code 302 but did not return more information"),
        ] {
            let told = match rest.bytes(&silent(), Call::get(path)).await {
                Ok(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                Err(failure) => failure.text(),
            };
            assert_eq!(told, wanted, "{path}");
        }
    }

    #[tokio::test]
    async fn what_came_before_the_end_of_a_connection_is_read() {
        use tokio::io::AsyncReadExt as _;

        let server = tower::service_fn(async |_: Request<Body>| {
            let frames = [Ok("only this"), Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))];
            let frames = futures::stream::iter(frames).map_ok(|text| hyper::body::Frame::data(Bytes::from_static(text.as_bytes())));
            http::Response::builder().body(http_body_util::StreamBody::new(frames))
        });
        let rest = Rest::new(kube::Client::new(server, "default"), "https://a:1".to_owned(), None, 0);
        let mut answer = rest.stream(&silent(), Call::get("/")).await.unwrap();
        let mut read = Vec::new();
        let error = answer.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((read.as_slice(), error.to_string().as_str()), (&b"only this"[..], "unexpected EOF"));
    }

    #[tokio::test]
    async fn a_failure_keeps_what_was_asked() {
        let nobody = tower::service_fn(async |_: Request<Body>| Err::<http::Response<Body>, _>(Refused("no route".to_owned())));
        let rest = Rest::new(kube::Client::new(nobody, "default"), "https://a:1".to_owned(), None, 0);
        let streams = silent();
        let first = rest.answer(&streams, Call::get("/one")).await.unwrap_err();
        let second = rest.answer(&streams, Call::get("/two")).await.unwrap_err();
        let wanted = [(first, "Get \"https://a:1/one\": no route"), (second, "Get \"https://a:1/two\": no route")];
        for (failure, whole) in wanted {
            assert_eq!((failure.text().as_str(), failure.whole().as_str()), ("Unable to connect to the server: no route", whole));
        }
    }
}
