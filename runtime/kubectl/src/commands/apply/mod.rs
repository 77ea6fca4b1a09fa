//! `kubectl apply`: three-way on the client, or on the server.
// upstream: kubectl/pkg/cmd/apply/{apply,patcher}.go

pub mod last_applied;
mod migrate;
pub(crate) mod prune;

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use crate::builder::{self, Info, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::merge;
use crate::print::{Format, json as json_text, list_of};
use crate::rest::{APPLY_PATCH, Call, MERGE_PATCH, STRATEGIC_PATCH};
use crate::write::{self, DryRun, LAST_APPLIED, Writer, annotate, configuration};

/// Its flags.
pub fn command() -> Command {
    Command::new("apply")
        .about("Apply a configuration to a resource by file name or stdin. The resource name must be specified. This resource will be created if it doesn't exist yet. To use 'apply', always create the resource initially with either 'apply' or 'create --save-config'.\n\n JSON and YAML formats are accepted.")
        .after_help("# What a file says\nkubectl apply -f ./pod.json\n\n# A directory\nkubectl apply -f ./manifests/\n\n# Standard input\ncat pod.json | kubectl apply -f -")
        .override_usage("kubectl apply (-f FILENAME | -k DIRECTORY) [options]")
        .args(write::flags("kubectl-client-side-apply").into_iter().filter(|flag| flag.get_long() != Some("save-config")))
        .args(builder::file_flags("The files that contain the configurations to apply."))
        .args([
            builder::label_flag(),
            flags::switch("all", "Select all resources in the namespace of the specified resource types."),
            flags::optional("cascade", "background", "background", "Must be \"background\", \"orphan\", or \"foreground\". Selects the deletion cascading strategy for the dependents (e.g. Pods created by a ReplicationController). Defaults to background."),
            flags::switch("force", "If true, immediately remove resources from API and bypass graceful deletion. Note that immediate deletion of some resources may result in inconsistency or data loss and requires confirmation."),
            flags::switch("force-conflicts", "If true, server-side apply will force the changes against conflicts."),
            flags::number("grace-period", "-1", "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative. Set to 1 for immediate shutdown. Can only be set to 0 when --force is true (force deletion)."),
            flags::switch_on("openapi-patch", "If true, use openapi to calculate diff when the openapi presents and the resource can be found in the openapi spec. Otherwise, fall back to use baked-in types."),
            flags::switch_on("overwrite", "Automatically resolve conflicts between the modified and live configuration by using values from the modified configuration"),
            flags::switch("prune", "Automatically delete resource objects, that do not appear in the configs and are created by either apply or create --save-config. Should be used with either -l or --all."),
            flags::array("prune-allowlist", "Overwrite the default allowlist with <group/version/kind> for --prune"),
            flags::switch("server-side", "If true, apply runs in the server instead of the client."),
            flags::text("subresource", "", "If specified, apply will operate on the subresource of the requested object.  Only allowed when using --server-side."),
            flags::duration("timeout", "0s", "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object"),
            flags::switch("wait", "If true, wait for resources to be gone before returning. This waits for finalizers."),
        ])
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let mut selection = Selection::read(factory, matches)?;
    if !words.is_empty() {
        return Err(factory.usage(&format!("Unexpected args: [{}]", words.join(" "))));
    }
    if !selection.has_files() {
        return Err(Failure::new("must specify one of -f and -k"));
    }
    let mut writer = Writer::read(factory, matches)?;
    let server_side = matches.on("server-side");
    if matches.on("force-conflicts") && !server_side {
        return Err(Failure::new("--force-conflicts only works with --server-side"));
    }
    if server_side && matches.on("force") {
        return Err(Failure::new("--force cannot be used with --server-side"));
    }
    if matches.on("force") && writer.dry_run == DryRun::Server {
        return Err(Failure::new("--dry-run=server cannot be used with --force"));
    }
    if matches.on("all") && !matches.text("selector").is_empty() {
        return Err(Failure::new("cannot set --all and --selector at the same time"));
    }
    if !selection.subresource.is_empty() && !server_side {
        return Err(Failure::new("--subresource can only be specified for --server-side"));
    }
    if server_side && writer.dry_run == DryRun::Client {
        return Err(Failure::new("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"));
    }
    if server_side && !matches.changed("field-manager") {
        writer.manager = "kubectl".to_owned();
    }
    let prune = prune::Prune::read(factory, matches, &selection).await?;
    selection.validation = writer.validation;
    let mut failures = Vec::new();
    let infos = selection.manifests(factory, &mut failures).await?;
    let wanted = builder::matching(&selection.labels)?;
    let mut apply = Apply { factory, server_side, force_conflicts: matches.on("force-conflicts"), overwrite: matches.on("force"), openapi: matches.on("openapi-patch"), subresource: selection.subresource.clone(), writer, objects: Vec::new() };
    let mut visited: Vec<Info> = Vec::new();
    for info in infos.into_iter().filter(|info| wanted.matches_json(Some(&info.object["metadata"]["labels"]))) {
        match apply.one(&info).await {
            Ok(object) => visited.push(Info { object, ..info }),
            Err(failure @ Failure::Unreachable(_)) => return Err(failure),
            Err(failure) => failures.push(failure),
        }
    }
    if visited.is_empty() && failures.is_empty() {
        return Err(Failure::new("no objects passed to apply"));
    }
    Failure::all(failures)?;
    if factory.globals.verbosity >= 4 {
        crate::rest::log(&factory.streams, "apply.go:548", "Running apply post-processor function");
    }
    apply.show_objects()?;
    match prune {
        Some(prune) => prune.run(factory, &mut apply.writer, &visited, &selection).await,
        None => Ok(()),
    }
}

struct Apply<'a> {
    factory: &'a Factory,
    server_side: bool,
    force_conflicts: bool,
    overwrite: bool,
    /// Whether the schema is read before a patch is made.
    openapi: bool,
    subresource: String,
    writer: Writer,
    /// Shown together at the end.
    objects: Vec<Value>,
}

