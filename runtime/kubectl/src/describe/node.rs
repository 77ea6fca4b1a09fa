//! Nodes.

use std::collections::BTreeSet;

use drydock_primitives::quantity::Quantity;
use serde_json::Value;

use super::page::Page;
use super::resources::{add, canonical, pod_limits, pod_requests};
use super::value::{Resources, at, list, pairs, resources, since, text, text_or};
use super::{ANNOTATIONS, CREATED, EVENTS, LABELS, NAME, Row, Subject};

const ROLE_PREFIX: &str = "node-role.kubernetes.io/";

pub(super) const NODE: &[Row] = &[
    NAME,
    Row::Part(roles),
    LABELS,
    ANNOTATIONS,
    CREATED,
    Row::Part(taints),
    Row::Or("Unschedulable", "spec.unschedulable", "false"),
    Row::Part(lease),
    Row::Part(conditions),
    Row::Part(addresses),
    Row::Part(|subject, page| quantities("Capacity", at(subject.object, "status.capacity"), page)),
    Row::Part(|subject, page| quantities("Allocatable", at(subject.object, "status.allocatable"), page)),
    Row::Part(|_, page| page.line(0, "System Info:")),
    Row::Text("  Machine ID", "status.nodeInfo.machineID"),
    Row::Text("  System UUID", "status.nodeInfo.systemUUID"),
    Row::Text("  Boot ID", "status.nodeInfo.bootID"),
    Row::Text("  Kernel Version", "status.nodeInfo.kernelVersion"),
    Row::Text("  OS Image", "status.nodeInfo.osImage"),
    Row::Text("  Operating System", "status.nodeInfo.operatingSystem"),
    Row::Text("  Architecture", "status.nodeInfo.architecture"),
    Row::Text("  Container Runtime Version", "status.nodeInfo.containerRuntimeVersion"),
    Row::Text("  Kubelet Version", "status.nodeInfo.kubeletVersion"),
    Row::Text("  Kube-Proxy Version", "status.nodeInfo.kubeProxyVersion"),
    Row::Present("PodCIDR", "spec.podCIDR"),
    Row::Joined("PodCIDRs", "spec.podCIDRs"),
    Row::Present("ProviderID", "spec.providerID"),
    Row::Part(pods),
    EVENTS,
];

fn roles(subject: &Subject<'_>, page: &mut Page) {
    let labels = pairs(at(subject.object, "metadata.labels"));
    let roles: BTreeSet<String> = labels
        .into_iter()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_PREFIX) {
            Some(role) => (!role.is_empty()).then(|| role.to_owned()),
            None => (key == "kubernetes.io/role" && !value.is_empty()).then_some(value),
        })
        .collect();
    let shown = roles.into_iter().collect::<Vec<_>>().join(",");
    page.field(0, "Roles", if shown.is_empty() { "<none>" } else { &shown });
}

fn taints(subject: &Subject<'_>, page: &mut Page) {
    let mut taints: Vec<&Value> = list(subject.object, "spec.taints").iter().collect();
    taints.sort_by_key(|taint| format!("{},{}", text(taint, "effect"), text(taint, "key")));
    let shown = taints.into_iter().map(|taint| match (text(taint, "key"), text(taint, "value"), text(taint, "effect")) {
        (key, value, effect) if effect.is_empty() && value.is_empty() => key,
        (key, value, effect) if effect.is_empty() => format!("{key}={value}:"),
        (key, value, effect) if value.is_empty() => format!("{key}:{effect}"),
        (key, value, effect) => format!("{key}={value}:{effect}"),
    });
    page.multiline("Taints:\t", "\t", shown.collect::<Vec<_>>());
}

fn lease(subject: &Subject<'_>, page: &mut Page) {
    let lease = match subject.related.outcome("lease") {
        Ok(found) => found.first().unwrap_or(&Value::Null),
        Err(error) => return page.field(0, "Lease", format_args!("Failed to get lease: {error}")),
    };
    let time = |path: &str| if at(lease, path).is_null() { "<unset>".to_owned() } else { page.date(lease, path) };
    let (acquired, renewed) = (time("spec.acquireTime"), time("spec.renewTime"));
    page.line(0, "Lease:");
    page.field(1, "HolderIdentity", text_or(lease, "spec.holderIdentity", "<unset>"));
    page.field(1, "AcquireTime", acquired);
    page.field(1, "RenewTime", renewed);
}

