//! The `docker` command.

use std::process::ExitCode;

/// Run the command; `args` are those after the program name.
pub fn main(args: Vec<String>) -> ExitCode {
    main_with_default_host(args, "unix:///var/run/docker.sock")
}

/// The same, with another engine when neither `-H` nor `DOCKER_HOST` names one.
pub fn main_with_default_host(args: Vec<String>, host: &str) -> ExitCode {
    eprintln!("{args:?} {host}");
    ExitCode::FAILURE
}
