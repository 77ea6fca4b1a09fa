//! The state directory: who uses it, and what they wrote there.
//!
//! One process at a time owns a state directory; it holds a lock on `lock` for as long as it lives, so a crash frees it. `running.json`
//! says how to reach the owner and is only believed while the lock is held.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// What is kept in a state directory, except the lock.
const KEPT: [&str; 9] = ["cluster", "elsewhere", "grading", "progress", "cgroups.json", "running.json", "kubeconfig", "cluster.log", "drydock.log"];

/// A state directory, not necessarily ours.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The directory.
    pub(crate) directory: PathBuf,
}

/// The right to run on a state directory; gone with the value or the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// What the owner of a state directory says about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunningNow {
    /// Process id.
    pub(crate) pid: i32,
    /// Address of the page, when there is one.
    pub(crate) url: Option<String>,
    /// Port of the Kubernetes API on 127.0.0.1.
    pub(crate) api_port: u16,
    /// How many nodes.
    pub(crate) nodes: u32,
}

impl State {
    /// The state directory asked for, or the one in the XDG data directory.
    pub(crate) fn find(asked: Option<PathBuf>) -> anyhow::Result<State> {
        let directory = match asked {
            Some(directory) => std::path::absolute(&directory).with_context(|| format!("--state {}", directory.display()))?,
            None => data_home().context("neither XDG_DATA_HOME nor HOME is set; say where to keep state with --state DIR")?.join("drydock"),
        };
        // Kubeconfigs and Secrets are in it: for others it is closed.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .with_context(|| format!("cannot make the state directory {}; choose another with --state DIR", directory.display()))?;
        Ok(State { directory })
    }

    /// What is kept beside a cluster that is not ours: a state directory of its own.
    pub(crate) fn elsewhere(&self, name: &str) -> anyhow::Result<State> {
        State::find(Some(self.directory.join("elsewhere").join(name)))
    }

    /// Become the owner, or learn who is.
    pub(crate) fn lock(&self) -> anyhow::Result<Result<Lock, RunningNow>> {
        let path = self.directory.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path).with_context(|| format!("cannot open {}; choose another directory with --state DIR", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Ok(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(Err(self.read_running()?)),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// Who runs on this state directory now.
    pub(crate) fn running(&self) -> anyhow::Result<RunningNow> {
        match self.lock()? {
            Ok(_) => bail!("no cluster runs on {}; start one with `drydock serve` or `drydock cluster up`", self.directory.display()),
            Err(running) => Ok(running),
        }
    }

    /// Tell others how to reach us.
    pub(crate) fn announce(&self, running: &RunningNow) -> anyhow::Result<()> {
        let (path, temporary) = (self.directory.join("running.json"), self.directory.join("running.json.tmp"));
        fs::write(&temporary, serde_json::to_vec(running)?).and_then(|()| fs::rename(&temporary, &path)).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Remove what was kept, and the directory unless it holds something that is not ours.
    pub(crate) fn delete(&self, lock: Lock) -> anyhow::Result<()> {
        for name in KEPT {
            drydock_cluster::spawn::remove::directory(&self.directory.join(name))?;
        }
        // The lock goes last, so that nobody starts meanwhile.
        fs::remove_file(self.directory.join("lock")).with_context(|| format!("cannot remove the lock in {}", self.directory.display()))?;
        drop(lock);
        // It may hold what is not ours, be where a disk is mounted, or be in a directory that is not ours.
        use io::ErrorKind::{DirectoryNotEmpty, PermissionDenied, ResourceBusy};
        match fs::remove_dir(&self.directory) {
            Err(error) if !matches!(error.kind(), DirectoryNotEmpty | PermissionDenied | ResourceBusy) => {
                Err(error).with_context(|| format!("cannot remove {}", self.directory.display()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Where the images are that the nodes pull from.
    pub(crate) fn library(&self) -> PathBuf {
        self.directory.join("cluster/library")
    }

    /// The learner's kubeconfig for programs on the host.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    fn read_running(&self) -> anyhow::Result<RunningNow> {
        let path = self.directory.join("running.json");
        let text = fs::read(&path).with_context(|| format!("{} is in use by another drydock that is still starting; try again in a moment", self.directory.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
    }
}

fn data_home() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
}

/// The file a cluster's processes log to.
pub(crate) fn cluster_log(directory: &Path) -> PathBuf {
    directory.join("cluster.log")
}
