//! `kubectl describe`.
// upstream: kubectl/pkg/cmd/describe/describe.go

use clap::{ArgMatches, Command};
use serde_json::Value;

use crate::builder::{Info, Selection};
use crate::describe::describe;
use crate::describe::related::{Related, wanted};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, list, number, switch, switch_on, text};
use crate::rest::Call;

/// Its flags.
pub fn command() -> Command {
    Command::new("describe").override_usage("kubectl describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)").args([
        switch("all-namespaces", "If present, list the requested object(s) across all namespaces. Namespace in current context is ignored even if specified with --namespace.").short('A'),
        number("chunk-size", "500", "Return large lists in chunks rather than all at once. Pass 0 to disable. This flag is beta and may change in the future."),
        list("filename", "Filename, directory, or URL to files containing the resource to describe").short('f'),
        text("kustomize", "", "Process the kustomization directory. This flag can't be used together with -f or -R.").short('k'),
        switch("recursive", "Process the directory used in -f, --filename recursively. Useful when you want to manage related manifests organized within the same directory.").short('R'),
        text("selector", "", "Selector (label query) to filter on, supports '=', '==', '!=', 'in', 'notin'.(e.g. -l key1=value1,key2=value2,key3 in (value3)).").short('l'),
        switch_on("show-events", "If true, display events related to the described object."),
    ])
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let filenames = matches.texts("filename");
    if words.is_empty() && filenames.is_empty() && matches.text("kustomize").is_empty() {
        let text = "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.\n";
        return Err(Failure::new(text));
    }
    let (namespace, enforced) = factory.namespace()?;
    let everywhere = matches.on("all-namespaces");
    let selection = Selection {
        filenames,
        kustomize: matches.text("kustomize"),
        recursive: matches.on("recursive"),
        labels: matches.text("selector"),
        empty_selects: true,
        latest: true,
        all_namespaces: everywhere,
        namespace: namespace.clone(),
        enforced: enforced && !everywhere,
        chunk: matches.number("chunk-size"),
        words: words.clone(),
        ..Selection::default()
    };
    let show_events = matches.on("show-events");
    let (infos, mut failures) = match selection.gather(factory).await {
        Ok(found) => found,
        Err(failure) => (vec![], vec![failure]),
    };
    if let ([failure], [resource, prefix]) = (failures.as_slice(), words.as_slice())
        && failure.is("NotFound")
    {
        let all = Selection { words: vec![resource.clone()], labels: String::new(), ..selection };
        return matching(factory, &all, prefix, failure.clone(), show_events).await;
    }
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
    Failure::all(failures)
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
    let mut object = info.object.clone();
    if object["kind"].is_null() {
        object["kind"] = info.mapping.kind.clone().into();
        object["apiVersion"] = info.mapping.api_version().into();
    }
    if !info.source.is_empty() {
        object = info.get(factory).await?;
    }
    let mut related = Related { show_events, ..Related::default() };
    for asked in wanted(&object, show_events) {
        let call = asked.query.iter().fold(Call::get(&asked.path), |call, (name, value)| call.query(name, value)).query_some("limit", if asked.name == "lease" { "" } else { "500" });
        let answer = items(factory, call).await;
        if asked.required && let Err(failure) = answer {
            return Err(failure);
        }
        related.found.insert(asked.name, answer.map_err(|failure| failure.text()));
    }
    Ok(describe(&object, &related, jiff::Timestamp::now()))
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
