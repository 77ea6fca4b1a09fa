//! From what a person typed to a container: the whole id, the name, or the beginning of an id.
// upstream: daemon/container.go, GetContainer

use super::error::ApiError;
use crate::runtime::{Container, Runtime};

/// Find it.
pub(super) fn container(runtime: &dyn Runtime, typed: &str) -> Result<Container, ApiError> {
    let mut all = runtime.containers();
    let name = typed.strip_prefix('/').unwrap_or(typed);
    if let Some(at) = all.iter().position(|container| container.id == typed).or_else(|| all.iter().position(|container| container.name == name)) {
        return Ok(all.swap_remove(at));
    }
    let begins: Vec<usize> = (0..all.len()).filter(|at| !typed.is_empty() && all[*at].id.starts_with(typed)).collect();
    match begins.as_slice() {
        [at] => Ok(all.swap_remove(*at)),
        [] => Err(ApiError::no_container(typed)),
        _ => Err(ApiError::bad(format!("Multiple IDs found with provided prefix: {typed}"))),
    }
}
