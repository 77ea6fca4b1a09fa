//! Load balancers: who answers for Services of type LoadBalancer outside of the cluster, and what their status says.
//!
//! * `desktop`: the workstation's `localhost` does, on the Service's own port, as Docker Desktop has it. One listener per port moves bytes
//!   to the node port; a port that somebody else holds (a port-forward) is taken as soon as it is free. Node ports are there as well.
//! * `cloud`: each Service gets an address on the LAN after a moment; a node holds it and its proxy translates.
//!
//! [`plan`] decides and is pure; [`run`] follows the Services and makes it so.

// upstream: staging/src/k8s.io/cloud-provider/controllers/service/controller.go

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use drydock_network::Netns;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, Service, ServicePort};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::reflector;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::Plant;
use crate::spawn::Balancers;

/// Addresses of load balancers in the cloud: 172.30.200.1 and up.
const CLOUD: Ipv4Addr = Ipv4Addr::new(172, 30, 200, 0);
/// A cloud needs a moment.
const CLOUD_DELAY: Duration = Duration::from_secs(2);
/// How long a node may take to answer before the next one is tried.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a port somebody else holds is looked at.
const PORT_RETRY: Duration = Duration::from_millis(300);
/// A UDP client that is silent for so long has gone.
const UDP_IDLE: Duration = Duration::from_secs(60);

type Key = (String, String);

/// What a port of the workstation speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Transport {
    Tcp,
    Udp,
}

/// What should be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Port of the workstation's localhost to node port.
    relays: BTreeMap<(Transport, u16), u16>,
    /// Services to what `status.loadBalancer.ingress` should say: a host name, an address, or nothing.
    ingress: BTreeMap<Key, Option<Ingress>>,
    /// Services that cannot be served, and who holds the port they want.
    refused: BTreeMap<Key, (u16, Key)>,
    /// Services that get an address in a moment.
    waiting: BTreeSet<Key>,
    /// Addresses nodes have to hold.
    addresses: BTreeSet<Ipv4Addr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Ingress {
    Host(&'static str),
    Address(Ipv4Addr),
}

fn key(service: &Service) -> Key {
    (service.metadata.namespace.clone().unwrap_or_default(), service.metadata.name.clone().unwrap_or_default())
}

fn is_balanced(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    service.metadata.deletion_timestamp.is_none()
        && spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
}

/// A port of a Service: how it is spoken, its number, its node port.
fn place(port: &ServicePort) -> Option<(Transport, u16, u16)> {
    let transport = match port.protocol.as_deref() {
        None | Some("TCP") => Transport::Tcp,
        Some("UDP") => Transport::Udp,
        Some(_) => return None,
    };
    let number = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    Some((transport, number(port.port)?, number(port.node_port?)?))
}

/// Whether the status carries an ingress of ours already.
fn has_ingress(service: &Service) -> bool {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    balancer.and_then(|balancer| balancer.ingress.as_ref()).is_some_and(|ingress| !ingress.is_empty())
}

fn address(service: &Service) -> Option<Ipv4Addr> {
    let balancer = service.status.as_ref()?.load_balancer.as_ref()?;
    balancer.ingress.as_ref()?.first()?.ip.as_ref()?.parse().ok()
}

/// Decide.
fn plan(services: &[Arc<Service>], balancers: Balancers) -> Plan {
    let mut plan = Plan::default();
    let mut services: Vec<&Service> = services.iter().map(AsRef::as_ref).collect();
    // Whoever came first keeps its port.
    services.sort_by_key(|service| (service.metadata.creation_timestamp.as_ref().map(|time| time.0), key(service)));
    match balancers {
        Balancers::Desktop => plan_desktop(&services, &mut plan),
        Balancers::Cloud => plan_cloud(&services, &mut plan),
        Balancers::Bare => {}
    }
    for service in services {
        if !is_balanced(service) && service.spec.as_ref().is_none_or(|spec| spec.load_balancer_class.is_none()) && has_ingress(service) {
            plan.ingress.insert(key(service), None);
        }
    }
    plan
}

fn plan_desktop(services: &[&Service], plan: &mut Plan) {
    let mut holders: BTreeMap<(Transport, u16), Key> = BTreeMap::new();
    for service in services.iter().filter(|service| is_balanced(service)) {
        let own = key(service);
        let places: Vec<_> = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).filter_map(place).collect();
        let taken = places.iter().find_map(|(transport, port, _)| Some((*port, holders.get(&(*transport, *port))?.clone())));
        if let Some(taken) = taken {
            plan.refused.insert(own.clone(), taken);
            plan.ingress.insert(own, None);
            continue;
        }
        for (transport, port, node_port) in places {
            holders.insert((transport, port), own.clone());
            plan.relays.insert((transport, port), node_port);
        }
        plan.ingress.insert(own, Some(Ingress::Host("localhost")));
    }
    for service in services {
        for (transport, _, node_port) in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).filter_map(place) {
            plan.relays.entry((transport, node_port)).or_insert(node_port);
        }
    }
}

