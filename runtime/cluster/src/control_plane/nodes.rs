//! Nodes as machines: made, configured, switched off and on, and asked for their containers.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use drydock_network::fabric::{DNS_SERVICE, node_address, pod_range};
use drydock_node::init::protocol::InitConfig;
use drydock_node::init::{ChildSpec, DiskLimit, RootBind};
use drydock_node::kubelet::KubeletConfig;

use crate::pki::{Authority, PkiError, Subject};

/// The control plane as nodes see it.
const API_SERVER: &str = "https://172.30.0.2:6443";

/// One node.
#[derive(Debug, Clone)]
pub(super) struct NodePlan {
    /// `node-1`
    pub(super) name: String,
    /// Its address on the LAN.
    pub(super) address: Ipv4Addr,
    /// The root of its disk in the cluster's state.
    root: PathBuf,
    /// Directory other machines see: sockets of its engine.
    pub(super) shared: PathBuf,
    /// Images that were fetched on the host: what nodes have in the place of a registry.
    library: PathBuf,
    number: u32,
}

impl NodePlan {
    /// Node `number` (from 1) of the cluster kept in `state`.
    pub(super) fn new(state: &Path, number: u32) -> NodePlan {
        let name = format!("node-{number}");
        NodePlan {
            address: node_address(number),
            root: NodePlan::disk(state, &name),
            shared: state.join("shared").join(&name),
            library: state.join("library"),
            name,
            number,
        }
    }

    /// The root of a node's own disk, as the control plane sees it.
    pub(super) fn disk(state: &Path, name: &str) -> PathBuf {
        state.join("nodes").join(name).join("root")
    }

    /// Make its directories and say how its node-init is run.
    pub(super) fn init(&self, authority: &Authority, layers: &Path, cgroups: &[(String, PathBuf)], most: u64) -> Result<InitConfig, NodeError> {
        let root = self.root.clone();
        for directory in [&root, &self.shared, &self.library] {
            std::fs::create_dir_all(directory).map_err(|source| NodeError::Directory { path: directory.clone(), source })?;
        }
        let kubelet = self.kubelet(authority)?;
        let bind = |source: &Path, target: &str, readonly| RootBind { source: source.to_owned(), target: target.into(), readonly };
        let binds = vec![
            bind(&self.shared, "/run/shared", false),
            bind(layers, "/var/lib/drydock/layers", false),
            bind(&self.library, "/var/lib/drydock/library", true),
            bind(Path::new("/drydock"), "/usr/local/bin/drydock", true),
        ];
        // What comes from outside is on the same disk of the host, and is not this node's.
        let disk = DiskLimit { places: vec!["/".into()], except: binds.iter().map(|bind| bind.target.clone()).collect(), most };
        let mut kubelet = KubeletConfig { disk: Some(disk.clone()), ..kubelet };
        kubelet.capacity.insert("ephemeral-storage".into(), in_mebibytes(most));
        Ok(InitConfig {
            name: self.name.clone(),
            root: Some(root),
            binds,
            disk: Some(disk),
            socket: kubelet.init_socket.clone(),
            cgroups: cgroups.to_vec(),
            children: vec![ChildSpec {
                name: "kubelet".into(),
                args: vec!["role:kubelet".into()],
                env: Vec::new(),
                stdin: serde_json::to_string(&kubelet).map_err(|error| NodeError::Encode(error.to_string()))?,
            }],
        })
    }

    fn kubelet(&self, authority: &Authority) -> Result<KubeletConfig, NodeError> {
        let client = authority.issue(&Subject { user: format!("system:node:{}", self.name), groups: vec!["system:nodes".into()], ..Subject::default() })?;
        let server = authority.issue(&Subject {
            user: format!("system:node:{}", self.name),
            groups: vec!["system:nodes".into()],
            names: vec![self.name.clone()],
            addresses: vec![self.address.into()],
        })?;
        Ok(KubeletConfig {
            node_name: self.name.clone(),
            node_ip: self.address,
            pod_cidr: Some(pod_range(self.number).to_string()),
            api_server: API_SERVER.into(),
            ca: authority.certificate().to_owned(),
            client_certificate: client.certificate,
            client_key: client.key,
            server_certificate: server.certificate,
            server_key: server.key,
            cluster_dns: vec![DNS_SERVICE.into()],
            labels: BTreeMap::new(),
            engine_socket: Some("/run/shared/docker.sock".into()),
            ..KubeletConfig::default()
        })
    }
}

/// An amount of bytes as a Node declares it.
fn in_mebibytes(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) { format!("{}Gi", bytes >> 30) } else { format!("{}Mi", bytes >> 20) }
}

/// Why a node could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NodeError {
    /// A directory of the state cannot be made.
    #[error("cannot make {path}: {source}", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its credentials could not be issued.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Its configuration could not be encoded.
    #[error("cannot encode the kubelet's configuration: {0}")]
    Encode(String),
}
