//! Real packets through real kernels: each test runs again in a child that owns a user and a network namespace, where two
//! nodes, a control plane, a workstation and Pods are wired as in a cluster.
//!
//! As root each test runs twice, the second time as an ordinary user. Where user namespaces are forbidden the tests say so and pass.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use drydock_network::dns::{Authority, Records, Server, ServiceRecord};
use drydock_network::fabric::{CONTROL_PLANE, DNS_SERVICE, Fabric, SERVICES, WORKSTATION, node_address, pod_range, set_internet_routes, set_pod_routes};
use drydock_network::node::{NodeNetwork, PodAttachment};
use drydock_network::services::{Endpoint, Protocol, Service, ServiceKey, ServicePort, Services, TrafficPolicy};
use drydock_network::{NetworkError, Netns};

const CHILD: &str = "DRYDOCK_NETWORK_TEST_CHILD";
/// Long enough for a loaded machine: passing tests never wait for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(250);
const WEB: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 80);

/// Run the test's body in a child with namespaces of its own.
fn isolated(test: &str, body: fn()) {
    if std::env::var_os(CHILD).is_some() {
        return body();
    }
    let namespaces = Command::new("unshare").args(["-U", "-r", "-n", "true"]).output();
    assert!(namespaces.as_ref().is_ok_and(|tried| tried.status.success()), "{test} needs user namespaces, which Drydock itself does (drydock doctor): {namespaces:?}");
    let exe = std::env::current_exe().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ordinary = directory.path().join("packets");
    let mut runs = vec![vec!["unshare", "-U", "-r", "-n", exe.to_str().unwrap()]];
    if nix::unistd::getuid().is_root() {
        // An ordinary user cannot read the build directory of root.
        std::fs::copy(&exe, &ordinary).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "unshare", "-U", "-r", "-n"];
        runs.push(user.into_iter().chain([ordinary.to_str().unwrap()]).collect());
    }
    for run in runs {
        let mut command = Command::new(run[0]);
        let output = command.args(&run[1..]).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let passed = output.status.success() && text(&output.stdout).contains("1 passed");
        assert!(passed, "{run:?}\n{}{}", text(&output.stdout), text(&output.stderr));
    }
}

struct World {
    fabric: Fabric,
    control_plane: Netns,
    workstation: Netns,
    nodes: Vec<NodeNetwork>,
}

impl World {
    fn new() -> World {
        let fabric = Fabric::create().unwrap();
        let control_plane = Netns::create().unwrap();
        let workstation = Netns::create().unwrap();
        fabric.attach("control-plane", &control_plane, CONTROL_PLANE).unwrap();
        fabric.attach("workstation", &workstation, WORKSTATION).unwrap();
        let peers: BTreeMap<_, _> = (1..=2).map(|n| (pod_range(n), node_address(n))).collect();
        let mut nodes = Vec::new();
        for number in 1..=2 {
            let machine = Netns::create().unwrap();
            fabric.attach(&format!("node-{number}"), &machine, node_address(number)).unwrap();
            let node = NodeNetwork::open(machine, pod_range(number)).unwrap();
            node.set_peers(&peers).unwrap();
            nodes.push(node);
        }
        set_pod_routes(&control_plane, &peers).unwrap();
        World { fabric, control_plane, workstation, nodes }
    }

    /// A Pod on node 1 or 2 that serves its name and the client's address on port 8080.
    fn pod(&self, node: usize, last: u8) -> Pod {
        let netns = Netns::create().unwrap();
        let address = Ipv4Addr::new(10, 244, node as u8, last);
        let id = format!("sandbox-with-a-long-id-{node}-{last}");
        self.nodes[node - 1].attach_pod(&PodAttachment { id: &id, netns: &netns, address }).unwrap();
        let listener = netns.listen_tcp(Ipv4Addr::UNSPECIFIED, 8080).unwrap();
        echo(listener, address.to_string());
        Pod { id, netns, address }
    }

