//! The write path: create, update, patch.
//!
//! Each write reads the old object, computes the new one with the pure steps of `drydock_api::write`, and commits it if the old one is still
//! there; when somebody else was faster and the client named no resourceVersion, it starts again.
//! upstream: staging/src/k8s.io/apiserver/pkg/{endpoints/handlers/{create,update,patch}.go,registry/generic/registry/store.go}

use std::sync::Arc;

use bytes::Bytes;
use drydock_api::apply::{self, Force};
use drydock_api::patch::{self, PatchType};
use drydock_api::registry::{Resource, Subresource};
use drydock_api::status::Status;
use drydock_api::write::{self, Context, Decoded, FieldValidation, Format};
use drydock_api::{delete, managed};
use drydock_store::Revision;
use http::{Response, StatusCode};
use serde_json::Value;

use crate::admission::{self, Operation};
use crate::body::Body;
use crate::call::Call;
use crate::respond;
use crate::storage::{self, Change, Stored, WriteError};

/// How often a write starts again before it gives up: contention is short, a rule that never settles must not spin.
const MAX_ATTEMPTS: u32 = 64;
/// How often generateName tries another suffix. upstream: maxNameGenerationCreateAttempts
const MAX_NAMES: u32 = 8;

/// A write that happened (or would have, for dry runs).
pub(crate) struct Written {
    pub(crate) object: Value,
    pub(crate) warnings: Vec<String>,
    pub(crate) created: bool,
}

impl Written {
    pub(crate) fn respond(&self, call: &Call, row: &Arc<Resource>) -> Result<Response<Body>, Status> {
        let code = if self.created { StatusCode::CREATED } else { StatusCode::OK };
        respond::object(call, row, code, &self.object, &self.warnings)
    }
}

/// Answers POST to a collection.
pub(crate) fn create(call: &Call, row: &Arc<Resource>, body: &Bytes) -> Result<Written, Status> {
    let decoded = write::decode(row, body, call.format()?, call.field_validation()?)?;
    create_object(call, row, None, &decoded, Ownership::Record)
}

/// Whether managedFields are recorded, or stay as the new object has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    Record,
    /// An apply computed them already.
    Applied,
    /// Upstream records none for this write.
    Unrecorded,
}

/// Creates an object; with `name` from the path when it comes from PUT or apply.
pub(crate) fn create_object(call: &Call, row: &Arc<Resource>, name: Option<&str>, decoded: &Decoded, ownership: Ownership) -> Result<Written, Status> {
    let dry_run = call.dry_run()?;
    admission::check_namespace(call, row, &decoded.object)?;
    let generated = decoded.object["metadata"]["name"].as_str().unwrap_or_default().is_empty();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let context = call.context(row.is_namespaced(), name, None);
        let mut new = decoded.object.clone();
        write::prepare_create(row, &context, &mut new)?;
        // Before admission: what the server adds (addresses, token volumes) is nobody's. upstream: handlers/create.go
        if ownership == Ownership::Record {
            managed::create(row, &context, &mut new);
        }
        let _allocation = admission::mutate(call, row, &context, Operation::Create, &mut new, None)?;
        write::validate_create(row, &new)?;
        admission::validate(call, row, Operation::Create, &new, None)?;
        let new_name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let key = row.key(call.namespace(), &new_name);
        let mut warnings = decoded.warnings.clone();
        warnings.extend(row.rules.warnings(&new));
        if dry_run {
            return match call.server.config().store.get(&key) {
                Some(_) => Err(Status::already_exists(row, &new_name)),
                None => Ok(Written { object: new, warnings, created: true }),
            };
        }
        match storage::commit(call, row, &key, &Change::Create(&new)) {
            Ok(revision) => {
                storage::set_revision(&mut new, revision);
                return Ok(Written { object: new, warnings, created: true });
            }
            Err(WriteError::Conflict) if generated && attempts < MAX_NAMES => {}
            Err(WriteError::Conflict) => return Err(already_exists(call, row, &new_name)),
            Err(WriteError::Status(status)) => return Err(status),
        }
    }
}

