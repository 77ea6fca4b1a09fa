//! `kubectl set resources` and `set serviceaccount`.
// upstream: kubectl/pkg/cmd/set/{set_resources,set_serviceaccount}.go

use clap::{ArgMatches, Command};
use drydock_primitives::quantity::Quantity;
use serde_json::{Map, Value, json};

use super::{change, common, containers, pod_spec};
use crate::builder::{self, Selection};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::write::QUANTITY;

/// Flags of `set resources`.
pub fn command() -> Command {
    Command::new("resources")
        .args(common("kubectl-set"))
        .arg(builder::label_flag())
        .args([
            flags::text("containers", "*", "The names of containers in the selected pod templates to change, all containers are selected by default - may use wildcards").short('c'),
            flags::text("limits", "", "The resource requirement requests for this container.  For example, 'cpu=100m,memory=256Mi'.  Note that server side components may assign requests depending on the server configuration, such as limit ranges."),
            flags::text("requests", "", "The resource requirement requests for this container.  For example, 'cpu=100m,memory=256Mi'.  Note that server side components may assign requests depending on the server configuration, such as limit ranges."),
        ])
        .override_usage("kubectl set resources (-f FILENAME | TYPE NAME)  ([--limits=LIMITS & --requests=REQUESTS] [options]")
}

/// `set resources`.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let (limits, requests) = (matches.text("limits"), matches.text("requests"));
    if limits.is_empty() && requests.is_empty() {
        // What is not there is told first.
        Selection::read_typed(factory, matches)?.infos(factory).await?;
        return Err(Failure::new("you must specify an update to requests or limits (in the form of --requests/--limits)"));
    }
    let (limits, requests) = (amounts(&limits)?, amounts(&requests)?);
    let mut selection = Selection::read_typed(factory, matches)?;
    selection.latest = !matches.on("local");
    selection.refuse_words(builder::LOCAL)?;
    let pattern = matches.text("containers");
    change(factory, matches, &selection, "resource requirements updated", |object| {
        let found = containers(pod_spec(object)?, &pattern);
        if found.is_empty() {
            return Err(Failure::new(format!("error: unable to find container named {pattern}")));
        }
        for container in found {
            for (field, wanted) in [("limits", &limits), ("requests", &requests)] {
                for (name, amount) in wanted {
                    container["resources"][field][name] = amount.clone();
                }
            }
        }
        Ok(())
    })
    .await
}

fn amounts(text: &str) -> Result<Map<String, Value>, Failure> {
    let mut amounts = Map::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, amount) = part.split_once('=').ok_or_else(|| Failure::new(format!("Invalid argument syntax {part}, expected <resource>=<value>")))?;
        amount.parse::<Quantity>().map_err(|_| Failure::new(QUANTITY))?;
        amounts.insert(name.to_owned(), json!(amount));
    }
    Ok(amounts)
}

/// Flags of `set serviceaccount`.
pub fn account_command() -> Command {
    Command::new("serviceaccount").args(common("kubectl-set")).override_usage("kubectl set serviceaccount (-f FILENAME | TYPE NAME) SERVICE_ACCOUNT [options]")
}

/// `set serviceaccount`.
pub async fn account(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    selection.latest = !matches.on("local");
    let Some(name) = selection.words.pop() else {
        return Err(Failure::new("serviceaccount is required"));
    };
    if selection.local && !selection.has_files() {
        return Err(builder::missing());
    }
    change(factory, matches, &selection, "serviceaccount updated", |object| {
        let spec = pod_spec(object)?;
        spec["serviceAccountName"] = json!(name);
        if spec["serviceAccount"].is_string() {
            spec["serviceAccount"] = json!(name);
        }
        Ok(())
    })
    .await
}
