//! The built-in kinds, one file per family.
//!
//! A file offers `rows()`; a kind that is special implements [`crate::registry::Rules`] beside its row. Nothing outside this folder
//! knows a kind by name, apart from the admission of Pods in [`crate::admission`].

mod apps;
pub mod binding;
mod claims;
mod configuration;
mod coordination;
mod daemon_sets;
mod endpoints;
mod events;
mod extensions;
mod namespaces;
mod nodes;
mod persistent_volumes;
mod pod_spec;
mod pods;
mod pods_print;
mod rbac;
mod replication_controllers;
mod reviews;
mod services;
mod stateful_sets;
mod storage_classes;
mod workloads;

use crate::registry::Resource;

/// All built-in rows.
pub fn rows() -> Vec<Resource> {
    [
        apps::rows,
        binding::rows,
        claims::rows,
        configuration::rows,
        coordination::rows,
        daemon_sets::rows,
        endpoints::rows,
        events::rows,
        extensions::rows,
        namespaces::rows,
        nodes::rows,
        persistent_volumes::rows,
        pods::rows,
        rbac::rows,
        replication_controllers::rows,
        reviews::rows,
        services::rows,
        stateful_sets::rows,
        storage_classes::rows,
    ]
    .into_iter()
    .flat_map(|rows| rows())
    .collect()
}
