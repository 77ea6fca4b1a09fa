//! `kubectl edit`: objects in an editor, what changed as a patch.
// upstream: kubectl/pkg/cmd/edit/edit.go

mod program;
pub mod session;

use clap::{ArgMatches, Command};

use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags;
use crate::print;
use crate::write;
use session::{Mode, Session};

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
    let mut session = Session::read(factory, matches, Mode::Patch)?;
    let infos = selection.infos(factory).await?;
    if infos.is_empty() {
        return Err(Failure::new("edit cancelled, no objects found"));
    }
    session.run(infos).await
}
