//! `kubectl create`: from files, and one generator per kind.
// upstream: kubectl/pkg/cmd/create/create.go

pub mod config;
mod hash;
pub mod jobs;
pub mod policy;
pub mod rbac;
pub mod services;
pub mod token;
pub mod workloads;

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::edit::session::{Mode, Session};
use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::rest::Call;
use crate::write::{self, DryRun, Writer, remember};

/// Flags of `create -f`.
pub fn command() -> Command {
    Command::new("create")
        .about("Create a resource from a file or from stdin.\n\n JSON and YAML formats are accepted.")
        .after_help("# From a file\nkubectl create -f ./pod.yaml\n\n# From standard input\ncat pod.yaml | kubectl create -f -")
        .override_usage("kubectl create -f FILENAME [options]")
        .args(write::flags("kubectl-create"))
        .args(builder::file_flags("Filename, directory, or URL to files to use to create the resource"))
        .args([
            builder::label_flag(),
            flags::switch("edit", "Edit the API resource before creating"),
            flags::text("raw", "", "Raw URI to POST to the server.  Uses the transport specified by the kubeconfig file."),
            flags::switch("windows-line-endings", "Only relevant if --edit=true. Defaults to the line ending native to your platform."),
        ])
}

/// `create -f`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let mut selection = Selection::read(factory, matches)?;
    if !selection.has_files() {
        if !words.is_empty() {
            return Err(unexpected(factory, &words));
        }
        return Err(Failure::Plain("error: must specify one of -f and -k".to_owned(), 1));
    }
    if !words.is_empty() {
        return Err(unexpected(factory, &words));
    }
    let raw = matches.text("raw");
    if !raw.is_empty() {
        if !matches.text("output").is_empty() {
            return Err(Failure::new("--raw and --output are mutually exclusive"));
        }
        return post_raw(factory, &selection, &raw).await;
    }
    let mut writer = Writer::read(factory, matches)?;
    if matches.on("edit") {
        let output = matches.text("output");
        if !["", "json", "yaml"].contains(&output.as_str()) {
            return Err(Failure::new(format!("unable to match a printer suitable for the output format {output:?}, allowed formats are: json,yaml")));
        }
        let mut session = Session::read(factory, matches, Mode::Create)?;
        let mut failures = Vec::new();
        for info in selection.manifests(factory, &mut failures).await? {
            session.run(vec![info]).await?;
        }
        return Failure::all(failures);
    }
    selection.validation = writer.validation;
    let mut count = 0;
    selection.visit(factory, async |mut info| {
        count += 1;
        if writer.save_config {
            remember(&mut info.object);
        }
        let created = if writer.dry_run == DryRun::Client { Ok(info.object.clone()) } else { writer.create(factory, &info).await };
        let created = created.map_err(|failure| failure.during("creating", &info.source))?;
        writer.tell(factory, &created, "created")
    })
    .await?;
    if count == 0 { Err(Failure::new("no objects passed to create")) } else { Ok(()) }
}

fn unexpected(factory: &Factory, words: &[String]) -> Failure {
    factory.usage(&format!("Unexpected args: [{}]", words.join(" ")))
}

async fn post_raw(factory: &Factory, selection: &Selection, raw: &str) -> Result<(), Failure> {
    let [file] = selection.filenames.as_slice() else {
        return Err(factory.usage("--raw can only use a single local file or stdin"));
    };
    let (_, text) = builder::read_source(factory, file).await?;
    let call = Call::new(http::Method::POST, raw).body(crate::rest::JSON, text.into_bytes());
    let bytes = factory.rest().await?.bytes(&factory.streams, call).await?;
    factory.streams.print(bytes)
}

/// The flags every generator has.
pub(super) fn generator(name: &'static str, more: impl IntoIterator<Item = Arg>) -> Command {
    Command::new(name).args(write::flags("kubectl-create")).args(more)
}

/// A word after the options that must be there, as cobra says when it is not.
pub(super) fn required(matches: &ArgMatches, names: &[&str]) -> Result<(), Failure> {
    let missing: Vec<String> = names.iter().filter(|name| !matches.changed(name)).map(|name| format!("{name:?}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("required flag(s) {} not set", missing.join(", "))))
}

/// The one name a generator takes; what follows `--` is no name.
// upstream: kubectl/pkg/cmd/create/create.go NameFromCommandArgs
pub(super) fn one_name(factory: &Factory, matches: &ArgMatches) -> Result<String, Failure> {
    let words = matches.arguments();
    let count = matches.before_dash().unwrap_or(words.len());
    if count != 1 { Err(factory.usage(&format!("exactly one NAME is required, got {count}"))) } else { Ok(words[0].clone()) }
}

/// Words after `--`, or after the name.
pub(super) fn rest_of(matches: &ArgMatches) -> Vec<String> {
    matches.arguments().into_iter().skip(1).collect()
}

/// Metadata of a new object; the namespace only when it was asked for.
pub(super) fn metadata(factory: &Factory, name: &str) -> Result<Value, Failure> {
    let (namespace, enforced) = factory.namespace()?;
    let mut metadata = json!({"creationTimestamp": null, "name": name});
    if enforced {
        metadata["namespace"] = json!(namespace);
    }
    Ok(metadata)
}

/// Send what a generator made and tell about it.
pub(super) async fn finish(factory: &Factory, matches: &ArgMatches, mut object: Value, wrap: &str) -> Result<(), Failure> {
    let mut writer = Writer::read(factory, matches)?;
    if matches.on("append-hash") {
        hash::append(&mut object);
    }
    if writer.save_config {
        remember(&mut object);
    }
    writer.prints_structs();
    if writer.dry_run == DryRun::Client {
        return writer.tell(factory, &object, "created");
    }
    let created = send(factory, &writer, object).await;
    let created = match created {
        Err(failure) => return Err(wrapped(failure, wrap)),
        Ok(created) => created,
    };
    writer.tell(factory, &created, "created")
}

/// With what was attempted, where upstream says it; then nothing is told of servers that cannot be reached but Go's words.
pub(super) fn wrapped(failure: Failure, wrap: &str) -> Failure {
    match failure {
        Failure::Status(_) | Failure::Unreachable(_) if !wrap.is_empty() => Failure::new(format!("{wrap}{}", failure.whole())),
        _ => failure,
    }
}

/// Create an object whose kind is known by name.
pub(super) async fn send(factory: &Factory, writer: &Writer, object: Value) -> Result<Value, Failure> {
    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let mapping = match crate::discovery::typed(&version, &kind) {
        Some(mapping) => Some(mapping),
        None => factory.kind_of(&version, &kind).await?,
    };
    // Stock kubectl does not look: it asks, and this is what the server says.
    let missing = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "message": "the server could not find the requested resource", "code": 404});
    let mapping = mapping.ok_or_else(|| Failure::Status(Box::new(missing)))?;
    let namespace = if mapping.namespaced { factory.namespace()?.0 } else { String::new() };
    let namespace = object["metadata"]["namespace"].as_str().map_or(namespace, str::to_owned);
    let info = Info { mapping, namespace, name: String::new(), source: String::new(), object };
    writer.create(factory, &info).await
}
