//! DELETE of one object and of a collection.
//!
//! What a delete does to an object is decided by `drydock_api::delete`; this module reads the options, commits the decision and words the
//! answer. upstream: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/delete.go

use std::sync::Arc;

use bytes::Bytes;
use drydock_api::delete::{self, Plan};
use drydock_api::registry::Resource;
use drydock_api::status::Status;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::call::{Call, unsupported_dry_run};
use crate::storage::{self, Change, WriteError};
use crate::{read, respond};

const MAX_ATTEMPTS: u32 = 64;
/// upstream: pkg/registry/core/namespace/storage and plugin/pkg/admission NamespaceLifecycle
const IMMORTAL_NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-public"];

/// How a delete went.
pub(crate) struct Deleted {
    /// The object as it was left, or as it was last.
    pub(crate) object: Value,
    /// Whether it is gone already.
    pub(crate) gone: bool,
}

/// Answers DELETE of an object.
pub(crate) fn delete(call: &Call, row: &Arc<Resource>, body: &Bytes) -> Result<Response<Body>, Status> {
    let options = options(call, body)?;
    let name = call.info.name.as_str();
    let deleted = delete_object(call, row, name, &options)?;
    let cascades = options["orphanDependents"] == Value::Bool(false) || options["propagationPolicy"] == "Foreground";
    let code = if !deleted.gone && cascades { StatusCode::ACCEPTED } else { StatusCode::OK };
    if deleted.gone && !row.graceful {
        let uid = deleted.object["metadata"]["uid"].as_str().unwrap_or_default();
        let accepted = respond::negotiate(call, respond::Transformable::No).unwrap_or(respond::Accepted {
            encoding: respond::Encoding::Json,
            shape: respond::Shape::Whole,
        });
        return respond::value(code, &Status::deleted(row, name, uid), accepted.encoding);
    }
    respond::object(call, row, code, &deleted.object, &[])
}

/// Deletes one object as `options` ask.
pub(crate) fn delete_object(call: &Call, row: &Arc<Resource>, name: &str, options: &Value) -> Result<Deleted, Status> {
    if row.group.is_empty() && row.plural == "namespaces" && IMMORTAL_NAMESPACES.contains(&name) {
        return Err(Status::forbidden("", "namespaces", name, "this namespace may not be deleted"));
    }
    let dry_run = is_dry_run(options);
    let key = row.key(call.namespace(), name);
    for _ in 0..MAX_ATTEMPTS {
        let stored = call.server.require(row, call.namespace(), name)?;
        let context = call.context(row.is_namespaced(), Some(name), None);
        let (change, object, gone) = match delete::plan(row, &context, &stored.object, options)? {
            Plan::Nothing => return Ok(Deleted { object: stored.object, gone: false }),
            Plan::Remove(last) => (None, last, true),
            Plan::Update(new) => (Some(new.clone()), new, false),
        };
        if dry_run {
            return Ok(Deleted { object, gone });
        }
        let change = match &change {
            Some(new) => Change::Update(new, stored.revision),
            None => Change::Delete(stored.revision),
        };
        match storage::commit(call, row, &key, &change) {
            Ok(revision) => {
                let mut object = object;
                storage::set_revision(&mut object, revision);
                return Ok(Deleted { object, gone });
            }
            Err(WriteError::Conflict) => {}
            Err(WriteError::Status(status)) => return Err(status),
        }
    }
    Err(Status::modified(row, name))
}

