//! Our kubectl as a program of its own, which is what the suite plays with.

use std::process::ExitCode;

fn main() -> ExitCode {
    drydock_kubectl::main(std::env::args().skip(1).collect())
}