fn plan_cloud(services: &[&Service], plan: &mut Plan) {
    for service in services.iter().filter(|service| is_balanced(service)) {
        match address(service) {
            Some(address) => {
                plan.addresses.insert(address);
                plan.ingress.insert(key(service), Some(Ingress::Address(address)));
            }
            None => {
                plan.waiting.insert(key(service));
            }
        }
    }
}

/// Serve for ever.
pub(super) async fn run(plant: Arc<Plant>, workstation: Netns, balancers: Balancers) {
    let client = plant.client("system:service-controller");
    let (store, writer) = reflector::store::<Service>();
    let events = watcher(Api::<Service>::all(client.clone()), watcher::Config::default()).default_backoff().reflect(writer);
    let mut events = std::pin::pin!(events);
    let (nudge, mut nudged) = mpsc::unbounded_channel();
    let mut balancer =
        Balancer { plant, client, workstation, nudge, relays: HashMap::new(), refused: BTreeMap::new(), allocating: BTreeSet::new(), held: BTreeSet::new() };
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(watcher::Event::Init | watcher::Event::InitApply(_))) => continue,
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot follow Services");
                    continue;
                }
                None => return,
            },
            Some(key) = nudged.recv() => balancer.allocate(&key, &store.state()).await,
        }
        let services = store.state();
        let plan = plan(&services, balancers);
        balancer.carry_out(plan, &services).await;
    }
}

struct Balancer {
    plant: Arc<Plant>,
    client: kube::Client,
    workstation: Netns,
    nudge: mpsc::UnboundedSender<Key>,
    relays: HashMap<(Transport, u16), Relay>,
    refused: BTreeMap<Key, (u16, Key)>,
    allocating: BTreeSet<Key>,
    held: BTreeSet<Ipv4Addr>,
}

struct Relay {
    target: watch::Sender<u16>,
    _task: AbortOnDropHandle<()>,
}

