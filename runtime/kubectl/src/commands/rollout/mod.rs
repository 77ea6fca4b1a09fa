//! `kubectl rollout`: history, pause, restart, resume, status, undo.
// upstream: kubectl/pkg/cmd/rollout/*.go, kubectl/pkg/polymorphichelpers/*.go

mod history;
mod status;

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::print;
use crate::rest::STRATEGIC_PATCH;
use crate::write::{self, Writer};

pub use history::{command as history_command, run as history, undo, undo_command};
pub use status::{command as status_command, run as status};

/// `rollout` alone.
pub fn command() -> Command {
    Command::new("rollout")
        .about("Manage the rollout of one or many resources.\n        \n Valid resource types include:\n\n  *  deployments\n  *  daemonsets\n  *  statefulsets")
        .after_help("# Back to the revision before\nkubectl rollout undo deployment/web\n\n# How far it is\nkubectl rollout status deployment/web\n\n# New pods\nkubectl rollout restart deployment/web")
        .override_usage("kubectl rollout SUBCOMMAND [options]")
}

fn common() -> Vec<Arg> {
    let mut all: Vec<Arg> = print::arguments().into();
    all.extend(builder::file_flags("Filename, directory, or URL to files identifying the resource to get from a server."));
    all.extend([builder::label_flag(), write::manager_flag("kubectl-rollout")]);
    all
}

fn changing(name: &'static str) -> Command {
    Command::new(name).args(common())
}

/// Flags of `rollout pause`.
pub fn pause_command() -> Command {
    changing("pause").override_usage("kubectl rollout pause RESOURCE [options]")
}

/// Flags of `rollout resume`.
pub fn resume_command() -> Command {
    changing("resume").override_usage("kubectl rollout resume RESOURCE [options]")
}

/// Flags of `rollout restart`.
pub fn restart_command() -> Command {
    changing("restart").override_usage("kubectl rollout restart RESOURCE [options]")
}

/// What a command on rollouts works on.
fn selection(factory: &Factory, matches: &ArgMatches) -> Result<Selection, Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    if selection.words.is_empty() && !selection.has_files() {
        return Err(Failure::new("required resource not specified"));
    }
    selection.empty_selects = true;
    selection.latest = true;
    selection.chunk = 0;
    Ok(selection)
}

/// `rollout pause`.
pub async fn pause(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    change(factory, matches, "paused", |object| {
        if object["kind"] != "Deployment" {
            return Err("pausing is not supported");
        }
        if object["spec"]["paused"] == true {
            return Err("is already paused");
        }
        Ok(json!({"spec": {"paused": true}}))
    })
    .await
}

/// `rollout resume`.
pub async fn resume(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    change(factory, matches, "resumed", |object| {
        if object["kind"] != "Deployment" {
            return Err("resuming is not supported");
        }
        if object["spec"]["paused"] != true {
            return Err("is not paused");
        }
        Ok(json!({"spec": {"paused": null}}))
    })
    .await
}

/// `rollout restart`.
pub async fn restart(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let now = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().replace("+00:00", "Z");
    change(factory, matches, "restarted", |object| {
        if !["Deployment", "DaemonSet", "StatefulSet"].contains(&object["kind"].as_str().unwrap_or_default()) {
            return Err("restarting is not supported");
        }
        if object["spec"]["paused"] == true {
            return Err("can't restart paused deployment (run rollout resume first)");
        }
        if object["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] == now.as_str() {
            return Err("if restart has already been triggered within the past second, please wait before attempting to trigger another");
        }
        Ok(json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": now}}}}}))
    })
    .await
}

/// Said where nothing is found.
fn nothing(factory: &Factory) -> Result<(), Failure> {
    let (namespace, _) = factory.namespace()?;
    factory.streams.warn(&format!("No resources found in {namespace} namespace."));
    Ok(())
}

async fn change(factory: &Factory, matches: &ArgMatches, done: &str, plan: impl Fn(&Value) -> Result<Value, &'static str>) -> Result<(), Failure> {
    let selection = selection(factory, matches)?;
    let mut writer = Writer::read(factory, matches)?;
    let (infos, failed) = selection.gather(factory).await?;
    let mut failures: Vec<Failure> = failed.into_iter().collect();
    if infos.is_empty() && failures.is_empty() {
        nothing(factory)?;
    }
    for info in infos {
        let patch = match plan(&info.object) {
            Ok(patch) => patch,
            Err(why) => {
                failures.push(Failure::new(format!("error: {} {:?} {why}", info.mapping.group_resource(), info.name)));
                continue;
            }
        };
        match writer.patch(factory, &info, STRATEGIC_PATCH, &patch).await {
            Ok(object) => writer.tell(factory, &object, done)?,
            Err(failure) => failures.push(failure.prefixed("failed to patch: ")),
        }
    }
    Failure::together(failures)
}
