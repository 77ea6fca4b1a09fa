//! The Internet of the lab: a few HTTPS names with fixed pages, so that "apply from a URL" works with no network at all.
//!
//! The names resolve (in the lab's DNS only) to the control plane; the certificates come from the cluster's own authority, which the
//! workstation trusts. Nothing here ever dials out.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Pages by host and path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages(Arc<BTreeMap<(String, String), Bytes>>);

impl Pages {
    /// Pages from (`host`, `path`, `contents`).
    pub(crate) fn new(pages: &[(String, String, String)]) -> Pages {
        Pages(Arc::new(pages.iter().map(|(host, path, text)| ((host.clone(), path.clone()), Bytes::from(text.clone()))).collect()))
    }

    /// The names that are answered for.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> = self.0.keys().map(|(host, _)| host.clone()).collect();
        hosts.dedup();
        hosts
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let host = request.uri().host().map(str::to_owned).or_else(|| {
            let header = request.headers().get(header::HOST)?.to_str().ok()?;
            Some(header.split(':').next().unwrap_or(header).to_owned())
        });
        let key = (host.unwrap_or_default(), request.uri().path().to_owned());
        let mut response = match self.0.get(&key) {
            Some(page) => Response::new(Full::new(page.clone())),
            None => {
                let text = format!("404: Drydock's lab has no page {} on {}\n", key.1, key.0);
                let mut response = Response::new(Full::new(Bytes::from(text)));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        };
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

/// Serve the pages until cancelled.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, pages: Pages, cancel: CancellationToken) {
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
        let (tls, pages) = (tls.clone(), pages.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = hyper::service::service_fn(move |request| {
                let response = pages.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            if let Err(error) = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "lab internet: connection");
            }
        });
    }
}
