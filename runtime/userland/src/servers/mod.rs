//! The servers of bundled images: nginx's stand-in and the demo applications of the books.
//!
//! This file is what they share: a [`Request`] read whole, a [`Reply`], and [`serve`], which accepts
//! connections until the process is told to end. All of them end at once on SIGTERM, also as process 1.
//!
//! * [`files`]: static files, `hello-kiamol` and `httpd`.
//! * [`whoami`], [`dotnet`], [`adminer`]: the applications, by the names their images start them with.
//! * [`nginx`]: web server and caching proxy for the part of nginx's configuration the books use.
//! * [`postgres`], [`sqlite`]: where applications keep things.

pub(crate) mod adminer;
pub(crate) mod dotnet;
pub(crate) mod files;
pub(crate) mod nginx;
mod postgres;
mod sqlite;
pub(crate) mod whoami;

use std::{
    borrow::Cow,
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsFd as _, BorrowedFd},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::{clock, complain, http, sys};

/// The longest request body that is read; no form of ours is longer.
const MAX_BODY: u64 = 8 << 20;

/// A request, read whole.
pub(crate) struct Request {
    /// The request line as it came.
    pub(crate) line: String,
    pub(crate) method: String,
    /// Path and query as they came.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Who asks: address and port.
    pub(crate) peer: SocketAddr,
    /// The port that was asked.
    pub(crate) port: u16,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path, decoded.
    pub(crate) fn path(&self) -> String {
        decoded(self.target.split('?').next().unwrap_or("/"))
    }

    /// The query as it came, without its question mark.
    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// A value of the query.
    pub(crate) fn argument(&self, name: &str) -> Option<String> {
        form_value(self.query(), name)
    }

    /// A value of the form in the body.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        form_value(&String::from_utf8_lossy(&self.body), name)
    }

    /// The address that asks, without its port.
    pub(crate) fn client(&self) -> String {
        self.peer.ip().to_canonical().to_string()
    }
}

fn form_value(form: &str, wanted: &str) -> Option<String> {
    form.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(&name.replace('+', " ")) == wanted).then(|| decoded(&value.replace('+', " ")))
    })
}

/// What a response carries.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Bytes(Vec<u8>),
    /// A file too large for memory, and its length: it goes from the disk to the connection.
    File(Arc<File>, u64),
}

impl Body {
    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }

    /// The bytes, when they are in memory.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::File(..) => None,
        }
    }
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// `200 OK`
    pub(crate) status: Cow<'static, str>,
    /// Headers besides `Date`, `Content-Length` and `Connection`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
}

impl Reply {
    /// A response of this content type.
    pub(crate) fn new(status: impl Into<Cow<'static, str>>, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: status.into(), headers: vec![("Content-Type".to_owned(), kind.to_owned())], body: Body::Bytes(body.into()) }
    }

