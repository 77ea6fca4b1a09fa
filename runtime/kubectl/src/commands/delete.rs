//! `kubectl delete`.
// upstream: kubectl/pkg/cmd/delete/{delete,delete_flags}.go

use std::time::Duration;

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use crate::builder::{self, Failures, Info, Origin, Request, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::gone;
use crate::rest::Call;
use crate::write::{self, DryRun};

/// How long a wait may last when nobody says.
const A_WEEK: Duration = Duration::from_secs(168 * 3600);

/// Its flags.
pub fn command() -> Command {
    Command::new("delete")
        .about("Delete resources by file names, stdin, resources and names, or by resources and label selector.\n\n JSON and YAML formats are accepted. Only one type of argument may be specified: file names, resources and names, or resources and label selector.")
        .after_help("# A pod\nkubectl delete pod web\n\n# What a file says\nkubectl delete -f ./pod.json\n\n# All pods with a label\nkubectl delete pods -l app=web")
        .override_usage("kubectl delete ([-f FILENAME] | [-k DIRECTORY] | TYPE [(NAME | -l label | --all)]) [options]")
        .args(builder::file_flags("containing the resource to delete."))
        .args([
            builder::label_flag(),
            builder::field_flag(),
            builder::all_namespaces_flag(),
            write::dry_run_flag(),
            flags::switch("all", "Delete all resources, in the namespace of the specified resource types."),
            flags::optional("cascade", "background", "background", "Must be \"background\", \"orphan\", or \"foreground\". Selects the deletion cascading strategy for the dependents (e.g. Pods created by a ReplicationController). Defaults to background."),
            flags::switch("force", "If true, immediately remove resources from API and bypass graceful deletion. Note that immediate deletion of some resources may result in inconsistency or data loss and requires confirmation."),
            flags::number("grace-period", "-1", "Period of time in seconds given to the resource to terminate gracefully. Ignored if negative. Set to 1 for immediate shutdown. Can only be set to 0 when --force is true (force deletion)."),
            flags::switch("ignore-not-found", "Treat \"resource not found\" as a successful delete. Defaults to \"true\" when --all is specified."),
            flags::switch("interactive", "If true, delete resource only when user confirms.").short('i'),
            flags::switch("now", "If true, resources are signaled for immediate shutdown (same as --grace-period=1)."),
            flags::text("output", "", "Output mode. Use \"-o name\" for shorter output (resource/name).").short('o'),
            flags::text("raw", "", "Raw URI to DELETE to the server.  Uses the transport specified by the kubeconfig file."),
            flags::duration("timeout", "0s", "The length of time to wait before giving up on a delete, zero means determine a timeout from the size of the object"),
            flags::switch_on("wait", "If true, wait for resources to be gone before returning. This waits for finalizers."),
        ])
}

struct Delete<'a> {
    factory: &'a Factory,
    dry_run: DryRun,
    policy: &'static str,
    grace: i64,
    force: bool,
    name_only: bool,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let selection = Selection::read(factory, matches)?;
    let raw = matches.text("raw");
    if !raw.is_empty() {
        super::patch::raw_path(&raw)?;
        let bytes = factory.rest().await?.bytes(&factory.streams, Call::new(Method::DELETE, raw)).await?;
        return factory.streams.print(bytes);
    }
    let delete = Delete::read(factory, matches, &selection)?;
    let ignore = matches.on("ignore-not-found") || (matches.on("all") && !matches.changed("ignore-not-found"));
    let mut failures = Failures::default();
    let mut targets: Vec<Info> = Vec::new();
    for request in selection.requests(factory).await? {
        match request {
            // Nothing is asked before it goes.
            Request::One(mapping, namespace, name) => targets.push(Info { mapping, namespace, name, ..Info::default() }),
            request => targets.extend(selection.ask(&mut failures, request, async |request| selection.answer(factory, request).await).await?.into_iter().flatten()),
        }
    }
    if matches.on("interactive") {
        // Who is asked is asked for all of it, or not at all.
        std::mem::take(&mut failures).whole().map_or(Ok(()), Err)?;
        if targets.is_empty() {
            return factory.streams.line("No resources found");
        }
        if !confirmed(factory, &targets)? {
            return Ok(());
        }
    }
    let mut deleted = Vec::new();
    let found = targets.len();
    for info in targets {
        match delete.one(&info).await {
            Ok(uid) => {
                deleted.push((info, uid));
            }
            Err(failure) => failures.push(Origin::Named, failure.during("deleting", &info.source))?,
        }
    }
    let failed = failures.whole().and_then(|failure| if ignore { failure.without("NotFound") } else { Some(failure) });
    failed.map_or(Ok(()), Err)?;
    if found == 0 {
        factory.streams.line("No resources found")?;
    }
    if !matches.on("wait") || delete.dry_run != DryRun::None {
        return Ok(());
    }
    factory.streams.flush()?;
    let limit = Some(matches.duration("timeout")).filter(|limit| !limit.is_zero()).unwrap_or(A_WEEK);
    for (info, uid) in deleted {
        match gone::wait(factory, &info, &uid, Some(limit)).await {
            // Who may delete need not be allowed to look.
            Err(failure) if failure.is("Forbidden") || failure.is("MethodNotAllowed") => {}
            other => other?,
        }
    }
    Ok(())
}

