//! `kubectl cordon`, `uncordon` and `taint`.
// upstream: kubectl/pkg/cmd/drain/drain.go, kubectl/pkg/cmd/taint/{taint,utils}.go

use clap::{ArgMatches, Command};
use drydock_primitives::names;
use serde_json::{Value, json};

use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::merge;
use crate::print;
use crate::rest::STRATEGIC_PATCH;
use crate::write::{self, DryRun, Writer};

/// Flags of `cordon`.
pub fn cordon_command() -> Command {
    Command::new("cordon").args([write::dry_run_flag(), builder::label_flag()]).override_usage("kubectl cordon NODE [options]")
}

/// Flags of `uncordon`.
pub fn uncordon_command() -> Command {
    Command::new("uncordon").args([write::dry_run_flag(), builder::label_flag()]).override_usage("kubectl uncordon NODE [options]")
}

/// `cordon`.
pub async fn cordon(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let nodes = nodes(factory, matches, "cordon").await?;
    mark(factory, matches, &nodes, true).await
}

/// `uncordon`.
pub async fn uncordon(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let nodes = nodes(factory, matches, "uncordon").await?;
    mark(factory, matches, &nodes, false).await
}

/// The nodes a command is about.
pub(super) async fn nodes(factory: &Factory, matches: &ArgMatches, word: &str) -> Result<Vec<Info>, Failure> {
    let mut selection = Selection::read(factory, matches)?;
    if selection.words.is_empty() && selection.labels.is_empty() {
        return Err(factory.usage(&format!("USAGE: {word} NODE [flags]")));
    }
    if !selection.words.is_empty() && !selection.labels.is_empty() {
        return Err(factory.usage("error: cannot specify both a node name and a --selector option"));
    }
    selection.default_type = "nodes".to_owned();
    selection.stops = true;
    selection.infos(factory).await
}

/// Say whether Pods may be placed there.
pub(super) async fn mark(factory: &Factory, matches: &ArgMatches, nodes: &[Info], cordoned: bool) -> Result<(), Failure> {
    let mut writer = Writer::read(factory, matches)?;
    let word = if cordoned { "cordoned" } else { "uncordoned" };
    for info in nodes {
        if info.object["spec"]["unschedulable"].as_bool().unwrap_or(false) == cordoned {
            writer.tell(factory, &info.object, &format!("already {word}"))?;
            continue;
        }
        if writer.dry_run != DryRun::Client {
            let patch = json!({"spec": {"unschedulable": if cordoned { json!(true) } else { Value::Null }}});
            writer.patch(factory, info, STRATEGIC_PATCH, &patch).await?;
        }
        writer.tell(factory, &info.object, word)?;
    }
    Ok(())
}

/// Flags of `taint`.
pub fn taint_command() -> Command {
    Command::new("taint")
        .args(print::arguments())
        .args([
            builder::label_flag(),
            write::dry_run_flag(),
            write::manager_flag("kubectl-taint"),
            write::validate_flag(),
            flags::switch("all", "Select all nodes in the cluster"),
            flags::switch("overwrite", "If true, allow taints to be overwritten, otherwise reject taint updates that overwrite existing taints."),
        ])
        .override_usage("kubectl taint NODE NAME KEY_1=VAL_1:TAINT_EFFECT_1 ... KEY_N=VAL_N:TAINT_EFFECT_N [options]")
}

/// What a word of `taint` says: key, value, effect; gone when there is no value to set.
#[derive(Debug)]
struct Taint {
    key: String,
    value: String,
    effect: String,
    remove: bool,
}

