//! From a Service to its chains and map elements: pure.
//!
//! For each port: `cluster-…` chooses among all endpoints, `local-…` among those of this node, `external-…` masks the
//! client before choosing, and one `endpoint-…` chain per endpoint translates. Chains that nothing needs are not made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::nft::{
    Expression, Hook, KEY, R1, R2, Rule, SetKind, Verdict, destination, destination_port, is_address, source,
};
use super::table::{Endpoint, Protocol, Service, ServiceKey, ServicePort, TrafficPolicy};
use crate::cidr::Cidr;

pub(super) const SERVICE_IPS: &str = "service-ips";
pub(super) const NODE_PORTS: &str = "service-nodeports";
pub(super) const NODE_IPS: &str = "nodeport-ips";
pub(super) const CLUSTER_IPS: &str = "cluster-ips";
pub(super) const NO_ENDPOINTS: &str = "no-endpoint-services";
pub(super) const NO_ENDPOINTS_NODE_PORTS: &str = "no-endpoint-nodeports";
const SERVICES_CHAIN: &str = "services";
const REJECT_CHAIN: &str = "reject-chain";
const DROP_CHAIN: &str = "drop-chain";
const CHECK_CHAIN: &str = "service-endpoints-check";
const CLUSTER_IPS_CHAIN: &str = "cluster-ips-check";

/// The mark upstream gives packets that are to be masqueraded. upstream: pkg/proxy/nftables/proxier.go
const MASQUERADE_MARK: u32 = 0x4000;

/// What one Service needs in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Chains with their rules.
    pub(super) chains: BTreeMap<String, Vec<Rule>>,
    /// Map elements: map and key to verdict; sets have none.
    pub(super) elements: BTreeMap<(&'static str, Vec<u8>), Option<Verdict>>,
    /// Sets of its own, for clients that stay with their endpoint.
    pub(super) sets: BTreeMap<String, Duration>,
}

/// Decide what a Service needs.
pub(super) fn plan(key: &ServiceKey, service: &Service) -> Plan {
    let mut plan = Plan::default();
    if let Some(address) = service.cluster_ip {
        plan.elements.insert((CLUSTER_IPS, address.octets().to_vec()), None);
    }
    for port in &service.ports {
        plan.add_port(key, service, port);
    }
    plan
}

impl Plan {
    fn add_port(&mut self, key: &ServiceKey, service: &Service, port: &ServicePort) {
        let id = format!("{}/{}/{}/{}", key.namespace, key.name, protocol_name(port.protocol), port.port);
        let all: BTreeSet<Endpoint> = port.endpoints.iter().copied().collect();
        let local: BTreeSet<Endpoint> = all.iter().copied().filter(|e| e.local).collect();
        let choose = |policy: TrafficPolicy| match policy {
            TrafficPolicy::Cluster => ("cluster", &all),
            TrafficPolicy::Local => ("local", &local),
        };
        if let Some(address) = service.cluster_ip {
            let (scope, endpoints) = choose(service.internal_policy);
            let verdict = self.chooser(scope, &id, service, endpoints).unwrap_or_else(|| nobody(service.internal_policy, &all));
            self.address_element(address, port, verdict);
        }
        if port.node_port.is_none() && service.external_ips.is_empty() {
            return;
        }
        let (scope, endpoints) = choose(service.external_policy);
        let inner = self.chooser(scope, &id, service, endpoints);
        let verdict = match (inner, service.external_policy) {
            (None, policy) => nobody(policy, &all),
            (Some(inner), TrafficPolicy::Local) => inner,
            (Some(inner), TrafficPolicy::Cluster) => {
                let chain = format!("external-{id}");
                self.chains.insert(chain.clone(), vec![mark(), vec![Expression::Verdict(inner)]]);
                Verdict::Goto(chain)
            }
        };
        for address in &service.external_ips {
            self.address_element(*address, port, verdict.clone());
        }
        if let Some(node_port) = port.node_port {
            let map = if unserved(&verdict) { NO_ENDPOINTS_NODE_PORTS } else { NODE_PORTS };
            self.elements.insert((map, node_port_key(port.protocol, node_port)), Some(verdict));
        }
    }

