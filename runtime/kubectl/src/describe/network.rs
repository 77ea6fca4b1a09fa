//! Services and what stands behind them.

use serde_json::Value;

use super::page::Page;
use super::value::{at, list, text, text_or, texts};
use super::{ANNOTATIONS, EVENTS, LABELS, NAME, NAMESPACE, Row, Subject};

/// How many endpoints a Service shows.
const SHOWN: usize = 3;

pub(super) const SERVICE: &[Row] = &[
    NAME,
    NAMESPACE,
    LABELS,
    ANNOTATIONS,
    Row::Flat("Selector", "spec.selector"),
    Row::Text("Type", "spec.type"),
    Row::Present("IP Family Policy", "spec.ipFamilyPolicy"),
    Row::JoinedOrNone("IP Families", "spec.ipFamilies"),
    Row::Text("IP", "spec.clusterIP"),
    Row::JoinedOrNone("IPs", "spec.clusterIPs"),
    Row::Joined("External IPs", "spec.externalIPs"),
    Row::Present("Desired LoadBalancer IP", "spec.loadBalancerIP"),
    Row::Present("External Name", "spec.externalName"),
    Row::Part(ingress),
    Row::Part(ports),
    Row::Text("Session Affinity", "spec.sessionAffinity"),
    Row::Present("External Traffic Policy", "spec.externalTrafficPolicy"),
    Row::Present("Internal Traffic Policy", "spec.internalTrafficPolicy"),
    Row::Present("HealthCheck NodePort", "spec.healthCheckNodePort"),
    Row::Joined("LoadBalancer Source Ranges", "spec.loadBalancerSourceRanges"),
    EVENTS,
];

pub(super) const ENDPOINTS: &[Row] = &[NAME, NAMESPACE, LABELS, ANNOTATIONS, Row::Part(subsets), EVENTS];

pub(super) const ENDPOINT_SLICE: &[Row] =
    &[NAME, NAMESPACE, LABELS, ANNOTATIONS, Row::Text("AddressType", "addressType"), Row::Part(slice_ports), Row::Part(slice_endpoints), EVENTS];

fn ingress(subject: &Subject<'_>, page: &mut Page) {
    let ingress = list(subject.object, "status.loadBalancer.ingress");
    if ingress.is_empty() {
        return;
    }
    let shown = ingress.iter().map(|point| match (text(point, "ip"), text(point, "ipMode")) {
        (ip, _) if ip.is_empty() => text(point, "hostname"),
        (ip, mode) if mode.is_empty() => ip,
        (ip, mode) => format!("{ip} ({mode})"),
    });
    page.field(0, "LoadBalancer Ingress", shown.collect::<Vec<_>>().join(", "));
}

fn ports(subject: &Subject<'_>, page: &mut Page) {
    let slices = subject.related.items("endpointslices");
    for port in list(subject.object, "spec.ports") {
        let (name, protocol) = (text_or(port, "name", "<unset>"), text(port, "protocol"));
        page.row(0, &["Port:", &name, &format!("{}/{protocol}", text_or(port, "port", "0"))]);
        page.field(0, "TargetPort", format_args!("{}/{protocol}", text_or(port, "targetPort", "0")));
        let node_port = text(port, "nodePort");
        if !node_port.is_empty() && node_port != "0" {
            page.row(0, &["NodePort:", &name, &format!("{node_port}/{protocol}")]);
        }
        page.field(0, "Endpoints", endpoints(slices, &text(port, "name")));
    }
}

/// The first ready endpoints behind a port, and how many more there are.
fn endpoints(slices: &[Value], port_name: &str) -> String {
    if slices.is_empty() {
        return "<none>".to_owned();
    }
    let mut found = Vec::new();
    for slice in slices {
        let ready = || list(slice, "endpoints").iter().filter(|endpoint| at(endpoint, "conditions.ready") != &Value::Bool(false));
        let address = |endpoint: &Value| texts(endpoint, "addresses").into_iter().next().unwrap_or_default();
        let ports = list(slice, "ports");
        if ports.is_empty() {
            found.extend(ready().map(address));
        }
        for port in ports.iter().filter(|port| text(port, "name") == port_name) {
            found.extend(ready().map(|endpoint| host_port(&address(endpoint), &text_or(port, "port", "0"))));
        }
    }
    let shown = found.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    if found.len() > SHOWN { format!("{shown} + {} more...", found.len() - SHOWN) } else { shown }
}

fn host_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn subsets(subject: &Subject<'_>, page: &mut Page) {
    page.line(0, "Subsets:");
    for subset in list(subject.object, "subsets") {
        for (label, path) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
            let addresses = list(subset, path).iter().map(|address| text(address, "ip")).collect::<Vec<_>>().join(",");
            page.field(1, label, if addresses.is_empty() { "<none>" } else { &addresses });
        }
        let ports = list(subset, "ports");
        if !ports.is_empty() {
            page.line(1, "Ports:");
            page.row(2, &["Name", "Port", "Protocol"]);
            page.row(2, &["----", "----", "--------"]);
        }
        for port in ports {
            page.row(2, &[&text_or(port, "name", "<unset>"), &text_or(port, "port", "0"), &text(port, "protocol")]);
        }
        page.push("\n");
    }
}

fn slice_ports(subject: &Subject<'_>, page: &mut Page) {
    let ports = list(subject.object, "ports");
    if ports.is_empty() {
        return page.line(0, "Ports: <unset>");
    }
    page.line(0, "Ports:");
    page.row(1, &["Name", "Port", "Protocol"]);
    page.row(1, &["----", "----", "--------"]);
    for port in ports {
        page.row(1, &[&text_or(port, "name", "<unset>"), &text_or(port, "port", "<unset>"), &text(port, "protocol")]);
    }
}

fn slice_endpoints(subject: &Subject<'_>, page: &mut Page) {
    let endpoints = list(subject.object, "endpoints");
    if endpoints.is_empty() {
        return page.line(0, "Endpoints: <none>");
    }
    page.line(0, "Endpoints:");
    for endpoint in endpoints {
        let addresses = texts(endpoint, "addresses").join(", ");
        page.field(1, "- Addresses", if addresses.is_empty() { "<none>" } else { &addresses });
        page.line(2, "Conditions:");
        page.field(3, "Ready", text_or(endpoint, "conditions.ready", "<unset>"));
        page.field(2, "Hostname", text_or(endpoint, "hostname", "<unset>"));
        if !endpoint["targetRef"].is_null() {
            page.field(2, "TargetRef", format_args!("{}/{}", text(endpoint, "targetRef.kind"), text(endpoint, "targetRef.name")));
        }
        page.field(2, "NodeName", text_or(endpoint, "nodeName", "<unset>"));
        page.field(2, "Zone", text_or(endpoint, "zone", "<unset>"));
    }
}
