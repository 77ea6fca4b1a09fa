//! Pod: defaults, status on creation, what an update may change.
// upstream: pkg/registry/core/pod/strategy.go, pkg/apis/core/validation/validation.go ValidatePodUpdate

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{
    pod_spec::{defaults, validation},
    pods_print,
};
use crate::{
    admission,
    field_error::{FieldError, go_quote},
    registry::{Resource, Rules, Subresource},
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Pod>()
            .short(&["po"])
            .categories(&["all"])
            .subresources(&[
                Subresource::Attach,
                Subresource::Binding,
                Subresource::EphemeralContainers,
                Subresource::Eviction,
                Subresource::Exec,
                Subresource::Log,
                Subresource::PortForward,
                Subresource::Proxy,
                Subresource::Status,
            ])
            .graceful()
            .fields(&[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.podIPs",
                "status.nominatedNodeName",
            ])
            .columns(pods_print::columns())
            .rules(PodRules),
    ]
}

struct PodRules;

impl Rules for PodRules {
    fn normalise(&self, new: &mut Value) {
        if let Some(spec) = new["spec"].as_object_mut()
            && let Some(account) = spec
                .get("serviceAccount")
                .filter(|_| !spec.contains_key("serviceAccountName"))
                .cloned()
        {
            spec.insert("serviceAccountName".to_owned(), account);
        }
    }

    fn set_defaults(&self, new: &mut Value) {
        defaults::set(&mut new["spec"]);
        defaults::set_pod(&mut new["spec"]);
    }

    fn prepare_create(&self, new: &mut Value) {
        let mut defaulted = new.clone();
        defaults::set_pod(&mut defaulted["spec"]);
        new["status"] = json!({"phase": "Pending", "qosClass": qos_class(&defaulted["spec"])});
    }

    /// What admission once filled in, a writer may leave out.
    // upstream: plugin/pkg/admission/priority and defaulttolerationseconds, on update
    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let Some(spec) = new.get_mut("spec").filter(|s| s.is_object()) else {
            return;
        };
        for field in ["priority", "preemptionPolicy"] {
            if let (None, Some(value)) = (spec.get(field), old["spec"].get(field)) {
                spec[field] = value.clone();
            }
        }
        if old["spec"].get("tolerations").is_some() {
            admission::tolerate(spec);
        }
    }

    fn prepare_subresource_update(&self, subresource: Subresource, new: &mut Value, old: &Value) {
        if subresource == Subresource::Status
            && let Some(class) = old["status"].get("qosClass")
            && let Some(status) = new["status"].as_object_mut()
        {
            defaults::default(status, "qosClass", class.clone());
        }
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        validation::validate(&new["spec"], "spec")
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validate_update(&new["spec"], &old["spec"])
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(pods_print::cells(object, now))
    }

    fn row_conditions(&self, object: &Value) -> Vec<Value> {
        pods_print::row_conditions(object)
    }

    fn field(&self, object: &Value, label: &str) -> Option<String> {
        match label {
            "spec.hostNetwork" => {
                Some((object["spec"]["hostNetwork"].as_bool() == Some(true)).to_string())
            }
            "status.podIPs" => {
                let ips: Vec<&str> = object["status"]["podIPs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|ip| ip["ip"].as_str())
                    .collect();
                Some(ips.join(","))
            }
            _ => None,
        }
    }

    /// What was asked, else the Pod's own; a Pod that never ran or has finished goes at once.
    // upstream: pkg/registry/core/pod/strategy.go CheckGracefulDelete
    fn grace_period(&self, object: &Value, asked: Option<i64>) -> i64 {
        let period = asked
            .or_else(|| object["spec"]["terminationGracePeriodSeconds"].as_i64())
            .unwrap_or(30);
        let phase = object["status"]["phase"].as_str().unwrap_or("");
        let unscheduled = object["spec"]["nodeName"].as_str().unwrap_or("").is_empty();
        if unscheduled || phase == "Failed" || phase == "Succeeded" {
            0
        } else {
            period
        }
    }
}

