//! drydock-network: see `../shared/design/architecture.md`, section 3.
