//! `kubectl label` and `kubectl annotate`.
// upstream: kubectl/pkg/cmd/label/label.go, kubectl/pkg/cmd/annotate/annotate.go

use clap::{ArgMatches, Command};
use drydock_primitives::names;
use serde_json::{Map, Value, json};

use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::merge;
use crate::print;
use crate::rest::MERGE_PATCH;
use crate::write::{self, DryRun, Writer};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Label,
    Annotation,
}

impl Kind {
    fn word(self) -> &'static str {
        if self == Self::Label { "label" } else { "annotation" }
    }

    fn field(self) -> &'static str {
        if self == Self::Label { "labels" } else { "annotations" }
    }
}

/// Flags of `label`.
pub fn label_command() -> Command {
    command("label", "kubectl-label").override_usage("kubectl label [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version] [options]")
}

/// Flags of `annotate`.
pub fn annotate_command() -> Command {
    command("annotate", "kubectl-annotate").override_usage("kubectl annotate [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [--resource-version=version] [options]")
}

fn command(name: &'static str, manager: &'static str) -> Command {
    Command::new(name)
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to update"))
        .args([
            builder::label_flag(),
            builder::field_flag(),
            builder::all_namespaces_flag(),
            write::dry_run_flag(),
            write::manager_flag(manager),
            flags::switch("all", "Select all resources, in the namespace of the specified resource types"),
            flags::switch("list", "If true, display them for a given resource."),
            flags::switch("local", "If true, this command will NOT contact api-server but run locally."),
            flags::switch("overwrite", "If true, allow existing ones to be overwritten, otherwise reject updates that overwrite."),
            flags::text("resource-version", "", "If non-empty, the update will only succeed if this is the current resource-version for the object. Only valid when specifying a single resource."),
        ])
}

/// `label`.
pub async fn label(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    run(factory, matches, Kind::Label).await
}

/// `annotate`.
pub async fn annotate(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    run(factory, matches, Kind::Annotation).await
}

struct Wanted {
    set: Vec<(String, String)>,
    removed: Vec<String>,
}

