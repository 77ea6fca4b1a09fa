//! `kubectl proxy`: the API without credentials, for programs of this machine.
// upstream: kubectl/pkg/cmd/proxy/proxy.go, pkg/proxy/proxy_server.go

mod files;

use std::convert::Infallible;
use std::fs::{File, Permissions};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Command};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixSocket};

use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{Flags, duration, number, switch, text};
use crate::streams::Streams;
use crate::write::klog;

/// What Go leaves as it is in a path.
// upstream: go/src/net/url/url.go shouldEscape, encodePath
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'$').remove(b'&').remove(b'+').remove(b',').remove(b'/').remove(b':').remove(b';').remove(b'=').remove(b'@');
/// How many may wait to be let in.
const WAITING: u32 = 1024;

/// Its flags.
pub fn command() -> Command {
    Command::new("proxy").override_usage("kubectl proxy [--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix] [options]").args([
        text("accept-hosts", "^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$", "Regular expression for hosts that the proxy should accept."),
        text("accept-paths", "^.*", "Regular expression for paths that the proxy should accept."),
        text("address", "127.0.0.1", "The IP address on which to serve on."),
        text("api-prefix", "/", "Prefix to serve the proxied API under."),
        switch("append-server-path", "If true, enables automatic path appending of the kube context server path to each request."),
        switch("disable-filter", "If true, disable request filtering in the proxy. This is dangerous, and can leave you vulnerable to XSRF attacks, when used with an accessible port."),
        duration("keepalive", "0s", "keepalive specifies the keep-alive period for an active network connection. Set to 0 to disable keepalive."),
        number("port", "8001", "The port on which to run the proxy. Set to 0 to pick a random port.").short('p'),
        text("reject-methods", "^$", "Regular expression for HTTP methods that the proxy should reject (example --reject-methods='POST,PUT,PATCH'). "),
        text("reject-paths", "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach", "Regular expression for paths that the proxy should reject. Paths specified here will be rejected even accepted by --accept-paths."),
        text("unix-socket", "", "Unix socket on which to run the proxy.").short('u'),
        text("www", "", "Also serve static files from the given directory under the specified prefix.").short('w'),
        text("www-prefix", "/static/", "Prefix to serve static files under, if static file directory is specified.").short('P'),
    ])
}

/// What is let through.
#[derive(Debug)]
struct Filter {
    accepted_paths: Vec<Regex>,
    rejected_paths: Vec<Regex>,
    accepted_hosts: Vec<Regex>,
    rejected_methods: Vec<Regex>,
}

/// What requests are answered from.
struct Server<'a> {
    client: kube::Client,
    /// Why nothing can be passed on, when that is known before.
    refused: Option<String>,
    /// Tells why there is no answer, in Go's words.
    why: Box<dyn Fn(&kube::Error) -> String + Send + Sync>,
    filter: Option<Filter>,
    api_prefix: String,
    files: Option<(String, PathBuf)>,
    /// Where the log goes: at once, since the command may be ended at any time.
    streams: &'a Streams,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let socket = matches.text("unix-socket");
    if matches.number("port") != 8001 && !socket.is_empty() {
        return Err(Failure::new("cannot set --unix-socket and --port at the same time"));
    }
    let server = server(factory, matches).await?;
    if socket.is_empty() {
        let listener = listen(&matches.text("address"), matches.number("port")).await?;
        say(factory, &listener.local_addr()?.to_string())?;
        return serve_all(&server, async || Ok(listener.accept().await?.0)).await;
    }
    let path = factory.env.path(&socket);
    // A socket left over from before would be in the way; any other file stays.
    if std::fs::metadata(&path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(&path)?;
    }
    let refused = |error: &std::io::Error| Failure::new(format!("listen unix {socket}: bind: {}", go_io(error)));
    let listener = bound(&path).map_err(|error| refused(&error))?.listen(WAITING)?;
    say(factory, &socket)?;
    serve_all(&server, async || Ok(listener.accept().await?.0)).await
}