    fn services(&self, node: usize) -> Services {
        Services::open(self.nodes[node - 1].netns(), &[node_address(node as u32)], SERVICES).unwrap()
    }
}

struct Pod {
    id: String,
    netns: Netns,
    address: Ipv4Addr,
}

fn echo(listener: TcpListener, name: String) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap().ip();
            write!(stream, "{name} hears {peer}").unwrap();
        }
    });
}

/// What a TCP client hears, or the kind of error it meets.
fn ask_within(from: &Netns, address: Ipv4Addr, port: u16, patience: Duration) -> Result<String, ErrorKind> {
    let connected = from.connect_tcp(SocketAddrV4::new(address, port), patience);
    let mut stream = connected.map_err(|error| match error {
        NetworkError::Kernel { source, .. } => source.kind(),
        other => panic!("{other}"),
    })?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.kind())?;
    Ok(text)
}

fn ask(from: &Netns, address: Ipv4Addr, port: u16) -> Result<String, ErrorKind> {
    ask_within(from, address, port, PATIENCE)
}

fn web(pods: &[&Pod], node: u8) -> Service {
    let endpoints = pods.iter().map(|p| Endpoint { address: p.address, port: 8080, local: p.address.octets()[2] == node });
    Service {
        cluster_ip: Some(WEB),
        ports: vec![ServicePort { protocol: Protocol::Tcp, port: 80, node_port: Some(30080), endpoints: endpoints.collect() }],
        ..Service::default()
    }
}

fn key() -> ServiceKey {
    ServiceKey::new("default", "web")
}

#[test]
fn pods_reach_pods_and_the_laptop_does_not() {
    isolated("pods_reach_pods_and_the_laptop_does_not", || {
        let world = World::new();
        let (a, b, c) = (world.pod(1, 2), world.pod(1, 3), world.pod(2, 2));
        let hears = |to: &Pod, from: Ipv4Addr| Ok(format!("{} hears {from}", to.address));
        assert_eq!(ask(&a.netns, a.address, 8080), hears(&a, a.address), "itself");
        assert_eq!(ask(&a.netns, b.address, 8080), hears(&b, a.address), "same node");
        assert_eq!(ask(&a.netns, c.address, 8080), hears(&c, a.address), "other node");
        assert_eq!(ask(world.nodes[0].netns(), a.address, 8080), hears(&a, world.nodes[0].gateway()), "own node");
        assert_eq!(ask(world.nodes[0].netns(), c.address, 8080), hears(&c, node_address(1)), "node to other node's Pod");
        assert_eq!(ask(&world.control_plane, c.address, 8080), hears(&c, CONTROL_PLANE), "control plane");
        echo(world.control_plane.listen_tcp(CONTROL_PLANE, 6443).unwrap(), "api".to_owned());
        assert_eq!(ask(&c.netns, CONTROL_PLANE, 6443), Ok(format!("api hears {}", c.address)), "Pod to control plane");
        assert_eq!(ask(&world.workstation, CONTROL_PLANE, 6443), Ok(format!("api hears {WORKSTATION}")), "laptop to API");
        assert_eq!(ask(&world.workstation, a.address, 8080), Err(ErrorKind::NetworkUnreachable), "laptop to Pod");
        assert_eq!(ask(&a.netns, Ipv4Addr::new(8, 8, 8, 8), 53), Err(ErrorKind::NetworkUnreachable), "no Internet");
        assert_eq!(ask(&a.netns, b.address, 1), Err(ErrorKind::ConnectionRefused), "closed port");
    });
}

