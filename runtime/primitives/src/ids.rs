//! Random identifiers.

/// A fresh UID, version 4, as `metadata.uid` holds it.
pub fn uid() -> String {
    uuid::Uuid::new_v4().to_string()
}
