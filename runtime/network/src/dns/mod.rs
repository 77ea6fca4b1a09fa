//! The cluster's DNS server: authoritative for `cluster.local`, and for a few invented names of the lab's Internet.
//!
//! 1. A [`Zone`] gives a snapshot of [`Records`]; nothing is cached here.
//! 2. [`answer`] turns one query into one response: pure.
//! 3. [`Server`] moves datagrams and TCP messages, and counts what it answered.
//!
//! Names and responses are those of the Kubernetes DNS specification, as CoreDNS gives them.

mod answer;
mod metrics;
mod records;
mod server;

pub use answer::{Authority, answer};
pub use records::{EndpointRecord, PortRecord, Records, ServiceRecord, Zone};
pub use server::Server;
