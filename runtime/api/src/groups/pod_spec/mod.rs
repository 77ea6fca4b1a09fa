//! What Pods and Pod templates share: defaults, validation, reading helpers.

pub(crate) mod defaults;
pub(crate) mod validation;
pub(crate) mod validation_volumes;
