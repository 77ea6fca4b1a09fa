//! Garbage collection: what is owned goes with its owner.
//!
//! 1. [`World`] follows the metadata of every kind that can be deleted and keeps the graph of owners.
//! 2. A change puts those concerned on the queue; the graph judges each, and `act` carries the verdict out.
//! 3. Owners that the graph does not know are looked up in the API before anything is deleted on their account.
// upstream: pkg/controller/garbagecollector/garbagecollector.go

mod act;
mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::core::ApiResource;
use kube::discovery::{Discovery, Scope, verbs};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::sync::watch;

use crate::error::{Error, Result};
use crate::queue::Queue;
use crate::shared::Controller;
use graph::{Graph, Item};

const WORKERS: usize = 20;
/// Kinds whose objects own nothing, are owned by nothing, and come in crowds.
// upstream: pkg/controller/garbagecollector/graph_builder.go DefaultIgnoredResources
const IGNORED: [(&str, &str); 2] = [("", "Event"), ("events.k8s.io", "Event")];
/// How long to wait before asking again for the kinds of an API that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A kind of the API.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    /// Whether its objects are followed here.
    pub(crate) followed: bool,
}

/// Every object that can be deleted. Clones share it.
#[derive(Clone)]
pub(crate) struct World {
    inner: Arc<Inner>,
}

/// Hears the namespace of an object.
type Listener = Box<dyn Fn(&str) + Send + Sync>;

struct Inner {
    controller: Controller,
    kinds: watch::Sender<Arc<Vec<Kind>>>,
    graph: Mutex<Graph>,
    queue: Queue<String>,
    /// Told the namespace of each object that has gone.
    gone: Mutex<Vec<Listener>>,
    /// How many kinds have been listed.
    listed: watch::Sender<usize>,
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    pub(crate) fn new(controller: Controller) -> Self {
        let queue = Queue::new(controller.clock.clone());
        let inner = Inner { controller, kinds: watch::Sender::new(Arc::default()), graph: Mutex::default(), queue, gone: Mutex::default(), listed: watch::Sender::new(0) };
        Self { inner: Arc::new(inner) }
    }

