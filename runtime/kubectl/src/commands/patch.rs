//! `kubectl patch` and `kubectl replace`.
// upstream: kubectl/pkg/cmd/patch/patch.go, kubectl/pkg/cmd/replace/replace.go

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::Value;

use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::{Failure, go_io};
use crate::flags::{self, Flags};
use crate::gone;
use crate::merge::overlay;
use crate::print;
use crate::rest::{Call, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
use crate::write::{self, DryRun, LAST_APPLIED, Writer, remember};

/// How long a deletion may take, when nothing else is said.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(300);

/// Flags of `patch`.
pub fn command() -> Command {
    Command::new("patch")
        .about("Update fields of a resource using strategic merge patch, a JSON merge patch, or a JSON patch.\n\n JSON and YAML formats are accepted.")
        .args(print::arguments())
        .args(builder::file_flags("Filename, directory, or URL to files identifying the resource to update"))
        .args([
            write::dry_run_flag(),
            write::manager_flag("kubectl-patch"),
            flags::switch("local", "If true, patch will operate on the content of the file, not the server-side resource."),
            flags::text("patch", "", "The patch to be applied to the resource JSON file.").short('p'),
            flags::text("patch-file", "", "A file containing a patch to be applied to the resource."),
            flags::text("subresource", "", "If specified, patch will operate on the subresource of the requested object."),
            flags::text("type", "strategic", "The type of patch being provided; one of [json merge strategic]"),
        ])
        .override_usage("kubectl patch (-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE] [options]")
}

/// `patch`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let (given, file, kind) = (matches.text("patch"), matches.text("patch-file"), matches.text("type").to_lowercase());
    if given.is_empty() == file.is_empty() {
        return Err(Failure::new(if given.is_empty() {
            "must specify --patch or --patch-file containing the contents of the patch"
        } else {
            "cannot specify --patch and --patch-file together"
        }));
    }
    let content = match kind.as_str() {
        "json" => JSON_PATCH,
        "merge" => MERGE_PATCH,
        "strategic" => STRATEGIC_PATCH,
        _ => return Err(Failure::new(format!("--type must be one of [json merge strategic], not {:?}", matches.text("type")))),
    };
    let text = if file.is_empty() {
        given
    } else {
        std::fs::read_to_string(factory.env.path(&file)).map_err(|error| Failure::new(format!("unable to read patch file: open {file}: {}", go_io(&error))))?
    };
    let body = if text.trim_start().starts_with('{') {
        text
    } else {
        builder::read_yaml(&text).map_err(|error| Failure::new(format!("unable to parse {text:?}: {error}")))?.to_string()
    };
    let selection = Selection::read(factory, matches)?;
    selection.refuse_words("cannot specify --local and server resources")?;
    let mut writer = Writer::read(factory, matches)?;
    selection.visit(factory, async |info| {
        let written = if matches.on("local") || writer.dry_run == DryRun::Client {
            locally(&info.object, content, &body)
        } else {
            let path = if selection.subresource.is_empty() { info.path() } else { format!("{}/{}", info.path(), selection.subresource) };
            factory.call(writer.writing(Call::new(Method::PATCH, path)).body(content, body.clone().into_bytes())).await
        };
        match written {
            Ok(object) => {
                let same = object["metadata"]["resourceVersion"] == info.object["metadata"]["resourceVersion"] && object == info.object;
                let done = if same { "patched (no change)" } else { "patched" };
                // Stock kubectl does not say that it was a dry run.
                if writer.printer.is_none() {
                    return factory.streams.line(&format!("{} {done}", print::name(&object)));
                }
                writer.tell(factory, &object, done)
            }
            Err(failure) => Err(failure),
        }
    })
    .await
}

/// What a patch makes of an object, without the server.
fn locally(object: &Value, content: &str, body: &str) -> Result<Value, Failure> {
    let broken = if content == STRATEGIC_PATCH { "invalid JSON document" } else { "Invalid JSON Patch" };
    let (version, kind) = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    if content == STRATEGIC_PATCH && !builder::compiled_with(version, kind) {
        let version = if version.contains('/') { version.to_owned() } else { format!("/{version}") };
        return Err(Failure::new(format!("strategic merge patch is not supported for {version}, Kind={kind} locally, try --type merge")));
    }
    let patch: Value = serde_json::from_str(body).map_err(|_| Failure::new(broken))?;
    let changed = match content {
        JSON_PATCH if !patch.is_array() => Err("json: cannot unmarshal object into Go value of type jsonpatch.Patch".to_owned()),
        JSON_PATCH => overlay::operations(object, &patch),
        MERGE_PATCH => Ok(overlay::merged(object, &patch)),
        _ => overlay::strategic(object, &patch),
    };
    changed.map_err(Failure::new)
}

