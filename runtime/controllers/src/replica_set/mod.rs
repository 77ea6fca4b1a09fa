//! The ReplicaSet controller: as many Pods as asked for.
//!
//! 1. Claim: adopt Pods without an owner that match the selector, release those that match no more.
//! 2. Count the active ones and create or delete the difference.
//! 3. Report what there is in the status.
// upstream: pkg/controller/replicaset/replica_set.go

mod ranking;
mod status;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};

use crate::cache::{Change, Key};
use crate::error::{Error, Result, ignore_not_found};
use crate::owner::{self, controller_of, controller_reference};
use crate::pod;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

const WORKERS: usize = 5;
/// The most Pods that one reconcile creates or deletes.
const BURST: usize = 500;

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    watch_sets(&controller, &queue);
    watch_pods(&controller, &queue);
    async move {
        controller.caches.pods.synced().await;
        controller.caches.replica_sets.synced().await;
        let cancel = controller.cancel.clone();
        let controller = Arc::new(controller);
        queue.work(WORKERS, cancel, move |key| reconcile(Arc::clone(&controller), key)).await;
    }
}

fn watch_sets(controller: &Controller, queue: &Queue<Key>) {
    let queue = queue.clone();
    controller.caches.replica_sets.on_change(move |change| queue.add(Key::of(&**change.latest())));
}

/// A Pod concerns its owner, its owner before, and, when it has none, every ReplicaSet that would adopt it.
fn watch_pods(controller: &Controller, queue: &Queue<Key>) {
    let (queue, sets) = (queue.clone(), controller.caches.replica_sets.clone());
    let add_owner = {
        let queue = queue.clone();
        move |pod: &Pod| {
            let owner = controller_of(&pod.metadata).filter(|owner| owner.kind == "ReplicaSet");
            if let Some(owner) = owner {
                queue.add(Key::new(pod.metadata.namespace.as_deref().unwrap_or_default(), &owner.name));
            }
            owner.is_some()
        }
    };
    controller.caches.pods.on_change(move |change| {
        if let Change::Updated { old, .. } = change {
            add_owner(old);
        }
        let pod = change.latest();
        if add_owner(pod) || controller_of(&pod.metadata).is_some() || matches!(change, Change::Deleted(_)) {
            return;
        }
        for set in sets.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = set.spec.as_ref().and_then(|spec| owner::selector(&spec.selector).ok());
            if selector.is_some_and(|selector| !selector.is_everything() && owner::matches(&selector, &pod.metadata)) {
                queue.add(Key::of(&*set));
            }
        }
    });
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(set) = controller.caches.replica_sets.get(&key) else { return Ok(None) };
    let Some(spec) = &set.spec else { return Ok(None) };
    let selector = owner::selector(&spec.selector).map_err(|error| Error::Object(error.to_string()))?;
    let pods = owner::claim(&controller.client, &*set, &selector, &controller.caches.pods).await?;
    let (mut active, others): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| pod::is_active(pod));
    let mut failure = None;
    if set.metadata.deletion_timestamp.is_none() {
        match manage(&controller, &set, &mut active).await {
            Ok(()) => {}
            Err(error) => failure = Some(error),
        }
    }
    let terminating = others.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some() && !pod::is_finished(pod)).count();
    let now = controller.clock.now();
    status::update(&controller, &set, &status::Observed { active: &active, terminating, failure: failure.as_ref() }, now).await?;
    match failure {
        Some(error) if error.is_namespace_terminating() => Ok(None),
        Some(error) => Err(error),
        None => Ok(status::next_available(&active, spec.min_ready_seconds.unwrap_or(0), now)),
    }
}

