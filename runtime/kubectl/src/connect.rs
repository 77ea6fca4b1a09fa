//! Connections to a server: straight, or through a proxy (HTTP, HTTPS, SOCKS5).
//!
//! What goes wrong on the way is told in Go's words by a [`Refused`], which is found again among the causes of a request's failure.
// upstream: net/http/transport.go dialConn, golang.org/x/net/internal/socks

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Uri};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ConfigExt};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tower::util::{BoxCloneSyncService, ServiceExt};
use tower::{Layer, Service};

use crate::failure::Failure;

/// How long it may take until a connection stands.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no connection, in Go's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = Result<Line, BoxError>> + Send>>;

/// Bytes both ways.
trait Both: Read + Write + Send + Unpin {}
impl<T: Read + Write + Send + Unpin> Both for T {}

/// What the other side is to say first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    Anything,
    Tls,
    Http,
}

/// A connection.
pub(crate) struct Line {
    bytes: Box<dyn Both>,
    /// This end and the other, `here->there`.
    ends: String,
    first: First,
    /// What the other side said and nobody has read yet, since it could not be judged.
    begun: Vec<u8>,
    /// Whether requests on it name the whole address, as a proxy wants them.
    whole: bool,
}

impl Line {
    fn new(bytes: Box<dyn Both>) -> Self {
        Self { bytes, ends: String::new(), first: First::Anything, begun: Vec::new(), whole: false }
    }

    fn of_socket(socket: TokioIo<TcpStream>) -> Self {
        let ends = match (socket.inner().local_addr(), socket.inner().peer_addr()) {
            (Ok(here), Ok(there)) => format!("{here}->{there}"),
            _ => String::new(),
        };
        Self { ends, ..Self::new(Box::new(socket)) }
    }

    /// The system's error as Go tells it of a connection.
    fn told(&self, verb: &str, error: std::io::Error) -> std::io::Error {
        if self.ends.is_empty() || error.kind() != std::io::ErrorKind::ConnectionReset {
            return error;
        }
        std::io::Error::new(error.kind(), Refused(format!("{verb} tcp {}: {verb}: connection reset by peer", self.ends)))
    }
}

impl Read for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<std::io::Result<()>> {
        while self.first != First::Anything {
            let mut own = [0; 1 << 10];
            let mut said = ReadBuf::new(&mut own);
            ready!(Pin::new(&mut self.bytes).poll_read(cx, said.unfilled())).map_err(|error| self.told("read", error))?;
            self.begun.extend_from_slice(said.filled());
            match strange(self.first, &self.begun) {
                Judged::NotYet if !said.filled().is_empty() => {}
                Judged::Wrong(why) => return Poll::Ready(Err(std::io::Error::other(Refused(why)))),
                Judged::NotYet | Judged::Right => self.first = First::Anything,
            }
        }
        if self.begun.is_empty() {
            let read = ready!(Pin::new(&mut self.bytes).poll_read(cx, buffer));
            return Poll::Ready(read.map_err(|error| self.told("read", error)));
        }
        let length = buffer.remaining().min(self.begun.len());
        buffer.put_slice(&self.begun[..length]);
        self.begun.drain(..length);
        Poll::Ready(Ok(()))
    }
}

/// What is known of the first bytes of the other side.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    NotYet,
    Right,
    Wrong(String),
}

/// Whether the first bytes of the other side are what they should be.
fn strange(first: First, said: &[u8]) -> Judged {
    /// The least of TLS's kinds of records, and the greatest.
    const RECORDS: std::ops::RangeInclusive<u8> = 20..=23;
    let kind = said.first().copied().unwrap_or_default();
    let wrong = |why: &str| Judged::Wrong(why.to_owned());
    match first {
        First::Anything => Judged::Right,
        First::Tls if RECORDS.contains(&kind) => Judged::Right,
        First::Tls if said.starts_with(b"HTTP/") => wrong("http: server gave HTTP response to HTTPS client"),
        First::Tls if b"HTTP/".starts_with(said) => Judged::NotYet,
        First::Tls => wrong("tls: first record does not look like a TLS handshake"),
        First::Http if said.starts_with(b"HTTP/1.") => Judged::Right,
        First::Http if b"HTTP/1.".starts_with(said) => Judged::NotYet,
        First::Http => {
            let line = said.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line: String = line.strip_suffix(b"\r").unwrap_or(line).iter().map(|byte| char::from(*byte)).collect();
            malformed(&line).map_or(Judged::Right, |why| Judged::Wrong(format!("net/http: HTTP/1.x transport connection broken: {why}")))
        }
    }
}

