//! The loop: hear what has changed, decide for one Pod, act, again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use drydock_primitives::clock::SharedClock;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Binding, Namespace, Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::decide::{Decision, decide};
use crate::events::{NAME, News, Recorder};
use crate::pending::{Key, Pending};
use crate::pod_info::PodInfo;
use crate::storage::{self, Storage};
use crate::world::Snapshot;

type Watch<K> = BoxStream<'static, watcher::Result<Event<K>>>;

fn follow<K>(client: &Client) -> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher::watcher(Api::<K>::all(client.clone()), watcher::Config::default()).default_backoff().boxed()
}

/// Schedules until `cancel`.
pub async fn run(client: Client, clock: SharedClock, cancel: CancellationToken) {
    let (mut nodes, mut pods, mut namespaces) = (follow::<Node>(&client), follow::<Pod>(&client), follow::<Namespace>(&client));
    let (mut claims, mut volumes, mut classes) = (follow::<PersistentVolumeClaim>(&client), follow::<PersistentVolume>(&client), follow::<StorageClass>(&client));
    let mut scheduler = Scheduler::new(client, clock);
    loop {
        let due = scheduler.due();
        // News first: what has already happened must count in the next decision.
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            Some(event) = namespaces.next() => scheduler.hear_namespaces(event),
            Some(event) = classes.next() => scheduler.hear_classes(event),
            Some(event) = volumes.next() => scheduler.hear_volumes(event),
            Some(event) = claims.next() => scheduler.hear_claims(event),
            Some(event) = nodes.next() => scheduler.hear_nodes(event),
            Some(event) = pods.next() => scheduler.hear_pods(event),
            Some(ended) = scheduler.bindings.join_next() => scheduler.bound(ended),
            () = due => scheduler.schedule_next().await,
        }
    }
}

struct Scheduler {
    client: Client,
    clock: SharedClock,
    recorder: Recorder,
    nodes: BTreeMap<String, Arc<Node>>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// Pods with a node; also those whose binding is not yet news.
    placed: BTreeMap<Key, (String, Arc<PodInfo>)>,
    pending: Pending,
    storage: Arc<Storage>,
    /// Pods whose node is being written down. They count as placed; meanwhile others are decided on.
    // upstream: pkg/scheduler/schedule_one.go, bindingCycle
    bindings: JoinSet<Bound>,
    /// What is being listed anew, until the list is complete.
    listed_nodes: BTreeMap<String, Arc<Node>>,
    listed_pods: Vec<Pod>,
    listed_claims: BTreeSet<Key>,
    listed_volumes: BTreeSet<String>,
    listed_classes: BTreeSet<String>,
    nodes_known: bool,
    pods_known: bool,
}

impl Scheduler {
    fn new(client: Client, clock: SharedClock) -> Self {
        let recorder = Recorder::new(client.clone(), clock.clone());
        Self {
            client,
            clock,
            recorder,
            nodes: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            placed: BTreeMap::new(),
            pending: Pending::default(),
            storage: Arc::default(),
            bindings: JoinSet::new(),
            listed_nodes: BTreeMap::new(),
            listed_pods: Vec::new(),
            listed_claims: BTreeSet::new(),
            listed_volumes: BTreeSet::new(),
            listed_classes: BTreeSet::new(),
            nodes_known: false,
            pods_known: false,
        }
    }

