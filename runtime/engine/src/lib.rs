//! drydock-engine: see `../shared/design/architecture.md`, section 3.
