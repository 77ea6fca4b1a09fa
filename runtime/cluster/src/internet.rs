//! The Internet of the lab: names, addresses and pages that a course declares, so that "apply from a URL" and a nickname for a host far
//! away work with no network at all.
//!
//! 1. [`Internet::new`] reads what is declared: pages by host and path, and `names.yaml`, which says where hosts are.
//! 2. The names resolve in the lab's DNS only; their addresses lead to the control plane, which answers on ports 80 and 443.
//! 3. Certificates come from the cluster's own authority, which the workstation and every container trust. Nothing here ever dials out.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// The file that says where hosts are; it belongs to no host.
pub(crate) const NAMES: &str = "names.yaml";

/// Where a host is, in `names.yaml`: another name, or addresses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    cname: Option<String>,
    #[serde(default)]
    addresses: Vec<Ipv4Addr>,
}

/// A declaration that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InternetError {
    /// Not a map of names.
    #[error("{NAMES} of the lab's Internet: {0}")]
    Syntax(String),
    /// A name with no place, or with two.
    #[error("{NAMES} of the lab's Internet: {0} needs either a cname or addresses")]
    Ambiguous(String),
    /// An address that is somebody else's.
    #[error("{NAMES} of the lab's Internet: {name} is at {address}, which belongs to the cluster")]
    Taken {
        /// The name.
        name: String,
        /// Its address.
        address: Ipv4Addr,
    },
}

/// What a course declares.
#[derive(Debug, Clone, Default)]
pub(crate) struct Internet {
    pages: Arc<BTreeMap<(String, String), Bytes>>,
    addresses: BTreeMap<String, Vec<Ipv4Addr>>,
    aliases: BTreeMap<String, String>,
}

impl Internet {
    /// From (`host`, `path`, `contents`); hosts that `names.yaml` does not place are at `own`.
    pub(crate) fn new(files: &[(String, String, String)], own: Ipv4Addr, taken: impl Fn(Ipv4Addr) -> bool) -> Result<Internet, InternetError> {
        let mut internet = Internet::default();
        let mut pages = BTreeMap::new();
        for (host, path, text) in files {
            if host.is_empty() && path.trim_start_matches('/') == NAMES {
                internet.declare(text, &taken)?;
            } else {
                pages.insert((host.to_ascii_lowercase(), path.clone()), Bytes::from(text.clone()));
            }
        }
        for (host, _) in pages.keys() {
            if !internet.aliases.contains_key(host) {
                internet.addresses.entry(host.clone()).or_insert_with(|| vec![own]);
            }
        }
        internet.pages = Arc::new(pages);
        Ok(internet)
    }

    fn declare(&mut self, text: &str, taken: &impl Fn(Ipv4Addr) -> bool) -> Result<(), InternetError> {
        let documents = drydock_primitives::yaml::parse_documents(text).map_err(|error| InternetError::Syntax(error.to_string()))?;
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            let names: BTreeMap<String, Declared> = serde_json::from_value(document).map_err(|error| InternetError::Syntax(error.to_string()))?;
            for (name, declared) in names {
                let name = name.to_ascii_lowercase();
                match declared {
                    Declared { cname: Some(target), addresses } if addresses.is_empty() => {
                        self.aliases.insert(name, target.to_ascii_lowercase());
                    }
                    Declared { cname: None, addresses } if !addresses.is_empty() => {
                        if let Some(address) = addresses.iter().copied().find(|address| taken(*address)) {
                            return Err(InternetError::Taken { name, address });
                        }
                        self.addresses.insert(name, addresses);
                    }
                    Declared { .. } => return Err(InternetError::Ambiguous(name)),
                }
            }
        }
        Ok(())
    }

    /// Names and their addresses.
    pub(crate) fn hosts(&self) -> &BTreeMap<String, Vec<Ipv4Addr>> {
        &self.addresses
    }

    /// Names that stand for other names.
    pub(crate) fn aliases(&self) -> &BTreeMap<String, String> {
        &self.aliases
    }

    /// Every name with the address it leads to in the end.
    pub(crate) fn resolved(&self) -> BTreeMap<String, Ipv4Addr> {
        let names = self.addresses.keys().chain(self.aliases.keys());
        names.filter_map(|name| Some((name.clone(), self.resolve(name)?))).collect()
    }

    fn resolve(&self, name: &str) -> Option<Ipv4Addr> {
        let mut name = name;
        // A chain is never longer than there are names; a circle leads nowhere.
        for _ in 0..=self.aliases.len() {
            match self.aliases.get(name) {
                Some(target) => name = target,
                None => return self.addresses.get(name)?.first().copied(),
            }
        }
        None
    }

    /// Every address something is at.
    pub(crate) fn places(&self) -> BTreeSet<Ipv4Addr> {
        self.addresses.values().flatten().copied().collect()
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let host = request.uri().host().map(str::to_owned).or_else(|| {
            let header = request.headers().get(header::HOST)?.to_str().ok()?;
            Some(header.split(':').next().unwrap_or(header).to_owned())
        });
        self.page(&host.unwrap_or_default().to_ascii_lowercase(), request.uri().path())
    }

    fn page(&self, host: &str, path: &str) -> Response<Full<Bytes>> {
        let (status, body, kind) = match self.pages.get(&(host.to_owned(), path.to_owned())) {
            Some(page) => (StatusCode::OK, page.clone(), content_type(path)),
            None => (StatusCode::NOT_FOUND, Bytes::from(format!("404: Drydock's lab has no page {path} on {host}\n")), content_type("")),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
        response
    }
}

