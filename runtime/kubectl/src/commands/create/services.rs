//! `kubectl create service`.
// upstream: kubectl/pkg/cmd/create/create_service.go

use clap::{ArgMatches, Command};
use drydock_primitives::names;
use serde_json::{Value, json};

use super::{finish, generator, metadata, one_name, required};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// `create service` alone.
pub fn command() -> Command {
    Command::new("service").about("Create a service using a specified subcommand.").override_usage("kubectl create service [flags] [options]")
}

/// Flags of `create service clusterip`.
pub fn cluster_ip_command() -> Command {
    generator("clusterip", [tcp(), flags::text("clusterip", "", "Assign your own ClusterIP or set to 'None' for a 'headless' service (no loadbalancing).")])
        .override_usage("kubectl create service clusterip NAME [--tcp=<port>:<targetPort>] [--dry-run=server|client|none] [options]")
}

/// Flags of `create service nodeport`.
pub fn node_port_command() -> Command {
    generator("nodeport", [tcp(), flags::number("node-port", "0", "Port used to expose the service on each node in a cluster.")])
        .override_usage("kubectl create service nodeport NAME [--tcp=port:targetPort] [--dry-run=server|client|none] [options]")
}

/// Flags of `create service loadbalancer`.
pub fn load_balancer_command() -> Command {
    generator("loadbalancer", [tcp()]).override_usage("kubectl create service loadbalancer NAME [--tcp=port:targetPort] [--dry-run=server|client|none] [options]")
}

/// Flags of `create service externalname`.
pub fn external_name_command() -> Command {
    generator("externalname", [tcp(), flags::text("external-name", "", "External name of service")])
        .override_usage("kubectl create service externalname NAME --external-name external.name [--dry-run=server|client|none] [options]")
}

fn tcp() -> clap::Arg {
    flags::list("tcp", "Port pairs can be specified as '<port>:<targetPort>'.")
}

/// `create service clusterip`.
pub async fn cluster_ip(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    create(factory, matches, "ClusterIP").await
}

/// `create service nodeport`.
pub async fn node_port(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    create(factory, matches, "NodePort").await
}

/// `create service loadbalancer`.
pub async fn load_balancer(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    create(factory, matches, "LoadBalancer").await
}

/// `create service externalname`.
pub async fn external_name(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    required(matches, &["external-name"])?;
    create(factory, matches, "ExternalName").await
}

async fn create(factory: &Factory, matches: &ArgMatches, kind: &str) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let address = matches.text("clusterip");
    let pairs = matches.texts("tcp");
    if pairs.is_empty() && kind != "ExternalName" && address != "None" {
        return Err(Failure::new("at least one tcp port specifier must be provided"));
    }
    let mut spec = json!({"selector": {"app": name}, "type": kind});
    let ports: Result<Vec<Value>, Failure> = pairs.iter().map(|pair| port(pair, matches.number("node-port"))).collect();
    let ports = ports?;
    if !ports.is_empty() {
        spec["ports"] = json!(ports);
    }
    if !address.is_empty() {
        spec["clusterIP"] = json!(address);
    }
    if kind == "ExternalName" {
        spec["externalName"] = json!(matches.text("external-name"));
    }
    let mut meta = metadata(factory, &name)?;
    meta["labels"] = json!({"app": name});
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec, "status": {"loadBalancer": {}}});
    finish(factory, matches, object, &format!("failed to create {kind} service: ")).await
}

// upstream: kubectl/pkg/cmd/create/create_service.go parsePorts
fn port(pair: &str, node_port: i64) -> Result<Value, Failure> {
    // What comes after a second colon is in the name alone.
    let mut parts = pair.split(':');
    let port_text = parts.next().unwrap_or_default();
    let target = parts.next().unwrap_or(port_text);
    let number = |text: &str| text.parse::<i64>().ok().filter(|port| (0..=65535).contains(port));
    let port = number(port_text).ok_or_else(|| match port_text.parse::<i64>() {
        Ok(_) => Failure::new(format!("strconv.ParseUint: parsing {port_text:?}: value out of range")),
        Err(_) => Failure::new(format!("strconv.ParseUint: parsing {port_text:?}: invalid syntax")),
    })?;
    let target_value = match target.parse::<i64>() {
        Ok(target) => json!(target),
        Err(_) => match names::port_name(target).first() {
            Some(error) => return Err(Failure::new(error.clone())),
            None => json!(target),
        },
    };
    let name = pair.replace(':', "-");
    let mut port = json!({"name": name, "port": port, "protocol": "TCP", "targetPort": target_value});
    if node_port > 0 {
        port["nodePort"] = json!(node_port);
    }
    Ok(port)
}
