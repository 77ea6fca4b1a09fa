//! drydock-scheduler: see `../shared/design/architecture.md`, section 3.