/// upstream: registry/generic/registry/store.go, Create: an object on its way out is said to be.
fn already_exists(call: &Call, row: &Resource, name: &str) -> Status {
    let mut status = Status::already_exists(row, name);
    if let Ok(Some(existing)) = call.server.load(row, call.namespace(), name)
        && !existing.object["metadata"]["deletionTimestamp"].is_null()
    {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

/// Answers PUT to an object or one of the subresources that exchange the whole object.
pub(crate) fn update(call: &Call, row: &Arc<Resource>, subresource: Option<Subresource>, body: &Bytes) -> Result<Written, Status> {
    let decoded = write::decode(row, body, call.format()?, call.field_validation()?)?;
    let name = call.info.name.as_str();
    if call.server.load(row, call.namespace(), name)?.is_none() {
        if row.create_on_update && subresource.is_none() {
            return create_object(call, row, Some(name), &decoded, Ownership::Record);
        }
        return Err(Status::not_found(row, name));
    }
    modify(call, row, subresource, |_old, _context| Ok(Some((decoded.clone(), Ownership::Record))))
}

/// What a modification computes: the new object, or nothing when it must be created instead.
type Computed = Option<(Decoded, Ownership)>;

/// Reads, computes, commits, until nobody else was faster.
pub(crate) fn modify(
    call: &Call,
    row: &Arc<Resource>,
    subresource: Option<Subresource>,
    compute: impl Fn(&Value, &Context) -> Result<Computed, Status>,
) -> Result<Written, Status> {
    let name = call.info.name.as_str();
    for _ in 0..MAX_ATTEMPTS {
        let old = call.server.require(row, call.namespace(), name)?;
        match modify_once(call, row, subresource, &old, &compute) {
            Err(WriteError::Conflict) => {}
            Err(WriteError::Status(status)) => return Err(status),
            Ok(written) => return Ok(written),
        }
    }
    Err(Status::modified(row, name))
}

fn modify_once(
    call: &Call,
    row: &Arc<Resource>,
    subresource: Option<Subresource>,
    old: &Stored,
    compute: &impl Fn(&Value, &Context) -> Result<Computed, Status>,
) -> Result<Written, WriteError> {
    let name = call.info.name.as_str();
    let context = call.context(row.is_namespaced(), Some(name), subresource);
    let Some((decoded, ownership)) = compute(&old.object, &context)? else {
        return Err(Status::not_found(row, name).into());
    };
    let Decoded { object: mut new, mut warnings } = decoded;
    write::prepare_update(row, &context, &mut new, &old.object)?;
    let operation = Operation::Update(subresource);
    let _allocation = admission::mutate(call, row, &context, operation, &mut new, Some(&old.object))?;
    write::validate_update(row, &context, &new, &old.object)?;
    admission::validate(call, row, operation, &new, Some(&old.object))?;
    if ownership == Ownership::Record {
        managed::update(row, &context, &old.object, &mut new);
    }
    warnings.extend(row.rules.warnings(&new));
    if write::unchanged(&new, &old.object) {
        return Ok(Written { object: old.object.clone(), warnings, created: false });
    }
    if call.dry_run()? {
        return Ok(Written { object: new, warnings, created: false });
    }
    let revision = write_or_remove(call, row, name, &new, old.revision)?;
    storage::set_revision(&mut new, revision);
    Ok(Written { object: new, warnings, created: false })
}

fn write_or_remove(call: &Call, row: &Arc<Resource>, name: &str, new: &Value, expected: Revision) -> Result<Revision, WriteError> {
    let key = row.key(call.namespace(), name);
    let change = if delete::is_finished(row, new) { Change::Delete(expected) } else { Change::Update(new, expected) };
    storage::commit(call, row, &key, &change)
}

/// Answers PATCH to an object or one of the subresources that exchange the whole object.
pub(crate) fn patch(call: &Call, row: &Arc<Resource>, subresource: Option<Subresource>, body: &Bytes) -> Result<Written, Status> {
    let kind = patch_type(call)?;
    let validation = call.field_validation()?;
    check_options(call, kind)?;
    if kind == PatchType::Apply {
        return apply_patch(call, row, subresource, body, validation);
    }
    modify(call, row, subresource, |old, _context| {
        let patched = patch::patched(row, old, body, kind)?;
        Ok(Some((patch::decode(row, patched, body, kind, validation)?, Ownership::Record)))
    })
}

/// The patch's type. upstream: handlers/patch.go
pub(crate) fn patch_type(call: &Call) -> Result<PatchType, Status> {
    PatchType::parse(&call.content_type()).ok_or_else(|| {
        let mut status = Status::unsupported_media_type(&[]);
        status.message = "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, \
                          application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml"
            .to_owned();
        status
    })
}

/// upstream: metav1validation.ValidatePatchOptions
fn check_options(call: &Call, kind: PatchType) -> Result<(), Status> {
    use drydock_api::field_error::FieldError;
    let mut errors = Vec::new();
    if kind == PatchType::Apply {
        if call.info.parameter("fieldManager").is_none_or(str::is_empty) {
            errors.push(FieldError::required("fieldManager", "is required for apply patch"));
        }
    } else if call.info.parameter("force").is_some() {
        errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid_as("meta.k8s.io", "PatchOptions", "", &errors)) }
}

fn apply_patch(call: &Call, row: &Arc<Resource>, subresource: Option<Subresource>, body: &Bytes, validation: FieldValidation) -> Result<Written, Status> {
    let decoded = write::decode(row, body, Format::Yaml, validation)?;
    let force = if call.info.flag("force") { Force::Yes } else { Force::No };
    let name = call.info.name.as_str();
    let own_name = decoded.object["metadata"]["name"].as_str().unwrap_or(name);
    if own_name != name {
        return Err(Status::bad_request(format!("the name of the object ({own_name}) does not match the name on the URL ({name})")));
    }
    for _ in 0..MAX_ATTEMPTS {
        if call.server.load(row, call.namespace(), name)?.is_none() {
            if subresource.is_some() {
                return Err(Status::not_found(row, name));
            }
            let context = call.context(row.is_namespaced(), Some(name), subresource);
            let applied = apply::apply(row, &context, None, &decoded.object, force)?;
            let applied = Decoded { object: applied, warnings: decoded.warnings.clone() };
            match create_object(call, row, Some(name), &applied, Ownership::Applied) {
                // Somebody created it in between: apply to theirs.
                Err(status) if status.reason == "AlreadyExists" && call.server.load(row, call.namespace(), name)?.is_some() => continue,
                other => return other,
            }
        }
        let result = modify(call, row, subresource, |old, context| {
            let object = apply::apply(row, context, Some(old), &decoded.object, force)?;
            Ok(Some((Decoded { object, warnings: decoded.warnings.clone() }, Ownership::Applied)))
        });
        match result {
            Err(status) if status.reason == "NotFound" && subresource.is_none() => {}
            other => return other,
        }
    }
    Err(Status::modified(row, name))
}
