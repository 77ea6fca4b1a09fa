//! drydock-cluster: see `../shared/design/architecture.md`, section 3.
