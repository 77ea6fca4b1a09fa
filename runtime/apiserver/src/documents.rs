//! What a client can ask about the server itself: version, health, discovery, OpenAPI.

use std::sync::Arc;

use bytes::Bytes;
use drydock_api::discovery::{self, ExtraGroup};
use drydock_api::openapi;
use drydock_api::status::Status;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::ApiServer;
use crate::authenticate::ISSUER;
use crate::body::{self, Body};
use crate::call::Call;
use crate::protobuf::gnostic;
use crate::respond::{self, Transformable};

/// What `/version` says.
pub use drydock_primitives::release::GIT_VERSION;

const CHECKS: [&str; 6] = ["ping", "log", "etcd", "poststarthook/start-apiextensions-informers", "poststarthook/priority-and-fairness-config-consumer", "shutdown"];

/// Answers a path that is no resource, or `None` when nobody serves it.
pub(crate) fn document(call: &Call) -> Option<Result<Response<Body>, Status>> {
    let path = call.info.path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let registry = call.server.registry();
    let extra = extra_groups(&call.server);
    Some(match parts.as_slice() {
        [] => json_answer(call, &paths(&call.server)),
        ["version"] => json_answer(call, &version()),
        ["healthz" | "livez" | "readyz"] => Ok(health(call, parts[0])),
        ["healthz" | "livez" | "readyz", check] if CHECKS.contains(check) => Ok(text("ok")),
        ["api"] if wants_aggregated(call) => aggregated(&discovery::aggregated_core(&registry)),
        ["apis"] if wants_aggregated(call) => aggregated(&discovery::aggregated_groups(&registry, &extra)),
        ["api"] => json_answer(call, &discovery::api_versions(&call.server.config().advertise)),
        ["apis"] => json_answer(call, &discovery::group_list(&registry, &extra)),
        ["api", version] => json_answer(call, &discovery::resource_list(&registry, &extra, "", version)?),
        ["apis", group] => json_answer(call, &discovery::group(&registry, &extra, group)?),
        ["apis", group, version] => json_answer(call, &discovery::resource_list(&registry, &extra, group, version)?),
        ["openapi", "v2"] => open_api_v2(call),
        ["openapi", "v3"] => json_answer(call, &openapi::v3_index(&registry)),
        ["openapi", "v3", "api", version] => open_api_v3(call, "", version)?,
        ["openapi", "v3", "apis", group, version] => open_api_v3(call, group, version)?,
        ["openid", "v1", "jwks"] => json_answer(call, &call.server.config().authenticator.key().jwks()),
        [".well-known", "openid-configuration"] => json_answer(call, &openid()),
        _ => return None,
    })
}

pub(crate) fn extra_groups(server: &ApiServer) -> Vec<ExtraGroup> {
    let extensions = server.config().extensions.iter();
    extensions
        .map(|extension| ExtraGroup {
            group: extension.group().to_owned(),
            version: extension.version().to_owned(),
            resources: extension.resources(),
        })
        .collect()
}

fn json_answer(call: &Call, value: &Value) -> Result<Response<Body>, Status> {
    respond::value(StatusCode::OK, value, respond::negotiate(call, Transformable::No)?.encoding)
}

fn text(words: &str) -> Response<Body> {
    let mut response = Response::new(body::full(words.to_owned()));
    let plain = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "32", "emulationMajor": "1", "emulationMinor": "32", "minCompatibilityMajor": "1", "minCompatibilityMinor": "31",
        "gitVersion": GIT_VERSION, "gitCommit": env!("CARGO_PKG_VERSION"), "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none: written in Rust", "compiler": "rustc", "platform": format!("linux/{}", platform()),
    })
}

fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn health(call: &Call, which: &str) -> Response<Body> {
    if call.info.parameter("verbose").is_none() {
        return text("ok");
    }
    let lines: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
    text(&format!("{lines}{which} check passed\n"))
}

fn paths(server: &ApiServer) -> Value {
    let mut paths = vec!["/.well-known/openid-configuration".to_owned(), "/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, version) in server.registry().group_versions() {
        if !group.is_empty() {
            paths.push(format!("/apis/{group}"));
            paths.push(format!("/apis/{group}/{version}"));
        }
    }
    for extension in &server.config().extensions {
        paths.push(format!("/apis/{}/{}", extension.group(), extension.version()));
    }
    paths.extend(["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"].map(str::to_owned));
    paths.sort();
    paths.dedup();
    json!({ "paths": paths })
}

