//! The LAN: a bridge in a namespace of its own, and a cable from it to every machine.
//!
//! 1. [`Fabric::create`] makes the namespace and the bridge.
//! 2. [`Fabric::attach`] gives a machine `eth0` with its LAN address and the loopback.
//! 3. [`set_pod_routes`] tells a machine on the LAN by which nodes the Pods are reached (not the workstation: learners
//!    reach Pods by port-forward, as from a laptop).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::cidr::Cidr;
use crate::error::NetworkError;
use crate::netns::Netns;
use crate::rtnl::{Route, Rtnl};

/// The LAN all machines are on.
pub const LAN: Cidr = Cidr::new(Ipv4Addr::new(172, 30, 0, 0), 16);
/// The control plane's address on the LAN.
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);
/// The workstation's address on the LAN.
pub const WORKSTATION: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 10);
/// All Pods of the cluster.
pub const PODS: Cidr = Cidr::new(Ipv4Addr::new(10, 244, 0, 0), 16);
/// All Services of the cluster.
pub const SERVICES: Cidr = Cidr::new(Ipv4Addr::new(10, 96, 0, 0), 12);
/// The cluster IP of Service `default/kubernetes`.
pub const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The cluster IP of Service `kube-system/kube-dns`.
pub const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// What every machine calls its cable to the LAN.
pub const LAN_LINK: &str = "eth0";

const BRIDGE: &str = "lan0";

/// The LAN address of node `number` (from 1).
pub fn node_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(172, 30, 1, 0).to_bits() + number)
}

/// The Pod range of node `number` (from 1).
pub fn pod_range(number: u32) -> Cidr {
    Cidr::new(Ipv4Addr::from_bits(PODS.network().to_bits() + (number << 8)), 24)
}

/// The LAN.
#[derive(Debug)]
pub struct Fabric {
    netns: Netns,
    bridge: u32,
}

impl Fabric {
    /// Make the LAN in a new namespace.
    ///
    /// # Errors
    /// When the kernel refuses a namespace or a bridge.
    pub fn create() -> Result<Fabric, NetworkError> {
        Fabric::in_netns(Netns::create()?)
    }

    /// Make the LAN in the namespace given.
    ///
    /// # Errors
    /// When the kernel refuses a bridge.
    pub fn in_netns(netns: Netns) -> Result<Fabric, NetworkError> {
        let mut links = Rtnl::open(&netns)?;
        links.set_up("lo")?;
        let bridge = links.ensure_bridge(BRIDGE)?;
        Ok(Fabric { netns, bridge })
    }

    /// The namespace the bridge is in.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Plug a machine in: `eth0` with `address/16`, and its loopback on. Machines get no default route: there is
    /// nothing beyond the LAN, and they hear so at once.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn attach(&self, name: &str, machine: &Netns, address: Ipv4Addr) -> Result<(), NetworkError> {
        let mut fabric = Rtnl::open(&self.netns)?;
        let port = fabric.ensure_veth(&port_name(name), machine, LAN_LINK)?;
        fabric.set_master(port, self.bridge)?;
        let mut links = Rtnl::open(machine)?;
        links.set_up("lo")?;
        let lan = links.set_up(LAN_LINK)?;
        if !machine.allow_ping() {
            tracing::debug!(name, "only root can ping on this machine");
        }
        links.add_address(lan, address, LAN.prefix())
    }

    /// Give an attached machine one more address, of the LAN or beyond it.
    ///
    /// # Errors
    /// When the machine is not attached.
    pub fn add_address(&self, machine: &Netns, address: Ipv4Addr) -> Result<(), NetworkError> {
        let mut links = Rtnl::open(machine)?;
        let lan = links.set_up(LAN_LINK)?;
        // An address of somewhere else brings no route to its neighbors.
        links.add_address(lan, address, if LAN.contains(address) { LAN.prefix() } else { 32 })
    }

    /// Take an address of an attached machine away. Nothing when it has not got it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn remove_address(&self, machine: &Netns, address: Ipv4Addr) -> Result<(), NetworkError> {
        let mut links = Rtnl::open(machine)?;
        let lan = links.set_up(LAN_LINK)?;
        links.remove_address(lan, address, if LAN.contains(address) { LAN.prefix() } else { 32 })
    }

    /// Pull a machine's cable, without taking it away: packets are lost, as in a network failure.
    ///
    /// # Errors
    /// When the machine is not attached.
    pub fn unplug(&self, name: &str) -> Result<(), NetworkError> {
        Rtnl::open(&self.netns)?.set_down(&port_name(name))
    }

    /// Plug the cable in again.
    ///
    /// # Errors
    /// When the machine is not attached.
    pub fn plug(&self, name: &str) -> Result<(), NetworkError> {
        Rtnl::open(&self.netns)?.set_up(&port_name(name)).map(drop)
    }

    /// Take a machine's cable away. Nothing when it has none.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn detach(&self, name: &str) -> Result<(), NetworkError> {
        Rtnl::open(&self.netns)?.delete_link(&port_name(name))
    }
}

/// Make the routes of a machine on the LAN to Pods of (other) nodes be exactly these: Pod range to node address.
///
/// # Errors
/// What the kernel refused.
pub fn set_pod_routes(machine: &Netns, nodes: &BTreeMap<Cidr, Ipv4Addr>) -> Result<(), NetworkError> {
    let mut links = Rtnl::open(machine)?;
    let lan = links.set_up(LAN_LINK)?;
    for route in links.routes()? {
        let to_pods = route.link == lan && route.via.is_some() && PODS.contains(route.to.network());
        let stale = to_pods && nodes.get(&route.to) != route.via.as_ref();
        if stale {
            links.delete_route(route)?;
        }
    }
    for (&to, &via) in nodes {
        links.set_route(Route { to, link: lan, via: Some(via), source: None })?;
    }
    Ok(())
}

/// Route addresses beyond the LAN to the machine that plays the Internet.
///
/// # Errors
/// What the kernel refused.
pub fn set_internet_routes(machine: &Netns, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let mut links = Rtnl::open(machine)?;
    let lan = links.set_up(LAN_LINK)?;
    for address in addresses {
        links.set_route(Route { to: Cidr::new(*address, 32), link: lan, via: Some(CONTROL_PLANE), source: None })?;
    }
    Ok(())
}

/// Link names have at most 15 bytes; long machine names get a name made of their hash.
fn port_name(machine: &str) -> String {
    link_name("p-", machine)
}

/// `prefix` and `id`, or `prefix` and a hash of `id` when that is too long.
pub(crate) fn link_name(prefix: &str, id: &str) -> String {
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if plain && prefix.len() + id.len() <= 15 {
        return format!("{prefix}{id}");
    }
    // FNV-1a: the name must be the same after a restart, so no randomized hasher.
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let hex = format!("{hash:016x}");
    format!("{prefix}{}", &hex[..(15 - prefix.len()).min(11)])
}
