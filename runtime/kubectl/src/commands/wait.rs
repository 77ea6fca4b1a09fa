//! `kubectl wait`.
// upstream: kubectl/pkg/cmd/wait/{wait,condition,delete,create,json}.go

use std::time::Duration;

use clap::{ArgMatches, Command};
use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio::time::Instant;

use crate::builder::{Info, Selection, all_namespaces_flag, field_flag, file_flags, label_flag};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, duration, switch, text};
use crate::jsonpath;
use crate::jsonpath::JsonPath;
use crate::print::{self, Printer};
use crate::rest::Call;

/// A week: what a negative `--timeout` means.
const WEEK: Duration = Duration::from_secs(168 * 3600);
/// How often an object is looked for that does not exist yet.
const POLL: Duration = Duration::from_millis(500);

/// Its flags.
pub fn command() -> Command {
    Command::new("wait")
        .override_usage("kubectl wait ([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) [--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]] [options]")
        .args(print::arguments())
        // Folders are read with all below them, and there is no -k.
        .args(file_flags("identifying the resource.").into_iter().filter(|flag| flag.get_long() != Some("kustomize")).map(|flag| if flag.get_long() == Some("recursive") { flag.default_value("true") } else { flag }))
        .args([label_flag(), field_flag(), all_namespaces_flag()])
        .args([
            switch("all", "Select all resources in the namespace of the specified resource types"),
            text("for", "", "The condition to wait on: [create|delete|condition=condition-name[=condition-value]|jsonpath='{JSONPath expression}'=[JSONPath value]]. The default condition-value is true. Condition values are compared after Unicode simple case folding, which is a more general form of case-insensitivity."),
            switch("local", "If true, annotation will NOT contact api-server but run locally."),
            duration("timeout", "30s", "The length of time to wait before giving up. Zero means check once and don't wait, negative means wait for a week."),
        ])
}

