//! `kubectl logs`.
// upstream: kubectl/pkg/cmd/logs/logs.go, polymorphichelpers/logsforobject.go

use std::time::Duration;

use clap::{ArgMatches, Command};
use futures::stream::FuturesUnordered;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::builder::{Selection, label_flag};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{Flags, duration, number, switch, text};
use crate::pods::{self, Best};
use crate::rest::Call;

const EXPECTED: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command";
/// How many lines of each Pod a selector shows.
const SELECTED_TAIL: &str = "10";

/// Its flags.
pub fn command() -> Command {
    Command::new("logs").override_usage("kubectl logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER] [options]").args([
        switch("all-containers", "Get all containers' logs in the pod(s)."),
        switch("all-pods", "Get logs from all pod(s). Sets prefix to true."),
        text("container", "", "Print the logs of this container").short('c'),
        switch("follow", "Specify if the logs should be streamed.").short('f'),
        switch("ignore-errors", "If watching / following pod logs, allow for any errors that occur to be non-fatal"),
        switch("insecure-skip-tls-verify-backend", "Skip verifying the identity of the kubelet that logs are requested from."),
        number("limit-bytes", "0", "Maximum bytes of logs to return. Defaults to no limit."),
        number("max-log-requests", "5", "Specify maximum number of concurrent logs to follow when using by a selector. Defaults to 5."),
        duration("pod-running-timeout", "20s", "The length of time (like 5s, 2m, or 3h, higher than zero) to wait until at least one pod is running"),
        switch("prefix", "Prefix each log line with the log source (pod name and container name)"),
        switch("previous", "If true, print the logs for the previous instance of the container in a pod if it exists.").short('p'),
        label_flag(),
        duration("since", "0s", "Only return logs newer than a relative duration like 5s, 2m, or 3h. Defaults to all logs. Only one of since-time / since may be used."),
        text("since-time", "", "Only return logs after a specific date (RFC3339). Defaults to all logs. Only one of since-time / since may be used."),
        number("tail", "-1", "Lines of recent log file to display. Defaults to -1 with no selector, showing all log lines otherwise 10, if a selector is provided."),
        switch("timestamps", "Include timestamps on each line in the log output"),
    ])
}

/// What is asked for.
struct Asked {
    container: String,
    all_containers: bool,
    all_pods: bool,
    timeout: Duration,
    query: Vec<(&'static str, String)>,
}

/// The log of one container.
struct Source {
    call: Call,
    prefix: String,
}

/// Do it.
pub async fn run(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let words = matches.arguments();
    let labels = matches.text("selector");
    if words.len() > 2 || (words.is_empty() && labels.is_empty()) {
        return Err(factory.usage(EXPECTED));
    }
    if words.len() == 1 && !labels.is_empty() {
        return Err(factory.usage("only a selector (-l) or a POD name is allowed"));
    }
    let query = options(matches)?;
    let object = object(factory, &words, &labels).await?;
    validate(matches, &words)?;
    let asked = Asked {
        container: words.get(1).cloned().unwrap_or_else(|| matches.text("container")),
        all_containers: matches.on("all-containers"),
        all_pods: matches.on("all-pods"),
        timeout: matches.duration("pod-running-timeout"),
        query,
    };
    let mut sources = Vec::new();
    for pod in pods_of(factory, object, &asked).await? {
        of_pod(factory, &pod, &asked, &mut sources)?;
    }
    if !(matches.on("prefix") || asked.all_pods) {
        sources.iter_mut().for_each(|source| source.prefix.clear());
    }
    let most = matches.number("max-log-requests");
    let follow = matches.on("follow");
    if follow && sources.len() > 1 && i64::try_from(sources.len()).is_ok_and(|count| count > most) {
        let text = format!(
            "you are attempting to follow {} log streams, but maximum allowed concurrency is {most}, use --max-log-requests to increase the limit",
            sources.len()
        );
        return Err(Failure::new(text));
    }
    print(factory, sources, follow, matches.on("ignore-errors")).await
}

/// The parameters of the log endpoint.
fn options(matches: &ArgMatches) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut query = Vec::new();
    for (flag, name) in [("follow", "follow"), ("insecure-skip-tls-verify-backend", "insecureSkipTLSVerifyBackend")] {
        if matches.on(flag) {
            query.push((name, "true".to_owned()));
        }
    }
    if matches.number("limit-bytes") != 0 {
        query.push(("limitBytes", matches.number("limit-bytes").to_string()));
    }
    if matches.on("previous") {
        query.push(("previous", "true".to_owned()));
    }
    let since = matches.duration("since");
    if !since.is_zero() {
        query.push(("sinceSeconds", format!("{:.0}", since.as_secs_f64().round())));
    }
    let time = matches.text("since-time");
    if !time.is_empty() {
        let not = || Failure::new(format!("parsing time {time:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {time:?} as \"2006\""));
        let parsed = drydock_primitives::time::parse(&time).ok_or_else(not)?;
        query.push(("sinceTime", drydock_primitives::time::seconds(parsed)));
    }
    if matches.number("tail") != -1 {
        query.push(("tailLines", matches.text("tail")));
    } else if !matches.text("selector").is_empty() && !matches.changed("tail") {
        query.push(("tailLines", SELECTED_TAIL.to_owned()));
    }
    if matches.on("timestamps") {
        query.push(("timestamps", "true".to_owned()));
    }
    Ok(query)
}

