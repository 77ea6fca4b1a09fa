//! drydock-test-course: see `../shared/design/architecture.md`, section 3.
