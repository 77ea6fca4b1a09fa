//! `kubectl apply view-last-applied`, `set-last-applied`, `edit-last-applied`.
// upstream: kubectl/pkg/cmd/apply/{apply_view_last_applied,apply_set_last_applied,apply_edit_last_applied}.go

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::super::edit::session::{Mode, Session};
use crate::builder::{self, Info, Selection, objects_of};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::{self, json as json_text, yaml};
use crate::rest::MERGE_PATCH;
use crate::write::{self, DryRun, LAST_APPLIED, Writer};

/// Flags of `view-last-applied`.
pub fn view_command() -> Command {
    Command::new("view-last-applied")
        .arg(flags::text("output", "yaml", "Output format. Must be one of (yaml, json)").short('o'))
        .arg(flags::switch("all", "Select all resources in the namespace of the specified resource types"))
        .arg(builder::label_flag())
        .args(builder::file_flags("Filename, directory, or URL to files that contains the last-applied-configuration annotations"))
        .override_usage("kubectl apply view-last-applied (TYPE [NAME | -l label] | TYPE/NAME | -f FILENAME) [options]")
}

/// `view-last-applied`.
pub async fn view(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let output = matches.text("output");
    let mut selection = Selection::read(factory, matches)?;
    selection.empty_selects = true;
    selection.latest = true;
    selection.stops = true;
    for info in selection.infos(factory).await? {
        // What was never applied is passed over in silence.
        let Some(config) = info.object["metadata"]["annotations"][LAST_APPLIED].as_str() else {
            continue;
        };
        if !["yaml", "json"].contains(&output.as_str()) {
            return Err(factory.usage(&format!("Unexpected -o output mode: {output}, the flag 'output' must be one of yaml|json")));
        }
        let value: Value = serde_json::from_str(config).map_err(|error| Failure::new(error.to_string()))?;
        if output == "json" {
            factory.streams.line(&json_text::pretty(&value, "  "))?;
        } else {
            factory.streams.print(yaml::write(&value))?;
        }
    }
    Ok(())
}

/// Flags of `edit-last-applied`.
pub fn edit_command() -> Command {
    Command::new("edit-last-applied")
        .about("Edit the configuration that was last applied to resources, in the default editor.")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files to use to edit the resource"))
        .args([
            write::validate_flag(),
            write::manager_flag("kubectl-client-side-apply"),
            flags::switch("windows-line-endings", "Defaults to the line ending native to your platform."),
        ])
        .override_usage("kubectl apply edit-last-applied (RESOURCE/NAME | -f FILENAME) [options]")
}

/// `edit-last-applied`.
pub async fn edit(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read(factory, matches)?;
    selection.latest = true;
    selection.empty_selects = true;
    let mut session = Session::read(factory, matches, Mode::LastApplied)?;
    let mut applied = Vec::new();
    for info in selection.infos(factory).await? {
        let Some(config) = info.object["metadata"]["annotations"][LAST_APPLIED].as_str() else { continue };
        let object = objects_of("edited-file", config)?.into_iter().next().unwrap_or_default();
        applied.push(Info { object, ..info });
    }
    if applied.is_empty() {
        return Err(Failure::new("no last-applied-configuration annotation found on resources, to create the annotation, use command `kubectl apply set-last-applied --create-annotation`"));
    }
    session.run(applied).await
}

/// Flags of `set-last-applied`.
pub fn set_command() -> Command {
    let file = flags::list("filename", "Filename, directory, or URL to files that contains the last-applied-configuration annotations").short('f');
    Command::new("set-last-applied")
        .args(print::arguments())
        .args([
            file,
            write::dry_run_flag(),
            flags::switch("create-annotation", "Will create 'last-applied-configuration' annotations if current objects doesn't have one"),
        ])
        .override_usage("kubectl apply set-last-applied -f FILENAME [options]")
}

/// `set-last-applied`: all are looked at before the first one is changed.
pub async fn set(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let selection = Selection::read(factory, matches)?;
    let mut writer = Writer::read(factory, matches)?;
    let mut changed = Vec::new();
    let mut failures = Vec::new();
    for info in selection.manifests(factory, &mut failures).await? {
        let failed = |failure: Failure| if failure.is("NotFound") { failure } else { failure.during("retrieving current configuration of:\nfrom server for:", &info.source) };
        let current = info.get(factory).await.map_err(failed)?;
        let known = &current["metadata"]["annotations"][LAST_APPLIED];
        if known.is_null() && !matches.on("create-annotation") {
            return Err(Failure::new(format!("no last-applied-configuration annotation found on resource: {}, to create the annotation, run the command with --create-annotation", info.name)));
        }
        let before: Value = known.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if before == info.object {
            factory.streams.line(&format!("set-last-applied {}: no changes required.", info.name))?;
        } else {
            changed.push((info, current));
        }
    }
    Failure::all(failures)?;
    for (info, current) in changed {
        let patch = json!({"metadata": {"annotations": {LAST_APPLIED: json_text::compact(&info.object) + "\n"}}});
        let object = if writer.dry_run == DryRun::Client { current } else { writer.patch(factory, &info, MERGE_PATCH, &patch).await? };
        writer.tell(factory, &object, "configured")?;
    }
    Ok(())
}
