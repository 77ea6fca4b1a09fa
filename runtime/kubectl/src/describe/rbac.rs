//! Roles and who has them.
// upstream: kubectl/pkg/describe/describe.go describeRole, describeRoleBinding; kubectl/pkg/util/rbac/rbac.go

use serde_json::{Value, json};

use super::page::Page;
use super::value::{list, text, texts};
use super::{ANNOTATIONS, LABELS, NAME, Row, Subject};
use crate::print::go;

pub(super) const ROLE: &[Row] = &[NAME, LABELS, ANNOTATIONS, Row::Part(rules)];

pub(super) const BINDING: &[Row] = &[NAME, LABELS, ANNOTATIONS, Row::Part(binding)];

fn rules(subject: &Subject<'_>, page: &mut Page) {
    page.line(0, "PolicyRule:");
    page.row(1, &["Resources", "Non-Resource URLs", "Resource Names", "Verbs"]);
    page.row(1, &["---------", "-----------------", "--------------", "-----"]);
    for rule in compact(list(subject.object, "rules")) {
        let shown = |field: &str| go::print(&json!(texts(&rule, field)));
        page.row(1, &[&combined(&rule), &shown("nonResourceURLs"), &shown("resourceNames"), &shown("verbs")]);
    }
}

/// `deployments.apps/scale`.
fn combined(rule: &Value) -> String {
    let Some(resource) = texts(rule, "resources").into_iter().next() else { return String::new() };
    let (resource, sub) = resource.split_once('/').map_or((resource.as_str(), None), |(resource, sub)| (resource, Some(sub)));
    let group = texts(rule, "apiGroups").into_iter().next().filter(|group| !group.is_empty()).map_or_else(String::new, |group| format!(".{group}"));
    format!("{resource}{group}{}", sub.map_or_else(String::new, |sub| format!("/{sub}")))
}

/// One rule for each resource and name, with all its verbs; in the order of their texts.
fn compact(rules: &[Value]) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut add = |rule: Value, verb: &str| {
        // What is not about one resource stays as many rules as it has verbs.
        let same = |other: &&mut Value| rule["resources"].is_array() && ["apiGroups", "resources", "resourceNames"].into_iter().all(|field| other[field] == rule[field]);
        if let Some(verbs) = found.iter_mut().find(same).and_then(|other| other["verbs"].as_array_mut()) {
            verbs.push(json!(verb));
            return;
        }
        let mut rule = rule;
        rule["verbs"] = json!([verb]);
        found.push(rule);
    };
    for rule in rules {
        let names = texts(rule, "resourceNames");
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    let one = json!({"apiGroups": [group], "resources": [resource]});
                    if names.is_empty() {
                        add(one.clone(), &verb);
                    }
                    for name in &names {
                        let mut named = one.clone();
                        named["resourceNames"] = json!([name]);
                        add(named, &verb);
                    }
                }
            }
        }
        for address in texts(rule, "nonResourceURLs") {
            texts(rule, "verbs").iter().for_each(|verb| add(json!({"nonResourceURLs": [address]}), verb));
        }
    }
    found.sort_by_cached_key(|rule| {
        let shown = |field: &str| go::print(&json!(texts(rule, field)));
        ["verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"].map(shown)
    });
    found
}

fn binding(subject: &Subject<'_>, page: &mut Page) {
    page.line(0, "Role:");
    page.field(1, "Kind", text(subject.object, "roleRef.kind"));
    page.field(1, "Name", text(subject.object, "roleRef.name"));
    page.line(0, "Subjects:");
    page.row(1, &["Kind", "Name", "Namespace"]);
    page.row(1, &["----", "----", "---------"]);
    for one in list(subject.object, "subjects") {
        page.row(1, &[&text(one, "kind"), &text(one, "name"), &text(one, "namespace")]);
    }
}
