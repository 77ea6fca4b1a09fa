//! Making Pods from a template and deleting them, with the events that say so: what every kind that owns Pods does.
// upstream: pkg/controller/controller_utils.go RealPodControl, pkg/controller/replicaset/replica_set.go slowStartBatch

use std::sync::Arc;

use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};

use crate::cache::Key;
use crate::error::{Error, Result, ignore_not_found};
use crate::owner::controller_reference;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

/// The most Pods that one reconcile creates or deletes.
pub(crate) const BURST: usize = 500;

/// An object that owns Pods.
pub(crate) trait PodOwner: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Send + Sync {}
impl<O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Send + Sync> PodOwner for O {}

/// Creates a Pod from each template, in batches of one, two, four…, so that a quota that refuses one Pod does not refuse five hundred.
///
/// What was created is added to `pods`, also when an error ends it.
pub(crate) async fn create_all<O: PodOwner>(controller: &Controller, owner: &O, templates: &[PodTemplateSpec], pods: &mut Vec<Arc<Pod>>) -> Result<()> {
    let mut rest = templates;
    let mut batch = 1;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(batch.min(rest.len()));
        let results = join_all(now.iter().map(|template| create(controller, owner, template))).await;
        let mut first_error = None;
        let before = pods.len();
        for result in results {
            match result {
                Ok(pod) => pods.push(Arc::new(pod)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        for pod in &pods[before..] {
            controller.caches.pods.reached(&**pod).await;
        }
        if let Some(error) = first_error {
            return Err(error);
        }
        rest = later;
        batch *= 2;
    }
    Ok(())
}

/// A Pod as the template says, which belongs to `owner` and has no name yet.
pub(crate) fn from_template<O: PodOwner>(owner: &O, template: &PodTemplateSpec) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", owner.name_any())),
            namespace: owner.namespace(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_reference(owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

async fn create<O: PodOwner>(controller: &Controller, owner: &O, template: &PodTemplateSpec) -> Result<Pod> {
    let namespace = owner.namespace().unwrap_or_default();
    let pod = from_template(owner, template);
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let api: Api<Pod> = Api::namespaced(controller.client.clone(), &namespace);
    match api.create(&params, &pod).await.map_err(Error::from) {
        Ok(pod) => {
            controller.recorder.event(owner, Kind::Normal, "SuccessfulCreate", format!("Created pod: {}", pod.name_any()));
            Ok(pod)
        }
        Err(error) => {
            if !error.is_namespace_terminating() {
                controller.recorder.event(owner, Kind::Warning, "FailedCreate", format!("Error creating: {}", error.message()));
            }
            Err(error)
        }
    }
}

/// Deletes Pods; the first error is the answer, after all were tried.
pub(crate) async fn delete_all<O: PodOwner>(controller: &Controller, owner: &O, pods: &[Arc<Pod>]) -> Result<()> {
    join_all(pods.iter().map(|pod| delete(controller, owner, pod))).await.into_iter().collect()
}

async fn delete<O: PodOwner>(controller: &Controller, owner: &O, pod: &Pod) -> Result<()> {
    let api: Api<Pod> = Api::namespaced(controller.client.clone(), &pod.namespace().unwrap_or_default());
    let params = DeleteParams { preconditions: Some(Preconditions { uid: pod.uid(), resource_version: None }), ..DeleteParams::default() };
    let name = pod.name_any();
    match ignore_not_found(api.delete(&name, &params).await) {
        Ok(_) => {
            controller.recorder.event(owner, Kind::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
            controller.caches.pods.gone(&Key::of(pod), &pod.uid().unwrap_or_default()).await;
            Ok(())
        }
        Err(error) => {
            controller.recorder.event(owner, Kind::Warning, "FailedDelete", format!("Error deleting: {}", error.message()));
            Err(error)
        }
    }
}
