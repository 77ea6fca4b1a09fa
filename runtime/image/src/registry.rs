//! Pulling from a registry by the OCI distribution protocol: <https://github.com/opencontainers/distribution-spec>.
//!
//! Anonymous or with a name and a password; bearer tokens are fetched where the registry says. Registries on this
//! machine are spoken to without TLS, as container engines do.

use std::{
    collections::BTreeMap,
    io::Read,
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
    tls::{RootCerts, TlsConfig, TlsProvider},
};

use crate::{
    digest::Digest,
    error::{PullError, PullErrorKind, StoreError, chain},
    library::{Descriptor, Library, Manifest, own_platform},
    recipe::{Progress, Watcher},
    reference::Reference,
};

const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// No manifest is longer.
const LONGEST_MANIFEST: u64 = 4 << 20;

/// Who pulls.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The user's name; nobody when empty.
    pub user: String,
    /// The password, or a token in its place.
    pub password: String,
}

/// True when the registry is on this machine or in its own network: its address is not a public one.
pub(crate) fn is_near(domain: &str) -> bool {
    let (host, port) = host_and_port(domain);
    let near = |address: IpAddr| match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    };
    (host, port).to_socket_addrs().is_ok_and(|mut addresses| addresses.any(|address| near(address.ip())))
}

fn host_and_port(domain: &str) -> (&str, u16) {
    let plain = if is_loopback(domain) { 80 } else { 443 };
    match domain.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(plain)),
        None => (domain, plain),
    }
}

/// `localhost` and loopback addresses are spoken to without TLS.
fn is_loopback(domain: &str) -> bool {
    let host = domain.rsplit_once(':').map_or(domain, |(host, _)| host);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Pulls an image into the library and names it there; gives its manifest's digest.
pub fn pull(reference: &Reference, library: &Library, credentials: &Credentials, watcher: &mut Watcher<'_>) -> Result<Digest, PullError> {
    let mut registry = Registry::new(reference, credentials);
    let wished = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    };
    watcher(Progress::Step(format!("asking {} for {}", reference.domain, reference.path)));
    let (digest, manifest) = registry.manifest(&wished, library, 0)?;
    let failed = |error: StoreError| PullError::failed(reference, chain(&error));
    let total: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
    let mut done = 0;
    for blob in manifest.config.iter().chain(&manifest.layers) {
        if !library.has(&blob.digest) {
            let body = registry.get("blobs", blob.digest.as_str())?;
            let reader = Counting { inner: body.into_body().into_reader(), done, of: total, watcher };
            library.put(reader, Some(&blob.digest)).map_err(failed)?;
        }
        done += blob.size;
    }
    watcher(Progress::Bytes { what: "layers".to_owned(), done: total, of: total });
    library.read(reference.clone(), &digest).map_err(failed)?;
    library.name(reference, &digest).map_err(failed)?;
    Ok(digest)
}

/// One repository of a registry.
struct Registry<'a> {
    reference: &'a Reference,
    credentials: &'a Credentials,
    agent: Agent,
    base: String,
    authorization: Option<String>,
}

