//! The demo servers of the books' first chapters.
//!
//! `hello-kiamol` serves files and logs each request in nginx's *combined* form with the forwarded-for field behind it.
//! `whoami-web` says which machine answered. Both end at once on SIGTERM, also as process 1.

use std::{
    fs, io,
    io::{BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    path::{Path, PathBuf},
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

use crate::{applets::Arguments, clock, complain, environment, http, sys};

/// A request as far as the demo servers care.
struct Request {
    line: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    peer: String,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A response with its whole body.
struct Reply {
    status: &'static str,
    kind: &'static str,
    extra: String,
    body: Vec<u8>,
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// `hello-kiamol [-p PORT] [-h ROOT]`: nginx's stand-in.
pub(crate) fn hello_kiamol(words: &[String]) -> i32 {
    serve_files(words, "/usr/share/nginx/html")
}

/// `httpd [-f] [-p PORT] [-h ROOT]`
pub(crate) fn httpd(words: &[String]) -> i32 {
    serve_files(words, ".")
}

fn serve_files(words: &[String], usual: &str) -> i32 {
    let Some(arguments) = Arguments::parse(words, "fvp:h:", &[("port", 'p')]) else { return 1 };
    let root = PathBuf::from(arguments.value('h').unwrap_or(usual));
    let Some(port) = port(&arguments) else {
        complain(&words[0], "invalid port");
        return 1;
    };
    let handler: Arc<Handler> = Arc::new(move |request| log_access(request, file_reply(&root, request)));
    serve(&words[0], port, &handler)
}

fn port(arguments: &Arguments) -> Option<u16> {
    let usual = std::env::var("PORT").unwrap_or_else(|_| "80".to_owned());
    arguments.value('p').unwrap_or(&usual).rsplit(':').next()?.parse().ok()
}

/// `whoami-web [-p PORT]`: says which machine answered, as a JSON string.
pub(crate) fn whoami_web(words: &[String]) -> i32 {
    let Some(arguments) = Arguments::parse(words, "p:", &[("port", 'p')]) else { return 1 };
    let Some(port) = port(&arguments) else {
        complain("whoami-web", "invalid port");
        return 1;
    };
    println!("Now listening on: http://[::]:{port}");
    let handler: Arc<Handler> = Arc::new(|_| {
        let system = nix::sys::utsname::uname().map_or_else(
            |_| "Linux".to_owned(),
            |uname| format!("{} {} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy(), uname.version().to_string_lossy()),
        );
        let text = format!("I'm {} running on {system}", environment::host_name());
        let body = serde_json::to_vec(&text).unwrap_or_default();
        Reply { status: "200 OK", kind: "application/json; charset=utf-8", extra: String::new(), body }
    });
    serve("whoami-web", port, &handler)
}

/// Accepts connections until told to end. A thread per connection; signals come by descriptor to this one only.
fn serve(applet: &str, port: u16, handler: &Arc<Handler>) -> i32 {
    sys::on_signal(Signal::SIGPIPE, sys::Disposition::Ignore);
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        mask.add(signal);
    }
    let signals = match mask.thread_block().and_then(|()| SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC)) {
        Ok(signals) => signals,
        Err(error) => {
            complain(applet, format!("signalfd: {}", error.desc()));
            return 1;
        }
    };
    let listener = match TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port))) {
        Ok(listener) => listener,
        Err(error) => {
            complain(applet, format!("bind() to 0.0.0.0:{port} failed: {}", sys::reason(&error)));
            return 1;
        }
    };
    loop {
        let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        if fds[1].any() == Some(true) {
            return 0;
        }
        let Ok((stream, peer)) = listener.accept() else { continue };
        let handler = Arc::clone(handler);
        let peer = match peer.ip().to_canonical() {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => address.to_string(),
        };
        let spawned = std::thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            // A client that goes away is no event.
            drop(converse(&stream, &peer, &handler));
        });
        if let Err(error) = spawned {
            complain(applet, format!("cannot start a thread: {}", sys::reason(&error)));
        }
    }
}

