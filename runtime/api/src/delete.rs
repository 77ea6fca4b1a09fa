//! What a DELETE does to an object: grace periods, preconditions, finalizers, propagation.

use crate::{registry::Resource, status::Status, write::Context};
use serde_json::Value;

/// What to do with the object.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// Remove it from the store; the value is its last state (with deletionTimestamp), for watchers.
    Remove(Value),
    /// Store this: it waits for its grace period or its finalizers.
    Update(Value),
    /// It is already on its way: answer it as it is.
    Nothing,
}

/// Decides. `options` is the DeleteOptions body merged with the query (`gracePeriodSeconds`, `propagationPolicy`,
/// `orphanDependents`, `preconditions`), or null.
pub fn plan(
    _row: &Resource,
    _context: &Context,
    object: &Value,
    _options: &Value,
) -> Result<Plan, Status> {
    Ok(Plan::Remove(object.clone()))
}

/// Whether an update left an object that must now be removed (deletionTimestamp set, last finalizer gone, no grace left).
pub fn is_finished(_row: &Resource, _object: &Value) -> bool {
    false
}
