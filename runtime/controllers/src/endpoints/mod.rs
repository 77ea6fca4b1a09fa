//! Which Pods stand behind a Service: its Endpoints and its EndpointSlices.
//!
//! Both controllers look at the same backends; they differ in how they write them down.
// upstream: pkg/controller/endpoint, pkg/controller/endpointslice, staging/src/k8s.io/endpointslice

mod backends;
mod mirror;
mod slices;
mod subsets;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::selector::LabelSelector;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};

use crate::cache::{Cache, Change, Key};
use crate::error::{Error, Result, ignore_not_found};
use crate::owner;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

pub(crate) use mirror::run as run_mirror;
pub(crate) use slices::run as run_slices;

const WORKERS: usize = 5;
/// Marks Services without a cluster address, so that kube-proxy leaves them alone.
const HEADLESS: &str = "service.kubernetes.io/headless";

/// Keeps the Endpoints of each Service. Handlers stand when this returns.
pub(crate) fn run_endpoints(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = services_concerned(&controller);
    controller.caches.endpoints.on_change({
        let queue = queue.clone();
        move |change| queue.add(Key::of(&**change.latest()))
    });
    let caches = &controller.caches;
    let synced = [caches.services.synced(), caches.pods.synced(), caches.endpoints.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

/// A queue of Services that have changed, or whose Pods have.
fn services_concerned(controller: &Controller) -> Queue<Key> {
    let queue = Queue::new(controller.clock.clone());
    let services = controller.caches.services.clone();
    services.on_change({
        let queue = queue.clone();
        move |change| queue.add(Key::of(&**change.latest()))
    });
    let pods = queue.clone();
    controller.caches.pods.on_change(move |change| {
        if let Change::Updated { old, new } = change {
            if !backends::differ(old, new) {
                return;
            }
            add_selecting(&services, old, &pods);
        }
        add_selecting(&services, change.latest(), &pods);
    });
    queue
}

fn add_selecting(services: &Cache<Service>, pod: &Pod, queue: &Queue<Key>) {
    for service in services.in_namespace(&pod.namespace().unwrap_or_default()) {
        if selector(&service).is_some_and(|selector| owner::matches(&selector, &pod.metadata)) {
            queue.add(Key::of(&*service));
        }
    }
}

/// The selector of a Service whose backends are ours to find.
fn selector(service: &Service) -> Option<LabelSelector> {
    let spec = service.spec.as_ref()?;
    let labels = spec.selector.as_ref().filter(|labels| !labels.is_empty() && spec.type_.as_deref() != Some("ExternalName"))?;
    Some(LabelSelector::from_labels(labels))
}

fn selected(controller: &Controller, service: &Service, selector: &LabelSelector) -> Vec<Arc<Pod>> {
    let mut pods = controller.caches.pods.in_namespace(&service.namespace().unwrap_or_default());
    pods.retain(|pod| owner::matches(selector, &pod.metadata));
    pods
}

fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None")
}

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let api: Api<Endpoints> = Api::namespaced(controller.client.clone(), &key.namespace);
    let current = controller.caches.endpoints.get(&key);
    let Some(service) = controller.caches.services.get(&key) else {
        // Endpoints live and die with the Service of their name, except those that elect leaders.
        if current.is_some_and(|current| !current.annotations().contains_key("control-plane.alpha.kubernetes.io/leader")) {
            ignore_not_found(api.delete(&key.name, &DeleteParams::default()).await)?;
        }
        return Ok(None);
    };
    let Some(selector) = selector(&service) else { return Ok(None) };
    let pods = selected(&controller, &service, &selector);
    let subsets = subsets::subsets(&service, &pods);
    let labels = labels(&service);
    let written = match current {
        Some(current) => {
            let same = current.subsets.clone().unwrap_or_default() == subsets && current.labels() == &labels;
            if same {
                return Ok(None);
            }
            let mut changed = (*current).clone();
            changed.metadata.labels = Some(labels).filter(|labels| !labels.is_empty());
            changed.subsets = Some(subsets).filter(|subsets| !subsets.is_empty());
            api.replace(&key.name, &params(), &changed).await
        }
        None => {
            let object = Endpoints {
                metadata: ObjectMeta {
                    name: Some(key.name.clone()),
                    namespace: Some(key.namespace.clone()),
                    labels: Some(labels).filter(|labels| !labels.is_empty()),
                    ..ObjectMeta::default()
                },
                subsets: Some(subsets).filter(|subsets| !subsets.is_empty()),
            };
            api.create(&params(), &object).await
        }
    };
    match written.map_err(Error::from) {
        Ok(written) => controller.caches.endpoints.reached(&written).await,
        Err(error) if error.is_namespace_terminating() => {}
        Err(error) => {
            if !error.is_conflict() {
                controller.recorder.event(&*service, Kind::Warning, "FailedToUpdateEndpoint", format!("Failed to update endpoint {key}: {}", error.message()));
            }
            return Err(error);
        }
    }
    Ok(None)
}

/// The labels of the Service, and whether it has no address of its own.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.labels().clone();
    labels.remove(HEADLESS);
    labels.insert("endpoints.kubernetes.io/managed-by".into(), "endpoint-controller".into());
    if is_headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels
}