impl Balancer {
    async fn carry_out(&mut self, plan: Plan, services: &[Arc<Service>]) {
        self.relays.retain(|place, _| plan.relays.contains_key(place));
        for (place, node_port) in &plan.relays {
            if let Some(relay) = self.relays.get(place) {
                relay.target.send_if_modified(|target| std::mem::replace(target, *node_port) != *node_port);
                continue;
            }
            let (target, targets) = watch::channel(*node_port);
            let (plant, workstation, (transport, port)) = (Arc::clone(&self.plant), self.workstation.clone(), *place);
            let task = match transport {
                Transport::Tcp => tokio::spawn(relay_tcp(plant, workstation, port, targets)),
                Transport::Udp => tokio::spawn(relay_udp(plant, workstation, port, targets)),
            };
            self.relays.insert(*place, Relay { target, _task: AbortOnDropHandle::new(task) });
        }
        self.hold(&plan.addresses);
        for key in &plan.waiting {
            if self.allocating.insert(key.clone()) {
                let (nudge, key) = (self.nudge.clone(), key.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(CLOUD_DELAY).await;
                    if nudge.send(key).is_err() {
                        tracing::trace!("the balancer is gone");
                    }
                });
            }
        }
        for (key, ingress) in &plan.ingress {
            let service = services.iter().find(|service| self::key(service) == *key);
            if let Some(service) = service.filter(|service| differs(service, ingress.as_ref())) {
                self.write(service, ingress.as_ref()).await;
            }
        }
        for (key, (port, holder)) in plan.refused.iter().filter(|(key, why)| self.refused.get(*key) != Some(*why)) {
            if let Some(service) = services.iter().find(|service| self::key(service) == *key) {
                self.tell(service, *port, holder).await;
            }
        }
        self.refused = plan.refused;
    }

    /// Give the first free address of the cloud to a Service that waits for one.
    async fn allocate(&mut self, wanted: &Key, services: &[Arc<Service>]) {
        self.allocating.remove(wanted);
        let Some(service) = services.iter().find(|service| key(service) == *wanted && is_balanced(service) && !has_ingress(service)) else { return };
        let taken: BTreeSet<Ipv4Addr> = services.iter().filter_map(|service| address(service)).chain(self.held.iter().copied()).collect();
        let asked = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.as_ref()?.parse::<Ipv4Addr>().ok());
        let in_cloud = |address: &Ipv4Addr| address.octets()[..3] == CLOUD.octets()[..3];
        let free = (1..=254).map(|last| Ipv4Addr::from_bits(CLOUD.to_bits() + last));
        let address = asked.filter(in_cloud).into_iter().chain(free).find(|address| !taken.contains(address));
        match address {
            Some(address) => {
                self.held.insert(address);
                self.plant.hold_address(address, true);
                self.write(service, Some(&Ingress::Address(address))).await;
            }
            None => tracing::warn!(service = wanted.1, "no address of the cloud is free"),
        }
    }

    /// Nodes answer for these addresses, and for no others any more.
    fn hold(&mut self, wanted: &BTreeSet<Ipv4Addr>) {
        for address in self.held.difference(wanted) {
            self.plant.hold_address(*address, false);
        }
        for address in wanted.difference(&self.held) {
            self.plant.hold_address(*address, true);
        }
        self.held.clone_from(wanted);
    }

    async fn write(&self, service: &Service, ingress: Option<&Ingress>) {
        let (namespace, name) = key(service);
        let ingress = match ingress {
            Some(Ingress::Host(host)) => json!([{"hostname": host}]),
            Some(Ingress::Address(address)) => json!([{"ip": address}]),
            None => json!(null),
        };
        let patch = Patch::Merge(json!({"metadata": {"uid": service.metadata.uid}, "status": {"loadBalancer": {"ingress": ingress}}}));
        let api: Api<Service> = Api::namespaced(self.client.clone(), &namespace);
        match api.patch_status(&name, &PatchParams::default(), &patch).await {
            Ok(_) => {}
            // It is gone, or another one has its name now; its own event follows.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
            Err(error) => tracing::warn!(service = name, %error, "cannot write the status of a load balancer"),
        }
    }

    async fn tell(&self, service: &Service, port: u16, (namespace, holder): &Key) {
        let (own, name) = key(service);
        let now = jiff::Timestamp::now();
        let event: Result<Event, _> = serde_json::from_value(json!({
            "metadata": {"name": format!("{name}.{:x}", now.as_nanosecond()), "namespace": own},
            "involvedObject": {"apiVersion": "v1", "kind": "Service", "name": name, "namespace": own, "uid": service.metadata.uid},
            "reason": "SyncLoadBalancerFailed", "type": "Warning", "count": 1,
            "message": format!("Error syncing load balancer: failed to ensure load balancer: port {port} of localhost belongs to Service {namespace}/{holder}"),
            "source": {"component": "service-controller"}, "reportingComponent": "service-controller",
            "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }));
        let api: Api<Event> = Api::namespaced(self.client.clone(), &own);
        match event {
            Ok(event) => {
                if let Err(error) = api.create(&PostParams::default(), &event).await {
                    tracing::debug!(%error, "cannot write an event");
                }
            }
            Err(error) => tracing::error!(%error, "an event of ours"),
        }
    }
}

fn differs(service: &Service, wanted: Option<&Ingress>) -> bool {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let present = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    match (present, wanted) {
        ([], None) => false,
        ([one], Some(Ingress::Host(host))) => one.hostname.as_deref() != Some(host) || one.ip.is_some(),
        ([one], Some(Ingress::Address(address))) => one.ip.as_deref() != Some(address.to_string().as_str()),
        _ => true,
    }
}

/// A listener of the workstation; waits for the port to be free.
async fn listen<T: Send + 'static>(workstation: &Netns, port: u16, bind: fn(&Netns, u16) -> Result<T, drydock_network::NetworkError>) -> T {
    let mut told = false;
    loop {
        let network = workstation.clone();
        match tokio::task::spawn_blocking(move || bind(&network, port)).await {
            Ok(Ok(socket)) => return socket,
            Ok(Err(error)) if !told => {
                told = true;
                tracing::info!(port, %error, "a load balancer waits for its port");
            }
            Ok(Err(_)) => {}
            Err(error) => tracing::error!(%error, "listening for a load balancer"),
        }
        tokio::time::sleep(PORT_RETRY).await;
    }
}

async fn relay_tcp(plant: Arc<Plant>, workstation: Netns, port: u16, target: watch::Receiver<u16>) {
    let listener = listen(&workstation, port, |network, port| network.listen_tcp(Ipv4Addr::LOCALHOST, port)).await;
    let listener = match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(port, %error, "a load balancer's socket"),
    };
    let mut turn = 0usize;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(port, %error, "a load balancer's connection");
                tokio::time::sleep(PORT_RETRY).await;
                continue;
            }
        };
        turn = turn.wrapping_add(1);
        let mut nodes = plant.node_addresses();
        if !nodes.is_empty() {
            let by = turn % nodes.len();
            nodes.rotate_left(by);
        }
        tokio::spawn(pass_on(stream, workstation.clone(), nodes, *target.borrow()));
    }
}

