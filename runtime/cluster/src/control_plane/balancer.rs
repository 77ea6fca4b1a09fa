//! Load balancers: who answers for Services of type LoadBalancer outside of the cluster. Their status is the controllers' business.
//!
//! * `desktop`: the workstation's `localhost` does, on the Service's own port, as Docker Desktop has it. One listener per port moves bytes
//!   to the node port; a port that somebody else holds (a port-forward) is taken as soon as it is free. Node ports are there as well.
//! * `cloud`: a node holds the address the status says, and its proxy translates.
//!
//! [`plan`] decides and is pure; [`run`] follows the Services and makes it so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drydock_network::Netns;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Event, Service, ServicePort};
use kube::api::{Api, PostParams};
use kube::runtime::reflector;
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Plant;
use crate::spawn::Balancers;

/// How long a node may take to answer before the next one is tried.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a connection waits for somebody who serves: a Pod that was just made ready may not listen yet.
const MOMENT: Duration = Duration::from_millis(500);
/// How long until the nodes are asked again within that moment.
const AGAIN: Duration = Duration::from_millis(20);
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
    /// Services that cannot be served, and who holds the port they want.
    refused: BTreeMap<Key, (u16, Key)>,
    /// Addresses nodes have to hold.
    addresses: BTreeSet<Ipv4Addr>,
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
        Balancers::Cloud => plan.addresses = services.iter().filter(|service| is_balanced(service)).filter_map(|service| address(service)).collect(),
        Balancers::Bare => {}
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
            plan.refused.insert(own, taken);
            continue;
        }
        for (transport, port, node_port) in places {
            holders.insert((transport, port), own.clone());
            plan.relays.insert((transport, port), node_port);
        }
    }
    for service in services {
        for (transport, _, node_port) in service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).filter_map(place) {
            plan.relays.entry((transport, node_port)).or_insert(node_port);
        }
    }
}

/// Serve for ever.
pub(super) async fn run(plant: Arc<Plant>, workstation: Netns, balancers: Balancers) {
    let client = plant.client("system:service-controller");
    let (store, writer) = reflector::store::<Service>();
    let events = watcher(Api::<Service>::all(client.clone()), watcher::Config::default()).default_backoff().reflect(writer);
    let mut events = std::pin::pin!(events);
    let mut balancer = Balancer { plant, client, workstation, relays: HashMap::new(), refused: BTreeMap::new(), held: BTreeSet::new() };
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => continue,
            Ok(watcher::Event::InitDone | watcher::Event::Apply(_) | watcher::Event::Delete(_)) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot follow Services");
                continue;
            }
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
    relays: HashMap<(Transport, u16), Relay>,
    refused: BTreeMap<Key, (u16, Key)>,
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
                // `localhost` is two addresses; who holds only one of them leaves the other to port-forwards.
                Transport::Tcp => tokio::spawn(async move {
                    let one = |address: IpAddr| relay_tcp(Arc::clone(&plant), workstation.clone(), SocketAddr::new(address, port), targets.clone());
                    tokio::join!(one(Ipv4Addr::LOCALHOST.into()), one(Ipv6Addr::LOCALHOST.into()));
                }),
                Transport::Udp => tokio::spawn(relay_udp(plant, workstation, port, targets)),
            };
            self.relays.insert(*place, Relay { target, _task: AbortOnDropHandle::new(task) });
        }
        self.hold(&plan.addresses);
        for (key, (port, holder)) in plan.refused.iter().filter(|(key, why)| self.refused.get(*key) != Some(*why)) {
            if let Some(service) = services.iter().find(|service| self::key(service) == *key) {
                self.tell(service, *port, holder).await;
            }
        }
        self.refused = plan.refused;
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

