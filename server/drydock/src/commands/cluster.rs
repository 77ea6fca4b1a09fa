//! `drydock cluster up|down|status|kubeconfig|shell|reset|snapshot|restore`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use drydock_cluster::spawn::{self, Running, Settings, SpawnConfig};
use drydock_image::Library;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::shell;
use crate::cli::{Cluster, Output, Up};
use crate::exec::{LAB, sentence};
use crate::out::{self, outln};
use crate::state::{RunningNow, State};

/// Run a `cluster` command.
pub(crate) fn run(state: &State, command: Cluster) -> anyhow::Result<ExitCode> {
    match command {
        Cluster::Up(args) if args.detach => detach(state, &args),
        Cluster::Up(args) => up(state, &args),
        Cluster::Down => down(state),
        Cluster::Delete => {
            down(state)?;
            let Ok(lock) = state.lock()? else { bail!("another drydock was started on {}", state.directory.display()) };
            state.delete(lock)?;
            outln!("nothing is kept in {} any more", state.directory.display());
            Ok(ExitCode::SUCCESS)
        }
        Cluster::Status { output } => wait_for(status(state, output)),
        Cluster::Kubeconfig => {
            state.running()?;
            out::write(format_args!("{}", fs::read_to_string(state.kubeconfig())?));
            Ok(ExitCode::SUCCESS)
        }
        Cluster::Shell { node, command } => wait_for(shell::run(state, &node, &command)),
        Cluster::Reset => wait_for(reset(state)),
        Cluster::Snapshot { name, label, replace } => wait_for(snapshot(state, name, label, replace)),
        Cluster::Restore { name: Some(name), .. } => wait_for(restore(state, &name)),
        Cluster::Restore { name: None, output } => wait_for(snapshots(state, output)),
    }
}

/// Run a future on a runtime of its own.
pub(crate) fn wait_for<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}

/// What a cluster is started with when no course says otherwise.
pub(crate) fn settings(nodes: u32) -> Settings {
    Settings { nodes, api_port: 0, asked_at_ms: now_ms(), home_files: Vec::new(), internet: Vec::new(), balancers: spawn::Balancers::default(), disk: spawn::usual_disk(), subject: None }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Whose kubectl the terminals have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tools {
    /// The one that is built in.
    BuiltIn,
    /// That of this computer, if there is one that runs in the cluster.
    Host,
}

impl Tools {
    /// As `--host-tools` says.
    pub(crate) fn asked(host_tools: bool) -> Tools {
        if host_tools { Tools::Host } else { Tools::BuiltIn }
    }

    /// The program of this computer that is meant; that there is none which runs in the cluster is said, and is no failure.
    fn kubectl(self) -> Option<PathBuf> {
        match self {
            Tools::BuiltIn => None,
            Tools::Host => spawn::kubectl::find().map_err(|missing| eprintln!("drydock: {missing}; the terminals use the kubectl that is built in")).ok(),
        }
    }
}

/// Start a cluster and wait until it is ready; its kubeconfig is copied to where the learner's programs find it.
pub(crate) fn start(state: &State, api_port: Option<u16>, tools: Tools, settings: Settings) -> anyhow::Result<(Running, i64)> {
    if let Err(error) = Library::new(&state.library()).remove_unfinished() {
        tracing::warn!(%error, "what a pull that was killed left stays");
    }
    let config = SpawnConfig { state: state.directory.clone(), api_port, kubectl: tools.kubectl(), settings };
    let running = spawn::start(config)?;
    let (millis, degraded) = running.ready()?;
    for sentence in degraded {
        eprintln!("drydock: {sentence}");
    }
    let kubeconfig = fs::read_to_string(running.directory.join("kubeconfigs/learner")).context("cannot read the cluster's kubeconfig")?;
    write_private(&state.kubeconfig(), &kubeconfig)?;
    Ok((running, millis))
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    drydock_cluster::pki::write_private(path, text).map_err(Into::into)
}

fn up(state: &State, args: &Up) -> anyhow::Result<ExitCode> {
    let _lock = match state.lock()? {
        Ok(lock) => lock,
        Err(running) => return already(state, &running, args),
    };
    let settings = Settings { disk: args.disk.unwrap_or_else(spawn::usual_disk), ..settings(args.nodes) };
    let (running, millis) = start(state, args.api_port, Tools::asked(args.host_tools), settings)?;
    state.announce(&RunningNow { pid: std::process::id() as i32, url: None, api_port: running.api_port, nodes: args.nodes })?;
    copy_kubeconfig(state, args)?;
    out::announce(format_args!("{} ready in {millis} ms: export KUBECONFIG={}", nodes(args.nodes), state.kubeconfig().display()));
    wait_for(until_told(running, std::future::ready(())))
}

fn nodes(count: u32) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

fn already(state: &State, running: &RunningNow, args: &Up) -> anyhow::Result<ExitCode> {
    copy_kubeconfig(state, args)?;
    outln!("a cluster of {} runs already (process {}): export KUBECONFIG={}", nodes(running.nodes), running.pid, state.kubeconfig().display());
    Ok(ExitCode::SUCCESS)
}

fn copy_kubeconfig(state: &State, args: &Up) -> anyhow::Result<()> {
    match &args.write_kubeconfig {
        Some(path) => write_private(path, &fs::read_to_string(state.kubeconfig())?),
        None => Ok(()),
    }
}

/// Wait for Ctrl-C, SIGTERM or the cluster's own end.
pub(crate) async fn until_told(running: Running, last: impl Future<Output = ()>) -> anyhow::Result<ExitCode> {
    let running = Arc::new(running);
    let watched = Arc::clone(&running);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let ended = tokio::task::spawn_blocking(move || watched.ended());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
        ended = ended => {
            ended??;
            bail!("the cluster ended by itself; its log is {}", running.log().display());
        }
    }
    last.await;
    running.end();
    Ok(ExitCode::SUCCESS)
}

