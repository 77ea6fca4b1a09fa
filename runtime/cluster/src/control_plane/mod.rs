//! The control plane: one process, a machine of its own on the cluster's LAN.
//!
//! 1. [`main`] takes over the sockets cluster-init left, boots (`boot`), tells the host that the cluster is ready, and stays.
//! 2. [`Plant`] is what runs: the API server over the journal, the machines, the workstation, the evidence. The lab API works on it.
//!
//! It ends with cluster-init: nothing here has to be cleaned up.

mod audit;
mod balancer;
mod boot;
mod bootstrap;
mod containers;
mod dial;
mod kubelets;
mod disks;
mod nodes;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use drydock_apiserver::{ApiServer, Identity};
use drydock_container::{ContainerSpec, Mount, PidMode, RootFs};
use drydock_network::Netns;
use drydock_network::fabric::{self, Fabric, LAN};
use drydock_node::init::{Client, Events};
use drydock_store::Store;

use crate::evidence::Evidence;
use crate::internet::Internet;
use crate::pki::Authority;
use crate::spawn::init::inherited;
use crate::spawn::machines::Machines;
use crate::spawn::protocol::{self, Begin, ClusterMessage};
use crate::undo::Rewind;
use crate::workstation::{As, Diary, Seat, Setup, first_process, group};
pub(crate) use audit::LEARNER;
pub(crate) use boot::BootError;

/// The longest that the workstation may take to empty its `/tmp` before it is built anew.
const TIDY: Duration = Duration::from_secs(10);

/// The running cluster as its control plane sees it.
pub(crate) struct Plant {
    begin: Begin,
    store: Store,
    server: ApiServer,
    evidence: Evidence,
    rewind: Rewind,
    authority: Authority,
    machines: Machines,
    fabric: Fabric,
    internet: Internet,
    nodes: Mutex<BTreeMap<String, NodeHandle>>,
    workstation: OnceLock<(Seat, Setup)>,
}

/// A node that is switched on.
#[derive(Clone)]
struct NodeHandle {
    init: Client,
    network: Netns,
    /// Taken by the node's shell when there is one.
    events: Arc<Mutex<Option<Events>>>,
    shell: Option<Seat>,
}

/// The process `role:control-plane`: its settings are JSON on standard input, its sockets are 3 (host), 4 (machines), 5 (API).
pub fn main() -> ExitCode {
    let (host, started) = match take_over() {
        Ok(taken) => taken,
        Err(error) => {
            tracing::error!(%error, "the control plane was not started by cluster-init");
            return ExitCode::from(2);
        }
    };
    let failed = |what: String| {
        tracing::error!(what, "the cluster cannot boot");
        match protocol::send(host.as_fd(), &ClusterMessage::Failed { what }, &[]) {
            Ok(()) | Err(_) => ExitCode::FAILURE,
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("cannot start the control plane's threads: {error}")),
    };
    runtime.block_on(async {
        match boot::boot(started).await {
            Ok((_plant, ready)) => match protocol::send(host.as_fd(), &ready, &[]) {
                Ok(()) => std::future::pending().await,
                Err(_) => ExitCode::FAILURE,
            },
            Err(error) => failed(error.to_string()),
        }
    })
}

/// What cluster-init hands over.
struct Started {
    begin: Begin,
    machines: OwnedFd,
    api: std::net::TcpListener,
}

fn take_over() -> io::Result<(OwnedFd, Started)> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let begin: Begin = serde_json::from_str(&text)?;
    let mut fds = inherited(3)?.into_iter();
    let mut next = || fds.next().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof));
    let (host, machines, api) = (next()?, next()?, next()?);
    let api = std::net::TcpListener::from(api);
    api.set_nonblocking(true)?;
    Ok((host, Started { begin, machines, api }))
}

impl Plant {
    /// The API server.
    pub(crate) fn server(&self) -> &ApiServer {
        &self.server
    }

    /// The journal.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The evidence log.
    pub(crate) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The way back.
    pub(crate) fn rewind(&self) -> &Rewind {
        &self.rewind
    }

    /// Nodes that are switched on.
    pub(crate) fn nodes_on(&self) -> BTreeSet<String> {
        self.lock_nodes().keys().cloned().collect()
    }

    /// Nodes there are, on or off.
    pub(crate) fn node_names(&self) -> BTreeSet<String> {
        (1..=self.begin.settings.nodes).map(|number| format!("node-{number}")).collect()
    }

    /// Tell a node's kubelet something of our own.
    pub(crate) async fn kubelet(&self, node: &str, path: &str, body: &serde_json::Value) -> Result<(), String> {
        let number = node.strip_prefix("node-").and_then(|number| number.parse().ok()).ok_or_else(|| format!("there is no node {node:?}"))?;
        let address = fabric::node_address(number).to_string();
        kubelets::post(&*self.server.config().dial, node, &address, path, body).await.map_err(|error| error.to_string())
    }

    /// What terminals are written down in.
    fn diary(&self) -> Diary {
        Diary { evidence: self.evidence.clone(), files: self.rewind.files().clone() }
    }

    /// The workstation, once it runs.
    pub(crate) fn workstation(&self) -> Option<Seat> {
        self.workstation.get().map(|(seat, _)| seat.clone())
    }

    /// The journal's revision now.
    pub(crate) fn revision(&self) -> u64 {
        self.store.revision().0
    }

    /// A client that acts as a component of the control plane.
    fn client(&self, user: &str) -> kube::Client {
        kube::Client::new(self.server.in_process(Identity::master(user)), "default")
    }

