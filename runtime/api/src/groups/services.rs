//! Service. Cluster IPs and node ports are allocated by the server; what they may be is checked here.
// upstream: pkg/apis/core/v1/defaults.go SetDefaults_Service, pkg/apis/core/validation/validation.go ValidateService,
// pkg/registry/core/service/strategy.go patchAllocatedValues

use std::collections::BTreeSet;

use drydock_primitives::names;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::pod_spec::{
    defaults::default,
    validation::{items, join, one_of, port_number, port_or_name, text},
};
use crate::{
    field_error::FieldError,
    go_print, meta,
    registry::{Column, NamePrefix, Resource, Rules, Subresource},
    table,
};

/// Rows of this family.
pub(super) fn rows() -> Vec<Resource> {
    vec![
        Resource::of::<Service>()
            .short(&["svc"])
            .categories(&["all"])
            .subresources(&[Subresource::Proxy, Subresource::Status])
            .fields(&["spec.clusterIP", "spec.type"])
            .columns(vec![
                Column::new("Name", table::NAME_DESCRIPTION),
                Column::new("Type", "type determines how the Service is exposed."),
                Column::new("Cluster-IP", "clusterIP is the IP address of the service and is usually assigned randomly."),
                Column::new("External-IP", "List of external IP addresses for which nodes in the cluster will also accept traffic for this service."),
                Column::new("Port(s)", "The list of ports that are exposed by this service."),
                Column::new("Age", table::AGE_DESCRIPTION),
                Column::new("Selector", "Route service traffic to pods with label keys and values matching this selector.").wide(),
            ])
            .rules(ServiceRules),
    ]
}

struct ServiceRules;

/// Whether a Service of this type has a cluster IP.
fn has_cluster_ip(spec: &Value) -> bool {
    text(spec, "type") != "ExternalName"
}

fn has_node_ports(spec: &Value) -> bool {
    match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"].as_bool() != Some(false),
        _ => false,
    }
}

impl Rules for ServiceRules {
    fn normalise(&self, new: &mut Value) {
        let Some(spec) = new["spec"].as_object_mut() else {
            return;
        };
        let ip = spec
            .get("clusterIP")
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        let first = spec
            .get("clusterIPs")
            .and_then(|i| i.get(0))
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned();
        if !ip.is_empty() && first.is_empty() {
            spec.insert("clusterIPs".to_owned(), json!([ip]));
        }
    }

    fn set_defaults(&self, new: &mut Value) {
        if !new["spec"].is_object() {
            new["spec"] = json!({});
        }
        let Some(spec) = new["spec"].as_object_mut() else {
            return;
        };
        default(spec, "sessionAffinity", "None");
        default(spec, "type", "ClusterIP");
        if spec["sessionAffinity"] == "ClientIP" {
            let config = spec
                .entry("sessionAffinityConfig")
                .or_insert_with(|| json!({"clientIP": {}}));
            if let Some(client_ip) = config.get_mut("clientIP").and_then(Value::as_object_mut) {
                default(client_ip, "timeoutSeconds", 10800);
            }
        } else {
            spec.remove("sessionAffinityConfig");
        }
        for port in spec
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            let Some(port) = port.as_object_mut() else {
                continue;
            };
            default(port, "protocol", "TCP");
            let unset = port
                .get("targetPort")
                .is_none_or(|t| t.as_i64() == Some(0) || t.as_str() == Some(""));
            if let Some(number) = port.get("port").cloned().filter(|_| unset) {
                port.insert("targetPort".to_owned(), number);
            }
        }
        match spec["type"].as_str().unwrap_or("").to_owned().as_str() {
            "ExternalName" => {}
            kind => {
                default(spec, "internalTrafficPolicy", "Cluster");
                default(spec, "ipFamilies", json!(["IPv4"]));
                default(spec, "ipFamilyPolicy", "SingleStack");
                if kind != "ClusterIP" {
                    default(spec, "externalTrafficPolicy", "Cluster");
                }
                if kind == "LoadBalancer" {
                    default(spec, "allocateLoadBalancerNodePorts", true);
                }
            }
        }
    }

    fn prepare_create(&self, new: &mut Value) {
        new["status"] = json!({"loadBalancer": {}});
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        let old_spec = &old["spec"];
        keep_allocated(&mut new["spec"], old_spec);
        drop_unused(&mut new["spec"], old_spec);
        if text(&new["spec"], "type") != "LoadBalancer"
            && new["status"]["loadBalancer"].get("ingress").is_some()
        {
            new["status"]["loadBalancer"] = json!({});
        }
    }

    fn validate_name(&self, name: &str, prefix: NamePrefix) -> Vec<String> {
        meta::dns_1035_messages(name, prefix)
    }

    fn validate(&self, new: &Value) -> Vec<FieldError> {
        validate(&new["spec"])
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let (new, old) = (&new["spec"], &old["spec"]);
        let (new_ip, old_ip) = (text(new, "clusterIP"), text(old, "clusterIP"));
        let was_set = has_cluster_ip(old) && !old_ip.is_empty() && has_cluster_ip(new);
        if was_set && new_ip != old_ip {
            let error =
                FieldError::invalid("spec.clusterIPs[0]", Value::Null, "may not change once set");
            return vec![error.showing(go_print::string_list(&new["clusterIPs"]))];
        }
        Vec::new()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        let spec = &object["spec"];
        let cluster_ip = spec
            .get("clusterIPs")
            .and_then(|i| i.get(0))
            .and_then(Value::as_str);
        let cluster_ip = cluster_ip
            .or_else(|| spec.get("clusterIP").and_then(Value::as_str))
            .filter(|i| !i.is_empty())
            .unwrap_or("<none>");
        let selector = scale_selector(&spec["selector"]);
        Some(vec![
            Value::from(meta::name(object)),
            Value::from(text(spec, "type")),
            Value::from(cluster_ip),
            Value::from(external_ip(object)),
            Value::from(port_list(&spec["ports"])),
            table::age(object, now),
            Value::from(selector),
        ])
    }
}