/// Answers the requests of one connection.
fn converse(stream: &TcpStream, peer: &str, handler: &Arc<Handler>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(65)))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let Some(line) = http::read_line(&mut reader)? else { return Ok(()) };
        let headers = http::read_headers(&mut reader)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (method, path, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let request = Request { line, method, path, headers, peer: peer.to_owned() };
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        let wished = request.header("connection").unwrap_or("").to_ascii_lowercase();
        let close = wished.contains("close") || (version != "HTTP/1.1" && !wished.contains("keep-alive"));
        let reply = if version.starts_with("HTTP/1.") { handler(&request) } else { error_reply("400 Bad Request") };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(0));
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nServer: drydock-userland\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n{}\r\n",
            reply.status,
            clock::format_time("%a, %d %b %Y %H:%M:%S GMT", now),
            reply.kind,
            reply.body.len(),
            if close { "close" } else { "keep-alive" },
            reply.extra,
        )
        .into_bytes();
        if request.method != "HEAD" {
            bytes.extend(&reply.body);
        }
        (&mut &*stream).write_all(&bytes)?;
        if close {
            return Ok(());
        }
    }
}

fn error_reply(status: &'static str) -> Reply {
    let body = format!("<html>\n<head><title>{status}</title></head>\n<body>\n<center><h1>{status}</h1></center>\n</body>\n</html>\n");
    Reply { status, kind: "text/html", extra: String::new(), body: body.into_bytes() }
}

fn file_reply(root: &Path, request: &Request) -> Reply {
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return error_reply("405 Not Allowed");
    }
    let path = decoded(request.path.split('?').next().unwrap_or("/"));
    if path.split('/').any(|part| part == "..") {
        return error_reply("400 Bad Request");
    }
    let mut file = root.join(path.trim_start_matches('/'));
    if file.is_dir() {
        if !path.ends_with('/') {
            let mut reply = error_reply("301 Moved Permanently");
            reply.extra = format!("Location: {path}/\r\n");
            return reply;
        }
        file.push("index.html");
        if !file.exists() {
            return error_reply("403 Forbidden");
        }
    }
    let body = match fs::read(&file) {
        Ok(body) => body,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return error_reply("403 Forbidden"),
        Err(_) => return error_reply("404 Not Found"),
    };
    let modified = fs::metadata(&file)
        .and_then(|meta| meta.modified())
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |passed| passed.as_secs());
    let tag = format!("\"{modified:x}-{:x}\"", body.len());
    let date = clock::format_time("%a, %d %b %Y %H:%M:%S GMT", i64::try_from(modified).unwrap_or(0));
    let extra = format!("Last-Modified: {date}\r\nETag: {tag}\r\nCache-Control: no-cache\r\n");
    if request.header("if-none-match") == Some(tag.as_str()) {
        return Reply { status: "304 Not Modified", kind: "text/html", extra, body: Vec::new() };
    }
    let kind = match file.extension().and_then(|extension| extension.to_str()) {
        Some("html" | "htm") => "text/html",
        Some("css") => "text/css",
        Some("js") => "application/javascript",
        Some("json") => "application/json",
        Some("txt") => "text/plain",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("ico") => "image/x-icon",
        _ => "application/octet-stream",
    };
    Reply { status: "200 OK", kind, extra, body }
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
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

fn log_access(request: &Request, reply: Reply) -> Reply {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(0));
    let clean = |text: &str| text.replace('"', "\\x22").replace(char::is_control, "");
    let sent = if request.method == "HEAD" { 0 } else { reply.body.len() };
    let line = format!(
        "{} - - [{}] \"{}\" {} {sent} \"{}\" \"{}\" \"{}\"\n",
        request.peer,
        clock::format_time("%d/%b/%Y:%H:%M:%S %z", now),
        clean(&request.line),
        reply.status.split(' ').next().unwrap_or(""),
        clean(request.header("referer").unwrap_or("-")),
        clean(request.header("user-agent").unwrap_or("-")),
        clean(request.header("x-forwarded-for").unwrap_or("-")),
    );
    // Nobody reads the log: nothing to be done about it here.
    drop(sys::write_all(1, line.as_bytes()));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str) -> Request {
        Request { line: String::new(), method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), peer: String::new() }
    }

    #[test]
    fn files_are_served_and_the_rest_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("index.html"), "hi").unwrap();
        fs::create_dir(root.path().join("empty")).unwrap();
        let cases = [
            ("GET", "/", "200 OK"),
            ("GET", "/index.html?x=y", "200 OK"),
            ("HEAD", "/%69ndex.html", "200 OK"),
            ("GET", "/nothing", "404 Not Found"),
            ("GET", "/empty", "301 Moved Permanently"),
            ("GET", "/empty/", "403 Forbidden"),
            ("GET", "/../etc/passwd", "400 Bad Request"),
            ("POST", "/", "405 Not Allowed"),
        ];
        for (method, path, wanted) in cases {
            assert_eq!(file_reply(root.path(), &request(method, path)).status, wanted, "{method} {path}");
        }
    }
}
