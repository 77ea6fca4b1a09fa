//! PersistentVolume.
// upstream: pkg/apis/core/v1/defaults.go SetDefaults_PersistentVolume, pkg/apis/core/validation/validation.go
// ValidatePersistentVolumeSpec, ValidatePersistentVolumeUpdate, pkg/registry/core/persistentvolume/strategy.go

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolume;
use serde_json::{Map, Value, json};

use super::{
    claims::{
        access_modes, class, class_name, or_unset, phase, positive, short_modes, volume_mode,
    },
    pod_spec::{
        defaults::default,
        validation::{items, join, one_of, text},
    },
    workloads::{age_column, name_column},
};
use crate::{
    decode::is_empty,
    field_error::FieldError,
    go_print, meta,
    registry::{Column, Resource, Rules, Subresource},
    table,
};

/// The fields of the spec that are no source of a volume.
const NO_SOURCE: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<PersistentVolume>()
            .short(&["pv"])
            .subresources(&[Subresource::Status])
            .columns(vec![
                name_column(),
                Column::new("Capacity", "capacity is the description of the persistent volume's resources and capacity."),
                Column::new("Access Modes", "accessModes contains all ways the volume can be mounted."),
                Column::new("Reclaim Policy", "persistentVolumeReclaimPolicy defines what happens to a persistent volume when released from its claim."),
                Column::new("Status", "phase indicates if a volume is available, bound to a claim, or released by a claim."),
                Column::new("Claim", "claimRef is part of a bi-directional binding between PersistentVolume and PersistentVolumeClaim."),
                Column::new("StorageClass", "StorageClass of the pv"),
                Column::new("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
                Column::new("Reason", "reason is a brief CamelCase string that describes any failure and is meant for machine parsing and tidy display in the CLI."),
                age_column(),
                Column::new("VolumeMode", "volumeMode defines if a volume is intended to be used with a formatted filesystem or to remain in raw block state.").wide(),
            ])
            .rules(VolumeRules),
    ]
}

struct VolumeRules;

impl Rules for VolumeRules {
    fn set_defaults(&self, new: &mut Value) {
        if let Some(spec) = new["spec"].as_object_mut() {
            default(spec, "persistentVolumeReclaimPolicy", "Retain");
            default(spec, "volumeMode", "Filesystem");
            if let Some(path) = spec.get_mut("hostPath").and_then(Value::as_object_mut) {
                default(path, "type", "");
            }
        }
        if let Some(status) = new["status"].as_object_mut() {
            default(status, "phase", "Pending");
        }
    }

    fn prepare_create(&self, new: &mut Value) {
        let created = new["metadata"]["creationTimestamp"].clone();
        new["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": created});
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let spec = &new["spec"];
        if is_empty(&spec["accessModes"]) {
            errors.push(FieldError::required("spec.accessModes", ""));
        }
        access_modes(spec, &mut errors);
        capacity(&spec["capacity"], &mut errors);
        one_of(
            spec,
            "persistentVolumeReclaimPolicy",
            "spec",
            &["Delete", "Recycle", "Retain"],
            &mut errors,
        );
        node_affinity(spec, &mut errors);
        source(spec, &mut errors);
        class_name(spec, &mut errors);
        volume_mode(spec, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let (new, old) = (&new["spec"], &old["spec"]);
        if sources(new) != sources(old) {
            let detail = "spec.persistentvolumesource is immutable after creation";
            errors.push(FieldError::forbidden("spec.persistentvolumesource", detail));
        }
        if new["volumeMode"] != old["volumeMode"] {
            let mode = new["volumeMode"].clone();
            errors.push(FieldError::invalid(
                "volumeMode",
                mode,
                crate::write::IMMUTABLE,
            ));
        }
        if !old["nodeAffinity"].is_null() && new["nodeAffinity"] != old["nodeAffinity"] {
            let detail = "field is immutable, except for updating from beta label to GA";
            let error = FieldError::invalid("spec.nodeAffinity", Value::Null, detail);
            errors.push(error.showing(new["nodeAffinity"].to_string()));
        }
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let claim = match spec.get("claimRef") {
            Some(claim) => format!("{}/{}", text(claim, "namespace"), text(claim, "name")),
            None => String::new(),
        };
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(spec["capacity"]["storage"].as_str().unwrap_or("0")),
            Value::from(short_modes(&spec["accessModes"])),
            Value::from(text(spec, "persistentVolumeReclaimPolicy")),
            Value::from(phase(object)),
            Value::from(claim),
            Value::from(class(object)),
            or_unset(spec, "volumeAttributesClassName"),
            Value::from(text(status, "reason")),
            table::age(object, now),
            or_unset(spec, "volumeMode"),
        ])
    }
}

