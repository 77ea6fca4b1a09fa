//! How one kubelet is run: plain data, written as JSON to its standard input by node-init.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::init::{DiskLimit, USUAL_DISK};

/// The only user a kubelet answers: the API server, which asks for everybody else after it has looked at their rights.
pub const API_SERVER_USER: &str = "kube-apiserver-kubelet-client";

/// Everything a kubelet is told. Paths are inside the node's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeletConfig {
    /// `node-1`; also the host name label.
    pub node_name: String,
    /// The node's address on the cluster LAN; the server listens on its port 10250.
    pub node_ip: Ipv4Addr,
    /// `10.244.1.0/24`; `None` waits for a controller to set `spec.podCIDR` of the Node.
    pub pod_cidr: Option<String>,
    /// `https://172.30.0.2:6443`.
    pub api_server: String,
    /// PEM of the cluster's certificate authority: servers are checked against it, and clients of the kubelet's own server.
    pub ca: String,
    /// PEM, subject `system:node:<name>` in group `system:nodes`.
    pub client_certificate: String,
    /// PEM.
    pub client_key: String,
    /// PEM with the node's name and address as alternative names.
    pub server_certificate: String,
    /// PEM.
    pub server_key: String,
    /// Name servers of Pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// More labels of the Node, such as `node-role.kubernetes.io/control-plane: ""`.
    pub labels: BTreeMap<String, String>,
    /// What the Node declares it has: `cpu`, `memory`, `ephemeral-storage`, `pods`. Declared, not measured.
    pub capacity: BTreeMap<String, String>,
    /// `v1.32.4`: shown as the kubelet's version; the API server's, which a kubelet may not be ahead of.
    pub version: String,
    /// What the node's disk is made of, for DiskPressure; `None` counts what Pods have written and nothing else.
    pub disk: Option<DiskLimit>,
    /// Where node-init listens.
    pub init_socket: PathBuf,
    /// Unpacked image layers, shared by all nodes.
    pub layers: PathBuf,
    /// Records of the images this node has.
    pub images: PathBuf,
    /// Certificates of authorities for registries, as `REGISTRY/ca.crt`.
    pub certificates: PathBuf,
    /// Volumes and termination messages of Pods.
    pub pods: PathBuf,
    /// Writable layers of containers.
    pub containers: PathBuf,
    /// `pods/` and `containers/` below it hold the logs.
    pub logs: PathBuf,
    /// Where the container engine's API is served; `None` serves none.
    pub engine_socket: Option<PathBuf>,
    /// Keep Service rules in this node's network (off when several kubelets share one in tests).
    pub proxy: bool,
}

impl Default for KubeletConfig {
    fn default() -> Self {
        let disk = format!("{}Gi", USUAL_DISK >> 30);
        let capacity = [("cpu", "4"), ("memory", "8Gi"), ("ephemeral-storage", disk.as_str()), ("pods", "110")];
        KubeletConfig {
            node_name: "node-1".into(),
            node_ip: Ipv4Addr::LOCALHOST,
            pod_cidr: None,
            api_server: String::new(),
            ca: String::new(),
            client_certificate: String::new(),
            client_key: String::new(),
            server_certificate: String::new(),
            server_key: String::new(),
            cluster_dns: vec![IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10))],
            cluster_domain: "cluster.local".into(),
            labels: BTreeMap::new(),
            capacity: capacity.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into(),
            version: drydock_primitives::release::KUBERNETES.into(),
            disk: None,
            init_socket: "/run/drydock/init.sock".into(),
            layers: "/var/lib/drydock/layers".into(),
            images: "/var/lib/drydock/images".into(),
            certificates: "/etc/containerd/certs.d".into(),
            pods: "/var/lib/kubelet/pods".into(),
            containers: "/var/lib/drydock/containers".into(),
            logs: "/var/log".into(),
            engine_socket: Some("/run/docker.sock".into()),
            proxy: true,
        }
    }
}
