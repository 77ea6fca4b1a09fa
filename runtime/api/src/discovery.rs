//! Discovery documents, derived from the registry.

use crate::registry::Registry;
use serde_json::Value;

/// A group served by somebody else (aggregated APIs), merged into discovery by value.
#[derive(Clone, Debug)]
pub struct ExtraGroup {
    /// Group name.
    pub group: String,
    /// Its one version.
    pub version: String,
    /// APIResource entries of the legacy document (name, singularName, namespaced, kind, verbs).
    pub resources: Vec<Value>,
}

/// `/api`: APIVersions. `address` is what clients reach the server by.
pub fn api_versions(_address: &str) -> Value {
    Value::Null
}
/// `/apis`: APIGroupList.
pub fn group_list(_registry: &Registry, _extra: &[ExtraGroup]) -> Value {
    Value::Null
}
/// `/apis/GROUP`: APIGroup.
pub fn group(_registry: &Registry, _extra: &[ExtraGroup], _group: &str) -> Option<Value> {
    None
}
/// `/api/v1`, `/apis/GROUP/VERSION`: APIResourceList.
pub fn resource_list(
    _registry: &Registry,
    _extra: &[ExtraGroup],
    _group: &str,
    _version: &str,
) -> Option<Value> {
    None
}
/// The `Accept` (and `Content-Type`) of the aggregated form.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
/// `/api` in the aggregated form.
pub fn aggregated_core(_registry: &Registry) -> Value {
    Value::Null
}
/// `/apis` in the aggregated form.
pub fn aggregated_groups(_registry: &Registry, _extra: &[ExtraGroup]) -> Value {
    Value::Null
}
/// Upstream's order of groups: smaller comes first.
pub fn group_priority(_group: &str) -> i32 {
    0
}
