//! drydock-controllers: see `../shared/design/architecture.md`, section 3.
