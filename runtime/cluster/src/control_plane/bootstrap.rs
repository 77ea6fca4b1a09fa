//! The objects every cluster has before anybody asks: namespaces, the API's own Service, the DNS Service.

use std::net::Ipv4Addr;

use drydock_network::fabric::{CONTROL_PLANE, DNS_SERVICE, KUBERNETES_SERVICE};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// Make what is missing. Objects that exist are left as they are, but for the endpoints, which are ours.
pub(super) async fn apply(client: &Client, authority: &str) -> kube::Result<()> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        ensure(client, "", "v1", "Namespace", &json!({"metadata": {"name": name}})).await?;
    }
    // A controller copies it to every other namespace.
    let root = json!({"metadata": {"name": "kube-root-ca.crt", "namespace": "kube-system"}, "data": {"ca.crt": authority}});
    ensure(client, "", "v1", "ConfigMap", &root).await?;
    let api = service("kubernetes", "default", KUBERNETES_SERVICE, &json!([{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]), &json!({"component": "apiserver", "provider": "kubernetes"}));
    let dns_ports = json!([
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
    ]);
    let dns_labels = json!({"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"});
    let dns = service("kube-dns", "kube-system", DNS_SERVICE, &dns_ports, &dns_labels);
    ensure(client, "", "v1", "Service", &api).await?;
    ensure(client, "", "v1", "Service", &dns).await?;
    endpoints(client, "default", "kubernetes", &json!([{"name": "https", "port": 6443, "protocol": "TCP"}])).await?;
    let ports = json!([{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]);
    endpoints(client, "kube-system", "kube-dns", &ports).await
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
