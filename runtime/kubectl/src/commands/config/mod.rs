//! `kubectl config`: looking at kubeconfig files and changing them.
// upstream: kubectl/pkg/cmd/config/*.go, client-go/tools/clientcmd/config.go

mod change;
mod credentials;
mod property;
mod view;
mod write;

use clap::Command;
use serde_json::Value;

use crate::config::{File, Loaded};
use crate::factory::Factory;
use crate::failure::Failure;

pub use change::{
    clusters_command, current_command, delete_cluster, delete_cluster_command, delete_context, delete_context_command, delete_user, delete_user_command, rename, rename_command,
    set_cluster, set_cluster_command, set_context, set_context_command, unset_command, use_context, use_context_command, users_command,
};
pub use property::{set, set_command, unset};
pub use credentials::{set_credentials, set_credentials_command};
pub use view::{clusters, contexts, contexts_command, current, users, view, view_command};

/// `config` alone.
pub fn command() -> Command {
    Command::new("config")
        .about("Modify kubeconfig files using subcommands like \"kubectl config set current-context my-context\".\n\n The loading order follows these rules:\n\n  1.  If the --kubeconfig flag is set, then only that file is loaded. The flag may only be set once and no merging takes place.\n  2.  If $KUBECONFIG environment variable is set, then it is used as a list of paths (normal path delimiting rules for your system). These paths are merged. When a value is modified, it is modified in the file that defines the stanza. When a value is created, it is created in the first file that exists. If no files in the chain exist, then it creates the last file in the list.\n  3.  Otherwise, ${HOME}/.kube/config is used and no merging takes place.")
        .override_usage("kubectl config SUBCOMMAND [options]")
}

/// The file new entries go to: the first that exists, or the last of the list.
fn target(loaded: &Loaded) -> Result<&File, Failure> {
    let there = |file: &&File| !file.value.is_null();
    loaded.files.iter().find(there).or(loaded.files.last()).ok_or_else(|| Failure::new("no configuration file"))
}

/// Where that is.
fn shown_path(factory: &Factory) -> Result<String, Failure> {
    Ok(target(factory.config()?)?.path.display().to_string())
}

/// Change what the files say together. What is another thing than before is written where it comes from.
/// Files are named from there.
fn edit(factory: &Factory, change: impl FnOnce(&mut Value) -> Result<(), Failure>) -> Result<(), Failure> {
    changed(factory, change, write::relative)
}

/// The same; files are named as they were typed.
fn edit_as_written(factory: &Factory, change: impl FnOnce(&mut Value) -> Result<(), Failure>) -> Result<(), Failure> {
    changed(factory, change, |_, _| ())
}

fn changed(factory: &Factory, change: impl FnOnce(&mut Value) -> Result<(), Failure>, name_files: write::NameFiles) -> Result<(), Failure> {
    let loaded = factory.config()?;
    let before = loaded.together();
    let mut after = before.clone();
    change(&mut after)?;
    write::changes(factory, loaded, (&before, &after), name_files)
}

/// Whether a kubeconfig has an entry.
fn has(value: &Value, list: &str, name: &str) -> bool {
    crate::config::entry(value, list, name).is_some()
}
