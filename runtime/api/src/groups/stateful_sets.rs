//! `apps`: StatefulSet.
// upstream: pkg/apis/apps/v1/defaults.go SetDefaults_StatefulSet, pkg/apis/apps/validation/validation.go ValidateStatefulSetSpec

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::{
    claims,
    pod_spec::{
        defaults::default,
        validation::{join, non_negative, text},
    },
    workloads,
};
use crate::{
    field_error::{FieldError, go_quote},
    go_print, meta,
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
        let retention = spec.entry("persistentVolumeClaimRetentionPolicy").or_insert_with(|| json!({}));
        if let Some(retention) = retention.as_object_mut() {
            default(retention, "whenDeleted", "Retain");
            default(retention, "whenScaled", "Retain");
        }
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
        policies(spec, &mut errors);
        non_negative(spec, "replicas", "spec", &mut errors);
        non_negative(spec, "minReadySeconds", "spec", &mut errors);
        non_negative(&spec["ordinals"], "start", "spec.ordinals", &mut errors);
        if spec["selector"].is_null() {
            errors.push(FieldError::required("spec.selector", ""));
            workloads::selector_fits(&spec["selector"], spec, &mut errors);
        } else if workloads::usable_selector(&spec["selector"], "statefulset", &mut errors) {
            workloads::selector_fits(&spec["selector"], spec, &mut errors);
        }
        errors.extend(template(&spec["template"]));
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

/// Errors of how Pods are made and replaced.
fn policies(spec: &Value, errors: &mut Vec<FieldError>) {
    let management = text(spec, "podManagementPolicy");
    if !["OrderedReady", "Parallel"].contains(&management) {
        let detail = "must be 'OrderedReady' or 'Parallel'";
        errors.push(FieldError::invalid("spec.podManagementPolicy", management, detail));
    }
    let (strategy, path) = (&spec["updateStrategy"], "spec.updateStrategy");
    match (text(strategy, "type"), strategy.get("rollingUpdate")) {
        ("OnDelete", None) => {}
        ("OnDelete", Some(rolling)) => {
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            let error = FieldError::invalid(format!("{path}.rollingUpdate"), Value::Null, detail);
            let partition = rolling["partition"].as_i64().unwrap_or(0);
            let go = format!("apps.RollingUpdateStatefulSetStrategy{{Partition:{partition}, MaxUnavailable:(*intstr.IntOrString)(nil)}}");
            errors.push(error.showing(go));
        }
        ("RollingUpdate", rolling) => {
            let (rolling, path) = (rolling.unwrap_or(&Value::Null), format!("{path}.rollingUpdate"));
            non_negative(rolling, "partition", &path, errors);
            let (most, path) = (&rolling["maxUnavailable"], format!("{path}.maxUnavailable"));
            workloads::share(most, &path, workloads::Most::Whole, errors);
            if workloads::is_zero(most) {
                let error = FieldError::invalid(path, Value::Null, "cannot be 0");
                errors.push(error.showing(go_print::int_or_string(most)));
            }
        }
        (other, _) => {
            let error = FieldError::invalid(path, Value::Null, "must be 'RollingUpdate' or 'OnDelete'");
            let other = go_quote(other);
            let go = format!("apps.StatefulSetUpdateStrategy{{Type:{other}, RollingUpdate:(*apps.RollingUpdateStatefulSetStrategy)(nil)}}");
            errors.push(error.showing(go));
        }
    }
    for field in ["whenDeleted", "whenScaled"] {
        let policy = text(&spec["persistentVolumeClaimRetentionPolicy"], field);
        if !["Retain", "Delete"].contains(&policy) {
            let path = join("spec.persistentVolumeClaimRetentionPolicy", field);
            let mut error = FieldError::not_supported(path, policy, &[]);
            // Not in the order of the alphabet.
            error.detail = "supported values: \"Retain\", \"Delete\"".into();
            errors.push(error);
        }
    }
}

/// Errors of the template: only what is the set's own concern. Whether its Pods can be made shows when they are.
// upstream: pkg/apis/apps/validation/validation.go ValidatePodTemplateSpecForStatefulSet, ValidateStatefulSetSpec
fn template(template: &Value) -> Vec<FieldError> {
    let (metadata, path) = (&template["metadata"], "spec.template");
    let mut errors = meta::labels(&metadata["labels"], &join(path, "labels"));
    errors.extend(meta::annotations(&metadata["annotations"], &join(path, "annotations")));
    errors.extend(workloads::runs_for_ever(&template["spec"], "StatefulSet"));
    errors
}
