//! Turns what the API server saw a learner do into evidence.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use drydock_apiserver::audit::{AuditSink, RequestRecord, StreamRecord, StreamVerb};
use serde_json::json;

use crate::evidence::{Evidence, Kind};

/// The learner's user name: what this user does is evidence, what the page and the components do is not.
pub(crate) const LEARNER: &str = "learner";

/// The sink.
pub(super) struct Witness {
    evidence: Evidence,
    /// Names of records of streams that are open, by audit id.
    open: Mutex<HashMap<String, String>>,
}

impl Witness {
    /// A sink that writes to this log.
    pub(super) fn new(evidence: Evidence) -> Witness {
        Witness { evidence, open: Mutex::default() }
    }
}

impl AuditSink for Witness {
    fn request(&self, record: RequestRecord) {
        if record.user != LEARNER || !matches!(record.verb.as_str(), "get" | "list") || record.resource.is_empty() {
            return;
        }
        let spec = json!({
            "verb": record.verb, "group": record.group, "resource": record.resource, "subresource": record.subresource,
            "namespace": record.namespace, "name": record.name, "user": record.user, "userAgent": record.user_agent,
            "kubectlCommand": record.kubectl_command, "kubectlSession": record.kubectl_session,
        });
        let status = json!({"code": record.code, "received": record.received.to_string(), "answered": record.answered.to_string()});
        self.evidence.read(spec, status);
    }

    fn stream(&self, record: StreamRecord) {
        // Watches of `kubectl get -w` count; the endless watches of controllers are not the learner's.
        if record.user != LEARNER {
            return;
        }
        let mut status = json!({
            "opened": record.opened.to_string(), "connections": record.connections,
            "bytesIn": record.bytes_in, "bytesOut": record.bytes_out, "code": record.code, "ports": record.ports,
        });
        // What is still open has no such field: `has(status.closed)` is a question a check may ask.
        if let Some(closed) = record.closed {
            status["closed"] = json!(closed.to_string());
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = open.get(&record.id).cloned();
        if let Some(name) = name {
            self.evidence.update(Kind::Stream, &name, |known| {
                known["spec"]["ports"] = json!(record.ports);
                known["status"] = status;
            });
            if record.closed.is_some() {
                open.remove(&record.id);
            }
            return;
        }
        let pod = record.verb != StreamVerb::Watch && record.resource == "pods";
        let spec = json!({
            "verb": record.verb.as_str(), "group": record.group, "resource": record.resource, "namespace": record.namespace,
            "name": record.name, "pod": if pod { record.name.as_str() } else { "" }, "container": record.container,
            "command": record.command, "tty": record.tty, "stdin": record.stdin, "follow": record.follow, "ports": record.ports,
            "query": record.query, "user": record.user, "userAgent": record.user_agent,
            "kubectlCommand": record.kubectl_command, "kubectlSession": record.kubectl_session,
        });
        let name = self.evidence.add(Kind::Stream, spec, status);
        if record.closed.is_none() {
            open.insert(record.id, name);
        }
    }
}

#[cfg(test)]
mod tests {
    use drydock_apiserver::audit::StreamVerb;
    use jiff::Timestamp;

    use super::*;

    fn forward(closed: Option<Timestamp>, ports: &[u16], bytes_out: u64) -> StreamRecord {
        StreamRecord {
            id: "a1".into(),
            verb: StreamVerb::PortForward,
            group: String::new(),
            resource: "pods".into(),
            namespace: "default".into(),
            name: "web".into(),
            container: String::new(),
            command: Vec::new(),
            tty: false,
            stdin: false,
            follow: false,
            ports: ports.to_vec(),
            query: String::new(),
            user: LEARNER.into(),
            user_agent: String::new(),
            kubectl_command: String::new(),
            kubectl_session: String::new(),
            opened: Timestamp::UNIX_EPOCH,
            closed,
            connections: ports.len() as u64,
            bytes_in: 0,
            bytes_out,
            code: 101,
        }
    }

    #[test]
    fn a_stream_tells_its_ports_while_it_is_open_and_its_end_when_there_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let evidence = Evidence::open(&directory.path().join("evidence"), || 7).unwrap();
        let witness = Witness::new(evidence.clone());
        witness.stream(forward(None, &[], 0));
        witness.stream(forward(None, &[80], 42));
        let open = evidence.list(Kind::Stream).remove(0);
        assert_eq!((&open["spec"]["ports"], &open["status"]["bytesOut"], open["status"].get("closed")), (&json!([80]), &json!(42), None));
        witness.stream(forward(Some(Timestamp::UNIX_EPOCH), &[80], 42));
        assert!(evidence.list(Kind::Stream)[0]["status"]["closed"].is_string());
    }
}
