//! The built-in kinds, one file per family.
//!
//! A file offers `rows()`; a kind that is special implements [`crate::registry::Rules`] beside its row. Nothing outside this folder
//! knows a kind by name, apart from the admission of Pods in [`crate::admission`].

mod apps;
pub mod binding;
mod configuration;
mod coordination;
mod endpoints;
mod events;
mod extensions;
mod namespaces;
mod nodes;
mod pod_spec;
mod pods;
mod pods_print;
mod reviews;
mod services;

use crate::registry::Resource;

/// All built-in rows.
pub fn rows() -> Vec<Resource> {
    [
        apps::rows,
        binding::rows,
        configuration::rows,
        coordination::rows,
        endpoints::rows,
        events::rows,
        extensions::rows,
        namespaces::rows,
        nodes::rows,
        pods::rows,
        reviews::rows,
        services::rows,
    ]
    .into_iter()
    .flat_map(|rows| rows())
    .collect()
}