/// The quality of service class of a defaulted spec.
// upstream: pkg/apis/core/helper/qos/qos.go ComputePodQOS
fn qos_class(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    let containers = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten());
    for container in containers {
        for resource in ["cpu", "memory"] {
            let given = |list: &str| {
                container["resources"][list]
                    .get(resource)
                    .and_then(Value::as_str)
                    .filter(|q| *q != "0")
            };
            let (request, limit) = (given("requests"), given("limits"));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

const UPDATE_REFUSAL: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";

fn validate_update(new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let length = |spec: &Value, list: &str| spec[list].as_array().map_or(0, Vec::len);
    if length(new, "containers") != length(old, "containers") {
        errors.push(FieldError::forbidden(
            "spec.containers",
            "pod updates may not add or remove containers",
        ));
        return errors;
    }
    if length(new, "initContainers") != length(old, "initContainers") {
        errors.push(FieldError::forbidden(
            "spec.initContainers",
            "pod updates may not add or remove containers",
        ));
        return errors;
    }
    deadline(new, old, &mut errors);
    tolerations(new, old, &mut errors);
    let mut munged = new.clone();
    for list in ["containers", "initContainers"] {
        let images: Vec<Value> = old[list]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| c["image"].clone())
            .collect();
        for (container, image) in munged
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .zip(images)
        {
            container["image"] = image;
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations"] {
        put_back(&mut munged, old, field);
    }
    let negative = old["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|s| s < 0);
    if negative && new["terminationGracePeriodSeconds"] == 1 {
        put_back(&mut munged, old, "terminationGracePeriodSeconds");
    }
    // Gates may be lifted, never added.
    let gates = |spec: &Value| {
        spec["schedulingGates"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    if gates(new).iter().all(|gate| gates(old).contains(gate)) {
        put_back(&mut munged, old, "schedulingGates");
    } else {
        errors.push(FieldError::forbidden(
            "spec.schedulingGates",
            "only deletion is allowed, but found new scheduling gate",
        ));
    }
    if munged != *old {
        errors.push(FieldError::forbidden(
            "spec",
            format!("{UPDATE_REFUSAL}{}", difference(&munged, old)),
        ));
    }
    errors
}

fn put_back(munged: &mut Value, old: &Value, field: &str) {
    let Some(spec) = munged.as_object_mut() else {
        return;
    };
    match old.get(field) {
        Some(value) => drop(spec.insert(field.to_owned(), value.clone())),
        None => drop(spec.remove(field)),
    }
}

fn deadline(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let path = "spec.activeDeadlineSeconds";
    match (
        new.get("activeDeadlineSeconds").and_then(Value::as_i64),
        old.get("activeDeadlineSeconds").and_then(Value::as_i64),
    ) {
        (Some(new), Some(old)) if new > old => {
            errors.push(FieldError::invalid(
                path,
                new,
                "must be less than or equal to previous value",
            ));
        }
        (None, Some(_)) => errors.push(FieldError::invalid(
            path,
            Value::Null,
            "must not update from a positive integer to nil value",
        )),
        _ => {}
    }
}

fn tolerations(new: &Value, old: &Value, errors: &mut Vec<FieldError>) {
    let new = new["tolerations"].as_array().map_or(&[][..], Vec::as_slice);
    for toleration in old["tolerations"].as_array().into_iter().flatten() {
        let mut without_seconds = toleration.clone();
        strip_seconds(&mut without_seconds);
        let kept = new.iter().any(|candidate| {
            let mut candidate = candidate.clone();
            strip_seconds(&mut candidate);
            candidate == without_seconds
        });
        if !kept {
            errors.push(FieldError::forbidden(
                "spec.tolerations",
                "existing toleration can not be modified except its tolerationSeconds",
            ));
            return;
        }
    }
}

fn strip_seconds(toleration: &mut Value) {
    if let Some(map) = toleration.as_object_mut() {
        map.remove("tolerationSeconds");
    }
}

/// The fields that differ, in the manner of the diff upstream appends.
fn difference(new: &Value, old: &Value) -> String {
    let mut lines = vec!["  core.PodSpec{".to_owned()];
    differing_fields(new, old, 1, &mut lines);
    lines.push("  }\n".to_owned());
    lines.join("\n")
}

fn differing_fields(new: &Value, old: &Value, depth: usize, lines: &mut Vec<String>) {
    let tabs = "\t".repeat(depth);
    let keys = |value: &Value| -> BTreeSet<String> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect()
    };
    let all: BTreeSet<String> = keys(new).union(&keys(old)).cloned().collect();
    let (same, different): (Vec<String>, Vec<String>) =
        all.into_iter().partition(|f| new.get(f) == old.get(f));
    if !same.is_empty() {
        lines.push(format!("  {tabs}... // {} identical fields", same.len()));
    }
    for field in different {
        let go = go_field(&field);
        let (new, old) = (&new[field.as_str()], &old[field.as_str()]);
        match (new, old) {
            (Value::Object(_), Value::Object(_)) => {
                lines.push(format!("  {tabs}{go}: {{"));
                differing_fields(new, old, depth + 1, lines);
                lines.push(format!("  {tabs}}},"));
            }
            (Value::Array(new), Value::Array(old)) if new.len() == old.len() => {
                lines.push(format!("  {tabs}{go}: {{"));
                differing_items(new, old, depth + 1, lines);
                lines.push(format!("  {tabs}}},"));
            }
            _ => {
                lines.push(format!("- {tabs}{go}: {},", shown(old)));
                lines.push(format!("+ {tabs}{go}: {},", shown(new)));
            }
        }
    }
}

fn differing_items(new: &[Value], old: &[Value], depth: usize, lines: &mut Vec<String>) {
    let tabs = "\t".repeat(depth);
    for (new, old) in new.iter().zip(old) {
        if new == old {
            lines.push(format!("  {tabs}... // 1 identical element"));
        } else if new.is_object() && old.is_object() {
            lines.push(format!("  {tabs}{{"));
            differing_fields(new, old, depth + 1, lines);
            lines.push(format!("  {tabs}}},"));
        } else {
            lines.push(format!("- {tabs}{},", shown(old)));
            lines.push(format!("+ {tabs}{},", shown(new)));
        }
    }
}

fn go_field(field: &str) -> String {
    let mut letters = field.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

fn shown(value: &Value) -> String {
    let joined = |parts: Vec<String>| format!("{{{}}}", parts.join(", "));
    match value {
        Value::Null => "nil".to_owned(),
        Value::String(text) => go_quote(text),
        Value::Array(items) => joined(items.iter().map(shown).collect()),
        Value::Object(map) => joined(
            map.iter()
                .map(|(key, value)| format!("{}: {}", go_field(key), shown(value)))
                .collect(),
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_shows_only_what_differs() {
        let old = json!({"dnsPolicy": "Default", "containers": [{"name": "a", "image": "x"}]});
        let mut new = old.clone();
        new["containers"][0]["command"] = json!(["sh", "-c"]);
        new["nodeName"] = json!("n");
        assert_eq!(
            difference(&new, &old),
            "  core.PodSpec{\n  \t... // 1 identical fields\n  \tContainers: {\n  \t\t{\n  \t\t\t... // 2 identical fields\n- \t\t\tCommand: nil,\n+ \t\t\tCommand: {\"sh\", \"-c\"},\n  \t\t},\n  \t},\n- \tNodeName: nil,\n+ \tNodeName: \"n\",\n  }\n"
        );
    }

    #[test]
    fn a_writer_may_leave_out_what_admission_filled_in() {
        let mut pod = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": {"priority": 0, "preemptionPolicy": "Never", "automountServiceAccountToken": false}});
        let bare = pod.clone();
        admission::admit_pod(&mut pod, Some(&json!({})), "abcde").unwrap();
        let mut new = bare;
        for field in ["priority", "preemptionPolicy"] {
            new["spec"].as_object_mut().unwrap().remove(field);
        }
        PodRules.prepare_update(&mut new, &pod);
        for field in ["priority", "preemptionPolicy", "tolerations"] {
            assert_eq!(new["spec"][field], pod["spec"][field], "{field}");
        }
    }

    #[test]
    fn the_class_follows_requests_and_limits() {
        let with =
            |resources: Value| json!({"containers": [{"name": "a", "resources": resources}]});
        let both = json!({"cpu": "1", "memory": "1Gi"});
        let cases = [
            (json!({}), "BestEffort"),
            (json!({"requests": {"cpu": "1"}}), "Burstable"),
            (json!({"requests": both, "limits": both}), "Guaranteed"),
            (
                json!({"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": both}),
                "Burstable",
            ),
        ];
        for (resources, expected) in cases {
            assert_eq!(qos_class(&with(resources.clone())), expected, "{resources}");
        }
    }
}
