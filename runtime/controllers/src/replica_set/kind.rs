//! The two kinds that keep a number of Pods: ReplicaSet, and ReplicationController from before selectors had expressions.
// upstream: pkg/controller/replication/conversion.go

use std::fmt::Debug;

use drydock_primitives::selector::LabelSelector as Selector;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus};
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::owner;
use crate::shared::Caches;

/// What such an object asks for.
pub(crate) struct Wish {
    pub(super) replicas: i32,
    pub(super) min_ready_seconds: i32,
    pub(super) selector: Selector,
    pub(super) template: PodTemplateSpec,
}

/// An object that keeps a number of Pods. Status is spoken of in a ReplicaSet's words.
pub(crate) trait Replicated:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Serialize + Send + Sync + 'static
{
    /// The copy of its kind.
    fn cache(caches: &Caches) -> &Cache<Self>;
    /// What it asks for; none when it asks for nothing at all.
    fn wish(&self) -> Result<Option<Wish>>;
    /// Its status.
    fn status(&self) -> ReplicaSetStatus;
    /// The same object with another status.
    fn with_status(&self, status: ReplicaSetStatus) -> Self;
}

impl Replicated for ReplicaSet {
    fn cache(caches: &Caches) -> &Cache<Self> {
        &caches.replica_sets
    }

    fn wish(&self) -> Result<Option<Wish>> {
        let Some(spec) = &self.spec else { return Ok(None) };
        let selector = owner::selector(&spec.selector).map_err(|error| Error::Object(error.to_string()))?;
        let (replicas, template) = (spec.replicas.unwrap_or(1), spec.template.clone().unwrap_or_default());
        Ok(Some(Wish { replicas, min_ready_seconds: spec.min_ready_seconds.unwrap_or(0), selector, template }))
    }

    fn status(&self) -> ReplicaSetStatus {
        self.status.clone().unwrap_or_default()
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        Self { status: Some(status), ..self.clone() }
    }
}

impl Replicated for ReplicationController {
    fn cache(caches: &Caches) -> &Cache<Self> {
        &caches.replication_controllers
    }

    fn wish(&self) -> Result<Option<Wish>> {
        let Some(spec) = &self.spec else { return Ok(None) };
        let labels = spec.selector.clone().unwrap_or_default();
        if labels.is_empty() {
            return Err(Error::Object("the selector is empty".into()));
        }
        let (replicas, template) = (spec.replicas.unwrap_or(1), spec.template.clone().unwrap_or_default());
        Ok(Some(Wish { replicas, min_ready_seconds: spec.min_ready_seconds.unwrap_or(0), selector: Selector::from_labels(&labels), template }))
    }

    fn status(&self) -> ReplicaSetStatus {
        let status = self.status.clone().unwrap_or_default();
        let condition = |condition: ReplicationControllerCondition| ReplicaSetCondition {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            terminating_replicas: None,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(condition).collect()),
        }
    }

    fn with_status(&self, status: ReplicaSetStatus) -> Self {
        let condition = |condition: ReplicaSetCondition| ReplicationControllerCondition {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        let status = ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(condition).collect()),
        };
        Self { status: Some(status), ..self.clone() }
    }
}
