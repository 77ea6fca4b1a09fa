//! Who may talk to the page: only our own user, only pages of ours, under our own names, with our cookie for all but reading.
//!
//! A site that rebinds its name to 127.0.0.1 sends its own `Host`; a site that posts here sends its own `Origin`; to neither
//! does a browser give the cookie (see [`crate::access`]). Other users of the machine get no document at all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::Access;
use crate::peer::Peer;

/// What is asked for when a request has no cookie.
const NO_COOKIE: &str = "this page may only be read; open the link that `drydock serve` printed, or run `drydock serve` again for a fresh one";

/// What a request is compared with.
#[derive(Clone)]
pub(crate) struct Guard {
    hosts: Arc<[String]>,
    /// Of the page.
    pub(crate) port: u16,
    /// Users whose processes may connect.
    users: Arc<[u32]>,
    /// Links and cookies.
    pub(crate) access: Access,
}

impl Guard {
    /// For a server on this port that keeps its secrets in `directory`.
    pub(crate) fn new(port: u16, directory: &Path) -> std::io::Result<Guard> {
        let names = ["127.0.0.1", "localhost", "[::1]", "drydock.localhost"];
        let hosts = names.iter().map(|name| format!("{name}:{port}")).collect();
        let access = Access::new(port, directory)?;
        Ok(Guard { hosts, port, users: users(fs::metadata(directory)?.uid(), std::env::var("SUDO_UID").ok().as_deref()), access })
    }

    pub(crate) fn knows_user(&self, request: &Request) -> bool {
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        peer.is_none_or(|ConnectInfo(peer)| peer.uid.is_some_and(|uid| self.users.contains(&uid)))
    }

    fn knows_host(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        host.is_some_and(|host| self.hosts.iter().any(|known| known == host))
    }

