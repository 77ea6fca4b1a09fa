//! drydock-container: see `../shared/design/architecture.md`, section 3.