impl Apply<'_> {
    fn tell(&mut self, object: &Value, done: &str) -> Result<(), Failure> {
        match &self.writer.printer {
            Some(printer) if !matches!(printer.format, Format::Name) => {
                self.objects.push(object.clone());
                Ok(())
            }
            _ => self.writer.tell(self.factory, object, done),
        }
    }

    fn show_objects(&mut self) -> Result<(), Failure> {
        let Some(printer) = &mut self.writer.printer else { return Ok(()) };
        match self.objects.as_slice() {
            [] => Ok(()),
            [one] => printer.print(self.factory, one),
            many => printer.print(self.factory, &list_of(many.to_vec())),
        }
    }

    async fn one(&mut self, info: &Info) -> Result<Value, Failure> {
        if let Some(prefix) = info.object["metadata"]["generateName"].as_str().filter(|prefix| info.name.is_empty() && !prefix.is_empty()) {
            return Err(Failure::new(format!("from {prefix}: cannot use generate name with apply")));
        }
        if self.server_side {
            return self.on_server(info).await;
        }
        let mut modified = info.object.clone();
        let config = configuration(&modified);
        annotate(&mut modified, LAST_APPLIED, &config);
        let source = &info.source;
        if info.name.is_empty() {
            return Err(Failure::new(format!("error when retrieving current configuration of:\n{}\nfrom server for: {source:?}: resource name may not be empty", describe(info))));
        }
        let current = match info.get(self.factory).await {
            Ok(current) => current,
            Err(failure) if failure.is("NotFound") => return self.create(info, modified).await,
            Err(failure) => return Err(failure.prefixed(&format!("error when retrieving current configuration of:\n{}\nfrom server for: {source:?}: ", describe(info)))),
        };
        let original: Option<Value> = current["metadata"]["annotations"][LAST_APPLIED].as_str().and_then(|text| serde_json::from_str(text).ok());
        if original.is_none() && self.writer.dry_run != DryRun::Client {
            self.factory.streams.warn(&format!(
                "Warning: resource {}/{} is missing the kubectl.kubernetes.io/last-applied-configuration annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
                info.mapping.resource, info.name
            ));
        }
        if self.writer.dry_run == DryRun::Client {
            self.tell(&current, "configured")?;
            return Ok(current);
        }
        if self.openapi {
            self.factory.schemas.patched(self.factory, &info.mapping).await;
        }
        let (kind, patch) = patch_of(info, &original.unwrap_or(Value::Null), &modified, &current);
        if patch == json!({}) {
            self.tell(&current, "unchanged")?;
            return Ok(current);
        }
        let patched = match self.writer.patch(self.factory, info, kind, &patch).await {
            Err(failure) if self.overwrite && (failure.is("Conflict") || failure.is("Invalid")) => self.recreate(info, modified).await,
            other => other,
        };
        let patched = patched.map_err(|failure| failure.prefixed(&format!("error when applying patch:\n{}\nto:\n{}\nfor: {source:?}: ", json_text::compact(&patch), describe(info))))?;
        self.tell(&patched, "configured")?;
        Ok(patched)
    }

    async fn create(&mut self, info: &Info, object: Value) -> Result<Value, Failure> {
        let info = Info { object, ..info.clone() };
        let created = if self.writer.dry_run == DryRun::Client {
            info.object.clone()
        } else {
            self.writer.create(self.factory, &info).await.map_err(|failure| failure.during("creating", &info.source))?
        };
        self.tell(&created, "created")?;
        Ok(created)
    }

    async fn recreate(&self, info: &Info, object: Value) -> Result<Value, Failure> {
        self.factory.call(Call::new(Method::DELETE, info.path())).await?;
        crate::gone::wait(self.factory, info, "", None).await?;
        self.writer.create(self.factory, &Info { object, ..info.clone() }).await
    }

    async fn on_server(&mut self, info: &Info) -> Result<Value, Failure> {
        let path = if self.subresource.is_empty() { info.path() } else { format!("{}/{}", info.path(), self.subresource) };
        let call = self.writer.writing(Call::new(Method::PATCH, path)).body(APPLY_PATCH, info.object.to_string().into_bytes());
        let call = call.query("force", if self.force_conflicts { "true" } else { "false" });
        let mut applied = self.factory.call(call.clone()).await.map_err(|failure| match failure {
            Failure::Status(status) if status["reason"] == "Conflict" => Failure::new(format!("{}\n{CONFLICT}", status["message"].as_str().unwrap_or_default())),
            other => other,
        })?;
        if self.writer.dry_run == DryRun::None
            && let Some(again) = self.migrated(info, &applied, call).await
        {
            applied = again;
        }
        self.tell(&applied, "serverside-applied")?;
        Ok(applied)
    }

    /// An object that the client applied before is the server's to apply from now on. What fails of that is a warning.
    async fn migrated(&self, info: &Info, applied: &Value, call: Call) -> Option<Value> {
        let manager = &self.writer.manager;
        let failed = |what: &str, failure: &Failure| {
            let text = match what {
                "annotation" => "Warning: failed to migrate kubectl.kubernetes.io/last-applied-configuration for Server-Side Apply. This is non-fatal and will be retried next time you apply.",
                "fields" => "Warning: server rejected managed fields migration to Server-Side Apply. This is non-fatal and will be retried next time you apply.",
                _ => "Warning: failed to re-apply configuration after performing Server-Side Apply migration. This is non-fatal and will be retried next time you apply.",
            };
            self.factory.streams.warn(&format!("{text} Error: {}", failure.text()));
        };
        let kept = migrate::keep_annotation(self.factory, info, applied.clone(), manager).await.map_err(|failure| failed("annotation", &failure)).ok()?;
        let moved = migrate::migrate(self.factory, info, kept, manager).await.map_err(|failure| failed("fields", &failure)).ok()?;
        if !moved {
            return None;
        }
        self.factory.call(call).await.map_err(|failure| failed("again", &failure)).ok()
    }
}