/// Flags of `replace`.
pub fn replace_command() -> Command {
    Command::new("replace")
        .about("Replace a resource by file name or stdin.\n\n JSON and YAML formats are accepted. If replacing an existing resource, the complete resource spec must be provided.")
        .args(write::flags("kubectl-replace"))
        .args(builder::file_flags("The files that contain the configurations to replace."))
        .args([
            flags::optional("cascade", "background", "background", "Must be \"background\", \"orphan\", or \"foreground\"."),
            flags::switch("force", "If true, immediately remove resources from API and bypass graceful deletion."),
            flags::number("grace-period", "-1", "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative."),
            flags::text("raw", "", "Raw URI to PUT to the server.  Uses the transport specified by the kubeconfig file."),
            flags::text("subresource", "", "If specified, replace will operate on the subresource of the requested object."),
            flags::duration("timeout", "0s", "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object"),
            flags::switch("wait", "If true, wait for resources to be gone before returning. This waits for finalizers."),
        ])
        .override_usage("kubectl replace -f FILENAME [options]")
}

/// `replace`.
pub async fn replace(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read(factory, matches)?;
    if !selection.has_files() {
        return Err(Failure::new("must specify one of -f and -k"));
    }
    let mut writer = Writer::read(factory, matches)?;
    let raw = matches.text("raw");
    refuse(matches, &selection, &writer)?;
    if !raw.is_empty() {
        return put_raw(factory, &selection, &raw).await;
    }
    selection.validation = writer.validation;
    selection.words = Vec::new();
    selection.visit(factory, async |mut info| {
        if writer.save_config || has_config(factory, &info).await {
            remember(&mut info.object);
        }
        let source = info.source.clone();
        let written = if writer.dry_run == DryRun::Client {
            Ok(info.object.clone())
        } else if matches.on("force") {
            again(factory, matches, &mut writer, &info).await
        } else {
            writer.replace(factory, &info).await.map_err(|failure| failure.during("replacing", &source))
        };
        writer.tell(factory, &written?, "replaced")
    })
    .await
}

/// What was applied before stays an applied object.
async fn has_config(factory: &Factory, info: &Info) -> bool {
    !info.object["metadata"]["annotations"][LAST_APPLIED].is_null() || info.get(factory).await.is_ok_and(|live| !live["metadata"]["annotations"][LAST_APPLIED].is_null())
}

/// What flags do not go together.
// upstream: kubectl/pkg/cmd/replace/replace.go Validate
fn refuse(matches: &ArgMatches, selection: &Selection, writer: &Writer) -> Result<(), Failure> {
    let force = matches.on("force");
    let refusals = [
        (!force && matches.number("grace-period") >= 0, "--grace-period must have --force specified"),
        (!force && !matches.duration("timeout").is_zero(), "--timeout must have --force specified"),
        (force && writer.dry_run != DryRun::None, "--dry-run can not be used when --force is set"),
    ];
    if let Some((_, why)) = refusals.iter().find(|(refused, _)| *refused) {
        return Err(Failure::new(*why));
    }
    let raw = matches.text("raw");
    if raw.is_empty() {
        return Ok(());
    }
    let remote = selection.filenames.first().is_some_and(|file| file.starts_with("http://") || file.starts_with("https://"));
    let refusals = [
        (selection.filenames.len() != 1, "--raw can only use a single local file or stdin"),
        (remote, "--raw cannot read from a url"),
        (selection.recursive, "--raw and --recursive are mutually exclusive"),
        (!matches.text("output").is_empty(), "--raw and --output are mutually exclusive"),
    ];
    match refusals.iter().find(|(refused, _)| *refused) {
        Some((_, why)) => Err(Failure::new(*why)),
        None => raw_path(&raw),
    }
}

/// A path that requests are sent to as it is.
pub(super) fn raw_path(raw: &str) -> Result<(), Failure> {
    if raw.starts_with('/') { Ok(()) } else { Err(Failure::new(format!("--raw must be a valid URL path: parse {raw:?}: invalid URI for request"))) }
}

async fn put_raw(factory: &Factory, selection: &Selection, raw: &str) -> Result<(), Failure> {
    let (_, text) = builder::read_source(factory, &selection.filenames[0]).await?;
    let call = Call::new(Method::PUT, raw).body(crate::rest::JSON, text.into_bytes());
    let bytes = factory.rest().await?.bytes(&factory.streams, call).await?;
    factory.streams.print(bytes)
}

/// Delete it and create it anew.
async fn again(factory: &Factory, matches: &ArgMatches, writer: &mut Writer, info: &Info) -> Result<Value, Failure> {
    let policy = super::delete::propagation(factory, &matches.text("cascade"))?;
    let mut options = serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy});
    if matches.number("grace-period") >= 0 {
        options["gracePeriodSeconds"] = matches.number("grace-period").max(1).into();
    }
    let limit = Some(matches.duration("timeout")).filter(|limit| !limit.is_zero()).unwrap_or(PATIENCE);
    match factory.call(Call::new(Method::DELETE, info.own_path()?).json(&options)).await {
        Ok(_) => {
            factory.streams.line(&format!("{} {:?} deleted", info.mapping.group_kind_word(), info.name))?;
            gone::wait(factory, info, "", Some(limit)).await?;
        }
        Err(failure) if failure.is("NotFound") => {}
        Err(failure) => return Err(failure),
    }
    writer.create(factory, info).await
}
