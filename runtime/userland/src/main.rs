//! The multi-call binary inside bundled images.

fn main() {}
