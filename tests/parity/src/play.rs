//! Running a scenario with one kubectl.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use drydock_kit::Drydock;

use crate::corpus::{Compare, Scenario};
use crate::golden::Outcome;
use crate::redact::redact;

/// How long a line may take, in seconds.
const PATIENCE: &str = "60";
/// What the shell is before it is the line's: the rights of new files are the same whoever runs the suite.
const MASKED: &str = r#"umask 022; exec sh -c "$1""#;
/// The nodes of a scenario's cluster.
const NODES: u32 = 2;

/// Which program is played with.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// Ours: `DRYDOCK_KUBECTL`, or the one that was built with the suite.
    pub fn ours(built: &str) -> Program {
        Program(std::env::var_os("DRYDOCK_KUBECTL").map_or_else(|| PathBuf::from(built), PathBuf::from))
    }

    /// Stock kubectl on this machine, when there is one.
    pub fn stock() -> Option<Program> {
        let named = std::env::var_os("STOCK_KUBECTL").map(PathBuf::from);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&paths).map(|folder| folder.join("kubectl")).find(|path| path.exists());
        named.or(found).and_then(|path| path.canonicalize().ok()).map(Program)
    }

    /// What it says its version is: `v1.32.5`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn version(&self) -> std::io::Result<String> {
        let told = std::process::Command::new(&self.0).args(["version", "--client"]).output()?;
        let told = String::from_utf8_lossy(&told.stdout);
        Ok(told.lines().next().and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned())
    }
}

/// Run all lines of a scenario on a cluster of its own; what those did that are compared.
///
/// # Panics
/// When there is no cluster or no room for files.
pub fn play(scenario: &Scenario, program: &Program) -> Vec<Outcome> {
    let drydock = Drydock::cluster(NODES);
    let folder = tempfile::Builder::new().prefix("parity").tempdir().expect("a folder can be made");
    let (bin, home, work) = (folder.path().join("bin"), folder.path().join("home"), folder.path().join("work"));
    for path in [&bin, &home, &work] {
        fs::create_dir(path).expect("a folder can be made");
    }
    symlink(&program.0, bin.join("kubectl")).expect("a link can be made");
    // While commands are being written, the ones that only prepare can be another program's.
    let prepared = std::env::var_os("PARITY_SETUP_KUBECTL").map(|other| {
        let folder = folder.path().join("setup");
        fs::create_dir(&folder).expect("a folder can be made");
        symlink(other, folder.join("kubectl")).expect("a link can be made");
        folder
    });
    copy(&crate::file("files"), &work);
    let path = format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
    let mut outcomes = Vec::new();
    for line in &scenario.lines {
        let mut shell = Command::new("timeout");
        shell.args(["--kill-after=2", PATIENCE, "sh", "-c", MASKED, "sh", &line.text]).current_dir(&work).stdin(Stdio::null());
        let first = prepared.as_ref().filter(|_| line.compare == Compare::Never).map(|folder| format!("{}:", folder.display())).unwrap_or_default();
        shell.env_clear().env("PATH", format!("{first}{path}")).env("HOME", &home).env("TZ", "UTC").env("LC_ALL", "C.UTF-8");
        shell.env("KUBECONFIG", drydock.state().join("kubeconfig"));
        let output = shell.output().expect("a shell runs");
        if line.compare == Compare::Never {
            continue;
        }
        let text = |bytes: &[u8]| redact(&String::from_utf8_lossy(bytes));
        let code = output.status.code().or_else(|| output.status.signal().map(|signal| 128 + signal)).unwrap_or(-1);
        outcomes.push(Outcome { line: line.text.clone(), stdout: text(&output.stdout), stderr: text(&output.stderr), code });
    }
    outcomes
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("the suite has files").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a folder can be made");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file can be copied");
        }
    }
}