/// `taint`.
pub async fn taint(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read(factory, matches)?;
    let (specs, resources): (Vec<String>, Vec<String>) = selection.words.into_iter().partition(|word| word.contains('=') || word.ends_with('-') || word.contains(':'));
    selection.words = resources;
    if selection.words.is_empty() && selection.labels.is_empty() {
        return Err(Failure::new("one or more resources must be specified as <resource> <name>"));
    }
    if specs.is_empty() {
        return Err(Failure::new("at least one taint update is required"));
    }
    let taints: Result<Vec<Taint>, Failure> = specs.iter().map(|spec| parse(spec).map_err(|why| factory.usage(&why))).collect();
    let taints = taints?;
    if let Some((_, Taint { key, value, effect, .. })) = taints.iter().enumerate().find(|(at, taint)| !taint.remove && taints[..*at].iter().any(|other| !other.remove && other.key == taint.key && other.effect == taint.effect)) {
        return Err(factory.usage(&format!("duplicated taints with the same key and effect: {{{key} {value} {effect} <nil>}}")));
    }
    factory.rest().await?;
    if let Some(kind) = selection.words.first() {
        let mapping = factory.find(kind).await.map_err(|failure| Failure::Plain(failure.text(), 1))?;
        if mapping.kind != "Node" {
            return Err(Failure::new(format!("invalid resource type {kind}, only node types are supported")));
        }
    }
    let both: Vec<String> = taints
        .iter()
        .filter(|taint| !taint.remove && taints.iter().any(|other| other.remove && other.key == taint.key && (other.effect.is_empty() || other.effect == taint.effect)))
        .map(|taint| format!("{}={}", taint.key, taint.effect))
        .collect();
    if !both.is_empty() {
        return Err(Failure::new(format!("can not both modify and remove the following taint(s) in the same command: {}", both.join(", "))));
    }
    let mut writer = Writer::read(factory, matches)?;
    let mut failures = Vec::new();
    for info in selection.infos(factory).await? {
        if info.mapping.kind != "Node" {
            return Err(Failure::new(format!("invalid resource type {}, only node types are supported", info.mapping.resource)));
        }
        match changed(&info, &taints, matches.on("overwrite")) {
            Ok((object, done)) => {
                let patch = merge::two_way(&info.object, &object);
                let object = if writer.dry_run == DryRun::Client { object } else { writer.patch(factory, &info, STRATEGIC_PATCH, &patch).await? };
                // Stock kubectl does not say that it was a dry run.
                match &writer.printer {
                    None => factory.streams.line(&format!("{} {done}", print::name(&object)))?,
                    Some(_) => writer.tell(factory, &object, done)?,
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

fn parse(spec: &str) -> Result<Taint, String> {
    let (body, remove) = spec.strip_suffix('-').map_or((spec, false), |body| (body, true));
    let (left, effect) = body.split_once(':').unwrap_or((body, ""));
    let (key, value) = left.split_once('=').unwrap_or((left, ""));
    if effect.is_empty() && !remove {
        // Without an effect all of it is read as a key, which has no `=`.
        return Err(Some(names::qualified_name(body)).filter(|errors| !errors.is_empty()).map_or_else(|| format!("invalid taint spec: {spec}"), |errors| format!("invalid taint spec: {spec}, {}", errors.join("; "))));
    }
    if !effect.is_empty() && !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect) {
        return Err(format!("invalid taint effect: {effect}, unsupported taint effect"));
    }
    for errors in [names::qualified_name(key), names::label_value(value)] {
        if !errors.is_empty() {
            return Err(format!("invalid taint spec: {spec}, {}", errors.join("; ")));
        }
    }
    Ok(Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned(), remove })
}

fn changed(info: &Info, taints: &[Taint], overwrite: bool) -> Result<(Value, &'static str), Failure> {
    let mut list = info.object["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let fits = |known: &Value, taint: &Taint| known["key"] == taint.key.as_str() && (taint.effect.is_empty() || known["effect"] == taint.effect.as_str());
    let mut done = "tainted";
    for taint in taints {
        let known = list.iter().any(|known| fits(known, taint));
        if taint.remove {
            if !known {
                let shown = if taint.effect.is_empty() { taint.key.clone() } else { format!("{}:{}", taint.key, taint.effect) };
                return Err(Failure::new(format!("taint {shown:?} not found")));
            }
            list.retain(|known| !fits(known, taint));
            done = "untainted";
            continue;
        }
        if known && !overwrite {
            return Err(Failure::new(format!("node {} already has {} taint(s) with same effect(s) and --overwrite is false", info.name, taint.key)));
        }
        list.retain(|known| !fits(known, taint));
        let mut entry = json!({"effect": taint.effect, "key": taint.key});
        if !taint.value.is_empty() {
            entry["value"] = json!(taint.value);
        }
        list.insert(0, entry);
        done = if known { "modified" } else { "tainted" };
    }
    let mut object = info.object.clone();
    if list.is_empty() {
        object["spec"].as_object_mut().map(|spec| spec.remove("taints"));
    } else {
        object["spec"]["taints"] = json!(list);
    }
    Ok((object, done))
}
