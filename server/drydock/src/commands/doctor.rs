//! `drydock doctor`: what works on this machine, what does not, and how to get it.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use drydock_cluster::spawn::{self, Identity};
use serde::Serialize;

use crate::cli::Output;
use crate::out::outln;
use crate::state::State;

/// How well something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    /// As it should.
    Ok,
    /// Drydock works, with less.
    Degraded,
    /// Drydock does not work.
    Missing,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    grade: Grade,
    /// What was found.
    found: String,
    /// What to do; empty when there is nothing to do.
    fix: String,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Finding {
        Finding { what, grade: Grade::Ok, found: found.into(), fix: String::new() }
    }

    fn degraded(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { what, grade: Grade::Degraded, found: found.into(), fix: fix.into() }
    }

    fn missing(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { what, grade: Grade::Missing, found: found.into(), fix: fix.into() }
    }
}

/// Look at the machine; fails when something is missing that Drydock cannot do without.
pub(crate) fn run(state: &State, output: Output) -> anyhow::Result<ExitCode> {
    let findings = vec![
        kernel(),
        namespaces(),
        ids(),
        overlay(&state.directory),
        nftables(),
        cgroups(),
        kubectl(),
        state_directory(&state.directory),
        port("page port", 4747, "--listen 127.0.0.1:PORT"),
        port("API port", 6443, "--api-port PORT (without it the next free one is taken)"),
        leftovers(state),
    ];
    match output {
        Output::Json => outln!("{}", serde_json::to_string_pretty(&findings)?),
        Output::Text => findings.iter().for_each(print),
    }
    let broken = findings.iter().any(|finding| finding.grade == Grade::Missing);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(finding: &Finding) {
    let mark = match finding.grade {
        Grade::Ok => "ok      ",
        Grade::Degraded => "degraded",
        Grade::Missing => "MISSING ",
    };
    outln!("{mark}  {:<16} {}", finding.what, finding.found);
    if !finding.fix.is_empty() {
        outln!("{:>28}{}", "fix: ", finding.fix);
    }
}

fn kernel() -> Finding {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 14) {
        Finding::ok("kernel", release)
    } else {
        Finding::missing("kernel", format!("{release}, wanted 5.14 or newer"), "install a newer kernel (Debian 12 has 6.1)")
    }
}

/// Ask the kernel by doing it: a child that only enters the namespaces and ends.
fn namespaces() -> Finding {
    const WHAT: &str = "namespaces";
    let knob = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let outcome = Command::new("unshare").args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "true"]).stdin(Stdio::null()).output();
    match outcome {
        Ok(output) if output.status.success() => Finding::ok(WHAT, "user, network, mount and pid namespaces can be made"),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let fix = if knob("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
                "AppArmor forbids them: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
            } else if knob("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
                "sudo sysctl kernel.unprivileged_userns_clone=1"
            } else if knob("/proc/sys/user/max_user_namespaces") == "0" {
                "sudo sysctl user.max_user_namespaces=15000"
            } else {
                "inside a container, start it with --privileged or --security-opt seccomp=unconfined"
            };
            Finding::missing(WHAT, said, fix)
        }
        // util-linux is everywhere on Debian; without it there is nothing to try with.
        Err(error) => Finding::degraded(WHAT, format!("not tried: unshare: {error}"), "install util-linux to have this tried"),
    }
}

fn ids() -> Finding {
    const WHAT: &str = "user ids";
    match spawn::identity() {
        Identity::Delegated { base } => Finding::ok(WHAT, format!("started as root; the cluster's ids are {base} and up, without rights on this machine")),
        Identity::Subordinate { subuid, count, .. } => Finding::ok(WHAT, format!("{count} subordinate ids from {subuid}")),
        Identity::Single { .. } => {
            Finding::degraded(WHAT, "only your own; containers cannot run as other users", "sudo apt install uidmap, and a line in /etc/subuid and /etc/subgid: NAME:100000:65536")
        }
    }
}

fn overlay(directory: &Path) -> Finding {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let kernel_has_it = filesystems.contains("overlay") || Path::new("/sys/module/overlay").exists();
    match kernel_has_it {
        true => Finding::ok("overlay", format!("file systems can be stacked in {}", directory.display())),
        false => Finding::missing("overlay", "the kernel has no overlay file system", "sudo modprobe overlay"),
    }
}

