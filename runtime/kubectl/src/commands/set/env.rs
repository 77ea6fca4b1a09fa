//! `kubectl set env`.
// upstream: kubectl/pkg/cmd/set/set_env.go

use std::collections::BTreeMap;

use base64::Engine;
use clap::{ArgMatches, Command};
use drydock_primitives::names;
use serde_json::{Value, json};

use super::{change, common, containers, divide, pod_spec};
use crate::builder::{self, Info, Selection};
use crate::discovery::segment;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::rest::Call;

/// Its flags.
pub fn command() -> Command {
    Command::new("env")
        .args(common("kubectl-set"))
        .arg(builder::label_flag())
        .args([
            flags::text("containers", "*", "The names of containers in the selected pod templates to change - may use wildcards").short('c'),
            flags::array("env", "Specify a key-value pair for an environment variable to set into each container.").short('e'),
            flags::text("from", "", "The name of a resource from which to inject environment variables"),
            flags::list("keys", "Comma-separated list of keys to import from specified resource"),
            flags::switch("list", "If true, display the environment and any changes in the standard format. this flag will removed when we have kubectl view env."),
            flags::switch_on("overwrite", "If true, allow environment to be overwritten, otherwise reject updates that overwrite existing environment."),
            flags::text("prefix", "", "Prefix to append to variable names"),
            flags::switch("resolve", "If true, show secret or configmap references when listing variables"),
        ])
        .override_usage("kubectl set env RESOURCE/NAME KEY_1=VAL_1 ... KEY_N=VAL_N [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    let (resources, arguments) = divide(matches.arguments());
    let pairs: Vec<String> = matches.texts("env").into_iter().chain(arguments).collect();
    selection.words = resources;
    selection.latest = !matches.on("local");
    if selection.words.is_empty() && !selection.has_files() {
        return Err(Failure::new("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    if selection.local && !selection.has_files() {
        return Err(builder::missing());
    }
    super::all_or_some(&selection)?;
    let (mut set, removed) = read(factory, &pairs)?;
    set.extend(imported(factory, matches, &selection).await?);
    let pattern = matches.text("containers");
    if matches.on("list") {
        let resolve = matches.on("resolve");
        return list(factory, &selection, &pattern, resolve, |container| update(container, &set, &removed, true)).await;
    }
    let overwrite = matches.on("overwrite");
    change(factory, matches, &selection, "env updated", |object| {
        let named = format!("{}/{}", object["kind"].as_str().unwrap_or_default(), object["metadata"]["name"].as_str().unwrap_or_default());
        let found = containers(pod_spec(object)?, &pattern);
        if found.is_empty() {
            factory.streams.warn(&format!("Warning: {named} does not have any containers matching {pattern:?}"));
        }
        for container in found {
            update(container, &set, &removed, overwrite)?;
        }
        Ok(())
    })
    .await
}

/// What is set and what is removed; `-` stands for standard input.
// upstream: kubectl/pkg/cmd/set/env/env_parse.go
fn read(factory: &Factory, pairs: &[String]) -> Result<(Vec<Value>, Vec<String>), Failure> {
    let entry = |name: &str, value: &str| if value.is_empty() { json!({"name": name}) } else { json!({"name": name, "value": value}) };
    let (mut set, mut removed, mut named): (Vec<Value>, Vec<String>, Vec<&str>) = Default::default();
    for pair in pairs {
        if pair == "-" {
            let text = factory.streams.read_all()?;
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
            set.extend(lines.filter_map(|line| line.split_once('=')).map(|(name, value)| entry(name, value)));
            continue;
        }
        match (pair.split_once('='), pair.strip_suffix('-')) {
            (Some((name, value)), _) => {
                if let Some(error) = variable_name(name) {
                    return Err(Failure::new(format!("{name:?} is not a valid key name: {error}")));
                }
                named.push(name);
                set.push(entry(name, value));
            }
            (None, Some(name)) => removed.push(name.to_owned()),
            (None, None) => return Err(Failure::new(format!("unknown environment variable: {pair}"))),
        }
    }
    if removed.iter().any(|name| named.contains(&name.as_str())) {
        return Err(Failure::new("can not both modify and remove the same environment variable in the same command"));
    }
    Ok((set, removed))
}

/// What is wrong with a variable's name.
// upstream: apimachinery/pkg/util/validation/validation.go IsEnvVarName
fn variable_name(name: &str) -> Option<String> {
    let fits = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._".contains(letter)) && !name.is_empty() && !name.starts_with(|letter: char| letter.is_ascii_digit());
    let mut wrong = Vec::new();
    if !fits {
        let rule = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
        wrong.push(names::regex_error(rule, "[-._a-zA-Z][-._a-zA-Z0-9]*", &["my.env-name", "MY_ENV.NAME", "MyEnvName1"]));
    }
    match name {
        "." => wrong.push("must not be '.'".to_owned()),
        ".." => wrong.push("must not be '..'".to_owned()),
        name if name.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    (!wrong.is_empty()).then(|| wrong.join(";"))
}

fn update(container: &mut Value, set: &[Value], removed: &[String], overwrite: bool) -> Result<(), Failure> {
    let mut variables = container["env"].as_array().cloned().unwrap_or_default();
    for variable in set {
        match variables.iter_mut().find(|known| known["name"] == variable["name"]) {
            Some(known) if !overwrite => {
                return Err(Failure::new(format!("'{}' already has a value ({}), and --overwrite is false", known["name"].as_str().unwrap_or_default(), known["value"].as_str().unwrap_or_default())));
            }
            Some(known) => *known = variable.clone(),
            None => variables.push(variable.clone()),
        }
    }
    variables.retain(|variable| !removed.iter().any(|name| variable["name"] == *name));
    if !variables.is_empty() {
        container["env"] = json!(variables);
    } else if let Some(fields) = container.as_object_mut() {
        fields.remove("env");
    }
    Ok(())
}

/// References to the keys of a ConfigMap or Secret.
async fn imported(factory: &Factory, matches: &ArgMatches, selection: &Selection) -> Result<Vec<Value>, Failure> {
    let from = matches.text("from");
    if from.is_empty() {
        return Ok(Vec::new());
    }
    let source = Selection { words: vec![from], namespace: selection.namespace.clone(), ..Selection::default() };
    let (keys, prefix) = (matches.texts("keys"), matches.text("prefix"));
    let mut variables = Vec::new();
    for info in source.infos(factory).await? {
        let reference = match info.mapping.kind.as_str() {
            "ConfigMap" => "configMapKeyRef",
            "Secret" => "secretKeyRef",
            _ => return Err(Failure::new("unsupported resource specified in --from")),
        };
        for key in info.object["data"].as_object().into_iter().flatten().map(|(key, _)| key) {
            if !keys.is_empty() && !keys.contains(key) {
                continue;
            }
            let name: String = key.to_uppercase().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
            if &name != key {
                factory.streams.warn(&format!("Warning: key {key} transferred to {name}"));
            }
            variables.push(json!({"name": format!("{prefix}{name}"), "valueFrom": {reference: {"key": key, "name": info.name}}}));
        }
    }
    Ok(variables)
}

async fn list(factory: &Factory, selection: &Selection, pattern: &str, resolve: bool, edit: impl Fn(&mut Value) -> Result<(), Failure>) -> Result<(), Failure> {
    for info in selection.infos(factory).await? {
        let mut object = info.object.clone();
        for container in containers(pod_spec(&mut object)?, pattern) {
            edit(container)?;
            let name = container["name"].as_str().unwrap_or_default();
            factory.streams.line(&format!("# {} {}, container {name}", info.mapping.kind, info.name))?;
            let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for variable in container["env"].as_array().into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default();
                let from = &variable["valueFrom"];
                let text = if from.is_null() {
                    format!("{name}={}", variable["value"].as_str().unwrap_or_default())
                } else {
                    match if resolve { referenced(factory, from, &info).await } else { None } {
                        Some(Ok(value)) => format!("{name}={value}"),
                        Some(Err(failure)) => {
                            lost.entry(failure.text()).or_default().push(name.to_owned());
                            format!("# {name} from {}", described(from))
                        }
                        None => format!("# {name} from {}", described(from)),
                    }
                };
                factory.streams.line(&text)?;
            }
            for (why, mut variables) in lost {
                variables.sort();
                factory.streams.warn(&format!("error retrieving reference for {}: {why}", variables.join(", ")));
            }
        }
    }
    // What could not be looked up has been told; stock kubectl forgets it was a failure.
    Ok(())
}

/// What a reference refers to; nothing for what only a running container knows.
// upstream: kubectl/pkg/cmd/set/env/env_resolve.go
async fn referenced(factory: &Factory, from: &Value, info: &Info) -> Option<Result<String, Failure>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (field, plural, word) in [("configMapKeyRef", "configmaps", "config map"), ("secretKeyRef", "secrets", "secret")] {
        let (name, key) = (text(&from[field]["name"]), text(&from[field]["key"]));
        if !from[field].is_object() {
            continue;
        }
        let found = factory.call(Call::get(format!("/api/v1/namespaces/{}/{plural}/{}", info.namespace, segment(&name)))).await;
        return Some(found.and_then(|object| {
            let value = object["data"][&key].as_str().ok_or_else(|| Failure::new(format!("key {key} not found in {word} {name}")))?;
            if plural == "configmaps" {
                return Ok(value.to_owned());
            }
            let bytes = base64::engine::general_purpose::STANDARD.decode(value).map_err(|error| Failure::new(error.to_string()))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }));
    }
    let path = from["fieldRef"]["fieldPath"].as_str()?;
    let metadata = &info.object["metadata"];
    if let Some((field, key)) = path.strip_prefix("metadata.").and_then(|rest| rest.strip_suffix("']")).and_then(|rest| rest.split_once("['")) {
        return Some(Ok(text(&metadata[field][key])));
    }
    Some(match path {
        "metadata.name" | "metadata.namespace" | "metadata.uid" => Ok(text(&metadata[&path["metadata.".len()..]])),
        "metadata.labels" | "metadata.annotations" => {
            let fields = metadata[&path["metadata.".len()..]].as_object();
            let mut lines: Vec<String> = fields.into_iter().flatten().map(|(key, value)| format!("{key}={:?}", text(value))).collect();
            lines.sort();
            Ok(lines.join("\n"))
        }
        other => Err(Failure::new(format!("unsupported fieldPath: {other}"))),
    })
}

fn described(from: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (field, kind) in [("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")] {
        if from[field].is_object() {
            return format!("{kind} {}, key {}", text(&from[field]["name"]), text(&from[field]["key"]));
        }
    }
    if from["fieldRef"].is_object() {
        return format!("field path {}", text(&from["fieldRef"]["fieldPath"]));
    }
    format!("resource field {}", text(&from["resourceFieldRef"]["resource"]))
}