fn validate(matches: &ArgMatches, words: &[String]) -> Result<(), Failure> {
    let container = words.get(1).cloned().unwrap_or_else(|| matches.text("container"));
    let mistakes = [
        (!matches.text("since-time").is_empty() && !matches.duration("since").is_zero(), "at most one of `sinceTime` or `sinceSeconds` may be specified".to_owned()),
        (matches.on("all-containers") && !container.is_empty(), format!("--all-containers=true should not be specified with container name {container}")),
        (matches.changed("container") && words.len() == 2, "only one of -c or an inline [CONTAINER] arg is allowed".to_owned()),
        (matches.number("limit-bytes") < 0, "--limit-bytes must be greater than 0".to_owned()),
        (matches.text("since").starts_with('-'), "--since must be greater than 0".to_owned()),
        (matches.number("tail") < -1, "--tail must be greater than or equal to -1".to_owned()),
    ];
    match mistakes.into_iter().find(|(made, _)| *made) {
        Some((_, text)) => Err(Failure::new(text)),
        None => Ok(()),
    }
}

/// The object whose log is wanted: one by name, or a list of Pods by labels.
async fn object(factory: &Factory, words: &[String], labels: &str) -> Result<Value, Failure> {
    let (namespace, _) = factory.namespace()?;
    if words.is_empty() {
        let call = Call::get(format!("/api/v1/namespaces/{namespace}/pods")).query("labelSelector", labels).query("limit", "500");
        let list = factory.call(call).await?;
        if list["items"].as_array().is_none_or(Vec::is_empty) {
            factory.streams.warn(&format!("No resources found in {namespace} namespace."));
        }
        return Ok(list);
    }
    let selection = Selection { words: vec![words[0].clone()], namespace: namespace.clone(), default_type: "pods".to_owned(), chunk: 500, ..Selection::default() };
    let missing = |failure: Failure| {
        if failure.is("NotFound") {
            return Failure::new(format!("error from server (NotFound): {} in namespace {namespace:?}", failure.text()));
        }
        failure
    };
    let mut infos = selection.infos(factory).await.map_err(missing)?;
    match (infos.pop(), infos.len()) {
        (Some(info), 0) => Ok(info.object),
        _ => Err(Failure::new("expected a resource")),
    }
}

async fn pods_of(factory: &Factory, object: Value, asked: &Asked) -> Result<Vec<Value>, Failure> {
    match object["kind"].as_str() {
        Some("PodList") => return Ok(object["items"].as_array().cloned().unwrap_or_default()),
        Some("Pod") => return Ok(vec![object]),
        _ => {}
    }
    let not = |failure: Failure| Failure::new(format!("cannot get the logs from {}: {}", pods::go_type(&object), failure.text()));
    let (namespace, selector) = pods::selector(&object).map_err(not)?;
    let mut found = pods::all(factory, &namespace, &selector, asked.timeout, Best::Logging).await?;
    if found.len() > 1 && !asked.all_pods {
        factory.streams.warn(&format!("Found {} pods, using pod/{}", found.len(), found[0]["metadata"]["name"].as_str().unwrap_or_default()));
        found.truncate(1);
    }
    Ok(found)
}

fn of_pod(factory: &Factory, pod: &Value, asked: &Asked, sources: &mut Vec<Source>) -> Result<(), Failure> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let containers: Vec<String> = if asked.all_containers {
        let all = ["initContainers", "containers", "ephemeralContainers"].iter().flat_map(|field| pods::containers(pod, field));
        all.filter_map(|container| container["name"].as_str()).map(str::to_owned).collect()
    } else {
        vec![one_container(factory, pod, asked)]
    };
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    for container in containers {
        if pods::container(pod, &container).is_none() {
            return Err(Failure::new(format!("container {container} is not valid for pod {name}")));
        }
        let call = Call::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/log")).query("container", &container);
        let call = asked.query.iter().fold(call, |call, (name, value)| call.query(name, value));
        sources.push(Source { call, prefix: format!("[pod/{name}/{container}] ") });
    }
    Ok(())
}

fn one_container(factory: &Factory, pod: &Value, asked: &Asked) -> String {
    if !asked.container.is_empty() {
        return asked.container.clone();
    }
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(annotated) = pods::annotated(pod) {
        if pods::container(pod, annotated).is_some() {
            return annotated.to_owned();
        }
        factory.streams.warn(&format!("Default container name {annotated:?} not found in pod {name}"));
    }
    let first = pods::containers(pod, "containers").find_map(|container| container["name"].as_str()).unwrap_or_default();
    if pods::has_several(pod) && !asked.all_pods {
        factory.streams.warn(&format!("Defaulted container {first:?} out of: {}", pods::all_names(pod)));
    }
    first.to_owned()
}

/// One after the other, or all at once when they are followed.
async fn print(factory: &Factory, sources: Vec<Source>, follow: bool, tolerant: bool) -> Result<(), Failure> {
    let tolerated = |outcome: Result<(), Failure>| match outcome {
        Err(failure) if tolerant => factory.streams.line(&format!("error: {}", failure.text())),
        outcome => outcome,
    };
    if follow && sources.len() > 1 {
        let all: FuturesUnordered<_> = sources.iter().map(|source| copy(factory, source, true)).collect();
        return all.map(tolerated).try_collect().await;
    }
    for source in &sources {
        tolerated(copy(factory, source, follow).await)?;
    }
    Ok(())
}

/// Line by line, so that lines of several logs stay whole.
async fn copy(factory: &Factory, source: &Source, at_once: bool) -> Result<(), Failure> {
    let log = factory.rest().await?.stream(&factory.streams, source.call.clone()).await?;
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    loop {
        line.clear();
        if log.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        factory.streams.print(&source.prefix)?;
        factory.streams.print(&line)?;
        if at_once && log.buffer().is_empty() {
            factory.streams.flush()?;
        }
    }
}
