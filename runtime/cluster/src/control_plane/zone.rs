//! What the cluster's DNS answers from: Services and their endpoints, watched, as one snapshot.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use drydock_network::dns::{EndpointRecord, PortRecord, Records, ServiceRecord, Zone};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use tokio::sync::watch;

/// The zone of the cluster; always the latest snapshot.
#[derive(Clone)]
pub(super) struct ClusterZone(watch::Receiver<Arc<Records>>);

impl Zone for ClusterZone {
    fn snapshot(&self) -> Arc<Records> {
        Arc::clone(&self.0.borrow())
    }
}

impl ClusterZone {
    /// Wait until the zone knows the Service `namespace/name`.
    pub(super) async fn knows(&self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let mut records = self.0.clone();
        // An error means that the watching task is gone, and with it the control plane.
        if records.wait_for(|records| records.services.contains_key(&key)).await.is_err() {
            tracing::debug!("the zone is gone");
        }
    }
}

/// Watch the cluster and keep the zone up to date.
/// `outside` holds the names beyond the cluster; its Services are filled in.
pub(super) fn watch_zone(client: kube::Client, outside: Records) -> ClusterZone {
    let (sender, receiver) = watch::channel(Arc::new(outside.clone()));
    tokio::spawn(async move {
        let (namespaces, mut namespace_events) = follow::<Namespace>(client.clone());
        let (services, mut service_events) = follow::<Service>(client.clone());
        let (slices, mut slice_events) = follow::<EndpointSlice>(client);
        let mut serial = 0;
        loop {
            let more = tokio::select! {
                event = namespace_events.next() => event,
                event = service_events.next() => event,
                event = slice_events.next() => event,
            };
            if more.is_none() {
                return;
            }
            serial += 1;
            let records = Records {
                serial,
                namespaces: namespaces.state().iter().filter_map(|n| n.metadata.name.clone()).collect(),
                services: services.state().iter().filter_map(|service| record(service, &slices.state())).collect(),
                ..outside.clone()
            };
            sender.send_if_modified(|old| {
                let changed = old.services != records.services || old.namespaces != records.namespaces;
                if changed {
                    *old = Arc::new(records);
                }
                changed
            });
        }
    });
    ClusterZone(receiver)
}

type Events = futures::stream::BoxStream<'static, ()>;

fn follow<K>(client: kube::Client) -> (Store<K>, Events)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + serde::de::DeserializeOwned + 'static,
{
    let (store, writer) = reflector::store::<K>();
    let events = watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff().reflect(writer);
    (store, events.map(|_| ()).boxed())
}

fn record(service: &Service, slices: &[Arc<EndpointSlice>]) -> Option<((String, String), ServiceRecord)> {
    let (namespace, name) = (service.metadata.namespace.clone()?, service.metadata.name.clone()?);
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        let target = spec.external_name.clone()?;
        return Some(((namespace, name), ServiceRecord::ExternalName { target }));
    }
    let record = match spec.cluster_ip.as_deref()? {
        "None" => {
            let all = spec.publish_not_ready_addresses == Some(true);
            ServiceRecord::Headless { endpoints: endpoints(&namespace, &name, slices, all) }
        }
        address => {
            let ports = spec.ports.iter().flatten().map(|port| PortRecord {
                name: port.name.clone().unwrap_or_default(),
                protocol: port.protocol.as_deref().unwrap_or("TCP").to_lowercase(),
                port: u16::try_from(port.port).unwrap_or_default(),
            });
            ServiceRecord::ClusterIp { address: address.parse().ok()?, ports: ports.collect() }
        }
    };
    Some(((namespace, name), record))
}

fn endpoints(namespace: &str, name: &str, slices: &[Arc<EndpointSlice>], all: bool) -> Vec<EndpointRecord> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for slice in slices {
        let of = slice.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/service-name"));
        if slice.metadata.namespace.as_deref() != Some(namespace) || of.map(String::as_str) != Some(name) {
            continue;
        }
        let ports: Vec<PortRecord> = slice
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                Some(PortRecord {
                    name: port.name.clone().unwrap_or_default(),
                    protocol: port.protocol.as_deref().unwrap_or("TCP").to_lowercase(),
                    port: u16::try_from(port.port?).ok()?,
                })
            })
            .collect();
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
            if !ready && !all {
                continue;
            }
            for address in endpoint.addresses.iter().filter_map(|address| address.parse::<Ipv4Addr>().ok()) {
                if seen.insert((address, endpoint.hostname.clone())) {
                    found.push(EndpointRecord { hostname: endpoint.hostname.clone(), address, ports: ports.clone() });
                }
            }
        }
    }
    found
}
