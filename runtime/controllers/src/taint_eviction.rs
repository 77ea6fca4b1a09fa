//! Pods leave nodes whose `NoExecute` taints they do not tolerate, at once or when their toleration ends.
// upstream: pkg/controller/tainteviction/taint_eviction.go

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::clock::after;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::placement;
use crate::cache::{Change, Key};
use crate::condition::TRUE;
use crate::error::{Result, ignore_not_found};
use crate::pod;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

const WORKERS: usize = 8;

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let caches = controller.caches.clone();
    caches.pods.on_change({
        let queue = queue.clone();
        move |change| {
            let pod = change.latest();
            if !pod::node(pod).is_empty() && !matches!(change, Change::Deleted(_)) {
                queue.add(Key::of(&**pod));
            }
        }
    });
    let pods = caches.pods.clone();
    caches.nodes.on_change({
        let queue = queue.clone();
        move |change| {
            let evicts = |node: &Node| evicting(node).next().is_some();
            let concerned = match change {
                Change::Updated { old, new } => old.spec != new.spec && (evicts(old) || evicts(new)),
                Change::Added(node) => evicts(node),
                Change::Deleted(_) => false,
            };
            if concerned {
                let name = change.latest().name_any();
                pods.list().iter().filter(|pod| pod::node(pod) == name).for_each(|pod| queue.add(Key::of(&**pod)));
            }
        }
    });
    let synced = [caches.nodes.synced(), caches.pods.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

fn evicting(node: &Node) -> impl Iterator<Item = &Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().filter(|taint| taint.effect == "NoExecute")
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(pod) = controller.caches.pods.get(&key) else { return Ok(None) };
    if pod.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let Some(node) = controller.caches.nodes.get(&Key::new("", pod::node(&pod))) else { return Ok(None) };
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let now = controller.clock.now();
    match leaves_at(evicting(&node), tolerations, now) {
        None => Ok(None),
        Some(time) if time > now => Ok(Some(Duration::try_from(time.duration_since(now)).unwrap_or_default())),
        Some(_) => evict(&controller, &pod).await.map(|()| None),
    }
}

/// When the Pod has to go; none when it may stay. It is derived from the time a taint came, so that a restart forgets nothing.
fn leaves_at<'a>(taints: impl Iterator<Item = &'a Taint>, tolerations: &[Toleration], now: Timestamp) -> Option<Timestamp> {
    taints.filter_map(|taint| leaves_for(taint, tolerations, now)).min()
}

fn leaves_for(taint: &Taint, tolerations: &[Toleration], now: Timestamp) -> Option<Timestamp> {
    let Some(toleration) = tolerations.iter().find(|toleration| placement::tolerates(toleration, taint)) else { return Some(Timestamp::MIN) };
    let seconds = toleration.toleration_seconds?;
    let since = taint.time_added.as_ref().map_or(now, |time| time.0);
    Some(after(since, Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

async fn evict(controller: &Controller, pod: &Pod) -> Result<()> {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    controller.recorder.event(pod, Kind::Normal, "TaintManagerEviction", format!("Marking for deletion Pod {namespace}/{name}"));
    let api: Api<Pod> = Api::namespaced(controller.client.clone(), &namespace);
    let condition = json!({
        "type": "DisruptionTarget", "status": TRUE, "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": Time(controller.clock.now()),
    });
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    ignore_not_found(api.patch_status(&name, &params, &Patch::Strategic(patch)).await)?;
    let params = DeleteParams { preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }), ..DeleteParams::default() };
    ignore_not_found(api.delete(&name, &params).await)?;
    controller.caches.pods.gone(&Key::of(pod), &pod.uid().unwrap_or_default()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_leave_when_toleration_ends() {
        let added: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let unreachable = Taint { key: "node.kubernetes.io/unreachable".into(), effect: "NoExecute".into(), time_added: Some(Time(added)), value: None };
        let other = Taint { key: "other".into(), effect: "NoExecute".into(), time_added: Some(Time(added)), value: Some("v".into()) };
        let after_seconds = |seconds| Some(after(added, Duration::from_secs(seconds)));
        let tolerates = |key: &str, seconds: Option<i64>| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
        let unreachable_for = |seconds| tolerates("node.kubernetes.io/unreachable", seconds);
        for (name, taints, tolerations, expected) in [
            ("no taint", vec![], vec![], None),
            ("untolerated", vec![&unreachable], vec![], Some(Timestamp::MIN)),
            ("for ever", vec![&unreachable], vec![unreachable_for(None)], None),
            ("five minutes", vec![&unreachable], vec![unreachable_for(Some(300))], after_seconds(300)),
            ("the shortest", vec![&unreachable, &other], vec![unreachable_for(Some(300)), tolerates("other", Some(10))], after_seconds(10)),
            ("one untolerated", vec![&unreachable, &other], vec![unreachable_for(None)], Some(Timestamp::MIN)),
            ("everything", vec![&unreachable, &other], vec![json!({"operator": "Exists"})], None),
        ] {
            let tolerations: Vec<Toleration> = tolerations.into_iter().map(|one| serde_json::from_value(one).expect("a toleration")).collect();
            assert_eq!(leaves_at(taints.into_iter(), &tolerations, added), expected, "{name}");
        }
    }
}