fn conditions(subject: &Subject<'_>, page: &mut Page) {
    let conditions = list(subject.object, "status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:");
    page.row(1, &["Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"]);
    page.row(1, &["----", "------", "-----------------", "------------------", "------", "-------"]);
    for condition in conditions {
        let cells = [
            text(condition, "type"),
            text(condition, "status"),
            page.date(condition, "lastHeartbeatTime"),
            page.date(condition, "lastTransitionTime"),
            text(condition, "reason"),
            text(condition, "message"),
        ];
        page.line(1, cells.join(" \t"));
    }
}

fn addresses(subject: &Subject<'_>, page: &mut Page) {
    page.line(0, "Addresses:");
    for address in list(subject.object, "status.addresses") {
        page.field(1, &text(address, "type"), text(address, "address"));
    }
}

fn quantities(title: &str, map: &Value, page: &mut Page) {
    let quantities = pairs(map);
    if quantities.is_empty() {
        return;
    }
    page.line(0, format_args!("{title}:"));
    for (name, quantity) in quantities {
        page.field(1, &name, canonical(&quantity));
    }
}

/// The part of the whole in percent; of nothing, nothing.
fn percent(part: i64, whole: i64) -> i64 {
    if whole == 0 {
        return 0;
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "upstream computes percents in floating point")]
    let percent = (part as f64 / whole as f64 * 100.0) as i64;
    percent
}

/// A quantity and its share of what is allocatable.
fn share(used: &Resources, allocatable: &Resources, name: &str) -> String {
    let number = |quantities: &Resources| quantities.get(name).map_or(0, |quantity| if name == "cpu" { quantity.milli_value() } else { quantity.value() });
    format!("{} ({}%)", shown(used, name), percent(number(used), number(allocatable)))
}

fn shown(quantities: &Resources, name: &str) -> String {
    quantities.get(name).map_or_else(|| "0".to_owned(), Quantity::to_string)
}

fn pods(subject: &Subject<'_>, page: &mut Page) {
    let Ok(pods) = subject.related.outcome("pods") else { return page.field(0, "Pods", "not authorized") };
    page.field(0, "Non-terminated Pods", format_args!("({} in total)", pods.len()));
    page.row(1, &["Namespace", "Name", "", "CPU Requests", "CPU Limits", "Memory Requests", "Memory Limits", "Age"]);
    page.row(1, &["---------", "----", "", "------------", "----------", "---------------", "-------------", "---"]);
    let allocatable = ["status.allocatable", "status.capacity"].map(|path| resources(at(subject.object, path)));
    let allocatable = allocatable.iter().find(|quantities| !quantities.is_empty()).cloned().unwrap_or_default();
    let (mut all_requests, mut all_limits) = (Resources::new(), Resources::new());
    for pod in pods {
        let (requests, limits) = (pod_requests(pod), pod_limits(pod));
        let of = |quantities: &Resources, name: &str| share(quantities, &allocatable, name);
        let cells = [of(&requests, "cpu"), of(&limits, "cpu"), of(&requests, "memory"), of(&limits, "memory")];
        let age = since(subject.now, pod, "metadata.creationTimestamp");
        page.row(1, &[&text(pod, "metadata.namespace"), &text(pod, "metadata.name"), "", &cells[0], &cells[1], &cells[2], &cells[3], &age]);
        add(&mut all_requests, requests);
        add(&mut all_limits, limits);
    }
    totals(&allocatable, &all_requests, &all_limits, page);
}

fn totals(allocatable: &Resources, requests: &Resources, limits: &Resources, page: &mut Page) {
    page.line(0, "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)");
    page.row(1, &["Resource", "Requests", "Limits"]);
    page.row(1, &["--------", "--------", "------"]);
    let huge = allocatable.keys().map(String::as_str).filter(|name| name.starts_with("hugepages-"));
    for name in ["cpu", "memory", "ephemeral-storage"].into_iter().chain(huge) {
        page.row(1, &[name, &share(requests, allocatable, name), &share(limits, allocatable, name)]);
    }
    let extended = |name: &&String| !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage" | "pods") && !name.starts_with("hugepages-");
    for name in allocatable.keys().filter(extended) {
        page.row(1, &[name, &shown(requests, name), &shown(limits, name)]);
    }
}
