//! Booting: from nothing to "all nodes Ready and DNS answers".
//!
//! The order is given by who needs whom; what does not need each other goes side by side. Each failure says what was attempted.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use drydock_api::registry::Registry;
use drydock_apiserver::authenticate::{Authenticator, TokenKey};
use drydock_apiserver::authorize::FixedPolicy;
use drydock_apiserver::serve::tls_config;
use drydock_apiserver::{ApiServer, Config};
use drydock_image::Store as ImageStore;
use drydock_network::Netns;
use drydock_network::dns::{self, Server as DnsServer};
use drydock_network::fabric::{self, CONTROL_PLANE, Fabric, KUBERNETES_SERVICE, LAN, PODS, SERVICES, WORKSTATION, node_address, pod_range};
use drydock_node::init::Client;
use drydock_node::kubelet::API_SERVER_USER;
use drydock_primitives::clock::SystemClock;
use drydock_store::Store;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::audit::{LEARNER, Witness};
use super::dial::LanDial;
use super::disks::NodeDisks;
use super::nodes::NodePlan;
use super::{NodeHandle, Plant, Started, balancer, bootstrap, containers, zone};
use crate::FULL_DISK;
use crate::evidence::Evidence;
use crate::internet::{self, Internet};
use crate::lab::Lab;
use crate::pki::{Authority, Credential, Subject, kubeconfig, write_private};
use crate::spawn::machines::Machines;
use crate::spawn::protocol::{Balancers, Begin, ClusterMessage, SUBJECT_SOCKET};
use crate::undo::{self, Files, PRISTINE, Rewind, Root, UndoError};
use crate::workstation::{HOME, Seat, Setup};

/// The cluster's directory as the control plane sees it.
const STATE: &str = "/state";
/// The address of the lab's Internet on the LAN.
const INTERNET: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 3);
/// The first address of load balancers where each has one of its own.
const CLOUD: Ipv4Addr = Ipv4Addr::new(172, 30, 200, 1);
/// Port of the API server on the LAN.
const API_PORT: u16 = 6443;
/// User of the page: what it does is never evidence.
const UI: &str = "drydock:ui";

/// A step of the boot that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}: {reason}")]
pub(crate) struct BootError {
    step: String,
    reason: String,
}

impl BootError {
    /// A failure of the system.
    pub(super) fn io(step: impl Into<String>, source: io::Error) -> BootError {
        BootError::other(step, &source)
    }

    /// Any other failure, with its sources.
    pub(super) fn other(step: impl Into<String>, error: &dyn std::error::Error) -> BootError {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            let text = error.to_string();
            if !reason.contains(&text) {
                reason.push_str(": ");
                reason.push_str(&text);
            }
            source = error.source();
        }
        // Some errors on the way are only texts by now.
        if reason.contains(&io::Error::from_raw_os_error(libc::ENOSPC).to_string()) {
            reason.push_str(FULL_DISK);
        }
        BootError { step: step.into(), reason }
    }
}

trait Step<T> {
    fn step(self, step: &str) -> Result<T, BootError>;
}

impl<T, E: std::error::Error + 'static> Step<T> for Result<T, E> {
    fn step(self, step: &str) -> Result<T, BootError> {
        self.map_err(|error| BootError::other(step, &error))
    }
}

