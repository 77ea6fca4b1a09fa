//! `apps`: DaemonSet, and the ControllerRevisions that remember its templates.
// upstream: pkg/apis/apps/v1/defaults.go, pkg/apis/apps/validation/validation.go, pkg/registry/apps/daemonset/strategy.go

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};
use serde_json::{Value, json};

use super::{
    pod_spec::{defaults, validation},
    workloads::{self, Most},
};
use crate::{
    field_error::FieldError,
    go_print, meta,
    registry::{Column, Resource, Rules, Subresource},
    scale, table,
};

/// Where `apps/v1` keeps the number of the template, which Pods carry as the label `pod-template-generation`.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    let mut columns = vec![
        workloads::name_column(),
        Column::new("Desired", "The total number of nodes that should be running the daemon pod (including nodes correctly running the daemon pod).").integer(),
        Column::new("Current", "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod.").integer(),
        Column::new("Ready", "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running with a Ready Condition.").integer(),
        Column::new("Up-to-date", "The total number of nodes that are running updated daemon pod").integer(),
        Column::new("Available", "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available.").integer(),
        Column::new("Node Selector", "Labels a node must have for the pods to run on it."),
        workloads::age_column(),
    ];
    columns.extend(workloads::container_columns());
    columns.push(workloads::selector_column());
    vec![
        Resource::of::<DaemonSet>()
            .short(&["ds"])
            .categories(&["all"])
            .subresources(&[Subresource::Status])
            .with_generation()
            .columns(columns)
            .rules(DaemonSetRules),
        Resource::of::<ControllerRevision>()
            .columns(vec![
                workloads::name_column(),
                Column::new("Controller", "Controller of the object"),
                Column::new(
                    "Revision",
                    "Revision indicates the revision of the state represented by Data.",
                ),
                workloads::age_column(),
            ])
            .rules(ControllerRevisionRules),
    ]
}

struct DaemonSetRules;

impl Rules for DaemonSetRules {
    fn set_defaults(&self, new: &mut Value) {
        workloads::template_defaults(new);
        let Some(spec) = new["spec"].as_object_mut() else {
            return;
        };
        defaults::default(spec, "revisionHistoryLimit", 10);
        let strategy = spec.entry("updateStrategy").or_insert_with(|| json!({}));
        if let Some(strategy) = strategy.as_object_mut() {
            defaults::default(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate" {
                let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
                if let Some(rolling) = rolling.as_object_mut() {
                    defaults::default(rolling, "maxUnavailable", 1);
                    defaults::default(rolling, "maxSurge", 0);
                }
            }
        }
    }

    fn prepare_create(&self, new: &mut Value) {
        new["status"] = json!({
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        });
        set_template_generation(new, template_generation(new).max(1));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let changed = new["spec"]["template"] != old["spec"]["template"];
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let spec = &new["spec"];
        if !spec["selector"].is_null() {
            workloads::usable_selector(&spec["selector"], "daemonset", &mut errors);
        }
        workloads::selector_fits(&spec["selector"], spec, &mut errors);
        errors.extend(workloads::template(&spec["template"], "DaemonSet"));
        validation::non_negative(spec, "minReadySeconds", "spec", &mut errors);
        strategy(&spec["updateStrategy"], &mut errors);
        validation::non_negative(spec, "revisionHistoryLimit", "spec", &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        workloads::selector_unchanged(new, old)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for field in [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ] {
            validation::non_negative(&new["status"], field, "status", &mut errors);
        }
        errors
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let number = |field: &str| Value::from(object["status"][field].as_i64().unwrap_or(0));
        let spec = &object["spec"];
        let mut cells = vec![
            Value::from(meta::name(object)),
            number("desiredNumberScheduled"),
            number("currentNumberScheduled"),
            number("numberReady"),
            number("updatedNumberScheduled"),
            number("numberAvailable"),
            Value::from(scale::selector_text(
                &spec["template"]["spec"]["nodeSelector"],
            )),
            table::age(object, now),
        ];
        cells.extend(workloads::template_cells(spec));
        Some(cells)
    }
}

fn template_generation(object: &Value) -> i64 {
    let annotation = &object["metadata"]["annotations"][TEMPLATE_GENERATION];
    annotation
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

fn set_template_generation(object: &mut Value, generation: i64) {
    let metadata = meta::metadata_mut(object);
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    annotations[TEMPLATE_GENERATION] = Value::from(generation.to_string());
}

fn strategy(strategy: &Value, errors: &mut Vec<FieldError>) {
    let path = "spec.updateStrategy.rollingUpdate";
    match validation::text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let Some(rolling) = strategy.get("rollingUpdate") else {
                errors.push(FieldError::required(path, ""));
                return;
            };
            for field in ["maxUnavailable", "maxSurge"] {
                let path = format!("{path}.{field}");
                workloads::share(&rolling[field], &path, Most::Whole, errors);
            }
            let zero = |field: &str| workloads::is_zero(&rolling[field]);
            match (zero("maxUnavailable"), zero("maxSurge")) {
                (false, false) => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    let error =
                        FieldError::invalid(format!("{path}.maxSurge"), Value::Null, detail);
                    errors.push(error.showing(go_print::int_or_string(&rolling["maxSurge"])));
                }
                (true, true) => errors.push(FieldError::required(
                    format!("{path}.maxUnavailable"),
                    "cannot be 0 when maxSurge is 0",
                )),
                _ => {}
            }
        }
        other => errors.push(FieldError::not_supported(
            "spec.updateStrategy",
            other,
            &["RollingUpdate", "OnDelete"],
        )),
    }
}

struct ControllerRevisionRules;

impl Rules for ControllerRevisionRules {
    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !new["data"].is_object() {
            errors.push(FieldError::required("data", "data is mandatory"));
        }
        validation::non_negative(new, "revision", "", &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        if new["data"] == old["data"] {
            return Vec::new();
        }
        let error = FieldError::invalid("data", Value::Null, crate::write::IMMUTABLE);
        vec![error.showing(new["data"].to_string())]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(controller(object)),
            Value::from(object["revision"].as_i64().unwrap_or(0)),
            table::age(object, now),
        ])
    }
}

/// `daemonset.apps/name`.
fn controller(object: &Value) -> String {
    let owner = object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|owner| owner["controller"] == true);
    let Some(owner) = owner else {
        return "<none>".to_owned();
    };
    let text = |field: &str| validation::text(owner, field);
    let (group, _) = crate::registry::split_api_version(text("apiVersion"));
    let kind = text("kind").to_lowercase();
    let kind = if group.is_empty() {
        kind
    } else {
        format!("{kind}.{group}")
    };
    format!("{kind}/{}", text("name"))
}
