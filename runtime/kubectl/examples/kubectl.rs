//! kubectl alone, for trials.

fn main() -> std::process::ExitCode {
    drydock_kubectl::main(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect())
}
