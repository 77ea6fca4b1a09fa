//! `metav1.Status`: every refusal and every plain "Success" the API gives, worded in one place.
// upstream: staging/src/k8s.io/apimachinery/pkg/api/errors/errors.go

use std::fmt;

use serde_json::{Map, Value, json};

use crate::{field_error::FieldError, registry::Resource};

/// An API answer that is a Status, nearly always a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// HTTP code.
    pub code: u16,
    /// Machine-readable reason such as `NotFound`; empty for none.
    pub reason: &'static str,
    /// What the learner reads.
    pub message: String,
    /// `details`, or null.
    pub details: Value,
    /// `metadata.continue`, by which a list whose history is forgotten can go on; empty for none.
    pub continuation: String,
}

impl std::error::Error for Status {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn about(name: &str, group: &str, kind: &str) -> Map<String, Value> {
    let mut details = Map::new();
    for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
        if !value.is_empty() {
            details.insert(key.to_owned(), Value::from(value));
        }
    }
    details
}

impl Status {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Status {
        Status {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
            continuation: String::new(),
        }
    }

    fn with_details(mut self, details: Map<String, Value>) -> Status {
        self.details = Value::Object(details);
        self
    }

    /// `pods "x" not found`.
    pub fn not_found(row: &Resource, name: &str) -> Status {
        Status::not_found_as(&row.group, &row.plural, name)
    }

    /// The same for a resource given by name.
    pub fn not_found_as(group: &str, plural: &str, name: &str) -> Status {
        let qualified = qualified(group, plural);
        Status::new(404, "NotFound", format!("{qualified} \"{name}\" not found"))
            .with_details(about(name, group, plural))
    }

    /// What a path gets that nothing serves.
    pub fn page_not_found() -> Status {
        Status::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
        .with_details(Map::new())
    }

    /// `pods "x" already exists`.
    pub fn already_exists(row: &Resource, name: &str) -> Status {
        Status::new(
            409,
            "AlreadyExists",
            format!("{} \"{name}\" already exists", row.qualified()),
        )
        .with_details(about(name, &row.group, &row.plural))
    }

