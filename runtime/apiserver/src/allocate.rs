//! Cluster IPs and node ports of Services.
//!
//! There is no allocator state: what is taken is read from the Services themselves, under a lock that is held until the Service is committed.
//! Numbers are drawn from the upper part of each range, so that the lower stays for those who choose themselves.
//! upstream: pkg/registry/core/service/storage/alloc.go, pkg/registry/core/service/{ipallocator,portallocator}

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, MutexGuard, PoisonError};

use drydock_api::field_error::FieldError;
use drydock_api::registry::Resource;
use drydock_api::status::Status;
use serde_json::{Value, json};

use crate::call::Call;

/// The Service network, 10.96.0.0/12.
const NETWORK: u32 = 0x0a60_0000;
const NETWORK_SIZE: u32 = 1 << 20;
const NETWORK_TEXT: &str = "10.96.0.0/12";
/// Below this offset nothing is drawn.
const STATIC_ADDRESSES: u32 = 256;
const PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;
const FIRST_DRAWN_PORT: u16 = 30_086;

/// Keeps other Services from being allocated for while this one is not committed yet.
pub(crate) struct Allocation<'a> {
    _guard: MutexGuard<'a, ()>,
}

struct Taken {
    addresses: BTreeSet<u32>,
    ports: BTreeSet<u16>,
}

/// Gives a Service its addresses and ports.
pub(crate) fn service<'a>(call: &'a Call, row: &Arc<Resource>, new: &mut Value, old: Option<&Value>) -> Result<Allocation<'a>, Status> {
    let guard = call.server.inner.allocation.lock().unwrap_or_else(PoisonError::into_inner);
    let taken = taken(call, row, new)?;
    if let Some(old) = old {
        keep_old(new, old);
    }
    let mut errors = Vec::new();
    addresses(new, old, &taken, &mut errors);
    ports(new, &taken, &mut errors);
    if errors.is_empty() {
        return Ok(Allocation { _guard: guard });
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    Err(Status::invalid(row, name, &errors))
}

/// What the other Services have.
fn taken(call: &Call, row: &Arc<Resource>, new: &Value) -> Result<Taken, Status> {
    let mut taken = Taken { addresses: BTreeSet::new(), ports: BTreeSet::new() };
    for service in call.server.all(row, None)? {
        let same = |field: &str| service["metadata"][field] == new["metadata"][field];
        if same("name") && same("namespace") {
            continue;
        }
        let spec = &service["spec"];
        if let Some(address) = spec["clusterIP"].as_str().and_then(|text| text.parse::<Ipv4Addr>().ok()) {
            taken.addresses.insert(address.to_bits());
        }
        let ports = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
        let all = ports.chain([&spec["healthCheckNodePort"]]).filter_map(|port| port.as_u64().and_then(|port| u16::try_from(port).ok()));
        taken.ports.extend(all.filter(|&port| port != 0));
    }
    Ok(taken)
}

fn needs_address(service: &Value) -> bool {
    service["spec"]["type"] != "ExternalName"
}

fn needs_ports(service: &Value) -> bool {
    let spec = &service["spec"];
    spec["type"] == "NodePort" || (spec["type"] == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false)
}

