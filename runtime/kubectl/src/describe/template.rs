//! The template of Pods in a workload, and what a Pod and a template share.

use drydock_primitives::selector::LabelSelector;
use serde_json::Value;

use super::containers::{self, Place};
use super::page::Page;
use super::value::{at, list, text, text_or};
use super::volumes::volumes;

/// `Pod Template:` and what is in it.
pub(super) fn section(template: &Value, page: &mut Page) {
    page.line(0, "Pod Template:");
    if template.is_null() {
        return page.push("  <unset>");
    }
    page.labels("  Labels", at(template, "metadata.labels"));
    if at(template, "metadata.annotations").as_object().is_some_and(|annotations| !annotations.is_empty()) {
        page.annotations("  Annotations", at(template, "metadata.annotations"));
    }
    let account = text(template, "spec.serviceAccountName");
    if !account.is_empty() {
        page.field(1, "Service Account", account);
    }
    let place = Place { space: "  ", statuses: &[], pod: None };
    let init = list(template, "spec.initContainers");
    if !init.is_empty() {
        containers::section("Init Containers", init, &place, page);
    }
    containers::section("Containers", list(template, "spec.containers"), &place, page);
    volumes(list(template, "spec.volumes"), page, "  ");
    spread_constraints(list(template, "spec.topologySpreadConstraints"), page, "  ");
    let class = text(template, "spec.priorityClassName");
    if !class.is_empty() {
        page.field(1, "Priority Class Name", class);
    }
    page.labels("  Node-Selectors", at(template, "spec.nodeSelector"));
    tolerations("  Tolerations", list(template, "spec.tolerations"), page);
}

/// Tolerations by key.
pub(super) fn tolerations(title: &str, tolerations: &[Value], page: &mut Page) {
    let mut sorted: Vec<&Value> = tolerations.iter().collect();
    sorted.sort_by_key(|toleration| text(toleration, "key"));
    page.multiline(&format!("{title}:\t"), "\t", sorted.into_iter().map(toleration));
}

fn toleration(toleration: &Value) -> String {
    let part = |prefix: &str, path: &str| {
        let text = text(toleration, path);
        if text.is_empty() { text } else { format!("{prefix}{text}") }
    };
    let (value, effect) = (part("=", "value"), part(":", "effect"));
    let mut shown = format!("{}{value}{effect}", text(toleration, "key"));
    if toleration["operator"] == "Exists" && value.is_empty() {
        shown.push_str(if shown.is_empty() { "op=Exists" } else { " op=Exists" });
    }
    if !toleration["tolerationSeconds"].is_null() {
        shown.push_str(&format!(" for {}s", text(toleration, "tolerationSeconds")));
    }
    shown
}

/// How Pods are spread, by topology key; nothing when they are not.
pub(super) fn spread_constraints(constraints: &[Value], page: &mut Page, space: &str) {
    if constraints.is_empty() {
        return;
    }
    let mut sorted: Vec<&Value> = constraints.iter().collect();
    sorted.sort_by_key(|constraint| text(constraint, "topologyKey"));
    let lines = sorted.into_iter().map(|constraint| {
        let (key, action, skew) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"), text_or(constraint, "maxSkew", "0"));
        let selector = at(constraint, "labelSelector");
        let of = if selector.is_null() { String::new() } else { format!(" for selector {}", selector_or_none(selector)) };
        format!("{key}:{action} when max skew {skew} is exceeded{of}")
    });
    page.multiline(&format!("{space}Topology Spread Constraints:\t"), &format!("{space}\t"), lines);
}

/// A label selector as text; `<none>` when it selects everything.
// upstream: apimachinery/pkg/apis/meta/v1/helpers.go FormatLabelSelector
pub(super) fn selector_or_none(selector: &Value) -> String {
    let text = selector_text(selector);
    if text.is_empty() { "<none>".to_owned() } else { text }
}

/// A label selector as text.
pub(super) fn selector_text(selector: &Value) -> String {
    match LabelSelector::from_object(selector) {
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".to_owned(),
    }
}
