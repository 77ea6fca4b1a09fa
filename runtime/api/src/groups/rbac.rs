//! `rbac.authorization.k8s.io`: Role, ClusterRole, RoleBinding, ClusterRoleBinding. They are kept and shown; who may do what is decided
//! elsewhere.
// upstream: pkg/apis/rbac/v1/defaults.go, pkg/apis/rbac/validation/validation.go, pkg/printers/internalversion/printers.go

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use serde_json::{Value, json};

use super::{
    pod_spec::validation::{items, join, text},
    workloads::{age_column, name_column},
};
use crate::{
    field_error::{FieldError, go_quote},
    go_print, meta,
    registry::{Column, NamePrefix, Resource, Rules, Scope},
    table,
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<ClusterRoleBinding>()
            .columns(binding_columns(
                "RoleRef can only reference a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error. This field is immutable.",
                "clusterRoleBinding",
            ))
            .rules(BindingRules(Scope::Cluster)),
        Resource::of::<ClusterRole>()
            .columns(role_columns())
            .rules(RoleRules(Scope::Cluster)),
        Resource::of::<RoleBinding>()
            .columns(binding_columns(
                "RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error. This field is immutable.",
                "roleBinding",
            ))
            .rules(BindingRules(Scope::Namespaced)),
        Resource::of::<Role>()
            .columns(role_columns())
            .rules(RoleRules(Scope::Namespaced)),
    ]
}

fn role_columns() -> Vec<Column> {
    let mut created = Column::new("Created At", table::AGE_DESCRIPTION);
    "date".clone_into(&mut created.kind);
    vec![name_column(), created]
}

fn binding_columns(role: &str, of: &str) -> Vec<Column> {
    let subjects = |name: &str| Column::new(name, &format!("{name} in the {of}")).wide();
    vec![
        name_column(),
        Column::new("Role", role),
        age_column(),
        subjects("Users"),
        subjects("Groups"),
        subjects("ServiceAccounts"),
    ]
}

/// Names here may be anything that is one part of a path.
// upstream: apimachinery/pkg/api/validation/path/name.go
fn name_messages(name: &str, prefix: NamePrefix) -> Vec<String> {
    if prefix == NamePrefix::Complete
        && let Some(illegal) = [".", ".."].into_iter().find(|illegal| name == *illegal)
    {
        return vec![format!("may not be '{illegal}'")];
    }
    let contained = ["/", "%"].into_iter().filter(|part| name.contains(part));
    contained
        .map(|part| format!("may not contain '{part}'"))
        .collect()
}

/// Of Role and ClusterRole.
struct RoleRules(Scope);

impl Rules for RoleRules {
    fn validate_name(&self, name: &str, prefix: NamePrefix) -> Vec<String> {
        name_messages(name, prefix)
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (path, rule) in items(new, "rules", "") {
            policy_rule(rule, &path, self.0, &mut errors);
        }
        if new["aggregationRule"].is_object() {
            let selectors = items(
                &new["aggregationRule"],
                "clusterRoleSelectors",
                "aggregationRule",
            );
            if selectors.is_empty() {
                errors.push(FieldError::required(
                    "aggregationRule.clusterRoleSelectors",
                    "at least one clusterRoleSelector required if aggregationRule is non-nil",
                ));
            }
            for (path, selector) in selectors {
                errors.extend(meta::label_selector(selector, &path));
            }
        }
        errors
    }
}

