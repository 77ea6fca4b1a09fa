//! drydock-store: see `../shared/design/architecture.md`, section 3.
