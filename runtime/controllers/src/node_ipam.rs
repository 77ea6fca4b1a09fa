//! A range of Pod addresses for each node.
//!
//! `node-3` gets the third /24 of the cluster's range when it is free, so that an address tells a reader where a Pod runs; any other node gets the first that is free.
// upstream: pkg/controller/nodeipam/ipam/range_allocator.go

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use crate::cache::Key;
use crate::error::{Result, ignore_not_found};
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    controller.caches.nodes.on_change({
        let queue = queue.clone();
        move |change| queue.add(Key::of(&**change.latest()))
    });
    let synced = [controller.caches.nodes.synced()];
    // One worker: two at a time could choose the same range.
    controller.work(queue, 1, synced, reconcile)
}

async fn reconcile(controller: Arc<Controller>, key: Key) -> Result<Option<Duration>> {
    let Some(node) = controller.caches.nodes.get(&key) else { return Ok(None) };
    if range_of(&node).is_some() {
        return Ok(None);
    }
    let taken = controller.caches.nodes.list().iter().filter_map(|node| number_of(range_of(node)?)).collect();
    let Some(number) = choose(&node.name_any(), &taken) else {
        controller.recorder.event(&*node, Kind::Normal, "CIDRNotAvailable", format!("Node {} status is now: CIDRNotAvailable", node.name_any()));
        return Ok(Some(Duration::from_secs(60)));
    };
    let range = format!("10.244.{number}.0/24");
    let patch = json!({"metadata": {"uid": node.uid()}, "spec": {"podCIDR": range, "podCIDRs": [range]}});
    let api: Api<Node> = Api::all(controller.client.clone());
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    if let Some(written) = ignore_not_found(api.patch(&node.name_any(), &params, &Patch::Merge(patch)).await)? {
        controller.caches.nodes.reached(&written).await;
    }
    Ok(None)
}

fn range_of(node: &Node) -> Option<&str> {
    node.spec.as_ref()?.pod_cidr.as_deref().filter(|range| !range.is_empty())
}

fn number_of(range: &str) -> Option<u8> {
    range.strip_prefix("10.244.")?.split('.').next()?.parse().ok()
}

fn choose(name: &str, taken: &BTreeSet<u8>) -> Option<u8> {
    let own = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    own.into_iter().chain(1..=254).find(|number| (1..=254).contains(number) && !taken.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_follow_names_when_they_can() {
        for (name, taken, expected) in [
            ("node-1", vec![], Some(1)),
            ("node-3", vec![1], Some(3)),
            ("node-1", vec![1], Some(2)),
            ("node-0", vec![], Some(1)),
            ("laptop", vec![1, 2], Some(3)),
            ("node-9999", vec![], Some(1)),
            ("full", (1..=254).collect(), None),
        ] {
            assert_eq!(choose(name, &taken.into_iter().collect()), expected, "{name}");
        }
        assert_eq!(number_of("10.244.7.0/24"), Some(7));
        assert_eq!(number_of("192.168.0.0/24"), None);
    }
}
