//! One request, understood: what the handlers are given.

use bytes::{Bytes, BytesMut};
use drydock_api::field_error::{FieldError, go_quote};
use drydock_api::registry::Subresource;
use drydock_api::status::Status;
use drydock_api::write::{Context, FieldValidation, Format};
use drydock_primitives::{ids, names};
use http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;

use crate::ApiServer;
use crate::body::Body;
use crate::identity::Identity;
use crate::protobuf;
use crate::request::RequestInfo;

/// The longest request body. upstream: staging/src/k8s.io/apiserver/pkg/server/config.go MaxRequestBodyBytes
pub(crate) const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// One request.
pub(crate) struct Call {
    pub(crate) server: ApiServer,
    pub(crate) info: RequestInfo,
    pub(crate) identity: Identity,
    pub(crate) audit_id: String,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: String,
}

impl Call {
    /// A header's text, empty when absent.
    pub(crate) fn header(&self, name: &str) -> String {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    }

    /// The namespace of the path.
    pub(crate) fn namespace(&self) -> Option<&str> {
        Some(self.info.namespace.as_str()).filter(|namespace| !namespace.is_empty())
    }

    /// The same call about another object of the same namespace: what a subresource does to it.
    pub(crate) fn renamed(&self, name: &str, resource: &str) -> Call {
        let mut info = self.info.clone();
        name.clone_into(&mut info.name);
        resource.clone_into(&mut info.resource);
        Call {
            server: self.server.clone(),
            info,
            identity: self.identity.clone(),
            audit_id: self.audit_id.clone(),
            method: self.method.clone(),
            headers: self.headers.clone(),
            query: self.query.clone(),
        }
    }

    /// The media type of the body, without parameters.
    pub(crate) fn content_type(&self) -> String {
        media_type(&self.headers)
    }

    /// How the body is encoded. upstream: negotiation.NegotiateInputSerializer
    pub(crate) fn format(&self) -> Result<Format, Status> {
        match self.content_type().as_str() {
            // `read_body` has turned protobuf into JSON.
            "" | "application/json" | "*/*" | protobuf::MEDIA_TYPE => Ok(Format::Json),
            "application/yaml" => Ok(Format::Yaml),
            _ => Err(Status::unsupported_media_type(&crate::respond::READABLE_TYPES)),
        }
    }

    /// `fieldValidation`. upstream: metav1validation.ValidateFieldValidation
    pub(crate) fn field_validation(&self) -> Result<FieldValidation, Status> {
        match self.info.parameter("fieldValidation") {
            None | Some("" | "Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some(other) => {
                let supported = ["Ignore", "Strict", "Warn"];
                Err(invalid_option(self, FieldError::not_supported("fieldValidation", other, &supported)))
            }
        }
    }

    /// Whether nothing must be stored.
    pub(crate) fn dry_run(&self) -> Result<bool, Status> {
        let values = self.info.parameters("dryRun");
        match unsupported_dry_run(values.iter().map(String::as_str)) {
            Some(error) => Err(invalid_option(self, error)),
            None => Ok(!values.is_empty()),
        }
    }

    /// `fieldManager`, or the user agent up to its first slash. upstream: handlers.managerOrUserAgent
    pub(crate) fn manager(&self) -> String {
        if let Some(manager) = self.info.parameter("fieldManager").filter(|manager| !manager.is_empty()) {
            return manager.to_owned();
        }
        let agent = self.header("user-agent");
        let prefix = agent.split('/').next().unwrap_or_default();
        prefix.chars().filter(|c| !c.is_control()).take(128).collect()
    }

    /// What the pure steps of the write path need from outside.
    pub(crate) fn context(&self, namespaced: bool, name: Option<&str>, subresource: Option<Subresource>) -> Context {
        Context {
            now: self.server.config().clock.now(),
            uid: ids::uid(),
            suffix: names::random_suffix(5),
            namespace: self.namespace().filter(|_| namespaced).map(str::to_owned),
            name: name.map(str::to_owned),
            manager: self.manager(),
            subresource,
        }
    }
}

/// What is wrong with the values of `dryRun`: the whole list is told, as Go prints it. upstream: metav1validation.ValidateDryRun
pub(crate) fn unsupported_dry_run<'a>(values: impl Iterator<Item = &'a str> + Clone) -> Option<FieldError> {
    if values.clone().all(|value| value == "All") {
        return None;
    }
    let list: Vec<String> = values.map(go_quote).collect();
    let mut error = FieldError::not_supported("dryRun", "", &["All"]);
    error.value = None;
    error.detail = format!("[]string{{{}}}: {}", list.join(", "), error.detail);
    Some(error)
}

fn invalid_option(call: &Call, error: FieldError) -> Status {
    let kind = match call.method {
        Method::POST => "CreateOptions",
        Method::PUT => "UpdateOptions",
        Method::PATCH => "PatchOptions",
        _ => "DeleteOptions",
    };
    Status::invalid_as("meta.k8s.io", kind, "", &[error])
}

/// The media type of a Content-Type header, without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads a whole body; one in protobuf is made JSON.
pub(crate) async fn read_body(request: Request<Body>) -> Result<Bytes, Status> {
    let is_protobuf = media_type(request.headers()) == protobuf::MEDIA_TYPE;
    let mut body = request.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(format!("read the request body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > BODY_LIMIT {
            return Err(Status::too_large(BODY_LIMIT));
        }
        bytes.extend_from_slice(&data);
    }
    if is_protobuf && !bytes.is_empty() {
        let object = protobuf::decode(&bytes).map_err(|error| Status::bad_request(error.to_string()))?;
        return Ok(serde_json::to_vec(&object).map_err(Status::internal)?.into());
    }
    Ok(bytes.freeze())
}