fn policy_rule(rule: &Value, path: &str, scope: Scope, errors: &mut Vec<FieldError>) {
    let empty = |field: &str| rule[field].as_array().is_none_or(Vec::is_empty);
    let required = |field: &str, detail: &str| FieldError::required(join(path, field), detail);
    if empty("verbs") {
        errors.push(required("verbs", "verbs must contain at least one value"));
    }
    if !empty("nonResourceURLs") {
        let invalid = |detail: &str| {
            FieldError::invalid(join(path, "nonResourceURLs"), "", detail)
                .showing(go_print::string_list(&rule["nonResourceURLs"]))
        };
        if scope == Scope::Namespaced {
            errors.push(invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if !["apiGroups", "resources", "resourceNames"]
            .into_iter()
            .all(empty)
        {
            errors.push(invalid(
                "rules cannot apply to both regular resources and non-resource URLs",
            ));
        }
        return;
    }
    if empty("apiGroups") {
        errors.push(required(
            "apiGroups",
            "resource rules must supply at least one api group",
        ));
    }
    if empty("resources") {
        errors.push(required(
            "resources",
            "resource rules must supply at least one resource",
        ));
    }
}

/// Of RoleBinding and ClusterRoleBinding.
struct BindingRules(Scope);

impl Rules for BindingRules {
    fn set_defaults(&self, new: &mut Value) {
        if new["roleRef"].is_object() && text(&new["roleRef"], "apiGroup").is_empty() {
            new["roleRef"]["apiGroup"] = json!(GROUP);
        }
        for subject in new["subjects"].as_array_mut().into_iter().flatten() {
            let people = matches!(text(subject, "kind"), "User" | "Group");
            if people && text(subject, "apiGroup").is_empty() {
                subject["apiGroup"] = json!(GROUP);
            }
        }
    }

    fn validate_name(&self, name: &str, prefix: NamePrefix) -> Vec<String> {
        name_messages(name, prefix)
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let role = &new["roleRef"];
        let (group, kind, name) = (
            text(role, "apiGroup"),
            text(role, "kind"),
            text(role, "name"),
        );
        if group != GROUP {
            errors.push(FieldError::not_supported(
                "roleRef.apiGroup",
                group,
                &[GROUP],
            ));
        }
        let kinds: &[&str] = match self.0 {
            Scope::Namespaced => &["Role", "ClusterRole"],
            Scope::Cluster => &["ClusterRole"],
        };
        if !kinds.contains(&kind) {
            errors.push(FieldError::not_supported("roleRef.kind", kind, kinds));
        }
        if name.is_empty() {
            errors.push(FieldError::required("roleRef.name", ""));
        }
        let messages = name_messages(name, NamePrefix::Complete).into_iter();
        errors.extend(messages.map(|message| FieldError::invalid("roleRef.name", name, message)));
        for (path, subject) in items(new, "subjects", "") {
            self.subject(subject, &path, &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        if new["roleRef"] == old["roleRef"] {
            return Vec::new();
        }
        let field = |name: &str| go_quote(text(&new["roleRef"], name));
        let shown = format!(
            "rbac.RoleRef{{APIGroup:{}, Kind:{}, Name:{}}}",
            field("apiGroup"),
            field("kind"),
            field("name")
        );
        vec![FieldError::invalid("roleRef", "", "cannot change roleRef").showing(shown)]
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let role = &object["roleRef"];
        let subjects = |kind: &str| {
            let names: Vec<String> = items(object, "subjects", "")
                .into_iter()
                .filter(|(_, subject)| text(subject, "kind") == kind)
                .map(
                    |(_, subject)| match (text(subject, "namespace"), text(subject, "name")) {
                        ("", name) => name.to_owned(),
                        (namespace, name) if kind == "ServiceAccount" => {
                            format!("{namespace}/{name}")
                        }
                        (_, name) => name.to_owned(),
                    },
                )
                .collect();
            Value::from(names.join(", "))
        };
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(format!("{}/{}", text(role, "kind"), text(role, "name"))),
            table::age(object, now),
            subjects("User"),
            subjects("Group"),
            subjects("ServiceAccount"),
        ])
    }
}

impl BindingRules {
    fn subject(&self, subject: &Value, path: &str, errors: &mut Vec<FieldError>) {
        let (kind, name, group) = (
            text(subject, "kind"),
            text(subject, "name"),
            text(subject, "apiGroup"),
        );
        if name.is_empty() {
            errors.push(FieldError::required(join(path, "name"), ""));
        }
        let wrong_group = |wanted: &str| {
            (group != wanted)
                .then(|| FieldError::not_supported(join(path, "apiGroup"), group, &[wanted]))
        };
        match kind {
            "ServiceAccount" => {
                let messages = meta::dns_subdomain_messages(name, NamePrefix::Complete).into_iter();
                errors.extend(
                    messages
                        .filter(|_| !name.is_empty())
                        .map(|m| FieldError::invalid(join(path, "name"), name, m)),
                );
                errors.extend(wrong_group(""));
                if self.0 == Scope::Cluster && text(subject, "namespace").is_empty() {
                    errors.push(FieldError::required(join(path, "namespace"), ""));
                }
            }
            "User" | "Group" => errors.extend(wrong_group(GROUP)),
            other => errors.push(FieldError::not_supported(
                join(path, "kind"),
                other,
                &["ServiceAccount", "User", "Group"],
            )),
        }
    }
}
