//! Our kubectl as a program of its own, which is what the suite plays with.

use std::process::ExitCode;

fn main() -> ExitCode {
    drydock_kubectl::main(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect())
}
