//! `apps`: StatefulSet.
// upstream: pkg/apis/apps/v1/defaults.go SetDefaults_StatefulSet, pkg/apis/apps/validation/validation.go ValidateStatefulSetSpec

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::{
    claims,
    pod_spec::{
        defaults::default,
        validation::{non_negative, one_of},
    },
    workloads,
};
use crate::{
    field_error::FieldError,
    meta,
    registry::{Column, Resource, Rules, Subresource},
    table,
};

/// What of the spec may change.
const CHANGEABLE: [&str; 6] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    let mut columns = vec![
        workloads::name_column(),
        Column::new("Ready", "Number of the pod with ready state"),
        workloads::age_column(),
    ];
    columns.extend(workloads::container_columns());
    vec![
        Resource::of::<StatefulSet>()
            .short(&["sts"])
            .categories(&["all"])
            .subresources(&[Subresource::Scale, Subresource::Status])
            .with_generation()
            .columns(columns)
            .rules(StatefulSetRules),
    ]
}

struct StatefulSetRules;

impl Rules for StatefulSetRules {
    fn set_defaults(&self, new: &mut Value) {
        workloads::template_defaults(new);
        let Some(spec) = new["spec"].as_object_mut() else {
            return;
        };
        default(spec, "replicas", 1);
        default(spec, "revisionHistoryLimit", 10);
        default(spec, "podManagementPolicy", "OrderedReady");
        let policy = json!({"whenDeleted": "Retain", "whenScaled": "Retain"});
        default(spec, "persistentVolumeClaimRetentionPolicy", policy);
        let strategy = spec.entry("updateStrategy").or_insert_with(|| json!({}));
        if let Some(strategy) = strategy.as_object_mut() {
            default(strategy, "type", "RollingUpdate");
            if strategy["type"] == "RollingUpdate" {
                let rolling = strategy.entry("rollingUpdate").or_insert_with(|| json!({}));
                if let Some(rolling) = rolling.as_object_mut() {
                    default(rolling, "partition", 0);
                }
            }
        }
        let templates = spec
            .get_mut("volumeClaimTemplates")
            .and_then(Value::as_array_mut);
        for template in templates.into_iter().flatten() {
            template["apiVersion"] = Value::from("v1");
            template["kind"] = Value::from("PersistentVolumeClaim");
            claims::set_defaults(template);
        }
    }

    fn prepare_create(&self, new: &mut Value) {
        new["status"] = json!({"replicas": 0, "availableReplicas": 0});
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let spec = &new["spec"];
        one_of(
            spec,
            "podManagementPolicy",
            "spec",
            &["OrderedReady", "Parallel"],
            &mut errors,
        );
        one_of(
            &spec["updateStrategy"],
            "type",
            "spec.updateStrategy",
            &["OnDelete", "RollingUpdate"],
            &mut errors,
        );
        non_negative(spec, "replicas", "spec", &mut errors);
        non_negative(spec, "minReadySeconds", "spec", &mut errors);
        non_negative(&spec["ordinals"], "start", "spec.ordinals", &mut errors);
        if spec["selector"].is_null() {
            errors.push(FieldError::required("spec.selector", ""));
            workloads::selector_fits(&spec["selector"], spec, &mut errors);
        } else if workloads::usable_selector(&spec["selector"], "statefulset", &mut errors) {
            workloads::selector_fits(&spec["selector"], spec, &mut errors);
        }
        errors.extend(workloads::template(&with_claims(spec), "StatefulSet"));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let fixed = |object: &Value| {
            let mut spec = object["spec"].clone();
            if let Some(spec) = spec.as_object_mut() {
                for field in CHANGEABLE {
                    spec.remove(field);
                }
            }
            spec
        };
        if fixed(new) == fixed(old) {
            return Vec::new();
        }
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        vec![FieldError::forbidden("spec", detail)]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let ready = object["status"]["readyReplicas"].as_i64().unwrap_or(0);
        let wanted = object["spec"]["replicas"].as_i64().unwrap_or(0);
        let [containers, images, _] = workloads::template_cells(&object["spec"]);
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(format!("{ready}/{wanted}")),
            table::age(object, now),
            containers,
            images,
        ])
    }
}

/// The template with the volumes that each Pod gets from its own claims.
// upstream: pkg/apis/apps/validation/validation.go ValidatePodTemplateSpecForStatefulSet
fn with_claims(spec: &Value) -> Value {
    let mut template = spec["template"].clone();
    let claims = spec["volumeClaimTemplates"].as_array().into_iter().flatten();
    let names: Vec<&Value> = claims.map(|claim| &claim["metadata"]["name"]).filter(|name| name.is_string()).collect();
    if names.is_empty() || !template["spec"].is_object() {
        return template;
    }
    let mut volumes = template["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    volumes.retain(|volume| !names.contains(&&volume["name"]));
    volumes.extend(names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})));
    template["spec"]["volumes"] = Value::Array(volumes);
    template
}
