//! drydock-terminal: see `../shared/design/architecture.md`, section 3.
