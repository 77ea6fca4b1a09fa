//! `pods/log`: the kubelet's `/containerLogs`, passed through.

use drydock_api::status::Status;
use futures::StreamExt;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt;

use super::kubelet::{self, KubeletError};
use crate::audit::StreamVerb;
use crate::body::{self, Body, BoxError};
use crate::call::Call;
use crate::request::encode_query;

const PASSED: [&str; 8] = ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];

/// Answers with a container's log. upstream: pkg/registry/core/pod/rest/log.go
pub(crate) async fn log(call: &Call) -> Result<Response<Body>, Status> {
    check_options(call)?;
    let located = super::locate(call)?;
    let container = super::container(&located.pod, call.info.parameter("container"))?;
    if located.node.is_empty() {
        // Not scheduled yet: upstream answers with nothing.
        return plain(body::empty());
    }
    let query = encode_query(call.info.query.iter().filter(|(key, _)| PASSED.contains(&key.as_str())).map(|(k, v)| (k.as_str(), v.as_str())));
    let path = format!("/containerLogs/{}/{}/{container}?{query}", call.info.namespace, call.info.name);
    let stream = super::open(call, StreamVerb::Log, &container);
    let response = match kubelet::get(&call.server.config().dial, located.target, &path).await {
        Ok(response) => response,
        Err(error) => {
            let status = refusal(call, error);
            let mut stream = stream;
            stream.set_code(i32::from(status.code));
            return Err(status);
        }
    };
    let chunks = response.into_body().into_data_stream().map(move |chunk| {
        if let Ok(chunk) = &chunk {
            stream.counters.add_out(chunk.len());
        }
        chunk.map_err(|error| -> BoxError { Box::new(error) })
    });
    plain(body::stream(chunks))
}

fn plain(body: Body) -> Result<Response<Body>, Status> {
    Response::builder().status(StatusCode::OK).header(header::CONTENT_TYPE, "text/plain").body(body).map_err(Status::internal)
}

/// upstream: staging/src/k8s.io/apiserver/pkg/registry/generic/rest/response_checker.go
fn refusal(call: &Call, error: KubeletError) -> Status {
    match error {
        KubeletError::Refused { code: StatusCode::BAD_REQUEST, text } => Status::bad_request(text),
        KubeletError::Refused { code: StatusCode::NOT_FOUND, text } => {
            let mut status = Status::not_found_as("", "pods", &call.info.name);
            status.message = format!("the server could not find the requested resource ( pods/log {}): {text}", call.info.name);
            status
        }
        KubeletError::Refused { text, .. } => Status::internal(text),
        KubeletError::Dial(error) => Status::internal(format!("Get \"{}\": {error}", call.info.path)),
        KubeletError::Http(error) => Status::internal(error),
    }
}

/// upstream: pkg/apis/core/validation/validation.go, ValidatePodLogOptions
fn check_options(call: &Call) -> Result<(), Status> {
    use drydock_api::field_error::FieldError;
    let mut errors = Vec::new();
    for (name, least, words) in [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ] {
        if let Some(text) = call.info.parameter(name) {
            let number: i64 = text.parse().map_err(|_parse| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))?;
            if number < least {
                errors.push(FieldError::invalid(name, number, words));
            }
        }
    }
    if call.info.parameter("sinceSeconds").is_some() && call.info.parameter("sinceTime").is_some() {
        errors.push(FieldError::forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid_as("", "PodLogOptions", &call.info.name, &errors)) }
}