fn capacity(capacity: &Value, errors: &mut Vec<FieldError>) {
    let path = "spec.capacity";
    let amounts = capacity.as_object();
    if amounts.is_none_or(Map::is_empty) {
        errors.push(FieldError::required(path, ""));
    }
    if capacity.get("storage").is_none() || amounts.is_some_and(|amounts| amounts.len() > 1) {
        let error = FieldError::not_supported(path, Value::Null, &["storage"]);
        errors.push(error.showing(go_print::resource_list(capacity)));
    }
    for (name, amount) in amounts.into_iter().flatten() {
        positive(amount, &format!("{path}[{name}]"), errors);
    }
}

/// The sources of the volume: exactly one is right.
fn sources(spec: &Value) -> Vec<(&String, &Value)> {
    let fields = spec.as_object().into_iter().flatten();
    fields
        .filter(|(field, _)| !NO_SOURCE.contains(&field.as_str()))
        .collect()
}

fn source(spec: &Value, errors: &mut Vec<FieldError>) {
    let given = sources(spec);
    if given.is_empty() {
        errors.push(FieldError::required("spec", "must specify a volume type"));
    }
    for (extra, _) in given.iter().skip(1) {
        let detail = "may not specify more than 1 volume type";
        errors.push(FieldError::forbidden(join("spec", extra), detail));
    }
    for (kind, fields) in [
        ("hostPath", &["path"][..]),
        ("local", &["path"]),
        ("nfs", &["server", "path"]),
        ("csi", &["driver", "volumeHandle"]),
    ] {
        let Some(source) = spec.get(kind) else {
            continue;
        };
        for field in fields.iter().filter(|field| text(source, field).is_empty()) {
            errors.push(FieldError::required(format!("spec.{kind}.{field}"), ""));
        }
        let steps_back = text(source, "path").split('/').any(|part| part == "..");
        if steps_back && kind != "nfs" {
            let (path, given) = (format!("spec.{kind}.path"), text(source, "path"));
            errors.push(FieldError::invalid(path, given, "must not contain '..'"));
        }
    }
    let affinity = &spec["nodeAffinity"]["required"];
    if spec.get("local").is_some() && affinity.is_null() {
        let detail = "Local volume requires node affinity";
        errors.push(FieldError::required("spec.nodeAffinity", detail));
    }
    let root = spec["hostPath"]["path"].as_str().is_some_and(|path| {
        path.starts_with('/') && path.split('/').all(|part| part.is_empty() || part == ".")
    });
    if root && text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(
            "spec.persistentVolumeReclaimPolicy",
            detail,
        ));
    }
}

fn node_affinity(spec: &Value, errors: &mut Vec<FieldError>) {
    let Some(affinity) = spec.get("nodeAffinity") else {
        return;
    };
    let path = "spec.nodeAffinity.required";
    let Some(required) = affinity.get("required") else {
        let detail = "must specify required node constraints";
        errors.push(FieldError::required(path, detail));
        return;
    };
    let terms = items(required, "nodeSelectorTerms", path);
    if terms.is_empty() {
        errors.push(FieldError::required(
            format!("{path}.nodeSelectorTerms"),
            "must have at least one node selector term",
        ));
    }
    let known = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];
    for (path, term) in terms {
        for (path, expression) in items(term, "matchExpressions", &path) {
            let operator = text(expression, "operator");
            if !known.contains(&operator) {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(
                    join(&path, "operator"),
                    operator,
                    detail,
                ));
            }
            if ["In", "NotIn"].contains(&operator) && is_empty(&expression["values"]) {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(FieldError::required(join(&path, "values"), detail));
            }
        }
    }
}
