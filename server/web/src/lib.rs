//! drydock-web: see `../shared/design/architecture.md`, section 3.
