//! `kubectl top`: what the metrics API says, or that there is none.
// upstream: kubectl/pkg/cmd/top/{top_node,top_pod}.go, metricsutil/metrics_printer.go

use clap::{ArgMatches, Command};
use drydock_primitives::quantity::Quantity;
use serde_json::Value;

use crate::builder::{all_namespaces_flag, label_flag};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, switch, switch_on, text};
use crate::print::table::align;
use crate::rest::Call;

const METRICS: &str = "metrics.k8s.io";

/// Flags of `top`.
pub fn command() -> Command {
    Command::new("top").override_usage("kubectl top [flags] [options]")
}

/// Flags of `top node`.
pub fn node_command() -> Command {
    Command::new("node").override_usage("kubectl top node [NAME | -l label] [options]").args([
        switch("no-headers", "If present, print output without headers"),
        label_flag(),
        switch("show-capacity", "Print node resources based on Capacity instead of Allocatable(default) of the nodes."),
        text("sort-by", "", "If non-empty, sort nodes list using specified field. The field can be either 'cpu' or 'memory'."),
        switch_on("use-protocol-buffers", "Enables using protocol-buffers to access Metrics API."),
    ])
}

/// Flags of `top pod`.
pub fn pod_command() -> Command {
    Command::new("pod").override_usage("kubectl top pod [NAME | -l label] [options]").args([
        all_namespaces_flag(),
        switch("containers", "If present, print usage of containers within a pod."),
        text("field-selector", "", "Selector (field query) to filter on, supports '=', '==', and '!='.(e.g. --field-selector key1=value1,key2=value2). The server only supports a limited number of field queries per type."),
        switch("no-headers", "If present, print output without headers."),
        label_flag(),
        text("sort-by", "", "If non-empty, sort pods list using specified field. The field can be either 'cpu' or 'memory'."),
        switch("sum", "Print the sum of the resource usage"),
        switch_on("use-protocol-buffers", "Enables using protocol-buffers to access Metrics API."),
    ])
}

/// `top node`.
pub async fn node(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = prepare(factory, matches).await?;
    let path = format!("/apis/{METRICS}/v1beta1/nodes");
    let metrics = items(factory, &path, &name, matches).await?;
    if metrics.is_empty() {
        return Err(Failure::new("metrics not available yet"));
    }
    let nodes = factory.call(Call::get("/api/v1/nodes").query_some("labelSelector", &matches.text("selector"))).await?;
    let kind = if matches.on("show-capacity") { "capacity" } else { "allocatable" };
    let mut lines = Vec::new();
    if !matches.on("no-headers") {
        lines.push(["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"].map(str::to_owned).to_vec());
    }
    for node in sorted(metrics, matches) {
        let known = nodes["items"].as_array().into_iter().flatten().find(|own| own["metadata"]["name"] == node["metadata"]["name"]);
        let room = known.map(|node| usage(&node["status"][kind])).unwrap_or_default();
        let (cpu, memory) = usage(&node["usage"]);
        let percent = |used: i64, of: i64| if of == 0 { "<unknown>".to_owned() } else { format!("{}%", used * 100 / of) };
        let name = node["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        lines.push(vec![name, format!("{cpu}m"), percent(cpu, room.0), mebibytes(memory), percent(memory, room.1)]);
    }
    factory.streams.print(align(&lines, &mut Vec::new()))
}

/// `top pod`.
pub async fn pod(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let (namespace, _) = factory.namespace()?;
    let name = prepare(factory, matches).await?;
    let everywhere = matches.on("all-namespaces");
    let path = if everywhere { format!("/apis/{METRICS}/v1beta1/pods") } else { format!("/apis/{METRICS}/v1beta1/namespaces/{namespace}/pods") };
    let metrics = items(factory, &path, &name, matches).await?;
    if metrics.is_empty() {
        let place = if everywhere { String::new() } else { format!(" in {namespace} namespace.") };
        factory.streams.warn(&format!("No resources found{place}"));
        return Ok(());
    }
    let containers = matches.on("containers");
    let head = ["NAMESPACE", if containers { "POD" } else { "NAME" }, "NAME", "CPU(cores)", "MEMORY(bytes)"];
    let shown = |cells: [String; 5]| -> Vec<String> {
        let keep = [everywhere, true, containers, true, true];
        cells.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(cell, _)| cell).collect()
    };
    let mut lines = Vec::new();
    if !matches.on("no-headers") {
        lines.push(shown(head.map(str::to_owned)));
    }
    for pod in sorted(metrics, matches) {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        let parts: Vec<(String, (i64, i64))> =
            pod["containers"].as_array().into_iter().flatten().map(|part| (part["name"].as_str().unwrap_or_default().to_owned(), usage(&part["usage"]))).collect();
        let whole = parts.iter().fold((0, 0), |sum, (_, own)| (sum.0 + own.0, sum.1 + own.1));
        let rows = if containers { parts } else { vec![(String::new(), whole)] };
        lines.extend(rows.into_iter().map(|(name, (cpu, memory))| shown([text("namespace"), text("name"), name, format!("{cpu}m"), mebibytes(memory)])));
    }
    factory.streams.print(align(&lines, &mut Vec::new()))
}