    /// `Operation cannot be fulfilled on pods "x": ...`.
    pub fn conflict(row: &Resource, name: &str, why: &str) -> Status {
        Status::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} \"{name}\": {why}",
                row.qualified()
            ),
        )
        .with_details(about(name, &row.group, &row.plural))
    }

    /// `Operation cannot be fulfilled on pods/binding "x": ...`, for a subresource.
    pub fn conflict_as(subject: &str, name: &str, why: &str, row: &Resource) -> Status {
        Status::new(
            409,
            "Conflict",
            format!("Operation cannot be fulfilled on {subject} \"{name}\": {why}"),
        )
        .with_details(about(name, &row.group, subject))
    }

    /// The conflict of an update that was computed from an old resourceVersion.
    pub fn modified(row: &Resource, name: &str) -> Status {
        Status::conflict(
            row,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// The conflict of a server-side apply: `causes` are `(message, field)`.
    pub fn apply_conflict(message: impl Into<String>, causes: &[(String, String)]) -> Status {
        let causes: Vec<Value> =
            causes.iter().map(|(message, field)| json!({"reason": "FieldManagerConflict", "message": message, "field": field})).collect();
        let mut details = Map::new();
        details.insert("causes".to_owned(), Value::from(causes));
        Status::new(409, "Conflict", message).with_details(details)
    }

    /// `Pod "x" is invalid: spec...: Required value`.
    pub fn invalid(row: &Resource, name: &str, errors: &[FieldError]) -> Status {
        Status::invalid_as(&row.group, &row.kind, name, errors)
    }

    /// The same for a kind given by name.
    pub fn invalid_as(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Status {
        let mut texts: Vec<String> = Vec::new();
        for error in errors {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = if texts.len() == 1 {
            texts.remove(0)
        } else {
            format!("[{}]", texts.join(", "))
        };
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| json!({"reason": e.kind.reason(), "message": e.body(), "field": e.field}))
            .collect();
        let mut details = about(name, group, kind);
        details.insert("causes".to_owned(), Value::from(causes));
        let kind = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        Status::new(
            422,
            "Invalid",
            format!("{kind} \"{name}\" is invalid: {list}"),
        )
        .with_details(details)
    }

    /// 422 of a patch that cannot be carried out.
    pub fn unprocessable(message: impl Into<String>) -> Status {
        Status::new(422, "Invalid", message).with_details(Map::new())
    }

    /// A 500 whose message is an error as it came, without a frame.
    pub fn raw(message: impl Into<String>) -> Status {
        Status::new(500, "", message)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::new(400, "BadRequest", message)
    }

    /// 401.
    pub fn unauthorized() -> Status {
        Status::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403: `pods "x" is forbidden: why`.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Status {
        let qualified = qualified(group, plural);
        let message = match (qualified.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{qualified} is forbidden: {why}"),
            (false, false) => format!("{qualified} \"{name}\" is forbidden: {why}"),
        };
        Status::new(403, "Forbidden", message).with_details(about(name, group, plural))
    }

    /// 405 for a verb a kind lacks.
    pub fn method_not_supported(row: &Resource, verb: &str) -> Status {
        let message = format!(
            "{verb} is not supported on resources of kind \"{}\"",
            row.qualified()
        );
        Status::new(405, "MethodNotAllowed", message).with_details(about(
            "",
            &row.group,
            &row.plural,
        ))
    }

    /// 405 for a method no path of this shape takes.
    pub fn method_not_allowed() -> Status {
        Status::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .with_details(Map::new())
    }

    /// 406.
    pub fn not_acceptable(accepted: &[&str]) -> Status {
        let message = format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        );
        Status::new(406, "NotAcceptable", message)
    }

    /// 415.
    pub fn unsupported_media_type(accepted: &[&str]) -> Status {
        let list = accepted.join(", ");
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {list}"
        );
        Status::new(415, "UnsupportedMediaType", message)
    }

    /// 410 for a watch or list continued from compacted history.
    pub fn expired(message: impl Into<String>) -> Status {
        Status::new(410, "Expired", message)
    }

    /// The 410 of a watch from `asked` when history starts at `oldest`.
    pub fn too_old(asked: u64, oldest: u64) -> Status {
        Status::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 504 with the cause a client waits on when it asks for a future resourceVersion.
    pub fn too_large_resource_version(asked: u64, current: u64) -> Status {
        let mut details = Map::new();
        details.insert(
            "causes".to_owned(),
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
        );
        details.insert("retryAfterSeconds".to_owned(), json!(1));
        Status::new(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        )
        .with_details(details)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Status {
        Status::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit}"),
        )
    }

    /// 429.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
        let mut details = Map::new();
        if retry_after_seconds > 0 {
            details.insert(
                "retryAfterSeconds".to_owned(),
                Value::from(retry_after_seconds),
            );
        }
        Status::new(429, "TooManyRequests", message).with_details(details)
    }

    /// 503.
    pub fn unavailable(message: impl Into<String>) -> Status {
        Status::new(503, "ServiceUnavailable", message)
    }

    /// 504.
    pub fn timeout(message: impl Into<String>) -> Status {
        Status::new(504, "Timeout", message)
    }

    /// 500: `Internal error occurred: why`.
    pub fn internal(why: impl fmt::Display) -> Status {
        let mut details = Map::new();
        details.insert("causes".to_owned(), json!([{"message": why.to_string()}]));
        Status::new(
            500,
            "InternalError",
            format!("Internal error occurred: {why}"),
        )
        .with_details(details)
    }

    /// The object to send.
    pub fn to_value(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = Value::from(self.reason);
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        if !self.continuation.is_empty() {
            status["metadata"]["continue"] = Value::from(self.continuation.as_str());
        }
        status
    }

    /// The answer to a delete that left nothing to show.
    pub fn deleted(row: &Resource, name: &str, uid: &str) -> Value {
        let mut details = about(name, &row.group, &row.plural);
        if !uid.is_empty() {
            details.insert("uid".to_owned(), Value::from(uid));
        }
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
    }

    /// A plain success, as binding and eviction answer.
    pub fn success(code: u16) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
    }
}

fn qualified(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}
