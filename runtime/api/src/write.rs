//! The write path's pure steps, in the order the server must call them.
//!
//! * create: [`decode`] -> [`prepare_create`] -> mutating admission ([`crate::admission`]) -> [`validate_create`] ->
//!   [`crate::managed::create`] -> [`Resource::encode_storage`] -> commit.
//! * update, and every patch once it has computed the new object: [`decode`] -> [`prepare_update`] -> admission ->
//!   [`validate_update`] -> [`crate::managed::update`] -> if [`unchanged`] answer the old object, else commit.
//!
//! `resourceVersion` is the store's: objects handed to the store may carry a stale one, it is replaced on read.

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    registry::{Resource, Subresource},
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

/// Reads a body as an object of this row: checks apiVersion and kind, drops and reports unknown and duplicate fields, refuses values
/// of the wrong type.
pub fn decode(
    _row: &Resource,
    _body: &[u8],
    _format: Format,
    _validation: FieldValidation,
) -> Result<Decoded, Status> {
    Err(Status::internal("no schema"))
}

/// The same for an object that is already a value (the outcome of a patch).
pub fn decode_value(
    _row: &Resource,
    object: Value,
    _validation: FieldValidation,
) -> Result<Decoded, Status> {
    Ok(Decoded {
        object,
        warnings: Vec::new(),
    })
}

/// Checks name and namespace against the path, generates the name, wipes what a creator may not set, defaults, and fills uid,
/// creationTimestamp and generation.
pub fn prepare_create(_row: &Resource, _context: &Context, _new: &mut Value) -> Result<(), Status> {
    Ok(())
}

/// Normalises and defaults; call again after admission changed something.
pub fn set_defaults(row: &Resource, new: &mut Value) {
    row.rules.normalise(new);
    row.rules.set_defaults(new);
}

/// Refuses an invalid new object.
pub fn validate_create(_row: &Resource, _new: &Value) -> Result<(), Status> {
    Ok(())
}

/// Checks name, uid and resourceVersion against `old` (409), defaults, and restores what an update of this (sub)resource may not
/// change: a main update keeps status, a status update keeps the rest; system metadata stays; generation moves with the spec.
pub fn prepare_update(
    _row: &Resource,
    _context: &Context,
    _new: &mut Value,
    _old: &Value,
) -> Result<(), Status> {
    Ok(())
}

/// Refuses an invalid change.
pub fn validate_update(
    _row: &Resource,
    _context: &Context,
    _new: &Value,
    _old: &Value,
) -> Result<(), Status> {
    Ok(())
}

/// Whether an update changed nothing (managedFields timestamps and resourceVersion aside), so nothing need be written.
pub fn unchanged(_new: &Value, _old: &Value) -> bool {
    false
}
