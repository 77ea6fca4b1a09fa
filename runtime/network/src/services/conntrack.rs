//! Connections the kernel remembers: UDP has no end, so a client that goes on sending would be led to an endpoint that is gone for as
//! long as it sends. What no Service leads to any more is forgotten.
//!
//! TCP needs none of this: a connection to a dead endpoint breaks, and the next one is led anew.

// upstream: pkg/proxy/conntrack/cleanup.go

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;

use super::table::{Protocol, Service};
use crate::netlink::{Message, Socket, attribute};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PORT_SOURCE: u16 = 2;
const PORT_DESTINATION: u16 = 3;
/// nfgenmsg: IPv4, version 0, no resource.
const GENERIC: [u8; 4] = [libc::AF_INET as u8, 0, 0, 0];

type Place = (Ipv4Addr, u16);

/// One direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tuple {
    source: Place,
    destination: Place,
    protocol: u8,
}

/// Where UDP packets to a virtual place may be led, by place.
pub(super) type Leads = BTreeMap<Place, BTreeSet<Place>>;

/// What a Service says about its UDP ports; `node_ips` serve its node ports.
pub(super) fn leads(service: &Service, node_ips: &[Ipv4Addr]) -> Leads {
    let mut leads = Leads::new();
    for port in service.ports.iter().filter(|port| port.protocol == Protocol::Udp) {
        let endpoints: BTreeSet<Place> = port.endpoints.iter().map(|endpoint| (endpoint.address, endpoint.port)).collect();
        let virtual_ips = service.cluster_ip.iter().chain(&service.external_ips).map(|ip| (*ip, port.port));
        let node_ports = node_ips.iter().filter_map(|ip| Some((*ip, port.node_port?)));
        leads.extend(virtual_ips.chain(node_ports).map(|place| (place, endpoints.clone())));
    }
    leads
}

/// Forget connections to these places that are led anywhere else. Returns how many there were.
pub(super) fn forget(socket: &mut Socket, leads: &Leads) -> io::Result<usize> {
    if leads.is_empty() {
        return Ok(0);
    }
    let known = socket.dump(Message::new(GET, 0).put(&GENERIC))?;
    let stale: Vec<Tuple> = known.iter().filter_map(|body| stale(body, leads)).collect();
    for tuple in &stale {
        match socket.request(delete(tuple)) {
            // It ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(stale.len())
}

fn stale(body: &[u8], leads: &Leads) -> Option<Tuple> {
    let attributes = body.get(GENERIC.len()..)?;
    let original = tuple(attribute(attributes, TUPLE_ORIGINAL)?)?;
    let reply = tuple(attribute(attributes, TUPLE_REPLY)?)?;
    let allowed = leads.get(&original.destination)?;
    let udp = original.protocol == Protocol::Udp.number();
    (udp && !allowed.contains(&reply.source)).then_some(original)
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (ip, protocol) = (attribute(bytes, TUPLE_IP)?, attribute(bytes, TUPLE_PROTOCOL)?);
    let address = |kind: u16| Some(Ipv4Addr::from(<[u8; 4]>::try_from(attribute(ip, kind)?).ok()?));
    let port = |kind: u16| Some(u16::from_be_bytes(attribute(protocol, kind)?.try_into().ok()?));
    Some(Tuple {
        source: (address(IP_SOURCE)?, port(PORT_SOURCE)?),
        destination: (address(IP_DESTINATION)?, port(PORT_DESTINATION)?),
        protocol: *attribute(protocol, PROTOCOL_NUMBER)?.first()?,
    })
}

fn delete(tuple: &Tuple) -> Message {
    Message::new(DELETE, 0).put(&GENERIC).nest(TUPLE_ORIGINAL, |message| {
        message
            .nest(TUPLE_IP, |ip| ip.attr(IP_SOURCE, &tuple.source.0.octets()).attr(IP_DESTINATION, &tuple.destination.0.octets()))
            .nest(TUPLE_PROTOCOL, |protocol| {
                protocol
                    .attr(PROTOCOL_NUMBER, &[tuple.protocol])
                    .attr(PORT_SOURCE, &tuple.source.1.to_be_bytes())
                    .attr(PORT_DESTINATION, &tuple.destination.1.to_be_bytes())
            })
    })
}
