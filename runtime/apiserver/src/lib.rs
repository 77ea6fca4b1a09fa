//! The API server of Drydock: authentication, authorization, one write path, one read path, watches and streams over the resource table
//! of `drydock-api` and the journal of `drydock-store`.
//!
//! A request goes through four steps. [`serve`] takes it from TLS or from an in-process client and says who is asking; `dispatch` reads
//! its path ([`request`]), authorizes it, finds the row of the resource table, and reports it to the [`audit`] sink; `write`, `read`,
//! `watch`, or a module of [`streams`] answers; `respond` encodes the answer as the client negotiated (JSON, YAML, Table, metadata only).
//!
//! # Invariants
//! * No kind is known here that is not a subresource, an allocator or a review: kinds live in `drydock_api::groups`.
//! * An object changes only by a store transaction that expects the revision the change was computed from.
//! * Whoever asks gets a `metav1.Status` with upstream's words when something is refused.
//! * Every request is reported to the audit sink once; every stream when it opens and when it closes, however its task ends.
//! * The server does not know its clients' library: nothing here depends on `kube`.

#![allow(clippy::result_large_err, reason = "a Status is the error of the whole crate and is small enough")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use drydock_api::registry::Registry;

mod admission;
mod allocate;
pub mod audit;
pub mod authenticate;
pub mod authorize;
pub mod body;
mod call;
pub mod config;
mod dispatch;
pub mod documents;
pub mod identity;
mod nodes;
mod protobuf;
mod read;
mod remove;
pub mod request;
mod respond;
mod reviews;
pub mod serve;
mod storage;
pub mod streams;
mod subresources;
mod watch;
mod write;

pub use config::{Config, Dial, Duplex, Extension, Target};
pub use identity::Identity;

/// The server. Cloning is cheap and clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    pub(crate) inner: Arc<Inner>,
}

/// What all clones share.
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) registry: RwLock<Registry>,
    /// Held while a Service's addresses and ports are chosen and committed.
    pub(crate) allocation: Mutex<()>,
    /// OpenAPI documents of the present resource table.
    pub(crate) documents: Mutex<HashMap<String, Arc<documents::Document>>>,
}

impl ApiServer {
    /// A server over `config`. Nothing listens yet: see [`ApiServer::serve_tls`] and [`ApiServer::in_process`].
    pub fn new(config: Config) -> ApiServer {
        let registry = RwLock::new(config.registry.clone());
        let authorizer = Arc::new(nodes::NodeAuthorizer::new(config.store.clone(), Arc::clone(&config.authorizer)));
        let config = Config { authorizer, ..config };
        ApiServer { inner: Arc::new(Inner { config, registry, allocation: Mutex::new(()), documents: Mutex::default() }) }
    }

    /// The resource table as it is now.
    pub fn registry(&self) -> Registry {
        self.inner.registry.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// What the server was made of.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }
}
