//! The write path's pure steps, in the order the server must call them.
//!
//! * create: [`decode`] -> [`prepare_create`] -> mutating admission ([`crate::admission`]) -> [`validate_create`] ->
//!   [`crate::managed::create`] -> [`Resource::encode_storage`] -> commit.
//! * update, and every patch once it has computed the new object: [`decode`] -> [`prepare_update`] -> admission ->
//!   [`validate_update`] -> [`crate::managed::update`] -> if [`unchanged`] answer the old object, else commit.
//!
//! `resourceVersion` is the store's: objects handed to the store may carry a stale one, it is replaced on read.

use drydock_primitives::{names, time};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    decode,
    field_error::FieldError,
    field_validation, meta,
    registry::{Resource, Subresource},
    schema::Empty,
    status::Status,
};

/// What the pure steps need from the outside world.
#[derive(Clone, Debug)]
pub struct Context {
    /// Now.
    pub now: Timestamp,
    /// A fresh uid, for creates.
    pub uid: String,
    /// Five random characters of the generateName alphabet; a fresh set for each retry.
    pub suffix: String,
    /// Namespace of the path, `None` for cluster-wide kinds.
    pub namespace: Option<String>,
    /// Name of the path, `None` for POST to the collection.
    pub name: Option<String>,
    /// `fieldManager` parameter, or the user agent up to the first `/`.
    pub manager: String,
    /// The subresource written, `None` for the main resource.
    pub subresource: Option<Subresource>,
}

/// What `?fieldValidation=` asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop silently.
    Ignore,
    /// Drop and warn; the default.
    #[default]
    Warn,
    /// Refuse.
    Strict,
}

/// Encoding of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
}

/// A body that was understood.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The object: apiVersion and kind filled in, unknown fields dropped, values in canonical form.
    pub object: Value,
    /// Texts for `Warning: 299 - "..."` headers.
    pub warnings: Vec<String>,
}

/// Upstream's word for a field that may not change.
pub const IMMUTABLE: &str = "field is immutable";

/// Reads a body as an object of this row: checks apiVersion and kind, drops and reports unknown and duplicate fields, refuses values
/// of the wrong type.
pub fn decode(
    row: &Resource,
    body: &[u8],
    format: Format,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let parsed =
        field_validation::parse(body, format).map_err(|error| unrecognized(row, &error, body))?;
    decode_parsed(row, parsed.value, parsed.duplicates, validation)
}

/// The same for an object that is already a value (the outcome of a patch).
pub fn decode_value(
    row: &Resource,
    object: Value,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    decode_parsed(row, object, Vec::new(), validation)
}

fn unrecognized(row: &Resource, error: &str, body: &[u8]) -> Status {
    let shown: String = body.iter().take(64).map(|b| format!("{b:02x}")).collect();
    let dots = if body.len() > 64 { " ..." } else { "" };
    Status::bad_request(format!(
        "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {error} ({shown}{dots})",
        row.kind
    ))
}

fn decode_parsed(
    row: &Resource,
    object: Value,
    duplicates: Vec<String>,
    validation: FieldValidation,
) -> Result<Decoded, Status> {
    let mut object = object;
    let api_version = row.api_version();
    let given = |object: &Value, field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (given_version, given_kind) = (given(&object, "apiVersion"), given(&object, "kind"));
    if !given_version.is_empty() && given_version != api_version {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )));
    }
    let cannot = |why: &str| {
        Status::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {why}",
            row.kind, row.version, row.kind
        ))
    };
    if !given_kind.is_empty() && given_kind != row.kind {
        let why = format!(
            "{given_kind} in version {:?} cannot be handled as a {}: the kinds differ",
            row.version, row.kind
        );
        return Err(Status::bad_request(why));
    }
    let mut findings = Vec::new();
    if let Some(schema) = &row.schema {
        let canonical = decode::canonical(schema, object).map_err(|why| cannot(&why))?;
        object = canonical.value;
        findings = canonical.unknown;
    } else if !object.is_object() {
        return Err(cannot("expected an object"));
    }
    findings.extend(duplicates);
    object["apiVersion"] = Value::from(api_version);
    object["kind"] = Value::from(row.kind.as_str());
    meta::metadata_mut(&mut object);
    match validation {
        FieldValidation::Strict if !findings.is_empty() => Err(cannot(&format!(
            "strict decoding error: {}",
            findings.join(", ")
        ))),
        FieldValidation::Warn => Ok(Decoded {
            object,
            warnings: findings,
        }),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Decoded {
            object,
            warnings: Vec::new(),
        }),
    }
}

