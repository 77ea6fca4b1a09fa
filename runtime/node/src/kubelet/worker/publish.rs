//! Writes one Pod's status, always the newest, and deletes the object when its Pod has ended.

// upstream: pkg/kubelet/status/status_manager.go, syncPod

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
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
pub(super) async fn run(client: kube::Client, pod: Arc<Pod>, mut updates: watch::Receiver<Option<Update>>) {
    let api: Api<Pod> = Api::namespaced(client, namespace(&pod));
    while updates.changed().await.is_ok() {
        let mut conflicts = 0;
        loop {
            let Some(update) = updates.borrow_and_update().clone() else { break };
            match write(&api, &pod, &update).await {
                Ok(()) if update.finish => return,
                Ok(()) => break,
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
    fn absent_fields_are_taken_out_by_name() {
        let patch = patch("u", &PodStatus { phase: Some("Running".into()), ..PodStatus::default() });
        assert_eq!(patch["metadata"]["uid"], "u");
        assert_eq!(patch["status"]["phase"], "Running");
        assert!(patch["status"].as_object().unwrap().contains_key("reason"));
        assert!(patch["status"]["reason"].is_null());
    }
}
