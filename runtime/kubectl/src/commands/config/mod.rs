//! `kubectl config`: looking at kubeconfig files and changing them.
// upstream: kubectl/pkg/cmd/config/*.go, client-go/tools/clientcmd/config.go ModifyConfig

mod change;
mod credentials;
mod property;
mod view;

use clap::Command;
use serde_json::{Value, json};

use crate::config::{File, Loaded};
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::print::yaml;

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
fn target(loaded: &Loaded) -> Option<&File> {
    loaded.files.iter().find(|file| !file.value.is_null()).or(loaded.files.last())
}

/// Change the file of the list that has an entry, or the one new entries go to; its path.
fn edit(factory: &Factory, owns: impl Fn(&Value) -> bool, change: impl FnOnce(&mut Value) -> Result<(), Failure>) -> Result<String, Failure> {
    let loaded = factory.config()?;
    let file = loaded.files.iter().find(|file| owns(&file.value)).or_else(|| target(loaded)).ok_or_else(|| Failure::new("no configuration file"))?;
    let mut value = if file.value.is_null() { json!({}) } else { file.value.clone() };
    change(&mut value)?;
    complete(&mut value);
    let path = factory.env.path(&file.path);
    let shown = file.path.display().to_string();
    let failed = |error: std::io::Error| Failure::new(format!("open {shown}: {}", go_io(&error)));
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    write_private(&path, &yaml::write(&value)).map_err(failed)?;
    Ok(shown)
}

fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// What every kubeconfig has, in the order of names.
fn complete(value: &mut Value) {
    for (field, default) in [("apiVersion", json!("v1")), ("kind", json!("Config")), ("preferences", json!({})), ("current-context", json!(""))] {
        if value[field].is_null() {
            value[field] = default;
        }
    }
    for list in ["clusters", "contexts", "users"] {
        match value[list].as_array_mut() {
            Some(entries) if !entries.is_empty() => entries.sort_by_key(|entry| entry["name"].as_str().unwrap_or_default().to_owned()),
            _ => value[list] = Value::Null,
        }
    }
}

/// Whether a kubeconfig has an entry.
fn has(value: &Value, list: &str, name: &str) -> bool {
    crate::config::entry(value, list, name).is_some()
}
