//! The Services a node translates, as plain addresses.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Which Service: namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ServiceKey {
    /// `namespace/name`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> ServiceKey {
        ServiceKey { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One Service with its endpoints. Headless and ExternalName Services are none of the kernel's business: leave them out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// The virtual address; `None` for node ports alone (host ports of a Pod).
    pub cluster_ip: Option<Ipv4Addr>,
    /// External and load-balancer addresses.
    pub external_ips: Vec<Ipv4Addr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// How long a client stays with its endpoint (`sessionAffinity: ClientIP`).
    pub affinity: Option<Duration>,
    /// Which endpoints serve clients of the cluster IP.
    pub internal_policy: TrafficPolicy,
    /// Which endpoints serve clients of node ports and external addresses.
    pub external_policy: TrafficPolicy,
}

/// Which endpoints may serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// Any; external clients are masked by the node's address.
    #[default]
    Cluster,
    /// Only those on this node; the client's address is kept.
    Local,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port of the virtual address.
    pub port: u16,
    /// The port of every node.
    pub node_port: Option<u16>,
    /// Who serves it: the ready ones.
    pub endpoints: Vec<Endpoint>,
}

/// Who serves a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Pod IP.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Whether it runs on this node.
    pub local: bool,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The number in IP headers.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}