fn detach(state: &State, args: &Up) -> anyhow::Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    let log = fs::File::options().create(true).append(true).open(state.directory.join("drydock.log"))?;
    let before = usize::try_from(log.metadata()?.len())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["cluster", "up", "--nodes", &args.nodes.to_string(), "--state"]).arg(&state.directory);
    if let Some(port) = args.api_port {
        command.args(["--api-port", &port.to_string()]);
    }
    if args.host_tools {
        command.arg("--host-tools");
    }
    if let Some(disk) = args.disk {
        command.args(["--disk", &disk.to_string()]);
    }
    if let Some(path) = &args.write_kubeconfig {
        command.arg("--write-kubeconfig").arg(std::path::absolute(path)?);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0).spawn()?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("no standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    if line.is_empty() {
        let log = fs::read_to_string(state.directory.join("drydock.log")).unwrap_or_default();
        let full = rustix::fs::statvfs(&state.directory).is_ok_and(|disk| disk.f_bavail == 0);
        let said = log.get(before..).unwrap_or_default().lines().last().map(|line| line.trim_start_matches("drydock: ").to_owned());
        bail!("{}", said.unwrap_or_else(|| format!("the cluster did not start{}", if full { drydock_cluster::FULL_DISK } else { "" })));
    }
    out::write(format_args!("{line}"));
    Ok(ExitCode::SUCCESS)
}

fn down(state: &State) -> anyhow::Result<ExitCode> {
    let running = match state.lock()? {
        Ok(_) => {
            outln!("no cluster runs on {}", state.directory.display());
            return Ok(ExitCode::SUCCESS);
        }
        Err(running) => running,
    };
    kill(Pid::from_raw(running.pid), Signal::SIGTERM).with_context(|| format!("cannot end process {}", running.pid))?;
    fs::File::options().write(true).open(state.directory.join("lock"))?.lock()?;
    outln!("ended");
    Ok(ExitCode::SUCCESS)
}

