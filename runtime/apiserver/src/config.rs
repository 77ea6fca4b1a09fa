//! What the server is given: everything it needs from outside arrives here, so that tests and the cluster can choose.
//!
//! [`Dial`] opens streams to kubelets and Pods, [`AuditSink`] hears what was asked, [`Extension`] serves an API group elsewhere in the
//! process. None of the three is called with a lock held.

use std::io;
use std::sync::Arc;

use drydock_api::registry::Registry;
use drydock_primitives::clock::Clock;
use drydock_store::Store;
use futures::future::BoxFuture;
use http::{Request, Response};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::audit::AuditSink;
use crate::authenticate::Authenticator;
use crate::authorize::Authorizer;
use crate::body::Body;
use crate::identity::Identity;

/// Everything an [`crate::ApiServer`] needs.
pub struct Config {
    /// The resource table: which kinds exist.
    pub registry: Registry,
    /// The journal they are kept in.
    pub store: Store,
    /// The cluster's time.
    pub clock: Arc<dyn Clock>,
    /// Who is asking: bearer tokens and service account tokens (client certificates need no setup).
    pub authenticator: Arc<Authenticator>,
    /// Whether they may.
    pub authorizer: Arc<dyn Authorizer>,
    /// How kubelets and Pods are reached.
    pub dial: Arc<dyn Dial>,
    /// Who hears about requests and streams.
    pub audit: Arc<dyn AuditSink>,
    /// API groups served elsewhere in this process.
    pub extensions: Vec<Arc<dyn Extension>>,
    /// What `/version` and discovery say about where we are, e.g. `172.30.0.2:6443`.
    pub advertise: String,
}

/// A bidirectional byte stream.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Duplex for T {}

/// Where a stream should lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The kubelet of a node. The stream that comes back is already inside TLS; HTTP/1.1 is spoken on it.
    Kubelet {
        /// The Node's name.
        node: String,
        /// Its internal IP as its status has it (may be empty when the Node has not registered one).
        address: String,
        /// Its kubelet port, 10250 unless its status says otherwise.
        port: u16,
    },
    /// A plain TCP connection inside the cluster's network (Pod and Service proxies).
    Tcp {
        /// IP address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// Opens byte streams into the cluster.
pub trait Dial: Send + Sync + 'static {
    /// Opens a stream to `target`.
    fn dial(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>>;
}

/// An API group and version served elsewhere in this process, as an aggregated API would be.
pub trait Extension: Send + Sync + 'static {
    /// The group, e.g. `lab.drydock.internal`.
    fn group(&self) -> &str;
    /// The version, e.g. `v1alpha1`.
    fn version(&self) -> &str;
    /// The `APIResource` objects of discovery (`name`, `singularName`, `namespaced`, `kind`, `verbs`).
    fn resources(&self) -> Vec<Value>;
    /// Answers a request below `/apis/GROUP/VERSION`. The request is authenticated and authorized; its full path is kept, the caller is
    /// both the argument and an [`Identity`] extension, and for upgrades `hyper::upgrade::on(&mut request)` works.
    fn call(&self, request: Request<Body>, identity: Identity) -> BoxFuture<'static, Response<Body>>;
}
