//! `kubectl create deployment`, and the containers of generators.
// upstream: kubectl/pkg/cmd/create/create_deployment.go

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::{finish, generator, metadata, one_name, required, rest_of};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// Flags of `create deployment`.
pub fn deployment_command() -> Command {
    generator("deployment", [
        flags::list("image", "Image names to run. A deployment can have multiple images set for multi-container pod."),
        flags::number("port", "-1", "The containerPort that this deployment exposes."),
        flags::number("replicas", "1", "Number of replicas to create. Default is 1.").short('r'),
    ])
    .override_usage("kubectl create deployment NAME --image=image -- [COMMAND] [args...] [options]")
    .after_help("# One container\nkubectl create deployment web --image=nginx\n\n# With a command\nkubectl create deployment web --image=busybox -- date")
}

/// `create deployment`.
pub async fn deployment(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    required(matches, &["image"])?;
    let name = one_name(factory, matches)?;
    let images = matches.texts("image");
    let command = rest_of(matches);
    if images.len() > 1 && !command.is_empty() {
        return Err(Failure::new("cannot specify multiple --image options and command"));
    }
    let port = matches.number("port");
    let containers: Vec<Value> = images
        .iter()
        .map(|image| {
            let mut container = json!({"image": image, "name": container_name(image), "resources": {}});
            if !command.is_empty() {
                container["command"] = json!(command);
            }
            if port >= 0 {
                container["ports"] = json!([{"containerPort": port}]);
            }
            container
        })
        .collect();
    let labels = json!({"app": name});
    let mut meta = metadata(factory, &name)?;
    meta["labels"] = labels.clone();
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "status": {},
        "spec": {
            "replicas": matches.number("replicas"), "selector": {"matchLabels": labels}, "strategy": {},
            "template": {"metadata": {"creationTimestamp": null, "labels": labels}, "spec": {"containers": containers}},
        },
    });
    finish(factory, matches, object, "failed to create deployment: ").await
}

/// A container's name from its image's: `foo/bar:1.2` is `bar`.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    let bare = last.split('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    bare.to_lowercase().chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '-' }).collect()
}
