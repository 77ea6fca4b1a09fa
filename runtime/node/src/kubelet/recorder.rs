//! Events: what happened to a Pod, told once and counted when it happens again.
//!
//! One task writes them, so that nobody waits for it; equal ones within ten minutes become a count.

// upstream: staging/src/k8s.io/client-go/tools/record/events_cache.go

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, Patch, PatchParams, PostParams};
use tokio::sync::mpsc;

use super::status::time;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Severity {
    /// Business as usual.
    Normal,
    /// Somebody should look.
    Warning,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        }
    }
}

/// Takes events; clones share one writer.
#[derive(Clone)]
pub(super) struct Recorder(mpsc::UnboundedSender<Told>);

struct Told {
    about: ObjectReference,
    severity: Severity,
    reason: &'static str,
    message: String,
    at: Timestamp,
}

struct Known {
    name: String,
    count: i32,
    last: Timestamp,
}

impl Recorder {
    /// Start the writer.
    pub(super) fn start(client: kube::Client, node: String) -> Recorder {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(write(client, node, receiver));
        Recorder(sender)
    }

    /// Tell something about a Pod.
    pub(super) fn pod(&self, pod: &Pod, severity: Severity, reason: &'static str, message: impl Into<String>) {
        self.tell(pod_reference(pod, None), severity, reason, message.into());
    }

    /// Tell something about a container of a Pod; `list` is `containers`, `initContainers` or `ephemeralContainers`.
    pub(super) fn container(&self, pod: &Pod, field: String, severity: Severity, reason: &'static str, message: impl Into<String>) {
        self.tell(pod_reference(pod, Some(field)), severity, reason, message.into());
    }

    /// Tell something about the node.
    pub(super) fn node(&self, node: &Node, severity: Severity, reason: &'static str, message: impl Into<String>) {
        let name = node.metadata.name.clone();
        let about = ObjectReference { kind: Some("Node".into()), uid: name.clone(), name, ..ObjectReference::default() };
        self.tell(about, severity, reason, message.into());
    }

    fn tell(&self, about: ObjectReference, severity: Severity, reason: &'static str, message: String) {
        let told = Told { about, severity, reason, message, at: Timestamp::now() };
        if self.0.send(told).is_err() {
            tracing::debug!("the event writer is gone");
        }
    }
}

fn pod_reference(pod: &Pod, field_path: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".into()),
        kind: Some("Pod".into()),
        name: pod.metadata.name.clone(),
        namespace: pod.metadata.namespace.clone(),
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
        field_path,
    }
}

/// What makes two events the same: uid, field, reason, message.
type Key = (Option<String>, Option<String>, &'static str, String);

async fn write(client: kube::Client, node: String, mut told: mpsc::UnboundedReceiver<Told>) {
    let mut known: HashMap<Key, Known> = HashMap::new();
    while let Some(event) = told.recv().await {
        known.retain(|_, known| event.at.duration_since(known.last) < SignedDuration::from_mins(10));
        let key = (event.about.uid.clone(), event.about.field_path.clone(), event.reason, event.message.clone());
        let namespace = event.about.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let writing = match known.get_mut(&key) {
            Some(seen) => {
                seen.count += 1;
                seen.last = event.at;
                let patch = serde_json::json!({"count": seen.count, "lastTimestamp": time(event.at)});
                Writing::Count(seen.name.clone(), patch)
            }
            None => {
                let nanos = event.at.as_nanosecond();
                let name = format!("{}.{nanos:x}", event.about.name.as_deref().unwrap_or_default());
                known.insert(key.clone(), Known { name: name.clone(), count: 1, last: event.at });
                Writing::New(Box::new(object(event, &node, &name, &namespace)))
            }
        };
        if let Err(error) = writing.send(&api).await {
            tracing::debug!(%error, "cannot write an event");
            known.remove(&key);
        }
    }
}

enum Writing {
    New(Box<Event>),
    Count(String, serde_json::Value),
}

impl Writing {
    /// Write it, again while the API does not answer; what the API refuses is dropped.
    async fn send(&self, api: &Api<Event>) -> Result<(), kube::Error> {
        let mut tries = 0;
        loop {
            let result = match self {
                Writing::New(event) => api.create(&PostParams::default(), event).await,
                Writing::Count(name, patch) => api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await,
            };
            tries += 1;
            match result {
                Ok(_) => return Ok(()),
                Err(error @ kube::Error::Api(_)) => return Err(error),
                // upstream: maxTriesPerEvent
                Err(error) if tries == 12 => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}

fn object(event: Told, node: &str, name: &str, namespace: &str) -> Event {
    Event {
        metadata: ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() },
        involved_object: event.about,
        reason: Some(event.reason.to_owned()),
        message: Some(event.message),
        type_: Some(event.severity.name().to_owned()),
        count: Some(1),
        first_timestamp: Some(time(event.at)),
        last_timestamp: Some(time(event.at)),
        source: Some(EventSource { component: Some("kubelet".into()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".into()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}
