//! What the cluster's DNS knows at one moment.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Where the server finds its records. `snapshot` is called for every query, so it should be cheap.
pub trait Zone: Send + Sync + 'static {
    /// The records of this moment.
    fn snapshot(&self) -> Arc<Records>;
}

impl<F: Fn() -> Arc<Records> + Send + Sync + 'static> Zone for F {
    fn snapshot(&self) -> Arc<Records> {
        self()
    }
}

/// Everything the server answers from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// Serial number of the zone; grows with every change.
    pub serial: u32,
    /// Namespaces that exist; a name in another one does not exist.
    pub namespaces: std::collections::BTreeSet<String>,
    /// Services by namespace and name.
    pub services: BTreeMap<(String, String), ServiceRecord>,
    /// Names outside of the cluster that the lab answers for, lower case, without the dot at the end.
    pub hosts: BTreeMap<String, Vec<Ipv4Addr>>,
    /// Names outside of the cluster that stand for another name, spelled likewise.
    pub aliases: BTreeMap<String, String>,
}

/// One Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceRecord {
    /// One virtual address.
    ClusterIp {
        /// The address.
        address: Ipv4Addr,
        /// Its ports, for SRV records.
        ports: Vec<PortRecord>,
    },
    /// No virtual address: the name stands for the endpoints.
    Headless {
        /// The endpoints (ready ones, or all when they are published not ready too).
        endpoints: Vec<EndpointRecord>,
    },
    /// Another name.
    ExternalName {
        /// The name.
        target: String,
    },
}

/// A named port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRecord {
    /// Its name; ports without one have no SRV record of their own.
    pub name: String,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// The number.
    pub port: u16,
}

/// One endpoint of a headless Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Its host name below the Service's name, when its Pod has one (StatefulSets).
    pub hostname: Option<String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its ports.
    pub ports: Vec<PortRecord>,
}
