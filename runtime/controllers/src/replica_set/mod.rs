//! The controller of ReplicaSets and ReplicationControllers: as many Pods as asked for.
//!
//! 1. Claim: adopt Pods without an owner that match the selector, release those that match no more.
//! 2. Count the active ones and create or delete the difference.
//! 3. Report what there is in the status.
// upstream: pkg/controller/replicaset/replica_set.go, pkg/controller/replication/replication_controller.go

mod kind;
mod ranking;
mod status;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::cache::Key;
use crate::error::Result;
use crate::owner::{self, controller_of};
use crate::pod;
use crate::pod_control::{self, BURST};
use crate::queue::Queue;
use crate::shared::Controller;
pub(crate) use kind::Replicated;
use kind::Wish;

const WORKERS: usize = 5;

/// Keeps the Pods of one kind until cancelled. Handlers stand when this returns.
pub(crate) fn run<K: Replicated>(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    K::cache(&controller.caches).on_change({
        let queue = queue.clone();
        move |change| queue.add(Key::of(&**change.latest()))
    });
    owner::watch_owned(&controller.caches.pods, K::cache(&controller.caches), &queue, |set: &K| Some(set.wish().ok()??.selector));
    let caches = &controller.caches;
    let synced = [caches.pods.synced(), K::cache(caches).synced()];
    controller.work(queue, WORKERS, synced, reconcile::<K>)
}

async fn reconcile<K: Replicated>(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(set) = K::cache(&controller.caches).get(&key) else { return Ok(None) };
    let Some(wish) = set.wish()? else { return Ok(None) };
    let pods = owner::claim(&controller.client, &*set, &wish.selector, &controller.caches.pods).await?;
    let (mut active, others): (Vec<_>, Vec<_>) = pods.into_iter().partition(|pod| pod::is_active(pod));
    let mut failure = None;
    if set.meta().deletion_timestamp.is_none() {
        match manage(&controller, &*set, &wish, &mut active).await {
            Ok(()) => {}
            Err(error) => failure = Some(error),
        }
    }
    let terminating = others.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some() && !pod::is_finished(pod)).count();
    let now = controller.clock.now();
    status::update(&controller, &*set, &wish, &status::Observed { active: &active, terminating, failure: failure.as_ref() }, now).await?;
    match failure {
        Some(error) if error.is_namespace_terminating() => Ok(None),
        Some(error) => Err(error),
        None => Ok(pod::next_available(&active, wish.min_ready_seconds, now)),
    }
}

/// Creates what is missing or deletes what is too much; `active` becomes what there is afterwards.
async fn manage<K: Replicated>(controller: &Controller, set: &K, wish: &Wish, active: &mut Vec<Arc<Pod>>) -> Result<()> {
    let wanted = usize::try_from(wish.replicas).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        return pod_control::create_all(controller, set, &vec![wish.template.clone(); missing], active).await;
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return Ok(());
    }
    let related = related_pods(controller, set);
    ranking::sort_for_deletion(active, &related, controller.clock.now());
    let doomed: Vec<_> = active.drain(..surplus).collect();
    pod_control::delete_all(controller, set, &doomed).await
}

/// Active Pods of every object of the kind with the same owner: where an application crowds, it shrinks first.
fn related_pods<K: Replicated>(controller: &Controller, set: &K) -> Vec<Arc<Pod>> {
    let namespace = set.namespace().unwrap_or_default();
    let owner = controller_of(set.meta()).map(|owner| &owner.uid);
    let sets = K::cache(&controller.caches).in_namespace(&namespace);
    let siblings = sets.iter().filter(|other| other.meta().uid == set.meta().uid || owner.is_some() && controller_of(other.meta()).map(|owner| &owner.uid) == owner);
    let uids: Vec<_> = siblings.filter_map(|other| other.uid()).collect();
    let mut pods = controller.caches.pods.in_namespace(&namespace);
    pods.retain(|pod| pod::is_active(pod) && controller_of(&pod.metadata).is_some_and(|owner| uids.contains(&owner.uid)));
    pods
}
