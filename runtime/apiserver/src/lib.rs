//! drydock-apiserver: see `../shared/design/architecture.md`, section 3.
