//! PersistentVolumeClaim.
// upstream: pkg/apis/core/v1/defaults.go SetDefaults_PersistentVolumeClaimSpec, pkg/apis/core/validation/validation.go
// ValidatePersistentVolumeClaimSpec, ValidatePersistentVolumeClaimUpdate, pkg/registry/core/persistentvolumeclaim/strategy.go

use std::str::FromStr;

use drydock_primitives::{names, quantity::Quantity};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

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
    registry::{Column, Resource, Rules, Subresource},
    table,
};

/// What several Pods may do with a volume at once, with the short form that tables show.
const ACCESS_MODES: [(&str, &str); 4] = [
    ("ReadWriteOnce", "RWO"),
    ("ReadOnlyMany", "ROX"),
    ("ReadWriteMany", "RWX"),
    ("ReadWriteOncePod", "RWOP"),
];
/// How the volume is seen by containers.
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
/// The class of a volume or claim in the days before it had a field.
pub(super) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<PersistentVolumeClaim>()
            .short(&["pvc"])
            .subresources(&[Subresource::Status])
            .columns(vec![
                name_column(),
                Column::new("Status", "phase represents the current phase of PersistentVolumeClaim."),
                Column::new("Volume", "volumeName is the binding reference to the PersistentVolume backing this claim."),
                Column::new("Capacity", "capacity represents the actual resources of the underlying volume."),
                Column::new("Access Modes", "accessModes contains the actual access modes the volume backing the PVC has."),
                Column::new("StorageClass", "StorageClass of the pvc"),
                Column::new("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
                age_column(),
                Column::new("VolumeMode", "volumeMode defines what type of volume is required by the claim. Value of Filesystem is implied when not included in claim spec.").wide(),
            ])
            .rules(ClaimRules),
    ]
}

struct ClaimRules;

impl Rules for ClaimRules {
    fn set_defaults(&self, new: &mut Value) {
        set_defaults(new);
    }

    fn prepare_create(&self, new: &mut Value) {
        new["status"] = json!({"phase": "Pending"});
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let spec = &new["spec"];
        if crate::decode::is_empty(&spec["accessModes"]) {
            let detail = "at least 1 access mode is required";
            errors.push(FieldError::required("spec.accessModes", detail));
        }
        if !spec["selector"].is_null() {
            errors.extend(meta::label_selector(&spec["selector"], "spec.selector"));
        }
        access_modes(spec, &mut errors);
        let path = "spec.resources[storage]";
        match spec["resources"]["requests"].get("storage") {
            None => errors.push(FieldError::required(path, "")),
            Some(size) => positive(size, path, &mut errors),
        }
        class_name(spec, &mut errors);
        volume_mode(spec, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let bound = new["status"]["phase"] == "Bound";
        if fixed(new, old, bound) != fixed(old, old, bound) {
            let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            errors.push(FieldError::forbidden("spec", detail));
        }
        let (size, before) = (requested(new), requested(old));
        let given = storage(&new["status"]["capacity"]);
        if size < before && size <= given {
            errors.push(FieldError::forbidden(
                "spec.resources.requests.storage",
                "field can not be less than status.capacity",
            ));
        }
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let volume = text(spec, "volumeName");
        let (mut capacity, mut modes) = (String::new(), String::new());
        if !volume.is_empty() {
            let shown = status["capacity"]["storage"].as_str();
            capacity = shown.unwrap_or("0").to_owned();
            modes = short_modes(&status["accessModes"]);
        }
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(phase(object)),
            Value::from(volume),
            Value::from(capacity),
            Value::from(modes),
            Value::from(class(object)),
            or_unset(spec, "volumeAttributesClassName"),
            table::age(object, now),
            or_unset(spec, "volumeMode"),
        ])
    }
}

