//! What the server is: `api-resources`, `api-versions`, `cluster-info`, `version`.
// upstream: kubectl/pkg/cmd/{apiresources,clusterinfo,version}

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use crate::discovery::{Mapper, Mapping};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::json as json_text;
use crate::print::{table, yaml};
use crate::rest::Call;

/// What this kubectl says of itself.
const CLIENT: &str = "v1.32.4";
const KUSTOMIZE: &str = "v5.5.0";

/// Flags of `api-resources`.
pub fn resources_command() -> Command {
    Command::new("api-resources")
        .args([
            flags::text("api-group", "", "Limit to resources in the specified API group."),
            flags::switch("cached", "Use the cached list of resources if available."),
            flags::list("categories", "Limit to resources that belong to the specified categories."),
            flags::switch_on("namespaced", "If false, non-namespaced resources will be returned, otherwise returning namespaced resources by default."),
            flags::switch("no-headers", "When using the default or custom-column output format, don't print headers (default print headers)."),
            flags::text("output", "", "Output format. One of: (wide, name).").short('o'),
            flags::text("sort-by", "", "If non-empty, sort list of resources using specified field. The field can be either 'name' or 'kind'."),
            flags::list("verbs", "Limit to resources that support the specified verbs."),
        ])
        .override_usage("kubectl api-resources [flags] [options]")
}

/// `api-resources`.
pub async fn resources(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    no_arguments(factory, matches)?;
    let output = matches.text("output");
    if !["", "wide", "name"].contains(&output.as_str()) {
        return Err(Failure::new(format!("--output {output} is not available")));
    }
    let by = matches.text("sort-by");
    if !["", "name", "kind"].contains(&by.as_str()) {
        return Err(Failure::new("--sort-by accepts only name or kind"));
    }
    let mapper = if matches.on("cached") { factory.mapper().await } else { factory.fresh_mapper().await };
    let nothing = Mapper::default();
    let (mapper, failure) = match mapper {
        Ok(mapper) => (mapper, None),
        // What is known is shown, and that is nothing.
        Err(failure @ (Failure::Unreachable(_) | Failure::Status(_))) => (&nothing, Some(failure)),
        Err(failure) => return Err(failure),
    };
    let (verbs, categories, group) = (matches.texts("verbs"), matches.texts("categories"), matches.text("api-group"));
    let mut shown: Vec<&Mapping> = in_order(mapper)
        .into_iter()
        .filter(|mapping| !matches.changed("api-group") || mapping.group == group)
        .filter(|mapping| !matches.changed("namespaced") || mapping.namespaced == matches.on("namespaced"))
        .filter(|mapping| verbs.iter().all(|verb| mapping.verbs.contains(verb)))
        .filter(|mapping| categories.iter().all(|category| mapping.categories.contains(category)))
        .collect();
    match by.as_str() {
        "name" => shown.sort_by(|a, b| (&a.resource, &a.group).cmp(&(&b.resource, &b.group))),
        "kind" => shown.sort_by(|a, b| (&a.kind, &a.group).cmp(&(&b.kind, &b.group))),
        _ => {}
    }
    let mut lines: Vec<Vec<String>> = Vec::new();
    if output != "name" && !matches.on("no-headers") {
        let mut header = vec!["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"];
        if output == "wide" {
            header.extend(["VERBS", "CATEGORIES"]);
        }
        lines.push(header.into_iter().map(str::to_owned).collect());
    }
    for mapping in shown {
        if output == "name" {
            factory.streams.line(&mapping.group_resource())?;
            continue;
        }
        let mut cells = vec![mapping.resource.clone(), mapping.short_names.join(","), mapping.api_version(), mapping.namespaced.to_string(), mapping.kind.clone()];
        if output == "wide" {
            cells.extend([mapping.verbs.join(","), mapping.categories.join(",")]);
        }
        lines.push(cells);
    }
    factory.streams.print(table::align(&lines, &mut Vec::new()))?;
    failure.map_or(Ok(()), Err)
}

/// Kinds that can be asked for, each in one version, by group and name.
pub(super) fn in_order(mapper: &Mapper) -> Vec<&Mapping> {
    let mut shown: Vec<&Mapping> = mapper.mappings.iter().filter(|mapping| mapper.preferred(mapping) && !mapping.verbs.is_empty()).collect();
    shown.sort_by(|a, b| (&a.group, &a.resource).cmp(&(&b.group, &b.resource)));
    shown
}

fn no_arguments(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    if words.is_empty() { Ok(()) } else { Err(factory.usage(&format!("unexpected arguments: [{}]", words.join(" ")))) }
}

/// Flags of `api-versions`.
pub fn versions_command() -> Command {
    Command::new("api-versions").override_usage("kubectl api-versions [options]")
}

