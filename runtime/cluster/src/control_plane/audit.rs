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
        let status = json!({
            "opened": record.opened.to_string(), "closed": record.closed.map(|closed| closed.to_string()), "connections": record.connections,
            "bytesIn": record.bytes_in, "bytesOut": record.bytes_out, "code": record.code, "ports": record.ports,
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let name = open.get(&record.id).cloned();
        if let Some(name) = name {
            self.evidence.update(Kind::Stream, &name, |record| record["status"] = status);
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
