//! drydock-primitives: see `../shared/design/architecture.md`, section 3.