    fn origin(&self, headers: &HeaderMap) -> Origin {
        match headers.get(header::ORIGIN).map(HeaderValue::to_str) {
            None => Origin::Absent,
            Some(Ok(origin)) => match origin.strip_prefix("http://") {
                Some(host) if self.hosts.iter().any(|known| known == host) => Origin::Ours,
                _ => Origin::Foreign,
            },
            Some(Err(_)) => Origin::Foreign,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Origin {
    Absent,
    Ours,
    Foreign,
}

/// The owner of our files, root, and whoever became root to start us.
fn users(owner: u32, before_sudo: Option<&str>) -> Arc<[u32]> {
    let before = before_sudo.filter(|_| owner == 0).and_then(|uid| uid.parse().ok());
    [owner, 0].into_iter().chain(before).collect()
}

/// What everybody on this machine who gets a document may ask for: the book, the way in, and what pages are made of.
fn is_reading(method: &Method, path: &str) -> bool {
    let gets = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/api/access" => gets || *method == Method::POST,
        "/api/outline" | "/api/search" => gets,
        _ => gets && (path.starts_with("/api/chapters/") || !path.starts_with("/api/") && !path.starts_with("/ws/")),
    }
}

/// A browser says when a request was not made by the page itself; sockets are told apart by their origin.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
}

/// Refuse what does not come from us; add the headers every answer has.
pub(crate) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let refused = |why: &'static str| (StatusCode::FORBIDDEN, why).into_response();
    if !guard.knows_user(&request) {
        return refused("this Drydock was started by another user of this machine; start your own, or open it as that user");
    }
    if !guard.knows_host(request.headers()) {
        return refused("this server answers under 127.0.0.1 and localhost only");
    }
    let origin = guard.origin(request.headers());
    if origin == Origin::Foreign {
        return refused("requests from other sites are refused");
    }
    let socket = request.uri().path().starts_with("/ws/");
    if socket && origin != Origin::Ours {
        return refused("a socket is opened by the page only");
    }
    // Another site's page may name our documents, and nothing that makes us work.
    if request.uri().path() == "/api/search" && is_from_elsewhere(request.headers()) {
        return refused("requests from other sites are refused");
    }
    if !is_reading(request.method(), request.uri().path()) {
        if !socket && is_from_elsewhere(request.headers()) {
            return refused("requests from other sites are refused");
        }
        if !guard.access.is_known(request.headers()) {
            return (StatusCode::UNAUTHORIZED, NO_COOKIE).into_response();
        }
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

/// The policy of a document whose own style elements carry `nonce` (the terminal makes some); what it may frame are panes.
pub(crate) fn policy(nonce: &str, port: u16) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; frame-src http://*.localhost:{port}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn only_our_own_names_and_pages_are_known() {
        let directory = tempfile::tempdir().unwrap();
        let guard = Guard::new(4747, directory.path()).unwrap();
        let cases = [
            ("127.0.0.1:4747", None, true, Origin::Absent),
            ("localhost:4747", Some("http://localhost:4747"), true, Origin::Ours),
            ("drydock.localhost:4747", Some("https://localhost:4747"), true, Origin::Foreign),
            ("127.0.0.1:80", Some("null"), false, Origin::Foreign),
            ("evil.example:4747", Some("http://evil.example:4747"), false, Origin::Foreign),
        ];
        for (host, from, known, origin) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(from) = from {
                headers.insert(header::ORIGIN, from.parse().unwrap());
            }
            assert_eq!(guard.knows_host(&headers), known, "{host}");
            assert!(guard.origin(&headers) == origin, "{from:?}");
        }
    }

    #[tokio::test]
    async fn who_is_let_through() {
        use axum::routing::get;
        use tower::ServiceExt;
        let directory = tempfile::tempdir().unwrap();
        let guard = Guard::new(4747, directory.path()).unwrap();
        let answer = || get(async || "").post(async || "").put(async || "").delete(async || "");
        let mut routes = axum::Router::new();
        for path in ["/ch02", "/ws/events", "/api/files", "/api/chapters/ch02", "/api/access", "/api/search", "/api/reset"] {
            routes = routes.route(path, answer());
        }
        let routes = routes.layer(axum::middleware::from_fn_with_state(guard.clone(), check));
        let address = crate::access::link("", directory.path()).unwrap();
        let cookie = guard.access.exchange(address.rsplit('=').next().unwrap()).unwrap().unwrap();
        let cookie = cookie.split(';').next();
        let (own, ours, evil) = (Some("127.0.0.1:4747"), Some("http://127.0.0.1:4747"), Some("http://evil.example"));
        let (ok, no, closed) = (StatusCode::OK, StatusCode::FORBIDDEN, StatusCode::UNAUTHORIZED);
        let cases = [
            ("GET", "/ch02", own, None, None, ok),
            ("GET", "/ch02", None, None, cookie, no),
            ("GET", "/ch02", Some("evil.example:4747"), None, cookie, no),
            ("GET", "/ch02", own, evil, cookie, no),
            ("GET", "/api/chapters/ch02", own, None, None, ok),
            ("GET", "/api/access", own, None, None, ok),
            ("GET", "/api/search", own, None, None, ok),
            ("POST", "/api/access", own, ours, None, ok),
            ("POST", "/api/access", own, evil, None, no),
            ("GET", "/api/files", own, None, None, closed),
            ("GET", "/api/files", own, None, cookie, ok),
            ("POST", "/ch02", own, ours, None, closed),
            ("POST", "/api/reset", own, ours, cookie, ok),
            ("POST", "/api/reset", own, None, None, closed),
            ("PUT", "/api/reset", own, ours, None, closed),
            ("DELETE", "/api/reset", own, ours, Some("drydock-4747=0000"), closed),
            ("POST", "/api/reset", own, Some("null"), cookie, no),
            ("GET", "/ws/events", own, ours, cookie, ok),
            ("GET", "/ws/events", own, None, cookie, no),
            ("GET", "/ws/events", own, ours, None, closed),
        ];
        for (method, path, host, origin, cookie, wanted) in cases {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in [("host", host), ("origin", origin), ("cookie", cookie)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), wanted, "{method} {path} {host:?} {origin:?} {cookie:?}");
            assert!(wanted != ok || answer.headers()[header::X_FRAME_OPTIONS] == "DENY");
        }
        for (site, wanted) in [("same-origin", ok), ("same-site", no), ("cross-site", no), ("none", ok)] {
            for path in ["/api/files", "/api/search"] {
                let request = Request::get(path).header("host", "127.0.0.1:4747").header("cookie", cookie.unwrap()).header("sec-fetch-site", site);
                assert_eq!(routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status(), wanted, "{path} {site}");
            }
        }
        let own = fs::metadata(directory.path()).unwrap().uid();
        for (uid, wanted) in [(Some(own), ok), (Some(0), ok), (Some(own + 1), no), (None, no)] {
            let request = Request::get("/ch02").header("host", "127.0.0.1:4747").extension(ConnectInfo(Peer { uid })).body(Body::empty()).unwrap();
            assert_eq!(routes.clone().oneshot(request).await.unwrap().status(), wanted, "user {uid:?}");
        }
    }

    #[test]
    fn sudo_does_not_lock_its_user_out() {
        assert_eq!(*users(0, Some("1000")), [0, 0, 1000]);
        assert_eq!(*users(1000, Some("1001")), [1000, 0], "a variable anybody can set counts for root only");
    }
}
