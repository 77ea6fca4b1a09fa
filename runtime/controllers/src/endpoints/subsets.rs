//! Endpoints: addresses grouped by the ports they have in common.
// upstream: pkg/controller/endpoint/endpoints_controller.go, pkg/api/v1/endpoints/util.go RepackSubsets

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Pod, Service};

use super::{backends, is_headless};
use crate::pod;

/// The most addresses an Endpoints object holds.
const MOST: usize = 1000;

/// The subsets for these Pods, in the canonical order.
pub(super) fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.clone()).unwrap_or_default();
    let unready = backends::publishes_unready(service);
    // Addresses by IP, and for each the ports that lead there: that is how upstream packs them.
    let mut by_address: BTreeMap<(String, String), (EndpointAddress, bool, Vec<EndpointPort>)> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod::is_finished(pod) && (unready || pod.metadata.deletion_timestamp.is_none())).take(MOST) {
        let Some(ip) = backends::address(pod) else { continue };
        let found: Vec<EndpointPort> = ports
            .iter()
            .filter_map(|port| {
                let number = backends::target_port(pod, port)?;
                Some(EndpointPort { name: port.name.clone(), port: number, protocol: port.protocol.clone().or(Some("TCP".into())), app_protocol: port.app_protocol.clone() })
            })
            .collect();
        if found.is_empty() && !(ports.is_empty() && is_headless(service)) {
            continue;
        }
        let address = EndpointAddress {
            ip: ip.clone(),
            hostname: backends::hostname_in(pod, service),
            node_name: Some(pod::node(pod).to_owned()).filter(|node| !node.is_empty()),
            target_ref: Some(backends::reference(pod)),
        };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        by_address.insert((ip, uid), (address, unready || pod::is_ready(pod), found));
    }
    pack(by_address.into_values())
}

fn pack(addresses: impl Iterator<Item = (EndpointAddress, bool, Vec<EndpointPort>)>) -> Vec<EndpointSubset> {
    let mut by_ports: BTreeMap<String, EndpointSubset> = BTreeMap::new();
    for (address, ready, mut ports) in addresses {
        let order = |port: &EndpointPort| (port.name.clone(), port.protocol.clone(), port.port);
        ports.sort_by_key(order);
        let key = format!("{:?}", ports.iter().map(order).collect::<Vec<_>>());
        let subset = by_ports.entry(key).or_insert_with(|| EndpointSubset { ports: Some(ports).filter(|ports| !ports.is_empty()), ..EndpointSubset::default() });
        let list = if ready { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    by_ports.into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, ip: &str, ready: &str, port: i32, extra: &Value) -> Arc<Pod> {
        let mut pod = json!({
            "metadata": {"name": name, "uid": name, "namespace": "default"},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
            "status": {"podIP": ip, "phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
        });
        if let Some(extra) = extra.as_object() {
            extra.iter().for_each(|(key, value)| pod["metadata"][key] = value.clone());
        }
        Arc::new(serde_json::from_value(pod).expect("a Pod"))
    }

    /// `ready|unready:ports` of each subset.
    fn seen(service: &Value, pods: &[Arc<Pod>]) -> Vec<String> {
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": service})).expect("a Service");
        let ips = |list: Option<Vec<EndpointAddress>>| list.unwrap_or_default().into_iter().map(|address| address.ip).collect::<Vec<_>>().join(",");
        let ports = |list: Option<Vec<EndpointPort>>| list.unwrap_or_default().iter().map(|port| port.port.to_string()).collect::<Vec<_>>().join(",");
        subsets(&service, pods).into_iter().map(|subset| format!("{}|{}:{}", ips(subset.addresses), ips(subset.not_ready_addresses), ports(subset.ports))).collect()
    }

    #[test]
    fn addresses_are_grouped_by_ports() {
        let pods = [pod("a", "10.0.0.2", "True", 80, &json!({})), pod("b", "10.0.0.1", "False", 80, &json!({})), pod("c", "10.0.0.3", "True", 81, &json!({}))];
        let leaving = [pod("a", "10.0.0.2", "True", 80, &json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}))];
        let plain = json!({"ports": [{"port": 8080, "targetPort": 80}]});
        let named = json!({"ports": [{"port": 8080, "targetPort": "web"}]});
        let unready = json!({"publishNotReadyAddresses": true, "ports": [{"port": 80}]});
        for (name, service, pods, expected) in [
            ("by number", &plain, &pods[..], vec!["10.0.0.2,10.0.0.3|10.0.0.1:80"]),
            ("by name", &named, &pods[..], vec!["10.0.0.2|10.0.0.1:80", "10.0.0.3|:81"]),
            ("leaving", &plain, &leaving[..], vec![]),
            ("leaving but wanted", &unready, &leaving[..], vec!["10.0.0.2|:80"]),
            ("unready but wanted", &unready, &pods[..2], vec!["10.0.0.1,10.0.0.2|:80"]),
            ("headless without ports", &json!({"clusterIP": "None"}), &pods[..1], vec!["10.0.0.2|:"]),
            ("no such port", &json!({"ports": [{"port": 80, "targetPort": "none"}]}), &pods[..], vec![]),
        ] {
            assert_eq!(seen(service, pods), expected, "{name}");
        }
    }
}
