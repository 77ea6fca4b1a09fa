//! What the tests of the API need: a server on a loopback port with a store of its own, a kubelet that only the test believes in, a
//! recorder in place of the evidence log, and the stock `kubectl`.
//!
//! # Invariants
//! * Each [`Cluster`] is alone: its own directory, port, authority and home directory for kubectl.
//! * Nothing sleeps: whoever waits, waits for an event, and [`patiently`] ends a test that waits for something that never comes.

pub mod answer;
pub mod cluster;
pub mod kubectl;
pub mod kubelet;
pub mod pki;
pub mod recorder;

pub use answer::{Answer, Lines};
pub use cluster::Cluster;
pub use kubectl::Ran;

/// How long a test waits for something that must happen.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Waits for `future`; an error that names `what` when it takes longer than [`PATIENCE`].
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(PATIENCE, future).await.map_err(|_elapsed| anyhow::anyhow!("waited too long for {what}"))
}
