//! drydock-node: see `../shared/design/architecture.md`, section 3.