    /// A page.
    pub(crate) fn page(body: String) -> Self {
        Self::new("200 OK", "text/html; charset=utf-8", body)
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The number of the status.
    pub(crate) fn code(&self) -> u16 {
        self.status.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Answers requests.
pub(crate) type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// How a port is spoken to by TLS; `None` when plainly.
pub(crate) type Identities = dyn Fn(u16) -> Option<Arc<rustls::ServerConfig>>;

/// What [`serve`] is to do.
pub(crate) struct Service {
    /// The command, for complaints.
    pub(crate) applet: &'static str,
    /// The `Server` header.
    pub(crate) server: &'static str,
    pub(crate) ports: Vec<u16>,
    pub(crate) handler: Arc<Handler>,
    /// The ports that are spoken to by TLS.
    pub(crate) tls: Option<Box<Identities>>,
    /// What to do on SIGHUP.
    pub(crate) reload: Option<Box<dyn Fn()>>,
}

impl Service {
    /// A server on one port.
    pub(crate) fn new(applet: &'static str, server: &'static str, port: u16, handler: Arc<Handler>) -> Self {
        Self { applet, server, ports: vec![port], handler, tls: None, reload: None }
    }

    /// Opens the ports, before anything is said or written.
    pub(crate) fn open(self) -> Result<Open, i32> {
        let mut listeners = Vec::new();
        for port in &self.ports {
            match TcpListener::bind(("::", *port)).or_else(|_| TcpListener::bind(("0.0.0.0", *port))) {
                Ok(listener) => listeners.push((listener, *port)),
                Err(error) => {
                    complain(self.applet, format!("bind() to 0.0.0.0:{port} failed: {}", sys::reason(&error)));
                    return Err(1);
                }
            }
        }
        Ok(Open { service: self, listeners })
    }
}

/// A service whose ports are open.
pub(crate) struct Open {
    service: Service,
    listeners: Vec<(TcpListener, u16)>,
}

impl Open {
    /// Accepts connections until told to end. A thread per connection; signals come by descriptor to this one only.
    pub(crate) fn serve(self) -> i32 {
        let Open { service, listeners } = self;
        sys::on_signal(Signal::SIGPIPE, sys::Disposition::Ignore);
        let signals = match signals() {
            Ok(signals) => signals,
            Err(error) => {
                complain(service.applet, format!("signalfd: {}", error.desc()));
                return 1;
            }
        };
        loop {
            let descriptors: Vec<BorrowedFd<'_>> =
                listeners.iter().map(|(listener, _)| listener.as_fd()).chain([signals.as_fd()]).collect();
            let mut fds: Vec<PollFd<'_>> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
            if poll(&mut fds, PollTimeout::NONE).is_err() {
                continue;
            }
            if fds.last().and_then(PollFd::any) == Some(true) {
                match (signals.read_signal().ok().flatten().map(|signal| signal.ssi_signo), &service.reload) {
                    (Some(number), Some(reload)) if number == Signal::SIGHUP as u32 => reload(),
                    (Some(number), None) if number == Signal::SIGHUP as u32 => {}
                    _ => return 0,
                }
                continue;
            }
            for (index, (listener, port)) in listeners.iter().enumerate() {
                if fds[index].any() == Some(true) {
                    accept(&service, listener, *port);
                }
            }
        }
    }
}

fn signals() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        mask.add(signal);
    }
    mask.thread_block()?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC)
}

fn accept(service: &Service, listener: &TcpListener, port: u16) {
    let Ok((stream, peer)) = listener.accept() else { return };
    let handler = Arc::clone(&service.handler);
    let server = service.server;
    let tls = service.tls.as_ref().and_then(|tls| tls(port));
    let stack = if tls.is_some() { 1024 * 1024 } else { 256 * 1024 };
    let spawned = std::thread::Builder::new().stack_size(stack).spawn(move || {
        // A client that goes away, or does not trust us, is no event.
        drop(welcome(&stream, tls, peer, port, server, &handler));
    });
    if let Err(error) = spawned {
        complain(service.applet, format!("cannot start a thread: {}", sys::reason(&error)));
    }
}

/// Speaks to a client as is done at this port.
fn welcome(stream: &TcpStream, tls: Option<Arc<rustls::ServerConfig>>, peer: SocketAddr, port: u16, server: &str, handler: &Arc<Handler>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(65)))?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return converse(stream, peer, port, server, handler) };
    let connection = rustls::ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let done = converse(&mut stream, peer, port, server, handler);
    // It has ended here, and was not cut off.
    stream.conn.send_close_notify();
    stream.flush()?;
    done
}

