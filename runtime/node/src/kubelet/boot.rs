//! From a configuration to a running kubelet: its parts in the order they need each other, then three loops.
//!
//! 1. Connect to node-init, read what it holds, serve port 10250: all of that works without the API.
//! 2. Register the Node, learn the Pod range, wire the network, start the proxy.
//! 3. Follow the Pods of this node ([`follow_pods`]), what their volumes are made of, and what node-init tells ([`hear_init`]).

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use drydock_image::{Store, StoreDirs};
use drydock_network::ipam::Ipam;
use drydock_network::node::NodeNetwork;
use drydock_network::{Cidr, Netns};
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node as NodeObject, Pod, Service};
use kube::api::Api;
use kube::runtime::watcher::{self, Event as ApiEvent};
use serde_json::json;
use tokio::sync::Notify;

use super::KubeletError;
use super::config::KubeletConfig;
use super::informer::{events, follow};
use super::node::{Network, Node, lock};
use super::recorder::{Recorder, Severity};
use super::records::Records;
use super::state::uid;
use super::volumes::Followed;
use super::worker::{Message, spawn};
use super::{adopt, engine, eviction, machine, server, tls};
use crate::init::protocol::{Event, Netns as Of};
use crate::init::{Client, Events};

fn start(what: impl Into<String>) -> impl FnOnce(&dyn std::fmt::Display) -> KubeletError {
    let what = what.into();
    move |error| KubeletError::Start { what, error: error.to_string() }
}

/// Run until node-init goes away.
///
/// # Errors
/// When something it needs at the start is missing. What fails later is retried.
pub async fn run(config: KubeletConfig) -> Result<(), KubeletError> {
    let (init, told) = Client::connect(&config.init_socket).map_err(|error| start("connect to node-init")(&error))?;
    let client = client(&config)?;
    let node = Arc::new(shared(config, init, client)?);
    let inventory = node.init.list().await.map_err(|error| start("ask node-init for its containers")(&error))?;
    adopt::fill(&node, &inventory).await;
    let hearing = tokio::spawn(hear_init(Arc::clone(&node), told));
    server::start(&node).await?;
    if let Some(socket) = node.config.engine_socket.clone() {
        engine::start(&node, &socket);
    }
    let mut work = pin!(serve(&node));
    let ended = tokio::select! {
        result = &mut work => result,
        ended = hearing => {
            tracing::info!(?ended, "node-init is gone");
            Ok(())
        }
    };
    ended
}

/// The part that needs the API.
async fn serve(node: &Arc<Node>) -> Result<(), KubeletError> {
    let object = register(node).await;
    node.recorder.node(&object, Severity::Normal, "Starting", "Starting kubelet.");
    tokio::spawn(machine::keep_lease(node.client.clone(), node.config.clone(), object.metadata.uid.clone()));
    let pods = pod_range(node, &object).await?;
    wire(node, pods).await?;
    adopt::reserve_addresses(node);
    node.changed.notify_one();
    tokio::spawn(machine::keep_status(Arc::clone(node)));
    tokio::spawn(follow_peers(Arc::clone(node)));
    tokio::spawn(eviction::watch(Arc::clone(node)));
    if node.config.proxy {
        crate::proxy::start(node).await;
    }
    follow_pods(node).await;
    Ok(())
}

fn shared(config: KubeletConfig, init: Client, client: kube::Client) -> Result<Node, KubeletError> {
    let dirs = StoreDirs { layers: config.layers.clone(), images: config.images.clone() };
    let images = Store::open_in(dirs).map_err(|error| start("open the image store")(&error))?.trusting(config.certificates.clone());
    for directory in [&config.pods, &config.containers, &config.logs] {
        std::fs::create_dir_all(directory).map_err(|error| start(format!("make {}", directory.display()))(&error))?;
    }
    let services = follow(Api::<Service>::all(client.clone()), watcher::Config::default());
    Ok(Node {
        recorder: Recorder::start(client.clone(), config.node_name.clone()),
        init,
        client,
        images: Arc::new(images),
        records: Records::default(),
        network: OnceLock::new(),
        services,
        workers: Mutex::default(),
        execs: Mutex::default(),
        publishers: Mutex::default(),
        halted: Mutex::default(),
        changed: Notify::new(),
        disk_pressure: AtomicBool::default(),
        config,
    })
}

fn client(config: &KubeletConfig) -> Result<kube::Client, KubeletError> {
    use base64::Engine;
    let bad = |what: &'static str| move |error: String| KubeletError::Config { what, error };
    let url: http::Uri = config.api_server.parse().map_err(|error: http::uri::InvalidUri| bad("API address")(error.to_string()))?;
    let mut settings = kube::Config::new(url);
    let authorities = tls::certificates(&config.ca).map_err(bad("authority"))?;
    settings.root_cert = Some(authorities.into_iter().map(|certificate| certificate.to_vec()).collect());
    settings.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static("kubelet")));
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    settings.auth_info = serde_json::from_value(json!({
        "client-certificate-data": encode(&config.client_certificate),
        "client-key-data": encode(&config.client_key),
    }))
    .map_err(|error| bad("client certificate")(error.to_string()))?;
    kube::Client::try_from(settings).map_err(|error| bad("client")(error.to_string()))
}