/// A socket of the workstation; waits for the port to be free. `None` when there is no such address.
async fn listen<T: Send + 'static>(workstation: &Netns, at: SocketAddr, bind: fn(SocketAddr) -> std::io::Result<T>) -> Option<T> {
    let mut told = false;
    loop {
        let network = workstation.clone();
        match tokio::task::spawn_blocking(move || network.run(|| bind(at))).await {
            Ok(Ok(Ok(socket))) => return Some(socket),
            Ok(Ok(Err(error))) if error.kind() == std::io::ErrorKind::AddrInUse => {
                if !std::mem::replace(&mut told, true) {
                    tracing::info!(%at, "a load balancer waits for its port");
                }
            }
            Ok(Ok(Err(error))) => {
                tracing::debug!(%at, %error, "a load balancer cannot listen");
                return None;
            }
            Ok(Err(error)) => tracing::error!(%error, "the workstation's network"),
            Err(error) => tracing::error!(%error, "listening for a load balancer"),
        }
        tokio::time::sleep(PORT_RETRY).await;
    }
}

async fn relay_tcp(plant: Arc<Plant>, workstation: Netns, at: SocketAddr, target: watch::Receiver<u16>) {
    let Some(listener) = listen(&workstation, at, |at| std::net::TcpListener::bind(at)).await else { return };
    let port = at.port();
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

/// To the first node that answers; the client hears the end when none does, and none does for a moment.
async fn pass_on(mut client: TcpStream, workstation: Netns, nodes: Vec<Ipv4Addr>, node_port: u16) {
    let until = Instant::now() + MOMENT;
    loop {
        for &node in &nodes {
            let network = workstation.clone();
            let connected = tokio::task::spawn_blocking(move || network.connect_tcp(SocketAddrV4::new(node, node_port), PATIENCE)).await;
            let Ok(Ok(server)) = connected else { continue };
            let server = server.set_nonblocking(true).and_then(|()| TcpStream::from_std(server));
            let Ok(mut server) = server else { continue };
            if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut server).await {
                tracing::trace!(%error, "a balanced connection broke");
            }
            return;
        }
        if Instant::now() >= until {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    // Nobody serves: a reset, as from a port nobody listens on.
    if let Err(error) = client.set_zero_linger() {
        tracing::trace!(%error, "a connection nobody serves");
    }
}

async fn relay_udp(plant: Arc<Plant>, workstation: Netns, port: u16, target: watch::Receiver<u16>) {
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let Some(socket) = listen(&workstation, at, |at| std::net::UdpSocket::bind(at)).await else { return };
    let Ok(socket) = socket.set_nonblocking(true).and_then(|()| UdpSocket::from_std(socket)).map(Arc::new) else { return };
    let mut clients: HashMap<SocketAddr, (Arc<UdpSocket>, AbortOnDropHandle<()>)> = HashMap::new();
    let mut buffer = vec![0; 65_535];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        clients.retain(|_, (_, answers)| !answers.is_finished());
        if !clients.contains_key(&client) {
            let Some(node) = plant.node_addresses().into_iter().next() else { continue };
            let network = workstation.clone();
            let Ok(Ok(upstream)) = tokio::task::spawn_blocking(move || network.bind_udp(Ipv4Addr::UNSPECIFIED, 0)).await else { continue };
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
        assert_eq!(plan.refused, [(named("late"), (8080, named("first")))].into());
    }

    #[test]
    fn in_a_cloud_nodes_hold_the_addresses_of_the_status() {
        let services = [
            service("new", 1, balanced(80, 30001), json!([])),
            service("old", 2, balanced(80, 30002), json!([{"ip": "172.30.200.1"}])),
            service("was", 3, json!({"type": "ClusterIP", "ports": [{"port": 80}]}), json!([{"ip": "172.30.200.2"}])),
        ];
        let plan = plan(&services, Balancers::Cloud);
        assert_eq!(plan, Plan { addresses: [Ipv4Addr::new(172, 30, 200, 1)].into(), ..Plan::default() });
        assert_eq!(super::plan(&services, Balancers::Bare), Plan::default());
    }
}
