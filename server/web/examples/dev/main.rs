//! The whole page without a cluster, to look at and to test: an invented course, a local shell, a pretended kubectl.
//!
//! `cargo run -p drydock-web --example dev -- [--port 4748] [--state DIR] [--boot MILLIS]`

mod course;
mod pretend;
mod shell;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use drydock_web::WebConfig;

struct Options {
    port: u16,
    state: PathBuf,
    boot: Duration,
}

fn options() -> Result<Options, String> {
    let mut options = Options { port: 4748, state: std::env::temp_dir().join("drydock-dev"), boot: Duration::from_millis(1500) };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--port" => options.port = u16::try_from(number()?).map_err(|error| error.to_string())?,
            "--state" => options.state = PathBuf::from(value),
            "--boot" => options.boot = Duration::from_millis(number()?),
            _ => return Err(format!("{name}: use --port, --state, --boot")),
        }
    }
    Ok(options)
}

/// As `lab`: the command itself, for the page whose state is `DRYDOCK_DEV`.
fn lab() -> Option<std::process::ExitCode> {
    let mut args = std::env::args();
    if args.next()?.rsplit('/').next() != Some("lab") {
        return None;
    }
    let socket = PathBuf::from(std::env::var_os("DRYDOCK_DEV")?).join("page.sock");
    Some(drydock_web::lab::client::main(args.collect(), &socket, None))
}

fn main() -> std::process::ExitCode {
    if let Some(code) = lab() {
        return code;
    }
    match page() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn page() -> Result<(), Box<dyn std::error::Error>> {
    let options = options()?;
    std::fs::create_dir_all(&options.state)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(options));
    runtime.shutdown_background();
    served
}

async fn serve(options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let shell = Arc::new(shell::LocalShell::new(&options.state)?);
    let pretend = Arc::new(pretend::Pretend::start(shell.clone(), options.boot)?);
    let config = WebConfig {
        course: Arc::new(course::Invented::default()),
        workbench: pretend.clone(),
        verdicts: pretend,
        progress_dir: options.state.join("progress"),
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
    println!("{}", drydock_web::access::link(&format!("http://{}/", listener.local_addr()?), &options.state.join("progress"))?);
    let interrupted = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("{error}");
        }
    };
    let socket = options.state.join("page.sock");
    if socket.exists() {
        std::fs::remove_file(&socket)?;
    }
    drydock_web::serve(listener, Some(tokio::net::UnixListener::bind(socket)?), config, interrupted).await?;
    Ok(())
}
