//! What was asked, by whom, and how it ended: the raw material of evidence.
//!
//! Every request ends in one [`RequestRecord`]; requests that stay open (exec, attach, log, port-forward, watch) also make a
//! [`StreamRecord`] when they open and again when they close, with the same `id`. Sinks must not block: they are called from the
//! request's task.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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

/// How often an open stream may tell what has gone through it.
const TELL_EVERY: Duration = Duration::from_millis(400);

/// Reports a stream's end exactly once, however its task ends.
pub struct OpenStream {
    sink: Arc<dyn AuditSink>,
    clock: Arc<dyn drydock_primitives::clock::Clock>,
    record: Arc<Mutex<StreamRecord>>,
    /// Shared counts; clone it into the copying halves.
    pub counters: Counters,
    /// Tells what goes through while it is open.
    teller: Option<tokio::task::AbortHandle>,
}

impl OpenStream {
    /// Reports the opening of `record`, and from then on what goes through it, as long as that is more and more.
    pub fn open(sink: Arc<dyn AuditSink>, clock: Arc<dyn drydock_primitives::clock::Clock>, record: StreamRecord) -> OpenStream {
        sink.stream(record.clone());
        // A watch counts what it sends, but nobody asks how much.
        let counted = record.verb != StreamVerb::Watch;
        let (record, counters) = (Arc::new(Mutex::new(record)), Counters::default());
        let teller = tokio::runtime::Handle::try_current().ok().filter(|_| counted).map(|runtime| {
            runtime.spawn(tell(Arc::clone(&sink), Arc::clone(&record), counters.clone())).abort_handle()
        });
        OpenStream { sink, clock, record, counters, teller }
    }

    fn record(&self) -> MutexGuard<'_, StreamRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the code its end is reported with.
    pub fn set_code(&mut self, code: i32) {
        self.record().code = code;
    }

    /// Notes a forwarded port and a connection, and reports the change.
    pub fn connected(&mut self, port: u16) {
        self.counters.add_connection();
        let mut record = self.record();
        if !record.ports.contains(&port) {
            record.ports.push(port);
        }
        record.count(&self.counters);
        self.sink.stream(record.clone());
    }
}

impl StreamRecord {
    /// Takes over what was counted; whether that is news.
    fn count(&mut self, counters: &Counters) -> bool {
        let (bytes_in, bytes_out, connections) = counters.read();
        let news = (bytes_in, bytes_out) != (self.bytes_in, self.bytes_out);
        self.bytes_in = bytes_in;
        self.bytes_out = bytes_out;
        self.connections = connections.max(self.connections);
        news
    }
}

/// Tells what goes through a stream: soon when it begins, seldom when it never rests.
async fn tell(sink: Arc<dyn AuditSink>, record: Arc<Mutex<StreamRecord>>, counters: Counters) {
    let mut pause = TELL_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        pause = if record.count(&counters) {
            sink.stream(record.clone());
            (pause * 2).min(TELL_EVERY * 16)
        } else {
            TELL_EVERY
        };
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let Some(teller) = &self.teller {
            teller.abort();
        }
        // The lock also keeps a last word of the teller from coming after the end.
        let mut record = self.record();
        record.count(&self.counters);
        record.closed = Some(self.clock.now());
        self.sink.stream(record.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use drydock_primitives::clock::SystemClock;

    struct Heard(tokio::sync::mpsc::UnboundedSender<(u64, bool)>);

    impl AuditSink for Heard {
        fn request(&self, _record: RequestRecord) {}

        fn stream(&self, record: StreamRecord) {
            self.0.send((record.bytes_out, record.closed.is_some())).unwrap();
        }
    }

    fn record() -> StreamRecord {
        StreamRecord {
            id: "a".into(),
            verb: StreamVerb::Exec,
            group: String::new(),
            resource: "pods".into(),
            namespace: "default".into(),
            name: "web".into(),
            container: String::new(),
            command: Vec::new(),
            tty: true,
            stdin: true,
            follow: false,
            ports: Vec::new(),
            query: String::new(),
            user: "learner".into(),
            user_agent: String::new(),
            kubectl_command: String::new(),
            kubectl_session: String::new(),
            opened: Timestamp::UNIX_EPOCH,
            closed: None,
            connections: 1,
            bytes_in: 0,
            bytes_out: 0,
            code: 101,
        }
    }

    #[tokio::test]
    async fn bytes_are_told_while_a_stream_is_open() {
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let stream = OpenStream::open(Arc::new(Heard(sender)), SystemClock::shared(), record());
        assert_eq!(heard.recv().await, Some((0, false)));
        stream.counters.add_out(5);
        assert_eq!(heard.recv().await, Some((5, false)), "it is open still");
        drop(stream);
        assert_eq!(heard.recv().await, Some((5, true)));
        assert_eq!(heard.recv().await, None, "the end is the last word");
    }
}
