//! What was asked, by whom, and how it ended: the raw material of evidence.
//!
//! Every request ends in one [`RequestRecord`]; requests that stay open (exec, attach, log, port-forward, watch) also make a
//! [`StreamRecord`] when they open and again when they close, with the same `id`. Sinks must not block: they are called from the
//! request's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// Hears about every request and stream.
pub trait AuditSink: Send + Sync + 'static {
    /// A request was answered (for streams: its response head was).
    fn request(&self, record: RequestRecord);
    /// A stream opened (`closed` is `None`), changed its connection count, or closed.
    fn stream(&self, record: StreamRecord);
}

/// A sink for those who do not care.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl AuditSink for Silent {
    fn request(&self, _record: RequestRecord) {}
    fn stream(&self, _record: StreamRecord) {}
}

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The audit id, also sent as `Audit-Id` and stored as the cause of a write.
    pub id: String,
    /// The user name.
    pub user: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// The `Kubectl-Command` header, e.g. `kubectl get`.
    pub kubectl_command: String,
    /// The `Kubectl-Session` header: one per kubectl run.
    pub kubectl_session: String,
    /// The Kubernetes verb: get, list, watch, create, update, patch, delete, deletecollection (HTTP's in lower case for other paths).
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Resource (plural) or empty for other paths.
    pub resource: String,
    /// Subresource or empty.
    pub subresource: String,
    /// Namespace or empty.
    pub namespace: String,
    /// Object name or empty.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// HTTP status.
    pub code: u16,
    /// When it arrived.
    pub received: Timestamp,
    /// When it was answered.
    pub answered: Timestamp,
}

/// What kind of stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamVerb {
    /// `pods/exec`
    Exec,
    /// `pods/attach`
    Attach,
    /// `pods/log`
    Log,
    /// `pods/portforward`
    PortForward,
    /// `watch` of anything
    Watch,
    /// `pods/proxy`, `services/proxy`, `nodes/proxy`
    Proxy,
}

impl StreamVerb {
    /// The word used in records: `exec`, `attach`, `log`, `portforward`, `watch`, `proxy`.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamVerb::Exec => "exec",
            StreamVerb::Attach => "attach",
            StreamVerb::Log => "log",
            StreamVerb::PortForward => "portforward",
            StreamVerb::Watch => "watch",
            StreamVerb::Proxy => "proxy",
        }
    }
}

/// A long-running request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRecord {
    /// The audit id of its request: one stream, one id.
    pub id: String,
    /// What it does.
    pub verb: StreamVerb,
    /// API group of what is streamed (empty for pods).
    pub group: String,
    /// Resource, e.g. `pods`.
    pub resource: String,
    /// Namespace or empty.
    pub namespace: String,
    /// Pod or object name, empty for watches of collections.
    pub name: String,
    /// Container named in the request, or the one that was chosen.
    pub container: String,
    /// The command of an exec.
    pub command: Vec<String>,
    /// Whether a terminal was asked for.
    pub tty: bool,
    /// Whether stdin was asked for.
    pub stdin: bool,
    /// Whether a log is followed.
    pub follow: bool,
    /// Ports forwarded so far.
    pub ports: Vec<u16>,
    /// The query string.
    pub query: String,
    /// User name.
    pub user: String,
    /// `User-Agent` header.
    pub user_agent: String,
    /// `Kubectl-Command` header.
    pub kubectl_command: String,
    /// `Kubectl-Session` header.
    pub kubectl_session: String,
    /// When it opened.
    pub opened: Timestamp,
    /// When it closed; `None` while it is open.
    pub closed: Option<Timestamp>,
    /// Connections made through it (port-forward), 1 for others.
    pub connections: u64,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
    /// How it ended: HTTP status at opening; the command's exit code for a finished exec.
    pub code: i32,
}

/// Byte counts shared between the two directions of a stream.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    inner: Arc<[AtomicU64; 3]>,
}

impl Counters {
    /// Counts bytes from the client.
    pub fn add_in(&self, bytes: usize) {
        self.inner[0].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes to the client.
    pub fn add_out(&self, bytes: usize) {
        self.inner[1].fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts a connection.
    pub fn add_connection(&self) {
        self.inner[2].fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes in, bytes out, connections.
    pub fn read(&self) -> (u64, u64, u64) {
        let at = |index: usize| self.inner[index].load(Ordering::Relaxed);
        (at(0), at(1), at(2))
    }
}

/// Reports a stream's end exactly once, however its task ends.
pub struct OpenStream {
    sink: Arc<dyn AuditSink>,
    clock: Arc<dyn drydock_primitives::clock::Clock>,
    record: StreamRecord,
    /// Shared counts; clone it into the copying halves.
    pub counters: Counters,
}

impl OpenStream {
    /// Reports the opening of `record`.
    pub fn open(sink: Arc<dyn AuditSink>, clock: Arc<dyn drydock_primitives::clock::Clock>, record: StreamRecord) -> OpenStream {
        sink.stream(record.clone());
        OpenStream { sink, clock, record, counters: Counters::default() }
    }

    /// Sets the code its end is reported with.
    pub fn set_code(&mut self, code: i32) {
        self.record.code = code;
    }

    /// Notes a forwarded port and a connection, and reports the change.
    pub fn connected(&mut self, port: u16) {
        if !self.record.ports.contains(&port) {
            self.record.ports.push(port);
        }
        self.counters.add_connection();
        self.refresh();
        self.sink.stream(self.record.clone());
    }

    fn refresh(&mut self) {
        let (bytes_in, bytes_out, connections) = self.counters.read();
        self.record.bytes_in = bytes_in;
        self.record.bytes_out = bytes_out;
        self.record.connections = connections.max(self.record.connections);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.refresh();
        self.record.closed = Some(self.clock.now());
        self.sink.stream(self.record.clone());
    }
}
