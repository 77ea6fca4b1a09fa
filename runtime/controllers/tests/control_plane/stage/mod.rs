//! A control plane in this process: the real API server, controllers and scheduler, and kubelets that only pretend to run containers.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use drydock_api::registry::Registry;
use drydock_apiserver::audit::Silent;
use drydock_apiserver::authenticate::{Authenticator, TokenKey};
use drydock_apiserver::authorize::FixedPolicy;
use drydock_apiserver::{ApiServer, Config, Dial, Duplex, Identity, Target};
use drydock_primitives::clock::{Clock, Sleep, after};
use drydock_store::Store;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough for a busy machine; nothing waits that long when all is well.
const PATIENCE: Duration = Duration::from_secs(20);

/// The machine's clock, some time ahead: back-offs of milliseconds pass by themselves, minutes when the test says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShiftedClock {
    ahead: Arc<watch::Sender<Duration>>,
}

impl ShiftedClock {
    pub(crate) fn advance(&self, step: Duration) {
        self.ahead.send_modify(|ahead| *ahead += step);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        after(Timestamp::now(), *self.ahead.borrow())
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let (clock, mut ahead) = (self.clone(), self.ahead.subscribe());
        Box::pin(async move {
            while let Ok(wait) = Duration::try_from(deadline.duration_since(clock.now())) {
                if wait.is_zero() {
                    return;
                }
                drop(tokio::time::timeout(wait, ahead.changed()).await);
            }
        })
    }
}

struct NoStreams;

impl Dial for NoStreams {
    fn dial(&self, _target: Target) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        async { Err(io::Error::other("this test has no kubelets to stream to")) }.boxed()
    }
}

/// The control plane; it ends when this is dropped.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) clock: ShiftedClock,
    _directory: tempfile::TempDir,
    _end: DropGuard,
}