/// An update that leaves out what was allocated keeps it. upstream: patchAllocatedValues, dropTypeDependentFields
fn keep_old(new: &mut Value, old: &Value) {
    if needs_address(new) && needs_address(old) && new["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty() {
        for field in ["clusterIP", "clusterIPs"] {
            new["spec"][field] = old["spec"][field].clone();
        }
    }
    if !needs_address(new) && needs_address(old) && new["spec"]["clusterIP"] == old["spec"]["clusterIP"] {
        remove(new, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    }
    let old_ports: Vec<Value> = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
    let (wants, had) = (needs_ports(new) || new["spec"]["type"] == "LoadBalancer", needs_ports(old));
    let new_type = new["spec"]["type"].clone();
    let Some(ports) = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut) else { return };
    if wants && had {
        let used: BTreeSet<u64> = ports.iter().filter_map(|port| port["nodePort"].as_u64()).collect();
        for port in ports.iter_mut().filter(|port| port["nodePort"].as_u64().unwrap_or(0) == 0) {
            let twin = old_ports.iter().find(|other| other["port"] == port["port"] && other["protocol"] == port["protocol"]);
            if let Some(kept) = twin.and_then(|twin| twin["nodePort"].as_u64()).filter(|kept| *kept != 0 && !used.contains(kept)) {
                port["nodePort"] = kept.into();
            }
        }
    } else if had && matches!(new_type.as_str(), Some("ClusterIP" | "ExternalName")) {
        for port in ports.iter_mut() {
            let kept = old_ports.iter().any(|other| other["nodePort"] == port["nodePort"]);
            if let Some(port) = port.as_object_mut()
                && kept
            {
                port.remove("nodePort");
            }
        }
    }
}

fn remove(service: &mut Value, fields: &[&str]) {
    if let Some(spec) = service["spec"].as_object_mut() {
        for field in fields {
            spec.remove(*field);
        }
    }
}

