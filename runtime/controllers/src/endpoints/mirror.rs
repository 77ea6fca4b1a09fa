//! Endpoints written by hand, for a Service without a selector, as the slices that proxies read.
// upstream: pkg/controller/endpointslicemirroring

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::ResourceExt;

use super::slices::{Content, MANAGED_BY, SERVICE_NAME, Target, write};
use super::{WORKERS, selector};
use crate::cache::Key;
use crate::error::Result;
use crate::owner::controller_reference;
use crate::queue::Queue;
use crate::shared::Controller;

const CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Keeps the mirrors. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue: Queue<Key> = Queue::new(controller.clock.clone());
    let caches = controller.caches.clone();
    let (services, endpoints, slices) = (queue.clone(), queue.clone(), queue.clone());
    caches.services.on_change(move |change| services.add(Key::of(&**change.latest())));
    caches.endpoints.on_change(move |change| endpoints.add(Key::of(&**change.latest())));
    caches.slices.on_change(move |change| {
        let slice = change.latest();
        if let Some(service) = slice.labels().get(SERVICE_NAME).filter(|_| is_mirror(slice)) {
            slices.add(Key::new(&slice.namespace().unwrap_or_default(), service));
        }
    });
    let synced = [caches.services.synced(), caches.endpoints.synced(), caches.slices.synced()];
    controller.work(queue, WORKERS, synced, reconcile)
}

fn is_mirror(slice: &EndpointSlice) -> bool {
    slice.labels().get(MANAGED_BY).map(String::as_str) == Some(CONTROLLER)
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    // Mirrors of Endpoints that are gone are collected by their owner reference.
    let Some(endpoints) = controller.caches.endpoints.get(&key).filter(|endpoints| endpoints.metadata.deletion_timestamp.is_none()) else { return Ok(None) };
    let service = controller.caches.services.get(&key);
    let wanted = if is_mirrored(&endpoints, service.as_deref()) { contents(&endpoints) } else { Vec::new() };
    let mine = |slice: &Arc<EndpointSlice>| is_mirror(slice) && slice.labels().get(SERVICE_NAME) == Some(&key.name) && slice.metadata.deletion_timestamp.is_none();
    let existing: Vec<_> = controller.caches.slices.in_namespace(&key.namespace).into_iter().filter(mine).collect();
    let mut labels = endpoints.labels().clone();
    labels.extend([(SERVICE_NAME.to_owned(), key.name.clone()), (MANAGED_BY.to_owned(), CONTROLLER.to_owned())]);
    let target = Target { namespace: key.namespace.clone(), name: key.name.clone(), labels, owner: controller_reference(&*endpoints) };
    match write(&controller, &target, &wanted, existing).await {
        Err(error) if error.is_namespace_terminating() => Ok(None),
        result => result.map(|()| None),
    }
}

fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let skipped = endpoints.labels().get(SKIP).is_some_and(|value| value == "true") || endpoints.annotations().contains_key(LEADER);
    !skipped && service.is_some_and(|service| selector(service).is_none())
}

/// One slice for each set of ports.
fn contents(endpoints: &Endpoints) -> Vec<Content> {
    let mut groups: BTreeMap<String, Content> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports = ports(subset);
        let group = groups.entry(format!("{ports:?}")).or_insert_with(|| Content { ports, endpoints: Vec::new() });
        let ready = subset.addresses.iter().flatten().map(|address| endpoint(address, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|address| endpoint(address, false));
        group.endpoints.extend(ready.chain(unready));
    }
    groups.into_values().flat_map(Content::cut).collect()
}

fn ports(subset: &EndpointSubset) -> Vec<EndpointPort> {
    let read = |port: &k8s_openapi::api::core::v1::EndpointPort| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
        app_protocol: port.app_protocol.clone(),
    };
    subset.ports.iter().flatten().map(read).collect()
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_endpoints_by_hand_are_mirrored() {
        let endpoints = |labels: serde_json::Value| -> Endpoints { serde_json::from_value(json!({"metadata": {"name": "s", "labels": labels}})).expect("Endpoints") };
        let service = |spec: serde_json::Value| -> Service { serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).expect("a Service") };
        for (name, endpoints, service, expected) in [
            ("by hand", endpoints(json!({})), Some(service(json!({}))), true),
            ("marked", endpoints(json!({SKIP: "true"})), Some(service(json!({}))), false),
            ("selected", endpoints(json!({})), Some(service(json!({"selector": {"a": "b"}}))), false),
            ("no Service", endpoints(json!({})), None, false),
        ] {
            assert_eq!(is_mirrored(&endpoints, service.as_ref()), expected, "{name}");
        }
    }
}