/// Register, however long the API takes to answer.
async fn register(node: &Node) -> NodeObject {
    let mut wait = Duration::from_millis(200);
    loop {
        match machine::register(&node.client, &node.config).await {
            Ok(object) => return object,
            Err(error) => tracing::warn!(%error, "cannot register the node"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}

/// The range of the node's Pods: configured, or as a controller sets it.
async fn pod_range(node: &Node, object: &NodeObject) -> Result<Cidr, KubeletError> {
    let of = |node: &NodeObject| node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone());
    let text = match node.config.pod_cidr.clone().or_else(|| of(object)) {
        Some(text) => text,
        None => {
            let api: Api<NodeObject> = Api::all(node.client.clone());
            let own = watcher::Config::default().fields(&format!("metadata.name={}", node.config.node_name));
            let mut nodes = follow(api, own);
            let known = |nodes: &Option<Vec<NodeObject>>| nodes.iter().flatten().find_map(of);
            let found = nodes.wait_for(|nodes| known(nodes).is_some()).await.map_err(|error| start("wait for a Pod range")(&error))?;
            known(&found).unwrap_or_default()
        }
    };
    text.parse().map_err(|error| start(format!("read the Pod range {text}"))(&error))
}

async fn wire(node: &Arc<Node>, pods: Cidr) -> Result<(), KubeletError> {
    let netns = node.init.netns(Of::Node).await.map_err(|error| start("find the node's network")(&error))?;
    let opened = tokio::task::spawn_blocking(move || NodeNetwork::open(Netns::from(netns), pods)).await;
    let network = opened.map_err(|error| start("wire the node")(&error))?.map_err(|error| start("wire the node")(&error))?;
    if node.network.set(Network { node: network, ipam: Mutex::new(Ipam::new(pods)) }).is_err() {
        tracing::debug!("wired already");
    }
    Ok(())
}

/// Routes to the Pods of other nodes.
async fn follow_peers(node: Arc<Node>) {
    let mut nodes = follow(Api::<NodeObject>::all(node.client.clone()), watcher::Config::default());
    while nodes.changed().await.is_ok() {
        let peers = nodes.borrow_and_update().iter().flatten().filter_map(peer).collect();
        let Some(network) = node.network.get() else { return };
        let network = network.node.clone();
        match tokio::task::spawn_blocking(move || network.set_peers(&peers)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot route to the other nodes' Pods"),
            Err(error) => tracing::warn!(%error, "routing"),
        }
    }
}

fn peer(node: &NodeObject) -> Option<(Cidr, std::net::Ipv4Addr)> {
    let range = node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()?;
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let address = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    Some((range, address.address.parse().ok()?))
}

/// Pods of this node come, change and go.
async fn follow_pods(node: &Arc<Node>) {
    let own = watcher::Config::default().fields(&format!("spec.nodeName={}", node.config.node_name));
    let mut events = pin!(events(Api::<Pod>::all(node.client.clone()), own));
    let mut known: HashMap<(String, String), String> = HashMap::new();
    let mut followed = Followed::new(Arc::clone(node));
    let mut fresh = HashSet::new();
    let mut first = true;
    while let Some(event) = events.next().await {
        match event {
            ApiEvent::Init => fresh.clear(),
            ApiEvent::InitApply(pod) => {
                fresh.insert(uid(&pod).to_owned());
                followed.add(&pod);
                seen(node, pod, &mut known);
            }
            ApiEvent::InitDone => {
                followed.keep(|uid| fresh.contains(uid));
                for (_, gone) in known.extract_if(|_, uid| !fresh.contains(uid)) {
                    node.tell(&gone, Message::Gone);
                }
                if std::mem::take(&mut first) {
                    let uids: Vec<String> = fresh.iter().cloned().collect();
                    adopt::clean_up(node, &uids).await;
                }
            }
            ApiEvent::Apply(pod) => {
                followed.add(&pod);
                seen(node, pod, &mut known);
            }
            ApiEvent::Delete(pod) => {
                known.retain(|_, known| known != uid(&pod));
                lock(&node.halted).remove(uid(&pod));
                node.tell(uid(&pod), Message::Gone);
                followed.keep(|left| left != uid(&pod));
            }
        }
    }
}

fn seen(node: &Arc<Node>, pod: Pod, known: &mut HashMap<(String, String), String>) {
    let key = (super::state::namespace(&pod).to_owned(), super::state::name(&pod).to_owned());
    let uid = uid(&pod).to_owned();
    if let Some(old) = known.insert(key, uid.clone()).filter(|old| *old != uid) {
        node.tell(&old, Message::Gone);
    }
    let pod = Arc::new(pod);
    if node.counts(&uid, &pod) {
        start_worker(node, pod);
    }
}

/// Hand a Pod to its worker; start one if there is none.
pub(super) fn start_worker(node: &Arc<Node>, pod: Arc<Pod>) {
    let uid = uid(&pod).to_owned();
    let worker = lock(&node.workers).get(&uid).cloned();
    if let Some(worker) = worker {
        if worker.send(Message::Pod(pod)).is_err() {
            tracing::debug!(uid, "the worker of this Pod has ended");
        }
        return;
    }
    let records = node.records.all();
    let adopted = adopt::adopted(&records, &pod);
    spawn(node, pod, adopted);
}

/// Ends of processes, as node-init tells them. Returns when it is gone.
async fn hear_init(node: Arc<Node>, mut told: Events) {
    while let Some(event) = told.next().await {
        match event {
            Event::Exited { id, exec_in: Some(_), exit } => {
                let waiting = lock(&node.execs).remove(&id);
                if waiting.is_none_or(|waiting| waiting.send(exit).is_err()) {
                    tracing::debug!(id, "nobody waits for this process");
                }
            }
            Event::Exited { id, exec_in: None, exit } => {
                if let Some(record) = node.records.exited(&id, adopt::record_exit(&exit)) {
                    node.tell(&record.uid, Message::Exited { id });
                }
            }
            Event::ChildExited { name, exit } => tracing::debug!(name, code = exit.code, "a child of node-init ended"),
        }
    }
}
