//! A node's side of the network: its Pods, routed one by one.
//!
//! 1. [`NodeNetwork::open`] lets the node forward and sends Service addresses into the machine, where they are translated.
//! 2. [`NodeNetwork::attach_pod`] runs a cable to a Pod: `eth0` there with the Pod IP as /32 and a default route, a /32 route here.
//! 3. [`NodeNetwork::set_peers`] routes the Pod ranges of the other nodes to their LAN addresses.
//!
//! Pods are routed and never bridged: a reply from a Pod of the same node then passes the node's connection tracking,
//! which Service translation needs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::cidr::Cidr;
use crate::error::NetworkError;
use crate::fabric::{LAN_LINK, SERVICES, link_name, set_pod_routes};
use crate::netns::Netns;
use crate::rtnl::{Route, Rtnl};

/// What a Pod calls its cable.
pub const POD_LINK: &str = "eth0";

/// The Pods' network on one node.
#[derive(Debug, Clone)]
pub struct NodeNetwork {
    netns: Netns,
    pods: Cidr,
    gateway: Ipv4Addr,
}

/// A Pod to wire.
#[derive(Debug, Clone)]
pub struct PodAttachment<'a> {
    /// The sandbox's id; names the cable.
    pub id: &'a str,
    /// The sandbox's namespace.
    pub netns: &'a Netns,
    /// The Pod's address.
    pub address: Ipv4Addr,
}

impl NodeNetwork {
    /// Prepare a node that is on the LAN already; `pods` is its Pod range, whose first address is the Pods' gateway.
    ///
    /// # Errors
    /// When the range is too small or the kernel refuses a step.
    pub fn open(netns: Netns, pods: Cidr) -> Result<NodeNetwork, NetworkError> {
        let gateway = pods.nth(1).ok_or(NetworkError::Exhausted { cidr: pods })?;
        netns.set_sysctl("net/ipv4/ip_forward", "1")?;
        let mut links = Rtnl::open(&netns)?;
        links.set_up("lo")?;
        let lan = links.set_up(LAN_LINK)?;
        // A process of the node needs some route before its packet is translated; the link is never really used.
        links.set_route(Route { to: SERVICES, link: lan, via: None, source: None })?;
        Ok(NodeNetwork { netns, pods, gateway })
    }

    /// The node's namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The node's Pod range.
    pub fn pods(&self) -> Cidr {
        self.pods
    }

    /// The address Pods send everything to.
    pub fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    /// Wire a Pod. Doing it again repairs what is missing.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn attach_pod(&self, pod: &PodAttachment<'_>) -> Result<(), NetworkError> {
        let name = host_link(pod.id);
        let mut node = Rtnl::open(&self.netns)?;
        let cable = node.ensure_veth(&name, pod.netns, POD_LINK)?;
        node.set_up(&name)?;
        node.add_address(cable, self.gateway, 32)?;
        let mut inside = Rtnl::open(pod.netns)?;
        inside.set_up("lo")?;
        let eth0 = inside.set_up(POD_LINK)?;
        inside.add_address(eth0, pod.address, 32)?;
        inside.set_route(Route { to: Cidr::new(self.gateway, 32), link: eth0, via: None, source: Some(pod.address) })?;
        let everywhere = Cidr::new(Ipv4Addr::UNSPECIFIED, 0);
        inside.set_route(Route { to: everywhere, link: eth0, via: Some(self.gateway), source: Some(pod.address) })?;
        // Last, so that nobody reaches a half-wired Pod.
        node.set_route(Route { to: Cidr::new(pod.address, 32), link: cable, via: None, source: None })
    }

    /// Take a Pod's cable away; its route goes with it. Nothing when it has none.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn detach_pod(&self, id: &str) -> Result<(), NetworkError> {
        Rtnl::open(&self.netns)?.delete_link(&host_link(id))
    }

    /// Make the routes to other nodes' Pods be exactly these: Pod range to LAN address. The node's own range is left out.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn set_peers(&self, peers: &BTreeMap<Cidr, Ipv4Addr>) -> Result<(), NetworkError> {
        let others = peers.iter().filter(|(range, _)| **range != self.pods).map(|(range, via)| (*range, *via)).collect();
        set_pod_routes(&self.netns, &others)
    }

    /// The address of a Pod as its namespace has it, for a kubelet that was restarted.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn pod_address(&self, pod: &Netns) -> Result<Option<Ipv4Addr>, NetworkError> {
        let mut inside = Rtnl::open(pod)?;
        let Some(link) = inside.link(POD_LINK)? else { return Ok(None) };
        Ok(inside.addresses(link.index)?.into_iter().find(|address| self.pods.contains(*address)))
    }
}

/// The node's end of the cable of a sandbox.
pub fn host_link(id: &str) -> String {
    link_name("veth", id)
}
