//! One query in, one response out.
//!
//! Which names exist is the Kubernetes DNS specification 1.1.0; what a response looks like (TTL, SOA, what is NXDOMAIN
//! and what is an empty answer) is CoreDNS with its usual configuration. upstream: coredns plugin/kubernetes

use std::net::Ipv4Addr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::records::{EndpointRecord, PortRecord, Records, ServiceRecord};

/// Seconds an answer may be kept. upstream: kubeadm's Corefile
const TTL: u32 = 30;
/// Version of the specification followed, answered for `dns-version`.
const SPECIFICATION: &str = "1.1.0";
/// How far a chain of other names is followed.
const MAX_ALIASES: usize = 8;

/// What the server is responsible for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The cluster's domain, `cluster.local`.
    pub domain: String,
    /// The address clients ask at, answered for `ns.dns`.
    pub address: Ipv4Addr,
}

/// What a name stands for.
enum Found {
    /// Addresses.
    Addresses(Vec<Ipv4Addr>),
    /// Another name.
    Alias(String),
    /// A place of a service: priority, weight and port are ours, the rest is target and addresses.
    Places(Vec<(u16, String, Vec<Ipv4Addr>)>, Vec<Ipv4Addr>),
    /// The name of an address.
    Pointer(Vec<String>),
    /// Text.
    Text(&'static str),
    /// The zone's own name.
    Apex,
    /// It exists and has no records of its own.
    Empty,
    /// There is no such name.
    Nothing,
}

/// Answer a query.
pub fn answer(query: &Message, records: &Records, authority: &Authority) -> Message {
    let mut response = Message::new(query.metadata.id, MessageType::Response, query.metadata.op_code);
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    if let Some(asked) = &query.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(asked.max_payload().clamp(512, 4096));
        response.edns = Some(edns);
    }
    response.queries.clone_from(&query.queries);
    if query.metadata.message_type != MessageType::Query || query.metadata.op_code != OpCode::Query {
        response.metadata.response_code = ResponseCode::NotImp;
        return response;
    }
    let [question] = query.queries.as_slice() else {
        response.metadata.response_code = ResponseCode::FormErr;
        return response;
    };
    if !matches!(question.query_class(), DNSClass::IN | DNSClass::ANY) {
        response.metadata.response_code = ResponseCode::Refused;
        return response;
    }
    let rotation = usize::from(query.metadata.id);
    Responder { records, authority, rotation }.fill(question, &mut response);
    response
}

struct Responder<'a> {
    records: &'a Records,
    authority: &'a Authority,
    rotation: usize,
}