    /// Ends when a Pod is to be tried.
    fn due(&self) -> futures::future::BoxFuture<'static, ()> {
        match self.pending.due().filter(|_| self.nodes_known && self.pods_known) {
            Some(time) => self.clock.sleep_until(time),
            None => futures::future::pending().boxed(),
        }
    }

    fn hear_namespaces(&mut self, event: watcher::Result<Event<Namespace>>) {
        match event {
            Ok(Event::Apply(namespace) | Event::InitApply(namespace)) => {
                let meta = namespace.metadata;
                self.namespaces.insert(meta.name.unwrap_or_default(), meta.labels.unwrap_or_default());
            }
            Ok(Event::Delete(namespace)) => {
                self.namespaces.remove(namespace.metadata.name.as_deref().unwrap_or_default());
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => tracing::debug!(%error, "watch of namespaces interrupted"),
        }
    }

    fn hear_classes(&mut self, event: watcher::Result<Event<StorageClass>>) {
        if take_in(&mut Arc::make_mut(&mut self.storage).classes, &mut self.listed_classes, event, name_of).is_some() {
            self.pending.unblock();
        }
    }

    fn hear_volumes(&mut self, event: watcher::Result<Event<PersistentVolume>>) {
        if take_in(&mut Arc::make_mut(&mut self.storage).volumes, &mut self.listed_volumes, event, name_of).is_some() {
            self.pending.unblock();
        }
    }

    /// A claim that has come or got its volume lets the Pods that mount it be tried at once: nothing else keeps them waiting.
    fn hear_claims(&mut self, event: watcher::Result<Event<PersistentVolumeClaim>>) {
        let Some((key, before)) = take_in(&mut Arc::make_mut(&mut self.storage).claims, &mut self.listed_claims, event, key_of) else { return };
        let now = self.storage.claims.get(&key);
        let settled = now.is_some_and(|now| before.is_none_or(|before| storage::is_bound(&before) != storage::is_bound(now)));
        if settled {
            self.pending.wake(|pod| storage::claims_of(pod).any(|own| own == key), self.clock.now());
        }
    }

    fn hear_nodes(&mut self, event: watcher::Result<Event<Node>>) {
        match event {
            Ok(Event::Init) => self.listed_nodes.clear(),
            Ok(Event::InitApply(node)) => {
                self.listed_nodes.insert(name_of(&node), Arc::new(node));
            }
            Ok(Event::InitDone) => {
                self.nodes = std::mem::take(&mut self.listed_nodes);
                self.nodes_known = true;
                self.pending.unblock();
            }
            Ok(Event::Apply(node)) => {
                let node = Arc::new(node);
                let before = self.nodes.insert(name_of(&*node), Arc::clone(&node));
                if before.is_none_or(|before| matters(&before) != matters(&node)) {
                    self.pending.unblock();
                }
            }
            Ok(Event::Delete(node)) => {
                self.nodes.remove(&name_of(&node));
            }
            Err(error) => tracing::debug!(%error, "watch of nodes interrupted"),
        }
    }

    fn hear_pods(&mut self, event: watcher::Result<Event<Pod>>) {
        match event {
            Ok(Event::Init) => self.listed_pods.clear(),
            Ok(Event::InitApply(pod)) => self.listed_pods.push(pod),
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed_pods);
                let before = (std::mem::take(&mut self.placed), std::mem::take(&mut self.pending));
                for pod in listed {
                    let key = key_of(&pod);
                    if let Some(assumed) = before.0.get(&key) {
                        self.placed.insert(key, assumed.clone());
                    }
                    self.take(pod);
                }
                self.pods_known = true;
            }
            Ok(Event::Apply(pod)) => self.take(pod),
            Ok(Event::Delete(pod)) => {
                let key = key_of(&pod);
                self.pending.remove(&key);
                if self.placed.remove(&key).is_some() {
                    self.pending.unblock();
                }
            }
            Err(error) => tracing::debug!(%error, "watch of Pods interrupted"),
        }
    }

    /// A Pod as it is now.
    fn take(&mut self, pod: Pod) {
        let key = key_of(&pod);
        let pod = Arc::new(PodInfo::new(Arc::new(pod)));
        let assumed = self.placed.get(&key).filter(|(_, known)| known.uid() == pod.uid());
        if !pod.node().is_empty() {
            let frees = assumed.is_some_and(|(_, known)| !known.is_finished() && pod.is_finished());
            let relabeled = assumed.is_none_or(|(_, known)| known.pod.metadata.labels != pod.pod.metadata.labels);
            self.pending.remove(&key);
            self.placed.insert(key, (pod.node().to_owned(), pod));
            // A Pod that has come to a node can be the one that another wants to be near to.
            if frees || relabeled {
                self.pending.unblock();
            }
        } else if assumed.is_none() {
            self.placed.remove(&key);
            let gated = pod.spec().scheduling_gates.iter().flatten().next().is_some();
            let mine = pod.spec().scheduler_name.as_deref().is_none_or(|name| name == NAME);
            if gated || !mine || pod.is_leaving() || pod.is_finished() {
                self.pending.remove(&key);
            } else {
                self.pending.put(key, pod, self.clock.now());
            }
        }
    }

    async fn schedule_next(&mut self) {
        let Some((key, pod)) = self.pending.next(self.clock.now()) else { return };
        let snapshot = Snapshot::new(self.nodes.values(), self.placed.values().map(|(node, pod)| (node.as_str(), pod)), &self.namespaces, &self.storage);
        match decide(&pod, &snapshot) {
            Decision::Bind(node) => self.place(key, pod, node),
            Decision::Prepare { node, claims } => {
                self.pending.park(&key, self.clock.now());
                for claim in claims {
                    if let Err(error) = self.send(&claim, &node).await {
                        tracing::warn!(claim = claim.1, %error, "the claim cannot be told of its node");
                        self.pending.retry(&key, Arc::clone(&pod), self.clock.now());
                    }
                }
            }
            Decision::Nowhere(reason) => {
                self.pending.block(&key, self.clock.now());
                self.recorder.record(&pod, News::Failed, reason.clone());
                if let Err(error) = self.explain(&pod, &reason).await {
                    tracing::debug!(%error, "condition not written");
                }
            }
        }
    }

    fn place(&mut self, key: Key, pod: Arc<PodInfo>, node: String) {
        self.pending.remove(&key);
        self.placed.insert(key.clone(), (node.clone(), Arc::clone(&pod)));
        let api = self.pods(&pod);
        self.bindings.spawn(async move {
            let result = bind(&api, &pod, &node).await;
            Bound { key, pod, node, result }
        });
    }

    /// A node was written down, or could not be.
    fn bound(&mut self, ended: Result<Bound, tokio::task::JoinError>) {
        let Bound { key, pod, node, result } = match ended {
            Ok(bound) => bound,
            Err(error) => {
                tracing::error!(%error, "a binding was given up");
                return;
            }
        };
        // Meanwhile the Pod may have gone, and another one have its name.
        let assumed = self.placed.get(&key).is_some_and(|(_, known)| Arc::ptr_eq(known, &pod));
        if result.is_err() && assumed {
            self.placed.remove(&key);
            self.pending.unblock();
        }
        match result {
            Ok(()) => {
                let message = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
                self.recorder.record(&pod, News::Scheduled, message);
            }
            Err(kube::Error::Api(status)) if status.reason == "NotFound" => {}
            Err(error) if !assumed => tracing::debug!(pod = pod.name(), %error, "binding of a Pod that is gone"),
            Err(error) => {
                tracing::warn!(pod = pod.name(), %error, "binding failed");
                let reason = match &error {
                    kube::Error::Api(status) => status.message.clone(),
                    other => other.to_string(),
                };
                self.recorder.record(&pod, News::Failed, format!("running Bind plugin \"DefaultBinder\": {reason}"));
                self.pending.retry(&key, pod, self.clock.now());
            }
        }
    }

    /// Tells a claim where the Pod goes that it waits for. Its news bring the Pod back.
    async fn send(&self, claim: &Key, node: &str) -> kube::Result<()> {
        let known = self.storage.claims.get(claim);
        let annotations = known.and_then(|claim| claim.metadata.annotations.as_ref());
        if annotations.and_then(|annotations| annotations.get(storage::SELECTED_NODE)).is_some_and(|selected| selected == node) {
            return Ok(());
        }
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &claim.0);
        let params = PatchParams { field_manager: Some("kube-scheduler".into()), ..PatchParams::default() };
        let patch = json!({"metadata": {"annotations": {storage::SELECTED_NODE: node}}});
        api.patch(&claim.1, &params, &Patch::Merge(patch)).await.map(drop)
    }

    /// Writes the condition that `kubectl describe pod` shows as `PodScheduled False`.
    async fn explain(&self, pod: &PodInfo, reason: &str) -> kube::Result<()> {
        let conditions = pod.pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let current = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
        if current.is_some_and(|current| current.message.as_deref() == Some(reason)) {
            return Ok(());
        }
        let since = current.and_then(|current| current.last_transition_time.clone()).unwrap_or(Time(self.clock.now()));
        let condition = json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": reason,
            "lastProbeTime": null, "lastTransitionTime": since,
        });
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        let params = PatchParams { field_manager: Some("kube-scheduler".into()), ..PatchParams::default() };
        self.pods(pod).patch_status(pod.name(), &params, &Patch::Strategic(patch)).await?;
        Ok(())
    }

    fn pods(&self, pod: &PodInfo) -> Api<Pod> {
        Api::namespaced(self.client.clone(), pod.namespace())
    }
}

