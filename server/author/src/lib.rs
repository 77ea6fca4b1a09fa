//! drydock-author: see `../shared/design/architecture.md`, section 3.
