//! CustomResourceDefinition, to look at: clients ask which ones there are before they say that a kind is unknown. None can be made yet.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::registry::{Column, Resource};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<CustomResourceDefinition>()
            .short(&["crd", "crds"])
            .categories(&["api-extensions"])
            .verbs(&["get", "list", "watch"])
            .columns(vec![
                Column::new("Name", crate::table::NAME_DESCRIPTION),
                Column::new("Created At", crate::table::AGE_DESCRIPTION),
            ]),
    ]
}
