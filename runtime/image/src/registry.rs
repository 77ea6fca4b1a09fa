//! Pulling from a registry by the OCI distribution protocol: <https://github.com/opencontainers/distribution-spec>.
//!
//! Anonymous or with a name and a password; bearer tokens are fetched where the registry says. Registries on this
//! machine are spoken to without TLS, as container engines do. Others must have a certificate that is trusted ([`Trust`]):
//! for `drydock image pull`, `SSL_CERT_FILE` names other authorities, a company's own for example.
//!
//! Whose act it is decides how far it may go. `drydock image pull NAME` is the learner's, so any registry will do. A
//! Pod's image comes from the library, the catalogue, or a registry near the cluster ([`is_near`]): its nodes have no
//! way to the Internet, and a Pod of a lesson is the same with a network as without. A node may be told to ask mirrors
//! ([`hosts`](crate::hosts)); each that answers something else than the image leaves the word to the next.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{ErrorKind, Read},
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
    tls::{TlsConfig, TlsProvider},
};

use crate::{
    digest::Digest,
    error::{PullError, StoreError, chain},
    hosts::Host,
    library::{Descriptor, Library, Manifest, own_platform, size_of},
    recipe::{Progress, Watcher},
    reference::Reference,
    trust::Trust,
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

pub(crate) fn host_and_port(domain: &str) -> (&str, u16) {
    let plain = if is_loopback(domain) { 80 } else { 443 };
    match domain.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(plain)),
        None => (domain, plain),
    }
}

/// `localhost` and loopback addresses are spoken to without TLS.
pub(crate) fn is_loopback(domain: &str) -> bool {
    let host = domain.rsplit_once(':').map_or(domain, |(host, _)| host);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Pulls an image into the library and names it there; gives its manifest's digest.
pub fn pull(reference: &Reference, library: &Library, credentials: &Credentials, watcher: &mut Watcher<'_>) -> Result<Digest, PullError> {
    let hosts = [(Host::itself(&reference.domain), None)];
    pull_from(&hosts, reference, library, credentials, &Trust::System, watcher).map(|(digest, _)| digest)
}

/// Why a host gave nothing, behind its address.
pub(crate) fn passed_over(host: &Host, why: &str) -> String {
    format!("{}: {why}", host.address())
}

/// The same, by somebody who trusts others, from these hosts in their order; with those that were passed over: they gave nothing, or were not asked as there
/// is a reason not to.
pub(crate) fn pull_from(
    hosts: &[(Host, Option<String>)],
    reference: &Reference,
    library: &Library,
    credentials: &Credentials,
    trust: &Trust,
    watcher: &mut Watcher<'_>,
) -> Result<(Digest, Vec<String>), PullError> {
    let mut registry = Registry::new(reference, credentials, trust, hosts);
    let wished = match (&reference.digest, &reference.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.clone(),
        (None, None) => "latest".to_owned(),
    };
    watcher(Progress::Step(format!("asking {} for {}", reference.domain, reference.path)));
    let (digest, manifest) = registry.manifest(&wished, library, 0)?;
    let failed = |error: StoreError| PullError::failed(reference, chain(&error));
    let total = size_of(&manifest.layers);
    let mut done: u64 = 0;
    for blob in manifest.config.iter().chain(&manifest.layers) {
        if !library.has(&blob.digest) {
            let body = registry.get("blobs", blob.digest.as_str())?;
            // What is longer than was said is not read to its end, and has another digest.
            let reader = Counting { inner: body.into_body().into_reader().take(blob.size), done, of: total, watcher };
            library.put(reader, Some(&blob.digest)).map_err(failed)?;
        }
        done = done.saturating_add(blob.size);
    }
    watcher(Progress::Bytes { what: "layers".to_owned(), done: total, of: total });
    library.read(reference.clone(), &digest).map_err(failed)?;
    library.name(reference, &digest).map_err(failed)?;
    Ok((digest, registry.passed_over))
}

/// One repository of a registry.
struct Registry<'a> {
    reference: &'a Reference,
    credentials: &'a Credentials,
    trust: &'a Trust,
    doors: Vec<Door<'a>>,
    /// Hosts that gave nothing, each with its first reason.
    passed_over: Vec<String>,
}

/// Why a host gave nothing.
enum Refusal {
    /// It has no such thing.
    NotFound,
    /// It wants somebody else.
    Denied(String),
    /// It did not do what was asked: at which step, and why.
    Failed(String, String),
}

impl Refusal {
    fn why(&self) -> &str {
        match self {
            Self::NotFound => "not found",
            Self::Denied(why) | Self::Failed(_, why) => why,
        }
    }

    fn into_error(self, reference: &Reference) -> PullError {
        match self {
            Self::NotFound => PullError::tag_not_found(reference),
            Self::Denied(why) => PullError::denied(reference, &why),
            Self::Failed(step, why) => PullError::failed(reference, format_args!("{step}: {why}")),
        }
    }
}

