//! One module per command; each gets its arguments and the state directory and returns an exit code.

mod author;
mod bench;
mod cluster;
mod doctor;
mod image;
mod serve;
mod shell;

use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Cli, Command, Serve};
use crate::state::State;

pub(crate) use bench::runtimes::role as bench_container;

/// Run what was asked for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let command = cli.command.unwrap_or_else(|| Command::Serve(Serve::default()));
    match command {
        Command::Serve(args) => serve::run(&State::find(cli.state)?, &args),
        Command::Cluster(args) => cluster::run(&State::find(cli.state)?, args),
        Command::Kubectl { args } => Ok(drydock_kubectl::main(args)),
        Command::Doctor { output } => doctor::run(&State::find(cli.state)?, output),
        Command::Bench(args) => bench::run(&State::find(cli.state)?, &args),
        Command::Image(args) => image::run(&State::find(cli.state)?, args),
        Command::Author(args) => author::run(&State::find(cli.state)?, args),
        Command::Lab { args } => Ok(lab(args, &serve::lab_socket(&State::find(cli.state)?))),
        Command::Docker { args } => Ok(docker(&State::find(cli.state)?, args)),
    }
}

/// `lab`, in the workstation or on the host, speaks to the page that is served.
pub(crate) fn lab(args: Vec<String>, socket: &Path) -> ExitCode {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    drydock_web::lab::client::main(args, socket, columns)
}

/// `drydock docker` on the host speaks to the first node's engine, whose socket is in the state directory.
fn docker(state: &State, args: Vec<String>) -> ExitCode {
    let socket = state.directory.join("cluster/shared/node-1/docker.sock");
    drydock_engine::cli::main_with_default_host(args, &format!("unix://{}", socket.display()))
}
