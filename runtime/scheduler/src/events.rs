//! Events about Pods, as `kubectl describe` lists them. The same news again raises the count of the first.
// upstream: client-go/tools/events/event_recorder.go, event_broadcaster.go

use std::collections::HashMap;

use drydock_primitives::clock::SharedClock;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;

use crate::pod_info::PodInfo;

/// The name under which the scheduler reports.
pub(crate) const NAME: &str = "default-scheduler";

/// The two things a scheduler has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum News {
    Scheduled,
    Failed,
}

impl News {
    /// Type, reason and action.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Scheduled => ("Normal", "Scheduled", "Binding"),
            Self::Failed => ("Warning", "FailedScheduling", "Scheduling"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Note {
    namespace: String,
    name: String,
    uid: String,
    news: News,
    message: String,
}

/// Writes events in the background, in order.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    notes: mpsc::UnboundedSender<(Note, Option<String>)>,
}

impl Recorder {
    /// Its task ends with the last clone.
    pub(crate) fn new(client: Client, clock: SharedClock) -> Self {
        let (notes, inbox) = mpsc::unbounded_channel();
        tokio::spawn(write(inbox, client, clock));
        Self { notes }
    }

    pub(crate) fn record(&self, pod: &PodInfo, news: News, message: impl Into<String>) {
        let note = Note { namespace: pod.namespace().into(), name: pod.name().into(), uid: pod.uid().into(), news, message: message.into() };
        if self.notes.send((note, pod.pod.metadata.resource_version.clone())).is_err() {
            tracing::debug!("event after the end of its recorder");
        }
    }
}

async fn write(mut inbox: mpsc::UnboundedReceiver<(Note, Option<String>)>, client: Client, clock: SharedClock) {
    let mut known: HashMap<Note, (String, i32)> = HashMap::new();
    while let Some((note, resource_version)) = inbox.recv().await {
        let api: Api<Event> = Api::namespaced(client.clone(), &note.namespace);
        let now = MicroTime(clock.now());
        if let Some((name, count)) = known.get_mut(&note) {
            *count += 1;
            let patch = json!({"series": {"count": *count, "lastObservedTime": now}});
            match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => continue,
                Err(error) => tracing::debug!(%error, "the earlier event is gone; a new one is written"),
            }
        }
        let name = format!("{}.{:x}", note.name, clock.now().as_nanosecond());
        let event = event(&note, &name, now, resource_version);
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                // The memory is for repetitions that follow soon; it need not know everything.
                if known.len() > 4096 {
                    known.clear();
                }
                known.insert(note, (name, 1));
            }
            Err(error) => tracing::debug!(%error, "event not written"),
        }
    }
}

fn event(note: &Note, name: &str, now: MicroTime, resource_version: Option<String>) -> Event {
    let (kind, reason, action) = note.news.words();
    Event {
        metadata: ObjectMeta { name: Some(name.to_owned()), namespace: Some(note.namespace.clone()), ..ObjectMeta::default() },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(note.name.clone()),
            namespace: Some(note.namespace.clone()),
            uid: Some(note.uid.clone()),
            resource_version,
            field_path: None,
        },
        reason: Some(reason.into()),
        action: Some(action.into()),
        message: Some(note.message.clone()),
        type_: Some(kind.into()),
        event_time: Some(now),
        source: Some(EventSource::default()),
        reporting_component: Some(NAME.into()),
        reporting_instance: Some(format!("{NAME}-control-plane")),
        ..Event::default()
    }
}