fn nftables() -> Finding {
    let modules = ["/sys/module/nf_tables", "/proc/net/netfilter"];
    if modules.iter().any(|path| Path::new(path).exists()) {
        Finding::ok("nftables", "Services can be made")
    } else {
        Finding::degraded("nftables", "nf_tables is not loaded; it may load by itself", "sudo modprobe nf_tables nft_chain_nat")
    }
}

fn cgroups() -> Finding {
    const WHAT: &str = "cgroups";
    let (version, fix) = match Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        true => (2, "start it as: systemd-run --user --scope -p Delegate=yes drydock"),
        false => (1, "start drydock as root to have limits enforced"),
    };
    let (enforced, refused) = spawn::cgroups::attempt(spawn::identity().owner());
    if enforced.memory && enforced.cpu && enforced.pids {
        return Finding::ok(WHAT, format!("version {version}: memory, CPU and process limits are enforced"));
    }
    Finding::degraded(WHAT, format!("version {version}: {}", refused.join("; ")), fix)
}

fn kubectl() -> Finding {
    const OURS: &str = "the one that is built in";
    match spawn::kubectl::find() {
        Ok(path) => {
            let version = Command::new(&path).args(["version", "--client", "-o", "json"]).stdin(Stdio::null()).output();
            let version = version.ok().and_then(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).ok());
            let version = version.and_then(|value| value["clientVersion"]["gitVersion"].as_str().map(str::to_owned)).unwrap_or_default();
            Finding::ok("kubectl", format!("{OURS}; with --host-tools {} {version}", path.display()))
        }
        Err(missing) => Finding::ok("kubectl", format!("{OURS}; --host-tools makes no difference, since {missing}")),
    }
}

fn state_directory(directory: &Path) -> Finding {
    const WHAT: &str = "state";
    let probe = directory.join(".doctor");
    let written = fs::write(&probe, b"drydock").and_then(|()| fs::remove_file(&probe));
    let free = rustix::fs::statvfs(directory).map(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) >> 20).unwrap_or(0);
    match written {
        Err(error) => Finding::missing(WHAT, format!("{}: {error}", directory.display()), "choose another directory with --state DIR"),
        Ok(()) if free < 200 => Finding::degraded(WHAT, format!("{}: only {free} MiB are free", directory.display()), "make room: a cluster wants 200 MiB"),
        Ok(()) => Finding::ok(WHAT, format!("{}, {free} MiB free", directory.display())),
    }
}

fn port(what: &'static str, port: u16, option: &str) -> Finding {
    match TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))) {
        Ok(_) => Finding::ok(what, format!("127.0.0.1:{port} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::degraded(what, format!("127.0.0.1:{port} is in use"), format!("choose another with {option}")),
        Err(error) => Finding::missing(what, format!("127.0.0.1:{port}: {error}"), format!("choose another with {option}")),
    }
}

/// Clusters and control groups of a drydock that is gone.
fn leftovers(state: &State) -> Finding {
    const WHAT: &str = "leftovers";
    if let Ok(Err(running)) = state.lock() {
        return Finding::ok(WHAT, format!("a drydock is running (process {})", running.pid));
    }
    if let [first, more @ ..] = &orphans()[..] {
        let ids = more.iter().fold(first.to_string(), |all, pid| format!("{all} {pid}"));
        return Finding::degraded(WHAT, format!("a cluster whose drydock is gone still runs (process {ids})"), format!("kill -9 {ids}"));
    }
    let groups = spawn::cgroups::leftovers();
    match groups.first() {
        None => Finding::ok(WHAT, "nothing was left behind"),
        Some(first) => Finding::degraded(WHAT, format!("{} control groups, as {}", groups.len(), first.display()), "they go at the next start"),
    }
}

/// The first processes of clusters that have nobody above them: everything in such a cluster ends with it.
fn orphans() -> Vec<i32> {
    let arguments = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let roots = pids.filter(|pid| arguments(*pid).split('\0').nth(1) == Some("role:cluster-init"));
    roots.filter(|pid| parent(*pid).is_none_or(|parent| parent == 1 || is_adopter(&arguments(parent)))).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // man 5 proc: `pid (comm) state ppid ...`; a name may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a program takes orphans in, as the first process does.
fn is_adopter(arguments: &str) -> bool {
    let name = arguments.split('\0').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    matches!(name, "systemd" | "init" | "tini" | "dumb-init" | "docker-init" | "catatonit")
}
