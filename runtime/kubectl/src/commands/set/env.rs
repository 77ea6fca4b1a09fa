//! `kubectl set env`.
// upstream: kubectl/pkg/cmd/set/set_env.go

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::{change, common, containers, divide, pod_spec};
use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

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
    let mut selection = Selection::read(factory, matches)?;
    let (resources, mut pairs) = divide(matches.arguments());
    selection.words = resources;
    selection.latest = !matches.on("local");
    pairs.extend(matches.texts("env"));
    if selection.words.is_empty() && !selection.has_files() {
        return Err(Failure::new("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    if selection.local && !selection.has_files() {
        return Err(builder::missing());
    }
    let mut set: Vec<Value> = Vec::new();
    let mut removed: Vec<String> = Vec::new();
    for pair in pairs {
        match pair.split_once('=') {
            Some((name, value)) if value.is_empty() => set.push(json!({"name": name})),
            Some((name, value)) => set.push(json!({"name": name, "value": value})),
            None => removed.push(pair.trim_end_matches('-').to_owned()),
        }
    }
    set.extend(imported(factory, matches, &selection).await?);
    let pattern = matches.text("containers");
    if matches.on("list") {
        return list(factory, &selection, &pattern, |container| update(container, &set, &removed, true)).await;
    }
    let overwrite = matches.on("overwrite");
    change(factory, matches, &selection, "env updated", |object| {
        for container in containers(pod_spec(object)?, &pattern) {
            update(container, &set, &removed, overwrite)?;
        }
        Ok(())
    })
    .await
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
            kind => return Err(Failure::new(format!("unsupported resource specified in --from: {kind}"))),
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

async fn list(factory: &Factory, selection: &Selection, pattern: &str, edit: impl Fn(&mut Value) -> Result<(), Failure>) -> Result<(), Failure> {
    for info in selection.infos(factory).await? {
        let mut object = info.object.clone();
        for container in containers(pod_spec(&mut object)?, pattern) {
            edit(container)?;
            let name = container["name"].as_str().unwrap_or_default();
            factory.streams.line(&format!("# {} {}, container {name}", info.mapping.kind, info.name))?;
            for variable in container["env"].as_array().into_iter().flatten() {
                let name = variable["name"].as_str().unwrap_or_default();
                let from = &variable["valueFrom"];
                let text = if from.is_null() {
                    format!("{name}={}", variable["value"].as_str().unwrap_or_default())
                } else {
                    format!("# {name} from {}", described(from))
                };
                factory.streams.line(&text)?;
            }
        }
    }
    Ok(())
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
