//! The built-in kinds, one file per family.

use crate::registry::Resource;

/// All built-in rows.
pub fn rows() -> Vec<Resource> {
    Vec::new()
}
