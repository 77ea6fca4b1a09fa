//! `kubectl set selector`.
// upstream: kubectl/pkg/cmd/set/set_selector.go

use clap::{ArgMatches, Command};

use super::{change, common};
use crate::builder::{Selection, equal_labels};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// Its flags.
pub fn command() -> Command {
    Command::new("selector")
        .args(common("kubectl-set"))
        .arg(flags::text("resource-version", "", "If non-empty, the selectors update will only succeed if this is the current resource-version for the object. Only valid when specifying a single resource."))
        .override_usage("kubectl set selector (-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version] [options]")
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read(factory, matches)?;
    selection.latest = !matches.on("local");
    let Some(expression) = selection.words.pop() else {
        return Err(Failure::new("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    };
    let labels = equal_labels(&expression)?;
    change(factory, matches, &selection, "selector updated", |object| {
        if object["kind"] != "Service" {
            return Err(Failure::new("setting a selector is only supported for Services"));
        }
        object["spec"]["selector"] = labels.clone();
        Ok(())
    })
    .await
}
