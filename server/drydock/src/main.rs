//! `drydock`: picks the process role, reads the command line, wires the parts together. No logic of its own.
//!
//! The same executable is every process of the product. Inside the cluster it is started again as `drydock role:NAME`, and as `docker`,
//! `kubectl` and `lab` in the workstation, so both are decided before anything else happens, while the process still has one thread.

mod cli;
mod commands;
mod exec;
mod out;
mod page;
mod processes;
mod state;
mod subject;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // What is no text is shown as such; it ends nothing.
    let mut args = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let called = args.next().unwrap_or_default();
    let name = called.rsplit('/').next().unwrap_or(&called);
    match name {
        "kubectl" => return drydock_kubectl::main(args.collect()),
        "docker" => return drydock_engine::cli::main(args.collect()),
        "lab" => return commands::lab(args.collect(), drydock_web::lab::client::SOCKET.as_ref()),
        _ => {}
    }
    let word = args.next().unwrap_or_default();
    match word.strip_prefix("role:") {
        Some(role) => run_role(role),
        // Its flags are its own.
        None if word == "kubectl" => drydock_kubectl::main(args.collect()),
        None => run_command(),
    }
}

/// A process inside the cluster.
fn run_role(role: &str) -> ExitCode {
    log_to_stderr("warn,drydock=info");
    match role {
        "cluster-init" => drydock_cluster::spawn::init::run(),
        "control-plane" => drydock_cluster::control_plane::main(),
        "node-init" => drydock_node::init::main(),
        "kubelet" => drydock_node::kubelet::main(),
        "remove" => drydock_cluster::spawn::remove::run(&std::env::args_os().nth(2).map(std::path::PathBuf::from).unwrap_or_default()),
        "bench-container" => commands::bench_container(&std::env::args().skip(2).collect::<Vec<_>>()),
        other => {
            eprintln!("drydock: there is no process role {other:?}; roles are started by drydock itself");
            ExitCode::from(2)
        }
    }
}

/// A command typed by a person.
fn run_command() -> ExitCode {
    let cli = cli::Cli::parse();
    // What its users are told of a server that does not answer, kube's client needs not say as well.
    log_to_stderr(if cli.verbose { "info,drydock=debug" } else { "warn,kube_client=off" });
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("drydock: {error:#}{}", remedy(&error));
            ExitCode::FAILURE
        }
    }
}

/// What to do about a full disk, whichever step met it. (What the cluster says itself has it already.)
fn remedy(error: &anyhow::Error) -> &'static str {
    let full = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
    };
    if error.chain().any(full) { drydock_cluster::FULL_DISK } else { "" }
}

fn log_to_stderr(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DRYDOCK_LOG").unwrap_or_else(|_| default.into());
    // A log on a full disk must not end the program: by default the subscriber says on standard error that it cannot be written, or panics.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).log_internal_errors(false).init();
}