fn scale_selector(selector: &Value) -> String {
    let pairs: Vec<String> = selector
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or("")))
        .collect();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        pairs.join(",")
    }
}

/// An update that leaves out what the server allocated keeps it.
fn keep_allocated(new: &mut Value, old: &Value) {
    if has_cluster_ip(new) && has_cluster_ip(old) {
        let unset = text(new, "clusterIP").is_empty();
        if let Some(spec) = new.as_object_mut().filter(|_| unset) {
            for field in ["clusterIP", "clusterIPs"] {
                if let Some(value) = old.get(field) {
                    default(spec, field, value.clone());
                }
            }
        }
    }
    if has_node_ports(new) && has_node_ports(old) {
        let used: Vec<i64> = node_ports(new);
        for port in new
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if port.get("nodePort").is_some() {
                continue;
            }
            let same = |p: &&Value| p["port"] == port["port"] && p["protocol"] == port["protocol"];
            let before = old["ports"]
                .as_array()
                .and_then(|ports| ports.iter().find(same))
                .and_then(|p| p["nodePort"].as_i64());
            if let Some(number) = before.filter(|n| !used.contains(n)) {
                port["nodePort"] = Value::from(number);
            }
        }
    }
}

fn node_ports(spec: &Value) -> Vec<i64> {
    spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|p| p["nodePort"].as_i64())
        .collect()
}

/// A type change drops what only the old type had, where the writer left it as it was.
fn drop_unused(new: &mut Value, old: &Value) {
    if has_cluster_ip(old) && !has_cluster_ip(new) {
        let same = new.get("clusterIP") == old.get("clusterIP");
        if let Some(spec) = new.as_object_mut().filter(|_| same) {
            for field in [
                "clusterIP",
                "clusterIPs",
                "ipFamilies",
                "ipFamilyPolicy",
                "internalTrafficPolicy",
            ] {
                spec.remove(field);
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(new) && node_ports(new) == node_ports(old) {
        for port in new
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(port) = port.as_object_mut() {
                port.remove("nodePort");
            }
        }
    }
    let external = ["NodePort", "LoadBalancer"];
    if external.contains(&text(old, "type"))
        && !external.contains(&text(new, "type"))
        && let Some(spec) = new.as_object_mut()
    {
        spec.remove("externalTrafficPolicy");
        spec.remove("allocateLoadBalancerNodePorts");
    }
}

fn validate(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let kind = text(spec, "type");
    let headless = text(spec, "clusterIP") == "None";
    let ports = items(spec, "ports", "spec");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid("spec.clusterIPs[0]", "None", detail));
        }
        "ExternalName" => {
            let name = text(spec, "externalName");
            if name.is_empty() {
                errors.push(FieldError::required("spec.externalName", ""));
            } else {
                let trimmed = name.strip_suffix('.').unwrap_or(name);
                errors.extend(
                    names::dns1123_subdomain(trimmed)
                        .into_iter()
                        .map(|m| FieldError::invalid("spec.externalName", name, m)),
                );
            }
        }
        _ => {}
    }
    let mut port_names = BTreeSet::new();
    for (path, port) in &ports {
        service_port(
            port,
            path,
            (ports.len() > 1, kind),
            &mut port_names,
            &mut errors,
        );
    }
    duplicate_ports(&ports, &mut errors);
    errors.extend(meta::labels(&spec["selector"], "spec.selector"));
    one_of(
        spec,
        "sessionAffinity",
        "spec",
        &["ClientIP", "None"],
        &mut errors,
    );
    one_of(
        spec,
        "type",
        "spec",
        &["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"],
        &mut errors,
    );
    one_of(
        spec,
        "externalTrafficPolicy",
        "spec",
        &["Cluster", "Local"],
        &mut errors,
    );
    one_of(
        spec,
        "internalTrafficPolicy",
        "spec",
        &["Cluster", "Local"],
        &mut errors,
    );
    cluster_ip(spec, &mut errors);
    errors
}