impl Stage {
    /// A control plane with the usual namespaces and these nodes.
    pub(crate) async fn new(nodes: &[&str]) -> Self {
        // Another test of the same process may have been faster; `RUST_LOG` chooses what is shown.
        drop(tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).with_test_writer().try_init());
        let directory = tempfile::tempdir().expect("a directory");
        let clock = ShiftedClock::default();
        let shared = Arc::new(clock.clone());
        let store = Store::open(directory.path(), shared.clone()).expect("a store");
        let (key, _) = TokenKey::generate().expect("a key");
        let server = ApiServer::new(Config {
            registry: Registry::builtin(),
            store,
            clock: shared.clone(),
            authenticator: Arc::new(Authenticator::new(key)),
            authorizer: Arc::new(FixedPolicy),
            dial: Arc::new(NoStreams),
            audit: Arc::new(Silent),
            extensions: Vec::new(),
            advertise: "127.0.0.1:6443".into(),
        });
        let client = move |user: &str| Client::new(server.in_process(Identity::master(format!("system:{user}"))), "default");
        let cancel = CancellationToken::new();
        let stage = Self { client: client("test"), clock, _directory: directory, _end: cancel.clone().drop_guard() };
        for name in ["default", "kube-system", "kube-node-lease"] {
            create(&stage.all::<Namespace>(), json!({"metadata": {"name": name}})).await;
        }
        tokio::spawn(kubelets(client("node"), cancel.clone()));
        tokio::spawn(drydock_scheduler::run(client("kube-scheduler"), shared.clone(), cancel.clone()));
        tokio::spawn(drydock_controllers::run(client, shared, drydock_controllers::Settings::default(), cancel));
        for name in nodes {
            stage.add_node(name, "4").await;
        }
        // Nobody may create a Pod before the account it runs as is there.
        stage.until(&stage.here::<ServiceAccount>(), "the account of Pods", |all| !all.is_empty()).await;
        stage
    }

    pub(crate) async fn add_node(&self, name: &str, cpu: &str) {
        let now = self.clock.now();
        let node = json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {
                "allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now}],
            },
        });
        let api = self.all::<Node>();
        create(&api, node.clone()).await;
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": node["status"]}))).await.expect("a node's status");
    }

    /// A sign of life of a node.
    pub(crate) async fn renew(&self, node: &str) {
        let api = self.all::<Node>();
        let now = self.clock.now();
        let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now, "lastTransitionTime": now});
        api.patch_status(node, &PatchParams::default(), &Patch::Strategic(json!({"status": {"conditions": [ready]}}))).await.expect("a node's status");
    }

    /// Objects of a kind in namespace `default`.
    pub(crate) fn here<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Objects of a kind everywhere.
    pub(crate) fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// Waits until the list of a kind in a namespace is as asked; panics with the last one otherwise.
    pub(crate) async fn until<K>(&self, api: &Api<K>, what: &str, mut fulfilled: impl FnMut(&[K]) -> bool) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug + Send + Sync + 'static,
    {
        let mut last = Vec::new();
        let wait = async {
            let mut changes = watcher::watcher(api.clone(), watcher::Config::default()).default_backoff().boxed();
            loop {
                last = api.list(&ListParams::default()).await.expect("a list").items;
                if fulfilled(&last) {
                    return;
                }
                changes.next().await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what}: not within {PATIENCE:?}: {}", serde_json::to_string_pretty(&last).unwrap_or_default());
        }
        last
    }

    /// Waits until a list is empty.
    pub(crate) async fn until_gone<K>(&self, api: &Api<K>, what: &str)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + Debug + Send + Sync + 'static,
    {
        self.until(api, what, |all| all.is_empty()).await;
    }

    /// Creates a Deployment of Pods labelled `app=<name>`.
    pub(crate) async fn deployment(&self, name: &str, replicas: i32, image: &str) -> Deployment {
        let object = json!({
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}},
            },
        });
        create(&self.here(), object).await
    }

    /// Waits until a Deployment has all its Pods up to date and available, and no others.
    pub(crate) async fn rolled_out(&self, name: &str) -> Deployment {
        let complete = |deployment: &&Deployment| {
            let status = deployment.status.clone().unwrap_or_default();
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            let or_zero = |count: Option<i32>| Some(count.unwrap_or(0));
            let conditions = status.conditions.clone().unwrap_or_default();
            deployment.name_any() == name
                && status.observed_generation == deployment.metadata.generation
                && or_zero(status.replicas) == wanted
                && or_zero(status.updated_replicas) == wanted
                && or_zero(status.available_replicas) == wanted
                && conditions.iter().any(|condition| condition.reason.as_deref() == Some("NewReplicaSetAvailable"))
        };
        let all = self.until(&self.here::<Deployment>(), &format!("{name} rolled out"), |all| all.iter().any(|one| complete(&one))).await;
        all.into_iter().find(|one| complete(&one)).expect("the Deployment")
    }

    /// Waits until there is an event with this reason and message.
    pub(crate) async fn event(&self, reason: &str, message: &str) {
        let fits = |event: &Event| event.reason.as_deref() == Some(reason) && event.message.as_deref() == Some(message);
        self.until(&self.here::<Event>(), &format!("event {reason}: {message}"), |all| all.iter().any(fits)).await;
    }
}

/// Creates an object.
pub(crate) async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    let object: K = serde_json::from_value(object).expect("an object");
    api.create(&PostParams::default(), &object).await.expect("created")
}

/// Merges a patch into an object.
pub(crate) async fn patch<K>(api: &Api<K>, name: &str, patch: Value) -> K
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched")
}

/// Says of each Pod with a node that it runs, and lets go of each that leaves. A Pod annotated `test/stuck` stays as it is.
async fn kubelets(client: Client, cancel: CancellationToken) {
    let mut events = watcher::watcher(Api::<Pod>::all(client.clone()), watcher::Config::default()).default_backoff().boxed();
    let mut addresses = 1..;
    loop {
        let event = tokio::select! {
            () = cancel.cancelled() => return,
            event = events.next() => event,
        };
        let Some(Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod))) = event else { continue };
        let bound = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()).is_some();
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if !bound || pod.annotations().contains_key("test/stuck") {
            continue;
        }
        let (api, name): (Api<Pod>, _) = (Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default()), pod.name_any());
        // Whatever goes wrong here shows in what the test waits for.
        if pod.metadata.deletion_timestamp.is_some() {
            drop(api.delete(&name, &DeleteParams::default().grace_period(0)).await);
        } else if phase != Some("Running") {
            let since = Timestamp::now();
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": since});
            let status = json!({"phase": "Running", "podIP": format!("10.244.0.{}", addresses.next().unwrap_or(0)), "conditions": [ready]});
            drop(api.patch_status(&name, &PatchParams::default(), &Patch::Strategic(json!({"status": status}))).await);
        }
    }
}
