//! drydock-kit: what the suites share. A drydock of one's own, stock kubectl against it, and waiting for conditions.
//!
//! # Invariants
//! * A [`Drydock`] has a state directory and ports nobody else has; dropping it ends it, whatever the test did.
//! * Nothing here sleeps for a result: [`eventually`] asks again until the answer is yes or the time is up, and says what it saw last.
//! * Only processes that were started here are ended, by their ids.
//! * Nothing outside a test's own directory is changed: other users are borrowed by their numbers, never made.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test says it did not happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository is where it was built")
}

static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// The drydock binary: `DRYDOCK_BINARY`, or the one cargo builds beside the test.
pub fn binary() -> &'static Path {
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("DRYDOCK_BINARY") {
            return path.into();
        }
        // The whole workspace decides on features, as it does for the tests: nothing is compiled twice.
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--workspace", "--bin", "drydock", "--message-format=json-render-diagnostics"]).current_dir(repository());
        let output = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
        assert!(output.status.success(), "drydock does not build: cargo says why above");
        let messages = String::from_utf8_lossy(&output.stdout).into_owned();
        let executables = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut paths = executables.filter(|message| message["target"]["name"] == "drydock").filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
        paths.next_back().expect("cargo names the executable")
    })
}

/// Ask again until the answer is `Ok`; the last `Err` is what the test fails with.
///
/// # Panics
/// When the time is up.
#[track_caller]
pub fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(value) => return value,
            Err(saw) if started.elapsed() > limit => panic!("not within {limit:?}: {saw}"),
            Err(_) => thread::park_timeout(Duration::from_millis(20)),
        }
    }
}

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Ran {
    /// Run a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn of(command: &mut Command) -> Ran {
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { stdout: text(&output.stdout), stderr: text(&output.stderr), status: output.status }
    }

    /// Its standard output; the test fails when it did not succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{}: {}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// Its standard error; the test fails when it succeeded.
    #[track_caller]
    pub fn refused(self) -> String {
        assert!(!self.status.success(), "it should have failed, but printed: {}", self.stdout);
        self.stderr
    }
}

/// Who runs a drydock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// Whoever runs the test.
    Me,
    /// An ordinary user with this number.
    Ordinary(u32),
}

/// A number nobody has.
const NOBODY: u32 = 54_321;

/// The ordinary users a test can be done as: oneself, unless one is root. Root borrows a number nobody has, so there is only one id in
/// the cluster, and a user of this machine with subordinate ids, when there is one.
pub fn ordinary_users() -> Vec<User> {
    let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !root {
        return vec![User::Me];
    }
    let lines = |path: &str| -> Vec<Vec<String>> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| line.split(':').map(str::to_owned).collect()).collect()
    };
    let (uids, gids) = (lines("/etc/subuid"), lines("/etc/subgid"));
    let owns = |name: &String, ids: &[Vec<String>]| ids.iter().any(|line| line.first() == Some(name));
    let accounts = lines("/etc/passwd");
    let mut with_ids = accounts.iter().filter(|line| line.first().is_some_and(|name| name != "root" && owns(name, &uids) && owns(name, &gids)));
    let subordinate = with_ids.find_map(|line| line.get(2)?.parse().ok()).map(User::Ordinary);
    if subordinate.is_none() {
        eprintln!("no user of this machine has subordinate ids (/etc/subuid, /etc/subgid): that way of starting is not tested");
    }
    [Some(User::Ordinary(NOBODY)), subordinate].into_iter().flatten().collect()
}

/// A drydock of one's own.
pub struct Drydock {
    state: TempDir,
    user: User,
    child: Option<Child>,
    /// The line it printed when it was ready.
    pub line: String,
}

impl Drydock {
    /// A state directory on which nothing runs.
    pub fn idle() -> Drydock {
        Drydock::idle_of(User::Me)
    }

    /// A state directory of this user on which nothing runs.
    pub fn idle_of(user: User) -> Drydock {
        let state = tempfile::Builder::new().prefix("drydock-test-").tempdir().expect("a directory can be made");
        if let User::Ordinary(id) = user {
            // Root builds where others may not look, so the user gets a copy.
            let copy = state.path().join("drydock");
            fs::hard_link(binary(), &copy).or_else(|_| fs::copy(binary(), &copy).map(drop)).expect("the binary can be copied");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it may be executed");
            chown(state.path(), Some(id), Some(id)).expect("root may give a directory away");
        }
        Drydock { state, user, child: None, line: String::new() }
    }

    /// A running cluster of this user.
    #[track_caller]
    pub fn cluster_of(user: User, nodes: u32) -> Drydock {
        let mut drydock = Drydock::idle_of(user);
        drydock.start(&["cluster", "up", "--api-port", "0", "--nodes", &nodes.to_string()]);
        drydock
    }

