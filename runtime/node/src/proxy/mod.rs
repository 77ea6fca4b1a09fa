//! The Service proxy: what Services and EndpointSlices say becomes translation rules of this node's kernel.
//!
//! * [`table`] is the decision: objects in, plain addresses out.
//! * [`start`] follows the objects and hands every difference to [`drydock_network::services::Services`].
//!
//! Host ports of this node's Pods are Services without a virtual address.

// upstream: pkg/proxy/nftables/proxier.go, pkg/proxy/endpointslicecache.go, pkg/proxy/topology.go

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use drydock_network::Cidr;
use drydock_network::services::{Service as Rules, ServiceKey, Services};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::Api;
use kube::runtime::watcher;
use tokio::sync::mpsc;

use crate::kubelet::{Node, follow};

/// The range of cluster IPs.
const SERVICE_RANGE: &str = "10.96.0.0/12";

/// Start to follow; returns once the first rules are in place, or cannot be.
pub(crate) async fn start(node: &Arc<Node>) {
    let Some(network) = node.network.get() else { return };
    let Ok(range) = SERVICE_RANGE.parse::<Cidr>() else { return };
    let netns = network.node.netns().clone();
    let addresses = [node.config.node_ip];
    let services = match tokio::task::spawn_blocking(move || Services::open(&netns, &addresses, range)).await {
        Ok(Ok(services)) => services,
        Ok(Err(error)) => {
            tracing::error!(%error, "no Service addresses on this node");
            return;
        }
        Err(error) => {
            tracing::error!(%error, "the proxy");
            return;
        }
    };
    let (tables, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || apply(services, receiver));
    tokio::spawn(watch(Arc::clone(node), tables));
}

/// Whenever an object changes, the whole table; equal parts of it cost nothing further down.
async fn watch(node: Arc<Node>, tables: mpsc::Sender<BTreeMap<ServiceKey, Rules>>) {
    let mut services = node.services.clone();
    let mut slices = follow(Api::<EndpointSlice>::all(node.client.clone()), watcher::Config::default());
    let own = watcher::Config::default().fields(&format!("spec.nodeName={}", node.config.node_name));
    let mut pods = follow(Api::<Pod>::all(node.client.clone()), own);
    let listed = services.wait_for(Option::is_some).await.is_ok()
        && slices.wait_for(Option::is_some).await.is_ok()
        && pods.wait_for(Option::is_some).await.is_ok();
    if !listed {
        return;
    }
    loop {
        let mut table = {
            let (services, slices) = (services.borrow_and_update(), slices.borrow_and_update());
            table::table(services.as_deref().unwrap_or_default(), slices.as_deref().unwrap_or_default(), &node.config.node_name)
        };
        table.extend(table::host_ports(pods.borrow_and_update().as_deref().unwrap_or_default()));
        if tables.send(table).await.is_err() {
            return;
        }
        let alive = tokio::select! {
            changed = services.changed() => changed.is_ok(),
            changed = slices.changed() => changed.is_ok(),
            changed = pods.changed() => changed.is_ok(),
        };
        if !alive {
            return;
        }
    }
}

/// A thread of its own: netlink waits for the kernel.
fn apply(mut services: Services, mut tables: mpsc::Receiver<BTreeMap<ServiceKey, Rules>>) {
    while let Some(table) = tables.blocking_recv() {
        let count = table.len();
        match services.replace_all(table) {
            Ok(()) => tracing::trace!(count, "Services are in the kernel"),
            Err(error) => tracing::warn!(%error, "cannot change the rules of Services"),
        }
    }
}
