//! Entry point: pick the role, then run it.

fn main() {}
