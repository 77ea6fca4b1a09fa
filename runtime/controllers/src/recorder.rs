//! Events about objects, as `kubectl describe` lists them.
//!
//! The same event again raises the count of the first, as upstream's correlator does.
// upstream: client-go/tools/record/event.go, events_cache.go

use std::collections::HashMap;
use std::fmt::Debug;

use drydock_primitives::clock::SharedClock;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde_json::json;
use tokio::sync::mpsc;

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Normal,
    Warning,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Note {
    namespace: String,
    name: String,
    uid: String,
    api_version: String,
    object_kind: String,
    kind: Kind,
    reason: String,
    message: String,
}

/// Writes events in the background, in order. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    notes: mpsc::UnboundedSender<(Note, Option<String>)>,
}

impl Recorder {
    /// A recorder whose events come from `component`. Its task ends with the last clone.
    pub(crate) fn new(client: Client, component: &str, clock: SharedClock) -> Self {
        let (notes, inbox) = mpsc::unbounded_channel();
        tokio::spawn(write(inbox, client, component.to_owned(), clock));
        Self { notes }
    }

    /// Records that something happened to `object`.
    pub(crate) fn event<K: Resource<DynamicType = ()>>(&self, object: &K, kind: Kind, reason: &str, message: impl Into<String>) {
        let meta = object.meta();
        let note = Note {
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
            uid: meta.uid.clone().unwrap_or_default(),
            api_version: K::api_version(&()).into_owned(),
            object_kind: K::kind(&()).into_owned(),
            kind,
            reason: reason.to_owned(),
            message: message.into(),
        };
        if self.notes.send((note, meta.resource_version.clone())).is_err() {
            tracing::debug!(reason, "event after the end of its recorder");
        }
    }
}

async fn write(mut inbox: mpsc::UnboundedReceiver<(Note, Option<String>)>, client: Client, component: String, clock: SharedClock) {
    let mut known: HashMap<Note, (String, i32)> = HashMap::new();
    while let Some((note, resource_version)) = inbox.recv().await {
        let namespace = if note.namespace.is_empty() { "default" } else { &note.namespace };
        let api: Api<Event> = Api::namespaced(client.clone(), namespace);
        let now = Time(clock.now());
        if let Some((name, count)) = known.get_mut(&note) {
            *count += 1;
            let patch = json!({"count": *count, "lastTimestamp": now});
            match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => continue,
                Err(error) => tracing::debug!(%error, "the earlier event is gone; a new one is written"),
            }
        }
        let name = format!("{}.{:x}", note.name, clock.now().as_nanosecond());
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() },
            involved_object: ObjectReference {
                api_version: Some(note.api_version.clone()),
                kind: Some(note.object_kind.clone()),
                name: Some(note.name.clone()),
                namespace: Some(note.namespace.clone()).filter(|namespace| !namespace.is_empty()),
                uid: Some(note.uid.clone()),
                resource_version,
                field_path: None,
            },
            reason: Some(note.reason.clone()),
            message: Some(note.message.clone()),
            type_: Some(format!("{:?}", note.kind)),
            source: Some(EventSource { component: Some(component.clone()), host: None }),
            reporting_component: Some(component.clone()),
            reporting_instance: Some(String::new()),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                // The memory is for repetitions that follow soon; it need not know everything.
                if known.len() > 4096 {
                    known.clear();
                }
                known.insert(note, (name, 1));
            }
            Err(error) => tracing::debug!(%error, reason = note.reason, "event not written"),
        }
    }
}
