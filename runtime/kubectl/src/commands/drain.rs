//! `kubectl drain`.
// upstream: kubectl/pkg/cmd/drain/drain.go, kubectl/pkg/drain/{drain,filters}.go

use std::time::Duration;

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use super::nodes::{mark, nodes};
use crate::builder::{self, Info, items};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::gone;
use crate::rest::Call;
use crate::write::{self, DryRun};

/// Its flags.
pub fn command() -> Command {
    Command::new("drain")
        .about("Drain node in preparation for maintenance.\n\n The given node will be marked unschedulable to prevent new pods from arriving, and its pods are evicted.")
        .args([
            builder::label_flag(),
            write::dry_run_flag(),
            flags::number("chunk-size", "500", "Return large lists in chunks rather than all at once. Pass 0 to disable. This flag is beta and may change in the future."),
            flags::switch("delete-emptydir-data", "Continue even if there are pods using emptyDir (local data that will be deleted when the node is drained)."),
            flags::switch("disable-eviction", "Force drain to use delete, even if eviction is supported. This will bypass checking PodDisruptionBudgets, use with caution."),
            flags::switch("force", "Continue even if there are pods that do not declare a controller."),
            flags::number("grace-period", "-1", "Period of time in seconds given to each pod to terminate gracefully. If negative, the default value specified in the pod will be used."),
            flags::switch("ignore-daemonsets", "Ignore DaemonSet-managed pods."),
            flags::text("pod-selector", "", "Label selector to filter pods on the node"),
            flags::number("skip-wait-for-delete-timeout", "0", "If pod DeletionTimestamp older than N seconds, skip waiting for the pod.  Seconds must be greater than 0 to skip."),
            flags::duration("timeout", "0s", "The length of time to wait before giving up, zero means infinite"),
        ])
        .override_usage("kubectl drain NODE [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    if crate::builder::matching(&matches.text("pod-selector")).is_err() {
        return Err(Failure::new("--pod-selector=<pod_selector> must be a valid label selector"));
    }
    let nodes = nodes(factory, matches, "drain").await?;
    mark(factory, matches, &nodes, true).await?;
    let dry_run = DryRun::read(factory, matches)?;
    let mut failed: Vec<(String, Failure)> = Vec::new();
    for node in &nodes {
        match one(factory, matches, node, dry_run).await {
            Ok(()) => factory.streams.line(&format!("node/{} drained{}", node.name, dry_run.suffix()))?,
            Err(failure) => {
                factory.streams.warn(&format!("error: unable to drain node {:?} due to error: {}, continuing command...", node.name, failure.text()));
                failed.push((node.name.clone(), failure));
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    factory.streams.warn("There are pending nodes to be drained:");
    for (name, failure) in &failed {
        factory.streams.warn(&format!(" {name}\n{}", failure.text()));
    }
    Err(Failure::Exit(1))
}

async fn one(factory: &Factory, matches: &ArgMatches, node: &Info, dry_run: DryRun) -> Result<(), Failure> {
    let call = Call::get("/api/v1/pods").query("fieldSelector", format!("spec.nodeName={}", node.name)).query_some("labelSelector", &matches.text("pod-selector")).query("limit", "500");
    let list = factory.call(call).await?;
    let mut going = Vec::new();
    let mut refused: Vec<(&str, Vec<String>)> = Vec::new();
    let mut warned: Vec<(&str, Vec<String>)> = Vec::new();
    for pod in items(&list) {
        let id = format!("{}/{}", pod["metadata"]["namespace"].as_str().unwrap_or_default(), pod["metadata"]["name"].as_str().unwrap_or_default());
        let note = |kind: &mut Vec<(&'static str, Vec<String>)>, why: &'static str| match kind.iter_mut().find(|(known, _)| *known == why) {
            Some((_, ids)) => ids.push(id.clone()),
            None => kind.push((why, vec![id.clone()])),
        };
        match verdict(&pod, matches) {
            Verdict::Go(None) => going.push(pod),
            Verdict::Go(Some(why)) => {
                note(&mut warned, why);
                going.push(pod);
            }
            Verdict::Skip(Some(why)) => note(&mut warned, why),
            Verdict::Skip(None) => {}
            Verdict::Refuse(why) => note(&mut refused, why),
        }
    }
    if !refused.is_empty() {
        let all: Vec<String> = refused.into_iter().map(|(why, ids)| format!("cannot delete {why}: {}", ids.join(", "))).collect();
        return Err(Failure::new(if all.len() == 1 { all.concat() } else { format!("[{}]", all.join(", ")) }));
    }
    if !warned.is_empty() {
        let all: Vec<String> = warned.into_iter().map(|(why, ids)| format!("{why}: {}", ids.join(", "))).collect();
        factory.streams.warn(&format!("Warning: {}", all.join("; ")));
    }
    evict_all(factory, matches, going, dry_run).await
}

enum Verdict {
    Go(Option<&'static str>),
    Skip(Option<&'static str>),
    Refuse(&'static str),
}

fn verdict(pod: &Value, matches: &ArgMatches) -> Verdict {
    let controller = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten().find(|owner| owner["controller"] == true);
    let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return Verdict::Skip(None);
    }
    if controller.is_some_and(|owner| owner["kind"] == "DaemonSet") && !finished {
        return if matches.on("ignore-daemonsets") { Verdict::Skip(Some("ignoring DaemonSet-managed Pods")) } else { Verdict::Refuse("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)") };
    }
    if finished {
        return Verdict::Go(None);
    }
    let local = pod["spec"]["volumes"].as_array().into_iter().flatten().any(|volume| volume["emptyDir"].is_object());
    if local && !matches.on("delete-emptydir-data") {
        return Verdict::Refuse("Pods with local storage (use --delete-emptydir-data to override)");
    }
    match (controller, matches.on("force")) {
        (None, false) => Verdict::Refuse("cannot delete Pods that declare no controller (use --force to override)"),
        (None, true) => Verdict::Go(Some("deleting Pods that declare no controller")),
        (Some(_), _) => Verdict::Go(None),
    }
}

async fn evict_all(factory: &Factory, matches: &ArgMatches, pods: Vec<Value>, dry_run: DryRun) -> Result<(), Failure> {
    let mapping = factory.find("pods").await?;
    let limit = Some(matches.duration("timeout")).filter(|limit| !limit.is_zero());
    let mut infos = Vec::new();
    for pod in pods {
        let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
        infos.push((Info { mapping: mapping.clone(), namespace: text("namespace"), name: text("name"), ..Info::default() }, text("uid")));
    }
    let direct = matches.on("disable-eviction") || !infos.is_empty() && !serves_evictions(factory).await?;
    for (info, _) in &infos {
        if dry_run == DryRun::Client {
            continue;
        }
        let word = if direct { "deleting" } else { "evicting" };
        factory.streams.line(&format!("{word} pod {}/{}{}", info.namespace, info.name, dry_run.suffix()))?;
        let mut options = json!({});
        if matches.number("grace-period") >= 0 {
            options["gracePeriodSeconds"] = json!(matches.number("grace-period"));
        }
        // In the body: beside one, the query of a deletion is not read.
        if dry_run == DryRun::Server {
            options["dryRun"] = json!(["All"]);
        }
        let (call, body) = if direct {
            (Call::new(Method::DELETE, info.own_path()?), options)
        } else {
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": info.name, "namespace": info.namespace}, "deleteOptions": options});
            (Call::new(Method::POST, format!("{}/eviction", info.path())), eviction)
        };
        send(factory, call.json(&body), info, limit).await?;
    }
    if dry_run != DryRun::None {
        return Ok(());
    }
    factory.streams.flush()?;
    for (info, uid) in &infos {
        gone::wait(factory, info, uid, limit).await?;
        factory.streams.line(&format!("pod/{} {}", info.name, if direct { "deleted" } else { "evicted" }))?;
    }
    Ok(())
}

/// Whether Pods can be asked to go, budgets minded; where they cannot they are deleted.
// upstream: kubectl/pkg/drain/drain.go CheckEvictionSupport
async fn serves_evictions(factory: &Factory) -> Result<bool, Failure> {
    let list = factory.call(Call::get("/api/v1")).await?;
    Ok(list["resources"].as_array().into_iter().flatten().any(|resource| resource["name"] == "pods/eviction" && resource["kind"] == "Eviction" && resource["group"].as_str().is_some_and(|group| !group.is_empty())))
}

/// A budget may make us wait: again every five seconds.
async fn send(factory: &Factory, call: Call, info: &Info, limit: Option<Duration>) -> Result<(), Failure> {
    let started = tokio::time::Instant::now();
    loop {
        match factory.call(call.clone()).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is("NotFound") => return Ok(()),
            Err(failure) if failure.is("TooManyRequests") => {
                if limit.is_some_and(|limit| started.elapsed() > limit) {
                    return Err(Failure::new(format!("error when evicting pods/{:?} -n {:?}: global timeout reached: {limit:?}", info.name, info.namespace)));
                }
                factory.streams.warn(&format!("error when evicting pods/{:?} -n {:?} (will retry after 5s): {}", info.name, info.namespace, failure.text()));
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Err(failure) => return Err(Failure::new(format!("error when evicting pods/{:?} -n {:?}: {}", info.name, info.namespace, failure.text()))),
        }
    }
}