    fn address_element(&mut self, address: Ipv4Addr, port: &ServicePort, verdict: Verdict) {
        let map = if unserved(&verdict) { NO_ENDPOINTS } else { SERVICE_IPS };
        self.elements.insert((map, address_key(address, port.protocol, port.port)), Some(verdict));
    }

    /// The chain that chooses among endpoints; `None` when there are none.
    fn chooser(&mut self, scope: &str, id: &str, service: &Service, endpoints: &BTreeSet<Endpoint>) -> Option<Verdict> {
        let count = endpoints.len() as u32;
        if count == 0 {
            return None;
        }
        let chain = format!("{scope}-{id}");
        let mut stay = Vec::new();
        let mut pick = Vec::new();
        for (index, endpoint) in endpoints.iter().enumerate() {
            let place = format!("{id}/{}/{}", endpoint.address, endpoint.port);
            let target = Expression::Verdict(Verdict::Goto(format!("endpoint-{place}")));
            let remembered = service.affinity.map(|time| (format!("affinity-{place}"), time));
            if let Some((set, time)) = &remembered {
                self.sets.insert(set.clone(), *time);
                stay.push(vec![source(R1), Expression::Member { set: set.clone(), key: R1 }, target.clone()]);
            }
            // One in n, then one in n-1 of the rest, and so on: each endpoint is as likely as any other.
            let left = count - index as u32;
            pick.push(if left == 1 {
                vec![target]
            } else {
                let zero = 0u32.to_ne_bytes().to_vec();
                vec![Expression::Random { modulus: left, to: R1 }, Expression::Equal { register: R1, value: zero }, target]
            });
            let rules = translate(endpoint, remembered.map(|(set, _)| set));
            self.chains.insert(format!("endpoint-{place}"), rules);
        }
        stay.append(&mut pick);
        self.chains.insert(chain.clone(), stay);
        Some(Verdict::Goto(chain))
    }
}

fn unserved(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Goto(chain) if chain == REJECT_CHAIN || chain == DROP_CHAIN)
}

/// Refused when nobody serves; silence when somebody does, but not here. upstream: pkg/proxy/nftables/proxier.go (syncProxyRules)
fn nobody(policy: TrafficPolicy, all: &BTreeSet<Endpoint>) -> Verdict {
    match policy {
        TrafficPolicy::Local if !all.is_empty() => Verdict::Goto(DROP_CHAIN.to_owned()),
        TrafficPolicy::Local | TrafficPolicy::Cluster => Verdict::Goto(REJECT_CHAIN.to_owned()),
    }
}

fn translate(endpoint: &Endpoint, remember: Option<String>) -> Vec<Rule> {
    // A Pod that reaches itself through its Service must see another source, or it would answer itself directly.
    let mut hairpin = vec![source(R1), is_address(R1, endpoint.address)];
    hairpin.extend(mark());
    let mut rules = vec![hairpin];
    if let Some(set) = remember {
        rules.push(vec![source(R1), Expression::Remember { set, key: R1 }]);
    }
    rules.push(vec![
        Expression::Constant { to: R1, value: endpoint.address.octets().to_vec() },
        Expression::Constant { to: R2, value: endpoint.port.to_be_bytes().to_vec() },
        Expression::Dnat { address: R1, port: R2 },
    ]);
    rules
}

