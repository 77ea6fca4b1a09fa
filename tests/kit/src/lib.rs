//! drydock-kit: see `../shared/design/architecture.md`, section 3.
