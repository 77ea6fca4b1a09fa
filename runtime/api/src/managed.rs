//! `metadata.managedFields`: who owns which field.

use crate::{registry::Resource, write::Context};
use serde_json::Value;

/// Records a create.
pub fn create(_row: &Resource, _context: &Context, _new: &mut Value) {}
/// Records an update of `old` to `new` by PUT or a non-apply patch.
pub fn update(_row: &Resource, _context: &Context, _old: &Value, _new: &mut Value) {}