/// A socket at a path that from its first moment is only this user's.
// upstream: kubectl/pkg/proxy/proxy_server.go ListenUnix, which sets the umask meanwhile. That is the whole process's, and other threads
// write files; a socket that has a mode of its own is bound with that, less the umask.
fn bound(path: &Path) -> std::io::Result<UnixSocket> {
    let socket = UnixSocket::new_stream()?;
    File::from(socket.as_fd().try_clone_to_owned()?).set_permissions(Permissions::from_mode(0o700))?;
    socket.bind(path)?;
    Ok(socket)
}

/// Serves whoever comes.
async fn serve_all<C: AsyncRead + AsyncWrite + Unpin + Send + 'static>(server: &Server<'_>, accept: impl AsyncFn() -> std::io::Result<C>) -> Result<(), Failure> {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            connection = accept() => connections.push(serve(server, connection?)),
            Some(()) = connections.next() => {}
        }
    }
}

/// A listener at an address as Go reads it.
async fn listen(address: &str, port: i64) -> Result<TcpListener, Failure> {
    if address.contains(':') && !address.starts_with('[') {
        return Err(Failure::new(format!("listen tcp: address {address}:{port}: too many colons in address")));
    }
    let Ok(number) = u16::try_from(port) else { return Err(Failure::new(format!("listen tcp: address {port}: invalid port"))) };
    let host = address.trim_matches(['[', ']']);
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let mut found = tokio::net::lookup_host((host, number)).await.map_err(|_| Failure::new(format!("listen tcp: lookup {host}: no such host")))?;
    let Some(place) = found.next() else { return Err(Failure::new(format!("listen tcp: lookup {host}: no such host"))) };
    TcpListener::bind(place).await.map_err(|error| Failure::new(format!("listen tcp {place}: bind: {}", go_io(&error))))
}

fn say(factory: &Factory, place: &str) -> Result<(), Failure> {
    factory.streams.line(&format!("Starting to serve on {place}"))?;
    factory.streams.flush()
}

async fn server<'a>(factory: &'a Factory, matches: &ArgMatches) -> Result<Server<'a>, Failure> {
    let slashed = |flag: &str| {
        let prefix = matches.text(flag);
        if prefix.ends_with('/') { prefix } else { format!("{prefix}/") }
    };
    let patterns = |flag: &str| -> Result<Vec<Regex>, Failure> {
        let list = matches.text(flag);
        let parts = list.split(',').filter(|_| !list.is_empty());
        parts.map(|part| Regex::new(part).map_err(|error| unreadable(factory, part, &error))).collect()
    };
    let files = matches.text("www");
    if let Some(error) = Some(&files).filter(|files| !files.is_empty()).and_then(|files| std::fs::metadata(factory.env.path(files)).err()) {
        let text = format!("Failed to stat static file directory {files}: stat {files}: {}", go_io(&error));
        klog(factory, 'W', "proxy.go:200", &text);
    }
    let filter = if matches.on("disable-filter") {
        if matches.text("unix-socket").is_empty() {
            klog(factory, 'W', "proxy.go:177", "Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious");
        }
        None
    } else {
        Some(Filter {
            accepted_paths: patterns("accept-paths")?,
            rejected_paths: patterns("reject-paths")?,
            accepted_hosts: patterns("accept-hosts")?,
            rejected_methods: patterns("reject-methods")?,
        })
    };
    let rest = factory.rest().await?;
    let host = rest.host();
    Ok(Server {
        client: rest.client.clone(),
        refused: rest.refused.clone(),
        why: Box::new(move |error| crate::rest::cause(&host, error)),
        filter,
        api_prefix: slashed("api-prefix"),
        files: (!files.is_empty()).then(|| (slashed("www-prefix"), factory.env.path(&files))),
        streams: &factory.streams,
    })
}

/// A pattern that is none, in the words of Go's regular expressions.
// upstream: go/src/regexp/syntax/parse.go
fn unreadable(factory: &Factory, pattern: &str, error: &regex::Error) -> Failure {
    let text = error.to_string();
    let why = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or(&text);
    let column = text.lines().find(|line| line.trim() == "^").map_or(0, |line| line.len().saturating_sub(5));
    let rest = pattern.get(column..).unwrap_or(pattern);
    let said = match why {
        "unclosed group" => format!("missing closing ): `{pattern}`"),
        "unopened group" => format!("unexpected ): `{pattern}`"),
        "unclosed character class" => format!("missing closing ]: `{rest}`"),
        "repetition operator missing expression" => format!("missing argument to repetition operator: `{}`", rest.get(..1).unwrap_or(rest)),
        other => format!("{other}: `{pattern}`"),
    };
    klog(factory, 'F', "proxy_server.go:83", &format!("Error compiling re: error parsing regexp: {said}"));
    Failure::Exit(255)
}