/// What is wrong with the first line of an answer.
// upstream: net/http/response.go ReadResponse
fn malformed(line: &str) -> Option<String> {
    let mut words = line.splitn(3, ' ');
    match (words.next().unwrap_or_default(), words.next()) {
        (_, None) => Some(format!("malformed HTTP response {}", crate::print::go::quote(line))),
        (_, Some(code)) if code.len() != 3 => Some(format!("malformed HTTP status code {}", crate::print::go::quote(code))),
        (_, Some(code)) if code.bytes().any(|digit| !digit.is_ascii_digit()) => Some(format!("malformed HTTP status code {}", crate::print::go::quote(code))),
        (version, _) if !version.starts_with("HTTP/") => Some(format!("malformed HTTP version {}", crate::print::go::quote(version))),
        _ => None,
    }
}

impl Write for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.bytes).poll_write(cx, buffer));
        Poll::Ready(written.map_err(|error| self.told("write", error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.whole)
    }
}

/// Makes connections.
#[derive(Clone)]
struct Dialer {
    proxy: Option<Arc<Uri>>,
    /// To the proxy, or to the server when there is none.
    first: BoxCloneSyncService<Uri, Line, BoxError>,
}

impl Service<Uri> for Dialer {
    type Response = Line;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Connecting {
        let (first, proxy) = (self.first.clone(), self.proxy.clone());
        Box::pin(async move {
            let to = place(proxy.as_deref().unwrap_or(&server));
            let connected = tokio::time::timeout(PATIENCE, connected(first, proxy, server));
            connected.await.unwrap_or_else(|_| Err(Refused(format!("dial tcp {to}: i/o timeout")).into()))
        })
    }
}

async fn connected(first: BoxCloneSyncService<Uri, Line, BoxError>, proxy: Option<Arc<Uri>>, server: Uri) -> Result<Line, BoxError> {
    let speaks = if server.scheme_str() == Some("https") { First::Tls } else { First::Http };
    let Some(proxy) = proxy else { return Ok(Line { first: speaks, ..first.oneshot(server).await? }) };
    if proxy.scheme_str().is_some_and(|scheme| scheme.starts_with("socks5")) {
        let way = format!("socks connect tcp {}->{}", place(&proxy), place(&server));
        let failed = |why: &str| Refused(format!("{way}: {why}"));
        let line = first.oneshot(with_port(&proxy)).await.map_err(|error| failed(&crate::rest::cause(&place(&proxy), &*error)))?;
        let mut line = Some(line);
        let ready = tower::service_fn(move |_: Uri| std::future::ready(line.take().ok_or(Refused(String::new()))));
        let mut dialer = SocksV5::new(with_port(&proxy), ready);
        if let Some((user, password)) = credentials(&proxy) {
            dialer = dialer.with_auth(user, password);
        }
        return dialer.oneshot(with_port(&server)).await.map_err(|error| match error.to_string().trim_start_matches("SOCKS error: ") {
            "io error during SOCKS handshake" => failed("EOF").into(),
            "credentials not accepted" => failed("username/password authentication failed").into(),
            why => failed(&format!("unknown error {}", why.to_lowercase())).into(),
        });
    }
    let line = first.oneshot(with_port(&proxy)).await;
    let line = line.map_err(|error| Refused(format!("proxyconnect tcp: {}", crate::rest::cause(&place(&proxy), &*error))))?;
    if speaks == First::Tls { Ok(Line { first: speaks, ..tunnel(line, &proxy, &server).await? }) } else { Ok(Line { whole: true, ..line }) }
}