/// Creates what is missing or deletes what is too much; `active` becomes what there is afterwards.
async fn manage(controller: &Controller, set: &ReplicaSet, active: &mut Vec<Arc<Pod>>) -> Result<()> {
    let wanted = usize::try_from(set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)).unwrap_or(0);
    if active.len() < wanted {
        return create_pods(controller, set, (wanted - active.len()).min(BURST), active).await;
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return Ok(());
    }
    let related = related_pods(controller, set);
    ranking::sort_for_deletion(active, &related, controller.clock.now());
    let doomed: Vec<_> = active.drain(..surplus).collect();
    let deletions = doomed.iter().map(|pod| delete_pod(controller, set, pod));
    join_all(deletions).await.into_iter().collect()
}

/// In batches of one, two, four…, so that a quota that refuses one Pod does not refuse five hundred.
// upstream: pkg/controller/replicaset/replica_set.go slowStartBatch
async fn create_pods(controller: &Controller, set: &ReplicaSet, count: usize, active: &mut Vec<Arc<Pod>>) -> Result<()> {
    let mut remaining = count;
    let mut batch = 1;
    while remaining > 0 {
        batch = batch.min(remaining);
        let results = join_all((0..batch).map(|_| create_pod(controller, set))).await;
        let mut first_error = None;
        for result in results {
            match result {
                Ok(pod) => active.push(Arc::new(pod)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        // One wait for the newest is enough: the copy shows revisions in order.
        for pod in active.iter().rev().take(batch) {
            controller.caches.pods.reached(&**pod).await;
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        remaining -= batch;
        batch *= 2;
    }
    Ok(())
}

async fn create_pod(controller: &Controller, set: &ReplicaSet) -> Result<Pod> {
    let namespace = set.namespace().unwrap_or_default();
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    let prefix = format!("{}-", set.name_any());
    let pod = Pod {
        metadata: ObjectMeta {
            generate_name: Some(prefix),
            namespace: Some(namespace.clone()),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_reference(set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    };
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let api: Api<Pod> = Api::namespaced(controller.client.clone(), &namespace);
    match api.create(&params, &pod).await.map_err(Error::from) {
        Ok(pod) => {
            controller.recorder.event(set, Kind::Normal, "SuccessfulCreate", format!("Created pod: {}", pod.name_any()));
            Ok(pod)
        }
        Err(error) => {
            if !error.is_namespace_terminating() {
                controller.recorder.event(set, Kind::Warning, "FailedCreate", format!("Error creating: {}", error.message()));
            }
            Err(error)
        }
    }
}

async fn delete_pod(controller: &Controller, set: &ReplicaSet, pod: &Pod) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(controller.client.clone(), &pod.namespace().unwrap_or_default());
    let params = DeleteParams { preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }), ..DeleteParams::default() };
    let name = pod.name_any();
    match ignore_not_found(api.delete(&name, &params).await) {
        Ok(_) => {
            controller.recorder.event(set, Kind::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
            controller.caches.pods.gone(&Key::of(pod), &pod.uid().unwrap_or_default()).await;
            Ok(())
        }
        Err(error) => {
            controller.recorder.event(set, Kind::Warning, "FailedDelete", format!("Error deleting: {}", error.message()));
            Err(error)
        }
    }
}

/// Active Pods of every ReplicaSet with the same owner: where an application crowds, it shrinks first.
fn related_pods(controller: &Controller, set: &ReplicaSet) -> Vec<Arc<Pod>> {
    let namespace = set.namespace().unwrap_or_default();
    let owner = controller_of(&set.metadata).map(|owner| &owner.uid);
    let sets = controller.caches.replica_sets.in_namespace(&namespace);
    let siblings = sets.iter().filter(|other| other.metadata.uid == set.metadata.uid || owner.is_some() && controller_of(&other.metadata).map(|owner| &owner.uid) == owner);
    let uids: Vec<_> = siblings.filter_map(|other| other.uid()).collect();
    let mut pods = controller.caches.pods.in_namespace(&namespace);
    pods.retain(|pod| pod::is_active(pod) && controller_of(&pod.metadata).is_some_and(|owner| uids.contains(&owner.uid)));
    pods
}