impl<'a> Registry<'a> {
    fn new(reference: &'a Reference, credentials: &'a Credentials) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .user_agent("drydock")
            .build();
        // Docker's registry answers under this name, too.
        let host = if reference.domain == "docker.io" { "index.docker.io" } else { &reference.domain };
        let scheme = if is_loopback(host) { "http" } else { "https" };
        let base = format!("{scheme}://{host}/v2/{}", reference.path);
        Self { reference, credentials, agent: config.into(), base, authorization: None }
    }

    /// The manifest for this machine, kept in the library; a list of manifests is followed.
    fn manifest(&mut self, wished: &str, library: &Library, depth: u32) -> Result<(Digest, Manifest), PullError> {
        let response = self.get("manifests", wished)?;
        let mut bytes = Vec::new();
        let read = response.into_body().into_reader().take(LONGEST_MANIFEST).read_to_end(&mut bytes);
        read.map_err(|error| PullError::failed(self.reference, error))?;
        let expected = Digest::parse(wished);
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|error| PullError::failed(self.reference, format_args!("its manifest cannot be read: {error}")))?;
        if manifest.config.is_none() {
            let (architecture, os) = own_platform();
            let fits = |descriptor: &&Descriptor| descriptor.platform.as_ref().is_some_and(|platform| platform.architecture == architecture && platform.os == os);
            let chosen = manifest.manifests.iter().find(fits).filter(|_| depth < 3);
            let Some(chosen) = chosen else {
                return Err(PullError::failed(self.reference, format_args!("no match for platform in manifest: not found ({os}/{architecture})")));
            };
            let digest = chosen.digest.to_string();
            return self.manifest(&digest, library, depth + 1);
        }
        let (digest, _) = library.put(bytes.as_slice(), expected.as_ref()).map_err(|error| PullError::failed(self.reference, chain(&error)))?;
        Ok((digest, manifest))
    }

    /// Gets something of the repository, with a token when the registry wants one.
    fn get(&mut self, kind: &str, name: &str) -> Result<Response<Body>, PullError> {
        let url = format!("{}/{kind}/{name}", self.base);
        let mut response = self.send(&url)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = response.headers().get("www-authenticate").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
            self.authorization = self.log_in(&challenge)?;
            if self.authorization.is_some() {
                response = self.send(&url)?;
            }
        }
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(PullError::tag_not_found(self.reference)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(PullError::denied(self.reference, "insufficient_scope: authorization failed")),
            other => Err(PullError::failed(self.reference, format_args!("unexpected status from GET request to {url}: {other}"))),
        }
    }

    fn send(&self, url: &str) -> Result<Response<Body>, PullError> {
        let mut request = self.agent.get(url).header("accept", ACCEPTED);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        request.call().map_err(|error| {
            // upstream: containerd, remotes/docker/resolver.go
            let message = format!("failed to do request: Get \"{url}\": {error}");
            let text = format!("rpc error: code = Unavailable desc = failed to pull and unpack image \"{0}\": failed to resolve reference \"{0}\": {message}", self.reference);
            PullError { kind: PullErrorKind::Failed, message: text }
        })
    }

    /// What to send as authorization after this challenge.
    fn log_in(&self, challenge: &str) -> Result<Option<String>, PullError> {
        let basic = || {
            (!self.credentials.user.is_empty()).then(|| format!("Basic {}", STANDARD.encode(format!("{}:{}", self.credentials.user, self.credentials.password))))
        };
        let Some(parameters) = challenge.strip_prefix("Bearer ") else { return Ok(basic()) };
        let parameters = parameters_of(parameters);
        let Some(realm) = parameters.get("realm") else { return Ok(None) };
        let scope = format!("repository:{}:pull", self.reference.path);
        let mut request = self.agent.get(realm).query("scope", parameters.get("scope").unwrap_or(&scope));
        if let Some(service) = parameters.get("service") {
            request = request.query("service", service);
        }
        if let Some(authorization) = basic() {
            request = request.header("authorization", authorization);
        }
        let response = request.call().map_err(|error| PullError::failed(self.reference, format_args!("failed to fetch anonymous token: {error}")))?;
        if response.status() != StatusCode::OK {
            let why = format!("failed to authorize: failed to fetch token: unexpected status from GET request: {}", response.status());
            return Err(PullError::denied(self.reference, &why));
        }
        let mut text = String::new();
        let read = response.into_body().into_reader().take(LONGEST_MANIFEST).read_to_string(&mut text);
        read.map_err(|error| PullError::failed(self.reference, error))?;
        let token: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let token = token["token"].as_str().or_else(|| token["access_token"].as_str());
        Ok(token.map(|token| format!("Bearer {token}")))
    }
}

/// `realm="https://...",service="..."`
fn parameters_of(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        parameters.insert(name.trim_matches([',', ' ']).to_owned(), value.to_owned());
        rest = tail.trim_start_matches([',', ' ']);
    }
    parameters
}

/// A reader that says how far it is.
struct Counting<'a, 'w, R> {
    inner: R,
    done: u64,
    of: u64,
    watcher: &'a mut Watcher<'w>,
}

impl<R: Read> Read for Counting<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        (self.watcher)(Progress::Bytes { what: "layers".to_owned(), done: self.done.min(self.of), of: self.of });
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_and_hosts_are_read() {
        let parameters = parameters_of(r#"realm="https://auth.example/token",service="registry.example", scope="repository:a/b:pull""#);
        assert_eq!(parameters["realm"], "https://auth.example/token");
        assert_eq!(parameters["scope"], "repository:a/b:pull");
        let cases = [("localhost:5000", true), ("127.0.0.1", true), ("registry.localhost:80", true), ("10.0.0.1:5000", false), ("example.org", false)];
        for (domain, wanted) in cases {
            assert_eq!(is_loopback(domain), wanted, "{domain}");
        }
    }
}
