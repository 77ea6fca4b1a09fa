//! `kubectl set subject`.
// upstream: kubectl/pkg/cmd/set/set_subject.go

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::{change, common};
use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Its flags.
pub fn command() -> Command {
    Command::new("subject")
        .args(common("kubectl-set"))
        .arg(builder::label_flag())
        .args([
            flags::array("group", "Groups to bind to the role"),
            flags::array("serviceaccount", "Service accounts to bind to the role"),
            flags::array("user", "Usernames to bind to the role"),
        ])
        .override_usage("kubectl set subject (-f FILENAME | TYPE NAME) [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none] [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    selection.latest = !selection.local;
    selection.refuse_words(builder::LOCAL)?;
    // What is not there is told first.
    if !selection.local && (selection.has_files() || selection.words.len() != 1 || !selection.words[0].contains('/')) {
        selection.infos(factory).await?;
    }
    if selection.all && !selection.labels.is_empty() {
        return Err(Failure::new("cannot set --all and --selector at the same time"));
    }
    let named = |flag: &str| {
        let mut names = matches.texts(flag);
        names.sort();
        names.dedup();
        names
    };
    let (users, groups, accounts) = (named("user"), named("group"), named("serviceaccount"));
    if users.is_empty() && groups.is_empty() && accounts.is_empty() {
        return Err(Failure::new("you must specify at least one value of user, group or serviceaccount"));
    }
    if accounts.iter().any(|account| account.split(':').count() != 2 || account.ends_with(':')) {
        return Err(Failure::new("serviceaccount must be <namespace>:<name>"));
    }
    let (namespace, _) = factory.namespace()?;
    let mut subjects: Vec<Value> = Vec::new();
    subjects.extend(users.iter().map(|name| json!({"kind": "User", "apiGroup": GROUP, "name": name})));
    subjects.extend(groups.iter().map(|name| json!({"kind": "Group", "apiGroup": GROUP, "name": name})));
    for account in &accounts {
        let (own, name) = account.split_once(':').unwrap_or_default();
        subjects.push(json!({"kind": "ServiceAccount", "namespace": if own.is_empty() { &namespace } else { own }, "name": name}));
    }
    let nameless = accounts.iter().any(|account| account.starts_with(':'));
    change(factory, matches, &selection, "subjects updated", |object| {
        match object["kind"].as_str().unwrap_or_default() {
            "ClusterRoleBinding" if nameless => return Err(Failure::new("serviceaccount must be <namespace>:<name>, namespace must be specified")),
            "RoleBinding" | "ClusterRoleBinding" => {}
            _ => return Err(Failure::new("setting subjects is only supported for RoleBinding/ClusterRoleBinding")),
        }
        let mut all = object["subjects"].as_array().cloned().unwrap_or_default();
        all.extend(subjects.iter().filter(|subject| !all.contains(subject)).cloned().collect::<Vec<_>>());
        object["subjects"] = json!(all);
        Ok(())
    })
    .await
}