/// A client with the learner's credentials.
pub(crate) async fn client(state: &State) -> anyhow::Result<kube::Client> {
    let config = kube::config::Kubeconfig::read_from(state.kubeconfig())?;
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

async fn status(state: &State, output: Output) -> anyhow::Result<ExitCode> {
    let running = state.running()?;
    let client = client(state).await?;
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.map_err(sentence).context("the cluster does not answer")?;
    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await.map_err(sentence)?;
    let ready = |node: &Node| {
        let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
        conditions.is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    if output == Output::Json {
        let nodes: Vec<_> = nodes.iter().map(|n| serde_json::json!({"name": n.metadata.name, "ready": ready(n)})).collect();
        let status = serde_json::json!({"pid": running.pid, "url": running.url, "apiPort": running.api_port, "nodes": nodes, "pods": pods.items.len()});
        outln!("{status:#}");
        return Ok(ExitCode::SUCCESS);
    }
    outln!("API     https://127.0.0.1:{}", running.api_port);
    if let Some(url) = running.url {
        outln!("page    {url}");
    }
    for node in &nodes {
        outln!("node    {} {}", node.metadata.name.as_deref().unwrap_or("?"), if ready(node) { "Ready" } else { "NotReady" });
    }
    outln!("pods    {}", pods.items.len());
    outln!("config  {}", state.kubeconfig().display());
    outln!("log     {}", crate::state::cluster_log(&state.directory).display());
    Ok(ExitCode::SUCCESS)
}

/// Ask the lab API of the running cluster.
async fn lab(state: &State, method: http::Method, path: &str, body: Option<serde_json::Value>) -> anyhow::Result<serde_json::Value> {
    state.running()?;
    let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let request = http::Request::builder().method(method).uri(format!("{LAB}/{path}")).body(body)?;
    Ok(client(state).await?.request(request).await.map_err(sentence)?)
}

/// Say what a restoration did.
fn told(restoration: &serde_json::Value) {
    let status = &restoration["status"];
    outln!("{} ({} ms)", status["summary"].as_str().unwrap_or_default(), status["millis"]);
    noted(status);
}

/// Say what a restoration could not do.
fn noted(status: &serde_json::Value) {
    for note in status["notes"].as_array().into_iter().flatten().filter_map(|note| note.as_str()) {
        outln!("{note}");
    }
}

async fn reset(state: &State) -> anyhow::Result<ExitCode> {
    let done = lab(state, http::Method::POST, "reset", None).await.context("the cluster could not be reset")?;
    outln!("reset in {} ms", done["status"]["millis"]);
    noted(&done["status"]);
    Ok(ExitCode::SUCCESS)
}

async fn snapshot(state: &State, name: Option<String>, label: String, replace: bool) -> anyhow::Result<ExitCode> {
    let spec = serde_json::json!({"spec": {"name": name, "label": label, "replace": replace}});
    let made = lab(state, http::Method::POST, "snapshots", Some(spec)).await?;
    let name = made["metadata"]["name"].as_str().unwrap_or_default();
    outln!("{name}: `drydock cluster restore {name}` comes back to it");
    Ok(ExitCode::SUCCESS)
}

async fn restore(state: &State, name: &str) -> anyhow::Result<ExitCode> {
    told(&lab(state, http::Method::POST, &format!("snapshots/{name}/restore"), None).await?);
    Ok(ExitCode::SUCCESS)
}

async fn snapshots(state: &State, output: Output) -> anyhow::Result<ExitCode> {
    let list = lab(state, http::Method::GET, "snapshots", None).await?;
    if output == Output::Json {
        outln!("{:#}", list["items"]);
        return Ok(ExitCode::SUCCESS);
    }
    for snapshot in list["items"].as_array().into_iter().flatten() {
        let text = |pointer: &str| snapshot.pointer(pointer).and_then(|value| value.as_str()).unwrap_or_default();
        outln!("{:<24} {:<30} {}", text("/metadata/name"), text("/metadata/creationTimestamp"), text("/spec/label"));
    }
    Ok(ExitCode::SUCCESS)
}