/// Boot. Returns the running cluster and the message for the host.
pub(super) async fn boot(started: Started) -> Result<(Arc<Plant>, ClusterMessage), BootError> {
    let Started { begin, machines, api } = started;
    let state = Path::new(STATE);
    let authority = Authority::open(&state.join("pki")).step("open the cluster's certificate authority")?;
    let store = Store::open(&state.join("journal"), SystemClock::shared()).step("open the journal")?;
    let internet = Internet::new(&begin.settings.internet, INTERNET, is_ours).step("make the lab's Internet")?;
    let (own, fabric) = lan(&internet).step("make the cluster's LAN")?;
    let revision = {
        let store = store.clone();
        move || store.revision().0
    };
    let evidence = Evidence::open(&state.join("evidence"), revision).step("open the evidence log")?;
    let rewind = Rewind::new(Files::open(&state.join("undo"), file_roots(state, begin.settings.nodes)).map_err(|source| BootError::io("open the files kept for undo", source))?);
    let dial = Arc::new(LanDial(Arc::new(kubelet_client(&authority)?)));
    let plant_cell = Arc::new(OnceLock::new());
    let server = ApiServer::new(Config {
        registry: Registry::builtin(),
        store: store.clone(),
        clock: SystemClock::shared(),
        authenticator: Arc::new(Authenticator::new(token_key(state)?)),
        authorizer: Arc::new(FixedPolicy),
        dial: Arc::clone(&dial) as Arc<_>,
        audit: Arc::new(Witness::new(evidence.clone())),
        extensions: vec![Arc::new(Lab::new(Arc::clone(&plant_cell)))],
        advertise: format!("{CONTROL_PLANE}:{API_PORT}"),
    });
    serve_api(&server, &authority, api, begin.settings.subject.is_some()).await?;
    write_kubeconfigs(&begin, &authority, state)?;

    let machines = Machines::new(machines).map_err(|source| BootError::io("take over the machine socket", source))?;
    let plant = Arc::new(Plant {
        begin,
        store,
        server,
        evidence,
        rewind,
        authority,
        machines,
        fabric,
        internet,
        nodes: Mutex::default(),
        workstation: OnceLock::new(),
    });
    if plant_cell.set(Arc::clone(&plant)).is_err() {
        return Err(BootError { step: "boot".into(), reason: "twice".into() });
    }
    bootstrap::apply(&plant.client("system:apiserver"), plant.authority.certificate()).await.step("make the cluster's first objects")?;
    forget_nodes(&plant).await.step("forget the nodes there are no more")?;
    if plant.begin.settings.subject.is_none() {
        start_components(&plant);
    }
    plant_dns(&plant).await?;
    serve_internet(&plant).await?;

    if let Err(error) = images(&plant.begin)?.remove_unfinished() {
        tracing::warn!(%error, "a layer that was left half unpacked stays");
    }
    let nodes = plant.begin.settings.nodes;
    let routes: BTreeMap<_, _> = (1..=nodes).map(|number| (pod_range(number), node_address(number))).collect();
    fabric::set_pod_routes(&own, &routes).step("route the Pods")?;
    let started = futures::future::try_join_all((1..=nodes).map(|number| start_node(&plant, number)));
    tokio::try_join!(started, start_workstation(&plant))?;
    for number in 1..=nodes {
        let plan = NodePlan::new(state, number);
        tokio::spawn(containers::follow_forever(Arc::clone(&dial), plan.name, plan.address.to_string(), plant.evidence.clone()));
    }
    nodes_ready(&plant, nodes).await.step("wait for the nodes")?;
    plant.rewind.pin_files(&plant);
    match plant.rewind.create(&plant, Some(PRISTINE), "the beginning", false).await {
        // Its second boot.
        Ok(_) | Err(UndoError::Pristine) => {}
        Err(error) => return Err(error).step("keep the beginning for a reset"),
    }
    let millis = Timestamp::now().as_millisecond() - plant.begin.settings.asked_at_ms;
    let degraded = degraded(&plant).await;
    Ok((plant, ClusterMessage::Ready { millis, degraded }))
}

/// Whose files come back with an undo.
fn file_roots(state: &Path, nodes: u32) -> Vec<Root> {
    let home = Root { name: undo::WORKSTATION.into(), path: state.join("workstation/home"), shown: HOME.into(), ignored: undo::ignored_at_home };
    let disk = |number: u32| {
        let name = format!("node-{number}");
        Root { path: state.join("nodes").join(&name).join("root"), name, shown: "/".into(), ignored: undo::ignored_on_nodes }
    };
    std::iter::once(home).chain((1..=nodes).map(disk)).collect()
}

/// The LAN with the control plane on it.
fn lan(internet: &Internet) -> Result<(Netns, Fabric), drydock_network::NetworkError> {
    let own = Netns::current()?;
    let fabric = Fabric::create()?;
    fabric.attach("control", &own, CONTROL_PLANE)?;
    fabric.add_address(&own, INTERNET)?;
    for place in internet.places() {
        fabric.add_address(&own, place)?;
    }
    Ok((own, fabric))
}

/// Addresses the lab's Internet may not have.
fn is_ours(address: Ipv4Addr) -> bool {
    let machines = LAN.contains(address) && address != INTERNET;
    machines || PODS.contains(address) || SERVICES.contains(address) || address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

fn certificate(credential: &Credential) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), BootError> {
    let chain = CertificateDer::pem_slice_iter(credential.certificate.as_bytes()).collect::<Result<Vec<_>, _>>().step("read a certificate")?;
    let key = PrivateKeyDer::from_pem_slice(credential.key.as_bytes()).step("read a key")?;
    Ok((chain, key))
}

