//! Services and EndpointSlices in, addresses out. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use drydock_network::services::{Endpoint, Protocol, Service as Rules, ServiceKey, ServicePort as RulesPort, TrafficPolicy};
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice};

/// The label that says whose slice it is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label that asks for another proxy.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";

/// What every Service of the cluster is on this node.
pub(super) fn table(services: &[Service], slices: &[EndpointSlice], node: &str) -> BTreeMap<ServiceKey, Rules> {
    let mut by_service: BTreeMap<(String, String), Vec<&EndpointSlice>> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let Some(name) = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)) else { continue };
        let namespace = slice.metadata.namespace.clone().unwrap_or_default();
        by_service.entry((namespace, name.clone())).or_default().push(slice);
    }
    let translate = |service: &Service| {
        let namespace = service.metadata.namespace.clone()?;
        let name = service.metadata.name.clone()?;
        let slices = by_service.get(&(namespace.clone(), name.clone())).map(Vec::as_slice).unwrap_or_default();
        Some((ServiceKey::new(namespace, name), rules(service, slices, node)?))
    };
    services.iter().filter_map(translate).collect()
}

fn rules(service: &Service, slices: &[&EndpointSlice], node: &str) -> Option<Rules> {
    let spec = service.spec.as_ref()?;
    let other = service.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(OTHER_PROXY));
    if other || spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    // `None` and the empty string are no addresses.
    let cluster_ip: Ipv4Addr = spec.cluster_ip.as_deref()?.parse().ok()?;
    Some(Rules {
        cluster_ip: Some(cluster_ip),
        external_ips: external_ips(service, spec),
        ports: spec.ports.iter().flatten().filter_map(|port| rules_port(port, spec, slices, node)).collect(),
        affinity: affinity(spec),
        internal_policy: policy(spec.internal_traffic_policy.as_deref()),
        external_policy: policy(spec.external_traffic_policy.as_deref()),
    })
}

fn external_ips(service: &Service, spec: &ServiceSpec) -> Vec<Ipv4Addr> {
    let ingress = service.status.iter().filter_map(|status| status.load_balancer.as_ref()).flat_map(|balancer| balancer.ingress.iter().flatten());
    let ingress = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy")).filter_map(|ingress| ingress.ip.as_ref());
    let all: BTreeSet<Ipv4Addr> = spec.external_ips.iter().flatten().chain(ingress).filter_map(|ip| ip.parse().ok()).collect();
    all.into_iter().collect()
}

fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let seconds = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    Some(Duration::from_secs(seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(10_800)))
}

fn policy(text: Option<&str>) -> TrafficPolicy {
    if text == Some("Local") { TrafficPolicy::Local } else { TrafficPolicy::Cluster }
}

