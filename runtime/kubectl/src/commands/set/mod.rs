//! `kubectl set`: image, env, resources, serviceaccount, selector, subject.
//!
//! Each changes a copy of the object and sends what differs as a strategic patch.
// upstream: kubectl/pkg/cmd/set/{set,helper}.go

mod env;
mod image;
mod resources;
mod selector;
mod subject;

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::merge;
use crate::print;
use crate::rest::STRATEGIC_PATCH;
use crate::write::{self, DryRun, Writer};

pub use env::{command as env_command, run as env};
pub use image::{command as image_command, run as image};
pub use resources::{account, account_command, command as resources_command, run as resources};
pub use selector::{command as selector_command, run as selector};
pub use subject::{command as subject_command, run as subject};

/// `set` alone.
pub fn command() -> Command {
    Command::new("set").about("Configure application resources.\n\n These commands help you make changes to existing application resources.").override_usage("kubectl set SUBCOMMAND [options]")
}

fn common(manager: &'static str) -> Vec<Arg> {
    let mut all: Vec<Arg> = print::arguments().into();
    all.extend(builder::file_flags("Filename, directory, or URL to files identifying the resource to get from a server."));
    all.extend([
        write::dry_run_flag(),
        write::manager_flag(manager),
        flags::switch("all", "Select all resources, in the namespace of the specified resource types"),
        flags::switch("local", "If true, set will NOT contact api-server but run locally."),
    ]);
    all
}

/// Words that are resources, and words that change something.
fn divide(words: Vec<String>) -> (Vec<String>, Vec<String>) {
    words.into_iter().partition(|word| !(word.contains('=') || word.ends_with('-')))
}

/// Change every object and say `done` of those that differ.
async fn change(
    factory: &Factory,
    matches: &ArgMatches,
    selection: &Selection,
    done: &str,
    mut edit: impl FnMut(&mut Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut writer = Writer::read(factory, matches)?;
    let local = matches.on("local");
    if local && writer.dry_run == DryRun::Server {
        return Err(write::local_on_server());
    }
    all_or_some(selection)?;
    let version = matches.text("resource-version");
    let mut one = async |info: Info| {
        let mut changed = info.object.clone();
        if let Err(failure) = edit(&mut changed) {
            // What has no Pod template is named, as upstream does it.
            let named = ["the object is not a pod", "setting subjects"].iter().any(|start| failure.text().starts_with(start));
            return Err(if named { Failure::new(format!("error: {} {}\n", info.object_name(local), failure.text())) } else { failure });
        }
        if local {
            write::with_empty_fields(&mut changed);
        }
        let mut patch = merge::two_way(&info.object, &changed);
        // Upstream looks for a change only where containers are concerned.
        let quiet = !done.starts_with("serviceaccount") && !done.starts_with("selector");
        if patch == json!({}) && (writer.printer.is_none() || done.starts_with("subjects")) && quiet {
            return Ok(());
        }
        if local || writer.dry_run == DryRun::Client {
            return writer.tell(factory, &changed, done);
        }
        if !version.is_empty() {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        let object = writer.patch(factory, &info, STRATEGIC_PATCH, &patch).await?;
        writer.tell(factory, &object, done)
    };
    if done.starts_with("selector") {
        return selection.visit(factory, one).await;
    }
    // The others change nothing where one is missing.
    let mut failures = Vec::new();
    for info in selection.infos(factory).await? {
        failures.extend(one(info).await.err());
    }
    Failure::together(failures)
}

/// All or those that are selected, not both.
fn all_or_some(selection: &Selection) -> Result<(), Failure> {
    if selection.all && !selection.labels.is_empty() { Err(Failure::new("cannot set --all and --selector at the same time")) } else { Ok(()) }
}

/// The Pod spec inside of an object.
fn pod_spec<'a>(object: &'a mut Value) -> Result<&'a mut Value, Failure> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "Pod" => Ok(&mut object["spec"]),
        "CronJob" => Ok(&mut object["spec"]["jobTemplate"]["spec"]["template"]["spec"]),
        _ if object["spec"]["template"]["spec"].is_object() => Ok(&mut object["spec"]["template"]["spec"]),
        _ => Err(Failure::new(format!("the object is not a pod or does not have a pod template: {}", crate::pods::go_type(object)))),
    }
}

/// The containers a name or pattern means.
fn containers<'a>(spec: &'a mut Value, pattern: &str) -> Vec<&'a mut Value> {
    let fits = |name: &str| match pattern.split_once('*') {
        Some((before, after)) => name.starts_with(before) && name.ends_with(after),
        None => name == pattern,
    };
    let Some(fields) = spec.as_object_mut() else { return Vec::new() };
    fields
        .iter_mut()
        .filter(|(field, _)| matches!(field.as_str(), "containers" | "initContainers"))
        .flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
        .filter(|container| fits(container["name"].as_str().unwrap_or_default()))
        .collect()
}
