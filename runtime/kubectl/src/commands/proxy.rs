//! `kubectl proxy`: the API without credentials, for programs of this machine.
// upstream: kubectl/pkg/cmd/proxy/proxy.go, pkg/proxy/proxy_server.go

use std::convert::Infallible;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clap::{ArgMatches, Command};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use regex::Regex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{Flags, duration, number, switch, text};

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
struct Server {
    client: kube::Client,
    filter: Option<Filter>,
    api_prefix: String,
    files: Option<(String, PathBuf)>,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let server = Arc::new(server(factory, matches).await?);
    let socket = matches.text("unix-socket");
    if matches.number("port") != 8001 && !socket.is_empty() {
        return Err(Failure::new("cannot set --unix-socket and --port at the same time"));
    }
    if socket.is_empty() {
        let address = format!("{}:{}", matches.text("address"), matches.number("port"));
        let listener = TcpListener::bind(&address).await.map_err(|error| Failure::new(format!("listen tcp {address}: bind: {}", go_io(&error))))?;
        say(factory, &listener.local_addr()?.to_string())?;
        loop {
            let (connection, _) = listener.accept().await?;
            tokio::spawn(serve(Arc::clone(&server), connection));
        }
    }
    let path = factory.env.path(&socket);
    // A socket left over from before would be in the way.
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(&path).map_err(|error| Failure::new(format!("listen unix {socket}: bind: {}", go_io(&error))))?;
    say(factory, &socket)?;
    loop {
        let (connection, _) = listener.accept().await?;
        tokio::spawn(serve(Arc::clone(&server), connection));
    }
}

fn say(factory: &Factory, place: &str) -> Result<(), Failure> {
    factory.streams.line(&format!("Starting to serve on {place}"))?;
    factory.streams.flush()
}

async fn server(factory: &Factory, matches: &ArgMatches) -> Result<Server, Failure> {
    let slashed = |flag: &str| {
        let prefix = matches.text(flag);
        if prefix.ends_with('/') { prefix } else { format!("{prefix}/") }
    };
    let patterns = |flag: &str| -> Result<Vec<Regex>, Failure> {
        let list = matches.text(flag);
        let parts = list.split(',').filter(|_| !list.is_empty());
        parts.map(|part| Regex::new(part).map_err(|error| Failure::Plain(format!("Error compiling re: {error}"), 255))).collect()
    };
    let filter = Filter {
        accepted_paths: patterns("accept-paths")?,
        rejected_paths: patterns("reject-paths")?,
        accepted_hosts: patterns("accept-hosts")?,
        rejected_methods: patterns("reject-methods")?,
    };
    let files = matches.text("www");
    if let Some(error) = Some(&files).filter(|files| !files.is_empty()).and_then(|files| std::fs::metadata(factory.env.path(files)).err()) {
        let text = format!("Failed to stat static file directory {files}: stat {files}: {}", crate::failure::go_io(&error));
        crate::write::klog(factory, 'W', "proxy.go:200", &text);
    }
    Ok(Server {
        client: factory.rest().await?.client.clone(),
        filter: (!matches.on("disable-filter")).then_some(filter),
        api_prefix: slashed("api-prefix"),
        files: (!files.is_empty()).then(|| (slashed("www-prefix"), factory.env.path(&files))),
    })
}

impl Filter {
    fn accepts(&self, method: &str, path: &str, host: &str) -> bool {
        let any = |patterns: &[Regex], text: &str| patterns.iter().any(|pattern| pattern.is_match(text));
        !any(&self.rejected_paths, path) && !any(&self.rejected_methods, method) && any(&self.accepted_paths, path) && any(&self.accepted_hosts, host)
    }
}

async fn serve(server: Arc<Server>, connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    // A client that goes away ends its connection; nothing else does.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(connection), service).await);
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if let Some((prefix, directory)) = &self.files
            && let Some(rest) = path.strip_prefix(prefix)
        {
            return file(directory, rest);
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if let Some(filter) = &self.filter
            && !filter.accepts(request.method().as_str(), &path, host_of(host))
        {
            return plain(StatusCode::FORBIDDEN, "Forbidden\n");
        }
        if !path.starts_with(&self.api_prefix) {
            return plain(StatusCode::NOT_FOUND, "404 page not found\n");
        }
        self.forward(request).await.unwrap_or_else(|error| plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")))
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let target = format!("/{}", target.strip_prefix(&self.api_prefix).unwrap_or(target));
        let body = body.collect().await?.to_bytes();
        let mut forwarded = Request::builder().method(parts.method).uri(target).body(Body::from(body.to_vec()))?;
        *forwarded.headers_mut() = end_to_end(parts.headers);
        let response = self.client.send(forwarded).await?;
        let (mut parts, body) = response.into_parts();
        parts.headers = end_to_end(parts.headers);
        parts.version = http::Version::HTTP_11;
        Ok(Response::from_parts(parts, body))
    }
}

/// Headers without those of one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::CONTENT_LENGTH] {
        headers.remove(name);
    }
    headers
}

/// A host without its port.
fn host_of(header: &str) -> &str {
    match header.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']')) => host.trim_matches(['[', ']']),
        _ => header,
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.as_bytes().to_vec()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A file of the directory, or its list; nothing outside it.
fn file(directory: &Path, path: &str) -> Response<Body> {
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
    let inside = Path::new(&decoded).components().all(|component| matches!(component, Component::Normal(_) | Component::CurDir));
    let target = directory.join(&decoded);
    if !inside {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    let target = if target.is_dir() { target.join("index.html") } else { target };
    match std::fs::read(&target) {
        Ok(bytes) => {
            let kind = match target.extension().and_then(|extension| extension.to_str()) {
                Some("html") => "text/html; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                Some("js") => "text/javascript; charset=utf-8",
                Some("json") => "application/json",
                _ => "text/plain; charset=utf-8",
            };
            let mut response = Response::new(Body::from(bytes));
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            response
        }
        Err(_) => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_ask_and_not_for_everything() {
        let patterns = |list: &str| list.split(',').map(|part| Regex::new(part).unwrap()).collect();
        let filter = Filter {
            accepted_paths: patterns("^.*"),
            rejected_paths: patterns("^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"),
            accepted_hosts: patterns("^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$"),
            rejected_methods: patterns("^$"),
        };
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
    fn files_outside_the_directory_are_not_there() {
        assert_eq!(file(Path::new("/tmp"), "../etc/passwd").status(), StatusCode::NOT_FOUND);
        assert_eq!(file(Path::new("/tmp"), "%2e%2e/etc/passwd").status(), StatusCode::NOT_FOUND);
    }
}
