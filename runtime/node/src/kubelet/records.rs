//! Every container and sandbox of the node in one table, for whoever asks: workers, the server, the container engine, the evidence.
//!
//! The table is filled by the workers. Each entry says when its process ended ([`Entry::ended`]); changes are broadcast.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drydock_container::{Limits, Mount, ProcessSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, watch};

use super::logs::ContainerIo;

/// What is known about one container, kept in node-init's labels too so that it survives the kubelet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Its sandbox; its own id when it is one.
    pub(crate) sandbox: String,
    /// Pod namespace.
    pub(crate) namespace: String,
    /// Pod name.
    pub(crate) pod: String,
    /// Pod uid.
    pub(crate) uid: String,
    /// Container name; `POD` for a sandbox.
    pub(crate) container: String,
    /// How many came before it.
    pub(crate) attempt: u32,
    /// The image as the Pod names it.
    pub(crate) image: String,
    /// Name with tag.
    pub(crate) image_tag: String,
    /// Name with digest.
    pub(crate) image_ref: String,
    /// Digest of the image's configuration.
    pub(crate) image_id: String,
    /// When it was made.
    pub(crate) created: Option<Timestamp>,
    /// When it became the program.
    pub(crate) started: Option<Timestamp>,
    /// How it ended.
    pub(crate) exit: Option<RecordExit>,
    /// As the container engine shows them.
    pub(crate) labels: BTreeMap<String, String>,
    /// Where its output goes.
    pub(crate) log_path: PathBuf,
    /// Its writable layer.
    pub(crate) directory: PathBuf,
    /// Where its last words are.
    pub(crate) termination_log: PathBuf,
    /// The signal that asks it to stop.
    pub(crate) stop_signal: String,
    /// What it runs; an exec starts from here.
    pub(crate) process: ProcessSpec,
    /// Close standard input after the first attach.
    pub(crate) stdin_once: bool,
    /// The Pod's address.
    pub(crate) ip: String,
    /// The process as the node sees it.
    pub(crate) pid: i32,
    /// Volumes it sees.
    pub(crate) mounts: Vec<Mount>,
    /// What it may use.
    pub(crate) limits: Limits,
    /// The Pod's host name.
    pub(crate) hostname: String,
    /// Why it could not be started.
    pub(crate) error: String,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordExit {
    /// Exit code.
    pub(crate) code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`.
    pub(crate) reason: String,
    /// What the node has to say about it.
    #[serde(default)]
    pub(crate) message: Option<String>,
    /// When.
    pub(crate) at: Timestamp,
}

impl Record {
    /// Whether it stands for a Pod's namespaces.
    pub(crate) fn is_sandbox(&self) -> bool {
        self.container == SANDBOX
    }

    /// `k8s_web_hello_default_<uid>_0`.
    // upstream: pkg/kubelet/dockershim/naming.go, as it was until 1.23
    pub(crate) fn docker_name(&self) -> String {
        format!("k8s_{}_{}_{}_{}_{}", self.container, self.pod, self.namespace, self.uid, self.attempt)
    }
}

/// The container name of a sandbox.
pub(crate) const SANDBOX: &str = "POD";

/// A record and what is alive about it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The facts.
    pub(crate) record: Record,
    /// Its streams, while this kubelet reads them.
    pub(crate) io: Option<Arc<ContainerIo>>,
    ended: watch::Sender<bool>,
}

impl Entry {
    /// Wait until its process has ended.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.ended.subscribe();
        async move {
            // The sender going away means that the record was removed, which is an end as well.
            if let Err(error) = ended.wait_for(|ended| *ended).await {
                tracing::trace!(%error, "the record is gone");
            }
        }
    }
}

/// A change of the table.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// New or different.
    Set(Box<Record>),
    /// Removed.
    Gone(Box<Record>),
}

/// The table. Clones share it.
#[derive(Clone)]
pub(crate) struct Records {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
    changes: broadcast::Sender<Change>,
}

impl Default for Records {
    fn default() -> Self {
        Records { entries: Arc::default(), changes: broadcast::channel(1024).0 }
    }
}

impl Records {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // Every change is one insertion or removal, so the table is good even if a holder panicked.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, change: Change) {
        if self.changes.send(change).is_err() {
            tracing::trace!("nobody watches containers");
        }
    }

    /// Put in or replace.
    pub(crate) fn set(&self, record: Record, io: Option<Arc<ContainerIo>>) {
        let is_ended = record.exit.is_some();
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(&record.id) {
            entry.record = record.clone();
            entry.io = io.or(entry.io.take());
            entry.ended.send_replace(is_ended);
        } else {
            entries.insert(record.id.clone(), Entry { record: record.clone(), io, ended: watch::channel(is_ended).0 });
        }
        drop(entries);
        self.announce(Change::Set(Box::new(record)));
    }

    /// A process ended.
    pub(crate) fn exited(&self, id: &str, exit: RecordExit) -> Option<Record> {
        let mut entries = self.lock();
        let entry = entries.get_mut(id)?;
        entry.record.exit = Some(exit);
        entry.ended.send_replace(true);
        let record = entry.record.clone();
        drop(entries);
        self.announce(Change::Set(Box::new(record.clone())));
        Some(record)
    }

    /// Take out.
    pub(crate) fn remove(&self, id: &str) -> Option<Record> {
        let entry = self.lock().remove(id)?;
        entry.ended.send_replace(true);
        self.announce(Change::Gone(Box::new(entry.record.clone())));
        Some(entry.record)
    }

    /// One entry.
    pub(crate) fn get(&self, id: &str) -> Option<Entry> {
        self.lock().get(id).cloned()
    }

    /// The instance of a container before the newest one.
    pub(crate) fn find_previous(&self, namespace: &str, pod: &str, container: &str) -> Option<Entry> {
        let newest = self.find(namespace, pod, None, container)?;
        self.lock()
            .values()
            .filter(|entry| {
                let record = &entry.record;
                record.uid == newest.record.uid && record.container == container && record.id != newest.record.id
            })
            .max_by_key(|entry| (entry.record.created, entry.record.attempt))
            .cloned()
    }

    /// The newest instance of a container of a Pod.
    pub(crate) fn find(&self, namespace: &str, pod: &str, uid: Option<&str>, container: &str) -> Option<Entry> {
        self.lock()
            .values()
            .filter(|entry| {
                let record = &entry.record;
                record.namespace == namespace && record.pod == pod && record.container == container && uid.is_none_or(|uid| record.uid == uid)
            })
            .max_by_key(|entry| (entry.record.created, entry.record.attempt))
            .cloned()
    }

    /// All records.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.lock().values().map(|entry| entry.record.clone()).collect()
    }

    /// All records, and every change after.
    pub(crate) fn watch(&self) -> (Vec<Record>, broadcast::Receiver<Change>) {
        let entries = self.lock();
        let changes = self.changes.subscribe();
        (entries.values().map(|entry| entry.record.clone()).collect(), changes)
    }
}
