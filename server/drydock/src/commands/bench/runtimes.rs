//! Container start and exec beside crun and runc: in one run, behind one fence, with one root file system.
//!
//! The measuring process is PID 1 of namespaces of its own (`role:bench-container`), single-threaded as node-init is.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use drydock_cluster::spawn::find_program;
use drydock_container::cgroup::Cgroups;
use drydock_container::{ContainerSpec, IdMap, ProcessSpec, RootFs, Sandbox, SandboxConfig, Surroundings, Target};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Figure, say};

/// What one runtime needed, in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Times {
    runtime: String,
    starts: Vec<u64>,
    execs: Vec<u64>,
}

/// Measure our runtime and the peers that are installed.
pub(super) fn compare(directory: &Path, runs: usize) -> anyhow::Result<Vec<Figure>> {
    if find_program("unshare").is_none() {
        say("containers are not measured: unshare (util-linux) is missing");
        return Ok(Vec::new());
    }
    say("containers, ours and the peers that are installed");
    let images = drydock_image::Store::open(&directory.join("images"))?;
    let image = images.pull("busybox")?;
    let layer = image.layers.first().context("the image busybox has no layer")?;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(std::env::current_exe()?).args(["role:bench-container", &runs.to_string()]).arg(layer).arg(directory.join("containers"));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the measurement of containers ended with {}", output.status);
    }
    let all: Vec<Times> = serde_json::from_slice(&output.stdout).context("the measurement of containers")?;
    let mut figures = Vec::new();
    for (kind, budget) in [("start", "0.6 of crun"), ("exec", "a tenth of runc")] {
        for times in &all {
            let taken = if kind == "start" { &times.starts } else { &times.execs };
            let what = if kind == "start" { "container create, start and exit" } else { "exec in a container" };
            let own = times.runtime == "drydock";
            let durations = taken.iter().map(|nanos| Duration::from_nanos(*nanos)).collect();
            figures.push(Figure::of_times(format!("{what}: {}", times.runtime), durations, if own { budget } else { "" }));
        }
    }
    Ok(figures)
}