impl Filter {
    fn accepts(&self, method: &str, path: &str, host: &str) -> bool {
        let any = |patterns: &[Regex], text: &str| patterns.iter().any(|pattern| pattern.is_match(text));
        !any(&self.rejected_paths, path) && !any(&self.rejected_methods, method) && any(&self.accepted_paths, path) && any(&self.accepted_hosts, host)
    }
}

async fn serve(server: &Server<'_>, connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(async |request| Ok::<_, Infallible>(server.answer(request).await));
    let mut http = hyper::server::conn::http1::Builder::new();
    // A client that goes away ends its connection; nothing else does.
    drop(http.title_case_headers(true).serve_connection(TokioIo::new(connection), service).with_upgrades().await);
}

impl Server<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let raw = request.uri().path().to_owned();
        // What is judged is what the API server will read: the path without its percent signs.
        let Some(path) = decoded(&raw) else { return malformed() };
        let prefixes = [self.files.as_ref().map_or("", |(prefix, _)| prefix.as_str()), self.api_prefix.as_str()];
        if let Some(better) = better_path(&raw, &prefixes) {
            let query = request.uri().query().map_or_else(String::new, |query| format!("?{query}"));
            return redirect(&format!("{better}{query}"), Some(request.method()));
        }
        if let Some((prefix, directory)) = self.files.as_ref().filter(|(prefix, _)| prefix.len() >= self.api_prefix.len() || !raw.starts_with(&self.api_prefix))
            && let Some(rest) = raw.strip_prefix(prefix)
        {
            return files::serve(directory, rest);
        }
        let Some(inner) = self.inner(&path) else { return plain(StatusCode::NOT_FOUND, "404 page not found\n") };
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if let Some(filter) = &self.filter
            && !filter.accepts(request.method().as_str(), &inner, host_of(host))
        {
            return plain(StatusCode::FORBIDDEN, "Forbidden\n");
        }
        // It is passed on as it was written, where that says the same as what was judged.
        let written = self.inner(&raw).filter(|written| decoded(written).as_ref() == Some(&inner));
        let target = written.unwrap_or_else(|| utf8_percent_encode(&inner, KEPT).to_string());
        self.forward(request, &target).await.unwrap_or_else(|why| {
            let line = crate::write::klog_line('E', "proxy_server.go:147", &format!("Error while proxying request: {why}"));
            self.streams.warn(&line);
            plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{why}\n"))
        })
    }

    /// A path as the API knows it; a prefix that begins as the API's own paths do stays.
    // upstream: kubectl/pkg/proxy/proxy_server.go NewProxyHandler, stripLeaveSlash
    fn inner(&self, path: &str) -> Option<String> {
        let inner = if self.api_prefix.starts_with("/api") { path.starts_with(&self.api_prefix).then_some(path) } else { path.strip_prefix(&self.api_prefix) }?;
        Some(format!("/{}", inner.strip_prefix('/').unwrap_or(inner)))
    }

    async fn forward(&self, mut request: Request<Incoming>, path: &str) -> Result<Response<Body>, String> {
        let upgrade = upgrades(request.headers()).then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let target = parts.uri.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let body = if upgrade.is_some() { Body::empty() } else { Body::from(body.collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec()) };
        let mut forwarded = Request::builder().method(parts.method).uri(target).body(body).map_err(|error| error.to_string())?;
        *forwarded.headers_mut() = end_to_end(parts.headers, upgrade.is_some());
        if let Some(why) = &self.refused {
            return Err(why.clone());
        }
        let response = self.client.send(forwarded).await.map_err(|error| (self.why)(&error))?;
        if let Some(client) = upgrade.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
            return join(client, response);
        }
        let (mut parts, body) = response.into_parts();
        parts.headers = sorted(&end_to_end(parts.headers, false));
        parts.version = http::Version::HTTP_11;
        Ok(Response::from_parts(parts, body))
    }
}

