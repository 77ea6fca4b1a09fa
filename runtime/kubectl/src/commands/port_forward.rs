//! `kubectl port-forward`.
// upstream: kubectl/pkg/cmd/portforward/portforward.go, client-go/tools/portforward/portforward.go

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{ArgMatches, Command};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::builder::Selection;
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{Flags, duration, list};
use crate::pods;
use crate::remote::tunnel::Tunnel;
use crate::rest::Call;
use crate::write::klog;

const REQUIRED: &str = "TYPE/NAME and list of ports are required for port-forward";

/// Its flags.
pub fn command() -> Command {
    Command::new("port-forward").override_usage("kubectl port-forward TYPE/NAME [options] [LOCAL_PORT:]REMOTE_PORT [...[LOCAL_PORT_N:]REMOTE_PORT_N]").args([
        list("address", "Addresses to listen on (comma separated). Only accepts IP addresses or localhost as a value. When localhost is supplied, kubectl will try to bind on both 127.0.0.1 and ::1 and will fail if neither of these addresses are available to bind.").default_value("[localhost]"),
        duration("pod-running-timeout", "1m0s", "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running"),
    ])
}

/// A local port and the Pod's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    local: u16,
    remote: u16,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let [resource, ports @ ..] = words.as_slice() else { return Err(factory.usage(REQUIRED)) };
    if ports.is_empty() {
        return Err(factory.usage(REQUIRED));
    }
    let (namespace, _) = factory.namespace()?;
    let selection = Selection { words: vec![resource.clone()], namespace: namespace.clone(), default_type: "pods".to_owned(), ..Selection::default() };
    let Some(info) = selection.infos(factory).await?.pop() else { return Err(Failure::new("pod name or resource type/name must be specified")) };
    let pod = pods::attachable(factory, info.object.clone(), matches.duration("pod-running-timeout")).await?;
    let ports = if info.object["kind"] == "Service" { of_service(ports, &info.object, &pod)? } else { of_pod(ports, &pod)? };
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let pod = factory.call(Call::get(format!("/api/v1/namespaces/{namespace}/pods/{name}"))).await?;
    if pod["status"]["phase"] != "Running" {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        return Err(Failure::new(format!("unable to forward port because pod is not running. Current status={phase}")));
    }
    let addresses = if matches.changed("address") { matches.texts("address") } else { vec!["localhost".to_owned()] };
    if addresses.is_empty() {
        return Err(Failure::new("you must specify at least 1 address"));
    }
    let addresses = addresses_of(addresses)?;
    let pairs = ports.iter().map(|port| pair(port)).collect::<Result<Vec<_>, _>>()?;
    forward(factory, &namespace, &name, &addresses, &pairs).await
}

/// `LOCAL:REMOTE`, or one port for both.
fn split(port: &str) -> (&str, &str) {
    match port.split_once(':') {
        Some((local, remote)) if !remote.contains(':') => (local, remote),
        Some((local, _)) => (local, local),
        None => (port, port),
    }
}

fn joined(local: &str, remote: &str, number: u64) -> String {
    if local == remote { number.to_string() } else { format!("{local}:{number}") }
}

/// Ports of a Service as ports of its Pod.
fn of_service(ports: &[String], service: &Value, pod: &Value) -> Result<Vec<String>, Failure> {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let all = || service["spec"]["ports"].as_array().into_iter().flatten();
    let by_name = |word: &str| {
        let found = all().find(|port| port["name"] == word).and_then(|port| port["port"].as_u64());
        found.ok_or_else(|| Failure::new(format!("Service '{name}' does not have a named port '{word}'")))
    };
    refuse_udp(ports, all().map(|port| (&port["port"], &port["protocol"])), &by_name)?;
    let mut translated = Vec::new();
    for port in ports {
        let (mut local, remote) = split(port);
        let number = remote.parse().or_else(|_| by_name(remote))?;
        let shown = number.to_string();
        if remote.parse::<u64>().is_err() && local == remote {
            local = &shown;
        }
        let Some(own) = all().find(|port| port["port"].as_u64() == Some(number)) else {
            return Err(Failure::new(format!("Service {name} does not have a service port {number}")));
        };
        let target = match &own["targetPort"] {
            _ if service["spec"]["clusterIP"] == "None" => number,
            Value::String(name) => named_port(pod, name)?,
            target => target.as_u64().filter(|target| *target != 0).unwrap_or(number),
        };
        translated.push(joined(local, &target.to_string(), target));
    }
    Ok(translated)
}