/// Ask an HTTP proxy for bytes to and from a server.
async fn tunnel(line: Line, proxy: &Uri, server: &Uri) -> Result<Line, Refused> {
    let to = place(server);
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: Go-http-client/1.1\r\n");
    if let Some(said) = authorization(proxy) {
        request.push_str(&format!("Proxy-Authorization: {said}\r\n"));
    }
    request.push_str("\r\n");
    // One byte at a time: what follows the answer is the server's.
    let mut bytes = BufReader::with_capacity(1, TokioIo::new(line));
    let lost = |_| Refused("unexpected EOF".to_owned());
    bytes.get_mut().write_all(request.as_bytes()).await.map_err(lost)?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && !head.ends_with("\n\n") {
        let read = (&mut bytes).take(1 << 16).read_line(&mut head).await.map_err(lost)?;
        if read == 0 || head.len() > 1 << 16 {
            return Err(Refused("unexpected EOF".to_owned()));
        }
        if !head.starts_with("HTTP/") {
            break;
        }
    }
    let first = head.lines().next().unwrap_or_default();
    if let Some(why) = malformed(first) {
        return Err(Refused(why));
    }
    match refusal(first) {
        None => Ok(bytes.into_inner().into_inner()),
        Some(why) => Err(Refused(why)),
    }
}

/// Why a proxy does not connect, by the first line of its answer; nothing when it does.
// upstream: net/http/transport.go dialConn
fn refusal(line: &str) -> Option<String> {
    let status = line.split_once(' ').map_or("", |(_, rest)| rest).trim_start_matches(' ');
    let (code, why) = status.split_once(' ').unwrap_or((status, ""));
    match code {
        "200" => None,
        _ if why.is_empty() => Some("unknown status code".to_owned()),
        _ => Some(why.to_owned()),
    }
}

/// `host:port` of an address.
fn place(uri: &Uri) -> String {
    let usual = match uri.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => 1080,
    };
    format!("{}:{}", uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(usual))
}

/// The address with its port and without who asks.
fn with_port(uri: &Uri) -> Uri {
    let built = Uri::builder().scheme(uri.scheme_str().unwrap_or("http")).authority(place(uri)).path_and_query("/").build();
    built.unwrap_or_else(|_| uri.clone())
}

/// User and password of an address.
fn credentials(uri: &Uri) -> Option<(String, String)> {
    let (said, _) = uri.authority()?.as_str().rsplit_once('@')?;
    let (user, password) = said.split_once(':').unwrap_or((said, ""));
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((plain(user), plain(password)))
}