async fn run(factory: &Factory, matches: &ArgMatches, kind: Kind) -> Result<(), Failure> {
    let mut selection = Selection::read(factory, matches)?;
    let (resources, pairs) = divide(&selection.words, kind)?;
    let wanted = wanted(&pairs, kind)?;
    selection.words = resources;
    if selection.words.is_empty() && !selection.has_files() {
        return Err(Failure::new("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    }
    let list = matches.on("list");
    if selection.all {
        for (given, flag) in [(&selection.labels, "selector"), (&selection.fields, "field-selector")] {
            if !given.is_empty() {
                return Err(Failure::new(format!("cannot set --all and --{flag} at the same time")));
            }
        }
    }
    if wanted.set.is_empty() && wanted.removed.is_empty() && !list {
        return Err(Failure::new(format!("at least one {} update is required", kind.word())));
    }
    let local = matches.on("local");
    selection.latest = !local;
    let file = if kind == Kind::Label { "pod" } else { "rsrc" };
    selection.refuse_words(&format!("can only use local files by -f {file}.yaml or --filename={file}.json when --local=true is set"))?;
    let mut writer = Writer::read(factory, matches)?;
    if local && writer.dry_run == DryRun::Server {
        return Err(write::local_on_server());
    }
    let several = !selection.single();
    if several && !matches.text("resource-version").is_empty() {
        return Err(Failure::new("--resource-version may only be used with a single resource"));
    }
    selection.visit(factory, async |info| {
        let mut changed = info.object.clone();
        let before = info.object["metadata"][kind.field()].as_object().cloned().unwrap_or_default();
        let after = change(factory, &wanted, before.clone(), matches.on("overwrite"), kind)?;
        if list {
            return show(factory, &after, kind, several.then_some(&info));
        }
        changed["metadata"][kind.field()] = Value::Object(after.clone());
        let mut patch = merge::json_three_way(&info.object, &changed, &info.object);
        let version = matches.text("resource-version");
        if !version.is_empty() {
            patch["metadata"]["resourceVersion"] = json!(version);
        }
        let written = if local || writer.dry_run == DryRun::Client || patch == json!({}) {
            Ok(changed)
        } else {
            writer.patch(factory, &info, MERGE_PATCH, &patch).await
        };
        writer.tell(factory, &written?, said(kind, &before, &after))
    })
    .await
}

fn said(kind: Kind, before: &Map<String, Value>, after: &Map<String, Value>) -> &'static str {
    match kind {
        Kind::Annotation => "annotated",
        // Where there are no labels at all, taking one away is a change to stock kubectl: none become an empty list of them.
        Kind::Label if before.is_empty() && after.is_empty() => "labeled",
        Kind::Label if before == after => "not labeled",
        Kind::Label if after.iter().all(|(key, value)| before.get(key) == Some(value)) => "unlabeled",
        Kind::Label => "labeled",
    }
}

/// What there is; of several objects, under their names.
fn show(factory: &Factory, labels: &Map<String, Value>, kind: Kind, named: Option<&Info>) -> Result<(), Failure> {
    let mut lines: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    lines.sort();
    if let Some(info) = named {
        factory.streams.line(&format!("Listing {} for {}.{}/{}:", kind.field(), info.mapping.kind, info.mapping.group, info.name))?;
    }
    for line in lines {
        factory.streams.line(&if named.is_some() { format!(" {line}") } else { line })?;
    }
    Ok(())
}

/// Resources first, then changes.
// upstream: kubectl/pkg/cmd/util/kubectl_match... GetResourcesAndPairs
fn divide(words: &[String], kind: Kind) -> Result<(Vec<String>, Vec<String>), Failure> {
    let mut resources = Vec::new();
    let mut pairs: Vec<String> = Vec::new();
    for word in words {
        let is_pair = (word.contains('=') && !word.starts_with('=')) || word.ends_with('-');
        if is_pair {
            pairs.push(word.clone());
        } else if pairs.is_empty() {
            resources.push(word.clone());
        } else {
            return Err(Failure::new(format!("all resources must be specified before {} changes: {word}", kind.word())));
        }
    }
    Ok((resources, pairs))
}

fn wanted(pairs: &[String], kind: Kind) -> Result<Wanted, Failure> {
    let mut wanted = Wanted { set: Vec::new(), removed: Vec::new() };
    for pair in pairs {
        match pair.split_once('=') {
            Some((key, value)) => {
                if kind == Kind::Label
                    && let Some(error) = names::label_value(value).first()
                {
                    return Err(Failure::new(format!("invalid label value: {pair:?}: {error}")));
                }
                wanted.set.retain(|(known, _)| known != key);
                wanted.set.push((key.to_owned(), value.to_owned()));
            }
            None => wanted.removed.push(pair[..pair.len() - 1].to_owned()),
        }
    }
    let both: Vec<&str> = wanted.removed.iter().filter(|removed| wanted.set.iter().any(|(key, _)| key == *removed)).map(String::as_str).collect();
    if !both.is_empty() {
        return Err(Failure::new(match kind {
            Kind::Label => "can not both modify and remove a label in the same command".to_owned(),
            Kind::Annotation => format!("can not both modify and remove the following annotation(s) in the same command: {}", both.join(",")),
        }));
    }
    Ok(wanted)
}

fn change(factory: &Factory, wanted: &Wanted, mut values: Map<String, Value>, overwrite: bool, kind: Kind) -> Result<Map<String, Value>, Failure> {
    let taken: Vec<String> = wanted
        .set
        .iter()
        .filter(|(key, value)| !overwrite && values.get(key).is_some_and(|old| old != value))
        .map(|(key, _)| format!("'{key}' already has a value ({})", values[key].as_str().unwrap_or_default()))
        .collect();
    if !taken.is_empty() {
        return Err(Failure::new(match kind {
            Kind::Label => format!("{}, and --overwrite is false", taken[0]),
            Kind::Annotation => format!("--overwrite is false but found the following declared annotation(s): {}", taken.join("; ")),
        }));
    }
    for key in &wanted.removed {
        if values.remove(key).is_none() && kind == Kind::Label {
            factory.streams.line(&format!("label {key:?} not found."))?;
        }
    }
    values.extend(wanted.set.iter().map(|(key, value)| (key.clone(), json!(value))));
    Ok(values)
}
