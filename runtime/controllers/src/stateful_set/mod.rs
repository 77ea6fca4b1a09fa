//! The StatefulSet controller: Pods with a number, each with claims of its own.
//!
//! 1. Claim the Pods that bear the set's name, and the revisions that remember earlier templates ([`history`]).
//! 2. See what is to be done next ([`plan`]): by default one Pod at a time, the lowest number first, and none while another is not ready.
//! 3. Make or remove it as the one it is ([`identity`]), see to it that its claims go with whom they should ([`retention`]), and report.
// upstream: pkg/controller/statefulset/stateful_set.go, stateful_set_control.go, stateful_pod_control.go

mod act;
mod identity;
mod plan;
mod retention;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::selector::LabelSelector as Selector;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use crate::cache::{Change, Key};
use crate::error::{Error, Result, ignore_not_found};
use crate::history::{self, History, Limit, Subject};
use crate::owner::{self, controller_of};
use crate::pod;
use crate::queue::Queue;
use crate::shared::{Controller, MANAGER};
use plan::View;

const WORKERS: usize = 2;
/// The label of a revision that has the hash of its template.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    watch(&controller, &queue);
    let caches = &controller.caches;
    let synced = [caches.pods.synced(), caches.claims.synced(), caches.revisions.synced(), caches.stateful_sets.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

fn watch(controller: &Controller, queue: &Queue<Key>) {
    let caches = &controller.caches;
    let changed = queue.clone();
    caches.stateful_sets.on_change(move |change| changed.add(Key::of(&**change.latest())));
    let (sets, waiting) = (caches.stateful_sets.clone(), queue.clone());
    caches.claims.on_change(move |change| {
        // A Pod is not made before an earlier claim of its name has gone, or is nobody's any more.
        let matters = match change {
            Change::Added(_) => false,
            Change::Updated { old, new } => old.metadata.owner_references != new.metadata.owner_references,
            Change::Deleted(_) => true,
        };
        let claim = change.latest();
        for set in sets.in_namespace(&claim.namespace().unwrap_or_default()).iter().filter(|_| matters) {
            if identity::has_claim(set, &claim.name_any()) {
                waiting.add(Key::of(&**set));
            }
        }
    });
    owner::watch_owned(&caches.pods, &caches.stateful_sets, queue, |set| selector(set).ok());
}

fn selector(set: &StatefulSet) -> Result<Selector> {
    let spec = set.spec.as_ref().ok_or_else(|| Error::Object("a StatefulSet without a spec".into()))?;
    owner::selector(&spec.selector).map_err(|error| Error::Object(error.to_string()))
}

/// The revisions of the template that is left, and of the one that is wanted.
struct Revisions {
    history: History,
    current: ControllerRevision,
}

impl Revisions {
    // upstream: getStatefulSetRevisions
    fn of(set: &StatefulSet, history: History) -> Self {
        let name = set.status.as_ref().and_then(|status| status.current_revision.as_deref()).unwrap_or_default();
        let current = history.old.iter().find(|revision| revision.name_any() == name).map_or_else(|| history.current.clone(), |revision| (**revision).clone());
        Self { history, current }
    }
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(set) = controller.caches.stateful_sets.get(&key) else { return Ok(None) };
    let Some(spec) = set.spec.clone() else { return Ok(None) };
    let selector = selector(&set)?;
    if selector.is_everything() || set.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let collisions = set.status.as_ref().and_then(|status| status.collision_count);
    let subject = Subject { object: &*set, template: &spec.template, collisions, label: HASH_LABEL, cache: &controller.caches.stateful_sets };
    let revisions = Revisions::of(&set, history::construct(&controller, &subject, &selector).await?);
    let own = set.name_any();
    let bears_name = |pod: &Pod| identity::ordinal(&own, &pod.name_any()).is_some();
    owner::claim_those(&controller.client, &*set, &selector, &controller.caches.pods, bears_name).await?;
    let acted = act::carry_out(&controller, &set, &spec, &revisions, &steps(&controller, &set, &spec, &revisions)).await;
    let pods = owned(&controller, &set);
    update_status(&controller, &set, &spec, &revisions, &pods).await?;
    acted?;
    let lives = |revision: &ControllerRevision| {
        let name = revision.name_any();
        name == revisions.current.name_any() || pods.iter().any(|pod| identity::revision(pod) == name)
    };
    revisions.history.clean_up(&controller, &*set, Limit::OfUnused(spec.revision_history_limit), lives).await?;
    Ok(pod::next_available(&pods, spec.min_ready_seconds.unwrap_or(0), controller.clock.now()))
}

fn steps(controller: &Controller, set: &StatefulSet, spec: &StatefulSetSpec, revisions: &Revisions) -> Vec<plan::Step> {
    let pods = owned(controller, set);
    let (current, update) = (revisions.current.name_any(), revisions.history.current.name_any());
    plan::plan(&View { set, spec, pods: &pods, current: &current, update: &update, now: controller.clock.now() })
}

/// The Pods of a StatefulSet as the cache has them now.
fn owned(controller: &Controller, set: &StatefulSet) -> Vec<Arc<Pod>> {
    let mut pods = controller.caches.pods.in_namespace(&set.namespace().unwrap_or_default());
    pods.retain(|pod| controller_of(&pod.metadata).is_some_and(|owner| Some(&owner.uid) == set.metadata.uid.as_ref()));
    pods
}

/// Writes the status when it differs.
// upstream: updateStatefulSetStatus
async fn update_status(controller: &Controller, set: &StatefulSet, spec: &StatefulSetSpec, revisions: &Revisions, pods: &[Arc<Pod>]) -> Result<()> {
    let (current, update) = (revisions.current.name_any(), revisions.history.current.name_any());
    let view = View { set, spec, pods, current: &current, update: &update, now: controller.clock.now() };
    let counts = plan::count(&view);
    let complete = plan::is_complete(&view, &counts);
    let old = set.status.clone().unwrap_or_default();
    let positive = |count: i32| Some(count).filter(|count| *count != 0);
    let status = StatefulSetStatus {
        replicas: counts.replicas,
        ready_replicas: positive(counts.ready),
        available_replicas: Some(counts.available),
        current_replicas: positive(if complete { counts.updated } else { counts.current }),
        updated_replicas: positive(counts.updated),
        current_revision: Some(if complete { update.clone() } else { current.clone() }),
        update_revision: Some(update.clone()),
        observed_generation: set.metadata.generation,
        collision_count: Some(old.collision_count.unwrap_or(0)),
        conditions: old.conditions.clone(),
    };
    if status == old {
        return Ok(());
    }
    let changed = StatefulSet { status: Some(status), ..set.clone() };
    let api: Api<StatefulSet> = Api::namespaced(controller.client.clone(), &set.namespace().unwrap_or_default());
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    if let Some(written) = ignore_not_found(api.replace_status(&set.name_any(), &params, &changed).await)? {
        controller.caches.stateful_sets.reached(&written).await;
    }
    Ok(())
}
