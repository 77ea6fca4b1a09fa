//! ReplicationController: a ReplicaSet from the time before selectors had expressions.
// upstream: pkg/apis/core/v1/defaults.go SetDefaults_ReplicationController, pkg/apis/core/validation/validation.go
// ValidateReplicationControllerSpec, pkg/registry/core/replicationcontroller/strategy.go

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ReplicationController;
use serde_json::{Value, json};

use super::{
    pod_spec::{
        defaults,
        validation::{self, non_negative},
    },
    workloads,
};
use crate::{
    decode::is_empty,
    field_error::FieldError,
    meta,
    registry::{Column, Resource, Rules, Subresource},
    table,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    let mut columns = vec![
        workloads::name_column(),
        Column::new("Desired", "Replicas is the number of desired replicas.").integer(),
        Column::new(
            "Current",
            "Replicas is the most recently observed number of replicas.",
        )
        .integer(),
        Column::new(
            "Ready",
            "The number of ready replicas for this replication controller.",
        )
        .integer(),
        workloads::age_column(),
    ];
    columns.extend(workloads::container_columns());
    columns.push(workloads::selector_column());
    vec![
        Resource::of::<ReplicationController>()
            .short(&["rc"])
            .categories(&["all"])
            .subresources(&[Subresource::Scale, Subresource::Status])
            .with_generation()
            .fields(&["status.replicas"])
            .columns(columns)
            .rules(ReplicationControllerRules),
    ]
}

struct ReplicationControllerRules;

impl Rules for ReplicationControllerRules {
    fn set_defaults(&self, new: &mut Value) {
        workloads::template_defaults(new);
        let labels = new.pointer("/spec/template/metadata/labels").cloned();
        if let Some(labels) = labels.filter(|labels| !is_empty(labels)) {
            if is_empty(&new["spec"]["selector"]) {
                new["spec"]["selector"] = labels.clone();
            }
            if is_empty(&new["metadata"]["labels"]) {
                new["metadata"]["labels"] = labels;
            }
        }
        if let Some(spec) = new["spec"].as_object_mut() {
            defaults::default(spec, "replicas", 1);
        }
    }

    fn prepare_create(&self, new: &mut Value) {
        new["status"] = json!({"replicas": 0});
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let spec = &new["spec"];
        non_negative(spec, "minReadySeconds", "spec", &mut errors);
        let selector = &spec["selector"];
        if is_empty(selector) {
            errors.push(FieldError::required("spec.selector", ""));
        }
        non_negative(spec, "replicas", "spec", &mut errors);
        let Some(template) = spec.get("template") else {
            errors.push(FieldError::required("spec.template", ""));
            return errors;
        };
        if !is_empty(selector) {
            workloads::selector_fits(&json!({"matchLabels": selector}), spec, &mut errors);
        }
        errors.extend(workloads::template(template, "ReplicationController"));
        errors
    }

    fn field(&self, object: &Value, label: &str) -> Option<String> {
        let replicas = object["status"]["replicas"].as_i64().unwrap_or(0);
        (label == "status.replicas").then(|| replicas.to_string())
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let status = &new["status"];
        for field in [
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
        ] {
            non_negative(status, field, "status", &mut errors);
        }
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        for field in ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] {
            if number(field) > number("replicas") {
                let detail = "cannot be greater than status.replicas";
                let path = validation::join("status", field);
                errors.push(FieldError::invalid(path, number(field), detail));
            }
        }
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let mut cells = vec![
            Value::from(meta::name(object)),
            Value::from(spec["replicas"].as_i64().unwrap_or(0)),
            Value::from(status["replicas"].as_i64().unwrap_or(0)),
            Value::from(status["readyReplicas"].as_i64().unwrap_or(0)),
            table::age(object, now),
        ];
        cells.extend(workloads::template_cells(spec));
        Some(cells)
    }
}