#[test]
fn wiring_twice_is_wiring_once_and_unwiring_is_final() {
    isolated("wiring_twice_is_wiring_once_and_unwiring_is_final", || {
        let world = World::new();
        let (a, b) = (world.pod(1, 2), world.pod(2, 2));
        for _ in 0..2 {
            let node = &world.nodes[0];
            node.attach_pod(&PodAttachment { id: &a.id, netns: &a.netns, address: a.address }).unwrap();
            world.fabric.attach("node-1", node.netns(), node_address(1)).unwrap();
            NodeNetwork::open(node.netns().clone(), pod_range(1)).unwrap();
        }
        assert_eq!(world.nodes[0].pod_address(&a.netns).unwrap(), Some(a.address));
        assert!(ask(&b.netns, a.address, 8080).is_ok());
        world.fabric.unplug("node-1").unwrap();
        assert_eq!(ask_within(&b.netns, a.address, 8080, SILENCE), Err(ErrorKind::TimedOut), "unplugged");
        world.fabric.plug("node-1").unwrap();
        assert!(ask(&b.netns, a.address, 8080).is_ok(), "plugged in again");
        world.nodes[0].detach_pod(&a.id).unwrap();
        world.nodes[0].detach_pod(&a.id).unwrap();
        assert_eq!(world.nodes[0].pod_address(&a.netns).unwrap(), None);
        assert!(matches!(ask(&b.netns, a.address, 8080), Err(ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable)));
        world.nodes[0].attach_pod(&PodAttachment { id: &a.id, netns: &a.netns, address: a.address }).unwrap();
        assert!(ask(&b.netns, a.address, 8080).is_ok(), "wired again");
        world.nodes[1].set_peers(&BTreeMap::new()).unwrap();
        assert_eq!(ask(&b.netns, a.address, 8080), Err(ErrorKind::NetworkUnreachable), "route gone");
    });
}

#[test]
fn a_cluster_ip_leads_to_every_endpoint_and_to_no_other_port() {
    isolated("a_cluster_ip_leads_to_every_endpoint_and_to_no_other_port", || {
        let world = World::new();
        let (a, b, client) = (world.pod(1, 2), world.pod(2, 2), world.pod(1, 9));
        let mut services = world.services(1);
        services.apply(&key(), &web(&[&a, &b], 1)).unwrap();
        for from in [&client.netns, world.nodes[0].netns()] {
            let mut heard: Vec<String> = (0..60).map(|_| ask(from, WEB, 80).unwrap()).collect();
            heard.sort();
            heard.dedup();
            assert_eq!(heard.len(), 2, "{heard:?}");
        }
        let heard = ask(&client.netns, WEB, 80).unwrap();
        assert!(heard.ends_with(&format!("hears {}", client.address)), "the client's address is kept: {heard}");
        for from in [&client.netns, world.nodes[0].netns()] {
            assert_eq!(ask(from, WEB, 81), Err(ErrorKind::ConnectionRefused), "no such port");
            assert_eq!(ask_within(from, Ipv4Addr::new(10, 97, 1, 1), 80, SILENCE), Err(ErrorKind::TimedOut), "no such Service");
        }
    });
}

#[test]
fn a_pod_reaches_itself_through_its_service_under_another_address() {
    isolated("a_pod_reaches_itself_through_its_service_under_another_address", || {
        let world = World::new();
        let a = world.pod(1, 2);
        world.services(1).apply(&key(), &web(&[&a], 1)).unwrap();
        let heard = ask(&a.netns, WEB, 80).unwrap();
        assert!(heard.starts_with(&format!("{} hears ", a.address)), "{heard}");
        assert!(!heard.ends_with(&format!("hears {}", a.address)), "{heard}");
    });
}

