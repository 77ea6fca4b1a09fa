//! `listen ... ssl`: the certificate of a server, and the key that goes with it.
//!
//! One certificate per port: the first server that has one for it speaks for all of it.

use std::{path::PathBuf, sync::Arc};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{config::Server, syntax::Directive};

/// What a server shows of itself, where its blocks say so.
#[derive(Debug, Clone, Default)]
pub(super) struct Identity {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// Reads certificate and key of a server one of whose `listen` directives says `ssl`.
pub(super) fn prepare(server: &Directive, identity: &Identity) -> Result<Arc<ServerConfig>, String> {
    let missing = |what: &str| server.error(format!("no \"{what}\" is defined for the \"listen ... ssl\" directive"));
    let certificate = identity.certificate.as_ref().ok_or_else(|| missing("ssl_certificate"))?;
    let key = identity.key.as_ref().ok_or_else(|| missing("ssl_certificate_key"))?;
    let unread = |what: &str, path: &PathBuf, why: &dyn std::fmt::Display| format!("cannot load {what} \"{}\": {why}", path.display());
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| unread("certificate", certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unread("certificate key", key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| unread("certificate", certificate, &error))?;
    let config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(|error| unread("certificate", certificate, &error))?;
    Ok(Arc::new(config))
}

/// Who answers at a port; nobody when it is spoken to plainly.
pub(super) fn of_port(servers: &[Server], port: u16) -> Option<Arc<ServerConfig>> {
    servers.iter().filter(|server| server.listens.iter().any(|listen| listen.port == port && listen.ssl)).find_map(|server| server.tls.clone())
}