fn openid() -> Value {
    json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"), "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
    })
}

fn wants_aggregated(call: &Call) -> bool {
    let accept = call.header(header::ACCEPT.as_str());
    accept.split(',').any(|clause| {
        let has = |parameter: &str| clause.split(';').any(|part| part.trim() == parameter);
        has("g=apidiscovery.k8s.io") && has("v=v2") && has("as=APIGroupDiscoveryList") && clause.trim_start().starts_with("application/json")
    })
}

fn aggregated(value: &Value) -> Result<Response<Body>, Status> {
    let bytes = serde_json::to_vec(value).map_err(Status::internal)?;
    Response::builder()
        .header(header::CONTENT_TYPE, discovery::AGGREGATED)
        .header(header::VARY, "Accept")
        .header(header::ETAG, etag(&bytes))
        .body(body::full(bytes))
        .map_err(Status::internal)
}

fn etag(bytes: &[u8]) -> String {
    use sha2::Digest;
    let digest = sha2::Sha512::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("\"{hex}\"")
}

/// An OpenAPI document, made once for each state of the resource table.
#[derive(Clone)]
pub(crate) struct Document {
    bytes: Bytes,
    etag: String,
    media_type: &'static str,
}

impl Document {
    fn of(value: &Value) -> Result<Document, Status> {
        let bytes = serde_json::to_vec(value).map_err(Status::internal)?;
        Ok(Document::new(bytes.into(), "application/json"))
    }

    fn new(bytes: Bytes, media_type: &'static str) -> Document {
        Document { etag: etag(&bytes), bytes, media_type }
    }
}

fn open_api_v2(call: &Call) -> Result<Response<Body>, Status> {
    let accept = call.header(header::ACCEPT.as_str());
    let clauses = || accept.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
    if accept.is_empty() || clauses().any(|clause| matches!(clause, "application/json" | "*/*" | "application/*")) {
        let document = cached(&call.server, "v2", || Document::of(&openapi::v2(&call.server.registry())).map(Some));
        return send(call, &*document?.ok_or_else(Status::page_not_found)?);
    }
    if clauses().any(|clause| [gnostic::MEDIA_TYPE, gnostic::OLD_MEDIA_TYPE].contains(&clause)) {
        let make = || Ok(Some(Document::new(gnostic::encode(&openapi::v2(&call.server.registry())).into(), gnostic::MEDIA_TYPE)));
        return send(call, &*cached(&call.server, "v2 gnostic", make)?.ok_or_else(Status::page_not_found)?);
    }
    Err(Status::not_acceptable(&["application/json", gnostic::MEDIA_TYPE]))
}

fn open_api_v3(call: &Call, group: &str, version: &str) -> Option<Result<Response<Body>, Status>> {
    let make = || openapi::v3(&call.server.registry(), group, version).map(|document| Document::of(&document)).transpose();
    let document = cached(&call.server, &format!("v3/{group}/{version}"), make).transpose()?;
    Some(document.and_then(|document| send(call, &document)))
}

fn cached(server: &ApiServer, key: &str, make: impl FnOnce() -> Result<Option<Document>, Status>) -> Result<Option<Arc<Document>>, Status> {
    let lock = || server.inner.documents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(document) = lock().get(key) {
        return Ok(Some(Arc::clone(document)));
    }
    let Some(document) = make()?.map(Arc::new) else { return Ok(None) };
    lock().insert(key.to_owned(), Arc::clone(&document));
    Ok(Some(document))
}

fn send(call: &Call, document: &Document) -> Result<Response<Body>, Status> {
    let known = call.header(header::IF_NONE_MATCH.as_str()) == document.etag;
    let response = Response::builder()
        .status(if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK })
        .header(header::CONTENT_TYPE, document.media_type)
        .header(header::ETAG, &document.etag)
        .header(header::VARY, "Accept");
    let bytes = if known { Bytes::new() } else { document.bytes.clone() };
    response.body(body::full(bytes)).map_err(Status::internal)
}
