//! `kubectl set image`.
// upstream: kubectl/pkg/cmd/set/set_image.go

use clap::{ArgMatches, Command};
use serde_json::json;

use super::{change, common, containers, divide, pod_spec};
use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;

/// Its flags.
pub fn command() -> Command {
    Command::new("image")
        .args(common("kubectl-set"))
        .arg(builder::label_flag())
        .override_usage("kubectl set image (-f FILENAME | TYPE NAME) CONTAINER_NAME_1=CONTAINER_IMAGE_1 ... CONTAINER_NAME_N=CONTAINER_IMAGE_N [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    let (resources, pairs) = divide(matches.arguments());
    selection.words = resources;
    selection.latest = !matches.on("local");
    if selection.words.is_empty() && !selection.has_files() {
        return Err(builder::missing());
    }
    selection.refuse_words(builder::LOCAL)?;
    if pairs.is_empty() {
        // What is not there is told first.
        selection.infos(factory).await?;
        return Err(Failure::new("at least one image update is required"));
    }
    let pairs: Vec<(String, String)> = pairs.iter().filter_map(|pair| pair.split_once('=')).map(|(name, image)| (name.to_owned(), image.to_owned())).collect();
    if pairs.len() > 1 && pairs.iter().any(|(name, _)| name == "*") {
        return Err(Failure::new("all containers are already specified by *, but saw more than one container_name=container_image pairs"));
    }
    change(factory, matches, &selection, "image updated", |object| {
        let spec = pod_spec(object)?;
        for (name, image) in &pairs {
            let found = containers(spec, name);
            if found.is_empty() {
                return Err(Failure::new(format!("error: unable to find container named {name:?}")));
            }
            for container in found {
                container["image"] = json!(image);
            }
        }
        Ok(())
    })
    .await
}
