//! OpenAPI documents, derived from the registry's schemas.

use crate::registry::Registry;
use serde_json::Value;

/// `/openapi/v2` (Swagger 2.0).
pub fn v2(_registry: &Registry) -> Value {
    Value::Null
}
/// `/openapi/v3`: the index of group versions, with hashes in the URLs.
pub fn v3_index(_registry: &Registry) -> Value {
    Value::Null
}
/// `/openapi/v3/api/v1` (`group` empty) or `/openapi/v3/apis/GROUP/VERSION`.
pub fn v3(_registry: &Registry, _group: &str, _version: &str) -> Option<Value> {
    None
}