#[test]
fn endpoints_come_and_go_and_nobody_serving_is_refused() {
    isolated("endpoints_come_and_go_and_nobody_serving_is_refused", || {
        let world = World::new();
        let (a, b, client) = (world.pod(1, 2), world.pod(2, 2), world.pod(1, 9));
        let mut services = world.services(1);
        let serving = |services: &mut Services, pods: &[&Pod]| {
            services.apply(&key(), &web(pods, 1)).unwrap();
            let said = |from: &Netns| ask(from, WEB, 80).map(|text| text.split(' ').next().unwrap_or_default().to_owned());
            (said(&client.netns), said(world.nodes[0].netns()))
        };
        let only = |pod: &Pod| (Ok(pod.address.to_string()), Ok(pod.address.to_string()));
        let refused = (Err(ErrorKind::ConnectionRefused), Err(ErrorKind::ConnectionRefused));
        assert_eq!(serving(&mut services, &[]), refused);
        assert_eq!(serving(&mut services, &[&a]), only(&a));
        assert_eq!(serving(&mut services, &[&b]), only(&b));
        assert_eq!(serving(&mut services, &[]), refused);
        assert_eq!(serving(&mut services, &[&a]), only(&a));
        services.remove(&key()).unwrap();
        assert_eq!(ask_within(&client.netns, WEB, 80, SILENCE), Err(ErrorKind::TimedOut), "removed");
        services.apply(&key(), &web(&[&b], 1)).unwrap();
        // A restarted proxy knows nothing of what is there, and replaces it.
        let mut restarted = world.services(1);
        assert_eq!(ask(&client.netns, WEB, 80), Ok(format!("{} hears {}", b.address, client.address)));
        restarted.replace_all(BTreeMap::from([(key(), web(&[&a], 1))])).unwrap();
        assert_eq!(ask(&client.netns, WEB, 80), Ok(format!("{} hears {}", a.address, client.address)));
        restarted.replace_all(BTreeMap::new()).unwrap();
        assert_eq!(restarted.applied().count(), 0);
    });
}

#[test]
fn a_node_port_serves_the_laptop() {
    isolated("a_node_port_serves_the_laptop", || {
        let world = World::new();
        let (a, b) = (world.pod(1, 2), world.pod(2, 2));
        let (mut one, mut two) = (world.services(1), world.services(2));
        one.apply(&key(), &web(&[&b], 1)).unwrap();
        assert_eq!(ask(&world.workstation, node_address(1), 30080), Ok(format!("{} hears {}", b.address, node_address(1))), "masked");
        let local = |pods: &[&Pod], node| Service { external_policy: TrafficPolicy::Local, ..web(pods, node) };
        one.apply(&key(), &local(&[&a], 1)).unwrap();
        two.apply(&key(), &local(&[&a], 2)).unwrap();
        assert_eq!(ask(&world.workstation, node_address(1), 30080), Ok(format!("{} hears {WORKSTATION}", a.address)), "kept");
        assert_eq!(ask_within(&world.workstation, node_address(2), 30080, SILENCE), Err(ErrorKind::TimedOut), "not on this node");
        one.apply(&key(), &local(&[], 1)).unwrap();
        assert_eq!(ask(&world.workstation, node_address(1), 30080), Err(ErrorKind::ConnectionRefused), "nobody serves");
        let external = Ipv4Addr::new(172, 30, 1, 1);
        let outside = Service { external_ips: vec![external], ..web(&[&a], 1) };
        one.apply(&key(), &outside).unwrap();
        assert_eq!(ask(&world.workstation, external, 80), Ok(format!("{} hears {}", a.address, world.nodes[0].gateway())), "external IP");
    });
}

#[test]
fn a_client_stays_with_its_endpoint_when_the_service_says_so() {
    isolated("a_client_stays_with_its_endpoint_when_the_service_says_so", || {
        let world = World::new();
        let (a, b, client) = (world.pod(1, 2), world.pod(2, 2), world.pod(1, 9));
        let mut services = world.services(1);
        let sticky = |pods: &[&Pod]| Service { affinity: Some(Duration::from_secs(10_800)), ..web(pods, 1) };
        services.apply(&key(), &sticky(&[&a, &b])).unwrap();
        let mut heard: Vec<String> = (0..30).map(|_| ask(&client.netns, WEB, 80).unwrap()).collect();
        heard.dedup();
        assert_eq!(heard.len(), 1, "{heard:?}");
        services.apply(&key(), &sticky(&[&b])).unwrap();
        assert_eq!(ask(&client.netns, WEB, 80), Ok(format!("{} hears {}", b.address, client.address)));
        services.apply(&key(), &web(&[&a], 1)).unwrap();
        assert_eq!(ask(&client.netns, WEB, 80), Ok(format!("{} hears {}", a.address, client.address)));
    });
}