/// `role:bench-container RUNS LAYER DIRECTORY`: print the times as JSON.
pub(crate) fn role(arguments: &[String]) -> ExitCode {
    let [runs, layer, directory] = arguments else {
        eprintln!("drydock: role:bench-container RUNS LAYER DIRECTORY");
        return ExitCode::from(2);
    };
    match measure(runs.parse().unwrap_or(10), Path::new(layer), Path::new(directory)) {
        Ok(times) => {
            println!("{times}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("drydock: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(runs: usize, layer: &Path, directory: &Path) -> anyhow::Result<String> {
    let mut all = vec![ours(runs, layer, &directory.join("drydock"))?];
    // crun comes last: it refuses to start where it sees both versions of control groups, and runc where it sees none.
    for peer in ["runc", "crun"] {
        if peer == "crun" {
            hide_control_groups();
        }
        if let Some(program) = find_program(peer) {
            match theirs(&program, peer, runs, layer, &directory.join(peer)) {
                Ok(times) => all.push(times),
                Err(error) => say(&format!("{peer} is not measured: {error:#}")),
            }
        }
    }
    Ok(serde_json::to_string(&all)?)
}

/// In this mount namespace only. Nobody limits anything here.
fn hide_control_groups() {
    let hidden = Command::new("mount").args(["-t", "tmpfs", "none", "/sys/fs/cgroup"]).stdin(Stdio::null()).status();
    if !hidden.is_ok_and(|status| status.success()) {
        say("/sys/fs/cgroup could not be hidden; crun may refuse to run");
    }
}

fn nanos(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn ours(runs: usize, layer: &Path, directory: &Path) -> anyhow::Result<Times> {
    let (cgroups, ids) = (Cgroups::none(), IdMap::current());
    let spec = |name: &str, args: &[&str]| ContainerSpec {
        id: name.to_owned(),
        root: RootFs { layers: vec![layer.to_owned()], writable: directory.join(name), readonly: false },
        process: ProcessSpec { args: args.iter().map(|word| (*word).to_owned()).collect(), env: vec!["PATH=/bin".to_owned()], ..ProcessSpec::default() },
        ..ContainerSpec::default()
    };
    let mut starts = Vec::new();
    for run in 0..runs {
        let name = format!("run-{run}");
        fs::create_dir_all(directory.join(&name))?;
        let started = Instant::now();
        let sandbox = Sandbox::create(&SandboxConfig::default(), None)?;
        let around = Surroundings { sandbox: Some(&sandbox), cgroups: &cgroups, ids: &ids, neighbor: None };
        let process = drydock_container::start(&spec(&name, &["true"]), around)?;
        let ended = drydock_container::wait(&process)?;
        starts.push(nanos(started));
        sandbox.remove()?;
        if ended.code != 0 {
            bail!("`true` ended with {}", ended.code);
        }
    }
    fs::create_dir_all(directory.join("long"))?;
    let sandbox = Sandbox::create(&SandboxConfig::default(), None)?;
    let around = Surroundings { sandbox: Some(&sandbox), cgroups: &cgroups, ids: &ids, neighbor: None };
    let long = drydock_container::start(&spec("long", &["sleep", "1000"]), around)?;
    let target = Target { pidfd: long.pidfd.as_fd(), cgroup: None, cgroups: &cgroups, ids: &ids };
    let mut execs = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        let process = drydock_container::exec(target, &spec("exec", &["true"]).process)?;
        drydock_container::wait(&process)?;
        execs.push(nanos(started));
    }
    drydock_container::signal(long.pidfd.as_fd(), libc::SIGKILL)?;
    drydock_container::wait(&long)?;
    Ok(Times { runtime: "drydock".into(), starts, execs })
}

/// A runtime of others, through its command, as container engines call it.
fn theirs(program: &Path, name: &str, runs: usize, layer: &Path, directory: &Path) -> anyhow::Result<Times> {
    let (bundle, root) = (directory.join("bundle"), directory.join("root"));
    let rootfs = bundle.join("rootfs");
    fs::create_dir_all(&root)?;
    fs::create_dir_all(&bundle)?;
    copy(layer, &rootfs)?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.arg("--root").arg(&root);
        if name == "crun" {
            command.arg("--cgroup-manager=disabled");
        }
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        if output.status.success() { Ok(()) } else { bail!("{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()) }
    };
    let shown = bundle.to_string_lossy().into_owned();
    write_config(&bundle, &["true"])?;
    let mut starts = Vec::new();
    for number in 0..runs {
        let started = Instant::now();
        run(&["run", "--bundle", &shown, &format!("run-{number}")])?;
        starts.push(nanos(started));
    }
    write_config(&bundle, &["sleep", "1000"])?;
    // The container keeps what it is given open, so it is given nothing to wait for.
    let mut detached = Command::new(program);
    detached.arg("--root").arg(&root).args((name == "crun").then_some("--cgroup-manager=disabled"));
    detached.args(["run", "--detach", "--bundle", &shown, "long"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !detached.status()?.success() {
        bail!("{name} did not start a container that stays");
    }
    let mut execs = Vec::new();
    for _ in 0..runs {
        let started = Instant::now();
        run(&["exec", "long", "true"])?;
        execs.push(nanos(started));
    }
    run(&["delete", "--force", "long"])?;
    Ok(Times { runtime: name.to_owned(), starts, execs })
}

/// The namespaces, mounts and hidden paths every container engine asks for.
// upstream: containerd pkg/oci/spec.go, populateDefaultUnixSpec
fn write_config(bundle: &Path, args: &[&str]) -> anyhow::Result<()> {
    let mount = |target: &str, kind: &str, options: &[&str]| json!({"destination": target, "type": kind, "source": kind, "options": options});
    let namespaces: Vec<_> = ["pid", "network", "ipc", "uts", "mount"].iter().map(|kind| json!({"type": kind})).collect();
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {"terminal": false, "user": {"uid": 0, "gid": 0}, "args": args, "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {"namespaces": namespaces, "maskedPaths": drydock_container::MASKED, "readonlyPaths": drydock_container::READONLY},
    });
    fs::write(bundle.join("config.json"), config.to_string())?;
    Ok(())
}

fn copy(from: &Path, to: &PathBuf) -> anyhow::Result<()> {
    let status = Command::new("cp").args(["-a", "--no-preserve=ownership"]).arg(from).arg(to).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { bail!("cannot copy {} to {}", from.display(), to.display()) }
}
