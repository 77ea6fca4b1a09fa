//! Where a Service of type LoadBalancer is reached from outside: what a cloud's controller does.
//!
//! The status has one text for each address and nothing else: books print `{.status.loadBalancer.ingress[0].*}` into URLs.
// upstream: staging/src/k8s.io/cloud-provider/controllers/service/controller.go

use std::collections::BTreeSet;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Service};
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use crate::cache::{Cache, Key};
use crate::error::{Result, ignore_not_found};
use crate::queue::Queue;
use crate::recorder::Kind;
use crate::shared::{Controller, MANAGER};

/// What the cluster offers to Services of type LoadBalancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoadBalancer {
    /// Nothing: they wait for ever, as on bare machines.
    None,
    /// Their ports on the learner's own machine, all under the name `localhost`.
    #[default]
    Localhost,
    /// An address of its own for each.
    Addresses {
        /// The first one.
        first: Ipv4Addr,
        /// How many there are.
        count: u8,
    },
}

/// Runs until cancelled. Handlers stand when this returns.
pub(crate) fn run(controller: Controller, offer: LoadBalancer) -> impl Future<Output = ()> + Send + 'static {
    let queue = Queue::new(controller.clock.clone());
    let changed = queue.clone();
    controller.caches.services.on_change(move |change| changed.add(Key::of(&**change.latest())));
    let synced = [controller.caches.services.synced()];
    // One worker: two at a time could choose the same address.
    controller.work(queue, 1, synced, move |controller, key| reconcile(controller, offer, key))
}

async fn reconcile(controller: Arc<Controller>, offer: LoadBalancer, key: Key) -> Result<Option<Duration>> {
    let Some(service) = controller.caches.services.get(&key) else { return Ok(None) };
    let spec = service.spec.clone().unwrap_or_default();
    let ours = spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none() && service.metadata.deletion_timestamp.is_none();
    if !ours || !ingress(&service).is_empty() {
        return Ok(None);
    }
    let Some(entry) = choose(offer, &controller.caches.services, &service) else {
        if offer != LoadBalancer::None {
            controller.recorder.event(&*service, Kind::Warning, "SyncLoadBalancerFailed", "Error syncing load balancer: failed to ensure load balancer: no address is free");
        }
        return Ok(None);
    };
    let mut changed = (*service).clone();
    changed.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus { ingress: Some(vec![entry]) });
    let api: Api<Service> = Api::namespaced(controller.client.clone(), &key.namespace);
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    if let Some(written) = ignore_not_found(api.replace_status(&service.name_any(), &params, &changed).await)? {
        controller.caches.services.reached(&written).await;
    }
    Ok(None)
}

fn ingress(service: &Service) -> &[LoadBalancerIngress] {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    status.and_then(|status| status.ingress.as_deref()).unwrap_or_default()
}

fn choose(offer: LoadBalancer, services: &Cache<Service>, service: &Service) -> Option<LoadBalancerIngress> {
    match offer {
        LoadBalancer::None => None,
        LoadBalancer::Localhost => Some(LoadBalancerIngress { hostname: Some("localhost".into()), ..LoadBalancerIngress::default() }),
        LoadBalancer::Addresses { first, count } => {
            let all = services.list();
            let taken: BTreeSet<&str> = all.iter().flat_map(|other| ingress(other)).filter_map(|entry| entry.ip.as_deref()).collect();
            let wished = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.clone());
            let mut addresses = (0..u32::from(count)).map(|offset| Ipv4Addr::from_bits(first.to_bits() + offset).to_string());
            let ip = addresses.find(|address| !taken.contains(address.as_str()) && wished.as_ref().is_none_or(|wished| wished.is_empty() || wished == address))?;
            Some(LoadBalancerIngress { ip: Some(ip), ..LoadBalancerIngress::default() })
        }
    }
}
