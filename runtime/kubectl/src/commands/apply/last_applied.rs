//! `kubectl apply view-last-applied`, `set-last-applied`, `edit-last-applied`.
// upstream: kubectl/pkg/cmd/apply/{apply_view_last_applied,apply_set_last_applied,apply_edit_last_applied}.go

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::{self, json as json_text, yaml};
use crate::rest::MERGE_PATCH;
use crate::write::{self, DryRun, LAST_APPLIED, Writer, configuration};

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
    if !["yaml", "json"].contains(&output.as_str()) {
        return Err(factory.usage(&format!("Unexpected -o output mode: {output}, the flag 'output' must be one of yaml|json")));
    }
    let mut selection = Selection::read(factory, matches)?;
    selection.empty_selects = true;
    selection.latest = true;
    for info in selection.infos(factory).await? {
        // What was never applied is passed over in silence.
        let Some(config) = info.object["metadata"]["annotations"][LAST_APPLIED].as_str() else {
            continue;
        };
        let value: Value = serde_json::from_str(config).map_err(|error| Failure::new(error.to_string()))?;
        if output == "json" {
            factory.streams.line(&json_text::pretty(&value, "  "))?;
        } else {
            factory.streams.print(yaml::write(&value))?;
        }
    }
    Ok(())
}

/// Flags of `set-last-applied`.
pub fn set_command() -> Command {
    Command::new("set-last-applied")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files that contains the last-applied-configuration annotations"))
        .arg(write::dry_run_flag())
        .arg(flags::switch("create-annotation", "Will create 'last-applied-configuration' annotations if current objects doesn't have one"))
        .override_usage("kubectl apply set-last-applied -f FILENAME [options]")
}

/// `set-last-applied`.
pub async fn set(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let selection = Selection::read(factory, matches)?;
    let mut writer = Writer::read(factory, matches)?;
    for info in selection.infos(factory).await? {
        let current = info.get(factory).await?;
        if current["metadata"]["annotations"][LAST_APPLIED].is_null() && !matches.on("create-annotation") {
            return Err(Failure::new(format!("no last-applied-configuration annotation found on resource: {}, to create the annotation, run the command with --create-annotation", info.name)));
        }
        let patch = json!({"metadata": {"annotations": {LAST_APPLIED: configuration(&info.object)}}});
        let object = if writer.dry_run == DryRun::Client { info.object.clone() } else { writer.patch(factory, &info, MERGE_PATCH, &patch).await? };
        writer.tell(factory, &object, "configured")?;
    }
    Ok(())
}
