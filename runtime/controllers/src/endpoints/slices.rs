//! EndpointSlices: up to a hundred endpoints each, with more to say about every one.
// upstream: pkg/controller/endpointslice/endpointslice_controller.go, staging/src/k8s.io/endpointslice/reconciler.go

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt};

use super::{HEADLESS, WORKERS, backends, is_headless, params, selected, selector, services_concerned};
use crate::cache::Key;
use crate::error::{Error, Result, ignore_not_found};
use crate::owner::controller_reference;
use crate::pod;
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::Controller;

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// The most endpoints of one slice.
const MOST: usize = 100;

/// Keeps the EndpointSlices of each Service. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue: Queue<Key> = services_concerned(&controller);
    controller.caches.slices.on_change({
        let queue = queue.clone();
        move |change| {
            let slice = change.latest();
            if let Some(service) = slice.labels().get(SERVICE_NAME).filter(|_| is_ours(slice)) {
                queue.add(Key::new(&slice.namespace().unwrap_or_default(), service));
            }
        }
    });
    let caches = &controller.caches;
    let synced = [caches.services.synced(), caches.pods.synced(), caches.nodes.synced(), caches.slices.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

fn is_ours(slice: &EndpointSlice) -> bool {
    slice.labels().get(MANAGED_BY).map(String::as_str) == Some(CONTROLLER)
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    // Slices of a Service that is gone are collected by their owner reference.
    let Some(service) = controller.caches.services.get(&key).filter(|service| service.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let Some(selector) = selector(&service) else { return Ok(None) };
    let zone = |node: &str| controller.caches.nodes.get(&Key::new("", node)).and_then(|node| node.labels().get("topology.kubernetes.io/zone").cloned());
    let wanted = wanted(&service, &selected(&controller, &service, &selector), &zone);
    let mine = |slice: &Arc<EndpointSlice>| is_ours(slice) && slice.labels().get(SERVICE_NAME) == Some(&key.name) && slice.metadata.deletion_timestamp.is_none();
    let existing: Vec<_> = controller.caches.slices.in_namespace(&key.namespace).into_iter().filter(mine).collect();
    let target = Target { namespace: key.namespace.clone(), name: key.name.clone(), labels: labels(&service), owner: controller_reference(&*service) };
    let result = write(&controller, &target, &wanted, existing).await;
    if let Err(error) = &result {
        if error.is_namespace_terminating() {
            return Ok(None);
        }
        if !error.is_conflict() {
            controller.recorder.event(&*service, Kind::Warning, "FailedToUpdateEndpointSlices", format!("Error updating Endpoint Slices for Service {key}: {}", error.message()));
        }
    }
    result.map(|()| None)
}

/// What a slice is to say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    pub(super) ports: Vec<EndpointPort>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Content {
    /// Cuts it at a hundred endpoints.
    pub(super) fn cut(self) -> Vec<Self> {
        self.endpoints.chunks(MOST).map(|endpoints| Self { ports: self.ports.clone(), endpoints: endpoints.to_vec() }).collect()
    }
}

/// Whose slices are written.
pub(super) struct Target {
    pub(super) namespace: String,
    /// Their names begin with it.
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) owner: OwnerReference,
}

/// The slices that should be there: one group for each set of ports, cut at a hundred. A Service always has at least one.
fn wanted(service: &Service, pods: &[Arc<Pod>], zone: &dyn Fn(&str) -> Option<String>) -> Vec<Content> {
    let mut groups: BTreeMap<String, Content> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !pod::is_finished(pod)) {
        let Some(ip) = backends::address(pod) else { continue };
        let ports = ports(service, pod);
        let endpoint = endpoint(service, pod, ip, zone);
        let group = groups.entry(format!("{ports:?}")).or_insert_with(|| Content { ports, endpoints: Vec::new() });
        group.endpoints.push(endpoint);
    }
    if groups.is_empty() {
        return vec![Content { ports: Vec::new(), endpoints: Vec::new() }];
    }
    groups.into_values().flat_map(Content::cut).collect()
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let find = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let number = backends::target_port(pod, port)?;
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(number),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
            app_protocol: port.app_protocol.clone(),
        })
    };
    ports.iter().filter_map(find).collect()
}

fn endpoint(service: &Service, pod: &Pod, ip: String, zone: &dyn Fn(&str) -> Option<String>) -> Endpoint {
    let leaving = pod.metadata.deletion_timestamp.is_some();
    let serving = pod::is_ready(pod);
    let node = Some(pod::node(pod).to_owned()).filter(|node| !node.is_empty());
    Endpoint {
        addresses: vec![ip],
        conditions: Some(EndpointConditions {
            ready: Some(backends::publishes_unready(service) || serving && !leaving),
            serving: Some(serving),
            terminating: Some(leaving),
        }),
        hostname: backends::hostname_in(pod, service),
        zone: node.as_deref().and_then(zone),
        node_name: node,
        target_ref: Some(backends::reference(pod)),
        ..Endpoint::default()
    }
}