fn authority_certificate(authority: &Authority) -> Result<CertificateDer<'static>, BootError> {
    CertificateDer::from_pem_slice(authority.certificate().as_bytes()).step("read the authority's certificate")
}

/// Listen on the host's socket and on the LAN; where another cluster is learned on, that one is found on the LAN.
async fn serve_api(server: &ApiServer, authority: &Authority, host: std::net::TcpListener, elsewhere: bool) -> Result<(), BootError> {
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];
    let subject = Subject {
        user: "kube-apiserver".into(),
        names: names.map(str::to_owned).into(),
        addresses: vec![Ipv4Addr::LOCALHOST.into(), CONTROL_PLANE.into(), KUBERNETES_SERVICE.into()],
        ..Subject::default()
    };
    let (chain, key) = certificate(&authority.issue(&subject).step("issue the API server's certificate")?)?;
    let tls = Arc::new(tls_config(chain, key, &authority_certificate(authority)?).step("set up TLS")?);
    let host = TcpListener::from_std(host).map_err(|source| BootError::io("take over the API socket", source))?;
    let lan = TcpListener::bind((CONTROL_PLANE, API_PORT)).await.map_err(|source| BootError::io("listen on the LAN", source))?;
    let own = match elsewhere {
        true => {
            tokio::spawn(door(lan));
            vec![host]
        }
        false => vec![host, lan],
    };
    for listener in own {
        let (server, tls) = (server.clone(), Arc::clone(&tls));
        tokio::spawn(async move {
            if let Err(error) = server.serve_tls(listener, tls, CancellationToken::new()).await {
                tracing::error!(%error, "the API server ended");
            }
        });
    }
    Ok(())
}

/// The way to a cluster that is not ours: the host process knows it, here bytes are only carried.
async fn door(listener: TcpListener) {
    loop {
        let near = match listener.accept().await {
            Ok((near, _)) => near,
            Err(error) => {
                tracing::warn!(%error, "accept");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        tokio::spawn(async move {
            let mut near = near;
            let carried = match tokio::net::UnixStream::connect(Path::new(STATE).join(SUBJECT_SOCKET)).await {
                Ok(mut far) => tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop),
                Err(error) => Err(error),
            };
            if let Err(error) = carried {
                tracing::debug!(%error, "a connection to the learner's own cluster");
            }
        });
    }
}

/// How the API server speaks to kubelets.
fn kubelet_client(authority: &Authority) -> Result<rustls::ClientConfig, BootError> {
    let subject = Subject { user: API_SERVER_USER.into(), groups: vec!["system:masters".into()], ..Subject::default() };
    let (chain, key) = certificate(&authority.issue(&subject).step("issue the kubelet client's certificate")?)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority_certificate(authority)?).step("trust the authority")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().step("set up TLS")?;
    builder.with_root_certificates(roots).with_client_auth_cert(chain, key).step("set up TLS")
}

/// The key of service account tokens, made once.
fn token_key(state: &Path) -> Result<TokenKey, BootError> {
    let path = state.join("pki/sa.der");
    if let Ok(der) = std::fs::read(&path) {
        return TokenKey::from_pkcs8(&der).step("read the service account key");
    }
    let (key, der) = TokenKey::generate().step("make the service account key")?;
    write_private(&path, der).step("write the service account key")?;
    Ok(key)
}

/// Credentials for programs on the host (`learner`) and for the page (`ui`).
fn write_kubeconfigs(begin: &Begin, authority: &Authority, state: &Path) -> Result<(), BootError> {
    let directory = state.join("kubeconfigs");
    std::fs::create_dir_all(&directory).map_err(|source| BootError::io("make the directory of kubeconfigs", source))?;
    let server = format!("https://127.0.0.1:{}", begin.settings.api_port);
    for (file, user) in [("learner", LEARNER), ("ui", UI)] {
        let text = kubeconfig(&server, authority, user, &person(authority, user)?);
        write_private(&directory.join(file), &text).step("write a kubeconfig")?;
    }
    Ok(())
}

fn person(authority: &Authority, user: &str) -> Result<Credential, BootError> {
    authority.issue(&Subject { user: user.into(), groups: vec!["system:masters".into()], ..Subject::default() }).step("issue a certificate")
}

