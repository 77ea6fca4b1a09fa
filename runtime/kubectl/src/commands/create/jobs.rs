//! `kubectl create job` and `create cronjob`.
// upstream: kubectl/pkg/cmd/create/{create_job,create_cronjob}.go

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::{finish, generator, metadata, one_name, required, rest_of};
use crate::builder::Selection;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// Flags of `create job`.
pub fn job_command() -> Command {
    generator("job", [flags::text("image", "", "Image name to run."), flags::text("from", "", "The name of the resource to create a Job from (only cronjob is supported).")])
        .override_usage("kubectl create job NAME --image=image [--from=cronjob/name] -- [COMMAND] [args...] [options]")
        .after_help("# Run a command once\nkubectl create job hello --image=busybox -- date\n\n# Run a cron job now\nkubectl create job now --from=cronjob/nightly")
}

/// `create job`.
pub async fn job(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let (image, from, command) = (matches.text("image"), matches.text("from"), rest_of(matches));
    if image.is_empty() == from.is_empty() {
        return Err(Failure::new("either --image or --from must be specified"));
    }
    if !command.is_empty() && !from.is_empty() {
        return Err(Failure::new("cannot specify --from and command"));
    }
    let mut meta = metadata(factory, &name)?;
    let object = if from.is_empty() {
        let template = json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": [container(&name, &image, &command)], "restartPolicy": "Never"}});
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": {"template": template}, "status": {}})
    } else {
        let (namespace, _) = factory.namespace()?;
        let selection = Selection { words: vec![from.clone()], namespace, ..Selection::default() };
        let cron = selection.infos(factory).await?.into_iter().next().map(|info| info.object).unwrap_or_default();
        if cron["kind"] != "CronJob" {
            return Err(Failure::new("from must be an existing cronjob"));
        }
        let template = &cron["spec"]["jobTemplate"];
        let mut annotations = json!({"cronjob.kubernetes.io/instantiate": "manual"});
        for (key, value) in template["metadata"]["annotations"].as_object().into_iter().flatten() {
            annotations[key] = value.clone();
        }
        meta["annotations"] = annotations;
        if template["metadata"]["labels"].is_object() {
            meta["labels"] = template["metadata"]["labels"].clone();
        }
        // Named like this, it is not taken for one the schedule has made.
        meta["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": cron["metadata"]["name"], "uid": cron["metadata"]["uid"], "controller": true}]);
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": template["spec"], "status": {}})
    };
    finish(factory, matches, object, "failed to create job: ").await
}

/// Flags of `create cronjob`.
pub fn cronjob_command() -> Command {
    generator("cronjob", [
        flags::text("image", "", "Image name to run."),
        flags::text("schedule", "", "A schedule in the Cron format the job should be run with."),
        flags::text("restart", "", "job's restart policy. supported values: OnFailure, Never"),
    ])
    .override_usage("kubectl create cronjob NAME --image=image --schedule='0/5 * * * ?' -- [COMMAND] [args...] [flags] [options]")
}

/// `create cronjob`.
pub async fn cronjob(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    required(matches, &["image", "schedule"])?;
    let name = one_name(factory, matches)?;
    let restart = matches.text("restart");
    let restart = if restart.is_empty() { "OnFailure".to_owned() } else { restart };
    let container = container(&name, &matches.text("image"), &rest_of(matches));
    let template = json!({"metadata": {"creationTimestamp": null}, "spec": {"containers": [container], "restartPolicy": restart}});
    let object = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata(factory, &name)?, "status": {},
        "spec": {"jobTemplate": {"metadata": {"creationTimestamp": null, "name": name}, "spec": {"template": template}}, "schedule": matches.text("schedule")},
    });
    finish(factory, matches, object, "failed to create cronjob: ").await
}

fn container(name: &str, image: &str, command: &[String]) -> Value {
    let mut container = json!({"image": image, "name": name, "resources": {}});
    if !command.is_empty() {
        container["command"] = json!(command);
    }
    container
}