impl Responder<'_> {
    fn fill(&self, question: &Query, response: &mut Message) {
        let kind = question.query_type();
        let mut owner = question.name().clone();
        for _ in 0..MAX_ALIASES {
            let text = plain(&owner);
            let in_zone = self.below_domain(&text).is_some();
            response.metadata.authoritative |= in_zone;
            let found = self.find(&text);
            let Found::Alias(target) = &found else {
                return self.finish(&owner, kind, &found, in_zone, response);
            };
            let Ok(target) = Name::from_ascii(format!("{}.", target.trim_end_matches('.'))) else {
                response.metadata.response_code = ResponseCode::ServFail;
                return;
            };
            response.add_answer(Record::from_rdata(owner, TTL, RData::CNAME(CNAME(target.clone()))));
            if kind == RecordType::CNAME {
                return;
            }
            owner = target;
        }
        response.metadata.response_code = ResponseCode::ServFail;
    }

    fn finish(&self, owner: &Name, kind: RecordType, found: &Found, in_zone: bool, response: &mut Message) {
        let before = response.answers.len();
        let add = |response: &mut Message, data: RData| {
            response.add_answer(Record::from_rdata(owner.clone(), TTL, data));
        };
        let wants = |one: RecordType| kind == one || kind == RecordType::ANY;
        match found {
            Found::Addresses(addresses) | Found::Places(_, addresses) if wants(RecordType::A) => {
                for address in self.rotated(addresses) {
                    add(response, RData::A(A(address)));
                }
            }
            Found::Places(places, _) if kind == RecordType::SRV => self.services(owner, places, response),
            Found::Pointer(names) if wants(RecordType::PTR) => {
                for name in names.iter().filter_map(|n| Name::from_ascii(n).ok()) {
                    add(response, RData::PTR(PTR(name)));
                }
            }
            Found::Text(text) if wants(RecordType::TXT) => add(response, RData::TXT(TXT::new(vec![(*text).to_owned()]))),
            Found::Apex if wants(RecordType::SOA) => {
                if let Some(soa) = self.soa() {
                    response.add_answer(soa);
                }
            }
            Found::Apex if kind == RecordType::NS => {
                if let Ok(name) = self.name(&["ns", "dns"]) {
                    add(response, RData::NS(NS(name.clone())));
                    response.add_additional(Record::from_rdata(name, TTL, RData::A(A(self.authority.address))));
                }
            }
            Found::Nothing => response.metadata.response_code = ResponseCode::NXDomain,
            Found::Addresses(_)
            | Found::Places(..)
            | Found::Pointer(_)
            | Found::Text(_)
            | Found::Apex
            | Found::Empty
            | Found::Alias(_) => {}
        }
        if response.answers.len() == before && in_zone {
            response.authorities.extend(self.soa());
        }
    }

    fn services(&self, owner: &Name, places: &[(u16, String, Vec<Ipv4Addr>)], response: &mut Message) {
        let weight = 100 / places.len().clamp(1, 100) as u16;
        let mut named: Vec<&String> = Vec::new();
        for (port, target, addresses) in places {
            let Ok(name) = Name::from_ascii(target) else { continue };
            response.add_answer(Record::from_rdata(owner.clone(), TTL, RData::SRV(SRV::new(0, weight, *port, name.clone()))));
            if named.contains(&target) {
                continue;
            }
            named.push(target);
            for address in addresses {
                response.add_additional(Record::from_rdata(name.clone(), TTL, RData::A(A(*address))));
            }
        }
    }

    /// A different order for every query, so that clients that take the first share the endpoints.
    fn rotated(&self, addresses: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
        let mut rotated = addresses.to_vec();
        if !rotated.is_empty() {
            let by = self.rotation % rotated.len();
            rotated.rotate_left(by);
        }
        rotated
    }

    fn soa(&self) -> Option<Record> {
        let origin = self.name(&[]).ok()?;
        let soa = SOA::new(self.name(&["ns", "dns"]).ok()?, self.name(&["hostmaster"]).ok()?, self.records.serial, 7200, 1800, 86400, TTL);
        Some(Record::from_rdata(origin, TTL, RData::SOA(soa)))
    }

    fn name(&self, labels: &[&str]) -> Result<Name, hickory_proto::ProtoError> {
        Name::from_ascii(self.full(labels))
    }

    fn full(&self, labels: &[&str]) -> String {
        let mut name = labels.join(".");
        if !name.is_empty() {
            name.push('.');
        }
        format!("{name}{}.", self.authority.domain)
    }

    /// What stands before the cluster's domain; `Some("")` for the domain itself.
    fn below_domain<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_suffix(self.authority.domain.as_str())?;
        if rest.is_empty() { Some("") } else { rest.strip_suffix('.') }
    }

    fn find(&self, name: &str) -> Found {
        if let Some(rest) = self.below_domain(name) {
            let labels: Vec<&str> = rest.rsplit('.').filter(|label| !label.is_empty()).collect();
            return self.find_in_zone(&labels);
        }
        if let Some(reversed) = name.strip_suffix(".in-addr.arpa") {
            return self.find_pointer(reversed);
        }
        if let Some(target) = self.records.aliases.get(name) {
            return Found::Alias(target.clone());
        }
        match self.records.hosts.get(name) {
            Some(addresses) => Found::Addresses(addresses.clone()),
            None => Found::Nothing,
        }
    }

    /// `labels` are those before the domain, last first: `svc`, namespace, service, ...
    fn find_in_zone(&self, labels: &[&str]) -> Found {
        match labels {
            [] => Found::Apex,
            ["dns-version"] => Found::Text(SPECIFICATION),
            ["svc" | "pod" | "dns"] => Found::Empty,
            ["dns", "ns"] => Found::Addresses(vec![self.authority.address]),
            ["svc" | "pod", namespace, ..] if !self.records.namespaces.contains(*namespace) => Found::Nothing,
            ["svc" | "pod", _] => Found::Empty,
            ["pod", _, dashed] => match dashed.replace('-', ".").parse() {
                Ok(address) => Found::Addresses(vec![address]),
                Err(_) => Found::Nothing,
            },
            ["svc", namespace, service, rest @ ..] => {
                let key = ((*namespace).to_owned(), (*service).to_owned());
                match self.records.services.get(&key) {
                    Some(record) => self.find_in_service(namespace, service, record, rest),
                    None => Found::Nothing,
                }
            }
            _ => Found::Nothing,
        }
    }

    fn find_in_service(&self, namespace: &str, service: &str, record: &ServiceRecord, rest: &[&str]) -> Found {
        let own = self.full(&[service, namespace, "svc"]);
        let of_endpoint = |e: &EndpointRecord| format!("{}.{own}", endpoint_label(e));
        match (record, rest) {
            (ServiceRecord::ExternalName { target }, []) => Found::Alias(target.clone()),
            (ServiceRecord::ClusterIp { address, ports }, []) => {
                let places = ports.iter().map(|p| (p.port, own.clone(), vec![*address])).collect();
                Found::Places(places, vec![*address])
            }
            (ServiceRecord::Headless { endpoints }, []) if !endpoints.is_empty() => {
                let places = endpoints.iter().flat_map(|e| e.ports.iter().map(move |p| (p.port, of_endpoint(e), vec![e.address])));
                Found::Places(places.collect(), unique(endpoints.iter().map(|e| e.address)))
            }
            (ServiceRecord::ClusterIp { address, ports }, [protocol, port]) => {
                let matching = ports.iter().filter(|p| is_port(p, protocol, port));
                places_or_nothing(matching.map(|p| (p.port, own.clone(), vec![*address])).collect())
            }
            (ServiceRecord::Headless { endpoints }, [protocol, port]) if port.starts_with('_') => {
                let matching = endpoints.iter().flat_map(|e| e.ports.iter().filter(|p| is_port(p, protocol, port)).map(move |p| (e, p)));
                places_or_nothing(matching.map(|(e, p)| (p.port, of_endpoint(e), vec![e.address])).collect())
            }
            (ServiceRecord::Headless { endpoints }, [endpoint]) => {
                let matching: Vec<&EndpointRecord> = endpoints.iter().filter(|e| endpoint_label(e) == *endpoint).collect();
                if matching.is_empty() {
                    return Found::Nothing;
                }
                let places = matching.iter().flat_map(|e| e.ports.iter().map(|p| (p.port, of_endpoint(e), vec![e.address])));
                Found::Places(places.collect(), unique(matching.iter().map(|e| e.address)))
            }
            (ServiceRecord::ExternalName { .. } | ServiceRecord::ClusterIp { .. } | ServiceRecord::Headless { .. }, _) => Found::Nothing,
        }
    }

    fn find_pointer(&self, reversed: &str) -> Found {
        let forward: Vec<&str> = reversed.rsplit('.').collect();
        let Ok(address) = forward.join(".").parse::<Ipv4Addr>() else { return Found::Nothing };
        let mut names = Vec::new();
        for ((namespace, service), record) in &self.records.services {
            match record {
                ServiceRecord::ClusterIp { address: own, .. } if *own == address => names.push(self.full(&[service, namespace, "svc"])),
                ServiceRecord::Headless { endpoints } => {
                    let matching = endpoints.iter().filter(|e| e.address == address);
                    names.extend(matching.map(|e| self.full(&[&endpoint_label(e), service, namespace, "svc"])));
                }
                ServiceRecord::ClusterIp { .. } | ServiceRecord::ExternalName { .. } => {}
            }
        }
        if names.is_empty() { Found::Nothing } else { Found::Pointer(names) }
    }
}

fn places_or_nothing(places: Vec<(u16, String, Vec<Ipv4Addr>)>) -> Found {
    if places.is_empty() {
        return Found::Nothing;
    }
    let addresses = unique(places.iter().flat_map(|(_, _, addresses)| addresses.iter().copied()));
    Found::Places(places, addresses)
}

fn unique(addresses: impl Iterator<Item = Ipv4Addr>) -> Vec<Ipv4Addr> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    seen
}

/// `_name._protocol`.
fn is_port(port: &PortRecord, protocol: &str, name: &str) -> bool {
    !port.name.is_empty()
        && name.strip_prefix('_').is_some_and(|n| n.eq_ignore_ascii_case(&port.name))
        && protocol.strip_prefix('_').is_some_and(|p| p.eq_ignore_ascii_case(&port.protocol))
}

/// The label of an endpoint: its host name, or its address with dashes. upstream: coredns endpointHostname
fn endpoint_label(endpoint: &EndpointRecord) -> String {
    endpoint.hostname.clone().unwrap_or_else(|| endpoint.address.to_string().replace('.', "-"))
}

/// A name in lower case without the dot at the end.
fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}
