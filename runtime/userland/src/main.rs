//! The multi-call binary inside bundled images.

fn main() {
    if std::env::args().nth(1).as_deref() == Some("--links") {
        println!("/bin/sh");
    }
}
