//! A local bash on a pty, with the marks our own shell writes and a pretended kubectl first on its PATH.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use drydock_terminal::{Connection, Foreground, Pending, Shell, ShellError, Size};
use nix::pty::openpty;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

const RC: &str = r#"
PS1='\[\e]133;A;cwd=$PWD\a\]\[\e[32m\]laptop\[\e[m\]:\[\e[34m\]\w\[\e[m\]\$ \[\e]133;B\a\]'
PROMPT_COMMAND='printf "\e]133;D;%s\a" "$?"'
encode() { local s=$1 i c; for ((i=0;i<${#s};i++)); do c=${s:i:1}; case $c in [a-zA-Z0-9./_-]) printf %s "$c";; *) printf '%%%02X' "'$c";; esac; done; }
PS0='$(printf "\e]133;C;cmdline=%s;cwd=%s\a" "$(encode "$(HISTTIMEFORMAT= history 1 | sed "s/^ *[0-9]* *//")")" "$(encode "$PWD")")'
HISTFILE=$HOME/.history
PROMPT_COMMAND="$PROMPT_COMMAND; history -a"
set -o history
"#;

const KUBECTL: &str = r#"#!/bin/bash
say() { echo "$*" > "$DRYDOCK_DEV/events"; }
case "$1 $2" in
  "run "*) grep -q "^$2 " "$DRYDOCK_DEV/pods" 2>/dev/null && { echo "Error from server (AlreadyExists): pods \"$2\" already exists" >&2; exit 1; }
    say "run $2"; echo "pod/$2 created" ;;
  "create deployment") say "deploy $3"; echo "deployment.apps/$3 created" ;;
  "delete pod"*) say "delete $3"; echo "pod \"$3\" deleted" ;;
  "get pods") printf 'NAME           READY   STATUS    RESTARTS   AGE\n'; cat "$DRYDOCK_DEV/pods" 2>/dev/null ;;
  "get nodes") printf 'NAME     STATUS   ROLES           AGE   VERSION\nnode-1   Ready    control-plane   2m    v1.36.0\n' ;;
  "exec "*) say "exec"; exec /bin/sh ;;
  "port-forward "*) echo "Forwarding from 127.0.0.1:8080 -> 80"; say "forward"; exec sleep 1000000 ;;
  "expose "*) say "expose ${3#--port=}"; echo "service/$2 exposed" ;;
  "cordon "*|"uncordon "*) say "$1 $2"; echo "node/$2 $1ed" ;;
  "reset "*) say "reset" ;;
  "break "*) say "break" ;;
  "slow "*) say "slow" ;;
  "wait "*) say "unplaced" ;;
  "full "*) say "full" ;;
  "room "*) say "room" ;;
  *) echo "error: the pretended kubectl knows run, create deployment, get, delete pod, exec, port-forward" >&2; exit 1 ;;
esac
"#;

/// The listing of the invented chapter.
pub(crate) const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: hello-kiamol-2\nspec:\n  replicas: 1 # one is enough to see it heal\n  selector:\n    matchLabels:\n      app: hello-kiamol-2\n  template:\n    metadata:\n      labels:\n        app: hello-kiamol-2\n    spec:\n      containers:\n        - name: web\n          image: kiamol/ch02-hello-kiamol\n";

/// Opens local shells.
pub(crate) struct LocalShell {
    pub(crate) home: PathBuf,
    pub(crate) events: PathBuf,
    shells: Mutex<BTreeMap<String, Child>>,
}

impl LocalShell {
    pub(crate) fn new(state: &Path) -> std::io::Result<LocalShell> {
        let home = state.join("home");
        let bin = state.join("bin");
        std::fs::create_dir_all(home.join("ch02"))?;
        std::fs::create_dir_all(&bin)?;
        std::fs::write(home.join("ch02/deployment.yaml"), DEPLOYMENT)?;
        std::fs::write(state.join("bashrc"), RC)?;
        let kubectl = bin.join("kubectl");
        std::fs::write(&kubectl, KUBECTL)?;
        std::fs::set_permissions(&kubectl, PermissionsExt::from_mode(0o755))?;
        let lab = bin.join("lab");
        if !lab.exists() {
            std::os::unix::fs::symlink(std::env::current_exe()?, lab)?;
        }
        let events = state.join("events");
        if events.exists() {
            std::fs::remove_file(&events)?;
        }
        nix::unistd::mkfifo(&events, nix::sys::stat::Mode::S_IRWXU)?;
        Ok(LocalShell { home, events, shells: Mutex::default() })
    }