    /// A running cluster of this many nodes.
    #[track_caller]
    pub fn cluster(nodes: u32) -> Drydock {
        Drydock::cluster_of(User::Me, nodes)
    }

    /// The page and its cluster, with the content of the repository.
    #[track_caller]
    pub fn serve() -> Drydock {
        let mut drydock = Drydock::idle();
        let content = repository();
        drydock.start(&["serve", "--listen", "127.0.0.1:0", "--api-port", "0", "--no-open", "--content", &content.to_string_lossy()]);
        drydock
    }

    /// Start on this state directory and wait for the line that says it is ready.
    ///
    /// # Panics
    /// When it ends instead; with what it said.
    #[track_caller]
    pub fn start(&mut self, arguments: &[&str]) {
        let mut child = self.command(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("drydock starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("it has a standard output"));
        stdout.read_line(&mut line).expect("its standard output can be read");
        if !line.contains("ready in") {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                stderr.read_to_string(&mut said).unwrap_or_default();
            }
            let status = child.wait();
            panic!("drydock {arguments:?} did not become ready ({status:?}): {line}{said}{}", self.log());
        }
        self.line = line;
        self.child = Some(child);
    }

    /// A drydock command on this state directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.user {
            User::Me => Command::new(binary()),
            User::Ordinary(id) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={id}"), format!("--regid={id}"), "--clear-groups".to_owned()]);
                command.arg(self.state.path().join("drydock")).current_dir(self.state.path()).env("HOME", self.state.path());
                command
            }
        };
        command.arg("--state").arg(self.state.path()).args(arguments);
        command
    }

    /// Run a drydock command on this state directory to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.command(arguments))
    }

    /// A kubectl command with the learner's credentials.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", self.state.path().join("kubeconfig")).args(arguments);
        command
    }

    /// Run kubectl to its end.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.kubectl_command(arguments))
    }

    /// Apply a manifest.
    #[track_caller]
    pub fn apply(&self, manifest: &str) -> Ran {
        let path = self.state.path().join("manifest.yaml");
        fs::write(&path, manifest).expect("the manifest can be written");
        self.kubectl(&["apply", "-f", &path.to_string_lossy()])
    }

    /// An object as JSON.
    #[track_caller]
    pub fn get(&self, what: &[&str]) -> Value {
        let arguments: Vec<&str> = ["get", "-o", "json"].into_iter().chain(what.iter().copied()).collect();
        serde_json::from_str(&self.kubectl(&arguments).ok()).expect("kubectl prints JSON")
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The end of the cluster's log.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.state.path().join("cluster.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("\ncluster.log:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"))
    }

    /// The process that was started.
    ///
    /// # Panics
    /// When nothing runs.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().expect("it runs").id()).expect("process ids are small")
    }

    /// The process and all its descendants, with the time each began.
    pub fn family(&self) -> Vec<(i32, String)> {
        let all = processes();
        let mut family = vec![self.pid()];
        let mut at = 0;
        while at < family.len() {
            let parent = family[at];
            family.extend(all.iter().filter(|process| process.parent == parent).map(|process| process.pid));
            at += 1;
        }
        all.into_iter().filter(|process| family.contains(&process.pid)).map(|process| (process.pid, process.began)).collect()
    }

    /// The control groups it said it made.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let text = fs::read(self.state.path().join("cgroups.json")).unwrap_or_default();
        let groups: Vec<(String, PathBuf)> = serde_json::from_slice(&text).unwrap_or_default();
        groups.into_iter().map(|(_, path)| path).collect()
    }

    /// End it the hard way.
    ///
    /// # Panics
    /// When nothing runs.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
    }
}

impl Drop for Drydock {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let ended = Command::new("kill").arg(child.id().to_string()).status();
            if ended.is_err() {
                child.kill().unwrap_or_default();
            }
            child.wait().map(drop).unwrap_or_default();
        }
        // Panicking already, it may be the binary that could not be had: a second panic would hide the first.
        if thread::panicking() && BINARY.get().is_none() {
            return;
        }
        // Where there are subordinate ids, their files are not for their owner to remove.
        if let Err(error) = self.command(&["cluster", "delete"]).stdout(Stdio::null()).status() {
            eprintln!("{}: {error}", self.state.path().display());
        }
    }
}

struct Process {
    pid: i32,
    parent: i32,
    began: String,
}

fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            // A zombie has ended; its parent has not looked yet.
            (fields.first() != Some(&"Z")).then_some(())?;
            Some(Process { pid, parent: fields.get(1)?.parse().ok()?, began: (*fields.get(19)?).to_owned() })
        })
        .collect()
}

/// Those of a family that are still alive.
pub fn alive(family: &[(i32, String)]) -> Vec<i32> {
    let all = processes();
    family.iter().filter(|(pid, began)| all.iter().any(|process| process.pid == *pid && process.began == *began)).map(|(pid, _)| *pid).collect()
}