/// Whether another protocol is asked for.
fn upgrades(headers: &HeaderMap) -> bool {
    let words = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    words.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade")) && headers.contains_key(header::UPGRADE)
}

/// The server's answer that it speaks another protocol; from then on bytes pass both ways.
fn join(client: hyper::upgrade::OnUpgrade, response: Response<Body>) -> Result<Response<Body>, String> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = sorted(response.headers());
    tokio::spawn(async move {
        // Either side may leave at any time: that is how such connections end.
        if let (Ok(client), Ok(server)) = tokio::join!(client, hyper::upgrade::on(response)) {
            drop(tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await);
        }
    });
    Ok(answer)
}

/// Headers without those of one connection; an upgrade keeps what it is asked with.
fn end_to_end(mut headers: HeaderMap, upgrade: bool) -> HeaderMap {
    for name in [header::HOST, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
        headers.remove(name);
    }
    if !upgrade {
        headers.remove(header::CONNECTION);
        headers.remove(header::UPGRADE);
    }
    headers
}

/// Headers in Go's order.
fn sorted(headers: &HeaderMap) -> HeaderMap {
    let mut all: Vec<_> = headers.iter().collect();
    all.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    all.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A host without its port.
fn host_of(header: &str) -> &str {
    match header.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) => host.trim_matches(['[', ']']),
        _ => header,
    }
}

/// A path as it is meant; nothing where a percent sign stands for no byte.
fn decoded(path: &str) -> Option<String> {
    let escapes = path.split('%').skip(1);
    let sound = escapes.into_iter().all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|digit| digit.is_ascii_hexdigit()));
    sound.then(|| percent_decode_str(path).decode_utf8_lossy().into_owned())
}

/// Where Go's router, which looks at paths as they are written, sends a request instead: a path without `.`, `..` and empty parts, or a prefix with its slash.
// upstream: go/src/net/http/server.go cleanPath, ServeMux.matchOrRedirect
fn better_path(path: &str, prefixes: &[&str]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    let clean = format!("/{}{end}", parts.join("/"));
    let folder = decoded(&clean).map_or_else(String::new, |clean| format!("{clean}/"));
    if prefixes.contains(&folder.as_str()) && !prefixes.contains(&clean.as_str()) {
        return Some(folder);
    }
    (clean != path).then_some(clean)
}