#[test]
fn a_udp_client_that_goes_on_sending_follows_a_change_of_endpoints() {
    isolated("a_udp_client_that_goes_on_sending_follows_a_change_of_endpoints", || {
        let world = World::new();
        let (a, b, client) = (world.pod(1, 2), world.pod(2, 2), world.pod(1, 9));
        for pod in [&a, &b] {
            let (socket, name) = (pod.netns.bind_udp(Ipv4Addr::UNSPECIFIED, 8080).unwrap(), pod.address.to_string());
            thread::spawn(move || {
                let mut buffer = [0; 16];
                while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(name.as_bytes(), from).unwrap();
                }
            });
        }
        let mut services = world.services(1);
        let udp = |pods: &[&Pod]| {
            let mut service = web(pods, 1);
            service.ports[0].protocol = Protocol::Udp;
            service
        };
        // One socket, one source port: to the kernel it is one connection for as long as it sends.
        let socket = client.netns.bind_udp(Ipv4Addr::UNSPECIFIED, 0).unwrap();
        socket.connect((WEB, 80)).unwrap();
        let ask = |patience: Duration| {
            socket.set_read_timeout(Some(patience)).unwrap();
            let mut buffer = [0; 64];
            // What an earlier, unanswered question was refused with is reported by the next call.
            let sent = socket.send(b"who").and_then(|_| socket.recv(&mut buffer));
            sent.map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned()).map_err(|error| error.kind())
        };
        services.apply(&key(), &udp(&[&a])).unwrap();
        assert_eq!(ask(PATIENCE), Ok(a.address.to_string()));
        services.apply(&key(), &udp(&[&b])).unwrap();
        assert_eq!(ask(PATIENCE), Ok(b.address.to_string()), "moved");
        services.apply(&key(), &udp(&[])).unwrap();
        assert_eq!(ask(PATIENCE), Err(ErrorKind::ConnectionRefused), "nobody serves");
        services.replace_all(BTreeMap::from([(key(), udp(&[&a]))])).unwrap();
        assert_eq!(ask(PATIENCE), Ok(a.address.to_string()), "somebody serves again");
        services.remove(&key()).unwrap();
        assert!(ask(SILENCE).is_err(), "the Service is gone");
    });
}

#[test]
fn the_internet_of_the_lab_is_reached_and_nothing_beyond_it() {
    isolated("the_internet_of_the_lab_is_reached_and_nothing_beyond_it", || {
        let world = World::new();
        let pod = world.pod(1, 2);
        let public = Ipv4Addr::new(151, 101, 0, 133);
        world.fabric.add_address(&world.control_plane, public).unwrap();
        echo(world.control_plane.listen_tcp(public, 80).unwrap(), "internet".to_owned());
        for machine in [world.nodes[0].netns(), &world.workstation] {
            set_internet_routes(machine, &[public]).unwrap();
        }
        // A change of nodes leaves those routes alone.
        world.nodes[0].set_peers(&BTreeMap::new()).unwrap();
        assert_eq!(ask(&pod.netns, public, 80), Ok(format!("internet hears {}", pod.address)));
        assert_eq!(ask(&world.workstation, public, 80), Ok(format!("internet hears {WORKSTATION}")));
        assert_eq!(ask(&pod.netns, Ipv4Addr::new(151, 101, 0, 134), 80), Err(ErrorKind::NetworkUnreachable));
    });
}

