//! `kubectl expose`.
// upstream: kubectl/pkg/cmd/expose/expose.go

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::create::send;
use crate::builder::{self, Info, Selection, equal_labels};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::merge::overlay;
use crate::print;
use crate::write::{self, DryRun, Writer, remember};

/// Its flags.
pub fn command() -> Command {
    Command::new("expose")
        .about("Expose a resource as a new Kubernetes service.\n\n Possible resources include (case insensitive):\n\n pod (po), service (svc), replicationcontroller (rc), deployment (deploy), replicaset (rs)")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to expose a service"))
        .args([
            write::dry_run_flag(),
            write::manager_flag("kubectl-expose"),
            write::save_config_flag(),
            flags::text("cluster-ip", "", "ClusterIP to be assigned to the service. Leave empty to auto-allocate, or set to 'None' to create a headless service."),
            flags::text("external-ip", "", "Additional external IP address (not managed by Kubernetes) to accept for the service."),
            flags::text("labels", "", "Labels to apply to the service created by this call.").short('l'),
            flags::text("load-balancer-ip", "", "IP to assign to the LoadBalancer."),
            flags::text("name", "", "The name for the newly created object."),
            flags::text("override-type", "merge", "The method used to override the generated object: json, merge, or strategic."),
            flags::text("overrides", "", "An inline JSON override for the generated object."),
            flags::text("port", "", "The port that the service should serve on. Copied from the resource being exposed, if unspecified"),
            flags::text("protocol", "", "The network protocol for the service to be created. Default is 'TCP'."),
            flags::text("selector", "", "A label selector to use for this service. Only equality-based selector requirements are supported."),
            flags::text("session-affinity", "", "If non-empty, set the session affinity for the service to this; legal values: 'None', 'ClientIP'"),
            flags::text("target-port", "", "Name or number for the port on the container that the service should direct traffic to. Optional."),
            flags::text("type", "", "Type for this service: ClusterIP, NodePort, LoadBalancer, or ExternalName. Default is 'ClusterIP'."),
        ])
        .override_usage("kubectl expose (-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] [--target-port=number-or-name] [--name=name] [--external-ip=external-ip-of-service] [--type=type] [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    selection.labels = String::new();
    let mut writer = Writer::read(factory, matches)?;
    writer.prints_structs();
    selection.visit(factory, async |info| {
        exposable(&info)?;
        let mut service = service(factory, matches, &info)?;
        let overrides = matches.text("overrides");
        if !overrides.is_empty() {
            service = overlay::overridden(&service, &matches.text("override-type"), &overrides).map_err(Failure::new)?;
        }
        if writer.save_config {
            remember(&mut service);
        }
        let made = if writer.dry_run == DryRun::Client { service } else { send(factory, &writer, service).await? };
        writer.tell(factory, &made, "exposed")
    })
    .await
}

// upstream: kubectl/pkg/polymorphichelpers/canbeexposed.go
fn exposable(info: &Info) -> Result<(), Failure> {
    let Mapping { group, kind, .. } = &info.mapping;
    match (group.as_str(), kind.as_str()) {
        ("", "ReplicationController" | "Service" | "Pod") | ("apps" | "extensions", "Deployment" | "ReplicaSet") => Ok(()),
        ("", kind) => Err(Failure::new(format!("cannot expose a {kind}"))),
        (group, kind) => Err(Failure::new(format!("cannot expose a {kind}.{group}"))),
    }
}

fn service(factory: &Factory, matches: &ArgMatches, info: &Info) -> Result<Value, Failure> {
    let object = &info.object;
    let given = matches.text("selector");
    let selector = if given.is_empty() { selector(info)? } else { equal_labels(&given)? };
    let name = if matches.text("name").is_empty() { info.name.clone() } else { matches.text("name") };
    let name: String = name.chars().take(63).collect();
    let ports = ports(matches, object)?;
    let mut meta = super::create::metadata(factory, &name)?;
    let labels = if matches.text("labels").is_empty() { object["metadata"]["labels"].clone() } else { equal_labels(&matches.text("labels"))? };
    if labels.is_object() {
        meta["labels"] = labels;
    }
    let mut spec = json!({"ports": ports, "selector": selector});
    for (flag, field) in [("type", "type"), ("cluster-ip", "clusterIP"), ("session-affinity", "sessionAffinity"), ("load-balancer-ip", "loadBalancerIP")] {
        if !matches.text(flag).is_empty() {
            spec[field] = json!(matches.text(flag));
        }
    }
    if !matches.text("external-ip").is_empty() {
        spec["externalIPs"] = json!([matches.text("external-ip")]);
    }
    Ok(json!({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec, "status": {"loadBalancer": {}}}))
}

fn selector(info: &Info) -> Result<Value, Failure> {
    let failed = |why: &str| Failure::new(format!("couldn't retrieve selectors via --selector flag or introspection: {why}"));
    let spec = &info.object["spec"];
    match info.mapping.kind.as_str() {
        "Pod" if info.object["metadata"]["labels"].as_object().is_some_and(|labels| !labels.is_empty()) => Ok(info.object["metadata"]["labels"].clone()),
        "Pod" => Err(failed("the pod has no labels and cannot be exposed")),
        "Service" | "ReplicationController" if spec["selector"].as_object().is_some_and(|labels| !labels.is_empty()) => Ok(spec["selector"].clone()),
        "Service" => Err(failed("the service has no pod selector set")),
        "Deployment" | "ReplicaSet" => {
            if spec["selector"]["matchExpressions"].as_array().is_some_and(|all| !all.is_empty()) {
                return Err(failed(&format!("couldn't convert expressions - \"{}\" to map-based selector format", print::go::print(&spec["selector"]["matchExpressions"]))));
            }
            Ok(spec["selector"]["matchLabels"].clone())
        }
        _ => Ok(Value::Null),
    }
}

fn ports(matches: &ArgMatches, object: &Value) -> Result<Vec<Value>, Failure> {
    let given = matches.text("port");
    let containers = if object["kind"] == "Pod" { &object["spec"]["containers"] } else { &object["spec"]["template"]["spec"]["containers"] };
    let own: Vec<(i64, String)> = match object["kind"].as_str() {
        Some("Service") => object["spec"]["ports"].as_array().into_iter().flatten().map(|port| number_of(port, "port")).collect(),
        _ => containers.as_array().into_iter().flatten().flat_map(|c| c["ports"].as_array().into_iter().flatten()).map(|port| number_of(port, "containerPort")).collect(),
    };
    let numbers: Vec<String> = if given.is_empty() { own.iter().map(|(port, _)| port.to_string()).collect() } else { given.split(',').map(str::to_owned).collect() };
    if numbers.is_empty() {
        return Err(Failure::new("couldn't find port via --port flag or introspection"));
    }
    let target = matches.text("target-port");
    let several = numbers.len() > 1;
    let mut ports = Vec::new();
    for (index, text) in numbers.iter().enumerate() {
        let number: i64 = text.parse().map_err(|_| Failure::new(format!("strconv.Atoi: parsing {text:?}: invalid syntax")))?;
        let known = own.iter().find(|(port, _)| *port == number).map(|(_, protocol)| protocol.clone());
        let protocol = if matches.text("protocol").is_empty() { known.unwrap_or_else(|| "TCP".to_owned()) } else { matches.text("protocol") };
        let target = if target.is_empty() { json!(number) } else { target.parse::<i64>().map_or_else(|_| json!(target), |port| json!(port)) };
        let mut port = json!({"port": number, "protocol": protocol, "targetPort": target});
        if several {
            port["name"] = json!(format!("port-{}", index + 1));
        }
        ports.push(port);
    }
    Ok(ports)
}

fn number_of(port: &Value, field: &str) -> (i64, String) {
    (port[field].as_i64().unwrap_or_default(), port["protocol"].as_str().unwrap_or("TCP").to_owned())
}