/// 301; with a page for who reads, which Go writes for these two methods.
fn redirect(to: &str, method: Option<&Method>) -> Response<Body> {
    let page = method.is_some_and(|method| *method == Method::GET || *method == Method::HEAD);
    let text = if page { format!("<a href=\"{}\">Moved Permanently</a>.\n\n", html_escape(to)) } else { String::new() };
    let mut response = Response::new(Body::from(text.into_bytes()));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if page {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    }
    if let Ok(place) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// Text inside a page.
fn html_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

/// What Go's server says to what is no request.
// upstream: go/src/net/http/server.go badRequestError
fn malformed() -> Response<Body> {
    let mut response = plain(StatusCode::BAD_REQUEST, "400 Bad Request");
    response.headers_mut().remove(header::X_CONTENT_TYPE_OPTIONS);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.as_bytes().to_vec()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn patterns(list: &str) -> Vec<Regex> {
        list.split(',').map(|part| Regex::new(part).unwrap()).collect()
    }

    fn filter() -> Filter {
        Filter {
            accepted_paths: patterns("^.*"),
            rejected_paths: patterns("^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"),
            accepted_hosts: patterns("^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$"),
            rejected_methods: patterns("^$"),
        }
    }

    /// What a proxy answers, before an API server that says which path it was asked for.
    async fn asked(api_prefix: &str, path: &str) -> String {
        let api = tower::service_fn(async |request: Request<Body>| Ok::<_, Infallible>(Response::new(Body::from(format!("asked {}", request.uri()).into_bytes()))));
        let streams = Streams::new(Box::new(std::io::empty()), Box::new(std::io::sink()), Box::new(std::io::sink()));
        let server = Server {
            client: kube::Client::new(api, "default"),
            refused: None,
            why: Box::new(ToString::to_string),
            filter: Some(filter()),
            api_prefix: api_prefix.to_owned(),
            files: None,
            streams: &streams,
        };
        let (mut here, there) = tokio::io::duplex(1 << 16);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let mut answer = String::new();
        let ask = async {
            here.write_all(request.as_bytes()).await.unwrap();
            here.read_to_string(&mut answer).await.unwrap();
        };
        tokio::join!(serve(&server, there), ask);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let place = head.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or(body);
        format!("{} {}", head.split(' ').nth(1).unwrap(), place.trim_end())
    }

    #[tokio::test]
    async fn paths_are_judged_as_the_api_server_reads_them() {
        let cases = [
            ("/", "/api/v1/pods", "200 asked /api/v1/pods"),
            ("/", "/api/v1/namespaces/default/pods/x/exec", "403 Forbidden"),
            ("/", "/api/v1/namespaces/default/pods/x/%65xec", "403 Forbidden"),
            ("/", "/api/v1/namespaces/default/pods/x/%65xec?command=sh", "403 Forbidden"),
            ("/", "/api/v1/namespaces/default/pods/x/attac%68", "403 Forbidden"),
            ("/", "/api/v1/namespaces/default/pods/x%2Fexec", "403 Forbidden"),
            ("/", "/api/v1/namespaces/default/%70ods/x/exec", "403 Forbidden"),
            ("/", "/%61pi/v1/namespaces/default/pods/x/exec", "403 Forbidden"),
            ("/", "/%2Fapi/v1/namespaces/default/pods/x/exec", "403 Forbidden"),
            ("/", "/api/v1/namespaces/default/pods/x/%2565xec", "200 asked /api/v1/namespaces/default/pods/x/%2565xec"),
            ("/", "/api/v1/a%2F%2Fb/%41%ff?c=%41", "200 asked /api/v1/a%2F%2Fb/%41%ff?c=%41"),
            ("/", "/x/../api/v1/pods", "301 /api/v1/pods"),
            ("/", "/api/v1/pods/%zz", "400 400 Bad Request"),
            ("/", "/api/v1/pods/%6", "400 400 Bad Request"),
            ("/custom/", "/custom/api/v1/namespaces/default/pods/x/%65xec", "403 Forbidden"),
            ("/custom/", "/cust%6fm/api/v1/namespaces/default/pods/x/exec", "403 Forbidden"),
            ("/custom/", "/custom/api/v1/x%2Fy", "200 asked /api/v1/x%2Fy"),
            ("/custom/", "/cust%6fm/api/v1/x%20y", "200 asked /api/v1/x%20y"),
            ("/custom/", "/cust%6fm", "301 /custom/"),
            ("/custom/", "/version", "404 404 page not found"),
            ("/apix/", "/%61pix/version", "200 asked /apix/version"),
        ];
        for (prefix, path, wanted) in cases {
            assert_eq!(asked(prefix, path).await, wanted, "{prefix} {path}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_never_anybody_elses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = bound(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "before anybody can connect");
        let listener = socket.listen(WAITING).unwrap();
        let (connected, accepted) = tokio::join!(tokio::net::UnixStream::connect(&path), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
        assert!(bound(&path).is_err(), "it is there");
    }

    #[test]
    fn only_this_machine_may_ask_and_not_for_everything() {
        let filter = filter();
        let cases = [
            ("GET", "/api/v1/pods", "localhost:8001", true),
            ("GET", "/api/v1/pods", "127.0.0.1", true),
            ("GET", "/api/v1/pods", "evil.example:8001", false),
            ("POST", "/api/v1/namespaces/a/pods/b/exec", "localhost", false),
        ];
        for (method, path, host, wanted) in cases {
            assert_eq!(filter.accepts(method, path, host_of(host)), wanted, "{method} {path} {host}");
        }
    }

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        let cases = [
            ("/", None),
            ("/version", None),
            ("/api/", None),
            ("/static", Some("/static/")),
            ("/custom", Some("/custom/")),
            ("/static/../x", Some("/x")),
            ("//x", Some("/x")),
            ("/a/./b/", Some("/a/b/")),
        ];
        for (path, wanted) in cases {
            assert_eq!(better_path(path, &["/static/", "/custom/"]).as_deref(), wanted, "{path}");
        }
    }
}
