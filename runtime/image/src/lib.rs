//! drydock-image: see `../shared/design/architecture.md`, section 3.
