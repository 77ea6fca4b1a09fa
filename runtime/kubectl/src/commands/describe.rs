//! `kubectl describe`.
// upstream: kubectl/pkg/cmd/describe/describe.go

use clap::{ArgMatches, Command};
use serde_json::Value;

use crate::builder::{Info, Selection, all_namespaces_flag, file_flags, label_flag};
use crate::describe::describe;
use crate::describe::related::{Related, wanted};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, number, switch_on};
use crate::rest::Call;

/// Its flags.
pub fn command() -> Command {
    Command::new("describe").override_usage("kubectl describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME) [options]").args([
        all_namespaces_flag(),
        number("chunk-size", "500", "Return large lists in chunks rather than all at once. Pass 0 to disable. This flag is beta and may change in the future."),
        label_flag(),
        switch_on("show-events", "If true, display events related to the described object."),
    ]).args(file_flags("containing the resource to describe"))
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    if words.is_empty() && matches.texts("filename").is_empty() && matches.text("kustomize").is_empty() {
        let text = "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.\n";
        return Err(Failure::new(text));
    }
    let read = Selection::read(factory, matches)?;
    let everywhere = read.all_namespaces;
    let one_type = words.len() == 1 && !words[0].contains('/');
    let selection = Selection { all: one_type, enforced: read.enforced && !everywhere, ..read };
    let namespace = selection.namespace.clone();
    let show_events = matches.on("show-events");
    let (infos, failed) = selection.gather(factory).await?;
    if let (Some(failure), [resource, prefix]) = (&failed, words.as_slice())
        && failure.is("NotFound")
    {
        let all = Selection { words: vec![resource.clone()], labels: String::new(), empty_selects: true, ..selection };
        return matching(factory, &all, prefix, failure.clone(), show_events).await;
    }
    let mut failures: Vec<Failure> = failed.into_iter().collect();
    let mut first = true;
    for info in &infos {
        match one(factory, info, show_events).await {
            Ok(text) => {
                factory.streams.print(if first { text } else { format!("\n\n{text}") })?;
                first = false;
            }
            Err(failure) if failures.iter().any(|known| known.text() == failure.text()) => {}
            Err(failure) => failures.push(failure),
        }
    }
    if infos.is_empty() && failures.is_empty() {
        let place = if everywhere { "No resources found".to_owned() } else { format!("No resources found in {namespace} namespace.") };
        factory.streams.warn(&place);
    }
    Failure::together(failures)
}

/// Objects whose names begin so; without any, the failure to find the one with the whole name.
async fn matching(factory: &Factory, all: &Selection, prefix: &str, missing: Failure, show_events: bool) -> Result<(), Failure> {
    let mut found = false;
    for info in all.infos(factory).await?.iter().filter(|info| info.name.starts_with(prefix)) {
        found = true;
        let text = one(factory, info, show_events).await?;
        factory.streams.line(&text)?;
    }
    if found { Ok(()) } else { Err(missing) }
}

async fn one(factory: &Factory, info: &Info, show_events: bool) -> Result<String, Failure> {
    // What was found is only a name: each description asks for its object again.
    let mut object = factory.call(Call::get(info.path())).await?;
    if object["kind"].is_null() {
        object["kind"] = info.mapping.kind.clone().into();
        object["apiVersion"] = info.mapping.api_version().into();
    }
    let mut related = Related { show_events, ..Related::default() };
    for asked in wanted(&object, show_events) {
        let call = asked.query.iter().fold(Call::get(&asked.path), |call, (name, value)| call.query(name, value)).query_some("limit", if matches!(asked.name, "lease" | "endpointslices") { "" } else { "500" });
        let answer = items(factory, call).await;
        if asked.required && let Err(failure) = answer {
            return Err(failure);
        }
        related.found.insert(asked.name, answer.map_err(|failure| failure.text()));
    }
    Ok(describe(&object, &related, &jiff::Zoned::now()))
}

/// All parts of a list, or the one object.
async fn items(factory: &Factory, call: Call) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let answer = factory.call(call.clone().query_some("continue", &token)).await?;
        let is_list = answer["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        if !is_list {
            return Ok(vec![answer]);
        }
        token = answer["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        items.extend(answer["items"].as_array().into_iter().flatten().cloned());
        if token.is_empty() {
            return Ok(items);
        }
    }
}
