//! The DaemonSet controller: one Pod on each node that fits.
//!
//! 1. Claim the Pods, and the revisions that remember earlier templates ([`history`](crate::history)).
//! 2. Ask of each node whether it fits (`nodes`), and make the difference up: a Pod where one is missing, none where there are too many (`plan`).
//! 3. Replace Pods of earlier templates as the update strategy allows, and report.
// upstream: pkg/controller/daemon/daemon_controller.go, update.go

mod nodes;
mod plan;
mod status;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::selector::LabelSelector as Selector;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;

use crate::cache::{Change, Key};
use crate::error::{Error, Result};
use crate::history::{self, Limit, Subject};
use crate::owner::{self, controller_of};
use crate::pod;
use crate::pod_control;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::Controller;
use nodes::Place;
use plan::Plan;

const WORKERS: usize = 2;
/// The label by which Pods of different templates are told apart.
const HASH_LABEL: &str = "controller-revision-hash";
/// The number of the template as a label, from before there were revisions.
const GENERATION_LABEL: &str = "pod-template-generation";
/// The same as `apps/v1` keeps it.
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";
/// How old a failed Pod is at least before another takes its place.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    watch(&controller, &queue);
    let caches = &controller.caches;
    let synced = [caches.pods.synced(), caches.nodes.synced(), caches.revisions.synced(), caches.daemon_sets.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

fn watch(controller: &Controller, queue: &Queue<Key>) {
    let caches = &controller.caches;
    let changed = queue.clone();
    caches.daemon_sets.on_change(move |change| changed.add(Key::of(&**change.latest())));
    let (sets, every) = (caches.daemon_sets.clone(), queue.clone());
    caches.nodes.on_change(move |change| {
        if matches!(change, Change::Updated { old, new } if !nodes::differ(old, new)) {
            return;
        }
        sets.list().iter().for_each(|set| every.add(Key::of(&**set)));
    });
    owner::watch_owned(&caches.pods, &caches.daemon_sets, queue, |set| selector(set).ok());
}

fn selector(set: &DaemonSet) -> Result<Selector> {
    let spec = set.spec.as_ref().ok_or_else(|| Error::Object("a DaemonSet without a spec".into()))?;
    owner::selector(&spec.selector).map_err(|error| Error::Object(error.to_string()))
}

/// A DaemonSet, the nodes and its Pods at one moment.
pub(crate) struct Fleet {
    set: DaemonSet,
    spec: DaemonSetSpec,
    nodes: Vec<Arc<Node>>,
    /// Its Pods by the node they are meant for; nodes without one are not here.
    pods: BTreeMap<String, Vec<Arc<Pod>>>,
    /// The hash of the current template.
    hash: String,
    now: Timestamp,
}

impl Fleet {
    /// Whether a Pod is of the current template.
    // upstream: pkg/controller/daemon/util/daemonset_util.go IsPodUpdated
    fn is_current(&self, pod: &Pod) -> bool {
        let label = |key: &str| pod.labels().get(key);
        let generation = self.set.annotations().get(GENERATION_ANNOTATION);
        label(HASH_LABEL) == Some(&self.hash) || generation.is_some() && label(GENERATION_LABEL) == generation
    }

    fn is_available(&self, pod: &Pod) -> bool {
        pod::is_available(pod, self.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    fn place(&self) -> Place<'_> {
        Place::new(&self.spec.template)
    }

    fn on(&self, node: &str) -> &[Arc<Pod>] {
        self.pods.get(node).map(Vec::as_slice).unwrap_or_default()
    }
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(set) = controller.caches.daemon_sets.get(&key) else { return Ok(None) };
    let Some(spec) = set.spec.clone() else { return Ok(None) };
    let selector = selector(&set)?;
    if selector.is_everything() {
        let message = "This daemon set is selecting all pods. A non-empty selector is required.";
        controller.recorder.event(&*set, Kind::Warning, "SelectingAll", message);
        return Ok(None);
    }
    if set.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let collisions = set.status.as_ref().and_then(|status| status.collision_count);
    let subject = Subject { object: &*set, template: &spec.template, collisions, label: HASH_LABEL, cache: &controller.caches.daemon_sets };
    let history = history::construct(&controller, &subject, &selector).await?;
    owner::claim(&controller.client, &*set, &selector, &controller.caches.pods).await?;
    let fleet = |controller: &Controller| Fleet {
        set: (*set).clone(),
        spec: spec.clone(),
        nodes: controller.caches.nodes.list(),
        pods: by_node(&owned(controller, &set)),
        hash: history.current.labels().get(HASH_LABEL).cloned().unwrap_or_default(),
        now: controller.clock.now(),
    };
    let result = sync(&controller, &fleet(&controller)).await;
    let fleet = fleet(&controller);
    if result.is_ok() {
        let lives = |revision: &ControllerRevision| {
            let hash = revision.labels().get(HASH_LABEL);
            fleet.pods.values().flatten().any(|pod| pod.labels().get(HASH_LABEL) == hash)
        };
        history.clean_up(&controller, &*set, Limit::OfAll(fleet.spec.revision_history_limit), lives).await?;
    }
    status::update(&controller, &fleet).await?;
    let again = result?;
    let pods: Vec<_> = fleet.pods.values().flatten().cloned().collect();
    let ready = pod::next_available(&pods, fleet.spec.min_ready_seconds.unwrap_or(0), fleet.now);
    Ok(again.into_iter().chain(ready).min())
}

/// The Pods of a DaemonSet as the cache has them now.
fn owned(controller: &Controller, set: &DaemonSet) -> Vec<Arc<Pod>> {
    let mut pods = controller.caches.pods.in_namespace(&set.namespace().unwrap_or_default());
    pods.retain(|pod| controller_of(&pod.metadata).is_some_and(|owner| Some(&owner.uid) == set.metadata.uid.as_ref()));
    pods
}

fn by_node(pods: &[Arc<Pod>]) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut map: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in pods {
        // What has ended and is being removed is nobody's concern any more.
        if pod::is_finished(pod) && pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        map.entry(nodes::target(pod).to_owned()).or_default().push(Arc::clone(pod));
    }
    for pods in map.values_mut() {
        pods.sort_by_key(|pod| (pod::node(pod).is_empty(), pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.name_any()));
    }
    map
}

/// Carries one step out: first what is missing or too much; when nothing is, what is outdated.
async fn sync(controller: &Controller, fleet: &Fleet) -> Result<Option<Duration>> {
    let mut step = plan::manage(fleet);
    let again = step.again;
    for (kind, reason, message) in &step.notes {
        controller.recorder.event(&fleet.set, *kind, reason, message.clone());
    }
    let rolling = fleet.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
    if step.is_empty() && rolling {
        step = plan::roll(fleet);
    }
    carry_out(controller, fleet, &step).await.map(|()| again)
}

async fn carry_out(controller: &Controller, fleet: &Fleet, step: &Plan) -> Result<()> {
    let templates: Vec<_> = step.create.iter().take(pod_control::BURST).map(|node| nodes::template(&fleet.set, &fleet.spec, node, &fleet.hash)).collect();
    let mut created = Vec::new();
    let made = pod_control::create_all(controller, &fleet.set, &templates, &mut created).await;
    let doomed = &step.delete[..step.delete.len().min(pod_control::BURST)];
    let gone = pod_control::delete_all(controller, &fleet.set, doomed).await;
    match made {
        Err(error) if error.is_namespace_terminating() => gone,
        made => made.and(gone),
    }
}
