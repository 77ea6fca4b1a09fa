//! `apps`: Deployment and ReplicaSet.
// upstream: pkg/apis/apps/v1/defaults.go, pkg/apis/apps/validation/validation.go, pkg/printers/internalversion/printers.go

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::{Value, json};

use super::{
    pod_spec::{defaults, validation},
    workloads::{self, Most, selector_unchanged, share, template_cells, template_defaults},
};
use crate::{
    field_error::FieldError,
    go_print, meta,
    registry::{Column, Resource, Rules, Subresource},
    table,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Deployment>()
            .short(&["deploy"])
            .categories(&["all"])
            .subresources(&[Subresource::Scale, Subresource::Status])
            .with_generation()
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Ready", "Number of the pod with ready state"),
                Column::new("Up-to-date", "Total number of non-terminated pods targeted by this deployment that have the desired template spec.").integer(),
                Column::new("Available", "Total number of available pods (ready for at least minReadySeconds) targeted by this deployment.").integer(),
                Column::new("Age", table::AGE_DESCRIPTION),
                Column::new("Containers", "Names of each container in the template.").wide(),
                Column::new("Images", "Images referenced by each container in the template.").wide(),
                Column::new("Selector", "Label selector for pods.").wide(),
            ])
            .rules(DeploymentRules),
        Resource::of::<ReplicaSet>()
            .short(&["rs"])
            .categories(&["all"])
            .subresources(&[Subresource::Scale, Subresource::Status])
            .with_generation()
            .fields(&["status.replicas"])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Desired", "Replicas is the number of desired pods.").integer(),
                Column::new("Current", "Replicas is the most recently observed number of replicas.").integer(),
                Column::new("Ready", "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.").integer(),
                Column::new("Age", table::AGE_DESCRIPTION),
                Column::new("Containers", "Names of each container in the template.").wide(),
                Column::new("Images", "Images referenced by each container in the template.").wide(),
                Column::new("Selector", "Label selector for pods.").wide(),
            ])
            .rules(ReplicaSetRules),
    ]
}

struct DeploymentRules;

impl Rules for DeploymentRules {
    fn set_defaults(&self, new: &mut Value) {
        template_defaults(new);
        let Some(spec) = new["spec"].as_object_mut() else {
            return;
        };
        defaults::default(spec, "replicas", 1);
        defaults::default(spec, "revisionHistoryLimit", 10);
        defaults::default(spec, "progressDeadlineSeconds", 600);
        let strategy = spec.entry("strategy").or_insert_with(|| json!({}));
        if let Some(strategy) = strategy.as_object_mut() {
            defaults::default(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate" {
                let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
                if let Some(rolling) = rolling.as_object_mut() {
                    defaults::default(rolling, "maxUnavailable", "25%");
                    defaults::default(rolling, "maxSurge", "25%");
                }
            }
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = workload(new, "deployment");
        let spec = &new["spec"];
        strategy(&spec["strategy"], &mut errors);
        validation::non_negative(spec, "revisionHistoryLimit", "spec", &mut errors);
        if let Some(deadline) = spec.get("progressDeadlineSeconds").and_then(Value::as_i64) {
            validation::non_negative(spec, "progressDeadlineSeconds", "spec", &mut errors);
            if deadline <= spec["minReadySeconds"].as_i64().unwrap_or(0) {
                errors.push(FieldError::invalid(
                    "spec.progressDeadlineSeconds",
                    deadline,
                    "must be greater than minReadySeconds",
                ));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        selector_unchanged(new, old)
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let number = |field: &str| status[field].as_i64().unwrap_or(0);
        let mut cells = vec![
            Value::from(meta::name(object)),
            Value::from(format!(
                "{}/{}",
                number("readyReplicas"),
                spec["replicas"].as_i64().unwrap_or(0)
            )),
            Value::from(number("updatedReplicas")),
            Value::from(number("availableReplicas")),
            table::age(object, now),
        ];
        cells.extend(template_cells(spec));
        Some(cells)
    }
}

struct ReplicaSetRules;

impl Rules for ReplicaSetRules {
    fn set_defaults(&self, new: &mut Value) {
        template_defaults(new);
        if let Some(spec) = new["spec"].as_object_mut() {
            defaults::default(spec, "replicas", 1);
        }
    }

    fn prepare_create(&self, new: &mut Value) {
        new["status"] = json!({"replicas": 0});
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        workload(new, "deployment")
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        selector_unchanged(new, old)
    }

    fn field(&self, object: &Value, label: &str) -> Option<String> {
        (label == "status.replicas").then(|| {
            object["status"]["replicas"]
                .as_i64()
                .unwrap_or(0)
                .to_string()
        })
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
        cells.extend(template_cells(spec));
        Some(cells)
    }
}

fn workload(new: &Value, kind_words: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = &new["spec"];
    validation::non_negative(spec, "replicas", "spec", &mut errors);
    validation::non_negative(spec, "minReadySeconds", "spec", &mut errors);
    if spec["selector"].is_null() {
        errors.push(FieldError::required("spec.selector", ""));
        workloads::selector_fits(&spec["selector"], spec, &mut errors);
    } else if workloads::usable_selector(&spec["selector"], kind_words, &mut errors) {
        workloads::selector_fits(&spec["selector"], spec, &mut errors);
    }
    errors.extend(workloads::template(&spec["template"], "ReplicaSet"));
    errors
}

fn strategy(strategy: &Value, errors: &mut Vec<FieldError>) {
    let path = "spec.strategy";
    validation::one_of(
        strategy,
        "type",
        path,
        &["Recreate", "RollingUpdate"],
        errors,
    );
    let rolling = strategy.get("rollingUpdate");
    match (validation::text(strategy, "type"), rolling) {
        ("Recreate", Some(_)) => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(
                format!("{path}.rollingUpdate"),
                detail,
            ));
        }
        ("RollingUpdate", Some(rolling)) => {
            let path = format!("{path}.rollingUpdate");
            for (field, most) in [("maxUnavailable", Most::Whole), ("maxSurge", Most::Any)] {
                share(&rolling[field], &format!("{path}.{field}"), most, errors);
            }
            if workloads::is_zero(&rolling["maxUnavailable"])
                && workloads::is_zero(&rolling["maxSurge"])
            {
                let error = FieldError::invalid(
                    format!("{path}.maxUnavailable"),
                    Value::Null,
                    "may not be 0 when `maxSurge` is 0",
                );
                errors.push(error.showing(go_print::int_or_string(&rolling["maxUnavailable"])));
            }
        }
        _ => {}
    }
}
