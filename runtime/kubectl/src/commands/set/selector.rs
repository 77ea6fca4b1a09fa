//! `kubectl set selector`.
// upstream: kubectl/pkg/cmd/set/set_selector.go

use clap::{ArgMatches, Command};

use super::{change, common};
use drydock_primitives::selector::{LabelSelector, Operator, Requirement};

use crate::builder::{self, Selection, equal_labels};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// Its flags.
pub fn command() -> Command {
    Command::new("selector")
        // Files are read, folders and all below them; there is no -k.
        .args(common("kubectl-set").into_iter().filter(|flag| flag.get_long() != Some("kustomize")).map(|flag| if flag.get_long() == Some("recursive") { flag.default_value("true") } else { flag }))
        .arg(flags::text("resource-version", "", "If non-empty, the selectors update will only succeed if this is the current resource-version for the object. Only valid when specifying a single resource."))
        .override_usage("kubectl set selector (-f FILENAME | TYPE NAME) EXPRESSIONS [--resource-version=version] [options]")
}

/// A requirement as Go prints it; nothing for those that labels can say.
fn shown(requirement: &Requirement) -> Option<String> {
    let operator = match requirement.operator {
        Operator::In => "In",
        Operator::NotIn | Operator::NotEquals => "NotIn",
        Operator::Exists => "Exists",
        Operator::DoesNotExist => "DoesNotExist",
        _ => return None,
    };
    let values: Vec<&str> = requirement.values.iter().map(AsRef::as_ref).collect();
    Some(format!("{{{} {operator} [{}]}}", requirement.key, values.join(" ")))
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut selection = Selection::read_typed(factory, matches)?;
    selection.latest = !matches.on("local");
    let Some(expression) = selection.words.pop() else {
        return Err(Failure::new("one or more resources must be specified as <resource> <name> or <resource>/<name>"));
    };
    selection.refuse_words(builder::LOCAL)?;
    // upstream: apimachinery/pkg/apis/meta/v1/helpers.go ParseToLabelSelector
    let parsed: LabelSelector = expression.parse().map_err(|why| Failure::new(format!("couldn't parse the selector string \"{expression}\": {why}")))?;
    let labels = match equal_labels(&expression) {
        Ok(labels) => labels,
        Err(_) => {
            // What is not there is told first.
            selection.infos(factory).await?;
            let expressions: Vec<String> = parsed.requirements().iter().filter_map(shown).collect();
            return Err(Failure::new(format!("match expression [{}] not supported on this object", expressions.join(" "))));
        }
    };
    change(factory, matches, &selection, "selector updated", |object| {
        if object["kind"] != "Service" {
            return Err(Failure::new("setting a selector is only supported for Services"));
        }
        object["spec"]["selector"] = labels.clone();
        Ok(())
    })
    .await
}