/// Defaults of a claim, also of one in a template.
pub(super) fn set_defaults(new: &mut Value) {
    if !new["spec"].is_object() {
        new["spec"] = json!({});
    }
    if let Some(spec) = new["spec"].as_object_mut() {
        default(spec, "volumeMode", "Filesystem");
    }
    if !new["status"].is_object() {
        new["status"] = json!({});
    }
    if let Some(status) = new["status"].as_object_mut() {
        default(status, "phase", "Pending");
    }
}

/// What an update may not touch: a claim is bound once, may get a class once, and may ask for another size when it is bound.
fn fixed(claim: &Value, old: &Value, bound: bool) -> Value {
    let mut spec = claim["spec"].clone();
    if text(&old["spec"], "volumeName").is_empty() {
        spec["volumeName"] = Value::Null;
    }
    if old["spec"].get("storageClassName").is_none() {
        spec["storageClassName"] = Value::Null;
    }
    if bound {
        spec["resources"]["requests"]["storage"] = Value::Null;
        spec["volumeAttributesClassName"] = Value::Null;
    }
    spec
}

fn storage(amounts: &Value) -> Option<Quantity> {
    amounts["storage"]
        .as_str()
        .and_then(|text| Quantity::from_str(text).ok())
}

fn requested(claim: &Value) -> Option<Quantity> {
    storage(&claim["spec"]["resources"]["requests"])
}

/// Errors of the access modes of a claim or volume.
pub(super) fn access_modes(spec: &Value, errors: &mut Vec<FieldError>) {
    let known: Vec<&str> = ACCESS_MODES.iter().map(|(long, _)| *long).collect();
    let modes: Vec<&str> = spec["accessModes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for mode in modes.iter().filter(|mode| !known.contains(mode)) {
        errors.push(FieldError::not_supported("spec.accessModes", *mode, &known));
    }
    let alone = modes.contains(&"ReadWriteOncePod");
    if alone && modes.iter().any(|mode| *mode != "ReadWriteOncePod") {
        let detail = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden("spec.accessModes", detail));
    }
}

/// The error of an amount that is nothing or less.
pub(super) fn positive(amount: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let text = amount.as_str().unwrap_or("");
    if Quantity::from_str(text).is_ok_and(|amount| amount.is_zero() || amount.is_negative()) {
        errors.push(FieldError::invalid(path, text, "must be greater than zero"));
    }
}

/// Errors of the class's name.
pub(super) fn class_name(spec: &Value, errors: &mut Vec<FieldError>) {
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        let messages = names::dns1123_subdomain(class).into_iter();
        errors.extend(messages.map(|m| FieldError::invalid("spec.storageClassName", class, m)));
    }
}

/// The error of an unknown mode.
pub(super) fn volume_mode(spec: &Value, errors: &mut Vec<FieldError>) {
    one_of(spec, "volumeMode", "spec", &VOLUME_MODES, errors);
}

/// `RWO,RWX`, in the usual order whatever was written.
// upstream: pkg/apis/core/v1/helper/helpers.go GetAccessModesAsString
pub(super) fn short_modes(modes: &Value) -> String {
    let given = modes.as_array().map_or(&[][..], Vec::as_slice);
    ACCESS_MODES
        .iter()
        .filter(|(long, _)| given.iter().any(|mode| mode == long))
        .map(|(_, short)| *short)
        .collect::<Vec<_>>()
        .join(",")
}

/// The class of a volume or claim; the old annotation goes first.
pub(super) fn class(object: &Value) -> &str {
    let annotation = object["metadata"]["annotations"][CLASS_ANNOTATION].as_str();
    annotation.unwrap_or_else(|| text(&object["spec"], "storageClassName"))
}

/// The phase as tables show it.
pub(super) fn phase(object: &Value) -> &str {
    if meta::is_terminating(object) {
        "Terminating"
    } else {
        text(&object["status"], "phase")
    }
}

/// A text of the spec, or `<unset>`.
pub(super) fn or_unset(spec: &Value, field: &str) -> Value {
    Value::from(spec[field].as_str().unwrap_or("<unset>"))
}