/// Remove nodes beyond the number asked for, and their Pods: an earlier start had more, and nobody will ever report for them.
async fn forget_nodes(plant: &Plant) -> Result<(), kube::Error> {
    let client = plant.client("system:boot");
    let nodes: Api<Node> = Api::all(client.clone());
    let number = |name: &str| name.strip_prefix("node-").and_then(|number| number.parse::<u32>().ok());
    for node in nodes.list(&ListParams::default()).await?.items.iter().filter_map(|node| node.metadata.name.as_deref()) {
        if number(node).is_none_or(|number| number <= plant.begin.settings.nodes) {
            continue;
        }
        let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
        for pod in Api::<Pod>::all(client.clone()).list(&here).await?.items {
            let (Some(name), Some(namespace)) = (&pod.metadata.name, &pod.metadata.namespace) else { continue };
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            pods.delete(name, &DeleteParams::default().grace_period(0)).await?;
        }
        nodes.delete(node, &DeleteParams::default()).await?;
    }
    Ok(())
}

/// Controllers and scheduler, as clients of the API server like everywhere.
fn start_components(plant: &Arc<Plant>) {
    let cancel = CancellationToken::new();
    let clients = {
        let plant = Arc::clone(plant);
        move |user: &str| plant.client(&format!("system:{user}"))
    };
    let load_balancer = match plant.begin.settings.balancers {
        Balancers::Desktop => drydock_controllers::LoadBalancer::Localhost,
        Balancers::Cloud => drydock_controllers::LoadBalancer::Addresses { first: CLOUD, count: 254 },
        Balancers::Bare => drydock_controllers::LoadBalancer::None,
    };
    let settings = drydock_controllers::Settings { load_balancer, disks: Arc::new(NodeDisks::new(Path::new(STATE))) };
    tokio::spawn(drydock_controllers::run(clients, SystemClock::shared(), settings, cancel.clone()));
    tokio::spawn(bootstrap::heal(plant.client("system:apiserver")));
    tokio::spawn(drydock_scheduler::run(plant.client("system:kube-scheduler"), SystemClock::shared(), cancel));
}

/// Serve DNS on the LAN.
async fn plant_dns(plant: &Arc<Plant>) -> Result<(), BootError> {
    let internet = &plant.internet;
    let outside = dns::Records { hosts: internet.hosts().clone(), aliases: internet.aliases().clone(), ..dns::Records::default() };
    let zone = zone::watch_zone(plant.client("system:dns"), outside);
    zone.knows("kube-system", "kube-dns").await;
    let listen = |source| BootError::io("listen for DNS on the LAN", source);
    let udp = UdpSocket::bind((CONTROL_PLANE, 53)).await.map_err(listen)?;
    let tcp = TcpListener::bind((CONTROL_PLANE, 53)).await.map_err(listen)?;
    let server = DnsServer::new(Arc::new(zone), dns::Authority { domain: "cluster.local".into(), address: CONTROL_PLANE });
    let metrics = TcpListener::bind((CONTROL_PLANE, 9153)).await.map_err(listen)?;
    tokio::spawn(server.clone().serve_metrics(metrics));
    tokio::spawn(server.serve(udp, tcp, std::future::pending()));
    Ok(())
}

/// Answer for the lab's Internet, at every address it has.
async fn serve_internet(plant: &Plant) -> Result<(), BootError> {
    let hosts: Vec<String> = plant.internet.resolved().into_keys().collect();
    if hosts.is_empty() {
        return Ok(());
    }
    let subject = Subject { user: "internet".into(), names: hosts, ..Subject::default() };
    let (chain, key) = certificate(&plant.authority.issue(&subject).step("issue the lab Internet's certificate")?)?;
    let tls = tls_config(chain, key, &authority_certificate(&plant.authority)?).step("set up TLS")?;
    let tls = TlsAcceptor::from(Arc::new(tls));
    for place in plant.internet.places() {
        for (port, tls) in [(80, None), (443, Some(tls.clone()))] {
            let listener = TcpListener::bind((place, port)).await.map_err(|source| BootError::io("listen as the lab's Internet", source))?;
            tokio::spawn(internet::serve(listener, tls, plant.internet.clone(), CancellationToken::new()));
        }
    }
    Ok(())
}

/// The directory of unpacked image layers, shared by all machines.
pub(super) fn layers_directory(_begin: &Begin) -> PathBuf {
    Path::new(STATE).join("images/layers")
}

/// The control plane's own view of the images.
pub(super) fn images(_begin: &Begin) -> Result<ImageStore, BootError> {
    ImageStore::open(&Path::new(STATE).join("images")).step("open the image store")
}

/// The unpacked layers of an image.
pub(super) fn layers(store: &ImageStore, name: &str) -> Result<Vec<PathBuf>, BootError> {
    Ok(store.pull(name).step(&format!("unpack the image {name}"))?.layers)
}

