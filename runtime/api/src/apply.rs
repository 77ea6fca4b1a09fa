//! Server-Side Apply.

use crate::{registry::Resource, status::Status, write::Context};
use serde_json::Value;

/// Who wins when another manager owns a field with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// The owner: the apply is refused.
    No,
    /// The applier.
    Yes,
}

/// Computes the object that applying `config` (decoded, not defaulted) gives, its managedFields included. `old` is `None` when the
/// object does not exist yet. Afterwards go on as for create or update, but skip [`crate::managed`].
pub fn apply(
    _row: &Resource,
    _context: &Context,
    old: Option<&Value>,
    config: &Value,
    _force: Force,
) -> Result<Value, Status> {
    Ok(old.unwrap_or(config).clone())
}