/// Named ports of a Pod as numbers.
fn of_pod(ports: &[String], pod: &Value) -> Result<Vec<String>, Failure> {
    let all = pods::containers(pod, "containers").flat_map(|container| container["ports"].as_array().into_iter().flatten());
    refuse_udp(ports, all.map(|port| (&port["containerPort"], &port["protocol"])), &|word| named_port(pod, word))?;
    let mut converted = Vec::new();
    for port in ports {
        let (local, remote) = split(port);
        if remote.is_empty() {
            return Err(Failure::new("remote port cannot be empty"));
        }
        if remote.bytes().all(|byte| byte.is_ascii_digit()) {
            converted.push(if local == remote { remote.to_owned() } else { format!("{local}:{remote}") });
        } else {
            converted.push(joined(local, remote, named_port(pod, remote)?));
        }
    }
    Ok(converted)
}

fn named_port(pod: &Value, name: &str) -> Result<u64, Failure> {
    let containers = pods::containers(pod, "containers").chain(pods::containers(pod, "initContainers"));
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let found = ports.find(|port| port["name"] == name).and_then(|port| port["containerPort"].as_u64());
    let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
    found.ok_or_else(|| Failure::new(format!("Pod '{pod}' does not have a named port '{name}'")))
}

fn refuse_udp<'a>(ports: &[String], known: impl Iterator<Item = (&'a Value, &'a Value)>, by_name: &dyn Fn(&str) -> Result<u64, Failure>) -> Result<(), Failure> {
    let known: Vec<(u64, &str)> = known.filter_map(|(port, protocol)| Some((port.as_u64()?, protocol.as_str().unwrap_or("TCP")))).collect();
    for port in ports {
        let (_, remote) = split(port);
        let number = remote.parse().or_else(|_| by_name(remote))?;
        let of = |protocol: &str| known.iter().any(|(port, own)| *port == number && *own == protocol);
        if of("UDP") && !of("TCP") {
            return Err(Failure::new(format!("UDP protocol is not supported for {remote}")));
        }
    }
    Ok(())
}

fn pair(port: &str) -> Result<Pair, Failure> {
    let (local, remote) = split(port);
    let read = |which: &str, text: &str| {
        let why = match text.parse::<u128>() {
            Ok(_) => "value out of range",
            Err(_) => "invalid syntax",
        };
        text.parse::<u16>().map_err(|_range| Failure::new(format!("error parsing {which} port '{text}': strconv.ParseUint: parsing {text:?}: {why}")))
    };
    let local = if local.is_empty() { 0 } else { read("local", local)? };
    let remote = read("remote", remote)?;
    if remote == 0 {
        return Err(Failure::new("remote port must be > 0"));
    }
    Ok(Pair { local, remote })
}

/// Addresses in order; the flag says whether one of several is enough.
fn addresses_of(words: Vec<String>) -> Result<Vec<(IpAddr, bool)>, Failure> {
    let mut addresses: Vec<(IpAddr, bool)> = Vec::new();
    for word in words {
        if word == "localhost" {
            addresses.extend([(IpAddr::from([127, 0, 0, 1]), true), (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]), true)]);
        } else {
            let address = word.parse().map_err(|_| Failure::new(format!("{word} is not a valid IP")))?;
            addresses.push((address, false));
        }
    }
    addresses.sort_by_key(|(address, _)| address.to_string());
    addresses.dedup_by_key(|(address, _)| *address);
    Ok(addresses)
}

