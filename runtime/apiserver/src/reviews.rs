//! Kinds that are answered, never stored: access reviews, token reviews, `kubectl auth whoami`.
//!
//! upstream: pkg/registry/authorization, pkg/registry/authentication

use std::sync::Arc;

use bytes::Bytes;
use drydock_api::registry::Resource;
use drydock_api::status::Status;
use drydock_api::write;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::authenticate::ISSUER;
use crate::authorize::{Attributes, Decision};
use crate::body::Body;
use crate::call::Call;
use crate::identity::{Identity, MASTERS};
use crate::respond::{self, Transformable};

/// Answers POST to a kind that is not stored.
pub(crate) fn review(call: &Call, row: &Arc<Resource>, body: &Bytes) -> Result<Response<Body>, Status> {
    let mut review = write::decode(row, body, call.format()?, call.field_validation()?)?.object;
    review["status"] = match row.plural.as_str() {
        "selfsubjectaccessreviews" => access(call, &call.identity, &review["spec"])?,
        "subjectaccessreviews" | "localsubjectaccessreviews" => access(call, &subject(&review["spec"])?, &review["spec"])?,
        "selfsubjectrulesreviews" => rules(&call.identity),
        "tokenreviews" => token(call, &review["spec"]),
        "selfsubjectreviews" => json!({"userInfo": user_info(&call.identity)}),
        _ => return Err(Status::method_not_supported(row, &call.info.verb)),
    };
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    review["metadata"]["creationTimestamp"] = Value::Null;
    respond::value(StatusCode::CREATED, &review, respond::negotiate(call, Transformable::No)?.encoding)
}

fn subject(spec: &Value) -> Result<Identity, Status> {
    let user = spec["user"].as_str().unwrap_or_default().to_owned();
    let groups: Vec<String> = spec["groups"].as_array().into_iter().flatten().filter_map(|group| group.as_str().map(str::to_owned)).collect();
    if user.is_empty() && groups.is_empty() {
        return Err(Status::bad_request("at least one of user or group must be specified"));
    }
    Ok(Identity { user, groups, uid: spec["uid"].as_str().unwrap_or_default().to_owned() })
}

fn access(call: &Call, identity: &Identity, spec: &Value) -> Result<Value, Status> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let attributes = match (resource.is_object(), path.is_object()) {
        (true, false) => Attributes {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            resource: text(&resource["resource"]),
            subresource: text(&resource["subresource"]),
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
            path: String::new(),
        },
        (false, true) => Attributes { verb: text(&path["verb"]), path: text(&path["path"]), ..Attributes::default() },
        _ => return Err(Status::bad_request("exactly one of nonResourceAttributes or resourceAttributes must be specified")),
    };
    Ok(match call.server.config().authorizer.authorize(identity, &attributes) {
        Decision::Allow(reason) if reason.is_empty() => json!({"allowed": true}),
        Decision::Allow(reason) => json!({"allowed": true, "reason": reason}),
        Decision::Deny(reason) if reason.is_empty() => json!({"allowed": false}),
        Decision::Deny(reason) => json!({"allowed": false, "reason": reason}),
    })
}

fn rules(identity: &Identity) -> Value {
    let reviews = json!([
        {"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
        {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
    ]);
    let discovery = json!([{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"]}]);
    if identity.is_in(MASTERS) {
        return json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        });
    }
    json!({"resourceRules": reviews, "nonResourceRules": discovery, "incomplete": true})
}

fn user_info(identity: &Identity) -> Value {
    let mut info = json!({"username": identity.user, "groups": identity.groups});
    if !identity.uid.is_empty() {
        info["uid"] = identity.uid.clone().into();
    }
    info
}

fn token(call: &Call, spec: &Value) -> Value {
    let token = spec["token"].as_str().unwrap_or_default();
    match call.server.recognize(token) {
        Ok(identity) => json!({"authenticated": true, "user": user_info(&identity), "audiences": [ISSUER]}),
        Err(_invalid) => json!({"user": {}, "error": "[invalid bearer token]"}),
    }
}
