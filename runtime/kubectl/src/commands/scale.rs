//! `kubectl scale` and `kubectl autoscale`.
// upstream: kubectl/pkg/cmd/scale/scale.go, kubectl/pkg/scale/scale.go, kubectl/pkg/cmd/autoscale/autoscale.go

use std::time::Duration;

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use super::create::{required, send};
use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print;
use crate::rest::{Call, MERGE_PATCH};
use crate::write::{self, DryRun, Writer};

/// How often the number of replicas is looked at.
const POLL: Duration = Duration::from_secs(1);

/// Flags of `scale`.
pub fn command() -> Command {
    Command::new("scale")
        .about("Set a new size for a deployment, replica set, replication controller, or stateful set.\n\n Scale also allows users to specify one or more preconditions for the scale action.")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to set a new size"))
        .args([
            builder::label_flag(),
            write::dry_run_flag(),
            flags::switch("all", "Select all resources in the namespace of the specified resource types"),
            flags::number("current-replicas", "-1", "Precondition for current size. Requires that the current size of the resource match this value in order to scale. -1 (default) for no condition."),
            flags::number("replicas", "0", "The new desired number of replicas. Required."),
            flags::text("resource-version", "", "Precondition for resource version. Requires that the current resource version match this value in order to scale."),
            flags::duration("timeout", "0s", "The length of time to wait before giving up on a scale operation, zero means don't wait. Any other values should contain a corresponding time unit (e.g. 1s, 2m, 3h)."),
        ])
        .override_usage("kubectl scale [--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME) [options]")
}

/// `scale`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    required(matches, &["replicas"])?;
    let replicas = matches.number("replicas");
    if replicas < 0 {
        return Err(Failure::new("The --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0"));
    }
    let selection = Selection::read(factory, matches)?;
    let mut writer = Writer::read(factory, matches)?;
    let (infos, failed) = selection.gather(factory).await?;
    if infos.is_empty() {
        return Err(Failure::new(failed.map_or("no objects passed to scale".to_owned(), |failure| format!("no objects passed to scale {}", failure.text()))));
    }
    for info in infos {
        if writer.dry_run == DryRun::Client {
            writer.tell(factory, &info.object, "scaled")?;
            continue;
        }
        let path = format!("{}/scale", info.path());
        let mut scaled = one(factory, &writer, matches, &path, replicas).await;
        let limit = matches.duration("timeout");
        if scaled.is_ok() && !limit.is_zero() && writer.dry_run == DryRun::None {
            let settled = tokio::time::timeout(limit, settled(factory, &path, replicas)).await;
            scaled = settled.unwrap_or_else(|_| Err(Failure::new(format!("timed out waiting for {:?} to be synced", info.name))));
        }
        scaled?;
        writer.tell(factory, &info.object, "scaled")?;
    }
    // What is there is scaled; what is not is told at the end.
    failed.map_or(Ok(()), Err)
}