/// What is waited for.
#[derive(Debug)]
enum Goal {
    Delete,
    Create,
    Condition { name: String, status: String },
    Path { path: JsonPath, value: Option<String> },
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let mut printer = Printer::read(factory, matches, &[])?;
    let selection = Selection { latest: true, ..Selection::read(factory, matches)? };
    let goal = goal(&matches.text("for"))?;
    let limit = if matches.text("timeout").starts_with('-') { WEEK } else { matches.duration("timeout") };
    let until = Instant::now() + limit;
    if matches!(goal, Goal::Create) {
        until_created(factory, &selection, until).await?;
    }
    let mut found = false;
    let visited = selection.visit(factory, async |info| {
        found = true;
        let object = reached(factory, &info, &goal, limit, until).await?;
        match &mut printer {
            Some(printer) => printer.print(factory, &object)?,
            None => factory.streams.line(&format!("{} condition met", info.word()))?,
        }
        factory.streams.flush()
    });
    let failed = visited.await.err();
    let gone = matches!(goal, Goal::Delete);
    match if gone { failed.and_then(|failure| failure.without("NotFound")) } else { failed } {
        None if !found && !gone => Err(Failure::new("no matching resources found")),
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

fn goal(text: &str) -> Result<Goal, Failure> {
    match text.to_lowercase().as_str() {
        "delete" => return Ok(Goal::Delete),
        "create" => return Ok(Goal::Create),
        _ => {}
    }
    if let Some(condition) = text.strip_prefix("condition=") {
        let (name, status) = condition.split_once('=').unwrap_or((condition, "true"));
        return Ok(Goal::Condition { name: name.to_owned(), status: status.to_owned() });
    }
    if let Some(path) = text.strip_prefix("jsonpath=") {
        let (path, value) = path_and_value(path)?;
        return Ok(Goal::Path { path: JsonPath::parse(&path).map_err(Failure::new)?, value });
    }
    Err(Failure::new(format!("unrecognized condition: {text:?}")))
}

fn path_and_value(text: &str) -> Result<(String, Option<String>), Failure> {
    let parts = split_single_equals(text);
    let relaxed = |path: &str| if path.is_empty() { Err(Failure::new("jsonpath expression cannot be empty")) } else { jsonpath::relaxed(path).map_err(Failure::new) };
    match parts.as_slice() {
        [path] => Ok((relaxed(path)?, None)),
        [path, value] => {
            let path = relaxed(path)?;
            let value = value.trim_matches(['\'', '"']);
            if value.is_empty() {
                return Err(Failure::new("jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3"));
            }
            Ok((path, Some(value.to_owned())))
        }
        _ => Err(Failure::new("jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or --for=jsonpath='{.status.readyReplicas}'")),
    }
}

/// Parts between single equal signs; double ones belong to the path.
fn split_single_equals(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let doubled = char == '=' && chars.next_if_eq(&'=').is_some();
        match parts.last_mut() {
            Some(part) if doubled => part.push_str("=="),
            Some(part) if char != '=' => part.push(char),
            _ => parts.push(String::new()),
        }
    }
    parts
}

async fn until_created(factory: &Factory, selection: &Selection, until: Instant) -> Result<(), Failure> {
    loop {
        match selection.infos(factory).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is("NotFound") => {}
            Err(failure) => return Err(failure),
        }
        if Instant::now() + POLL > until {
            tokio::time::sleep_until(until).await;
            return Err(Failure::new("timed out waiting for the condition"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The object once it is as wanted.
async fn reached(factory: &Factory, info: &Info, goal: &Goal, limit: Duration, until: Instant) -> Result<Value, Failure> {
    if matches!(goal, Goal::Create) {
        return Ok(info.object.clone());
    }
    let name = format!("{}/{}", info.mapping.resource, info.name);
    let object = match info.get(factory).await {
        Ok(object) => object,
        Err(failure) if failure.is("NotFound") && matches!(goal, Goal::Delete) => return Ok(info.object.clone()),
        Err(failure) => return Err(failure),
    };
    if met(goal, &object)? {
        return Ok(object);
    }
    if limit.is_zero() {
        return Err(Failure::new(format!("condition not met for {name}")));
    }
    match tokio::time::timeout_at(until, watched(factory, info, goal, &object)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::new(format!("timed out waiting for the condition on {name}"))),
    }
}

/// Watch until it is as wanted; a watch that ends is begun again.
async fn watched(factory: &Factory, info: &Info, goal: &Goal, object: &Value) -> Result<Value, Failure> {
    let mut since = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    loop {
        let call = Call::get(info.mapping.list_path(&info.namespace)).query("fieldSelector", format!("metadata.name={}", info.name));
        let call = call.query("watch", "true").query_some("resourceVersion", &since);
        let mut lines = factory.rest().await?.stream(&factory.streams, call).await?.lines();
        while let Some(line) = lines.next_line().await? {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let object = &event["object"];
            match event["type"].as_str() {
                Some("DELETED") if matches!(goal, Goal::Delete) => return Ok(object.clone()),
                Some("ADDED" | "MODIFIED") if met(goal, object)? => return Ok(object.clone()),
                Some("ERROR") => break,
                _ => {}
            }
        }
        match info.get(factory).await {
            Ok(object) if met(goal, &object)? => return Ok(object),
            Ok(object) => since = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
            Err(failure) if failure.is("NotFound") && matches!(goal, Goal::Delete) => return Ok(object.clone()),
            Err(failure) => return Err(failure),
        }
    }
}

fn met(goal: &Goal, object: &Value) -> Result<bool, Failure> {
    match goal {
        Goal::Delete => Ok(false),
        Goal::Create => Ok(true),
        Goal::Condition { name, status } => Ok(has_condition(object, name, status)),
        Goal::Path { path, value } => has_value(object, path, value.as_deref()),
    }
}

fn has_condition(object: &Value, name: &str, status: &str) -> bool {
    let same = |one: &Value, other: &str| one.as_str().is_some_and(|one| one.to_lowercase() == other.to_lowercase());
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let Some(condition) = conditions.into_iter().find(|condition| same(&condition["type"], name)) else { return false };
    let observed = condition["observedGeneration"].as_i64().or_else(|| object["status"]["observedGeneration"].as_i64());
    if let (Some(observed), Some(generation)) = (observed, object["metadata"]["generation"].as_i64())
        && observed < generation
    {
        return false;
    }
    same(&condition["status"], status)
}

fn has_value(object: &Value, path: &JsonPath, value: Option<&str>) -> Result<bool, Failure> {
    let found = path.find(object).map_err(Failure::new)?;
    let Some(first) = found.first().filter(|first| !first.is_empty()) else { return Ok(false) };
    if found.len() > 1 {
        return Err(Failure::new("given jsonpath expression matches more than one list"));
    }
    let [one] = first.as_slice() else { return Err(Failure::new("given jsonpath expression matches more than one value")) };
    let Some(wanted) = value else { return Ok(true) };
    if one.is_object() || one.is_array() {
        return Err(Failure::new("jsonpath leads to a nested object or list which is not supported"));
    }
    Ok(print::go::print(one).trim() == wanted.trim())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_are_met_by_what_the_object_says_now() {
        let object = json!({
            "metadata": {"generation": 2},
            "status": {"phase": "Running", "observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True"}, {"type": "Old", "status": "True", "observedGeneration": 1}]},
        });
        let cases = [
            ("condition=Ready", Ok(true)),
            ("condition=ready=TRUE", Ok(true)),
            ("condition=Ready=false", Ok(false)),
            ("condition=Old", Ok(false)),
            ("condition=Missing", Ok(false)),
            ("jsonpath={.status.phase}=Running", Ok(true)),
            ("jsonpath=.status.phase=Pending", Ok(false)),
            ("jsonpath='{.status.phase}'", Err("unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'")),
            ("jsonpath={.status.phase}", Ok(true)),
            ("jsonpath={.status.nothing}", Ok(false)),
            ("jsonpath={.status}=x", Err("jsonpath leads to a nested object or list which is not supported")),
            ("jsonpath={.status.conditions[*].type}=x", Err("given jsonpath expression matches more than one value")),
            ("jsonpath={.status.conditions[?(@.type==\"Ready\")].status}=True", Ok(true)),
            ("jsonpath=", Err("jsonpath expression cannot be empty")),
            ("ready", Err("unrecognized condition: \"ready\"")),
        ];
        for (text, wanted) in cases {
            let found = goal(text).and_then(|goal| met(&goal, &object)).map_err(|failure| failure.text());
            assert_eq!(found, wanted.map_err(str::to_owned), "{text}");
        }
    }
}