const CONFLICT: &str = "Please review the fields above--they currently have other managers. Here
are the ways you can resolve this warning:
* If you intend to manage all of these fields, please re-run the apply
  command with the `--force-conflicts` flag.
* If you do not intend to manage all of the fields, please edit your
  manifest to remove references to the fields that should keep their
  current managers.
* You may co-own fields by updating your manifest to match the existing
  value; in this case, you'll become the manager if the other manager(s)
  stop managing the field (remove it from their configuration).
See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts";

/// The patch that makes the live object what the manifest says.
pub(crate) fn patch_of(info: &Info, original: &Value, modified: &Value, current: &Value) -> (&'static str, Value) {
    if merge::is_built_in(&info.mapping.group) {
        (STRATEGIC_PATCH, merge::three_way(original, modified, current))
    } else {
        (MERGE_PATCH, merge::json_three_way(original, modified, current))
    }
}

fn describe(info: &Info) -> String {
    let version = if info.mapping.group.is_empty() { format!("/{}", info.mapping.version) } else { info.mapping.api_version() };
    format!(
        "Resource: {:?}, GroupVersionKind: {:?}\nName: {:?}, Namespace: {:?}",
        format!("{version}, Resource={}", info.mapping.resource),
        format!("{version}, Kind={}", info.mapping.kind),
        info.name,
        info.namespace
    )
}
