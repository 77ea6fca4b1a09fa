//! Who may talk to the page: only our own user, only pages of ours, under our own names, with our token for what changes something.
//!
//! A site that rebinds its name to 127.0.0.1 sends its own `Host`; a site that posts here sends its own `Origin`; neither
//! can read the token, which stands in our documents only. Other users of the machine could, so they get no document at all.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::peer::Peer;

/// Header that carries the token.
pub(crate) const TOKEN_HEADER: &str = "x-drydock-token";

/// What a request is compared with.
#[derive(Clone)]
pub(crate) struct Guard {
    hosts: Arc<[String]>,
    /// Users whose processes may connect.
    users: Arc<[u32]>,
    /// Stands in every document we serve.
    pub(crate) token: Arc<str>,
}

impl Guard {
    /// For a server on this port, with the token of `directory` (made if missing, kept over restarts).
    pub(crate) fn new(port: u16, directory: &Path) -> std::io::Result<Guard> {
        let names = ["127.0.0.1", "localhost", "[::1]", "drydock.localhost"];
        let hosts = names.iter().map(|name| format!("{name}:{port}")).collect();
        let path = directory.join("token");
        let token = token(&path)?.into();
        Ok(Guard { hosts, users: users(fs::metadata(&path)?.uid(), std::env::var("SUDO_UID").ok().as_deref()), token })
    }

    fn knows_user(&self, request: &Request) -> bool {
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

    fn knows_token(&self, request: &Request) -> bool {
        let by_header = request.headers().get(TOKEN_HEADER).and_then(|value| value.to_str().ok());
        let by_query = || request.uri().query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("token=")));
        by_header.or_else(by_query).is_some_and(|token| same(token, &self.token))
    }
}

#[derive(PartialEq, Eq)]
enum Origin {
    Absent,
    Ours,
    Foreign,
}

/// Compare without telling by time how much was right.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

/// The owner of our files, root, and whoever became root to start us.
fn users(owner: u32, before_sudo: Option<&str>) -> Arc<[u32]> {
    let before = before_sudo.filter(|_| owner == 0).and_then(|uid| uid.parse().ok());
    [owner, 0].into_iter().chain(before).collect()
}

fn token(path: &Path) -> std::io::Result<String> {
    if let Ok(known) = fs::read_to_string(path)
        && known.len() >= 32
    {
        return Ok(known);
    }
    let fresh = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(fresh.as_bytes())?;
    Ok(fresh)
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
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if (changes || socket) && !guard.knows_token(&request) {
        return refused("the page is from another server; load it again");
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

/// The policy of a document whose own style elements carry `nonce` (the terminal makes some).
pub(crate) fn policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
        let routes = axum::Router::new().route("/ch02", answer()).route("/ws/events", answer());
        let routes = routes.layer(axum::middleware::from_fn_with_state(guard.clone(), check));
        let (own, ours, token) = (Some("127.0.0.1:4747"), Some("http://127.0.0.1:4747"), Some(&*guard.token));
        let (ok, no) = (StatusCode::OK, StatusCode::FORBIDDEN);
        let cases = [
            ("GET", "/ch02", own, None, None, ok),
            ("GET", "/ch02", None, None, token, no),
            ("GET", "/ch02", Some("evil.example:4747"), None, token, no),
            ("GET", "/ch02", own, Some("http://evil.example"), token, no),
            ("POST", "/ch02", own, ours, token, ok),
            ("POST", "/ch02", own, None, None, no),
            ("PUT", "/ch02", own, ours, None, no),
            ("DELETE", "/ch02", own, ours, Some("0000"), no),
            ("POST", "/ch02", own, Some("null"), token, no),
            ("GET", "/ws/events", own, ours, token, ok),
            ("GET", "/ws/events", own, None, token, no),
            ("GET", "/ws/events", own, ours, None, no),
        ];
        for (method, path, host, origin, token, wanted) in cases {
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in [("host", host), ("origin", origin), (TOKEN_HEADER, token)] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
            let answer = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), wanted, "{method} {path} {host:?} {origin:?} {token:?}");
            assert!(wanted == no || answer.headers()[header::X_FRAME_OPTIONS] == "DENY");
        }
        let own = fs::metadata(directory.path().join("token")).unwrap().uid();
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

    #[test]
    fn the_token_is_kept_and_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let guard = Guard::new(4747, directory.path()).unwrap();
        assert_eq!(guard.token, Guard::new(4747, directory.path()).unwrap().token);
        let request = |uri: &str| Request::get(uri).body(Body::empty()).unwrap();
        assert!(guard.knows_token(&request(&format!("/ws/events?a=b&token={}", guard.token))));
        assert!(!guard.knows_token(&request("/ws/events?token=")));
        assert!(!guard.knows_token(&request("/ws/events")));
    }
}
