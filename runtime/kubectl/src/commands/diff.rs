//! `kubectl diff`: what is, beside what would be after an apply, shown by a program that compares folders.
// upstream: kubectl/pkg/cmd/diff/diff.go

use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::Value;
use tempfile::TempDir;

use super::apply::patch_of;
use super::apply::prune::Prune;
use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{Flags, array, number, switch, text};
use crate::print::{without_managed_fields, yaml};
use crate::rest::{APPLY_PATCH, Call};
use crate::write::{LAST_APPLIED, configuration};

const HIDDEN: &str = "***";
const HIDDEN_BEFORE: &str = "*** (before)";
const HIDDEN_AFTER: &str = "*** (after)";

/// Its flags.
pub fn command() -> Command {
    Command::new("diff").override_usage("kubectl diff -f FILENAME [options]").args(builder::file_flags("contains the configuration to diff")).args([
        number("concurrency", "1", "Number of objects to process in parallel when diffing against the live version. Larger number = faster, but more memory, I/O and CPU over that shorter period of time."),
        text("field-manager", "kubectl-client-side-apply", "Name of the manager used to track field ownership."),
        switch("force-conflicts", "If true, server-side apply will force the changes against conflicts."),
        switch("prune", "Include resources that would be deleted by pruning. Can be used with -l and default shows all resources would be pruned"),
        array("prune-allowlist", "Overwrite the default allowlist with <group/version/kind> for --prune"),
        builder::label_flag(),
        switch("server-side", "If true, apply runs in the server instead of the client."),
        switch("show-managed-fields", "If true, include managed fields in the diff."),
    ])
}

/// Do it. Exit code 1 means that there are differences, so failures have 2.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    match compare(factory, matches).await {
        Err(failure @ Failure::Exit(_)) => Err(failure),
        Err(failure) => Err(Failure::Plain(failure.report(), if failure.code() == 1 { 2 } else { failure.code() })),
        Ok(()) => Ok(()),
    }
}

async fn compare(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    if !words.is_empty() {
        return Err(factory.usage(&format!("Unexpected args: [{}]", words.join(" "))));
    }
    let selection = Selection::read(factory, matches)?;
    if !selection.has_files() {
        return Err(Failure::new("must specify one of -f and -k"));
    }
    if matches.on("force-conflicts") && !matches.on("server-side") {
        return Err(Failure::new("--force-conflicts only works with --server-side"));
    }
    let prune = Prune::looking(factory, matches).await?;
    let mut failures = Vec::new();
    let infos = selection.manifests(factory, &mut failures).await?;
    Failure::all(failures)?;
    let wanted = builder::matching(&selection.labels)?;
    let folder = |name: &str| tempfile::Builder::new().prefix(name).tempdir().map_err(Failure::from);
    let (live, merged) = (folder("LIVE-")?, folder("MERGED-")?);
    let mut visited = Vec::new();
    for info in infos.iter().filter(|info| wanted.matches_json(Some(&info.object["metadata"]["labels"]))) {
        let (mut before, mut after) = both(factory, matches, info).await?;
        if !matches.on("show-managed-fields") {
            without_managed_fields(&mut before);
            without_managed_fields(&mut after);
        }
        if after["kind"] == "Secret" && after["apiVersion"] == "v1" {
            mask(&mut before, &mut after);
        }
        visited.push(Info { object: before.clone(), ..info.clone() });
        let name = file_name(info);
        write(live.path(), &name, &before)?;
        write(merged.path(), &name, &after)?;
    }
    if let Some(prune) = prune {
        let found = prune.found(factory, &visited, &selection).await.unwrap_or_else(|failure| {
            crate::write::klog(factory, 'W', "diff.go:760", &format!("pruning failed and could not be evaluated err: {}", failure.text()));
            Vec::new()
        });
        for (mapping, namespace, object) in found {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            write(live.path(), &file_name(&Info { mapping, namespace, name, ..Info::default() }), &object)?;
        }
    }
    show(factory, &live, &merged)
}