fn cluster_ip(spec: &Value, errors: &mut Vec<FieldError>) {
    let ip = text(spec, "clusterIP");
    if !ip.is_empty() && ip != "None" && ip.parse::<std::net::IpAddr>().is_err() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid("spec.clusterIPs[0]", ip, detail));
    }
}

fn service_port(
    port: &Value,
    path: &str,
    (named, kind): (bool, &str),
    seen: &mut BTreeSet<String>,
    errors: &mut Vec<FieldError>,
) {
    let name = text(port, "name");
    if name.is_empty() {
        if named {
            errors.push(FieldError::required(join(path, "name"), ""));
        }
    } else {
        errors.extend(
            names::dns1123_label(name)
                .into_iter()
                .map(|m| FieldError::invalid(join(path, "name"), name, m)),
        );
        if !seen.insert(name.to_owned()) {
            errors.push(FieldError::duplicate(join(path, "name"), name));
        }
    }
    port_number(
        port["port"].as_i64().unwrap_or(0),
        join(path, "port"),
        errors,
    );
    one_of(port, "protocol", path, &["TCP", "UDP", "SCTP"], errors);
    if let Some(target) = port.get("targetPort") {
        port_or_name(target, join(path, "targetPort"), errors);
    }
    if port.get("nodePort").is_some() && !["NodePort", "LoadBalancer"].contains(&kind) {
        errors.push(FieldError::forbidden(
            join(path, "nodePort"),
            format!("may not be used when `type` is '{kind}'"),
        ));
    }
}

fn duplicate_ports(ports: &[(String, &Value)], errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for (path, port) in ports {
        let key = (
            text(port, "protocol").to_owned(),
            port["port"].as_i64().unwrap_or(0),
        );
        if !seen.insert(key.clone()) {
            let error = FieldError::duplicate(path, Value::Null);
            errors.push(error.showing(go_print::service_port(&key.0, key.1)));
        }
    }
}

fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let listed: Vec<&str> = spec["externalIPs"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    match text(spec, "type") {
        "ExternalName" => text(spec, "externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = service
                .pointer("/status/loadBalancer/ingress")
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            let addresses: BTreeSet<&str> = ingress
                .iter()
                .filter_map(|i| {
                    Some(text(i, "ip"))
                        .filter(|t| !t.is_empty())
                        .or_else(|| Some(text(i, "hostname")).filter(|t| !t.is_empty()))
                })
                .collect();
            let all: Vec<&str> = addresses.into_iter().chain(listed).collect();
            if all.is_empty() {
                "<pending>".to_owned()
            } else {
                all.join(",")
            }
        }
        _ if listed.is_empty() => "<none>".to_owned(),
        _ => listed.join(","),
    }
}

fn port_list(ports: &Value) -> String {
    let shown: Vec<String> = ports
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let number = port["port"].as_i64().unwrap_or(0);
            let protocol = text(port, "protocol");
            match port["nodePort"].as_i64() {
                Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        })
        .collect();
    if shown.is_empty() {
        "<none>".to_owned()
    } else {
        shown.join(",")
    }
}