fn addresses(new: &mut Value, old: Option<&Value>, taken: &Taken, errors: &mut Vec<FieldError>) {
    if !needs_address(new) {
        return;
    }
    let spec = &mut new["spec"];
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
    if spec["ipFamilies"].as_array().is_none_or(Vec::is_empty) {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if spec["clusterIP"].as_str().unwrap_or_default().is_empty()
        && let Some(first) = spec["clusterIPs"][0].as_str()
    {
        spec["clusterIP"] = json!(first);
    }
    let asked = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
    if asked.is_empty() {
        match draw_address(&taken.addresses) {
            Some(address) => spec["clusterIP"] = json!(address.to_string()),
            None => errors.push(FieldError::invalid("spec.clusterIPs", json!([]), "failed to allocate a serviceIP: range is full")),
        }
    } else if asked != "None" && old.is_none_or(|old| old["spec"]["clusterIP"] != asked.as_str()) {
        if let Some(why) = refuse_address(&asked, &taken.addresses) {
            errors.push(FieldError::invalid("spec.clusterIPs", json!([asked]), format!("failed to allocate IP {asked}: {why}")));
        }
    }
    spec["clusterIPs"] = json!([spec["clusterIP"]]);
}

fn refuse_address(asked: &str, taken: &BTreeSet<u32>) -> Option<String> {
    // What is no address at all is validation's to refuse.
    let address = asked.parse::<Ipv4Addr>().ok()?.to_bits();
    // Neither the network's own address nor the broadcast address is usable.
    if address <= NETWORK || address >= NETWORK + NETWORK_SIZE - 1 {
        return Some(format!("the provided IP ({asked}) is not in the valid range. The range of valid IPs is {NETWORK_TEXT}"));
    }
    taken.contains(&address).then(|| "provided IP is already allocated".to_owned())
}

fn draw_address(taken: &BTreeSet<u32>) -> Option<Ipv4Addr> {
    let drawn = (0..64).map(|_| NETWORK + rand::random_range(STATIC_ADDRESSES + 1..NETWORK_SIZE - 1));
    let rest = NETWORK + 1..NETWORK + NETWORK_SIZE - 1;
    drawn.chain(rest).find(|address| !taken.contains(address)).map(Ipv4Addr::from_bits)
}

fn ports(new: &mut Value, taken: &Taken, errors: &mut Vec<FieldError>) {
    let wants = needs_ports(new);
    let mut own: Vec<(u64, u16)> = Vec::new();
    let ports = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for (index, port) in ports.into_iter().flatten().enumerate() {
        let asked = port["nodePort"].as_u64().unwrap_or(0);
        let number = port["port"].as_u64().unwrap_or(0);
        let field = format!("spec.ports[{index}].nodePort");
        if asked == 0 {
            if wants {
                // The same port over TCP and UDP shares its node port.
                let twin = own.iter().find(|(other, _)| *other == number).map(|(_, node_port)| *node_port);
                match twin.or_else(|| draw_port(taken, &own)) {
                    Some(drawn) => {
                        port["nodePort"] = drawn.into();
                        own.push((number, drawn));
                    }
                    None => errors.push(FieldError::invalid(field, 0, "failed to allocate a nodePort: range is full")),
                }
            }
            continue;
        }
        let asked_port = u16::try_from(asked).unwrap_or(0);
        if !wants && !PORTS.contains(&asked_port) {
            continue;
        }
        if !PORTS.contains(&asked_port) {
            errors.push(FieldError::invalid(field, asked, "provided port is not in the valid range. The range of valid ports is 30000-32767"));
        } else if taken.ports.contains(&asked_port) {
            errors.push(FieldError::invalid(field, asked, "provided port is already allocated"));
        } else {
            own.push((number, asked_port));
        }
    }
    let spec = &new["spec"];
    let wants_health = spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local" && spec["healthCheckNodePort"].as_u64().unwrap_or(0) == 0;
    if wants_health && let Some(drawn) = draw_port(taken, &own) {
        new["spec"]["healthCheckNodePort"] = drawn.into();
    }
}

fn draw_port(taken: &Taken, own: &[(u64, u16)]) -> Option<u16> {
    let drawn = (0..64).map(|_| rand::random_range(FIRST_DRAWN_PORT..=*PORTS.end()));
    drawn.chain(PORTS).find(|port| !taken.ports.contains(port) && !own.iter().any(|(_, other)| other == port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(addresses: &[&str], ports: &[u16]) -> Taken {
        Taken {
            addresses: addresses.iter().map(|text| text.parse::<Ipv4Addr>().unwrap().to_bits()).collect(),
            ports: ports.iter().copied().collect(),
        }
    }

    #[test]
    fn asked_addresses_are_refused_in_upstreams_words() {
        let taken = taken(&["10.96.0.10"], &[]);
        let cases = [
            ("10.96.0.11", None),
            ("10.96.0.10", Some("provided IP is already allocated")),
            ("10.0.0.1", Some("the provided IP (10.0.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12")),
            ("10.96.0.0", Some("the provided IP (10.96.0.0) is not in the valid range. The range of valid IPs is 10.96.0.0/12")),
            ("10.112.0.0", Some("the provided IP (10.112.0.0) is not in the valid range. The range of valid IPs is 10.96.0.0/12")),
        ];
        for (asked, why) in cases {
            assert_eq!(refuse_address(asked, &taken.addresses).as_deref(), why, "{asked}");
        }
    }

    #[test]
    fn node_ports_are_drawn_shared_and_refused() {
        let mut service = json!({"spec": {"type": "NodePort", "ports": [
            {"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}, {"port": 80, "nodePort": 30080}, {"port": 81, "nodePort": 80},
        ]}});
        let mut errors = Vec::new();
        ports(&mut service, &taken(&[], &[30080]), &mut errors);
        let drawn = &service["spec"]["ports"];
        assert_eq!(drawn[0]["nodePort"], drawn[1]["nodePort"]);
        assert!(PORTS.contains(&u16::try_from(drawn[0]["nodePort"].as_u64().unwrap()).unwrap()));
        let details: Vec<&str> = errors.iter().map(|error| error.detail.as_str()).collect();
        assert_eq!(details, ["provided port is already allocated", "provided port is not in the valid range. The range of valid ports is 30000-32767"]);
    }

    #[test]
    fn an_update_keeps_what_was_allocated() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.1.1", "clusterIPs": ["10.96.1.1"], "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30100}]}});
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}});
        keep_old(&mut new, &old);
        assert_eq!(new, old);
        let mut plain = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.96.1.1", "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30100}]}});
        keep_old(&mut plain, &old);
        assert!(plain["spec"]["ports"][0]["nodePort"].is_null());
    }
}
