//! `kubectl rollout history` and `rollout undo`.
// upstream: kubectl/pkg/polymorphichelpers/{history,rollback}.go

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};
use drydock_primitives::selector::LabelSelector;
use serde_json::{Value, json};

use super::{common, selection};
use crate::builder::{self, Info, items};
use crate::describe;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::{self, Printer};
use crate::rest::{Call, JSON_PATCH, STRATEGIC_PATCH};
use crate::tabwriter;
use crate::write::{self, DryRun, Writer};

const REVISION: &str = "deployment.kubernetes.io/revision";
const CAUSE: &str = "kubernetes.io/change-cause";

/// Flags of `rollout history`.
pub fn command() -> Command {
    Command::new("history")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to get from a server."))
        .args([builder::label_flag(), flags::number("revision", "0", "See the details, including podTemplate of the revision specified")])
        .override_usage("kubectl rollout history (TYPE NAME | TYPE/NAME) [flags] [options]")
}

/// `rollout history`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let revision = matches.number("revision");
    if revision < 0 {
        return Err(Failure::new(format!("revision must be a positive integer: {revision}")));
    }
    let mut printer = Printer::read(factory, matches, &[])?;
    selection(factory, matches)?.visit(factory, async |info| {
        let revisions = revisions(factory, &info).await?;
        if let Some(printer) = &mut printer {
            if revision > 0 {
                let found = revisions.get(&revision).ok_or_else(|| Failure::new(format!("unable to find the specified revision {revision} in history")))?;
                printer.print(factory, found)?;
            } else {
                for found in revisions.values() {
                    printer.print(factory, found)?;
                }
            }
            return Ok(());
        }
        let word = print::name(&info.object);
        if revision > 0 {
            let found = revisions.get(&revision).ok_or_else(|| Failure::new("unable to find the specified revision"))?;
            factory.streams.line(&format!("{word} with revision #{revision}"))?;
            return factory.streams.line(&template_text(&template(found), found));
        }
        let mut text = "REVISION\tCHANGE-CAUSE\n".to_owned();
        for (number, found) in &revisions {
            let cause = found["metadata"]["annotations"][CAUSE].as_str().filter(|cause| !cause.is_empty()).unwrap_or("<none>");
            text.push_str(&format!("{number}\t{cause}\n"));
        }
        factory.streams.line(&format!("{word} "))?;
        let aligned = tabwriter::align(tabwriter::Columns { minimum: 0, padding: 2 }, &text);
        factory.streams.line(&aligned)
    })
    .await
}

/// The Pod template of a revision as `describe` shows it.
fn template_text(template: &Value, owner: &Value) -> String {
    let mut template = template.clone();
    if let Some(cause) = owner["metadata"]["annotations"][CAUSE].as_str() {
        template["metadata"]["annotations"][CAUSE] = json!(cause);
    }
    describe::pod_template(&template)
}

/// The template kept in a replica set, or in a controller revision's data.
fn template(found: &Value) -> Value {
    if found["kind"] == "ControllerRevision" { found["data"]["spec"]["template"].clone() } else { found["spec"]["template"].clone() }
}

/// Revisions by number.
async fn revisions(factory: &Factory, info: &Info) -> Result<BTreeMap<i64, Value>, Failure> {
    let plural = match info.mapping.kind.as_str() {
        "Deployment" => "replicasets",
        "DaemonSet" | "StatefulSet" => "controllerrevisions",
        kind => return Err(Failure::new(format!("error retrieving history for {kind:?}, no visitor method exists for {{{} {kind}}}", info.mapping.group))),
    };
    let live = info.get(factory).await?;
    let uid = &live["metadata"]["uid"];
    let selector = LabelSelector::from_object(&live["spec"]["selector"]).map_err(|error| Failure::new(error.to_string()))?;
    let list = factory.call(Call::get(format!("/apis/apps/v1/namespaces/{}/{plural}", info.namespace)).query("labelSelector", &selector.to_string())).await?;
    let mut found = BTreeMap::new();
    for object in items(&list) {
        let owned = object["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(|owner| &owner["uid"] == uid && owner["controller"] == true);
        let number = object["revision"].as_i64().or_else(|| object["metadata"]["annotations"][REVISION].as_str()?.parse().ok());
        if let Some(number) = number.filter(|_| owned) {
            found.insert(number, object);
        }
    }
    Ok(found)
}

/// Flags of `rollout undo`.
pub fn undo_command() -> Command {
    Command::new("undo")
        .args(common().into_iter().filter(|flag| flag.get_long() != Some("field-manager")))
        .args([write::dry_run_flag(), flags::number("to-revision", "0", "The revision to rollback to. Default to 0 (last revision).")])
        .override_usage("kubectl rollout undo (TYPE NAME | TYPE/NAME) [flags] [options]")
}

/// `rollout undo`.
pub async fn undo(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut writer = Writer::read(factory, matches)?;
    let wanted = matches.number("to-revision");
    selection(factory, matches)?.visit(factory, async |info| one(factory, &mut writer, &info, wanted).await).await
}

async fn one(factory: &Factory, writer: &mut Writer, info: &Info, wanted: i64) -> Result<(), Failure> {
    if info.object["spec"]["paused"] == true {
        return Err(Failure::new("you cannot rollback a paused deployment; resume it first with 'kubectl rollout resume' and try again"));
    }
    let kind = info.mapping.kind.as_str();
    if !["Deployment", "DaemonSet", "StatefulSet"].contains(&kind) {
        return Err(Failure::new(format!("error retrieving rollbacker for {kind:?}, no visitor method exists for {{{} {kind}}}", info.mapping.group)));
    }
    let revisions = revisions(factory, info).await?;
    let target = if wanted > 0 {
        revisions.get(&wanted).ok_or_else(|| Failure::new(format!("unable to find specified revision {wanted} in history")))?
    } else {
        let previous = revisions.values().rev().nth(1);
        previous.ok_or_else(|| Failure::new(format!("no rollout history found for {} {:?}", kind.to_lowercase(), info.name)))?
    };
    if writer.dry_run == DryRun::Client {
        if writer.printer.is_none() {
            let text = template_text(&template(target), &Value::Null);
            return factory.streams.line(&format!("{} {text}{}", print::name(&info.object), writer.dry_run.suffix()));
        }
        return writer.tell(factory, &info.object, "rolled back");
    }
    if kind != "Deployment" {
        let mut patch = target["data"].clone();
        if wanted == 0 && same(&info.object, &target["data"]) {
            return writer.tell(factory, &info.object, "skipped rollback (current template already matches revision)");
        }
        patch["spec"]["template"]["$patch"] = json!("replace");
        let object = writer.patch(factory, info, STRATEGIC_PATCH, &patch).await?;
        return writer.tell(factory, &object, "rolled back");
    }
    let mut template = template(target);
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove("pod-template-hash");
    }
    if template == info.object["spec"]["template"] {
        let number = target["metadata"]["annotations"][REVISION].as_str().unwrap_or_default();
        return writer.tell(factory, &info.object, &format!("skipped rollback (current template already matches revision {number})"));
    }
    let mut annotations = info.object["metadata"]["annotations"].clone();
    annotations[CAUSE] = target["metadata"]["annotations"][CAUSE].clone();
    if let Some(fields) = annotations.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    let patch = json!([
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]);
    let object = writer.patch(factory, info, JSON_PATCH, &patch).await?;
    writer.tell(factory, &object, "rolled back")
}

fn same(object: &Value, data: &Value) -> bool {
    object["spec"]["template"] == data["spec"]["template"]
}
