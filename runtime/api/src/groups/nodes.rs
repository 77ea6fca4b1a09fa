//! Node.
// upstream: pkg/registry/core/node/strategy.go, pkg/printers/internalversion/printers.go printNode

use std::{collections::BTreeSet, str::FromStr};

use drydock_primitives::{names, quantity::Quantity};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use serde_json::Value;

use super::pod_spec::validation::{items, join, text};
use crate::{
    field_error::FieldError,
    go_print, meta,
    registry::{Column, Resource, Rules, Subresource},
    table,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Node>()
            .short(&["no"])
            .subresources(&[Subresource::Proxy, Subresource::Status])
            .fields(&["spec.unschedulable"])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Status", "The status of the node"),
                Column::new("Roles", "The roles of the node"),
                Column::new("Age", table::AGE_DESCRIPTION),
                Column::new("Version", "Kubelet Version reported by the node."),
                Column::new("Internal-IP", "List of addresses reachable to the node.").wide(),
                Column::new("External-IP", "List of addresses reachable to the node.").wide(),
                Column::new("OS-Image", "OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).").wide(),
                Column::new("Kernel-Version", "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).").wide(),
                Column::new("Container-Runtime", "ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).").wide(),
            ])
            .rules(NodeRules),
    ]
}

struct NodeRules;

impl Rules for NodeRules {
    fn set_defaults(&self, new: &mut Value) {
        let Some(status) = new.get_mut("status") else {
            return;
        };
        if status.get("allocatable").is_none()
            && let Some(capacity) = status.get("capacity").cloned()
        {
            status["allocatable"] = capacity;
        }
    }

    fn keeps_status_on_create(&self) -> bool {
        true
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut seen = BTreeSet::new();
        for (path, taint) in items(&new["spec"], "taints", "spec") {
            let (key, effect) = (text(taint, "key"), text(taint, "effect"));
            errors.extend(
                names::qualified_name(key)
                    .into_iter()
                    .map(|m| FieldError::invalid(join(&path, "key"), key, m)),
            );
            let value = text(taint, "value");
            errors.extend(
                names::label_value(value)
                    .into_iter()
                    .map(|m| FieldError::invalid(join(&path, "value"), value, m)),
            );
            if effect.is_empty() {
                errors.push(FieldError::required(join(&path, "effect"), ""));
            } else if !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
                errors.push(FieldError::not_supported(
                    join(&path, "effect"),
                    effect,
                    &["NoSchedule", "PreferNoSchedule", "NoExecute"],
                ));
            }
            if !seen.insert((key.to_owned(), effect.to_owned())) {
                errors
                    .push(FieldError::duplicate(path, Value::Null).showing(go_print::taint(taint)));
            }
        }
        for list in ["capacity", "allocatable"] {
            for (name, value) in new["status"][list].as_object().into_iter().flatten() {
                if value
                    .as_str()
                    .and_then(|v| Quantity::from_str(v).ok())
                    .is_some_and(Quantity::is_negative)
                {
                    let detail = "must be greater than or equal to 0";
                    errors.push(FieldError::invalid(
                        format!("status.{list}[{name}]"),
                        value.clone(),
                        detail,
                    ));
                }
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (field, words) in [
            (
                "podCIDR",
                "node updates may not change podCIDR except from \"\" to valid",
            ),
            (
                "providerID",
                "node updates may not change providerID except from \"\" to valid",
            ),
        ] {
            let before = text(&old["spec"], field);
            if !before.is_empty() && before != text(&new["spec"], field) {
                errors.push(FieldError::forbidden(format!("spec.{field}"), words));
            }
        }
        errors
    }

    fn field(&self, object: &Value, label: &str) -> Option<String> {
        (label == "spec.unschedulable")
            .then(|| (object["spec"]["unschedulable"] == true).to_string())
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let info = |field: &str, missing: &str| {
            let value = object["status"]["nodeInfo"][field]
                .as_str()
                .filter(|v| !v.is_empty())
                .unwrap_or(missing);
            Value::from(value)
        };
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(status(object)),
            Value::from(roles(object)),
            table::age(object, now),
            info("kubeletVersion", ""),
            Value::from(address(object, "InternalIP")),
            Value::from(address(object, "ExternalIP")),
            info("osImage", "<unknown>"),
            info("kernelVersion", "<unknown>"),
            info("containerRuntimeVersion", "<unknown>"),
        ])
    }
}

fn status(node: &Value) -> String {
    let ready = node["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Ready");
    let mut words = vec![match ready {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }];
    if node["spec"]["unschedulable"] == true {
        words.push("SchedulingDisabled");
    }
    words.join(",")
}

fn roles(node: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in node["metadata"]["labels"].as_object().into_iter().flatten() {
        if let Some(role) = key
            .strip_prefix("node-role.kubernetes.io/")
            .filter(|r| !r.is_empty())
        {
            roles.insert(role.to_owned());
        } else if key == "kubernetes.io/role" {
            roles.extend(value.as_str().filter(|v| !v.is_empty()).map(str::to_owned));
        }
    }
    if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.into_iter().collect::<Vec<_>>().join(",")
    }
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let found = node["status"]["addresses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|a| a["type"] == kind);
    found
        .and_then(|a| a["address"].as_str())
        .unwrap_or("<none>")
}
