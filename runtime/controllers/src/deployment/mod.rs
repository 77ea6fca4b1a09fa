//! The Deployment controller: one ReplicaSet per version of the template, and the way from one to the next.
//!
//! 1. Claim the ReplicaSets and find (or create) the one whose template is the Deployment's.
//! 2. Scale it up and the others down, within maxSurge and maxUnavailable, or all down first (Recreate).
//! 3. Report progress in the conditions that `kubectl rollout status` waits for.
// upstream: pkg/controller/deployment/deployment_controller.go

mod progress;
mod revisions;
mod rolling;
mod scaling;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use crate::cache::{Change, Key};
use crate::error::{Error, Result};
use crate::owner::{self, controller_of};
use crate::pod;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

const WORKERS: usize = 5;

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    watch(&controller, &queue);
    let caches = &controller.caches;
    let synced = [caches.pods.synced(), caches.replica_sets.synced(), caches.deployments.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

fn watch(controller: &Controller, queue: &Queue<Key>) {
    let caches = &controller.caches;
    caches.deployments.on_change({
        let queue = queue.clone();
        move |change| queue.add(Key::of(&**change.latest()))
    });
    let (deployments, sets) = (caches.deployments.clone(), caches.replica_sets.clone());
    owner::watch_owned(&caches.replica_sets, &deployments, queue, |deployment| owner::selector(&deployment.spec.as_ref()?.selector).ok());
    // Recreate waits for the last old Pod to go; nothing else of a Pod concerns a Deployment directly.
    let queue = queue.clone();
    caches.pods.on_change(move |change| {
        let gone = matches!(change, Change::Deleted(_)) || pod::is_finished(change.latest());
        let pod = change.latest();
        let Some(owner) = controller_of(&pod.metadata).filter(|owner| gone && owner.kind == "ReplicaSet") else { return };
        let namespace = pod.namespace().unwrap_or_default();
        let set = sets.get(&Key::new(&namespace, &owner.name));
        let Some(deployment) = set.as_ref().and_then(|set| controller_of(&set.metadata)) else { return };
        let key = Key::new(&namespace, &deployment.name);
        if deployments.get(&key).is_some_and(|deployment| is_recreate(&deployment)) {
            queue.add(key);
        }
    });
}

fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// A Deployment being reconciled; `object` is as the API last answered.
pub(crate) struct Rollout {
    controller: Arc<Controller>,
    object: Deployment,
    spec: DeploymentSpec,
}

/// The ReplicaSets of a Deployment, the one of the current template apart.
pub(crate) struct Sets {
    new: Option<ReplicaSet>,
    old: Vec<ReplicaSet>,
}

impl Sets {
    /// Old ones first, then the new one.
    fn all(&self) -> Vec<&ReplicaSet> {
        self.old.iter().chain(&self.new).collect()
    }
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(cached) = controller.caches.deployments.get(&key) else { return Ok(None) };
    let Some(spec) = cached.spec.clone() else { return Ok(None) };
    let mut rollout = Rollout { controller, object: (*cached).clone(), spec };
    let selector = owner::selector(&rollout.spec.selector).map_err(|error| Error::Object(error.to_string()))?;
    if selector.is_everything() {
        rollout.event(Kind::Warning, "SelectingAll", "This deployment is selecting all pods. A non-empty selector is required.");
        return Ok(None);
    }
    let claimed = owner::claim(&rollout.controller.client, &rollout.object, &selector, &rollout.controller.caches.replica_sets).await?;
    let sets: Vec<ReplicaSet> = claimed.iter().map(|set| (**set).clone()).collect();
    if rollout.object.metadata.deletion_timestamp.is_some() {
        let sets = rollout.find(sets, revisions::Create::No).await?;
        rollout.write_status(&sets).await?;
        return Ok(None);
    }
    rollout.check_paused().await?;
    if rollout.spec.paused == Some(true) || rollout.is_scaling(&sets) {
        return rollout.sync(sets).await;
    }
    if is_recreate(&rollout.object) { rollout.recreate(sets).await } else { rollout.roll(sets).await }
}

impl Rollout {
    fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    fn name(&self) -> String {
        self.object.name_any()
    }

    fn status(&self) -> DeploymentStatus {
        self.object.status.clone().unwrap_or_default()
    }

    fn event(&self, kind: Kind, reason: &str, message: impl Into<String>) {
        self.controller.recorder.event(&self.object, kind, reason, message);
    }

    fn api(&self) -> Api<Deployment> {
        Api::namespaced(self.controller.client.clone(), &self.object.namespace().unwrap_or_default())
    }

    fn sets_api(&self) -> Api<ReplicaSet> {
        Api::namespaced(self.controller.client.clone(), &self.object.namespace().unwrap_or_default())
    }

    /// Scales without a new version: while paused, or because only the number has changed.
    // upstream: pkg/controller/deployment/sync.go sync
    async fn sync(&mut self, sets: Vec<ReplicaSet>) -> Result<Option<Duration>> {
        let mut sets = self.find(sets, revisions::Create::No).await?;
        self.scale(&mut sets).await?;
        if self.spec.paused == Some(true) {
            self.clean_up(&sets).await?;
        }
        self.write_status(&sets).await?;
        Ok(None)
    }

    // upstream: pkg/controller/deployment/rolling.go rolloutRolling
    async fn roll(&mut self, sets: Vec<ReplicaSet>) -> Result<Option<Duration>> {
        let mut sets = self.find(sets, revisions::Create::Yes).await?;
        let moved = self.scale_up_new(&mut sets).await? || self.scale_down_old(&mut sets).await?;
        if !moved && progress::is_complete(&self.object, &self.status()) {
            self.clean_up(&sets).await?;
        }
        self.write_rollout_status(&sets).await
    }

    // upstream: pkg/controller/deployment/recreate.go rolloutRecreate
    async fn recreate(&mut self, claimed: Vec<ReplicaSet>) -> Result<Option<Duration>> {
        let mut sets = self.find(claimed, revisions::Create::No).await?;
        let mut moved = false;
        for index in 0..sets.old.len() {
            if desired(&sets.old[index]) > 0 {
                sets.old[index] = self.scale_set(&sets.old[index], 0).await?;
                moved = true;
            }
        }
        if moved || self.old_pods_run(&sets) {
            return self.write_rollout_status(&sets).await;
        }
        if sets.new.is_none() {
            sets = self.find(sets.old, revisions::Create::Yes).await?;
        }
        if let Some(new) = sets.new.take() {
            sets.new = Some(self.scale_set(&new, self.replicas()).await?);
        }
        if progress::is_complete(&self.object, &self.status()) {
            self.clean_up(&sets).await?;
        }
        self.write_rollout_status(&sets).await
    }

    fn old_pods_run(&self, sets: &Sets) -> bool {
        let new = sets.new.as_ref().and_then(|set| set.metadata.uid.clone());
        let mine: HashMap<String, ()> = sets.all().iter().filter_map(|set| set.uid()).map(|uid| (uid, ())).collect();
        let runs = |pod: &Pod| {
            let owner = controller_of(&pod.metadata).map(|owner| owner.uid.clone());
            owner.is_some_and(|owner| mine.contains_key(&owner) && Some(&owner) != new.as_ref()) && !pod::is_finished(pod)
        };
        self.controller.caches.pods.in_namespace(&self.object.namespace().unwrap_or_default()).iter().any(|pod| runs(pod))
    }

    /// Whether only the number has changed since the ReplicaSets were scaled.
    // upstream: pkg/controller/deployment/sync.go isScalingEvent
    fn is_scaling(&self, sets: &[ReplicaSet]) -> bool {
        let active = sets.iter().filter(|set| desired(set) > 0);
        active.filter_map(|set| scaling::annotation(set, scaling::DESIRED)).any(|wanted| wanted != self.replicas())
    }

    /// Removes old ReplicaSets beyond the history limit.
    // upstream: pkg/controller/deployment/sync.go cleanupDeployment
    async fn clean_up(&self, sets: &Sets) -> Result<()> {
        let limit = usize::try_from(self.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
        let mut old: Vec<_> = sets.old.iter().filter(|set| set.metadata.deletion_timestamp.is_none()).collect();
        let surplus = old.len().saturating_sub(limit);
        old.sort_by_key(|set| revisions::revision(&set.metadata));
        for set in old.into_iter().take(surplus) {
            let status = set.status.clone().unwrap_or_default();
            let seen = status.observed_generation.unwrap_or(0) >= set.metadata.generation.unwrap_or(0);
            if status.replicas == 0 && desired(set) == 0 && seen {
                crate::error::ignore_not_found(self.sets_api().delete(&set.name_any(), &kube::api::DeleteParams::background()).await)?;
            }
        }
        Ok(())
    }

    /// Writes the status; the object becomes what the API answers.
    async fn put_status(&mut self, status: DeploymentStatus) -> Result<()> {
        let mut changed = self.object.clone();
        changed.status = Some(status);
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let written = self.api().replace_status(&self.name(), &params, &changed).await?;
        self.controller.caches.deployments.reached(&written).await;
        self.object = written;
        Ok(())
    }
}

/// How many Pods the ReplicaSet is asked for.
fn desired(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// How many of its Pods are available.
fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0)
}
