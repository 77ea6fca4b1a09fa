//! drydock-cel: see `../shared/design/architecture.md`, section 3.
