//! Server-side printing: the Table behind `kubectl get`.

use crate::registry::Resource;
use jiff::Timestamp;
use serde_json::Value;

pub(crate) const NAME_DESCRIPTION: &str = "Name must be unique within a namespace.";
pub(crate) const AGE_DESCRIPTION: &str =
    "CreationTimestamp is a timestamp representing the server time when this object was created.";

/// What each Table row carries besides its cells (`?includeObject=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// PartialObjectMetadata; the default.
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

/// Whether the column definitions are sent: the first Table of a watch has them, later ones not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headers {
    /// With definitions.
    Full,
    /// Without.
    Omitted,
}

/// A `meta.k8s.io/v1` Table of objects. `metadata` is the list's (resourceVersion, continue, remainingItemCount) or the object's.
pub fn render(
    _row: &Resource,
    _objects: &[Value],
    _metadata: Value,
    _include: Include,
    _headers: Headers,
    _now: Timestamp,
) -> Value {
    Value::Null
}
/// The PartialObjectMetadata of an object.
pub fn partial(_object: &Value) -> Value {
    Value::Null
}
/// The PartialObjectMetadataList of objects.
pub fn partial_list(_objects: &[Value], _metadata: Value) -> Value {
    Value::Null
}