fn mark() -> Rule {
    let bit = MASQUERADE_MARK.to_ne_bytes();
    vec![
        Expression::LoadMark { to: R1 },
        Expression::Bitwise { register: R1, mask: (!MASQUERADE_MARK).to_ne_bytes(), xor: bit },
        Expression::StoreMark { from: R1 },
    ]
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// Parts of a key are padded to four bytes each, as they lie in the registers.
fn node_port_key(protocol: Protocol, port: u16) -> Vec<u8> {
    let port = port.to_be_bytes();
    vec![protocol.number(), 0, 0, 0, port[0], port[1], 0, 0]
}

fn address_key(address: Ipv4Addr, protocol: Protocol, port: u16) -> Vec<u8> {
    let mut key = address.octets().to_vec();
    key.extend(node_port_key(protocol, port));
    key
}

/// The maps and sets every table has: name, key length, kind.
pub(super) const BASE_SETS: [(&str, u32, SetKind); 6] = [
    (SERVICE_IPS, 12, SetKind::VerdictMap),
    (NODE_PORTS, 8, SetKind::VerdictMap),
    (NODE_IPS, 4, SetKind::Plain),
    (CLUSTER_IPS, 4, SetKind::Plain),
    (NO_ENDPOINTS, 12, SetKind::VerdictMap),
    (NO_ENDPOINTS_NODE_PORTS, 8, SetKind::VerdictMap),
];

/// The chains every table has, without their rules. Hook numbers: prerouting 0, input 1, forward 2, output 3, postrouting 4.
pub(super) const BASE_CHAINS: [(&str, Option<Hook>); 11] = [
    (SERVICES_CHAIN, None),
    (REJECT_CHAIN, None),
    (DROP_CHAIN, None),
    (CHECK_CHAIN, None),
    (CLUSTER_IPS_CHAIN, None),
    ("nat-prerouting", Some(Hook { kind: "nat", number: 0, priority: -100 })),
    ("nat-output", Some(Hook { kind: "nat", number: 3, priority: -100 })),
    ("nat-postrouting", Some(Hook { kind: "nat", number: 4, priority: 100 })),
    ("filter-input", Some(Hook { kind: "filter", number: 1, priority: 0 })),
    ("filter-forward", Some(Hook { kind: "filter", number: 2, priority: 0 })),
    ("filter-output", Some(Hook { kind: "filter", number: 3, priority: 0 })),
];

/// The rules of the chains every table has.
pub(super) fn base_rules(services: Cidr) -> Vec<(&'static str, Rule)> {
    let address_of = |map: &str| {
        let map = map.to_owned();
        vec![
            destination(KEY),
            Expression::Layer4Protocol { to: KEY + 1 },
            destination_port(KEY + 2),
            Expression::VerdictOf { map, key: KEY },
        ]
    };
    let node_port_of = |map: &str| {
        let map = map.to_owned();
        vec![
            destination(R1),
            Expression::Member { set: NODE_IPS.to_owned(), key: R1 },
            Expression::Layer4Protocol { to: KEY },
            destination_port(KEY + 1),
            Expression::VerdictOf { map, key: KEY },
        ]
    };
    let jump = |chain: &str| vec![Expression::Verdict(Verdict::Jump(chain.to_owned()))];
    let refuse = |protocol: Protocol| {
        vec![
            Expression::Layer4Protocol { to: R1 },
            Expression::Equal { register: R1, value: vec![protocol.number()] },
            destination(R1),
            Expression::Member { set: CLUSTER_IPS.to_owned(), key: R1 },
            Expression::Reject,
        ]
    };
    let bit = MASQUERADE_MARK.to_ne_bytes();
    vec![
        (SERVICES_CHAIN, address_of(SERVICE_IPS)),
        (SERVICES_CHAIN, node_port_of(NODE_PORTS)),
        (REJECT_CHAIN, vec![Expression::Reject]),
        (DROP_CHAIN, vec![Expression::Verdict(Verdict::Drop)]),
        (CHECK_CHAIN, address_of(NO_ENDPOINTS)),
        (CHECK_CHAIN, node_port_of(NO_ENDPOINTS_NODE_PORTS)),
        // A port the Service does not have is refused; everything else to a virtual address leads nowhere (ping, too).
        (CLUSTER_IPS_CHAIN, refuse(Protocol::Tcp)),
        (CLUSTER_IPS_CHAIN, refuse(Protocol::Udp)),
        (CLUSTER_IPS_CHAIN, vec![
            destination(R1),
            Expression::Bitwise { register: R1, mask: services.netmask().octets(), xor: [0; 4] },
            is_address(R1, services.network()),
            Expression::Verdict(Verdict::Drop),
        ]),
        ("nat-prerouting", jump(SERVICES_CHAIN)),
        ("nat-output", jump(SERVICES_CHAIN)),
        ("nat-postrouting", vec![
            Expression::LoadMark { to: R1 },
            Expression::Bitwise { register: R1, mask: bit, xor: [0; 4] },
            Expression::Equal { register: R1, value: vec![0; 4] },
            Expression::Verdict(Verdict::Return),
        ]),
        ("nat-postrouting", vec![
            Expression::LoadMark { to: R1 },
            Expression::Bitwise { register: R1, mask: [0xff; 4], xor: bit },
            Expression::StoreMark { from: R1 },
            Expression::Masquerade,
        ]),
        ("filter-input", jump(CHECK_CHAIN)),
        ("filter-forward", jump(CHECK_CHAIN)),
        ("filter-forward", jump(CLUSTER_IPS_CHAIN)),
        ("filter-output", jump(CHECK_CHAIN)),
        ("filter-output", jump(CLUSTER_IPS_CHAIN)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(endpoints: &[(u8, bool)], external: TrafficPolicy) -> Service {
        let endpoints = endpoints.iter().map(|(last, local)| Endpoint { address: Ipv4Addr::new(10, 244, 1, *last), port: 80, local: *local });
        Service {
            cluster_ip: Some(Ipv4Addr::new(10, 96, 0, 7)),
            ports: vec![ServicePort { protocol: Protocol::Tcp, port: 8080, node_port: Some(30080), endpoints: endpoints.collect() }],
            external_policy: external,
            ..Service::default()
        }
    }

    #[test]
    fn a_service_has_the_chains_it_needs_and_no_others() {
        let ep = |n: u8| format!("endpoint-ns/web/tcp/8080/10.244.1.{n}/80");
        let names = |list: &[&str], endpoints: &[u8]| -> Vec<String> {
            let mut all: Vec<String> = list.iter().map(|s| (*s).to_owned()).chain(endpoints.iter().map(|n| ep(*n))).collect();
            all.sort();
            all
        };
        let cases: [(&str, Service, Vec<String>, &str, &str); 4] = [
            ("none", service(&[], TrafficPolicy::Cluster), vec![], "reject-chain", "reject-chain"),
            (
                "cluster",
                service(&[(2, true), (3, false)], TrafficPolicy::Cluster),
                names(&["cluster-ns/web/tcp/8080", "external-ns/web/tcp/8080"], &[2, 3]),
                "cluster-ns/web/tcp/8080",
                "external-ns/web/tcp/8080",
            ),
            (
                "local",
                service(&[(2, true), (3, false)], TrafficPolicy::Local),
                names(&["cluster-ns/web/tcp/8080", "local-ns/web/tcp/8080"], &[2, 3]),
                "cluster-ns/web/tcp/8080",
                "local-ns/web/tcp/8080",
            ),
            (
                "local elsewhere",
                service(&[(3, false)], TrafficPolicy::Local),
                names(&["cluster-ns/web/tcp/8080"], &[3]),
                "cluster-ns/web/tcp/8080",
                "drop-chain",
            ),
        ];
        for (name, service, chains, internal, external) in cases {
            let plan = plan(&ServiceKey::new("ns", "web"), &service);
            assert_eq!(plan.chains.keys().cloned().collect::<Vec<_>>(), chains, "{name}");
            let goto = |maps: [&str; 2]| {
                plan.elements.iter().find(|((map, _), _)| maps.contains(map)).and_then(|(_, verdict)| verdict.clone())
            };
            assert_eq!(goto([SERVICE_IPS, NO_ENDPOINTS]), Some(Verdict::Goto(internal.to_owned())), "{name}");
            assert_eq!(goto([NODE_PORTS, NO_ENDPOINTS_NODE_PORTS]), Some(Verdict::Goto(external.to_owned())), "{name}");
        }
    }

    #[test]
    fn every_endpoint_is_as_likely_as_any_other() {
        let plan = plan(&ServiceKey::new("ns", "web"), &service(&[(2, true), (3, true), (4, true)], TrafficPolicy::Cluster));
        let moduli: Vec<u32> = plan.chains["cluster-ns/web/tcp/8080"]
            .iter()
            .flatten()
            .filter_map(|e| if let Expression::Random { modulus, .. } = e { Some(*modulus) } else { None })
            .collect();
        assert_eq!(moduli, [3, 2]);
    }
}