/// What a page is, by the end of its name.
fn content_type(path: &str) -> &'static str {
    match path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

/// Answer until cancelled; with `tls` the connections are encrypted.
pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, internet: Internet, cancel: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = cancel.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "lab internet: accept");
                continue;
            }
        };
        let (tls, internet) = (tls.clone(), internet.clone());
        tokio::spawn(async move {
            match tls {
                None => speak(stream, internet).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => speak(stream, internet).await,
                    Err(error) => tracing::debug!(%error, "lab internet: TLS"),
                },
            }
        });
    }
}

async fn speak<S>(stream: S, internet: Internet)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request| {
        let response = internet.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    if let Err(error) = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "lab internet: connection");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);

    fn internet(names: &str) -> Result<Internet, InternetError> {
        let page = |host: &str, path: &str, text: &str| (host.to_owned(), path.to_owned(), text.to_owned());
        let files = [page("Raw.example", "/rng", "42"), page("plain.example", "/a.json", "{}"), page("", "/names.yaml", names)];
        Internet::new(&files, OWN, |address| address.octets()[0] == 10)
    }

    #[test]
    fn hosts_are_where_they_are_said_to_be() {
        let lab = internet("raw.example: {cname: cdn.example}\ncdn.example: {addresses: [151.101.0.133, 151.101.64.133]}\nloop.example: {cname: loop.example}\n").unwrap();
        let at = |name: &str| lab.resolved().get(name).copied();
        assert_eq!(at("raw.example"), Some(Ipv4Addr::new(151, 101, 0, 133)));
        assert_eq!(at("plain.example"), Some(OWN), "a host nobody places is at the lab's own address");
        assert_eq!(at("loop.example"), None);
        assert_eq!(lab.aliases()["raw.example"], "cdn.example");
        assert_eq!(lab.places().len(), 3);
    }

    #[test]
    fn a_page_belongs_to_its_host() {
        let lab = internet("").unwrap();
        for (host, path, status, kind) in [
            ("raw.example", "/rng", 200, "text/plain; charset=utf-8"),
            ("numbers-api", "/rng", 404, "text/plain; charset=utf-8"),
            ("plain.example", "/a.json", 200, "application/json"),
            ("plain.example", "/b", 404, "text/plain; charset=utf-8"),
        ] {
            let page = lab.page(host, path);
            assert_eq!((page.status().as_u16(), page.headers()[header::CONTENT_TYPE].to_str().unwrap()), (status, kind), "{host}{path}");
        }
    }

    #[test]
    fn a_wrong_declaration_is_named() {
        for (names, wanted) in [
            ("a.example: {}", "a.example needs either a cname or addresses"),
            ("a.example: {cname: b, addresses: [1.2.3.4]}", "a.example needs either a cname or addresses"),
            ("a.example: {addresses: [10.96.0.1]}", "a.example is at 10.96.0.1, which belongs to the cluster"),
            ("a.example: {address: 1.2.3.4}", "unknown field `address`"),
            ("- a", "names.yaml of the lab's Internet"),
        ] {
            let error = internet(names).unwrap_err().to_string();
            assert!(error.contains(wanted), "{names}: {error}");
        }
    }
}
