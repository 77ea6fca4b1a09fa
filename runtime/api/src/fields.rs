//! Field labels for field selectors.

use crate::{registry::Resource, status::Status};
use serde_json::Value;

/// Whether a kind can be selected by this label; the refusal is upstream's 400.
pub fn check(_row: &Resource, _label: &str) -> Result<(), Status> {
    Ok(())
}
/// The value of a label (`metadata.name`, `spec.nodeName`, ...), empty if unset.
pub fn value(_row: &Resource, _object: &Value, _label: &str) -> String {
    String::new()
}
