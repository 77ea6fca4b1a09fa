//! `storage.k8s.io`: StorageClass.
// upstream: pkg/apis/storage/v1/defaults.go, pkg/apis/storage/validation/validation.go, pkg/printers/internalversion/printers.go

use drydock_primitives::names;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use serde_json::Value;

use super::{
    pod_spec::{
        defaults::default,
        validation::{one_of, text},
    },
    workloads::{age_column, name_column},
};
use crate::{
    field_error::FieldError,
    meta,
    registry::{Column, Resource, Rules},
    table,
};

/// What marks the class of claims that name none.
const DEFAULT_ANNOTATIONS: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<StorageClass>()
            .short(&["sc"])
            .columns(vec![
                name_column(),
                Column::new("Provisioner", "provisioner indicates the type of the provisioner."),
                Column::new("ReclaimPolicy", "reclaimPolicy controls the reclaimPolicy for dynamically provisioned PersistentVolumes of this storage class. Defaults to Delete."),
                Column::new("VolumeBindingMode", "volumeBindingMode indicates how PersistentVolumeClaims should be provisioned and bound. When unset, VolumeBindingImmediate is used."),
                Column::new("AllowVolumeExpansion", "allowVolumeExpansion shows whether the storage class allow volume expand."),
                age_column(),
            ])
            .rules(StorageClassRules),
    ]
}

struct StorageClassRules;

impl Rules for StorageClassRules {
    fn set_defaults(&self, new: &mut Value) {
        if let Some(class) = new.as_object_mut() {
            default(class, "reclaimPolicy", "Delete");
            default(class, "volumeBindingMode", "Immediate");
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let provisioner = text(new, "provisioner");
        if provisioner.is_empty() {
            errors.push(FieldError::required("provisioner", ""));
        } else {
            let messages = names::qualified_name(&provisioner.to_lowercase()).into_iter();
            errors.extend(messages.map(|m| FieldError::invalid("provisioner", provisioner, m)));
        }
        for key in new["parameters"].as_object().into_iter().flatten() {
            if key.0.is_empty() {
                errors.push(FieldError::invalid(
                    "parameters",
                    "",
                    "field can not be empty.",
                ));
            }
        }
        one_of(new, "reclaimPolicy", "", &["Delete", "Retain"], &mut errors);
        one_of(
            new,
            "volumeBindingMode",
            "",
            &["Immediate", "WaitForFirstConsumer"],
            &mut errors,
        );
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if new[field] != old[field] {
                let detail = format!("updates to {field} are forbidden.");
                errors.push(FieldError::forbidden(field, detail));
            }
        }
        let mode = &new["volumeBindingMode"];
        if *mode != old["volumeBindingMode"] {
            errors.push(FieldError::invalid(
                "volumeBindingMode",
                mode.clone(),
                crate::write::IMMUTABLE,
            ));
        }
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let annotations = &object["metadata"]["annotations"];
        let is_default = DEFAULT_ANNOTATIONS
            .iter()
            .any(|a| annotations[*a] == "true");
        let mark = if is_default { " (default)" } else { "" };
        let or = |field: &str, absent: &str| Value::from(object[field].as_str().unwrap_or(absent));
        Some(vec![
            Value::from(format!("{}{mark}", meta::name(object))),
            or("provisioner", ""),
            or("reclaimPolicy", "Delete"),
            or("volumeBindingMode", "Immediate"),
            Value::from(object["allowVolumeExpansion"] == true),
            table::age(object, now),
        ])
    }
}