/// To the first node that answers; the client hears the end when none does.
async fn pass_on(mut client: TcpStream, workstation: Netns, nodes: Vec<Ipv4Addr>, node_port: u16) {
    for node in nodes {
        let network = workstation.clone();
        let connected = tokio::task::spawn_blocking(move || network.connect_tcp(SocketAddrV4::new(node, node_port), PATIENCE)).await;
        let Ok(Ok(server)) = connected else { continue };
        let server = server.set_nonblocking(true).and_then(|()| TcpStream::from_std(server));
        let Ok(mut server) = server else { continue };
        match tokio::io::copy_bidirectional(&mut client, &mut server).await {
            Ok(_) => {}
            Err(error) => tracing::trace!(%error, "a balanced connection broke"),
        }
        return;
    }
    // Nobody serves: a reset, as from a port nobody listens on.
    if let Err(error) = client.set_zero_linger() {
        tracing::trace!(%error, "a connection nobody serves");
    }
}

async fn relay_udp(plant: Arc<Plant>, workstation: Netns, port: u16, target: watch::Receiver<u16>) {
    let bind = |network: &Netns, address, port| -> Result<std::net::UdpSocket, drydock_network::NetworkError> { network.bind_udp(address, port) };
    let socket = listen(&workstation, port, |network, port| network.bind_udp(Ipv4Addr::LOCALHOST, port)).await;
    let Ok(socket) = socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket)).map(Arc::new) else { return };
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, AbortOnDropHandle<()>)> = HashMap::new();
    let mut buffer = vec![0; 65_535];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        clients.retain(|_, (_, answers)| !answers.is_finished());
        if !clients.contains_key(&client) {
            let Some(node) = plant.node_addresses().into_iter().next() else { continue };
            let network = workstation.clone();
            let Ok(Ok(upstream)) = tokio::task::spawn_blocking(move || bind(&network, Ipv4Addr::UNSPECIFIED, 0)).await else { continue };
            let upstream = upstream.connect((node, *target.borrow())).and_then(|()| upstream.set_nonblocking(true)).and_then(|()| UdpSocket::from_std(upstream));
            let Ok(upstream) = upstream.map(Arc::new) else { continue };
            let answers = AbortOnDropHandle::new(tokio::spawn(answer(Arc::clone(&socket), Arc::clone(&upstream), client)));
            clients.insert(client, (upstream, answers));
        }
        if let Some((upstream, _)) = clients.get(&client)
            && let Err(error) = upstream.send(&buffer[..length]).await
        {
            tracing::trace!(%error, "a balanced datagram");
        }
    }
}