/// Make and start node `number`.
pub(super) async fn start_node(plant: &Arc<Plant>, number: u32) -> Result<(), BootError> {
    let plan = NodePlan::new(Path::new(STATE), number);
    let config = plan.init(&plant.authority, &layers_directory(&plant.begin), &cgroups(&plant.begin), plant.begin.settings.disk).step("prepare a node")?;
    let (socket, network) = plant.machine(&plan.name, plan.address, &config).await?;
    let (init, events) = Client::from_socket(socket).map_err(|source| BootError::io("speak to a node", source))?;
    let handle = NodeHandle { init, network, events: Arc::new(Mutex::new(Some(events))), shell: None };
    plant.lock_nodes().insert(plan.name, handle);
    Ok(())
}

/// Delegated cgroups as the cluster's root shows them.
fn cgroups(begin: &Begin) -> Vec<(String, PathBuf)> {
    begin.cgroups.iter().map(|(controller, _)| (controller.clone(), Path::new("/cgroup").join(controller))).collect()
}

async fn start_workstation(plant: &Arc<Plant>) -> Result<(), BootError> {
    let (begin, names) = (&plant.begin, plant.internet.resolved());
    let image_layers = {
        let begin = begin.clone();
        let unpack = tokio::task::spawn_blocking(move || images(&begin).and_then(|store| layers(&store, "drydock/workstation")));
        unpack.await.step("unpack the workstation's image")??
    };
    let kubeconfig = match &begin.settings.subject {
        Some(subject) => subject.clone(),
        None => kubeconfig(&format!("https://{CONTROL_PLANE}:{API_PORT}"), &plant.authority, LEARNER, &person(&plant.authority, LEARNER)?),
    };
    let setup = Setup {
        directory: Path::new(STATE).join("workstation"),
        node_shared: NodePlan::new(Path::new(STATE), 1).shared,
        layers_directory: layers_directory(begin),
        layers: image_layers,
        kubectl: begin.kubectl.is_some(),
        authority: plant.authority.certificate().to_owned(),
        kubeconfig,
        dns: CONTROL_PLANE,
        hosts: names.clone(),
        files: begin.settings.home_files.clone(),
        has_ids: begin.identity.has_ids(),
        cgroups: cgroups(begin),
        disk: begin.settings.disk,
    };
    setup.prepare().map_err(|source| BootError::io("prepare the workstation", source))?;
    let (socket, network) = plant.machine("workstation", WORKSTATION, &setup.init()).await?;
    let client = Client::from_socket(socket).map_err(|source| BootError::io("speak to the workstation", source))?;
    let user = setup.has_ids.then_some("learner");
    let seat = Seat::start(client, setup.container(), user, names, plant.diary()).await;
    let seat = seat.step("start the workstation")?;
    tokio::spawn(balancer::run(Arc::clone(plant), network, plant.begin.settings.balancers));
    match plant.workstation.set((seat, setup)) {
        Ok(()) => Ok(()),
        Err(_) => Err(BootError { step: "start the workstation".into(), reason: "it runs already".into() }),
    }
}

/// Wait until every node is Ready.
async fn nodes_ready(plant: &Plant, count: u32) -> Result<(), kube::runtime::wait::Error> {
    let nodes: Api<Node> = Api::all(plant.client("system:boot"));
    // What a node said before the last end of the cluster does not count.
    let since = plant.begin.settings.asked_at_ms / 1000;
    let waits = (1..=count).map(|number| {
        let nodes = nodes.clone();
        async move { kube::runtime::wait::await_condition(nodes, &format!("node-{number}"), |node: Option<&Node>| is_ready(node, since)).await }
    });
    futures::future::try_join_all(waits).await.map(drop)
}

/// Whether a node has said that it is ready, at or after a second since the epoch.
fn is_ready(node: Option<&Node>, since: i64) -> bool {
    let conditions = node.and_then(|node| node.status.as_ref()).and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        let fresh = condition.last_heartbeat_time.as_ref().is_some_and(|time| time.0.as_second() >= since);
        condition.type_ == "Ready" && condition.status == "True" && fresh
    })
}

/// What is not enforced or not available here, one sentence each.
async fn degraded(plant: &Plant) -> Vec<String> {
    let handle = plant.lock_nodes().values().next().cloned();
    let Some(handle) = handle else { return Vec::new() };
    match handle.init.info().await {
        Ok(info) => info.degraded,
        Err(failure) => vec![format!("a node does not say what it can do: {failure}")],
    }
}