/// Answers the requests of one connection.
fn converse(stream: impl Read + Write, peer: SocketAddr, port: u16, server: &str, handler: &Arc<Handler>) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        // Who begins to speak TLS at a plain port waits for an answer, and sends no line.
        let garbled = reader.fill_buf()?.first().is_some_and(|byte| !byte.is_ascii_graphic() && !byte.is_ascii_whitespace());
        let line = if garbled { Some(String::new()) } else { http::read_line(&mut reader)? };
        let Some(line) = line else { return Ok(()) };
        let headers = if garbled { Vec::new() } else { http::read_headers(&mut reader)? };
        let mut words = line.split(' ').map(str::to_owned);
        let (method, target, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Request { line, method, target, headers, body: Vec::new(), peer, port };
        if request.header("expect").is_some_and(|wish| wish.eq_ignore_ascii_case("100-continue")) {
            reader.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length: u64 = request.header("content-length").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let reply = if length > MAX_BODY {
            error_reply("413 Request Entity Too Large")
        } else {
            (&mut reader).take(length).read_to_end(&mut request.body)?;
            if version.starts_with("HTTP/1.") { handler(&request) } else { error_reply("400 Bad Request") }
        };
        let wished = request.header("connection").unwrap_or("").to_ascii_lowercase();
        let close = length > MAX_BODY || wished.contains("close") || (version != "HTTP/1.1" && !wished.contains("keep-alive"));
        let no_body = matches!(reply.code(), 204 | 304);
        let mut head = format!("HTTP/1.1 {}\r\nServer: {server}\r\nDate: {}\r\n", reply.status, http_date(now()));
        if !no_body {
            head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
        }
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {}\r\n", value.replace(['\r', '\n'], " ")));
        }
        head.push_str(if close { "Connection: close\r\n\r\n" } else { "Connection: keep-alive\r\n\r\n" });
        let mut bytes = head.into_bytes();
        let body = (request.method != "HEAD" && !no_body).then_some(reply.body);
        if let Some(Body::Bytes(body)) = &body {
            bytes.extend_from_slice(body);
        }
        reader.get_mut().write_all(&bytes)?;
        if let Some(Body::File(file, length)) = body
            && io::copy(&mut (&*file).take(length), reader.get_mut())? < length
        {
            // It has become shorter: only the end of the connection can say so.
            return Ok(());
        }
        reader.get_mut().flush()?;
        if close {
            return Ok(());
        }
    }
}

/// Seconds since the epoch.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(0))
}

/// A moment as HTTP headers have it.
pub(crate) fn http_date(seconds: i64) -> String {
    clock::format_time("%a, %d %b %Y %H:%M:%S GMT", seconds)
}

/// A short page that says what is wrong.
pub(crate) fn error_reply(status: &'static str) -> Reply {
    let body = format!("<html>\n<head><title>{status}</title></head>\n<body>\n<center><h1>{status}</h1></center>\n</body>\n</html>\n");
    Reply::new(status, "text/html", body)
}

/// Percent signs taken back.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: Vec<u8> = rest.by_ref().take(2).collect();
            bytes.push(std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or(b'?'));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text for HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#x27;")
}

/// The port of `PORT`, else 80.
fn usual_port() -> String {
    std::env::var("PORT").unwrap_or_else(|_| "80".to_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A request as a test of a handler needs it.
    pub(crate) fn request(method: &str, target: &str, body: &str) -> Request {
        Request {
            line: format!("{method} {target} HTTP/1.1"),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            peer: SocketAddr::from(([127, 0, 0, 1], 4000)),
            port: 80,
        }
    }

    #[test]
    fn forms_and_queries_are_read() {
        let asked = request("POST", "/a%20b?dp=12&x=a%2Bb", "ToDo.Item=buy+milk%21&other=");
        assert_eq!(asked.path(), "/a b");
        assert_eq!(asked.argument("dp").as_deref(), Some("12"));
        assert_eq!(asked.argument("x").as_deref(), Some("a+b"));
        assert_eq!(asked.argument("y"), None);
        assert_eq!(asked.field("ToDo.Item").as_deref(), Some("buy milk!"));
        assert_eq!(asked.field("other").as_deref(), Some(""));
    }
}
