//! Services: virtual addresses that the kernel of every node translates to an endpoint's address.
//!
//! 1. [`Services::open`] makes one nftables table in the node's namespace: hooks, maps from virtual address and port to a
//!    chain, and the chain that masquerades.
//! 2. [`Services::apply`] puts one Service in, or changes it: one transaction of the chains and map elements that differ.
//! 3. [`Services::remove`] takes it out.
//!
//! The rules follow upstream's nftables proxy. upstream: pkg/proxy/nftables/proxier.go

mod table;

pub use table::{Endpoint, Protocol, Service, ServiceKey, ServicePort, TrafficPolicy};
