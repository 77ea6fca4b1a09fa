//! What all containers of a Pod stand on: volumes, namespaces, network, the files in `/etc`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use drydock_container::SandboxConfig;
use drydock_network::Netns;
use drydock_network::node::PodAttachment;
use jiff::{SignedDuration, Timestamp};

use super::Worker;
use crate::kubelet::assemble::{hosts_file, resolver_file};
use crate::kubelet::node::{lock, new_id};
use crate::kubelet::recorder::Severity;
use crate::kubelet::records::{Record, SANDBOX};
use crate::kubelet::state::{Sandbox, Step, name, namespace, spec, uid};
use crate::kubelet::volumes::{VolumeSource, pod_directory, prepare};

/// The image name sandboxes are shown with.
const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10";

impl Worker {
    pub(super) async fn prepare_volumes(&mut self) {
        let now = Timestamp::now();
        let problems = self.make_volumes().await;
        if problems.is_empty() {
            self.mount_backoff.reset();
            self.state.volumes = Step::Done;
            return;
        }
        for problem in problems {
            self.node.recorder.pod(&self.pod, Severity::Warning, "FailedMount", problem);
        }
        self.mount_backoff.next(now, now);
        self.state.volumes = Step::Retry(now + self.mount_backoff.delay());
    }

    /// Make or refresh all volumes; returns what could not be.
    async fn make_volumes(&mut self) -> Vec<String> {
        let facts = self.node.facts(self.state.pod_ip.as_deref().unwrap_or_default());
        let config = &self.node.config;
        let source = VolumeSource { client: &self.node.client, node: &config.node_name, pods: &config.pods, facts: &facts };
        let (volumes, problems) = prepare(&self.pod, &source, &self.volumes).await;
        self.volumes = volumes;
        problems
    }

    /// Bring the files of volumes up to date; running containers see them change.
    pub(super) async fn refresh_volumes(&mut self) {
        if self.state.volumes != Step::Done {
            self.state.volumes = Step::Due;
            return;
        }
        let problems = self.make_volumes().await;
        if !problems.is_empty() {
            tracing::debug!(pod = name(&self.pod), ?problems, "cannot refresh volumes");
            self.volumes.renew = Some(Timestamp::now() + SignedDuration::from_secs(60));
        }
    }

    /// Tokens that are due are fetched anew; a Pod without a sandbox has nobody to read them.
    pub(super) async fn renew_tokens(&mut self) {
        if self.volumes.renew.is_none_or(|at| at > Timestamp::now()) {
            return;
        }
        self.volumes.renew = None;
        if self.state.sandbox.is_some() {
            self.refresh_volumes().await;
        }
    }

    /// `spec.hostname` or the Pod's name, cut to what a host name may be.
    pub(super) fn hostname(&self) -> String {
        let wanted = spec(&self.pod).hostname.as_deref().filter(|hostname| !hostname.is_empty()).unwrap_or_else(|| name(&self.pod));
        let cut = &wanted[..wanted.len().min(63)];
        cut.trim_end_matches(['-', '.']).to_owned()
    }

    pub(super) async fn create_sandbox(&mut self) {
        match self.make_sandbox().await {
            Ok(sandbox) => {
                self.state.pod_ip = Some(sandbox.ip.clone());
                self.state.sandbox = Some(sandbox);
                self.state.network = Step::Done;
            }
            Err(message) => {
                let text = format!("Failed to create pod sandbox: {message}");
                self.node.recorder.pod(&self.pod, Severity::Warning, "FailedCreatePodSandBox", text);
                self.state.network = Step::Retry(Timestamp::now() + SignedDuration::from_secs(3));
            }
        }
    }

    async fn make_sandbox(&self) -> Result<Sandbox, String> {
        let id = new_id();
        let host_network = spec(&self.pod).host_network == Some(true);
        let network = self.node.network.get().ok_or("the Pod network is not ready")?;
        let ip = if host_network {
            self.node.config.node_ip
        } else {
            lock(&network.ipam).allocate(&id).map_err(|error| error.to_string())?
        };
        let record = self.sandbox_record(&id, &ip.to_string());
        let made = self.make_namespaces(&record, host_network, ip).await;
        if let Err(error) = made {
            self.node.remove_sandbox(&record).await;
            return Err(error);
        }
        self.write_etc(&record.ip)?;
        self.node.records.set(record, None);
        Ok(Sandbox { id, ip: ip.to_string() })
    }

