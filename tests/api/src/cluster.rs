//! One server with everything around it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use drydock_api::registry::Registry;
use drydock_apiserver::authenticate::{Authenticator, TokenKey};
use drydock_apiserver::authorize::FixedPolicy;
use drydock_apiserver::body::{self, Body};
use drydock_apiserver::serve::tls_config;
use drydock_apiserver::{ApiServer, Config, Extension, Identity};
use drydock_primitives::clock::{SharedClock, SystemClock};
use drydock_store::Store;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::answer::{Answer, Lines};
use crate::kubectl::{Kubectl, Ran, Running};
use crate::kubelet::FakeKubelet;
use crate::patiently;
use crate::pki::Authority;
use crate::recorder::Recorder;

/// The name of the only node.
pub const NODE: &str = "node-1";

/// A server on a loopback port.
pub struct Cluster {
    /// The server.
    pub server: ApiServer,
    /// Its journal.
    pub store: Store,
    /// Its evidence log.
    pub audit: Arc<Recorder>,
    /// The kubelet of [`NODE`].
    pub kubelet: Arc<FakeKubelet>,
    /// Its authority.
    pub authority: Authority,
    /// kubectl as `learner`.
    pub kubectl: Kubectl,
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    directory: tempfile::TempDir,
    _stop: DropGuard,
}

impl Cluster {
    /// Starts a server on the system's clock.
    pub async fn start() -> Result<Cluster> {
        Cluster::start_with(SystemClock::shared(), Vec::new()).await
    }

    /// Starts a server with a clock and extensions.
    pub async fn start_with(clock: SharedClock, extensions: Vec<Arc<dyn Extension>>) -> Result<Cluster> {
        Cluster::start_serving(Registry::builtin(), clock, extensions).await
    }

    /// Starts a server with kinds of its own besides.
    pub async fn start_serving(registry: Registry, clock: SharedClock, extensions: Vec<Arc<dyn Extension>>) -> Result<Cluster> {
        let directory = tempfile::tempdir()?;
        let store = Store::open(&directory.path().join("journal"), Arc::clone(&clock)).context("open the store")?;
        let audit = Arc::new(Recorder::default());
        let home = directory.path().join("home");
        let root = directory.path().join("root");
        for path in [&home, &root] {
            std::fs::create_dir(path)?;
        }
        let kubelet = Arc::new(FakeKubelet::new(root));
        let (key, _der) = TokenKey::generate()?;
        let server = ApiServer::new(Config {
            registry,
            store: store.clone(),
            clock,
            authenticator: Arc::new(Authenticator::new(key)),
            authorizer: Arc::new(FixedPolicy),
            dial: Arc::clone(&kubelet) as Arc<_>,
            audit: Arc::clone(&audit) as Arc<_>,
            extensions,
            advertise: "127.0.0.1:6443".to_owned(),
        });
        let authority = Authority::new()?;
        let (chain, key) = authority.issue("kube-apiserver", &[])?.der()?;
        let tls = Arc::new(tls_config(chain, key, &authority.der()?)?);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("https://{}", listener.local_addr()?);
        let cancel = CancellationToken::new();
        let serving = server.clone();
        let stop = cancel.clone();
        tokio::spawn(async move { serving.serve_tls(listener, tls, stop).await });
        let kubeconfig = home.join("kubeconfig");
        std::fs::write(&kubeconfig, authority.kubeconfig(&url, "learner", &authority.issue("learner", &["system:masters"])?))?;
        let kubectl = Kubectl { home, kubeconfig };
        let cluster = Cluster { server, store, audit, kubelet, authority, kubectl, url, directory, _stop: cancel.drop_guard() };
        cluster.furnish().await?;
        Ok(cluster)
    }

