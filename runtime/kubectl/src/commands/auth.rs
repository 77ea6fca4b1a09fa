//! `kubectl auth`: can-i, whoami; reconcile has a file of its own.
// upstream: kubectl/pkg/cmd/auth/{cani,whoami}.go

mod reconcile;

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};
use crate::print::{self, Printer, go, table};
use crate::rest::Call;

pub use reconcile::{command as reconcile_command, run as reconcile};

/// `auth` alone.
pub fn command() -> Command {
    Command::new("auth").about("Inspect authorization.").override_usage("kubectl auth [flags] [options]")
}

/// Flags of `auth can-i`.
pub fn can_i_command() -> Command {
    Command::new("can-i")
        .args([
            crate::builder::all_namespaces_flag(),
            flags::switch("list", "If true, prints all allowed actions."),
            flags::switch("no-headers", "If true, prints allowed actions without headers"),
            flags::switch("quiet", "If true, suppress output and just return the exit code.").short('q'),
            flags::text("subresource", "", "SubResource such as pod/log or deployment/scale"),
        ])
        .override_usage("kubectl auth can-i VERB [TYPE | TYPE/NAME | NONRESOURCEURL] [options]")
}

/// `auth can-i`.
pub async fn can_i(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let (namespace, _) = factory.namespace()?;
    let namespace = if matches.on("all-namespaces") { String::new() } else { namespace };
    let words = matches.arguments();
    if matches.on("list") {
        if !words.is_empty() {
            return Err(Failure::new("list option must be specified with no arguments"));
        }
        return list(factory, matches, &namespace).await;
    }
    if matches.on("no-headers") {
        return Err(Failure::new("--no-headers can only be used with --list"));
    }
    let (verb, target) = match words.as_slice() {
        [verb] if matches.on("all-namespaces") || verb.is_empty() => return Err(usage()),
        [verb, target] => (verb, target),
        _ => return Err(usage()),
    };
    let mut spec = json!({});
    if target.starts_with('/') {
        spec["nonResourceAttributes"] = json!({"path": target, "verb": verb});
    } else {
        spec["resourceAttributes"] = resource(factory, matches, verb, target, &namespace).await?;
    }
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {"creationTimestamp": null}, "spec": spec, "status": {"allowed": false}});
    let answer = factory.call(Call::new(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").json(&review)).await?;
    let status = &answer["status"];
    let allowed = status["allowed"] == true;
    if !matches.on("quiet") {
        let mut text = if allowed { "yes" } else { "no" }.to_owned();
        for (field, separator) in [("reason", " - "), ("evaluationError", " - ")] {
            if let Some(more) = status[field].as_str().filter(|more| !more.is_empty() && !allowed) {
                text.push_str(&format!("{separator}{more}"));
            }
        }
        factory.streams.line(&text)?;
    }
    if allowed { Ok(()) } else { Err(Failure::Exit(1)) }
}

fn usage() -> Failure {
    Failure::new("you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples.")
}

/// The kind a word means; a server that cannot be asked knows none.
async fn known(factory: &Factory, word: &str) -> Result<Option<Mapping>, Failure> {
    match factory.look(|mapper| mapper.find(word).cloned()).await {
        Err(Failure::Unreachable(_) | Failure::Status(_)) => Ok(None),
        other => other,
    }
}

async fn resource(factory: &Factory, matches: &ArgMatches, verb: &str, target: &str, namespace: &str) -> Result<Value, Failure> {
    let (word, name) = target.split_once('/').unwrap_or((target, ""));
    let found = if word == "*" { None } else { known(factory, word).await? };
    let (group, plural) = match &found {
        Some(mapping) => (mapping.group.clone(), mapping.resource.clone()),
        None => {
            let (resource, group) = word.split_once('.').unwrap_or((word, ""));
            if word != "*" {
                let place = if group.is_empty() { String::new() } else { format!(" in group '{group}'") };
                factory.streams.warn(&format!("Warning: the server doesn't have a resource type '{resource}'{place}\n"));
            }
            (if word == "*" { "*".to_owned() } else { group.to_owned() }, resource.to_owned())
        }
    };
    let mut namespace = namespace;
    if let Some(mapping) = &found
        && !matches.on("all-namespaces")
    {
        // Whether it is in namespaces is asked anew. upstream: kubectl/pkg/cmd/auth/cani.go isNamespaced
        let root = if mapping.group.is_empty() { "/api" } else { "/apis" };
        drop(factory.call(Call::get(format!("{root}/{}", mapping.api_version())).accept(crate::rest::ANYTHING)).await);
    }
    if let Some(mapping) = &found
        && !mapping.namespaced
        && !namespace.is_empty()
    {
        if !matches.on("all-namespaces") && name.is_empty() {
            let scope = if mapping.group.is_empty() { String::new() } else { format!(" in group '{}'", mapping.group) };
            factory.streams.warn(&format!("Warning: resource '{}' is not namespace scoped{scope}\n", mapping.resource));
        }
        namespace = "";
    }
    let mut attributes = json!({"verb": verb, "resource": plural});
    for (field, value) in [("namespace", namespace), ("group", group.as_str()), ("name", name), ("subresource", &matches.text("subresource"))] {
        if !value.is_empty() {
            attributes[field] = json!(value);
        }
    }
    Ok(attributes)
}

async fn list(factory: &Factory, matches: &ArgMatches, namespace: &str) -> Result<(), Failure> {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}});
    let answer = factory.call(Call::new(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews").json(&review)).await?;
    let mut lines: Vec<Vec<String>> = Vec::new();
    if !matches.on("no-headers") {
        lines.push(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec());
    }
    let shown = |value: &Value| if value.is_array() { go::print(value) } else { "[]".to_owned() };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for rule in answer["status"]["resourceRules"].as_array().into_iter().flatten() {
        for resource in rule["resources"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            for group in rule["apiGroups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let full = if group.is_empty() { resource.to_owned() } else { match resource.split_once('/') {
                    Some((resource, sub)) => format!("{resource}.{group}/{sub}"),
                    None => format!("{resource}.{group}"),
                } };
                rows.push(vec![full, "[]".to_owned(), shown(&rule["resourceNames"]), shown(&rule["verbs"])]);
            }
        }
    }
    rows.sort();
    lines.extend(rows);
    for rule in answer["status"]["nonResourceRules"].as_array().into_iter().flatten() {
        for url in rule["nonResourceURLs"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            lines.push(vec![String::new(), format!("[{url}]"), "[]".to_owned(), shown(&rule["verbs"])]);
        }
    }
    factory.streams.print(table::align(&lines, &mut Vec::new()))
}

/// Flags of `auth whoami`.
pub fn whoami_command() -> Command {
    Command::new("whoami").args(print::arguments()).override_usage("kubectl auth whoami [options]")
}

/// `auth whoami`.
pub async fn whoami(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {"creationTimestamp": null}, "status": {"userInfo": {}}});
    let answer = factory.call(Call::new(Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews").json(&review)).await?;
    if let Some(mut printer) = Printer::read(factory, matches, &[])? {
        return printer.print(factory, &answer);
    }
    let user = &answer["status"]["userInfo"];
    let mut lines = vec![vec!["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
    for (field, title) in [("username", "Username"), ("uid", "UID")] {
        if let Some(value) = user[field].as_str().filter(|value| !value.is_empty()) {
            lines.push(vec![title.to_owned(), value.to_owned()]);
        }
    }
    if user["groups"].as_array().is_some_and(|groups| !groups.is_empty()) {
        lines.push(vec!["Groups".to_owned(), go::print(&user["groups"])]);
    }
    for (key, value) in user["extra"].as_object().into_iter().flatten() {
        lines.push(vec![format!("Extra: {key}"), go::print(value)]);
    }
    factory.streams.print(table::align(&lines, &mut Vec::new()))
}