fn authorization(proxy: &Uri) -> Option<String> {
    credentials(proxy).map(|(user, password)| format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// A client with these settings, through a proxy if there is one.
pub(crate) fn client(mut settings: kube::Config, proxy: Option<Uri>) -> Result<kube::Client, Failure> {
    let failed = |error: kube::Error| match innermost(&error) {
        why if why.contains("KeyMismatch") => Failure::new("tls: private key does not match public key"),
        why => Failure::new(why),
    };
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_nodelay(true);
    let first = match &proxy {
        // A proxy that is spoken to by TLS is judged as the server would be.
        Some(proxy) if proxy.scheme_str() == Some("https") => {
            BoxCloneSyncService::new(settings.rustls_https_connector().map_err(failed)?.map_response(|bytes| Line::new(Box::new(bytes))))
        }
        _ => BoxCloneSyncService::new(plain.map_response(Line::of_socket).map_err(BoxError::from)),
    };
    if settings.cluster_url.scheme_str() == Some("http")
        && let Some(said) = proxy.as_ref().filter(|proxy| proxy.scheme_str().is_some_and(|scheme| scheme.starts_with("http"))).and_then(authorization)
        && let Ok(said) = HeaderValue::from_str(&said)
    {
        settings.headers.push((HeaderName::from_static("proxy-authorization"), said));
    }
    let connector = settings.rustls_https_connector_with_connector(Dialer { proxy: proxy.map(Arc::new), first }).map_err(failed)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let named = settings.extra_headers_layer().map_err(failed)?.layer(settings.base_uri_layer().layer(http).map_err(BoxError::from));
    let namespace = settings.default_namespace.clone();
    Ok(match settings.auth_layer().map_err(failed)? {
        Some(known) => kube::Client::new(known.layer(named), namespace),
        None => kube::Client::new(named, namespace),
    })
}

/// What the last cause of an error says.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_something_else_is_told_so() {
        let broken = "net/http: HTTP/1.x transport connection broken: malformed HTTP";
        let wrong = |why: &str| Judged::Wrong(why.to_owned());
        let cases: [(First, &[u8], Judged); 12] = [
            (First::Tls, b"\x16\x03\x03", Judged::Right),
            (First::Tls, b"HTTP/1.1 400 Bad Request\r\n", wrong("http: server gave HTTP response to HTTPS client")),
            (First::Tls, b"hello", wrong("tls: first record does not look like a TLS handshake")),
            (First::Tls, b"HT", Judged::NotYet),
            (First::Tls, b"", Judged::NotYet),
            (First::Http, b"HTTP/1.1 200 OK\r\n", Judged::Right),
            (First::Http, b"HT", Judged::NotYet),
            (First::Http, b"HTTP/1", Judged::NotYet),
            (First::Http, b"hello there, you\r\n", wrong(&format!("{broken} status code \"there,\""))),
            (First::Http, b"\x15\x03\x03\x00\x02\x022", wrong(&format!("{broken} response \"\\x15\\x03\\x03\\x00\\x02\\x022\""))),
            (First::Http, b"SMTP 220 hello", wrong(&format!("{broken} version \"SMTP\""))),
            (First::Http, b"", Judged::NotYet),
        ];
        for (first, said, wanted) in cases {
            assert_eq!(strange(first, said), wanted, "{said:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_may_come_in_pieces() {
        for (pieces, read) in [(["HT", "TP/1.1 200 OK\r\n"], Ok("HTTP/1.1 200 OK\r\n")), (["HT", ""], Ok("HT")), (["", ""], Ok("")), (["HT", "ML 1"], Err(()))] {
            let mut line = TokioIo::new(Line { first: First::Http, ..Line::new(in_pieces(pieces)) });
            let mut text = String::new();
            let outcome = line.read_to_string(&mut text).await;
            assert_eq!(outcome.map_err(drop).map(|_| text.as_str()), read, "{pieces:?}");
        }
    }

    /// Another side that says one piece after the other, and no more.
    fn in_pieces(pieces: [&'static str; 2]) -> Box<dyn Both> {
        let pieces = futures::stream::iter(pieces.into_iter().filter(|piece| !piece.is_empty()).map(|piece| Ok::<_, std::io::Error>(bytes::Bytes::from(piece))));
        Box::new(TokioIo::new(tokio::io::join(tokio_util::io::StreamReader::new(pieces), tokio::io::sink())))
    }

    #[test]
    fn a_proxy_connects_or_says_why_not() {
        let cases = [
            ("HTTP/1.1 200 Connection established", None),
            ("HTTP/1.1 200", None),
            ("HTTP/1.1 200 ", None),
            ("HTTP/1.0 403 Forbidden by us", Some("Forbidden by us")),
            ("HTTP/1.1 407", Some("unknown status code")),
            ("HTTP/1.1 2000 OK", Some("OK")),
        ];
        for (line, wanted) in cases {
            assert_eq!(refusal(line).as_deref(), wanted, "{line}");
        }
    }

    #[test]
    fn addresses_have_ports_and_those_of_proxies_may_name_who_asks() {
        let cases = [("https://a/x", "a:443", None), ("http://u:p%40@a", "a:80", Some("Basic dTpwQA==")), ("socks5://a", "a:1080", None), ("http://[::1]:3", "[::1]:3", None)];
        for (address, to, said) in cases {
            let uri: Uri = address.parse().unwrap();
            assert_eq!((place(&uri).as_str(), authorization(&uri).as_deref()), (to, said), "{address}");
            assert_eq!(with_port(&uri).authority().unwrap().as_str(), to);
        }
    }
}
