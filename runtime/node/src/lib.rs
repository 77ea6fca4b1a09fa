//! drydock-node: see `../shared/design/architecture.md`, section 3.

pub mod init;
pub mod kubelet;
