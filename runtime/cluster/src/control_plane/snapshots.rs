//! Named points in the journal to which the cluster can be taken back.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::evidence::API_VERSION;
use crate::pki::write_private;

/// The point right after the first boot: what `reset` goes back to.
pub(super) const PRISTINE: &str = "pristine";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Snapshot {
    name: String,
    label: String,
    revision: u64,
    created: Timestamp,
}

/// The named points, kept in a file.
pub(crate) struct Snapshots {
    path: PathBuf,
    known: Mutex<Vec<Snapshot>>,
    revision: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Snapshots {
    /// Read the points from `path`. `revision` tells the cluster's revision now.
    pub(super) fn open(path: PathBuf, revision: impl Fn() -> u64 + Send + Sync + 'static) -> io::Result<Snapshots> {
        let known = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Snapshots { path, known: Mutex::new(known), revision: Box::new(revision) })
    }

    /// All points as a list object.
    pub(crate) fn list(&self) -> Value {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"apiVersion": API_VERSION, "kind": "SnapshotList", "metadata": {}, "items": known.iter().map(object).collect::<Vec<_>>()})
    }

    /// Name the present.
    pub(crate) fn create(&self, label: &str) -> Value {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = if label == PRISTINE { PRISTINE.to_owned() } else { format!("snapshot-{}", known.len() + 1) };
        let snapshot = Snapshot { name, label: label.to_owned(), revision: (self.revision)(), created: Timestamp::now() };
        known.push(snapshot.clone());
        let written = serde_json::to_string(&*known).map_err(io::Error::from).map(|text| write_private(&self.path, &text));
        if !matches!(written, Ok(Ok(()))) {
            tracing::error!(?written, "snapshots are not kept across a restart");
        }
        object(&snapshot)
    }

    /// The revision a name stands for.
    pub(super) fn revision_of(&self, name: &str) -> Option<u64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|snapshot| snapshot.name == name).map(|snapshot| snapshot.revision)
    }
}

fn object(snapshot: &Snapshot) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "Snapshot",
        "metadata": {"name": snapshot.name, "creationTimestamp": snapshot.created.to_string()},
        "spec": {"label": snapshot.label}, "status": {"revision": snapshot.revision.to_string()},
    })
}
