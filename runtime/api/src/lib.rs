//! drydock-api: see `../shared/design/architecture.md`, section 3.