fn protocol(text: Option<&str>) -> Protocol {
    match text {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

fn rules_port(port: &ServicePort, spec: &ServiceSpec, slices: &[&EndpointSlice], node: &str) -> Option<RulesPort> {
    let name = port.name.as_deref().unwrap_or_default();
    let own = protocol(port.protocol.as_deref());
    let mut candidates: Vec<(&SliceEndpoint, u16)> = Vec::new();
    for slice in slices {
        let number = slice.ports.iter().flatten().find(|port| {
            port.name.as_deref().unwrap_or_default() == name && protocol(port.protocol.as_deref()) == own
        });
        let Some(number) = number.and_then(|port| u16::try_from(port.port?).ok()) else { continue };
        candidates.extend(slice.endpoints.iter().flatten().map(|endpoint| (endpoint, number)));
    }
    Some(RulesPort {
        protocol: own,
        port: u16::try_from(port.port).ok()?,
        node_port: port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
        endpoints: endpoints(&candidates, spec.publish_not_ready_addresses == Some(true), node),
    })
}

/// The ready ones; when there are none, those that still serve although they are ending.
fn endpoints(candidates: &[(&SliceEndpoint, u16)], publish_not_ready: bool, node: &str) -> Vec<Endpoint> {
    let is_ready = |endpoint: &SliceEndpoint| {
        publish_not_ready || endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
    };
    let serves = |endpoint: &SliceEndpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.is_some_and(|conditions| conditions.terminating == Some(true) && conditions.serving != Some(false))
    };
    let convert = |wanted: &dyn Fn(&SliceEndpoint) -> bool| -> BTreeSet<Endpoint> {
        let wanted = candidates.iter().filter(|(endpoint, _)| wanted(endpoint));
        // All addresses of one endpoint are the same thing: the first is enough.
        wanted
            .filter_map(|(endpoint, port)| {
                let address = endpoint.addresses.first()?.parse().ok()?;
                Some(Endpoint { address, port: *port, local: endpoint.node_name.as_deref() == Some(node) })
            })
            .collect()
    };
    let ready = convert(&is_ready);
    let chosen = if ready.is_empty() { convert(&serves) } else { ready };
    chosen.into_iter().collect()
}

/// Ports of this node that lead to Pods on it.
pub(super) fn host_ports(pods: &[Pod]) -> BTreeMap<ServiceKey, Rules> {
    let mut table = BTreeMap::new();
    for pod in pods {
        let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else { continue };
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let Some(address) = status.pod_ip.as_deref().and_then(|ip| ip.parse::<Ipv4Addr>().ok()) else { continue };
        if ended || spec.host_network == Some(true) {
            continue;
        }
        let ports: Vec<RulesPort> = spec
            .containers
            .iter()
            .flat_map(|container| container.ports.iter().flatten())
            .filter_map(|port| {
                let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
                let node_port = number(port.host_port?)?;
                let target = number(port.container_port)?;
                let endpoints = vec![Endpoint { address, port: target, local: true }];
                Some(RulesPort { protocol: protocol(port.protocol.as_deref()), port: node_port, node_port: Some(node_port), endpoints })
            })
            .collect();
        if !ports.is_empty() {
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let external_policy = TrafficPolicy::Cluster;
            table.insert(ServiceKey::new("hostport", uid), Rules { ports, external_policy, ..Rules::default() });
        }
    }
    table
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "cases read better without ampersands")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn service(spec: Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": spec})).unwrap()
    }

    fn slice(endpoints: Value) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": "web-x", "namespace": "ns", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": endpoints,
        }))
        .unwrap()
    }

    fn addresses(spec: Value, endpoints: Value) -> Option<Vec<String>> {
        let table = table(&[service(spec)], &[slice(endpoints)], "node-1");
        let rules = table.get(&ServiceKey::new("ns", "web"))?;
        let show = |endpoint: &Endpoint| format!("{}:{}{}", endpoint.address, endpoint.port, if endpoint.local { " here" } else { "" });
        Some(rules.ports.first().map(|port| port.endpoints.iter().map(show).collect()).unwrap_or_default())
    }

    #[test]
    fn a_service_leads_to_its_ready_endpoints() {
        let spec = json!({"clusterIP": "10.96.0.7", "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
        let here = json!({"addresses": ["10.244.1.2"], "nodeName": "node-1", "conditions": {"ready": true}});
        let there = json!({"addresses": ["10.244.2.2"], "nodeName": "node-2", "conditions": {}});
        let unready = json!({"addresses": ["10.244.2.3"], "conditions": {"ready": false}});
        let ending = json!({"addresses": ["10.244.2.4"], "conditions": {"ready": false, "serving": true, "terminating": true}});
        for (endpoints, expected) in [
            (json!([here, there]), vec!["10.244.1.2:8080 here", "10.244.2.2:8080"]),
            (json!([here, unready, ending]), vec!["10.244.1.2:8080 here"]),
            (json!([unready]), vec![]),
            (json!([unready, ending]), vec!["10.244.2.4:8080"]),
            (json!([]), vec![]),
        ] {
            assert_eq!(addresses(spec.clone(), endpoints.clone()).unwrap(), expected, "{endpoints}");
        }
        let mut patient = spec.clone();
        patient["publishNotReadyAddresses"] = json!(true);
        assert_eq!(addresses(patient, json!([unready])).unwrap(), ["10.244.2.3:8080"]);
    }

    #[test]
    fn services_without_an_address_are_left_out() {
        for spec in [
            json!({"clusterIP": "None", "ports": [{"port": 80}]}),
            json!({"type": "ExternalName", "externalName": "example.com", "clusterIP": "10.96.0.1"}),
            json!({"ports": [{"port": 80}]}),
        ] {
            assert_eq!(addresses(spec.clone(), json!([])), None, "{spec}");
        }
    }

    #[test]
    fn ports_are_matched_by_name_and_everything_else_is_carried_over() {
        let spec = json!({
            "type": "LoadBalancer", "clusterIP": "10.96.0.7", "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP",
            "externalTrafficPolicy": "Local",
            "ports": [{"name": "dns", "port": 53, "protocol": "UDP", "nodePort": 30053}],
        });
        let table = table(&[service(spec)], &[slice(json!([{"addresses": ["10.244.1.2"]}]))], "node-1");
        let rules = &table[&ServiceKey::new("ns", "web")];
        assert_eq!(rules.external_ips, [Ipv4Addr::new(1, 2, 3, 4)]);
        assert_eq!(rules.affinity, Some(Duration::from_secs(10_800)));
        assert_eq!(rules.external_policy, TrafficPolicy::Local);
        assert_eq!(rules.ports[0].node_port, Some(30053));
        assert_eq!(rules.ports[0].protocol, Protocol::Udp);
        assert!(rules.ports[0].endpoints.is_empty());
    }

    #[test]
    fn host_ports_lead_to_running_pods() {
        let pod = |phase: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
                "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]}]},
                "status": {"phase": phase, "podIP": "10.244.1.9"},
            }))
            .unwrap()
        };
        let table = host_ports(&[pod("Running")]);
        let rules = table.values().next().unwrap();
        assert_eq!(rules.ports.len(), 1);
        assert_eq!((rules.cluster_ip, rules.ports[0].node_port, rules.ports[0].endpoints[0].port), (None, Some(8080), 80));
        assert!(host_ports(&[pod("Succeeded")]).is_empty());
    }
}
