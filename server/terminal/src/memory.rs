//! What a terminal shows and where its shell stands, on disk, so that a restart of the server does not take it away.
//!
//! One file for each session: a line of JSON, then the bytes that paint its main screen. It is replaced by a rename, so a crash leaves the
//! one before; what a terminal shows is a convenience, so nothing waits for the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::protocol::RunPhase;
use crate::shell::Size;

/// What is kept of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) size: Size,
    /// Where its shell stood.
    pub(crate) directory: Option<String>,
    /// What became of the blocks that were run in it.
    pub(crate) outcomes: BTreeMap<String, RunPhase>,
    /// Paints its main screen, with what has scrolled away.
    #[serde(skip)]
    pub(crate) screen: Vec<u8>,
}

/// The files of all sessions; without a directory nothing is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    directory: Option<PathBuf>,
    /// Held by whoever writes: the last one to begin is the last one to end.
    writing: Arc<Mutex<()>>,
}

impl Memory {
    pub(crate) fn new(directory: &Path) -> Memory {
        Memory { directory: Some(directory.to_owned()), writing: Arc::default() }
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_there(&self) -> bool {
        self.directory.is_some()
    }

    fn path(&self, session: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(format!("{session}.screen")))
    }

    /// What was kept of a session, if it can be read.
    pub(crate) fn recall(&self, session: &str) -> Option<Kept> {
        let bytes = fs::read(self.path(session)?).ok()?;
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        match serde_json::from_slice::<Kept>(&bytes[..end]) {
            Ok(kept) => Some(Kept { size: kept.size.clamped(), screen: bytes[end + 1..].to_vec(), ..kept }),
            Err(error) => {
                tracing::warn!(%error, session, "what this terminal showed cannot be read");
                None
            }
        }
    }

    pub(crate) fn keep(&self, session: &str, kept: &Kept) {
        let Some(path) = self.path(session) else { return };
        let _held = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = write(&path, kept) {
            tracing::warn!(%error, session, "what this terminal shows is not kept");
        }
    }

    /// The session was closed: nobody comes back to it.
    pub(crate) fn forget(&self, session: &str) {
        let Some(path) = self.path(session) else { return };
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!(%error, session, "what this terminal showed stays"),
            Ok(()) | Err(_) => {}
        }
    }
}

fn write(path: &Path, kept: &Kept) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut bytes = serde_json::to_vec(kept)?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&kept.screen);
    let fresh = path.with_extension("new");
    // What a terminal showed may be somebody's password.
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&bytes)?;
    drop(file);
    fs::rename(fresh, path)
}
