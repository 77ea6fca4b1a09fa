//! The `scale` subresource.

use crate::{registry::Resource, status::Status};
use serde_json::Value;

/// The autoscaling/v1 Scale of an object.
pub fn view(_row: &Resource, _object: &Value) -> Result<Value, Status> {
    Ok(Value::Null)
}
/// The object with the replicas of a Scale.
pub fn scaled(_row: &Resource, object: &Value, _scale: &Value) -> Result<Value, Status> {
    Ok(object.clone())
}