/// Brings the slices that exist to what is wanted, with as few writes as a set of ports needs.
pub(super) async fn write(controller: &Controller, target: &Target, wanted: &[Content], mut existing: Vec<Arc<EndpointSlice>>) -> Result<()> {
    let api: Api<EndpointSlice> = Api::namespaced(controller.client.clone(), &target.namespace);
    let labels = &target.labels;
    let same_ports = |slice: &EndpointSlice, content: &Content| slice.ports.clone().unwrap_or_default() == content.ports;
    let mut missing = Vec::new();
    for content in wanted {
        let exact = existing.iter().position(|slice| same_ports(slice, content) && slice.endpoints.iter().flatten().all(|endpoint| content.endpoints.contains(endpoint)));
        let found = exact.or_else(|| existing.iter().position(|slice| same_ports(slice, content)));
        match found.map(|position| existing.remove(position)) {
            Some(slice) => update(controller, &api, &slice, content, labels).await?,
            None => missing.push(content),
        }
    }
    for content in missing {
        // A slice whose ports are wanted no more is used for those that are.
        match existing.pop() {
            Some(slice) => update(controller, &api, &slice, content, labels).await?,
            None => {
                let slice = EndpointSlice {
                    metadata: ObjectMeta {
                        generate_name: Some(format!("{}-", target.name)),
                        namespace: Some(target.namespace.clone()),
                        labels: Some(labels.clone()),
                        owner_references: Some(vec![target.owner.clone()]),
                        ..ObjectMeta::default()
                    },
                    address_type: "IPv4".into(),
                    endpoints: Some(content.endpoints.clone()),
                    ports: Some(content.ports.clone()).filter(|ports| !ports.is_empty()),
                };
                let written = api.create(&params(), &slice).await.map_err(Error::from)?;
                controller.caches.slices.reached(&written).await;
            }
        }
    }
    for slice in existing {
        let preconditions = Some(Preconditions { uid: slice.uid(), resource_version: None });
        ignore_not_found(api.delete(&slice.name_any(), &DeleteParams { preconditions, ..DeleteParams::default() }).await)?;
    }
    Ok(())
}

async fn update(controller: &Controller, api: &Api<EndpointSlice>, slice: &EndpointSlice, content: &Content, labels: &BTreeMap<String, String>) -> Result<()> {
    let mut changed = slice.clone();
    changed.metadata.labels = Some(labels.clone());
    changed.ports = Some(content.ports.clone()).filter(|ports| !ports.is_empty());
    changed.endpoints = Some(content.endpoints.clone());
    let endpoints = |slice: &EndpointSlice| slice.endpoints.clone().unwrap_or_default();
    let ports = |slice: &EndpointSlice| slice.ports.clone().unwrap_or_default();
    if endpoints(&changed) == endpoints(slice) && ports(&changed) == ports(slice) && changed.metadata == slice.metadata {
        return Ok(());
    }
    let written = api.replace(&slice.name_any(), &params(), &changed).await?;
    controller.caches.slices.reached(&written).await;
    Ok(())
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.labels().clone();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.name_any());
    labels.insert(MANAGED_BY.into(), CONTROLLER.into());
    labels
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_become_endpoints_with_conditions() {
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "http", "port": 80}]}})).expect("a Service");
        let pod = |name: &str, ready: &str, leaving: bool| -> Arc<Pod> {
            let object = json!({
                "metadata": {"name": name, "deletionTimestamp": leaving.then_some("2026-01-01T00:00:00Z")},
                "spec": {"nodeName": "n", "containers": []},
                "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
            });
            Arc::new(serde_json::from_value(object).expect("a Pod"))
        };
        for (name, pod, expected) in [
            ("ready", pod("p", "True", false), [true, true, false]),
            ("not ready", pod("p", "False", false), [false, false, false]),
            ("leaving", pod("p", "True", true), [false, true, true]),
        ] {
            let slices = wanted(&service, &[pod], &|_| Some("z".into()));
            let conditions = slices[0].endpoints[0].conditions.clone().expect("conditions");
            assert_eq!([conditions.ready, conditions.serving, conditions.terminating], expected.map(Some), "{name}");
            assert_eq!(slices[0].endpoints[0].zone.as_deref(), Some("z"));
            assert_eq!(slices[0].ports[0].port, Some(80));
        }
        let none = wanted(&service, &[], &|_| None);
        assert_eq!(none, [Content { ports: Vec::new(), endpoints: Vec::new() }], "a Service without Pods has an empty slice");
        let many: Vec<_> = (0..250).map(|number| pod(&format!("p{number}"), "True", false)).collect();
        let sizes: Vec<_> = wanted(&service, &many, &|_| None).iter().map(|content| content.endpoints.len()).collect();
        assert_eq!(sizes, [100, 100, 50]);
    }
}