/// The name that was given, once the flags make sense and there is a metrics API.
async fn prepare(factory: &Factory, matches: &ArgMatches) -> Result<String, Failure> {
    let words = matches.arguments();
    if words.len() > 1 {
        let kind = factory.path.rsplit(' ').next().unwrap_or_default();
        return Err(factory.usage(&format!("{kind} [NAME | -l label]")));
    }
    let by = matches.text("sort-by");
    if !matches!(by.as_str(), "" | "cpu" | "memory") {
        return Err(Failure::new("--sort-by accepts only cpu or memory"));
    }
    if !words.is_empty() && !matches.text("selector").is_empty() {
        let flag = if factory.path.ends_with("node") { "--selector" } else { "selector" };
        return Err(Failure::new(format!("only one of NAME or {flag} can be provided")));
    }
    let known = factory.fresh_mapper().await?.versions.iter().any(|version| version.group == METRICS);
    if !known {
        return Err(Failure::new("Metrics API not available"));
    }
    Ok(words.into_iter().next().unwrap_or_default())
}

async fn items(factory: &Factory, path: &str, name: &str, matches: &ArgMatches) -> Result<Vec<Value>, Failure> {
    if !name.is_empty() {
        return Ok(vec![factory.call(Call::get(format!("{path}/{name}"))).await?]);
    }
    let list = factory.call(Call::get(path).query_some("labelSelector", &matches.text("selector"))).await?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Thousandths of a core, and bytes.
fn usage(usage: &Value) -> (i64, i64) {
    let quantity = |name: &str| usage[name].as_str().and_then(|text| text.parse::<Quantity>().ok());
    (quantity("cpu").map_or(0, Quantity::milli_value), quantity("memory").map_or(0, Quantity::value))
}

fn mebibytes(bytes: i64) -> String {
    format!("{}Mi", bytes / (1024 * 1024))
}

fn sorted(mut metrics: Vec<Value>, matches: &ArgMatches) -> Vec<Value> {
    let whole = |object: &Value| match object["containers"].as_array() {
        Some(containers) => containers.iter().map(|container| usage(&container["usage"])).fold((0, 0), |sum, own| (sum.0 + own.0, sum.1 + own.1)),
        None => usage(&object["usage"]),
    };
    match matches.text("sort-by").as_str() {
        "cpu" => metrics.sort_by_key(|object| std::cmp::Reverse(whole(object).0)),
        "memory" => metrics.sort_by_key(|object| std::cmp::Reverse(whole(object).1)),
        _ => metrics.sort_by_key(|object| (object["metadata"]["namespace"].to_string(), object["metadata"]["name"].to_string())),
    }
    metrics
}
