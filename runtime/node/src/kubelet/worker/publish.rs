//! Writes one Pod's status, always the newest, and deletes the object when its Pod has ended.

// upstream: pkg/kubelet/status/status_manager.go, syncPod

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kubelet::state::{name, namespace, uid};

/// A status to write; `finish` lets the object go afterwards.
#[derive(Debug, Clone)]
pub(super) struct Update {
    /// What to write.
    pub(super) status: PodStatus,
    /// It is the last one.
    pub(super) finish: bool,
    /// The next one comes in a moment: the Pod is on its way up.
    pub(super) passing: bool,
}

/// What there is to write: the first status of all, which is written whatever comes after it, and the newest.
#[derive(Debug, Default)]
pub(super) struct News {
    first: Option<Update>,
    newest: Option<Update>,
    /// How many there were.
    count: u64,
}

impl News {
    /// There is another one.
    pub(super) fn tell(&mut self, update: Update) {
        if self.first.is_none() {
            self.first = Some(update.clone());
        }
        self.newest = Some(update);
        self.count += 1;
    }
}

/// How long a status that will soon be another one waits for it. Of a Pod whose image is here it is written that its containers are being
/// created, which is what people watch for, and that it is ready.
const MOMENT: Duration = Duration::from_millis(120);

/// Whether a status is one that a Pod has on its way from its node's first look to being ready.
pub(super) fn is_passing(before: &PodStatus, now: &PodStatus) -> bool {
    let ready = |status: &PodStatus| status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let containers = [&now.init_container_statuses, &now.container_statuses, &now.ephemeral_container_statuses];
    let on_the_way = |status: &ContainerStatus| {
        let Some(state) = &status.state else { return true };
        let reason = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref());
        state.terminated.is_none() && reason.is_none_or(|reason| matches!(reason, "ContainerCreating" | "PodInitializing"))
    };
    matches!(now.phase.as_deref(), Some("Pending" | "Running")) && !ready(before) && !ready(now) && containers.into_iter().flatten().flatten().all(on_the_way)
}

/// Fields that are written as null when they are absent, so that a merge takes them out.
const OPTIONAL: [&str; 8] = [
    "reason",
    "message",
    "podIP",
    "podIPs",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "startTime",
];