/// The object as it is, null when it is not, and as it would be.
async fn both(factory: &Factory, matches: &ArgMatches, info: &Info) -> Result<(Value, Value), Failure> {
    let dry = |call: Call| call.query("dryRun", "All").query_some("fieldManager", &manager(matches));
    let current = match info.get(factory).await {
        Ok(current) => current,
        Err(failure) if failure.is("NotFound") => Value::Null,
        Err(failure) => return Err(failure),
    };
    let call = if matches.on("server-side") {
        let force = if matches.on("force-conflicts") { "true" } else { "false" };
        dry(Call::new(Method::PATCH, info.path())).query("force", force).body(APPLY_PATCH, info.object.to_string().into_bytes())
    } else if current.is_null() {
        dry(Call::new(Method::POST, info.mapping.list_path(&info.namespace))).json(&info.object)
    } else {
        // As it is kept in the annotation, which itself is not compared.
        let modified = serde_json::from_str(&configuration(&info.object)).unwrap_or(Value::Null);
        let original = current["metadata"]["annotations"][LAST_APPLIED].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        factory.schemas.patched(factory, &info.mapping).await;
        let (kind, mut patch) = patch_of(info, &original, &modified, &current);
        if patch.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok((current.clone(), current));
        }
        // The change is to what is there now, whichever version the file was written from.
        patch["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
        dry(Call::new(Method::PATCH, info.path())).body(kind, patch.to_string().into_bytes())
    };
    let merged = factory.call(call).await?;
    Ok((current, merged))
}

fn manager(matches: &ArgMatches) -> String {
    if matches.on("server-side") && !matches.changed("field-manager") { "kubectl".to_owned() } else { matches.text("field-manager") }
}

/// Values of Secrets are not shown, only whether they change.
fn mask(before: &mut Value, after: &mut Value) {
    let (old, new) = (before["data"].clone(), after["data"].clone());
    let hide = |data: &mut Value, other: &Value, changed: &str| {
        for (key, value) in data.as_object_mut().into_iter().flatten() {
            let differs = other.get(key).is_some_and(|other| other != value);
            *value = if differs { changed.into() } else { HIDDEN.into() };
        }
    };
    if old.is_object() {
        hide(&mut before["data"], &new, HIDDEN_BEFORE);
    }
    if new.is_object() {
        hide(&mut after["data"], &old, HIDDEN_AFTER);
    }
}

/// `apps.v1.Deployment.default.web`
fn file_name(info: &Info) -> String {
    let mapping = &info.mapping;
    let group = if mapping.group.is_empty() { String::new() } else { format!("{}.", mapping.group) };
    format!("{group}{}.{}.{}.{}", mapping.version, mapping.kind, info.namespace, info.name)
}

fn write(folder: &Path, name: &str, object: &Value) -> Result<(), Failure> {
    let text = if object.is_null() { String::new() } else { yaml::write(object) };
    Ok(fs::write(folder.join(name), text)?)
}

/// Run the program: `diff -u -N`, or what the variable says, with those of its words that look like options.
fn show(factory: &Factory, live: &TempDir, merged: &TempDir) -> Result<(), Failure> {
    let chosen = factory.env.get("KUBECTL_EXTERNAL_DIFF").unwrap_or("diff -u -N").to_owned();
    let mut words = chosen.split(' ');
    let program = words.next().unwrap_or("diff");
    let plain = |word: &&str| !word.is_empty() && word.chars().all(|char| char.is_ascii_alphanumeric() || char == '-' || char == '=');
    let options: Vec<&str> = words.filter(plain).collect();
    factory.streams.flush()?;
    let mut process = Process::new(program);
    if factory.env.get("KUBECTL_EXTERNAL_DIFF").is_some() {
        process.args([live.path(), merged.path()]).args(options);
    } else {
        process.args(options).args([live.path(), merged.path()]);
    }
    let failed = |why: String| Failure::new(format!("failed to run {program:?}: {why}"));
    let status = process.stdin(Stdio::inherit()).status().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("executable file not found in $PATH".to_owned()),
        _ => failed(go_io(&error)),
    })?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Failure::Exit(1)),
        code => Err(failed(format!("exit status {}", code.unwrap_or(-1)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_secrets_are_hidden() {
        let mut before = json!({"data": {"same": "1", "changed": "1", "gone": "1"}});
        let mut after = json!({"data": {"same": "1", "changed": "2", "new": "1"}});
        mask(&mut before, &mut after);
        assert_eq!(before, json!({"data": {"same": HIDDEN, "changed": HIDDEN_BEFORE, "gone": HIDDEN}}));
        assert_eq!(after, json!({"data": {"same": HIDDEN, "changed": HIDDEN_AFTER, "new": HIDDEN}}));
        let mut nothing = Value::Null;
        mask(&mut nothing, &mut after);
        assert_eq!(nothing, Value::Null);
    }
}
