//! kubectl alone, for trials.

fn main() -> std::process::ExitCode {
    drydock_kubectl::main(std::env::args().skip(1).collect())
}