/// Wait until there are as many as wanted, or somebody wants another number.
// upstream: kubectl/pkg/scale/scale.go scaleHasDesiredReplicas
async fn settled(factory: &Factory, path: &str, replicas: i64) -> Result<Value, Failure> {
    loop {
        let scale = factory.call(Call::get(path)).await?;
        let (wanted, there) = (scale["spec"]["replicas"].as_i64().unwrap_or_default(), scale["status"]["replicas"].as_i64().unwrap_or_default());
        if wanted != replicas || there == replicas {
            return Ok(scale);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn one(factory: &Factory, writer: &Writer, matches: &ArgMatches, path: &str, replicas: i64) -> Result<Value, Failure> {
    let (expected, version) = (matches.number("current-replicas"), matches.text("resource-version"));
    if expected != -1 || !version.is_empty() {
        let mut scale = factory.call(Call::get(path)).await?;
        let current = scale["spec"]["replicas"].as_i64().unwrap_or_default();
        if expected != -1 && current != expected {
            return Err(Failure::new(format!("Expected replicas to be {expected}, was {current}")));
        }
        let live = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && live != version {
            return Err(Failure::new(format!("Expected resource version to be {version}, was {live}")));
        }
        scale["spec"]["replicas"] = json!(replicas);
        return factory.call(writer.writing(Call::new(Method::PUT, path)).json(&scale)).await;
    }
    let patch = json!({"spec": {"replicas": replicas}});
    factory.call(writer.writing(Call::new(Method::PATCH, path)).body(MERGE_PATCH, patch.to_string().into_bytes())).await
}

/// Flags of `autoscale`.
pub fn autoscale_command() -> Command {
    Command::new("autoscale")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to autoscale."))
        .args([
            write::dry_run_flag(),
            write::manager_flag("kubectl-autoscale"),
            write::save_config_flag(),
            flags::number("cpu-percent", "-1", "The target average CPU utilization (represented as a percent of requested CPU) over all the pods. If it's not specified or negative, a default autoscaling policy will be used."),
            flags::number("max", "-1", "The upper limit for the number of pods that can be set by the autoscaler. Required."),
            flags::number("min", "-1", "The lower limit for the number of pods that can be set by the autoscaler. If it's not specified or negative, the server will apply a default value."),
            flags::text("name", "", "The name for the newly created object. If not specified, the name of the input resource will be used."),
        ])
        .override_usage("kubectl autoscale (-f FILENAME | TYPE NAME | TYPE/NAME) [--min=MINPODS] --max=MAXPODS [--cpu-percent=CPU] [options]")
}

/// `autoscale`.
pub async fn autoscale(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    required(matches, &["max"])?;
    let (most, least, cpu) = (matches.number("max"), matches.number("min"), matches.number("cpu-percent"));
    if most < 1 {
        return Err(Failure::new(format!("--max=MAXPODS is required and must be at least 1, max: {most}")));
    }
    if most < least {
        return Err(Failure::new(format!("--max=MAXPODS must be larger or equal to --min=MINPODS, max: {most}, min: {least}")));
    }
    let selection = Selection::read(factory, matches)?;
    let mut writer = Writer::read(factory, matches)?;
    writer.prints_structs();
    let mut count = 0;
    selection.visit(factory, async |info| {
        scalable(factory, &info).await?;
        let given = matches.text("name");
        let name = if given.is_empty() { info.name.clone() } else { given };
        let mut meta = json!({"creationTimestamp": null, "name": name});
        if factory.namespace()?.1 {
            meta["namespace"] = json!(info.namespace);
        }
        let target = json!({"apiVersion": info.mapping.api_version(), "kind": info.mapping.kind, "name": info.name});
        let mut spec = json!({"maxReplicas": most, "scaleTargetRef": target});
        if least > 0 {
            spec["minReplicas"] = json!(least);
        }
        if cpu >= 0 {
            spec["targetCPUUtilizationPercentage"] = json!(cpu);
        }
        let object = json!({
            "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": meta, "spec": spec,
            "status": {"currentReplicas": 0, "desiredReplicas": 0},
        });
        let made = if writer.dry_run == DryRun::Client { object } else { send(factory, &writer, object).await? };
        count += 1;
        writer.tell(factory, &made, "autoscaled")
    })
    .await?;
    if count == 0 { Err(Failure::new("no objects passed to autoscale")) } else { Ok(()) }
}

/// Only what the server counts can be scaled.
// upstream: client-go/scale/util.go ScaleForResource
async fn scalable(factory: &Factory, info: &Info) -> Result<(), Failure> {
    let of = &info.mapping;
    let name = format!("{}/scale", of.resource);
    let known = factory.mapper().await?.subresources.iter().any(|sub| sub.resource == name && sub.group == of.group && sub.version == of.version);
    if known {
        return Ok(());
    }
    let why = format!("could not find scale subresource for {}/{}, Resource={} in discovery information", of.group, of.version, of.resource);
    Err(Failure::new(format!("cannot autoscale a {}: {why}", of.kind)))
}