    async fn make_namespaces(&self, record: &Record, host_network: bool, ip: std::net::Ipv4Addr) -> Result<(), String> {
        let sysctls = spec(&self.pod).security_context.iter().flat_map(|context| context.sysctls.iter().flatten());
        let config = SandboxConfig {
            hostname: self.hostname(),
            host_network,
            host_ipc: spec(&self.pod).host_ipc == Some(true),
            share_processes: spec(&self.pod).share_process_namespace == Some(true),
            sysctls: sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect(),
        };
        let text = serde_json::to_string(record).map_err(|error| error.to_string())?;
        let labels = BTreeMap::from([(RECORD.to_owned(), text)]);
        let netns = self.node.init.create_sandbox(&record.id, config, labels).await.map_err(|error| error.to_string())?;
        if host_network {
            return Ok(());
        }
        let network = self.node.network.get().ok_or("the Pod network is not ready")?;
        let (node, id) = (network.node.clone(), record.id.clone());
        let attached = tokio::task::spawn_blocking(move || {
            let netns = Netns::from(netns);
            node.attach_pod(&PodAttachment { id: &id, netns: &netns, address: ip })
        });
        attached.await.map_err(|error| error.to_string())?.map_err(|error| format!("failed to set up sandbox network: {error}"))
    }

    fn sandbox_record(&self, id: &str, ip: &str) -> Record {
        let labels = self.labels(SANDBOX, "podsandbox", id);
        Record {
            id: id.to_owned(),
            sandbox: id.to_owned(),
            namespace: namespace(&self.pod).to_owned(),
            pod: name(&self.pod).to_owned(),
            uid: uid(&self.pod).to_owned(),
            container: SANDBOX.to_owned(),
            attempt: self.state.sandbox_attempt,
            image: PAUSE_IMAGE.to_owned(),
            image_tag: PAUSE_IMAGE.to_owned(),
            created: Some(Timestamp::now()),
            started: Some(Timestamp::now()),
            labels,
            ip: ip.to_owned(),
            ..Record::default()
        }
    }

    /// The labels Docker users know.
    // upstream: pkg/kubelet/types/labels.go, pkg/kubelet/dockershim/docker_service.go (until 1.23)
    pub(super) fn labels(&self, container: &str, docker_type: &str, sandbox: &str) -> BTreeMap<String, String> {
        let own = [
            ("io.kubernetes.container.name", container),
            ("io.kubernetes.docker.type", docker_type),
            ("io.kubernetes.pod.name", name(&self.pod)),
            ("io.kubernetes.pod.namespace", namespace(&self.pod)),
            ("io.kubernetes.pod.uid", uid(&self.pod)),
            ("io.kubernetes.sandbox.id", sandbox),
        ];
        let mut labels: BTreeMap<String, String> = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        if docker_type == "podsandbox" {
            labels.remove("io.kubernetes.sandbox.id");
            labels.extend(self.pod.metadata.labels.clone().unwrap_or_default());
        }
        labels
    }

    /// `hosts`, `resolv.conf` and `hostname`, bound into every container.
    fn write_etc(&self, ip: &str) -> Result<(), String> {
        let config = &self.node.config;
        let directory = self.etc();
        let servers: Vec<String> = config.cluster_dns.iter().map(ToString::to_string).collect();
        let node_resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let hostname = self.hostname();
        fs::create_dir_all(&directory).map_err(|error| format!("mkdir {}: {error}", directory.display()))?;
        for (file, text) in [
            ("hosts", hosts_file(&self.pod, ip, &hostname, &config.cluster_domain)),
            ("resolv.conf", resolver_file(&self.pod, &servers, &config.cluster_domain, &node_resolver)),
            ("hostname", format!("{hostname}\n")),
        ] {
            fs::write(directory.join(file), text).map_err(|error| format!("write {file}: {error}"))?;
        }
        Ok(())
    }

    pub(super) fn etc(&self) -> PathBuf {
        pod_directory(&self.node.config.pods, uid(&self.pod)).join("etc")
    }

    pub(super) async fn remove_sandbox(&mut self) {
        let Some(sandbox) = self.state.sandbox.take() else { return };
        if let Some(record) = self.node.records.remove(&sandbox.id) {
            self.node.remove_sandbox(&record).await;
        }
    }
}

/// The label node-init keeps a record under.
pub(in crate::kubelet) const RECORD: &str = "drydock.record";