fn check_namespace(row: &Resource, context: &Context, new: &mut Value) -> Result<(), Status> {
    let given = meta::namespace(new).to_owned();
    match context.namespace.as_deref().filter(|_| row.is_namespaced()) {
        None => drop(meta::metadata_mut(new).remove("namespace")),
        Some(namespace) if given.is_empty() => {
            meta::metadata_mut(new).insert("namespace".to_owned(), Value::from(namespace));
        }
        Some(namespace) if given != namespace => {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Some(_) => {}
    }
    Ok(())
}

fn check_name(context: &Context, new: &mut Value) -> Result<(), Status> {
    let Some(name) = &context.name else {
        return Ok(());
    };
    let given = meta::name(new).to_owned();
    if given.is_empty() {
        meta::metadata_mut(new).insert("name".to_owned(), Value::from(name.as_str()));
    } else if given != *name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}

/// Checks name and namespace against the path, generates the name, wipes what a creator may not set, defaults, and fills uid,
/// creationTimestamp and generation.
// upstream: apiserver/pkg/registry/rest/create.go BeforeCreate
pub fn prepare_create(row: &Resource, context: &Context, new: &mut Value) -> Result<(), Status> {
    check_namespace(row, context, new)?;
    check_name(context, new)?;
    if !meta::resource_version(new).is_empty() {
        return Err(Status::raw(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let metadata = meta::metadata_mut(new);
    let text = |metadata: &Map<String, Value>, field: &str| {
        metadata
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let base = text(metadata, "generateName");
    if text(metadata, "name").is_empty() && !base.is_empty() {
        let room = names::DNS_LABEL_MAX - context.suffix.len();
        let base: String = base.chars().take(room).collect();
        metadata.insert(
            "name".to_owned(),
            Value::from(format!("{base}{}", context.suffix)),
        );
    }
    for field in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generation",
    ] {
        metadata.remove(field);
    }
    metadata.insert("uid".to_owned(), Value::from(context.uid.as_str()));
    metadata.insert(
        "creationTimestamp".to_owned(),
        Value::from(time::seconds(context.now)),
    );
    if row.generation {
        metadata.insert("generation".to_owned(), Value::from(1));
    }
    if row.has(Subresource::Status) && !row.rules.keeps_status_on_create() {
        set_or_remove(new, "status", empty_status(row));
    }
    row.rules.normalise(new);
    row.rules.prepare_create(new);
    row.rules.set_defaults(new);
    Ok(())
}

/// The status of an object that has none: Go writes plain structs even when empty.
fn empty_status(row: &Resource) -> Option<Value> {
    let field = row.schema.as_ref()?.field(&["status"])?;
    if field.empty != Empty::Always {
        return None;
    }
    let schema = row.schema.as_ref()?;
    decode::canonical(schema, json!({}))
        .ok()?
        .value
        .get("status")
        .cloned()
}

fn set_or_remove(object: &mut Value, field: &str, value: Option<Value>) {
    match (value, object.as_object_mut()) {
        (Some(value), Some(map)) => drop(map.insert(field.to_owned(), value)),
        (None, Some(map)) => drop(map.remove(field)),
        (_, None) => {}
    }
}

/// Normalises and defaults; call again after admission changed something.
pub fn set_defaults(row: &Resource, new: &mut Value) {
    row.rules.normalise(new);
    row.rules.set_defaults(new);
}

fn refuse(row: &Resource, new: &Value, errors: &[FieldError]) -> Result<(), Status> {
    let name = if meta::name(new).is_empty() {
        meta::text(new, "generateName")
    } else {
        meta::name(new)
    };
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(row, name, errors))
    }
}

/// Refuses an invalid new object.
pub fn validate_create(row: &Resource, new: &Value) -> Result<(), Status> {
    let mut errors = if row.is_stored() {
        meta::validate(row, new)
    } else {
        Vec::new()
    };
    errors.extend(row.rules.validate(new));
    refuse(row, new, &errors)
}

/// Checks name, uid and resourceVersion against `old` (409), defaults, and restores what an update of this (sub)resource may not
/// change: a main update keeps status, a status update keeps the rest; system metadata stays; generation moves with the spec.
// upstream: apiserver/pkg/registry/rest/update.go BeforeUpdate, generic/registry/store.go Update
pub fn prepare_update(
    row: &Resource,
    context: &Context,
    new: &mut Value,
    old: &Value,
) -> Result<(), Status> {
    check_namespace(row, context, new)?;
    check_name(context, new)?;
    check_preconditions(row, new, old)?;
    let metadata = meta::metadata_mut(new);
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "resourceVersion",
        "generation",
        "selfLink",
    ] {
        match old["metadata"].get(field) {
            Some(value) => drop(metadata.insert(field.to_owned(), value.clone())),
            None => drop(metadata.remove(field)),
        }
    }
    match context.subresource {
        None => {
            if row.has(Subresource::Status) {
                set_or_remove(new, "status", old.get("status").cloned());
            }
            set_defaults(row, new);
            row.rules.prepare_update(new, old);
        }
        Some(subresource) => {
            keep_all_but(subresource, new, old);
            set_defaults(row, new);
            row.rules.prepare_subresource_update(subresource, new, old);
        }
    }
    if row.generation && body_differs(new, old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        meta::metadata_mut(new).insert("generation".to_owned(), Value::from(generation));
    }
    Ok(())
}

fn check_preconditions(row: &Resource, new: &Value, old: &Value) -> Result<(), Status> {
    let name = meta::name(old);
    let (new_uid, old_uid) = (meta::text(new, "uid"), meta::text(old, "uid"));
    if !new_uid.is_empty() && new_uid != old_uid {
        let why = format!(
            "Precondition failed: UID in precondition: {new_uid}, UID in object meta: {old_uid}"
        );
        return Err(Status::conflict(row, name, &why));
    }
    match meta::resource_version(new) {
        "" | "0" if row.unconditional_update => Ok(()),
        "" | "0" => {
            let error = FieldError::invalid(
                "metadata.resourceVersion",
                0,
                "must be specified for an update",
            );
            Err(Status::invalid(row, name, &[error]))
        }
        asked if asked != meta::resource_version(old) => Err(Status::modified(row, name)),
        _ => Ok(()),
    }
}

/// A subresource writes its own part of the object and metadata; the rest stays as it was.
fn keep_all_but(subresource: Subresource, new: &mut Value, old: &Value) {
    let part = match subresource {
        Subresource::Status => "/status",
        Subresource::EphemeralContainers => "/spec/ephemeralContainers",
        Subresource::Finalize => "/spec/finalizers",
        Subresource::Scale => "/spec/replicas",
        _ => return,
    };
    let written = new.pointer(part).cloned();
    let metadata = new["metadata"].take();
    *new = old.clone();
    new["metadata"] = metadata;
    let (parent, field) = part.rsplit_once('/').unwrap_or(("", part));
    if let Some(parent) = new.pointer_mut(parent) {
        set_or_remove(parent, field, written);
    }
    if let (Some(metadata), Some(owners)) = (
        new["metadata"].as_object_mut(),
        old["metadata"].get("ownerReferences"),
    ) {
        metadata.insert("ownerReferences".to_owned(), owners.clone());
    }
}

/// Whether anything besides metadata and status differs.
fn body_differs(new: &Value, old: &Value) -> bool {
    let body = |object: &Value| -> Map<String, Value> {
        let skip = ["metadata", "status", "apiVersion", "kind"];
        object
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(k, _)| !skip.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    body(new) != body(old)
}

/// Refuses an invalid change.
pub fn validate_update(
    row: &Resource,
    context: &Context,
    new: &Value,
    old: &Value,
) -> Result<(), Status> {
    let mut errors = meta::validate_update(new, old);
    if context.subresource == Some(Subresource::Status) {
        errors.extend(row.rules.validate_status_update(new, old));
    } else {
        errors.extend(row.rules.validate(new));
        if context.subresource.is_none() {
            errors.extend(row.rules.validate_update(new, old));
        }
    }
    refuse(row, new, &errors)
}

/// Whether an update changed nothing (resourceVersion aside), so nothing need be written.
pub fn unchanged(new: &Value, old: &Value) -> bool {
    let without = |object: &Value| {
        let mut object = object.clone();
        meta::metadata_mut(&mut object).remove("resourceVersion");
        object
    };
    without(new) == without(old)
}
