//! Lease.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::Value;

use crate::{
    field_error::FieldError,
    meta,
    registry::{Column, Resource, Rules},
    table,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Lease>()
            .create_on_update()
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new(
                    "Holder",
                    "holderIdentity contains the identity of the holder of a current lease.",
                ),
                Column::new("Age", table::AGE_DESCRIPTION),
            ])
            .rules(LeaseRules),
    ]
}

struct LeaseRules;

impl Rules for LeaseRules {
    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(seconds) = new["spec"]["leaseDurationSeconds"].as_i64()
            && seconds <= 0
        {
            errors.push(FieldError::invalid(
                "spec.leaseDurationSeconds",
                seconds,
                "must be greater than 0",
            ));
        }
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let holder = object["spec"]["holderIdentity"].as_str().unwrap_or("");
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(holder),
            table::age(object, now),
        ])
    }
}
