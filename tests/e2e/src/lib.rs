//! drydock-test-e2e: see `../shared/design/architecture.md`, section 3.
