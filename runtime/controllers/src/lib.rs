//! The controllers of a control plane, each an ordinary client of the API.
//!
//! 1. A [`cache::Cache`] per kind follows the API with one watch and tells every controller what changed.
//! 2. Each controller turns changes into keys on its own [`queue::Queue`] and reconciles one key at a time: read the caches, decide, write.
//! 3. After a write it waits until its caches have seen that write, so that it never acts twice on the same old news.
//!
//! # Invariants
//! * Nothing polls: a reconcile starts because an object changed or because a deadline derived from an object has come.
//! * One key is never reconciled twice at the same time.
//! * Each controller speaks as itself (`deployment-controller`, `generic-garbage-collector`), as upstream's do.
//! * No controller keeps state that cannot be derived again from the API after a restart.

mod cache;
mod condition;
mod daemon_set;
mod deployment;
mod endpoints;
mod error;
mod garbage;
mod history;
mod load_balancer;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod owner;
mod placement;
mod pod;
mod pod_control;
mod pod_gc;
mod queue;
mod recorder;
mod replica_set;
mod service_account;
mod shared;
mod stateful_set;
mod taint_eviction;
mod template;
mod volumes;

use std::sync::Arc;

use drydock_primitives::clock::SharedClock;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::ReplicationController;
use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::shared::Shared;

/// Makes a client that speaks as the named controller, such as `deployment-controller`.
pub(crate) type ClientFactory = Arc<dyn Fn(&str) -> Client + Send + Sync>;

pub use load_balancer::LoadBalancer;
pub use volumes::{Disks, NoDisks, PROVISIONER};

/// What controllers need to know of the machines around them.
#[derive(Clone)]
pub struct Settings {
    /// What Services of type LoadBalancer get.
    pub load_balancer: LoadBalancer,
    /// Where volumes are made.
    pub disks: Arc<dyn Disks>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { load_balancer: LoadBalancer::default(), disks: Arc::new(NoDisks) }
    }
}

/// Runs every controller until `cancel`.
///
/// `clients` makes a client that speaks as the named controller; upstream's identity is `system:serviceaccount:kube-system:<name>`.
pub async fn run(clients: impl Fn(&str) -> Client + Send + Sync + 'static, clock: SharedClock, settings: Settings, cancel: CancellationToken) {
    let shared = Shared::new(Arc::new(clients), clock, cancel);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(deployment::run(shared.controller("deployment-controller")));
    tasks.spawn(replica_set::run::<ReplicaSet>(shared.controller("replicaset-controller")));
    tasks.spawn(replica_set::run::<ReplicationController>(shared.controller("replication-controller")));
    tasks.spawn(daemon_set::run(shared.controller("daemonset-controller")));
    tasks.spawn(stateful_set::run(shared.controller("statefulset-controller")));
    tasks.spawn(endpoints::run_endpoints(shared.controller("endpoint-controller")));
    tasks.spawn(endpoints::run_slices(shared.controller("endpointslice-controller")));
    tasks.spawn(endpoints::run_mirror(shared.controller("endpointslicemirroring-controller")));
    tasks.spawn(node_ipam::run(shared.controller("node-ipam-controller")));
    tasks.spawn(node_lifecycle::run(shared.controller("node-controller")));
    tasks.spawn(taint_eviction::run(shared.controller("taint-eviction-controller")));
    tasks.spawn(pod_gc::run(shared.controller("pod-garbage-collector")));
    tasks.spawn(service_account::run_accounts(shared.controller("service-account-controller")));
    tasks.spawn(service_account::run_root_ca(shared.controller("root-ca-cert-publisher")));
    tasks.spawn(load_balancer::run(shared.controller("service-controller"), settings.load_balancer));
    tasks.spawn(volumes::run_binder(shared.controller("persistentvolume-controller")));
    tasks.spawn(volumes::run_provisioner(shared.controller(volumes::PROVISIONER), settings.disks));
    tasks.spawn(volumes::run_claim_protection(shared.controller("pvc-protection-controller")));
    tasks.spawn(volumes::run_volume_protection(shared.controller("pv-protection-controller")));
    let world = garbage::World::new(shared.controller("generic-garbage-collector"));
    tasks.spawn(namespace::run(shared.controller("namespace-controller"), world.clone()));
    tasks.spawn(garbage::run(world));
    // Each constructor has registered its handlers, so that none misses the first list.
    shared.follow(&mut tasks);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a controller has ended in a panic");
        }
    }
}
