//! The two doors of the server: TLS listeners, and a `tower::Service` for clients inside the process.
//!
//! TLS connections speak HTTP/1.1 or HTTP/2 as ALPN says; a client certificate is optional and becomes the caller's identity. The
//! in-process service hands requests over directly; only upgrades (exec, port-forward) take a private pipe with HTTP/1.1 on it, because
//! an upgraded connection needs a connection.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, header};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ApiServer;
use crate::authenticate::Authenticator;
use crate::body::{self, Body, BoxError};
use crate::identity::Identity;

/// How long a client may take for its handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Small answers at once, and an end for connections whose machine vanished: its network goes without a word when it is switched off, and
/// a watch has nothing to send that would tell.
fn tune(stream: &TcpStream) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &15)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &5)?;
    setsockopt(stream, sockopt::TcpKeepCount, &3)?;
    Ok(())
}

/// Why a TLS configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or key is not usable.
    #[error("set up the server's TLS certificate")]
    Certificate(#[source] rustls::Error),
    /// The client CA is not usable.
    #[error("set up verification of client certificates: {0}")]
    ClientAuthority(String),
}

/// A TLS configuration with ALPN h2 and http/1.1, and client certificates optional but, when shown, issued by `client_authority`.
pub fn tls_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_authority: &CertificateDer<'_>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(client_authority.clone().into_owned()).map_err(|error| TlsError::ClientAuthority(error.to_string()))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::ClientAuthority(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Certificate)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(TlsError::Certificate)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl ApiServer {
    /// Serves TLS connections of `listener` until `cancel`; open connections are then dropped.
    pub async fn serve_tls(&self, listener: TcpListener, tls: Arc<ServerConfig>, cancel: CancellationToken) -> io::Result<()> {
        let acceptor = TlsAcceptor::from(tls);
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            let server = self.clone();
            let acceptor = acceptor.clone();
            let cancel = cancel.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = server.serve_connection(acceptor, stream) => {}
                }
            });
        }
        connections.close();
        connections.wait().await;
        Ok(())
    }

    async fn serve_connection(&self, acceptor: TlsAcceptor, stream: TcpStream) {
        if let Err(error) = tune(&stream) {
            tracing::debug!(%error, "set socket options");
        }
        let stream = match tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                return;
            }
            Err(_elapsed) => {
                tracing::debug!("TLS handshake not finished in time");
                return;
            }
        };
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(<[_]>::first)
            .and_then(|certificate| Authenticator::certificate(certificate.as_ref()));
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let server = self.clone();
            let certificate = certificate.clone();
            async move { Ok::<_, Infallible>(server.handle(request.map(body::wrap), certificate).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http2().max_concurrent_streams(1000);
        if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "connection ended");
        }
    }

    /// A service for clients in this process, e.g. `kube::Client::new(server.in_process(identity), "default")`. A request carrying its
    /// own [`Identity`] extension is made by that identity instead.
    pub fn in_process(&self, identity: Identity) -> InProcess {
        InProcess { server: self.clone(), identity }
    }
}

/// See [`ApiServer::in_process`].
#[derive(Clone)]
pub struct InProcess {
    server: ApiServer,
    identity: Identity,
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        let identity = request.extensions().get::<Identity>().cloned().unwrap_or_else(|| self.identity.clone());
        let mut request = request.map(body::wrap);
        // A component that does not introduce itself goes by its user: `system:kube-scheduler` writes as `kube-scheduler`.
        if let (None, Ok(agent)) = (request.headers().get(header::USER_AGENT), identity.user.trim_start_matches("system:").parse()) {
            request.headers_mut().insert(header::USER_AGENT, agent);
        }
        Box::pin(async move {
            if wants_upgrade(request.headers()) {
                return over_a_pipe(server, request, identity).await;
            }
            Ok(server.handle(request, Some(identity)).await)
        })
    }
}

/// Whether a request asks for its connection.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> bool {
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")));
    asks && headers.contains_key(header::UPGRADE)
}

async fn over_a_pipe(server: ApiServer, request: Request<Body>, identity: Identity) -> Result<Response<Body>, BoxError> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let server = server.clone();
        let identity = identity.clone();
        async move { Ok::<_, Infallible>(server.handle(request.map(body::wrap), Some(identity)).await) }
    });
    tokio::spawn(async move {
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(%error, "in-process connection ended");
        }
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "in-process connection ended");
        }
    });
    let mut request = request;
    if !request.headers().contains_key(header::HOST) {
        request.headers_mut().insert(header::HOST, http::HeaderValue::from_static("kubernetes.default.svc"));
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).parse()?;
    *request.uri_mut() = path;
    Ok(sender.send_request(request).await?.map(body::wrap))
}
