//! `kubectl rollout status`.
// upstream: kubectl/pkg/cmd/rollout/rollout_status.go, kubectl/pkg/polymorphichelpers/rollout_status.go

use clap::{ArgMatches, Command};
use serde_json::Value;

use super::selection;
use crate::builder::{self, Info};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::until;

/// Its flags.
pub fn command() -> Command {
    Command::new("status")
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to get from a server."))
        .args([
            builder::label_flag(),
            flags::number("revision", "0", "Pin to a specific revision for showing its status. Defaults to 0 (last revision)."),
            flags::duration("timeout", "0s", "The length of time to wait before ending watch, zero means never. Any other values should contain a corresponding time unit (e.g. 1s, 2m, 3h)."),
            flags::switch_on("watch", "Watch the status of the rollout until it's done.").short('w'),
        ])
        .override_usage("kubectl rollout status (TYPE NAME | TYPE/NAME) [flags] [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut found = false;
    let selection = selection(factory, matches)?;
    selection.visit(factory, async |info| { found = true; one(factory, matches, &info).await }).await?;
    if found { Ok(()) } else { super::nothing(factory) }
}

async fn one(factory: &Factory, matches: &ArgMatches, info: &Info) -> Result<(), Failure> {
    let kind = info.mapping.kind.as_str();
    if !["Deployment", "DaemonSet", "StatefulSet"].contains(&kind) {
        let group = Some(&info.mapping.group).filter(|group| !group.is_empty()).map(|group| format!(".{group}")).unwrap_or_default();
        return Err(Failure::new(format!("no status viewer has been implemented for {kind}{group}")));
    }
    let revision = matches.number("revision");
    let watch = matches.on("watch");
    let mut outcome = Ok(());
    let limit = Some(matches.duration("timeout")).filter(|limit| !limit.is_zero());
    let seen = until::object(factory, &info.mapping.list_path(&info.namespace), &info.name, limit, |object| {
        match view(object, kind, revision) {
            Ok((text, done)) => {
                outcome = factory.streams.print(text).and_then(|()| factory.streams.flush());
                done || !watch || outcome.is_err()
            }
            Err(failure) => {
                outcome = Err(failure);
                true
            }
        }
    })
    .await;
    seen.map(|_| ())?;
    outcome
}

/// What to say of an object, and whether the rollout is done.
fn view(object: &Value, kind: &str, revision: i64) -> Result<(String, bool), Failure> {
    match kind {
        "Deployment" => deployment(object, revision),
        "DaemonSet" => Ok(daemon_set(object)),
        _ => stateful_set(object),
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

fn deployment(object: &Value, revision: i64) -> Result<(String, bool), Failure> {
    let (name, spec, status) = (object["metadata"]["name"].as_str().unwrap_or_default(), &object["spec"], &object["status"]);
    if revision > 0 {
        let live: i64 = object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default();
        if live != revision {
            return Err(Failure::new(format!("desired revision ({revision}) is different from the running revision ({live})")));
        }
    }
    if number(&object["metadata"]["generation"]) > number(&status["observedGeneration"]) {
        return Ok(("Waiting for deployment spec update to be observed...\n".to_owned(), false));
    }
    let late = status["conditions"].as_array().into_iter().flatten().any(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded");
    if late {
        return Err(Failure::new(format!("deployment {name:?} exceeded its progress deadline")));
    }
    let (wanted, updated, all, available) =
        (spec["replicas"].as_i64(), number(&status["updatedReplicas"]), number(&status["replicas"]), number(&status["availableReplicas"]));
    let waiting = |what: String| Ok((format!("Waiting for deployment {name:?} rollout to finish: {what}...\n"), false));
    if let Some(wanted) = wanted.filter(|wanted| updated < *wanted) {
        return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
    }
    if all > updated {
        return waiting(format!("{} old replicas are pending termination", all - updated));
    }
    if available < updated {
        return waiting(format!("{available} of {updated} updated replicas are available"));
    }
    Ok((format!("deployment {name:?} successfully rolled out\n"), true))
}

fn daemon_set(object: &Value) -> (String, bool) {
    let (name, status) = (object["metadata"]["name"].as_str().unwrap_or_default(), &object["status"]);
    if number(&object["metadata"]["generation"]) > number(&status["observedGeneration"]) {
        return ("Waiting for daemon set spec update to be observed...\n".to_owned(), false);
    }
    let (updated, desired, available) = (number(&status["updatedNumberScheduled"]), number(&status["desiredNumberScheduled"]), number(&status["numberAvailable"]));
    if updated < desired {
        return (format!("Waiting for daemon set {name:?} rollout to finish: {updated} out of {desired} new pods have been updated...\n"), false);
    }
    if available < desired {
        return (format!("Waiting for daemon set {name:?} rollout to finish: {available} of {desired} updated pods are available...\n"), false);
    }
    (format!("daemon set {name:?} successfully rolled out\n"), true)
}

fn stateful_set(object: &Value) -> Result<(String, bool), Failure> {
    let (spec, status) = (&object["spec"], &object["status"]);
    if spec["updateStrategy"]["type"] != "RollingUpdate" {
        return Err(Failure::new("rollout status is only available for RollingUpdate strategy type"));
    }
    if number(&status["observedGeneration"]) == 0 || number(&object["metadata"]["generation"]) > number(&status["observedGeneration"]) {
        return Ok(("Waiting for statefulset spec update to be observed...\n".to_owned(), false));
    }
    let (replicas, ready, updated) = (number(&spec["replicas"]), number(&status["readyReplicas"]), number(&status["updatedReplicas"]));
    if ready < replicas {
        return Ok((format!("Waiting for {} pods to be ready...\n", replicas - ready), false));
    }
    let partition = number(&spec["updateStrategy"]["rollingUpdate"]["partition"]);
    if partition > 0 {
        let goal = replicas - partition;
        if updated < goal {
            return Ok((format!("Waiting for partitioned roll out to finish: {updated} out of {goal} new pods have been updated...\n"), false));
        }
        return Ok((format!("partitioned roll out complete: {updated} new pods have been updated...\n"), true));
    }
    if status["updateRevision"] != status["currentRevision"] {
        let revision = status["updateRevision"].as_str().unwrap_or_default();
        return Ok((format!("waiting for statefulset rolling update to complete {updated} pods at revision {revision}...\n"), false));
    }
    let revision = status["currentRevision"].as_str().unwrap_or_default();
    Ok((format!("statefulset rolling update complete {} pods at revision {revision}...\n", number(&status["currentReplicas"])), true))
}