/// `api-versions`.
pub async fn versions(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    no_arguments(factory, matches)?;
    factory.rest().await?;
    let mapper = match factory.fresh_mapper().await {
        Err(failure) => return Err(Failure::new(format!("couldn't get available api versions from server: {}", failure.whole()))),
        Ok(mapper) => mapper,
    };
    let mut all: Vec<String> = mapper.versions.iter().map(|v| if v.group.is_empty() { v.version.clone() } else { format!("{}/{}", v.group, v.version) }).collect();
    all.sort();
    for version in all {
        factory.streams.line(&version)?;
    }
    Ok(())
}

/// Flags of `cluster-info`.
pub fn info_command() -> Command {
    Command::new("cluster-info").override_usage("kubectl cluster-info [flags] [options]")
}

/// `cluster-info`.
pub async fn info(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    factory.rest().await?;
    const MORE: &str = "\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.";
    if let Err(failure) = factory.mapper().await {
        factory.streams.line(MORE)?;
        return Err(failure);
    }
    let services = factory.call(Call::get("/api/v1/namespaces/kube-system/services").query("labelSelector", "kubernetes.io/cluster-service=true")).await?;
    let server = factory.rest().await?.server.clone();
    let say = |name: &str, address: &str| factory.streams.line(&format!("{name} is running at {address}"));
    say("Kubernetes control plane", &server)?;
    for service in services["items"].as_array().into_iter().flatten() {
        let metadata = &service["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let name = text(&metadata["name"]);
        let shown = Some(text(&metadata["labels"]["kubernetes.io/name"])).filter(|shown| !shown.is_empty()).unwrap_or_else(|| name.clone());
        let port = &service["spec"]["ports"][0];
        let scheme = if port["port"] == 443 { "https:" } else { "" };
        let target = match (scheme, text(&port["name"])) {
            ("", port) if port.is_empty() => name,
            (scheme, port) => format!("{scheme}{name}:{port}"),
        };
        say(&shown, &format!("{server}/api/v1/namespaces/{}/services/{target}/proxy", text(&metadata["namespace"])))?;
    }
    factory.streams.line(MORE)
}

/// Flags of `version`.
pub fn version_command() -> Command {
    Command::new("version")
        .args([
            flags::switch("client", "If true, shows client version only (no server required)."),
            flags::text("output", "", "One of 'yaml' or 'json'.").short('o'),
        ])
        .override_usage("kubectl version [flags] [options]")
}

/// `version`.
pub async fn version(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let output = matches.text("output");
    if !["", "yaml", "json"].contains(&output.as_str()) {
        return Err(Failure::new("--output must be 'yaml' or 'json'"));
    }
    if !matches.on("client") && !matches.arguments().is_empty() {
        return Err(Failure::new(format!("extra arguments: [{}]", matches.arguments().join(" "))));
    }
    // Who cannot be asked because of the configuration is not asked, and nothing is shown.
    if !matches.on("client") {
        factory.rest().await?;
    }
    let server = if matches.on("client") { Ok(None) } else { factory.call(Call::get("/version").query("timeout", "32s")).await.map(Some) };
    let (server, failure) = server.map_or_else(|failure| (None, Some(failure)), |server| (server, None));
    match output.as_str() {
        "" => {
            factory.streams.line(&format!("Client Version: {CLIENT}\nKustomize Version: {KUSTOMIZE}"))?;
            if let Some(server) = &server {
                factory.streams.line(&format!("Server Version: {}", server["gitVersion"].as_str().unwrap_or_default()))?;
            }
        }
        output => {
            let client = json!({
                "major": "1", "minor": "32", "gitVersion": CLIENT, "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
                "goVersion": "none: written in Rust", "compiler": "rustc", "platform": "linux/amd64",
            });
            let mut all = json!({"clientVersion": client, "kustomizeVersion": KUSTOMIZE});
            if let Some(server) = server {
                let known = |name: &str| ORDER.contains(&name) && !name.ends_with("Version") || matches!(name, "gitVersion" | "goVersion");
                all["serverVersion"] = server.as_object().into_iter().flatten().filter(|(name, _)| known(name)).map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into();
            }
            let text = if output == "yaml" { yaml::write(&all) } else { json_text::ordered(&all, "  ", &ORDER) };
            factory.streams.line(&text)?;
        }
    }
    failure.map_or(Ok(()), Err)
}

const ORDER: [&str; 12] =
    ["clientVersion", "kustomizeVersion", "serverVersion", "major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];

/// Flags of `options`.
pub fn options_command() -> Command {
    Command::new("options")
}

/// `options`.
pub async fn options(factory: &Factory, _matches: &ArgMatches) -> Result<(), Failure> {
    let cache = crate::discovery::cache_directory(factory);
    factory.streams.print(crate::help::global_options(&cache.display().to_string()))
}
