//! `kubectl edit`: the object in an editor, what changed as a patch.
// upstream: kubectl/pkg/cmd/util/editor/editoptions.go

use std::process::Command as Process;

use clap::{ArgMatches, Command};
use serde_json::Value;

use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::merge;
use crate::print::{self, json, yaml};
use crate::rest::{MERGE_PATCH, STRATEGIC_PATCH};
use crate::write::{self, Writer};

const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n# and an empty file will abort the edit. If an error occurs while saving this file will be\n# reopened with the relevant failures.\n#\n";

/// Its flags.
pub fn command() -> Command {
    Command::new("edit")
        .about("Edit a resource from the default editor.\n\n The edit command allows you to directly edit any API resource you can retrieve via the command-line tools. It will open the editor defined by your KUBE_EDITOR, or EDITOR environment variables, or fall back to 'vi'.")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files to use to edit the resource"))
        .args([
            write::validate_flag(),
            write::manager_flag("kubectl-edit"),
            write::save_config_flag(),
            flags::switch("output-patch", "Output the patch if the resource is edited."),
            flags::text("subresource", "", "If specified, edit will operate on the subresource of the requested object."),
            flags::switch("windows-line-endings", "Defaults to the line ending native to your platform."),
        ])
        .override_usage("kubectl edit (RESOURCE/NAME | -f FILENAME) [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read(factory, matches)?;
    selection.latest = true;
    selection.empty_selects = true;
    let as_json = matches.text("output") == "json";
    let mut writer = Writer::read(factory, matches)?;
    writer.printer = None;
    for info in selection.infos(factory).await? {
        let mut before = info.object.clone();
        print::without_managed_fields(&mut before);
        let text = if as_json { json::pretty(&before, "    ") + "\n" } else { yaml::write(&before) };
        let mut shown = format!("{HEAD}{text}");
        loop {
            let edited = open(factory, &shown, if as_json { ".json" } else { ".yaml" })?;
            let bare: String = edited.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
            if bare.trim().is_empty() {
                factory.streams.line("Edit cancelled, saved file was empty.")?;
                break;
            }
            if bare == text {
                factory.streams.warn("Edit cancelled, no changes made.");
                break;
            }
            if edited == shown {
                return Err(Failure::new("Edit cancelled, no valid changes were saved."));
            }
            let failure = match drydock_primitives::yaml::parse(&bare) {
                Ok(after) => match save(factory, &mut writer, &info, (&before, &after), matches.on("output-patch")).await {
                    Ok(()) => break,
                    Err(failure) => failure,
                },
                Err(error) => Failure::new(format!("The edited file had a syntax error: {error}")),
            };
            let reasons: String = failure.report().lines().map(|line| format!("# {line}\n")).collect();
            factory.streams.warn(&failure.report());
            shown = format!("{HEAD}{reasons}#\n{bare}");
        }
    }
    Ok(())
}

async fn save(factory: &Factory, writer: &mut Writer, info: &builder::Info, (before, after): (&Value, &Value), show: bool) -> Result<(), Failure> {
    let (kind, patch) = if merge::is_built_in(&info.mapping.group) { (STRATEGIC_PATCH, merge::two_way(before, after)) } else { (MERGE_PATCH, merge::json_three_way(before, after, before)) };
    if show {
        factory.streams.line(&format!("Patch: {}", json::compact(&patch)))?;
    }
    let object = writer.patch(factory, info, kind, &patch).await?;
    writer.tell(factory, &object, "edited")
}

/// Let the person edit a text.
fn open(factory: &Factory, text: &str, suffix: &str) -> Result<String, Failure> {
    let file = tempfile::Builder::new().prefix("kubectl-edit-").suffix(suffix).tempfile()?;
    std::fs::write(file.path(), text)?;
    let editor = factory.env.get("KUBE_EDITOR").or(factory.env.get("EDITOR")).unwrap_or("vi").to_owned();
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or("vi");
    factory.streams.flush()?;
    let status = Process::new(program).args(words).arg(file.path()).status();
    let status = status.map_err(|_| Failure::new(format!("unable to launch the editor {program:?}")))?;
    if !status.success() {
        return Err(Failure::new(format!("there was a problem with the editor {editor:?}")));
    }
    Ok(std::fs::read_to_string(file.path())?)
}