/// What became of a binding.
struct Bound {
    key: Key,
    pod: Arc<PodInfo>,
    node: String,
    result: kube::Result<()>,
}

async fn bind(api: &Api<Pod>, pod: &PodInfo, node: &str) -> kube::Result<()> {
    let binding = Binding {
        metadata: ObjectMeta {
            name: Some(pod.name().into()),
            namespace: Some(pod.namespace().into()),
            uid: Some(pod.uid().into()),
            ..ObjectMeta::default()
        },
        target: ObjectReference { kind: Some("Node".into()), name: Some(node.into()), ..ObjectReference::default() },
    };
    let answer: kube::Result<Value> = api.create_subresource("binding", pod.name(), &PostParams::default(), &binding).await;
    answer.map(drop)
}

/// Takes news of a kind in; answers which object is concerned, and how it was. While a list begins anew, what was there counts until the list is complete.
fn take_in<K, N: Ord + Clone>(
    objects: &mut BTreeMap<N, Arc<K>>,
    listed: &mut BTreeSet<N>,
    event: watcher::Result<Event<K>>,
    name: impl Fn(&K) -> N,
) -> Option<(N, Option<Arc<K>>)> {
    match event {
        Ok(Event::Apply(object) | Event::InitApply(object)) => {
            let key = name(&object);
            listed.insert(key.clone());
            let before = objects.insert(key.clone(), Arc::new(object));
            Some((key, before))
        }
        Ok(Event::Delete(object)) => {
            let key = name(&object);
            let before = objects.remove(&key);
            Some((key, before))
        }
        Ok(Event::Init) => {
            listed.clear();
            None
        }
        Ok(Event::InitDone) => {
            objects.retain(|key, _| listed.contains(key));
            None
        }
        Err(error) => {
            tracing::debug!(kind = std::any::type_name::<K>(), %error, "watch interrupted");
            None
        }
    }
}

fn name_of<K: Resource>(object: &K) -> String {
    object.meta().name.clone().unwrap_or_default()
}

fn key_of<K: Resource<Scope = NamespaceResourceScope>>(object: &K) -> Key {
    (object.meta().namespace.clone().unwrap_or_default(), name_of(object))
}

/// What of a node a decision can depend on; heartbeats are not.
fn matters(node: &Node) -> Value {
    let spec = node.spec.as_ref();
    json!([
        node.metadata.labels,
        spec.and_then(|spec| spec.taints.clone()),
        spec.and_then(|spec| spec.unschedulable),
        node.status.as_ref().and_then(|status| status.allocatable.clone()),
    ])
}
