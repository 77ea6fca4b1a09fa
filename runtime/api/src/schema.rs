//! Schemas: the shape of each kind, from k8s-openapi plus our overlay.

use std::sync::Arc;

/// The shape of a kind.
#[derive(Debug)]
pub struct Schema {
    /// Definition name such as `io.k8s.api.core.v1.Pod`.
    pub name: String,
}

impl Schema {
    /// The schema of a built-in type.
    pub fn of<T: schemars::JsonSchema>() -> Arc<Schema> {
        Arc::new(Schema {
            name: T::schema_name().into_owned(),
        })
    }
}
