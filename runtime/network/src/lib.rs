//! The cluster's network: a LAN of machines, routed Pods, Services as kernel NAT, and the cluster's DNS.
//!
//! 1. [`netns`] names network namespaces by descriptor; a socket made in one stays there, so tokio programs may use it.
//! 2. [`rtnl`] makes links, addresses and routes; [`fabric`] wires machines to a LAN bridge; [`node`] wires Pods to a node.
//! 3. [`services`] turns a table of Services into nftables rules, one Service at a time, by netlink.
//! 4. [`dns`] answers for `cluster.local` and a few invented names from a snapshot of records.
//!
//! # Invariants
//! * No external program and no C library: the kernel is spoken to in netlink messages written here.
//! * Nothing is ever done to the network namespace the process started in unless the caller passes it.
//! * Every operation may be repeated: asking twice for a link, an address, a route or a Service leaves one of it.
//! * This crate knows addresses and names, never Kubernetes objects.

pub mod cidr;
pub mod dns;
pub mod error;
pub mod fabric;
pub mod ipam;
pub mod netlink;
pub mod netns;
pub mod node;
pub mod rtnl;
pub mod services;

pub use cidr::Cidr;
pub use error::NetworkError;
pub use netns::Netns;
