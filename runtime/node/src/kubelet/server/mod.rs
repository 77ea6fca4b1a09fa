//! Port 10250: the node's own API, for the API server and the evidence.
//!
//! HTTPS, HTTP/1.1, for the API server alone: it has looked at the rights of whoever asked it, and others have no business here. Streams are WebSockets: `v5.channel.k8s.io` for exec and attach,
//! raw bytes of one connection for port-forward.

// upstream: pkg/kubelet/server/server.go

mod channels;
mod containers;
mod exec;
mod forward;
mod log;
mod log_options;
mod rewind;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, ObjectList};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::KubeletError;
use super::config::API_SERVER_USER;
use super::node::Node;

const PORT: u16 = 10250;

type Shared = State<Arc<Node>>;

/// A refusal as plain text.
struct Refusal(StatusCode, String);

impl Refusal {
    fn bad(text: impl Into<String>) -> Refusal {
        Refusal(StatusCode::BAD_REQUEST, text.into())
    }

    fn missing(text: impl Into<String>) -> Refusal {
        Refusal(StatusCode::NOT_FOUND, text.into())
    }

    fn internal(text: impl Into<String>) -> Refusal {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, self.1 + "\n").into_response()
    }
}

/// Listen and serve in the background.
pub(super) async fn start(node: &Arc<Node>) -> Result<(), KubeletError> {
    let tls = TlsAcceptor::from(Arc::new(super::tls::server_config(&node.config)?));
    let address = SocketAddr::from((node.config.node_ip, PORT));
    let listener = TcpListener::bind(address).await;
    let listener = listener.map_err(|error| KubeletError::Start { what: format!("listen at {address}"), error: error.to_string() })?;
    tokio::spawn(accept(listener, tls, router(Arc::clone(node))));
    Ok(())
}

fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/pods", get(pods))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(log::serve))
        .route("/exec/{namespace}/{pod}/{container}", get(exec::exec))
        .route("/attach/{namespace}/{pod}/{container}", get(exec::attach))
        .route("/portForward/{namespace}/{pod}", get(forward::serve))
        .route("/drydock/containers", get(containers::serve))
        .route("/drydock/pods/halt", post(rewind::halt))
        .route("/drydock/pods/release", post(rewind::release))
        .route("/drydock/age", post(rewind::age))
        .with_state(node)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, router: Router) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, tls.clone(), router.clone()));
            }
            Err(error) => {
                // Out of descriptors or of memory: the loop must not spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::trace!(%error, "nodelay");
    }
    let stream = match tls.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "a client that cannot be trusted");
            return;
        }
    };
    let user = super::tls::user(stream.get_ref().1);
    let router = if user.as_deref() == Some(API_SERVER_USER) { router } else { forbidden(&user.unwrap_or_default()) };
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = serving.with_upgrades().await {
        tracing::debug!(%error, "a connection ended");
    }
}

/// All that others hear: the authority knows them, the kubelet does not serve them.
fn forbidden(user: &str) -> Router {
    let refusal = format!("Forbidden (user={user:?}, verb=\"get\", resource=\"nodes\", subresource=\"proxy\")");
    Router::new().fallback(async move || Refusal(StatusCode::FORBIDDEN, refusal.clone()))
}

/// The Pods of this node as the API has them.
async fn pods(State(node): Shared) -> Result<axum::Json<ObjectList<Pod>>, Refusal> {
    let api: Api<Pod> = Api::all(node.client.clone());
    let own = ListParams::default().fields(&format!("spec.nodeName={}", node.config.node_name));
    api.list(&own).await.map(axum::Json).map_err(|error| Refusal::internal(error.to_string()))
}

/// The Pod as the API has it.
async fn pod(node: &Node, namespace: &str, name: &str) -> Result<Pod, Refusal> {
    let api: Api<Pod> = Api::namespaced(node.client.clone(), namespace);
    match api.get_opt(name).await {
        Ok(Some(pod)) => Ok(pod),
        Ok(None) => Err(Refusal::missing(format!("pod \"{name}\" not found"))),
        Err(error) => Err(Refusal::internal(error.to_string())),
    }
}

/// Query parameters; a name may come more than once.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<&str>) -> Query {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Query(pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        }).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.clone()).collect()
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"))
    }
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

    use super::super::config::KubeletConfig;
    use super::*;

    /// A certificate of `issuer`, good for `localhost`, and its key.
    fn issue(issuer: &Issuer<'_, KeyPair>, user: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
    }

    /// The status a client with this certificate is answered with.
    async fn status(server: &KubeletConfig, (certificate, key): (String, String)) -> StatusCode {
        let (near, far) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), TlsAcceptor::from(Arc::new(crate::kubelet::tls::server_config(server).unwrap())));
        let address = near.local_addr().unwrap();
        tokio::spawn(accept(near, far, Router::new().route("/pods", get(async || "served"))));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(server.ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let client = client.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("/pods").header("host", "localhost").body(http_body_util::Empty::<bytes::Bytes>::new().boxed()).unwrap();
        sender.send_request(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn only_the_api_server_is_served() {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let (server_certificate, server_key) = issue(&issuer, "system:node:node-1");
        let server = KubeletConfig { ca, server_certificate, server_key, ..KubeletConfig::default() };
        for (user, wanted) in [(API_SERVER_USER, StatusCode::OK), ("system:node:node-2", StatusCode::FORBIDDEN), ("learner", StatusCode::FORBIDDEN)] {
            assert_eq!(status(&server, issue(&issuer, user)).await, wanted, "{user}");
        }
    }

    #[test]
    fn parameters_are_read_with_their_order() {
        let query = Query::parse(Some("command=sh&command=-c&command=echo%20%24A+b&tty=1&stdin=false"));
        assert_eq!(query.all("command"), ["sh", "-c", "echo $A b"]);
        assert!(query.flag("tty") && !query.flag("stdin") && !query.flag("stdout"));
        assert_eq!(query.get("none"), None);
    }
}
