//! Pods.

use serde_json::Value;

use super::containers::{self, Place};
use super::page::Page;
use super::value::{at, list, since, text, text_or};
use super::volumes::volumes;
use super::{ANNOTATIONS, CONTROLLER, EVENTS, LABELS, NAME, NAMESPACE, Row, Subject, template};

pub(super) const POD: &[Row] = &[
    NAME,
    NAMESPACE,
    Row::Present("Priority", "spec.priority"),
    Row::Present("Priority Class Name", "spec.priorityClassName"),
    Row::Present("Runtime Class Name", "spec.runtimeClassName"),
    Row::Present("Service Account", "spec.serviceAccountName"),
    Row::Part(node),
    Row::DatePresent("Start Time", "status.startTime"),
    LABELS,
    ANNOTATIONS,
    Row::Part(status),
    Row::Present("Reason", "status.reason"),
    Row::Present("Message", "status.message"),
    Row::Part(|subject, page| containers::seccomp(at(subject.object, "spec.securityContext"), page, 0, 0)),
    Row::Text("IP", "status.podIP"),
    Row::Part(addresses),
    CONTROLLER,
    Row::Present("NominatedNodeName", "status.nominatedNodeName"),
    Row::Part(all_containers),
    Row::Part(readiness_gates),
    Row::Part(conditions),
    Row::Part(|subject, page| volumes(list(subject.object, "spec.volumes"), page, "")),
    Row::Or("QoS Class", "status.qosClass", "BestEffort"),
    Row::Labels("Node-Selectors", "spec.nodeSelector"),
    Row::Part(|subject, page| template::tolerations("Tolerations", list(subject.object, "spec.tolerations"), page)),
    Row::Part(|subject, page| template::spread_constraints(list(subject.object, "spec.topologySpreadConstraints"), page, "")),
    EVENTS,
];

fn node(subject: &Subject<'_>, page: &mut Page) {
    let node = text(subject.object, "spec.nodeName");
    if node.is_empty() {
        page.field(0, "Node", "<none>");
    } else {
        page.field(0, "Node", format_args!("{node}/{}", text(subject.object, "status.hostIP")));
    }
}

fn status(subject: &Subject<'_>, page: &mut Page) {
    let phase = text(subject.object, "status.phase");
    let deleted = !at(subject.object, "metadata.deletionTimestamp").is_null();
    if deleted && phase != "Failed" && phase != "Succeeded" {
        page.field(0, "Status", format_args!("Terminating (lasts {})", since(subject.now, subject.object, "metadata.deletionTimestamp")));
        page.field(0, "Termination Grace Period", format_args!("{}s", text_or(subject.object, "metadata.deletionGracePeriodSeconds", "0")));
    } else {
        page.field(0, "Status", phase);
    }
}

fn addresses(subject: &Subject<'_>, page: &mut Page) {
    let addresses = list(subject.object, "status.podIPs");
    if addresses.is_empty() {
        return page.field(0, "IPs", "<none>");
    }
    page.line(0, "IPs:");
    for address in addresses {
        page.field(1, "IP", text(address, "ip"));
    }
}

fn all_containers(subject: &Subject<'_>, page: &mut Page) {
    let kinds = [
        ("Init Containers", "spec.initContainers", "status.initContainerStatuses", false),
        ("Containers", "spec.containers", "status.containerStatuses", true),
        ("Ephemeral Containers", "spec.ephemeralContainers", "status.ephemeralContainerStatuses", false),
    ];
    for (title, containers, statuses, always) in kinds {
        let containers = list(subject.object, containers);
        if always || !containers.is_empty() {
            let place = Place { space: "", statuses: list(subject.object, statuses), pod: Some(subject.object) };
            containers::section(title, containers, &place, page);
        }
    }
}

fn readiness_gates(subject: &Subject<'_>, page: &mut Page) {
    let gates = list(subject.object, "spec.readinessGates");
    if gates.is_empty() {
        return;
    }
    let conditions = list(subject.object, "status.conditions");
    page.line(0, "Readiness Gates:\n  Type\tStatus");
    for gate in gates {
        let own = conditions.iter().find(|condition| condition["type"] == gate["conditionType"]);
        let status = own.map_or_else(|| "<none>".to_owned(), |condition| text(condition, "status"));
        page.line(1, format_args!("{} \t{status} ", text(gate, "conditionType")));
    }
}

fn conditions(subject: &Subject<'_>, page: &mut Page) {
    let conditions: &[Value] = list(subject.object, "status.conditions");
    if conditions.is_empty() {
        return;
    }
    page.line(0, "Conditions:\n  Type\tStatus");
    for condition in conditions {
        page.line(1, format_args!("{} \t{} ", text(condition, "type"), text(condition, "status")));
    }
}
