//! CustomResourceDefinition, to look at: clients ask which ones there are before they say that a kind is unknown. None can be made yet.

use crate::registry::Resource;

/// The rows.
pub fn rows() -> Vec<Resource> {
    vec![
        Resource::cluster("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
            .short(&["crd", "crds"])
            .categories(&["api-extensions"])
            .verbs(&["get", "list", "watch"]),
    ]
}
