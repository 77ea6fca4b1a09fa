//! `drydock serve`: the book in the browser and a cluster behind it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use drydock_checks::clients::Clients;
use drydock_checks::elsewhere::Place;
use drydock_checks::grader::Grader;
use drydock_cluster::spawn::{Running, SUBJECT_SOCKET};
use drydock_web::WebConfig;
use drydock_web::workbench::{Step, Workbench};
use tokio_util::sync::CancellationToken;

use super::cluster;
use crate::cli::Serve;
use crate::out::{self, outln};
use crate::page::course::{Content, Lessons};
use crate::page::verdicts::Judge;
use crate::page::workbench::LabWorkbench;
use crate::state::{RunningNow, State};
use crate::subject::Subject;

/// Serve until Ctrl-C.
pub(crate) fn run(state: &State, args: &Serve) -> anyhow::Result<ExitCode> {
    let asked_at = cluster::now_ms();
    let subject = args.kubeconfig.as_deref().map(Subject::read).transpose()?;
    let state = &match &subject {
        Some(subject) => state.elsewhere(&subject.directory())?,
        None => state.clone(),
    };
    let _lock = match state.lock()? {
        Ok(lock) => lock,
        Err(running) => return already(state, &running, args),
    };
    // Before anything is started for it.
    let place = subject.as_ref().map_or(Ok(Place::Ours), |subject| cluster::wait_for(subject.place()))?;
    let content = Content::load(args.content.as_deref())?.at(place);
    let listener = listen(args.listen)?;
    let nodes = if subject.is_some() { 0 } else { args.nodes.unwrap_or_else(|| content.nodes()) };
    let mut settings = cluster::settings(nodes);
    settings.asked_at_ms = asked_at;
    settings.disk = args.disk.unwrap_or(settings.disk);
    settings.home_files = content.home_files();
    settings.internet = content.internet();
    settings.balancers = content.balancers();
    settings.subject = subject.as_ref().map(|subject| subject.inside.clone());
    let (running, millis) = cluster::start(state, args.api_port, cluster::Tools::asked(args.host_tools), settings)?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}/");
    state.announce(&RunningNow { pid: std::process::id() as i32, url: Some(url.clone()), api_port: running.api_port, nodes })?;
    let lab = Lab { running, subject, millis };
    cluster::wait_for(serve(state, content, listener, lab, &url, args.no_open))
}

/// The listener of the page; taken ports are told with the way out.
fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    if !address.ip().is_loopback() {
        bail!("the page is served on the loopback interface only, not on {}; use --listen 127.0.0.1:{}", address.ip(), address.port());
    }
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot serve on {address}; is it in use? Choose another port with --listen 127.0.0.1:PORT, or 0 for any free one"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Where the `lab` command of this cluster's workstation finds the page; the workstation sees the directory as `/run/drydock`.
pub(crate) fn lab_socket(state: &State) -> PathBuf {
    state.directory.join("cluster/workstation/page/page.sock")
}

/// Listen where only terminals of the workstation, and this user, come to. The directory belongs to the cluster, which is not trusted: no
/// link of its making is followed.
fn listen_below(socket: &Path) -> std::io::Result<tokio::net::UnixListener> {
    use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat2, unlinkat};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else { return Err(std::io::ErrorKind::InvalidInput.into()) };
    let cluster = directory.parent().and_then(Path::parent).unwrap_or(directory);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let outside = openat2(CWD, cluster, flags, Mode::empty(), ResolveFlags::empty())?;
    let below = directory.strip_prefix(cluster).unwrap_or(directory);
    let directory = openat2(&outside, below, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH)?;
    match unlinkat(&directory, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    // By the open directory: the path may be longer than an address of a socket.
    let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    let listener = tokio::net::UnixListener::bind(&path)?;
    // The learner is another user in there; nobody else can come here.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

fn already(state: &State, running: &RunningNow, args: &Serve) -> anyhow::Result<ExitCode> {
    match &running.url {
        Some(url) => {
            let link = way_in(state, url)?;
            outln!("{link} is served already (process {})", running.pid);
            open_browser(&link, args.no_open);
            Ok(ExitCode::SUCCESS)
        }
        None => bail!("a cluster without lessons runs on {} (process {}); end it with `drydock cluster down`", state.directory.display(), running.pid),
    }
}

/// The address with the right to act in its fragment, for one browser.
fn way_in(state: &State, url: &str) -> anyhow::Result<String> {
    let directory = progress(state);
    drydock_web::access::link(url, &directory).with_context(|| format!("cannot write a link below {}", directory.display()))
}

fn progress(state: &State) -> PathBuf {
    state.directory.join("progress")
}

/// What runs beside the page.
struct Lab {
    running: Running,
    /// The cluster that is learned on, when it is not ours.
    subject: Option<Subject>,
    /// How long the start took.
    millis: i64,
}

async fn serve(state: &State, content: Content, listener: TcpListener, lab: Lab, url: &str, quiet: bool) -> anyhow::Result<ExitCode> {
    let Lab { running, subject, millis } = lab;
    let own = page_client(&running.directory).await?;
    let clients = match &subject {
        Some(subject) => {
            let clients = Clients::foreign(subject.client().await?, own);
            tokio::spawn(subject.clone().carry(listen_below(&state.directory.join("cluster").join(SUBJECT_SOCKET))?));
            clients
        }
        None => own.into(),
    };
    let steps = vec![Step { label: "Start the cluster".to_owned(), done: true, millis: u64::try_from(millis).ok() }];
    let workbench = LabWorkbench::start(clients.clone(), steps, subject.map(|subject| subject.name), &progress(state).join("terminals"));
    let terminals = workbench.terminals();
    let grader = Grader::start(clients, content.plans(), &state.directory.join("grading"))?;
    workbench.judged_by(grader.clone());
    let asks = content.asks();
    let config = WebConfig {
        course: Arc::new(Lessons::new(&content)),
        workbench,
        verdicts: Arc::new(Judge::new(grader, asks)),
        progress_dir: progress(state),
    };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let shutdown = CancellationToken::new();
    let lab = match listen_below(&lab_socket(state)) {
        Ok(lab) => Some(lab),
        Err(error) => {
            eprintln!("drydock: the terminals have no `lab` command: {error}");
            None
        }
    };
    let page = tokio::spawn(drydock_web::serve(listener, lab, config, shutdown.clone().cancelled_owned()));
    let link = way_in(state, url)?;
    out::announce(format_args!("{link} ready in {millis} ms"));
    open_browser(&link, quiet);
    let ended = tokio::select! {
        ended = cluster::until_told(running, terminals.keep()) => ended,
        served = page => match served? {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
        },
    };
    shutdown.cancel();
    ended
}

/// A client with the page's own credentials, whose requests are never evidence.
pub(crate) async fn page_client(directory: &Path) -> anyhow::Result<kube::Client> {
    let path = directory.join("kubeconfigs/ui");
    let config = kube::config::Kubeconfig::read_from(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let config = kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}

/// Open the page where there is somebody to see it.
fn open_browser(url: &str, quiet: bool) {
    let display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let root = nix::unistd::geteuid().is_root();
    let Some(program) = drydock_cluster::spawn::find_program("xdg-open").filter(|_| display && !quiet && !root) else { return };
    let opened = Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = opened {
        tracing::debug!(%error, "no browser");
    }
}