/// Answers DELETE of a collection: everything the selection sees, each as by its own delete.
pub(crate) fn delete_collection(call: &Call, row: &Arc<Resource>, body: &Bytes) -> Result<Response<Body>, Status> {
    let options = options(call, body)?;
    let accepted = respond::negotiate(call, respond::Transformable::No)?;
    let page = read::page(call, row)?;
    let mut items = Vec::new();
    for object in page.items {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match delete_object(call, row, name, &options) {
            Ok(deleted) => items.push(deleted.object),
            // Somebody else was faster.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    respond::value(StatusCode::OK, &read::whole_list(row, items, &page.metadata), accepted.encoding)
}

/// The DeleteOptions of the body; those of the query where there is no body.
pub(crate) fn options(call: &Call, body: &Bytes) -> Result<Value, Status> {
    let options = if body.iter().all(u8::is_ascii_whitespace) { of_query(call)? } else { parse_body(call, body)? };
    check(&options)?;
    Ok(Value::Object(options))
}

fn of_query(call: &Call) -> Result<Map<String, Value>, Status> {
    let mut options = Map::new();
    let text = |name: &str| call.info.parameter(name).filter(|value| !value.is_empty());
    if let Some(seconds) = text("gracePeriodSeconds") {
        let seconds: i64 = seconds.parse().map_err(|_parse| Status::bad_request(format!("strconv.ParseInt: parsing \"{seconds}\": invalid syntax")))?;
        options.insert("gracePeriodSeconds".to_owned(), seconds.into());
    }
    if let Some(policy) = text("propagationPolicy") {
        options.insert("propagationPolicy".to_owned(), policy.into());
    }
    if text("orphanDependents").is_some() {
        options.insert("orphanDependents".to_owned(), call.info.flag("orphanDependents").into());
    }
    let dry_run = call.info.parameters("dryRun");
    if !dry_run.is_empty() {
        options.insert("dryRun".to_owned(), json!(dry_run));
    }
    Ok(options)
}

fn parse_body(call: &Call, body: &Bytes) -> Result<Map<String, Value>, Status> {
    let malformed = |error: &dyn std::fmt::Display| Status::bad_request(format!("error decoding DeleteOptions: {error}"));
    let value: Value = match call.format()? {
        drydock_api::write::Format::Json => serde_json::from_slice(body).map_err(|error| malformed(&error))?,
        drydock_api::write::Format::Yaml => {
            let text = std::str::from_utf8(body).map_err(|error| malformed(&error))?;
            drydock_primitives::yaml::parse(text).map_err(|error| malformed(&error))?
        }
    };
    match value {
        Value::Object(map) => check_types(&map, "").map(|()| map).map_err(Status::bad_request),
        Value::Null => Ok(Map::new()),
        other => Err(malformed(&format!("unexpected {other}"))),
    }
}

/// Whether every value is of its field's type; otherwise what Go's decoder says of the first that is not; `within` is where the
/// options are, as `deleteOptions.`. A server before 1.35 answers a DELETE like this with code 500.
pub(crate) fn check_types(options: &Map<String, Value>, within: &str) -> Result<(), String> {
    let wrong = |value: &Value, field: &str, kind: &str| {
        let found = match value {
            Value::Bool(_) => "bool".to_owned(),
            Value::Number(number) if kind == "int64" => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
            Value::Null | Value::String(_) => "string".to_owned(),
        };
        Err(format!("json: cannot unmarshal {found} into Go struct field {field} of type {kind}"))
    };
    for (name, value) in options.iter().filter(|(_, value)| !value.is_null()) {
        let field = format!("DeleteOptions.{within}{name}");
        match (name.as_str(), value) {
            ("gracePeriodSeconds", value) if !value.is_i64() => return wrong(value, &field, "int64"),
            ("orphanDependents", value) if !value.is_boolean() => return wrong(value, &field, "bool"),
            ("propagationPolicy", value) if !value.is_string() => return wrong(value, &field, "v1.DeletionPropagation"),
            ("dryRun", Value::Array(values)) => {
                if let Some(value) = values.iter().find(|value| !value.is_string() && !value.is_null()) {
                    return wrong(value, &field, "string");
                }
            }
            ("dryRun", value) => return wrong(value, &field, "[]string"),
            ("preconditions", Value::Object(own)) => {
                for (part, kind) in [("uid", "types.UID"), ("resourceVersion", "string")] {
                    if let Some(value) = own.get(part).filter(|value| !value.is_string() && !value.is_null()) {
                        return wrong(value, &format!("Preconditions.{within}preconditions.{part}"), kind);
                    }
                }
            }
            ("preconditions", value) => return wrong(value, &field, "v1.Preconditions"),
            _ => {}
        }
    }
    Ok(())
}

/// upstream: metav1validation.ValidateDeleteOptions
fn check(options: &Map<String, Value>) -> Result<(), Status> {
    use drydock_api::field_error::FieldError;
    let policy = options.get("propagationPolicy").and_then(Value::as_str);
    let mut errors = Vec::new();
    if let Some(policy) = policy {
        if options.get("orphanDependents").is_some_and(|orphan| !orphan.is_null()) {
            errors.push(FieldError::invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set"));
        }
        if !matches!(policy, "Foreground" | "Background" | "Orphan") {
            errors.push(FieldError::not_supported("propagationPolicy", policy, &["Background", "Foreground", "Orphan"]));
        }
    }
    let dry_run = options.get("dryRun").and_then(Value::as_array).into_iter().flatten();
    errors.extend(unsupported_dry_run(dry_run.map(|value| value.as_str().unwrap_or_default())));
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid_as("meta.k8s.io", "DeleteOptions", "", &errors)) }
}

/// Whether DeleteOptions say that nothing goes.
pub(crate) fn is_dry_run(options: &Value) -> bool {
    options["dryRun"].as_array().is_some_and(|values| !values.is_empty())
}

/// Options that name the object's uid, e.g. for evictions.
pub(crate) fn with_uid(options: &Value, uid: &str) -> Value {
    let mut options = if options.is_object() { options.clone() } else { json!({}) };
    options["preconditions"]["uid"] = uid.into();
    options
}
