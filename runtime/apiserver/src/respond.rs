//! Encoding of answers: which media type and which shape (the object, a Table, metadata only) the client asked for.
//!
//! upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/{response.go,negotiation/negotiate.go}

use std::sync::Arc;

use bytes::Bytes;
use drydock_api::registry::Resource;
use drydock_api::status::Status;
use drydock_api::table::{self, Headers, Include};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::call::Call;

/// The media types of objects.
pub(crate) const MEDIA_TYPES: [&str; 2] = ["application/json", "application/yaml"];

/// The media types of objects in requests.
pub(crate) const READABLE_TYPES: [&str; 3] = ["application/json", "application/yaml", crate::protobuf::MEDIA_TYPE];

/// How bytes are made of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Pretty,
    Yaml,
}

/// What is sent of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Whole,
    Table,
    Partial,
}

/// What the client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) encoding: Encoding,
    pub(crate) shape: Shape,
}

/// Where Tables and metadata make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transformable {
    Yes,
    No,
}

/// Reads the `Accept` header.
pub(crate) fn negotiate(call: &Call, transformable: Transformable) -> Result<Accepted, Status> {
    let mut accepted = parse_accept(&call.headers, transformable).ok_or_else(|| Status::not_acceptable(&MEDIA_TYPES))?;
    let agent = call.header("user-agent");
    let for_people = ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix));
    let pretty = call.info.flag("pretty") || (call.info.parameter("pretty").is_none() && for_people);
    if pretty && accepted.encoding == Encoding::Json {
        accepted.encoding = Encoding::Pretty;
    }
    Ok(accepted)
}

fn parse_accept(headers: &HeaderMap, transformable: Transformable) -> Option<Accepted> {
    let text: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let text = text.join(",");
    if text.trim().is_empty() {
        return Some(Accepted { encoding: Encoding::Json, shape: Shape::Whole });
    }
    text.split(',').find_map(|clause| accept_clause(clause, transformable))
}

fn accept_clause(clause: &str, transformable: Transformable) -> Option<Accepted> {
    let mut parts = clause.split(';').map(str::trim);
    let encoding = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        _ => return None,
    };
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let value = |name: &str| parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    let shape = match (value("as"), value("g"), value("v")) {
        (None, ..) => Shape::Whole,
        (Some(_), ..) if transformable == Transformable::No => return None,
        (Some("Table"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => Shape::Table,
        (Some("PartialObjectMetadata" | "PartialObjectMetadataList"), Some("meta.k8s.io"), Some("v1" | "v1beta1")) => Shape::Partial,
        _ => return None,
    };
    Some(Accepted { encoding, shape })
}

/// Bytes of a value and their media type.
pub(crate) fn encode(value: &Value, encoding: Encoding) -> Result<(Bytes, &'static str), Status> {
    Ok(match encoding {
        Encoding::Json => {
            let mut text = serde_json::to_vec(value).map_err(Status::internal)?;
            text.push(b'\n');
            (text.into(), "application/json")
        }
        Encoding::Pretty => {
            let mut text = serde_json::to_vec_pretty(value).map_err(Status::internal)?;
            text.push(b'\n');
            (text.into(), "application/json")
        }
        // JSON is YAML.
        Encoding::Yaml => (serde_json::to_vec_pretty(value).map_err(Status::internal)?.into(), "application/yaml"),
    })
}

/// An answer with a value.
pub(crate) fn value(code: StatusCode, value: &Value, encoding: Encoding) -> Result<Response<Body>, Status> {
    let (bytes, media_type) = encode(value, encoding)?;
    Response::builder().status(code).header(header::CONTENT_TYPE, media_type).body(body::full(bytes)).map_err(Status::internal)
}

/// An answer of JSON bytes.
pub(crate) fn bytes(bytes: Bytes) -> Result<Response<Body>, Status> {
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(body::full(bytes)).map_err(Status::internal)
}

/// A refusal. Never fails: a Status is always encodable as JSON.
pub(crate) fn status(status: &Status) -> Response<Body> {
    let text = status.to_value().to_string() + "\n";
    let mut response = Response::new(body::full(text));
    *response.status_mut() = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = status.details["retryAfterSeconds"].as_u64() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status.code == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// An answer with one object, in the shape that was asked for.
pub(crate) fn object(call: &Call, row: &Arc<Resource>, code: StatusCode, object: &Value, warnings: &[String]) -> Result<Response<Body>, Status> {
    let accepted = negotiate(call, Transformable::Yes)?;
    let shaped = match accepted.shape {
        Shape::Whole => return with_warnings(value(code, object, accepted.encoding)?, warnings),
        Shape::Table => {
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            table::render(row, std::slice::from_ref(object), metadata, include(call)?, Headers::Full, call.server.config().clock.now())
        }
        Shape::Partial => table::partial(object),
    };
    with_warnings(value(code, &shaped, accepted.encoding)?, warnings)
}

/// `includeObject`.
pub(crate) fn include(call: &Call) -> Result<Include, Status> {
    match call.info.parameter("includeObject") {
        None | Some("" | "Metadata") => Ok(Include::Metadata),
        Some("None") => Ok(Include::None),
        Some("Object") => Ok(Include::Object),
        Some(other) => Err(Status::bad_request(format!("unrecognized includeObject value: \"{other}\""))),
    }
}

/// Adds `Warning` headers. upstream: staging/src/k8s.io/apimachinery/pkg/util/net/http.go NewWarningHeader
pub(crate) fn with_warnings(mut response: Response<Body>, warnings: &[String]) -> Result<Response<Body>, Status> {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        let clean: String = quoted.chars().filter(|c| !c.is_control()).collect();
        let header = HeaderValue::from_bytes(format!("299 - \"{clean}\"").as_bytes()).map_err(Status::internal)?;
        response.headers_mut().append(header::WARNING, header);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_clause_that_can_be_served_wins() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let cases = [
            ("", Some((Encoding::Json, Shape::Whole))),
            (kubectl, Some((Encoding::Json, Shape::Table))),
            ("application/vnd.kubernetes.protobuf,application/json", Some((Encoding::Json, Shape::Whole))),
            ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Some((Encoding::Json, Shape::Partial))),
            ("application/yaml", Some((Encoding::Yaml, Shape::Whole))),
            ("*/*", Some((Encoding::Json, Shape::Whole))),
            ("text/html", None),
        ];
        for (text, expected) in cases {
            let mut headers = HeaderMap::new();
            if !text.is_empty() {
                headers.insert(header::ACCEPT, text.parse().unwrap());
            }
            let got = parse_accept(&headers, Transformable::Yes).map(|accepted| (accepted.encoding, accepted.shape));
            assert_eq!(got, expected, "{text}");
        }
    }
}