/// One of the hosts that have the repository, and as whom it is asked.
struct Door<'a> {
    host: &'a Host,
    /// Why it is not asked.
    beyond: Option<&'a str>,
    agent: Agent,
    base: String,
    /// Tells a mirror whose images are meant.
    namespace: Option<&'a str>,
    authorization: Option<String>,
}

impl<'a> Door<'a> {
    fn new((host, beyond): &'a (Host, Option<String>), reference: &'a Reference, trust: &Trust) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(trust.authorities(host))
            .disable_verification(host.skip_verify)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .user_agent("drydock")
            .build();
        let base = format!("{}://{}{}/{}", host.scheme, host.name, host.path, reference.path);
        // upstream: containerd, core/remotes/docker/registry.go, isProxy
        let is_mirror = host.name != Host::itself(&reference.domain).name && !(reference.domain == "docker.io" && host.name.ends_with(".docker.io"));
        Self { host, beyond: beyond.as_deref(), agent: config.into(), base, namespace: is_mirror.then_some(reference.domain.as_str()), authorization: None }
    }

    fn url(&self, kind: &str, name: &str) -> String {
        let namespace = self.namespace.map(|namespace| format!("?ns={}", namespace.replace(':', "%3A"))).unwrap_or_default();
        format!("{}/{kind}/{name}{namespace}", self.base)
    }

    fn send_as(&self, url: &str, authorization: Option<&str>) -> Result<Response<Body>, ureq::Error> {
        let mut request = self.agent.get(url).header("accept", ACCEPTED);
        for (name, value) in &self.host.headers {
            request = request.header(name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        request.call()
    }
}

impl<'a> Registry<'a> {
    fn new(reference: &'a Reference, credentials: &'a Credentials, trust: &'a Trust, hosts: &'a [(Host, Option<String>)]) -> Self {
        let doors = hosts.iter().map(|host| Door::new(host, reference, trust)).collect();
        Self { reference, credentials, trust, doors, passed_over: Vec::new() }
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

    /// Gets something of the repository from the first host that has it.
    // upstream: containerd, core/remotes/docker/resolver.go, Resolve: the first error is told that is not "not found"
    fn get(&mut self, kind: &str, name: &str) -> Result<Response<Body>, PullError> {
        let by_tag = kind == "manifests" && Digest::parse(name).is_none();
        let mut told: Option<Refusal> = None;
        for at in 0..self.doors.len() {
            let Door { host, beyond, .. } = self.doors[at];
            if !host.pulls || (by_tag && !host.resolves) {
                continue;
            }
            if let Some(why) = beyond {
                self.note(host, why);
                continue;
            }
            match self.get_from(at, kind, name) {
                Ok(response) => return Ok(response),
                Err(refusal) => {
                    self.note(host, refusal.why());
                    if told.as_ref().is_none_or(|told| matches!(told, Refusal::NotFound)) {
                        told = Some(refusal);
                    }
                }
            }
        }
        let error = told.map(|told| told.into_error(self.reference));
        let error = error.unwrap_or_else(|| PullError::unresolved(self.reference, "no host of its registry is said to be able to do that"));
        Err(if self.doors.len() > 1 { error.after(&self.passed_over) } else { error })
    }

    fn note(&mut self, host: &Host, why: &str) {
        let address = passed_over(host, "");
        if !self.passed_over.iter().any(|told| told.starts_with(&address)) {
            self.passed_over.push(passed_over(host, why));
        }
    }

    /// Gets it from one of the hosts, as somebody when that wants to know who asks.
    fn get_from(&mut self, at: usize, kind: &str, name: &str) -> Result<Response<Body>, Refusal> {
        let door = &self.doors[at];
        let url = door.url(kind, name);
        // upstream: containerd, core/remotes/docker/{resolver,fetcher}.go and core/remotes/errors/errors.go
        let (verb, step) = match kind {
            "manifests" => ("Head", format!("failed to resolve reference \"{}\"", self.reference)),
            _ => ("Get", "failed to copy: httpReadSeeker: failed open".to_owned()),
        };
        let reference = self.reference;
        let unreachable = |error: ureq::Error| {
            Refusal::Failed(format!("{step}: failed to do request: {verb} \"{url}\""), in_gos_words(&error, &reference.domain, &door.host.name, self.trust))
        };
        let mut response = door.send_as(&url, door.authorization.as_deref()).map_err(unreachable)?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(authorization) = self.log_in(door, &challenge_of(&response))?
        {
            response = door.send_as(&url, Some(&authorization)).map_err(unreachable)?;
            self.doors[at].authorization = Some(authorization);
        }
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(Refusal::NotFound),
            other => Err(match challenge_of(&response).parameters.get("error").filter(|_| other == StatusCode::UNAUTHORIZED) {
                Some(why) => Refusal::Denied(format!("server message: {why}: authorization failed")),
                None => Refusal::Failed(step, format!("unexpected status from {} request to {url}: {other}", verb.to_uppercase())),
            }),
        }
    }

    /// What to send as authorization after this challenge; `None` when it is none that anybody knows.
    fn log_in(&self, door: &Door<'_>, challenge: &Challenge) -> Result<Option<String>, Refusal> {
        let known = !self.credentials.user.is_empty();
        let basic = || format!("Basic {}", STANDARD.encode(format!("{}:{}", self.credentials.user, self.credentials.password)));
        match (challenge.scheme.as_str(), challenge.parameters.get("realm")) {
            ("basic", _) if known => Ok(Some(basic())),
            ("basic", _) => Err(Refusal::Denied("authorization failed: no basic auth credentials".to_owned())),
            ("bearer", Some(realm)) => self.token(door, realm, &challenge.parameters, known.then(basic)).map(Some),
            _ => Ok(None),
        }
    }

    /// A token of the registry's authority.
    // upstream: containerd, core/remotes/docker/auth/fetch.go
    fn token(&self, door: &Door<'_>, realm: &str, parameters: &BTreeMap<String, String>, basic: Option<String>) -> Result<String, Refusal> {
        let kind = if basic.is_some() { "oauth" } else { "anonymous" };
        let step = format!("failed to resolve reference \"{}\"", self.reference);
        let failed = |why: &dyn Display| Refusal::Failed(step.clone(), format!("failed to authorize: failed to fetch {kind} token: {why}"));
        let scope = format!("repository:{}:pull", self.reference.path);
        let mut request = door.agent.get(realm).query("scope", parameters.get("scope").unwrap_or(&scope));
        if let Some(service) = parameters.get("service") {
            request = request.query("service", service);
        }
        if let Some(basic) = basic {
            request = request.header("authorization", basic);
        }
        let response = request.call().map_err(|error| failed(&format_args!("Get \"{realm}\": {}", in_gos_words(&error, &self.reference.domain, realm_host(realm), self.trust))))?;
        if response.status() != StatusCode::OK {
            return Err(failed(&format_args!("unexpected status from GET request to {realm}: {}", response.status())));
        }
        let mut text = String::new();
        response.into_body().into_reader().take(LONGEST_MANIFEST).read_to_string(&mut text).map_err(|error| failed(&error))?;
        let token: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let token = token["token"].as_str().or_else(|| token["access_token"].as_str());
        token.map(|token| format!("Bearer {token}")).ok_or_else(|| failed(&"authorization server did not include a token in the response"))
    }
}

/// Why there was no answer, as the programs say it whose words people look for on the Internet.
fn in_gos_words(error: &ureq::Error, namespace: &str, domain: &str, trust: &Trust) -> String {
    let (host, port) = host_and_port(domain);
    let address = || (host, port).to_socket_addrs().ok().and_then(|mut all| all.next()).map_or_else(|| format!("{host}:{port}"), |first| first.to_string());
    match error {
        ureq::Error::HostNotFound => format!("dial tcp: lookup {host}: no such host"),
        ureq::Error::Timeout(ureq::Timeout::Connect) => format!("dial tcp {}: i/o timeout", address()),
        ureq::Error::Timeout(_) => "net/http: timeout awaiting response headers".to_owned(),
        ureq::Error::Rustls(error) => trust.in_gos_words(error, namespace, domain),
        ureq::Error::Io(error) => match (error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()), error.kind()) {
            (Some(error), _) => trust.in_gos_words(error, namespace, domain),
            (None, ErrorKind::ConnectionRefused) => format!("dial tcp {}: connect: connection refused", address()),
            (None, ErrorKind::NetworkUnreachable) => format!("dial tcp {}: connect: network is unreachable", address()),
            (None, ErrorKind::HostUnreachable) => format!("dial tcp {}: connect: no route to host", address()),
            (None, ErrorKind::UnexpectedEof) => "EOF".to_owned(),
            (None, _) => error.to_string(),
        },
        other => other.to_string(),
    }
}

/// The host of a URL, with its port.
fn realm_host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// How a registry asks who there is.
struct Challenge {
    /// `basic` or `bearer`
    scheme: String,
    parameters: BTreeMap<String, String>,
}

fn challenge_of(response: &Response<Body>) -> Challenge {
    let text = response.headers().get("www-authenticate").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (scheme, parameters) = text.split_once(' ').unwrap_or((text, ""));
    Challenge { scheme: scheme.to_ascii_lowercase(), parameters: parameters_of(parameters) }
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
        self.done = self.done.saturating_add(count as u64);
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
