//! The objects every cluster has before anybody asks: namespaces, the API's own Service, the DNS Service, the class of volumes.
//!
//! The API's own Service heals itself: whoever deletes it finds a new one at once.

use std::net::Ipv4Addr;

use drydock_controllers::PROVISIONER;
use drydock_network::fabric::{CONTROL_PLANE, DNS_SERVICE, KUBERNETES_SERVICE};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

/// The name of the API's own Service, in namespace `default`.
const OWN: &str = "kubernetes";

/// Make what is missing. Objects that exist are left as they are, but for the endpoints, which are ours.
pub(super) async fn apply(client: &Client, authority: &str) -> kube::Result<()> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure(client, "", "v1", "Namespace", &json!({"metadata": {"name": name}})).await?;
    }
    // A controller copies it to every other namespace.
    let root = json!({"metadata": {"name": "kube-root-ca.crt", "namespace": "kube-system"}, "data": {"ca.crt": authority}});
    ensure(client, "", "v1", "ConfigMap", &root).await?;
    let dns_ports = json!([
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]);
    let dns_labels = json!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"});
    let dns = service("kube-dns", "kube-system", DNS_SERVICE, &dns_ports, &dns_labels);
    own_service(client).await?;
    ensure(client, "", "v1", "Service", &dns).await?;
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}, {"name": "metrics", "port": 9153, "protocol": "TCP"}]);
    endpoints(client, "kube-system", "kube-dns", &ports).await?;
    let class = json!({
        "metadata": {"name": "hostpath", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate",
    });
    ensure(client, "storage.k8s.io", "v1", "StorageClass", &class).await
}

/// The Service by which Pods find the API, with its endpoints.
// upstream: pkg/controlplane/controller/kubernetesservice/controller.go
async fn own_service(client: &Client) -> kube::Result<()> {
    let ports = json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]);
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    ensure(client, "", "v1", "Service", &service(OWN, "default", KUBERNETES_SERVICE, &ports, &labels)).await?;
    endpoints(client, "default", OWN, &json!([{"name": "https", "port": 6443, "protocol": "TCP"}])).await
}

/// Puts the API's own Service and its endpoints back whenever they are deleted.
pub(super) async fn heal(client: Client) {
    let named = watcher::Config::default().fields(&format!("metadata.name={OWN}"));
    let gone = |deleted: bool| async move { deleted.then_some(()) };
    let services = watcher::watcher(Api::<Service>::namespaced(client.clone(), "default"), named.clone()).default_backoff().filter_map(move |event| gone(is_deletion(event)));
    let endpoints = watcher::watcher(Api::<Endpoints>::namespaced(client.clone(), "default"), named.clone()).default_backoff().filter_map(move |event| gone(is_deletion(event)));
    let slices = watcher::watcher(Api::<EndpointSlice>::namespaced(client.clone(), "default"), named).default_backoff().filter_map(move |event| gone(is_deletion(event)));
    let mut deletions = futures::stream::select_all([services.boxed(), endpoints.boxed(), slices.boxed()]);
    while deletions.next().await.is_some() {
        if let Err(error) = own_service(&client).await {
            tracing::warn!(%error, "the API's own Service is gone and could not be made again");
        }
    }
}

fn is_deletion<K>(event: watcher::Result<watcher::Event<K>>) -> bool {
    matches!(event, Ok(watcher::Event::Delete(_)))
}

fn service(name: &str, namespace: &str, address: Ipv4Addr, ports: &Value, labels: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports},
    })
}

/// Services without a selector have endpoints by hand: here, by us.
async fn endpoints(client: &Client, namespace: &str, name: &str, ports: &Value) -> kube::Result<()> {
    let endpoints = json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": CONTROL_PLANE}], "ports": ports}],
    });
    ensure(client, "", "v1", "Endpoints", &endpoints).await?;
    let slice = json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [CONTROL_PLANE], "conditions": {"ready": true}}],
        "ports": ports,
    });
    ensure(client, "discovery.k8s.io", "v1", "EndpointSlice", &slice).await
}

async fn ensure(client: &Client, group: &str, version: &str, kind: &str, object: &Value) -> kube::Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
        None => Api::all_with(client.clone(), &kind),
    };
    if api.get_opt(name).await?.is_some() {
        return Ok(());
    }
    let mut object = object.clone();
    object["apiVersion"] = json!(kind.api_version);
    object["kind"] = json!(kind.kind);
    api.patch(name, &PatchParams::apply("drydock"), &Patch::Apply(&object)).await.map(drop)
}
