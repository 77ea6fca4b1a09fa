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
    let mut selection = Selection::read(factory, matches)?;
    selection.latest = !selection.local;
    selection.refuse_words("cannot specify --local and server resources")?;
    let mut writer = Writer::read(factory, matches)?;
    let (infos, mut failures) = selection.gather(factory).await?;
    for info in infos {
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
                if content == JSON_PATCH && writer.dry_run == DryRun::Client && writer.printer.is_none() {
                    factory.streams.line(&format!("{} {done}", print::name(&object)))?;
                    continue;
                }
                writer.tell(factory, &object, done)?;
            }
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

/// What a patch makes of an object, without the server.
fn locally(object: &Value, content: &str, body: &str) -> Result<Value, Failure> {
    let broken = if content == STRATEGIC_PATCH { "invalid JSON document" } else { "Invalid JSON Patch" };
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
    selection.validate = writer.validation != "Ignore";
    let mut failures = Vec::new();
    for mut info in selection.manifests(factory, &mut failures).await? {
        if writer.save_config || has_config(factory, &info).await {
            remember(&mut info.object);
        }
        let source = info.source.clone();
        let written = if writer.dry_run == DryRun::Client {
            Ok(info.object.clone())
        } else if matches.on("force") {
            again(factory, &mut writer, &info).await
        } else {
            writer.replace(factory, &info).await.map_err(|failure| failure.during("replacing", &source))
        };
        match written {
            Ok(object) => writer.tell(factory, &object, "replaced")?,
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

/// What was applied before stays an applied object.
async fn has_config(factory: &Factory, info: &Info) -> bool {
    !info.object["metadata"]["annotations"][LAST_APPLIED].is_null() || info.get(factory).await.is_ok_and(|live| !live["metadata"]["annotations"][LAST_APPLIED].is_null())
}

async fn again(factory: &Factory, writer: &mut Writer, info: &Info) -> Result<Value, Failure> {
    match factory.call(Call::new(Method::DELETE, info.path()).json(&serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Background"}))).await {
        Ok(_) => {
            factory.streams.line(&format!("{} {:?} deleted", info.mapping.group_kind_word(), info.name))?;
            gone::wait(factory, info, "", None).await?;
        }
        Err(failure) if failure.is("NotFound") => {}
        Err(failure) => return Err(failure),
    }
    writer.create(factory, info).await
}