    /// What every cluster has.
    async fn furnish(&self) -> Result<()> {
        for name in ["default", "kube-system"] {
            self.make("/api/v1/namespaces", json!({"metadata": {"name": name}})).await?;
            self.make(&format!("/api/v1/namespaces/{name}/serviceaccounts"), json!({"metadata": {"name": "default"}})).await?;
        }
        self.make("/api/v1/nodes", json!({"metadata": {"name": NODE}})).await?;
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "172.30.1.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let path = format!("/api/v1/nodes/{NODE}/status");
        let answer = self.patch(&path, "application/merge-patch+json", status).await?;
        anyhow::ensure!(answer.code == 200, "node status: {}", answer.body);
        Ok(())
    }

    /// The directory everything is in.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Sends a request as the cluster's master, without TLS.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Response<Body>> {
        self.send_as(Some(Identity::master("test")), method, path, headers, body).await
    }

    /// Sends a request as `identity`, or as whoever its headers say.
    pub async fn send_as(
        &self,
        identity: Option<Identity>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response<Body>> {
        let mut request = Request::builder().method(method.parse::<Method>()?).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body::full(body))?;
        patiently(&format!("an answer to {method} {path}"), self.server.handle(request, identity)).await
    }

    /// Sends a request with a JSON body (null for none) and reads the answer.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Result<Answer> {
        self.call_with(method, path, &[], body).await
    }

    /// As [`Cluster::call`], with headers.
    pub async fn call_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Result<Answer> {
        let bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        Answer::read(self.send(method, path, headers, bytes).await?).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.call("GET", path, Value::Null).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, media_type: &str, patch: Value) -> Result<Answer> {
        self.call_with("PATCH", path, &[("content-type", media_type)], patch).await
    }

    /// POST that must succeed.
    pub async fn make(&self, path: &str, object: Value) -> Result<Value> {
        let answer = self.call("POST", path, object).await?;
        anyhow::ensure!(answer.code == 201, "POST {path}: {} {}", answer.code, answer.body);
        Ok(answer.body)
    }

    /// Makes a Pod in `default` with one container `web`; it runs on [`NODE`].
    pub async fn run_pod(&self, name: &str, labels: Value) -> Result<Value> {
        let pod = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": NODE, "containers": [{"name": "web", "image": "kiamol/ch02-hello-kiamol", "ports": [{"containerPort": 80}]}]},
        });
        self.make("/api/v1/namespaces/default/pods", pod).await?;
        self.pod_status(name, "Running").await
    }

    /// Sets the phase of a Pod as its kubelet would.
    pub async fn pod_status(&self, name: &str, phase: &str) -> Result<Value> {
        let ready = phase == "Running";
        let status = json!({"status": {
            "phase": phase, "podIP": "10.244.1.7", "podIPs": [{"ip": "10.244.1.7"}], "hostIP": "172.30.1.1",
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            "containerStatuses": [{
                "name": "web", "ready": ready, "started": ready, "restartCount": 0, "image": "kiamol/ch02-hello-kiamol", "imageID": "",
                "containerID": "drydock://0123", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }],
        }});
        let answer = self.patch(&format!("/api/v1/namespaces/default/pods/{name}/status"), "application/merge-patch+json", status).await?;
        anyhow::ensure!(answer.code == 200, "pod status: {}", answer.body);
        Ok(answer.body)
    }

    /// Opens a watch.
    pub async fn watch(&self, path: &str) -> Result<Lines> {
        let response = self.send("GET", path, &[], Bytes::new()).await?;
        anyhow::ensure!(response.status() == 200, "GET {path}: {}", response.status());
        Ok(Lines::of(response))
    }

    /// Runs kubectl.
    pub async fn kubectl(&self, line: &str) -> Result<Ran> {
        self.kubectl.run_with(line, "").await
    }

    /// Starts kubectl.
    pub fn kubectl_start(&self, line: &str) -> Result<Running> {
        self.kubectl.start(line)
    }

    /// kube-rs inside the process.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.server.in_process(Identity::master("test")), "default")
    }

    /// kube-rs through TLS, as `learner`.
    pub async fn tls_client(&self) -> Result<kube::Client> {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubectl.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }
}