/// Write until the sender is gone or the object is.
pub(super) async fn run(client: kube::Client, pod: Arc<Pod>, mut updates: watch::Receiver<News>) {
    let api: Api<Pod> = Api::namespaced(client, namespace(&pod));
    let mut written = 0;
    while updates.wait_for(|news| news.count > written).await.is_ok() {
        // The first word about a Pod waits for nothing: the containers are made while it is written.
        if written > 0 {
            while_passing(&mut updates).await;
        }
        let mut conflicts = 0;
        loop {
            let (count, update) = {
                let news = updates.borrow_and_update();
                if written == 0 { (1, news.first.clone()) } else { (news.count, news.newest.clone()) }
            };
            let Some(update) = update else { break };
            match write(&api, &pod, &update).await {
                Ok(()) if update.finish => return,
                Ok(()) => {
                    written = count;
                    break;
                }
                Err(kube::Error::Api(status)) if status.code == 409 && conflicts < 5 => {
                    conflicts += 1;
                    tracing::debug!(pod = name(&pod), message = status.message, "somebody else wrote at the same time");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404 | 409) => {
                    // The object is gone, or another one has its name now: on another node even, whose affair it is.
                    tracing::debug!(pod = name(&pod), message = status.message, "no object to write to");
                    if update.finish {
                        return;
                    }
                    written = count;
                    break;
                }
                Err(error) => {
                    tracing::warn!(pod = name(&pod), %error, "cannot write a Pod's status");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// Wait for the status that stays, but not long.
async fn while_passing(updates: &mut watch::Receiver<News>) {
    let until = tokio::time::Instant::now() + MOMENT;
    while updates.borrow_and_update().newest.as_ref().is_some_and(|update| update.passing) {
        if !matches!(tokio::time::timeout_at(until, updates.changed()).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn write(api: &Api<Pod>, pod: &Pod, update: &Update) -> Result<(), kube::Error> {
    let patch = Patch::Merge(patch(uid(pod), &update.status));
    api.patch_status(name(pod), &PatchParams::default(), &patch).await?;
    if update.finish {
        let preconditions = Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None });
        let params = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        api.delete(name(pod), &params).await?;
    }
    Ok(())
}

fn patch(uid: &str, status: &PodStatus) -> Value {
    let mut status = json!(status);
    if let Value::Object(fields) = &mut status {
        for field in OPTIONAL {
            fields.entry(field).or_insert(Value::Null);
        }
    }
    json!({"metadata": {"uid": uid}, "status": status})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_soon_changes_is_not_written() {
        let status = |phase: &str, ready: &str, state: Value| -> PodStatus {
            let container = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state});
            serde_json::from_value(json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready}], "containerStatuses": [container]})).unwrap()
        };
        let waiting = |reason: &str| json!({"waiting": {"reason": reason}});
        let running = || json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let (new, up) = (PodStatus::default(), status("Running", "True", running()));
        for (before, now, passing) in [
            (&new, status("Pending", "False", waiting("ContainerCreating")), true),
            (&new, status("Pending", "False", waiting("PodInitializing")), true),
            (&new, status("Running", "False", running()), true),
            (&new, status("Running", "True", running()), false),
            (&up, status("Running", "False", running()), false),
            (&new, status("Pending", "False", waiting("ErrImagePull")), false),
            (&new, status("Running", "False", json!({"terminated": {"exitCode": 1}})), false),
            (&new, status("Succeeded", "False", json!({"terminated": {"exitCode": 0}})), false),
        ] {
            assert_eq!(is_passing(before, &now), passing, "{now:?}");
        }
    }

    /// What is written while a Pod comes up: that it is being made, and that it is ready.
    #[tokio::test]
    async fn the_first_word_is_written_at_once_and_what_passes_after_it_is_not() {
        let written: Arc<std::sync::Mutex<Vec<Value>>> = Arc::default();
        let log = Arc::clone(&written);
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let api = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (log, told) = (Arc::clone(&log), told.clone());
            async move {
                let patch: Value = serde_json::from_slice(&request.into_body().collect_bytes().await.unwrap()).unwrap();
                log.lock().unwrap().push(patch["status"]["phase"].clone());
                told.send(()).unwrap();
                Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(b"{\"metadata\":{\"name\":\"web\"}}".to_vec())))
            }
        });
        let pod: Arc<Pod> = Arc::new(serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "default", "uid": "u"}})).unwrap());
        // Whether or not there is time to write the first one before the others come.
        for late in [false, true] {
            let (sender, updates) = watch::channel(News::default());
            let tell = |phase: &str, passing| {
                let status = PodStatus { phase: Some(phase.into()), ..PodStatus::default() };
                sender.send_modify(|news| news.tell(Update { status, finish: false, passing }));
            };
            let publish = run(kube::Client::new(api.clone(), "default"), Arc::clone(&pod), updates);
            tell("Pending", true);
            let rest = || {
                tell("Starting", true);
                tell("Running", false);
            };
            if late {
                rest();
                drop(sender);
                publish.await;
            } else {
                let publisher = tokio::spawn(publish);
                heard.recv().await.unwrap();
                rest();
                drop(sender);
                publisher.await.unwrap();
            }
            assert_eq!(std::mem::take(&mut *written.lock().unwrap()), ["Pending", "Running"], "late: {late}");
        }
    }

    #[tokio::test]
    async fn a_status_that_passes_waits_for_the_one_that_stays() {
        let (sender, mut updates) = watch::channel(News::default());
        let tell = |passing| sender.send_modify(|news| news.tell(Update { status: PodStatus::default(), finish: false, passing }));
        tell(true);
        tell(false);
        while_passing(&mut updates).await;
        assert!(!updates.borrow().newest.as_ref().unwrap().passing);
        // Nothing better comes: it is written all the same.
        tell(true);
        while_passing(&mut updates).await;
        assert!(updates.borrow().newest.as_ref().unwrap().passing);
    }

    #[test]
    fn absent_fields_are_taken_out_by_name() {
        let patch = patch("u", &PodStatus { phase: Some("Running".into()), ..PodStatus::default() });
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["status"]["phase"], "Running");
        assert!(patch["status"].as_object().unwrap().contains_key("reason"));
        assert!(patch["status"]["reason"].is_null());
    }
}