    pub(crate) fn state(&self) -> &Path {
        self.home.parent().unwrap_or(&self.home)
    }

    fn spawn(&self, name: &str, directory: Option<&str>, mut size: watch::Receiver<Size>) -> std::io::Result<Connection> {
        // Copies are closed when a program starts: a shell that held its own master would outlive the server.
        let (master, end) = {
            let pty = openpty(None, None)?;
            (pty.master.try_clone()?, pty.slave.try_clone()?)
        };
        let slave = std::fs::read_link(format!("/proc/self/fd/{}", end.as_raw_fd()))?;
        set_size(&slave, *size.borrow())?;
        let stdio = || end.try_clone().map(Stdio::from);
        let state = self.state();
        let path = format!("{}:{}", state.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        let child = Command::new("setsid")
            .args(["--ctty", "bash", "--rcfile"])
            .arg(state.join("bashrc"))
            .arg("-i")
            .env("PATH", path)
            .env("DRYDOCK_DEV", state)
            .env("DRYDOCK_TERMINAL", name)
            .env("HOME", &self.home)
            .env("TERM", "xterm-256color")
            .current_dir(directory.map(|directory| self.home.join(directory.trim_start_matches("~/"))).filter(|directory| directory.is_dir()).unwrap_or_else(|| self.home.clone()))
            .stdin(stdio()?)
            .stdout(stdio()?)
            .stderr(stdio()?)
            .spawn()?;
        self.shells.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), child);
        tokio::spawn(async move {
            while size.changed().await.is_ok() {
                let now = *size.borrow_and_update();
                if let Err(error) = set_size(&slave, now) {
                    eprintln!("resize: {error}");
                }
            }
        });
        drop(end);
        connect(master)
    }
}

fn set_size(pty: &Path, size: Size) -> std::io::Result<()> {
    let (rows, cols) = (size.rows.to_string(), size.cols.to_string());
    Command::new("stty").arg("-F").arg(pty).args(["rows", &rows, "cols", &cols]).status().map(drop)
}

/// Two threads carry the bytes of a pty; the end of the shell is the end of the stream.
fn connect(master: OwnedFd) -> std::io::Result<Connection> {
    let (mut output, mut input) = (File::from(master.try_clone()?), File::from(master));
    let (reader, mut printed) = tokio::io::duplex(64 * 1024);
    let (writer, typed) = tokio::io::duplex(64 * 1024);
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(read @ 1..) = output.read(&mut buffer) {
            if runtime.block_on(printed.write_all(&buffer[..read])).is_err() {
                return;
            }
        }
    });
    let mut typed = tokio_util::io::SyncIoBridge::new(typed);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(read @ 1..) = typed.read(&mut buffer) {
            if input.write_all(&buffer[..read]).is_err() {
                return;
            }
        }
    });
    Ok(Connection { reader: Box::new(reader), writer: Box::new(writer) })
}

/// The process group in front of the terminal of `pid`.
fn foreground(pid: u32) -> Option<Foreground> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let group = stat.rsplit_once(')')?.1.split_whitespace().nth(5)?.to_owned();
    if group == pid.to_string() {
        return Some(Foreground::Shell);
    }
    let name = std::fs::read_to_string(format!("/proc/{group}/comm")).ok()?;
    Some(Foreground::Program(name.trim().to_owned()))
}

impl Shell for LocalShell {
    fn open(&self, session: &str, directory: Option<&str>, size: watch::Receiver<Size>) -> Pending<'_, Result<Connection, ShellError>> {
        let opened = self.spawn(session, directory, size).map_err(|error| ShellError::Impossible(error.to_string()));
        Box::pin(async move { opened })
    }

    fn foreground(&self, session: &str) -> Pending<'_, Foreground> {
        let shells = self.shells.lock().unwrap_or_else(PoisonError::into_inner);
        let found = shells.get(session).and_then(|child| foreground(child.id())).unwrap_or(Foreground::Unknown);
        Box::pin(async move { found })
    }

    fn close(&self, session: &str) -> Pending<'_, ()> {
        let child = self.shells.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
        Box::pin(async move {
            if let Some(mut child) = child
                && let Err(error) = child.kill().and_then(|()| child.wait().map(drop))
            {
                eprintln!("close: {error}");
            }
        })
    }
}