fn confirmed(factory: &Factory, targets: &[Info]) -> Result<bool, Failure> {
    factory.streams.line(&format!("You are about to delete the following {} resource(s):", targets.len()))?;
    for info in targets {
        factory.streams.line(&info.word())?;
    }
    factory.streams.print("Do you want to continue? (y/n): ")?;
    factory.streams.flush()?;
    // One word, not all there is: a terminal has no end.
    if factory.streams.word()?.is_some_and(|answer| answer.eq_ignore_ascii_case("y")) {
        return Ok(true);
    }
    factory.streams.line("deletion is cancelled")?;
    Ok(false)
}

/// The propagation policy of `--cascade`.
pub(super) fn propagation(factory: &Factory, cascade: &str) -> Result<&'static str, Failure> {
    Ok(match cascade {
        "background" | "" => "Background",
        "foreground" => "Foreground",
        "orphan" => "Orphan",
        other => match flags::boolean(other) {
            Some(yes) => {
                let instead = if yes { "background" } else { "orphan" };
                factory.streams.warn(&format!("warning: --cascade={other} is deprecated (boolean value) and can be replaced with --cascade={instead}."));
                if yes { "Background" } else { "Orphan" }
            }
            None => return Err(Failure::new(format!("invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""))),
        },
    })
}

impl<'a> Delete<'a> {
    fn read(factory: &'a Factory, matches: &ArgMatches, selection: &Selection) -> Result<Self, Failure> {
        let policy = propagation(factory, &matches.text("cascade"))?;
        let output = matches.text("output");
        if !output.is_empty() && output != "name" {
            return Err(factory.usage(&format!("unexpected -o output mode: {output}. We only support '-o name'")).into_plain());
        }
        if selection.all && (!selection.labels.is_empty() || !selection.fields.is_empty()) {
            let which = if selection.labels.is_empty() { "field selector" } else { "selector" };
            return Err(Failure::new(format!("setting 'all' parameter but found a non empty {which}. ")));
        }
        let (mut grace, force) = (matches.number("grace-period"), matches.on("force"));
        if matches.on("now") {
            if grace != -1 {
                return Err(Failure::new("--now and --grace-period cannot be specified together"));
            }
            grace = 1;
        }
        if grace == 0 && !force {
            // As upstream, which waits for confirmation by asking for one second.
            grace = 1;
        }
        if force {
            match matches.number("grace-period") {
                grace_given if grace_given > 0 => return Err(Failure::new("--force and --grace-period greater than 0 cannot be specified together")),
                _ if !matches.on("now") => grace = 0,
                _ => {}
            }
            if grace == 0 {
                factory.streams.warn("Warning: Immediate deletion does not wait for confirmation that the running resource has been terminated. The resource may continue to run on the cluster indefinitely.");
            }
        }
        Ok(Self { factory, dry_run: DryRun::read(factory, matches)?, policy, grace, force: force && grace == 0, name_only: output == "name" })
    }

    /// Delete one; its UID.
    async fn one(&self, info: &Info) -> Result<String, Failure> {
        let mut uid = String::new();
        if self.dry_run != DryRun::Client {
            let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": self.policy});
            if self.grace >= 0 {
                options["gracePeriodSeconds"] = json!(self.grace);
            }
            if self.dry_run == DryRun::Server {
                options["dryRun"] = json!(["All"]);
            }
            let answer = self.factory.call(Call::new(Method::DELETE, info.own_path()?).json(&options)).await?;
            uid = identity(&answer);
        }
        self.tell(info)?;
        Ok(uid)
    }

    fn tell(&self, info: &Info) -> Result<(), Failure> {
        let kind = info.mapping.group_kind_word();
        let done = if self.force { "force deleted" } else { "deleted" };
        if self.name_only {
            return self.factory.streams.line(&info.word());
        }
        self.factory.streams.line(&format!("{kind} {:?} {done}{}", info.name, self.dry_run.suffix()))
    }
}

/// The UID of what was deleted: the object is answered while it goes, a status when it is gone.
fn identity(answer: &Value) -> String {
    let uid = if answer["kind"] == "Status" { &answer["details"]["uid"] } else { &answer["metadata"]["uid"] };
    uid.as_str().unwrap_or_default().to_owned()
}