    /// Tells `handler` the namespace of each object that goes from now on.
    pub(crate) fn on_gone(&self, handler: impl Fn(&str) + Send + Sync + 'static) {
        self.inner.gone.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(handler));
    }

    /// All kinds whose objects can be deleted; ends when they are known and each has been listed.
    pub(crate) async fn kinds(&self) -> Arc<Vec<Kind>> {
        let mut kinds = self.inner.kinds.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        if kinds.wait_for(|kinds| !kinds.is_empty()).await.is_err() {
            std::future::pending::<()>().await;
        }
        let known = Arc::clone(&kinds.borrow());
        let count = known.iter().filter(|kind| kind.followed).count();
        let mut listed = self.inner.listed.subscribe();
        if listed.wait_for(|listed| *listed >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
        known
    }

    /// How many objects of each followed kind, by index, the namespace holds.
    pub(crate) fn content(&self, namespace: &str) -> BTreeMap<usize, usize> {
        self.graph().in_namespace(namespace)
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.inner.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api(&self, kind: &Kind, namespace: &str) -> Api<PartialObjectMeta<DynamicObject>> {
        let client = self.inner.controller.client.clone();
        if kind.namespaced && !namespace.is_empty() { Api::namespaced_with(client, namespace, &kind.resource) } else { Api::all_with(client, &kind.resource) }
    }

    /// Asks the API for its kinds until it answers.
    async fn discover(&self) -> Vec<Kind> {
        loop {
            match Discovery::new(self.inner.controller.client.clone()).run().await {
                Ok(discovery) => return deletable(&discovery),
                Err(error) => tracing::debug!(%error, "the API does not list its kinds yet"),
            }
            self.inner.controller.clock.sleep(PATIENCE).await;
        }
    }

    /// Follows one kind until cancelled.
    async fn follow(self, index: usize, kind: Kind) {
        let mut events = watcher::watcher(self.api(&kind, ""), watcher::Config::default()).default_backoff().boxed();
        let mut fresh: BTreeSet<String> = BTreeSet::new();
        let mut first = true;
        loop {
            let event = tokio::select! {
                () = self.inner.controller.cancel.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                Some(Ok(Event::Init)) => fresh.clear(),
                Some(Ok(Event::InitApply(object))) => {
                    fresh.extend(object.uid());
                    self.observe(index, &object);
                }
                Some(Ok(Event::InitDone)) => {
                    let stale: Vec<_> = self.graph().of_kind(index).into_iter().filter(|uid| !fresh.contains(uid)).collect();
                    stale.iter().for_each(|uid| self.forget(uid));
                    if std::mem::take(&mut first) {
                        self.inner.listed.send_modify(|listed| *listed += 1);
                    }
                }
                Some(Ok(Event::Apply(object))) => self.observe(index, &object),
                Some(Ok(Event::Delete(object))) => self.forget(&object.uid().unwrap_or_default()),
                Some(Err(error)) => tracing::debug!(kind = kind.resource.kind, %error, "watch interrupted"),
                None => return,
            }
        }
    }

    fn observe(&self, kind: usize, object: &PartialObjectMeta<DynamicObject>) {
        let Some(uid) = &object.metadata.uid else { return };
        let concerned = self.graph().observe(uid, &Item::new(kind, &object.metadata));
        concerned.into_iter().for_each(|uid| self.inner.queue.add(uid));
    }

    fn forget(&self, uid: &str) {
        let (namespace, concerned) = {
            let mut graph = self.graph();
            (graph.get(uid).map(|item| item.namespace.clone()), graph.forget(uid))
        };
        concerned.into_iter().for_each(|uid| self.inner.queue.add(uid));
        if let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) {
            self.inner.gone.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|handler| handler(&namespace));
        }
    }

    async fn reconcile(self, uid: String) -> Result<Option<Duration>> {
        let kinds = Arc::clone(&self.inner.kinds.borrow());
        let (strangers, namespace) = {
            let graph = self.graph();
            (graph.strangers(&uid), graph.get(&uid).map(|item| item.namespace.clone()).unwrap_or_default())
        };
        let mut absent = BTreeSet::new();
        for owner in strangers {
            if self.is_absent(&kinds, &owner, &namespace).await? {
                absent.insert(owner.uid);
            }
        }
        let (item, verdict) = {
            let graph = self.graph();
            (graph.get(&uid).cloned(), graph.judge(&uid, &absent))
        };
        match item {
            Some(item) => self.act(&kinds, &uid, &item, verdict).await.map(|()| None),
            None => Ok(None),
        }
    }

    /// Asks the API whether an owner exists.
    async fn is_absent(&self, kinds: &[Kind], owner: &OwnerReference, namespace: &str) -> Result<bool> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let kind = kinds.iter().find(|kind| kind.resource.group == group && kind.resource.kind == owner.kind);
        // A kind that cannot be found may be back later; nothing is deleted on its account.
        let kind = kind.ok_or_else(|| Error::Object(format!("the owner's kind {} of {} is not served", owner.kind, owner.api_version)))?;
        let found = self.api(kind, namespace).get_opt(&owner.name).await?;
        Ok(found.is_none_or(|found| found.metadata.uid.as_ref() != Some(&owner.uid)))
    }
}

/// One version of each kind that can be listed and deleted.
fn deletable(discovery: &Discovery) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for group in discovery.groups_alphabetical() {
        for (resource, capabilities) in group.recommended_resources() {
            let can = |verb: &str| capabilities.supports_operation(verb);
            if can(verbs::DELETE) && can(verbs::LIST) {
                let ignored = IGNORED.contains(&(resource.group.as_str(), resource.kind.as_str()));
                kinds.push(Kind { followed: !ignored && can(verbs::WATCH), namespaced: capabilities.scope == Scope::Namespaced, resource });
            }
        }
    }
    kinds
}

/// Runs until cancelled.
pub(crate) async fn run(world: World) {
    let kinds = Arc::new(world.discover().await);
    let mut tasks = tokio::task::JoinSet::new();
    for (index, kind) in kinds.iter().enumerate().filter(|(_, kind)| kind.followed) {
        tasks.spawn(world.clone().follow(index, kind.clone()));
    }
    world.inner.kinds.send_replace(kinds);
    // Who waits for dependents must know all of them first.
    world.kinds().await;
    let (queue, cancel) = (world.inner.queue.clone(), world.inner.controller.cancel.clone());
    queue.work(WORKERS, cancel, move |uid| world.clone().reconcile(uid)).await;
}