#[test]
fn two_hundred_services_fit_and_a_second_claim_on_an_address_changes_nothing() {
    isolated("two_hundred_services_fit_and_a_second_claim_on_an_address_changes_nothing", || {
        let world = World::new();
        let a = world.pod(1, 2);
        let client = world.pod(1, 9);
        let mut all = BTreeMap::new();
        for number in 0..200u8 {
            let service = Service { cluster_ip: Some(Ipv4Addr::new(10, 96, 7, number)), ..web(&[&a, &client], 1) };
            let mut service = Service { external_ips: vec![Ipv4Addr::new(172, 30, 9, 9)], ..service };
            service.ports[0].node_port = Some(30_000 + u16::from(number));
            all.insert(ServiceKey::new("default", format!("web-{number}")), service);
        }
        let mut services = world.services(1);
        services.replace_all(all.clone()).unwrap();
        assert!(ask(&client.netns, Ipv4Addr::new(10, 96, 7, 199), 80).is_ok());
        all.retain(|key, _| key.name == "web-7");
        services.replace_all(all).unwrap();
        assert!(ask(&client.netns, Ipv4Addr::new(10, 96, 7, 7), 80).is_ok());
        assert_eq!(ask_within(&client.netns, Ipv4Addr::new(10, 96, 7, 8), 80, SILENCE), Err(ErrorKind::TimedOut));
    });
}

#[test]
fn the_cluster_dns_answers_at_its_cluster_ip() {
    isolated("the_cluster_dns_answers_at_its_cluster_ip", || {
        let world = World::new();
        let client = world.pod(2, 9);
        let mut services = world.services(2);
        let port = |protocol| ServicePort {
            protocol,
            port: 53,
            node_port: None,
            endpoints: vec![Endpoint { address: CONTROL_PLANE, port: 53, local: false }],
        };
        let dns = Service { cluster_ip: Some(DNS_SERVICE), ports: vec![port(Protocol::Udp), port(Protocol::Tcp)], ..Service::default() };
        services.apply(&ServiceKey::new("kube-system", "kube-dns"), &dns).unwrap();

        let udp = world.control_plane.bind_udp(CONTROL_PLANE, 53).unwrap();
        let tcp = world.control_plane.listen_tcp(CONTROL_PLANE, 53).unwrap();
        let mut records = Records { serial: 1, ..Records::default() };
        records.namespaces.insert("default".to_owned());
        let cluster_ip = ServiceRecord::ClusterIp { address: WEB, ports: vec![] };
        records.services.insert(("default".to_owned(), "web".to_owned()), cluster_ip);
        let records = Arc::new(records);
        let authority = Authority { domain: "cluster.local".to_owned(), address: DNS_SERVICE };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        udp.set_nonblocking(true).unwrap();
        tcp.set_nonblocking(true).unwrap();
        runtime.spawn(async move {
            let (udp, tcp) = (tokio::net::UdpSocket::from_std(udp).unwrap(), tokio::net::TcpListener::from_std(tcp).unwrap());
            Server::new(Arc::new(move || records.clone()), authority).serve(udp, tcp, std::future::pending()).await.unwrap();
        });

        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01";
        let mut answer = [0u8; 512];
        let socket = client.netns.bind_udp(Ipv4Addr::UNSPECIFIED, 0).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Connected, so that an answer from another address than the asked one is refused, as resolvers do.
        socket.connect((DNS_SERVICE, 53)).unwrap();
        socket.send(query).unwrap();
        let length = socket.recv(&mut answer).unwrap();
        assert!(answer[..length].ends_with(&WEB.octets()));

        let mut stream = client.netns.connect_tcp(SocketAddrV4::new(DNS_SERVICE, 53), PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&(query.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(query).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let length = usize::from(u16::from_be_bytes(length));
        stream.read_exact(&mut answer[..length]).unwrap();
        assert!(answer[..length].ends_with(&WEB.octets()));
    });
}