async fn forward(factory: &Factory, namespace: &str, pod: &str, addresses: &[(IpAddr, bool)], pairs: &[Pair]) -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (tunnel, lost) = Tunnel::open(factory, namespace, pod).await?;
    let (accepted, mut connections) = mpsc::channel::<(TcpStream, Pair)>(16);
    let mut any = false;
    for pair in pairs {
        match listen(factory, addresses, *pair, &accepted).await {
            Ok(()) => any = true,
            Err(why) => factory.streams.warn(&format!("Unable to listen on port {}: {why}", pair.local)),
        }
    }
    factory.streams.flush()?;
    if !any {
        let shown: Vec<String> = pairs.iter().map(|pair| format!("{{{} {}}}", pair.local, pair.remote)).collect();
        return Err(Failure::new(format!("unable to listen on any of the requested ports: [{}]", shown.join(" "))));
    }
    let ended = Rc::new(tokio::sync::Notify::new());
    let requests = Arc::new(AtomicU64::new(0));
    let (complained, mut complaints) = mpsc::channel::<String>(4);
    let lost = lost.wait();
    tokio::pin!(lost);
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            () = &mut lost => return Err(Failure::new("lost connection to pod")),
            () = ended.notified() => return Err(Failure::new("lost connection to pod")),
            Some(complaint) = complaints.recv() => {
                klog(factory, 'E', "portforward.go:424", &format!("\"Unhandled Error\" err={complaint:?}"));
                ended.notify_one();
            }
            Some((connection, pair)) = connections.recv() => {
                factory.streams.line(&format!("Handling connection for {}", pair.local))?;
                factory.streams.flush()?;
                let (tunnel, complained, request) = (tunnel.clone(), complained.clone(), requests.fetch_add(1, Ordering::Relaxed));
                tokio::spawn(async move {
                    if let Err(text) = tunnel.carry(connection, request, pair.remote).await {
                        // Nobody listens once the command has ended.
                        drop(complained.send(text.replace("{}", &format!("{} -> {}", pair.local, pair.remote))).await);
                    }
                });
            }
        }
    }
}

/// Listen for one pair on all addresses.
async fn listen(factory: &Factory, addresses: &[(IpAddr, bool)], pair: Pair, accepted: &mpsc::Sender<(TcpStream, Pair)>) -> Result<(), String> {
    let mut pair = pair;
    let mut failures = Vec::new();
    let mut any = false;
    for (address, one_is_enough) in addresses {
        let asked = SocketAddr::new(*address, pair.local);
        let listener = match TcpListener::bind(asked).await {
            Ok(listener) => listener,
            Err(error) => {
                let family = if address.is_ipv4() { "tcp4" } else { "tcp6" };
                let text = format!("unable to create listener: Error listen {family} {asked}: bind: {}", go_io(&error));
                if !one_is_enough {
                    return Err(text);
                }
                failures.push(text);
                continue;
            }
        };
        pair.local = listener.local_addr().map_err(|error| error.to_string())?.port();
        let shown = SocketAddr::new(*address, pair.local);
        factory.streams.line(&format!("Forwarding from {shown} -> {}", pair.remote)).map_err(|failure| failure.text())?;
        any = true;
        let accepted = accepted.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                if accepted.send((connection, pair)).await.is_err() {
                    return;
                }
            }
        });
    }
    if any { Ok(()) } else { Err(format!("Listeners failed to create with the following errors: [{}]", failures.join(" "))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_of_services_and_pods_are_found() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}]}]}});
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"name": "web", "port": 8080, "targetPort": "http"}, {"name": "raw", "port": 90, "targetPort": 91}]}});
        let read = |found: Result<Vec<String>, Failure>| found.map(|ports| ports.join(" ")).unwrap_or_else(|failure| failure.text());
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (asked, wanted) in [
            ("80 1:http http", "80 1:80 80"),
            ("8080:", "Pod 'p' does not have a named port ''"),
            ("nope", "Pod 'p' does not have a named port 'nope'"),
            ("53", "UDP protocol is not supported for 53"),
        ] {
            assert_eq!(read(of_pod(&words(asked), &pod)), wanted, "{asked}");
        }
        for (asked, wanted) in [
            ("8080", "8080:80"),
            ("web 1:web 90", "8080:80 1:80 90:91"),
            ("9", "Service s does not have a service port 9"),
            ("nope", "Service 's' does not have a named port 'nope'"),
        ] {
            assert_eq!(read(of_service(&words(asked), &service, &pod)), wanted, "{asked}");
        }
    }

    #[test]
    fn mistakes_in_ports_are_told() {
        let read = |text: &str| pair(text).map(|pair| (pair.local, pair.remote)).map_err(|failure| failure.text());
        assert_eq!(read(":80"), Ok((0, 80)));
        assert_eq!(read("99999"), Err("error parsing local port '99999': strconv.ParseUint: parsing \"99999\": value out of range".to_owned()));
        assert_eq!(read("80:0"), Err("remote port must be > 0".to_owned()));
    }
}