async fn answer(socket: Arc<UdpSocket>, upstream: Arc<UdpSocket>, client: SocketAddr) {
    let mut buffer = vec![0; 65_535];
    while let Ok(Ok(length)) = tokio::time::timeout(UDP_IDLE, upstream.recv(&mut buffer)).await {
        if let Err(error) = socket.send_to(&buffer[..length], client).await {
            tracing::trace!(%error, "a balanced answer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn service(name: &str, second: u32, spec: Value, ingress: Value) -> Arc<Service> {
        let created = format!("2026-01-01T00:00:{second:02}Z");
        Arc::new(serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "creationTimestamp": created},
            "spec": spec, "status": {"loadBalancer": {"ingress": ingress}},
        })).unwrap())
    }

    fn balanced(port: u16, node_port: u16) -> Value {
        json!({"type": "LoadBalancer", "ports": [{"port": port, "nodePort": node_port}]})
    }

    fn named(name: &str) -> Key {
        ("default".to_owned(), name.to_owned())
    }

    #[test]
    fn on_a_desktop_the_first_to_ask_for_a_port_of_localhost_has_it() {
        let services = [
            service("late", 2, balanced(8080, 30002), json!([])),
            service("first", 1, balanced(8080, 30001), json!([])),
            service("web", 3, json!({"type": "LoadBalancer", "ports": [{"port": 53, "protocol": "UDP", "nodePort": 30003}]}), json!([])),
            service("node", 4, json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}), json!([])),
            service("was", 5, json!({"type": "ClusterIP", "ports": [{"port": 80}]}), json!([{"hostname": "localhost"}])),
            service("other", 6, json!({"type": "LoadBalancer", "loadBalancerClass": "x/y", "ports": [{"port": 81}]}), json!([])),
        ];
        let plan = plan(&services, Balancers::Desktop);
        let tcp = |port| (Transport::Tcp, port);
        let udp = |port| (Transport::Udp, port);
        let relays = [(tcp(8080), 30001), (tcp(30001), 30001), (tcp(30002), 30002), (tcp(30080), 30080), (udp(53), 30003), (udp(30003), 30003)];
        assert_eq!(plan.relays, relays.into());
        let host = Some(Ingress::Host("localhost"));
        assert_eq!(plan.ingress, [(named("first"), host.clone()), (named("late"), None), (named("was"), None), (named("web"), host)].into());
        assert_eq!(plan.refused, [(named("late"), (8080, named("first")))].into());
    }

    #[test]
    fn in_a_cloud_each_has_an_address_of_its_own_after_a_moment() {
        let services = [
            service("new", 1, balanced(80, 30001), json!([])),
            service("old", 2, balanced(80, 30002), json!([{"ip": "172.30.200.1"}])),
        ];
        let plan = plan(&services, Balancers::Cloud);
        assert_eq!(plan.waiting, [named("new")].into());
        assert_eq!(plan.addresses, [Ipv4Addr::new(172, 30, 200, 1)].into());
        assert_eq!(plan.relays, BTreeMap::new());
        assert_eq!(super::plan(&services[..1], Balancers::Bare), Plan::default());
    }

    #[test]
    fn the_status_is_written_when_it_says_something_else() {
        let host = Ingress::Host("localhost");
        let at = Ingress::Address(Ipv4Addr::new(172, 30, 200, 1));
        for (ingress, wanted, expected) in [
            (json!([]), Some(&host), true),
            (json!([{"hostname": "localhost"}]), Some(&host), false),
            (json!([{"ip": "172.30.200.1"}]), Some(&host), true),
            (json!([{"ip": "172.30.200.1", "ipMode": "VIP"}]), Some(&at), false),
            (json!([{"hostname": "localhost"}]), None, true),
            (json!([]), None, false),
        ] {
            assert_eq!(differs(&service("web", 1, balanced(80, 30001), ingress.clone()), wanted), expected, "{ingress} {wanted:?}");
        }
    }
}