    /// Make a machine, give it its place on the LAN and let it run.
    async fn machine(&self, name: &str, address: std::net::Ipv4Addr, config: &drydock_node::init::InitConfig) -> Result<(OwnedFd, Netns), BootError> {
        let step = |what: &str| format!("{what} {name}");
        let created = self.machines.create(name).await.map_err(|source| BootError::io(step("make the machine"), source))?;
        let network = Netns::from(created.network);
        self.fabric.attach(name, &network, address).map_err(|error| BootError::other(step("plug in the machine"), &error))?;
        let beyond: Vec<_> = self.internet.places().into_iter().filter(|place| !LAN.contains(*place)).collect();
        fabric::set_internet_routes(&network, &beyond).map_err(|error| BootError::other(step("connect to the lab's Internet"), &error))?;
        let config = serde_json::to_string(config).map_err(|error| BootError::other(step("configure the machine"), &error))?;
        self.machines.start(name, config).await.map_err(|source| BootError::io(step("start the machine"), source))?;
        Ok((created.init, network))
    }

    /// Switch a node on.
    pub(crate) async fn power_on(self: &Arc<Plant>, node: &str) -> Result<(), String> {
        if self.lock_nodes().contains_key(node) {
            return Err(format!("node {node:?} is on"));
        }
        let number = node.strip_prefix("node-").and_then(|number| number.parse().ok()).filter(|number| (1..=self.begin.settings.nodes).contains(number));
        let number = number.ok_or_else(|| format!("there is no node {node:?}"))?;
        boot::start_node(self, number).await.map_err(|error| error.to_string())
    }

    /// Pull a node's plug.
    pub(crate) async fn power_off(&self, node: &str) -> Result<(), String> {
        if self.lock_nodes().remove(node).is_none() {
            return Err(format!("there is no node {node:?}, or it is off"));
        }
        self.machines.kill(node).await.map_err(|error| error.to_string())?;
        self.fabric.detach(node).map_err(|error| error.to_string())
    }

    /// A seat on a node: root there, with the node's own files below `/host`.
    pub(crate) async fn node_shell(&self, node: &str) -> Result<Seat, String> {
        let handle = self.lock_nodes().get(node).cloned().ok_or_else(|| format!("there is no node {node:?}, or it is off"))?;
        if let Some(shell) = handle.shell {
            return Ok(shell);
        }
        let layers = boot::images(&self.begin).and_then(|store| boot::layers(&store, "busybox")).map_err(|error| error.to_string())?;
        let inside = |path: &std::path::Path| match path.strip_prefix(boot::layers_directory(&self.begin)) {
            Ok(below) => std::path::Path::new("/var/lib/drydock/layers").join(below),
            Err(_) => path.to_owned(),
        };
        let spec = ContainerSpec {
            id: "shell".into(),
            root: RootFs { layers: layers.iter().map(|layer| inside(layer)).collect(), writable: "/var/lib/drydock/shell".into(), readonly: false },
            mounts: vec![Mount::bind("/", "/host")],
            process: first_process(),
            pid: PidMode::Node,
            cgroup: Some(group("shell")),
            privileged: true,
            ..ContainerSpec::default()
        };
        let events = handle.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let events = events.ok_or("the node's shell is starting; try again")?;
        let seat = Seat::start((handle.init, events), spec, None, BTreeMap::new(), self.diary()).await.map_err(|failure| failure.to_string())?;
        if let Some(handle) = self.lock_nodes().get_mut(node) {
            handle.shell = Some(seat.clone());
        }
        Ok(seat)
    }

    /// The learner's home and temporary files as on the first day.
    pub(crate) async fn renew_workstation(&self) -> io::Result<()> {
        let Some((seat, setup)) = self.workstation.get() else { return Ok(()) };
        setup.reset_home()?;
        let empty = ["sh", "-c", "rm -rf /tmp/* /tmp/.[!.]*"];
        let failed = |why: &str| io::Error::other(format!("/tmp of the workstation: {why}"));
        let why = if seat.is_crowded().await {
            "a fork bomb".to_owned()
        } else {
            match tokio::time::timeout(TIDY, seat.run(As::Root, &empty, b"")).await {
                Ok(Ok((0, _, _))) => return Ok(()),
                Ok(Ok((_, _, said))) => String::from_utf8_lossy(&said).trim().to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", TIDY.as_secs()),
            }
        };
        // Its shell does not even run any more, or nothing beside it: a new computer, then; /tmp comes with it.
        tracing::info!(why, "the workstation is built anew");
        let mut emptied = Ok(());
        let restarted = seat.restart(|| emptied = setup.empty_layer()).await;
        restarted.map_err(|failure| failed(&failure.to_string()))?;
        emptied
    }

    /// The LAN addresses of the nodes that are on.
    fn node_addresses(&self) -> Vec<std::net::Ipv4Addr> {
        let numbers = self.lock_nodes().keys().filter_map(|name| name.strip_prefix("node-")?.parse().ok()).collect::<Vec<u32>>();
        numbers.into_iter().map(fabric::node_address).collect()
    }

    /// Let the first node that is on answer for an address, or no node any more.
    fn hold_address(&self, address: std::net::Ipv4Addr, held: bool) {
        let networks: Vec<Netns> = self.lock_nodes().values().map(|node| node.network.clone()).collect();
        let result = match held {
            true => networks.first().map_or(Ok(()), |network| self.fabric.add_address(network, address)),
            false => networks.iter().try_for_each(|network| self.fabric.remove_address(network, address)),
        };
        if let Err(error) = result {
            tracing::warn!(%address, %error, "the address of a load balancer");
        }
    }

    fn lock_nodes(&self) -> MutexGuard<'_, BTreeMap<String, NodeHandle>> {
        // Every critical section is a single map operation.
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
