//! What all controllers share: one cache per kind.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::clock::SharedClock;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Synced};
use crate::error::Result;
use crate::queue::Queue;
use crate::recorder::Recorder;
use crate::ClientFactory;

/// The field manager under which the controllers write, as upstream's binary is named.
pub(crate) const MANAGER: &str = "kube-controller-manager";

/// One cache per kind.
#[derive(Clone)]
pub(crate) struct Caches {
    pub(crate) pods: Cache<Pod>,
    pub(crate) replica_sets: Cache<ReplicaSet>,
    pub(crate) replication_controllers: Cache<ReplicationController>,
    pub(crate) deployments: Cache<Deployment>,
    pub(crate) daemon_sets: Cache<DaemonSet>,
    pub(crate) stateful_sets: Cache<StatefulSet>,
    pub(crate) revisions: Cache<ControllerRevision>,
    pub(crate) services: Cache<Service>,
    pub(crate) endpoints: Cache<Endpoints>,
    pub(crate) slices: Cache<EndpointSlice>,
    pub(crate) nodes: Cache<Node>,
    pub(crate) leases: Cache<Lease>,
    pub(crate) namespaces: Cache<Namespace>,
    pub(crate) service_accounts: Cache<ServiceAccount>,
    pub(crate) volumes: Cache<PersistentVolume>,
    pub(crate) claims: Cache<PersistentVolumeClaim>,
    pub(crate) classes: Cache<StorageClass>,
    /// Only `kube-root-ca.crt` of each namespace.
    pub(crate) root_cas: Cache<ConfigMap>,
}

/// What one controller works with.
#[derive(Clone)]
pub(crate) struct Controller {
    pub(crate) client: Client,
    pub(crate) caches: Caches,
    pub(crate) clock: SharedClock,
    pub(crate) cancel: CancellationToken,
    pub(crate) recorder: Recorder,
}

impl Controller {
    /// Reconciles the keys of `queue`, up to `workers` at a time, from when the caches are `synced` until cancelled.
    pub(crate) async fn work<K, F, R, const N: usize>(self, queue: Queue<K>, workers: usize, synced: [Synced; N], reconcile: F)
    where
        K: Clone + Debug + Eq + Hash + Send + Sync + 'static,
        F: Fn(Arc<Controller>, K) -> R + Clone + Send + 'static,
        R: Future<Output = Result<Option<Duration>>> + Send,
    {
        join_all(synced).await;
        let cancel = self.cancel.clone();
        let controller = Arc::new(self);
        queue.work(workers, cancel, move |key| reconcile(Arc::clone(&controller), key)).await;
    }
}

/// Makes controllers that share their caches.
pub(crate) struct Shared {
    clients: ClientFactory,
    caches: Caches,
    clock: SharedClock,
    cancel: CancellationToken,
}

impl Shared {
    pub(crate) fn new(clients: ClientFactory, clock: SharedClock, cancel: CancellationToken) -> Self {
        let caches = Caches {
            pods: Cache::new(),
            replica_sets: Cache::new(),
            replication_controllers: Cache::new(),
            deployments: Cache::new(),
            daemon_sets: Cache::new(),
            stateful_sets: Cache::new(),
            revisions: Cache::new(),
            services: Cache::new(),
            endpoints: Cache::new(),
            slices: Cache::new(),
            nodes: Cache::new(),
            leases: Cache::new(),
            namespaces: Cache::new(),
            service_accounts: Cache::new(),
            volumes: Cache::new(),
            claims: Cache::new(),
            classes: Cache::new(),
            root_cas: Cache::new(),
        };
        Self { clients, caches, clock, cancel }
    }

    /// A controller that speaks as `name`.
    pub(crate) fn controller(&self, name: &str) -> Controller {
        let client = (self.clients)(name);
        let recorder = Recorder::new(client.clone(), name, self.clock.clone());
        Controller { client, caches: self.caches.clone(), clock: self.clock.clone(), cancel: self.cancel.clone(), recorder }
    }

    /// Starts following the API.
    pub(crate) fn follow(&self, tasks: &mut JoinSet<()>) {
        let client = (self.clients)("kube-controller-manager");
        let all = watcher::Config::default;
        macro_rules! follow {
            ($($cache:ident: $config:expr),* $(,)?) => {
                $(tasks.spawn(self.caches.$cache.clone().follow(Api::all(client.clone()), $config, self.cancel.clone()));)*
            };
        }
        follow! {
            pods: all(),
            replica_sets: all(),
            replication_controllers: all(),
            deployments: all(),
            daemon_sets: all(),
            stateful_sets: all(),
            revisions: all(),
            services: all(),
            endpoints: all(),
            slices: all(),
            nodes: all(),
            leases: all(),
            namespaces: all(),
            service_accounts: all(),
            volumes: all(),
            claims: all(),
            classes: all(),
            root_cas: all().fields("metadata.name=kube-root-ca.crt"),
        }
    }
}
