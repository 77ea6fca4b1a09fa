//! drydock-checks: see `../shared/design/architecture.md`, section 3.
