//! `kubectl create quota`, `poddisruptionbudget`, `priorityclass`, `ingress`.
// upstream: kubectl/pkg/cmd/create/{create_quota,create_pdb,create_priorityclass,create_ingress}.go

use clap::{ArgMatches, Command};
use serde_json::{Map, Value, json};

use super::{finish, generator, metadata, one_name};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

/// Flags of `create quota`.
pub fn quota_command() -> Command {
    generator("quota", [
        flags::text("hard", "", "A comma-delimited set of resource=quantity pairs that define a hard limit."),
        flags::text("scopes", "", "A comma-delimited set of quota scopes that must all match each object tracked by the quota."),
    ])
    .override_usage("kubectl create quota NAME [--hard=key1=value1,key2=value2] [--scopes=Scope1,Scope2] [--dry-run=server|client|none] [options]")
}

/// `create quota`.
pub async fn quota(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let mut spec = Map::new();
    let mut hard = Map::new();
    for pair in matches.text("hard").split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| Failure::new(format!("Invalid argument syntax {pair}, expected <resource>=<value>")))?;
        value.parse::<drydock_primitives::quantity::Quantity>().map_err(|_| Failure::new(crate::write::QUANTITY))?;
        hard.insert(key.to_owned(), json!(value));
    }
    if !hard.is_empty() {
        spec.insert("hard".to_owned(), Value::Object(hard));
    }
    let scopes: Vec<String> = matches.text("scopes").split(',').filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
    if !scopes.is_empty() {
        spec.insert("scopes".to_owned(), json!(scopes));
    }
    let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata(factory, &name)?, "spec": spec, "status": {}});
    finish(factory, matches, object, "failed to create quota: ").await
}

/// Flags of `create poddisruptionbudget`.
pub fn budget_command() -> Command {
    generator("poddisruptionbudget", [
        flags::text("selector", "", "A label selector to use for this budget. Only equality-based selector requirements are supported."),
        flags::text("min-available", "", "The minimum number or percentage of available pods this budget requires."),
        flags::text("max-unavailable", "", "The maximum number or percentage of unavailable pods this budget requires."),
    ])
    .override_usage("kubectl create poddisruptionbudget NAME --selector=SELECTOR --min-available=N [--dry-run=server|client|none] [options]")
}

/// `create poddisruptionbudget`.
pub async fn budget(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let (selector, least, most) = (matches.text("selector"), matches.text("min-available"), matches.text("max-unavailable"));
    if selector.is_empty() {
        return Err(Failure::new("a selector must be specified"));
    }
    if least.is_empty() && most.is_empty() {
        return Err(Failure::new("one of min-available or max-unavailable must be specified"));
    }
    if !least.is_empty() && !most.is_empty() {
        return Err(Failure::new("min-available and max-unavailable cannot be both specified"));
    }
    let number = |text: &str| text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
    let mut spec = json!({"selector": {"matchLabels": crate::builder::equal_labels(&selector)?}});
    if least.is_empty() {
        spec["maxUnavailable"] = number(&most);
    } else {
        spec["minAvailable"] = number(&least);
    }
    let status = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    let object = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata(factory, &name)?, "spec": spec, "status": status});
    finish(factory, matches, object, "failed to create poddisruptionbudgets: ").await
}

/// Flags of `create priorityclass`.
pub fn priority_command() -> Command {
    generator("priorityclass", [
        flags::number("value", "0", "the value of this priority class."),
        flags::switch("global-default", "global-default specifies whether this PriorityClass should be considered as the default priority."),
        flags::text("description", "", "description is an arbitrary string that usually provides guidelines on when this priority class should be used."),
        flags::text("preemption-policy", "PreemptLowerPriority", "preemption-policy is the policy for preempting pods with lower priority."),
    ])
    .override_usage("kubectl create priorityclass NAME --value=VALUE --global-default=BOOL [--dry-run=server|client|none] [options]")
}

/// `create priorityclass`.
pub async fn priority(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let mut object = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"creationTimestamp": null, "name": name},
        "preemptionPolicy": matches.text("preemption-policy"), "value": matches.number("value"),
    });
    if !matches.text("description").is_empty() {
        object["description"] = json!(matches.text("description"));
    }
    if matches.on("global-default") {
        object["globalDefault"] = json!(true);
    }
    finish(factory, matches, object, "failed to create priorityclass: ").await
}

/// Flags of `create ingress`.
pub fn ingress_command() -> Command {
    generator("ingress", [
        flags::text("class", "", "Ingress Class to be used"),
        flags::array("rule", "Rule in format host/path=service:port[,tls=secretname]. Paths containing the leading character '*' are considered pathType=Prefix. tls argument is optional."),
        flags::text("default-backend", "", "Default service for backend, in format of svcname:port"),
        flags::array("annotation", "Annotation to insert in the ingress object, in the format annotation=value"),
    ])
    .override_usage("kubectl create ingress NAME --rule=host/path=service:port[,tls[=secret]]  [options]")
}

/// `create ingress`.
pub async fn ingress(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let (given, backend) = (matches.texts("rule"), matches.text("default-backend"));
    if given.is_empty() && backend.is_empty() {
        return Err(Failure::new("not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of rules (which catch specific paths)"));
    }
    let mut meta = metadata(factory, &name)?;
    for annotation in matches.texts("annotation") {
        let (key, value) = annotation.split_once('=').ok_or_else(|| Failure::new(format!("annotation {annotation} is invalid and should be in format key=[value]")))?;
        meta["annotations"][key] = json!(value);
    }
    let mut spec = Map::new();
    if !backend.is_empty() {
        spec.insert("defaultBackend".to_owned(), service(&backend).ok_or_else(|| Failure::new("default-backend should be in format servicename:serviceport"))?);
    }
    if !matches.text("class").is_empty() {
        spec.insert("ingressClassName".to_owned(), json!(matches.text("class")));
    }
    let (rules, tls) = rules(&given)?;
    if !rules.is_empty() {
        spec.insert("rules".to_owned(), json!(rules));
    }
    if !tls.is_empty() {
        spec.insert("tls".to_owned(), json!(tls));
    }
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec, "status": {"loadBalancer": {}}});
    finish(factory, matches, object, "failed to create ingress: ").await
}

fn rules(given: &[String]) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let mut rules: Vec<Value> = Vec::new();
    let mut tls: Vec<Value> = Vec::new();
    for rule in given {
        let bad = || Failure::new(format!("rule {rule} is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]"));
        let (main, secure) = rule.split_once(",tls").map_or((rule.as_str(), None), |(main, rest)| (main, Some(rest.trim_start_matches('='))));
        let (place, target) = main.split_once('=').ok_or_else(bad)?;
        let (host, path) = place.split_once('/').map(|(host, path)| (host, format!("/{path}"))).ok_or_else(bad)?;
        let backend = service(target).ok_or_else(bad)?;
        let (path, kind) = path.strip_suffix('*').map_or((path.clone(), "Exact"), |prefix| (prefix.to_owned(), "Prefix"));
        let entry = json!({"backend": backend, "path": path, "pathType": kind});
        match rules.iter_mut().find(|rule| rule["host"].as_str().unwrap_or_default() == host) {
            Some(rule) => rule["http"]["paths"].as_array_mut().into_iter().for_each(|paths| paths.push(entry.clone())),
            None if host.is_empty() => rules.push(json!({"http": {"paths": [entry]}})),
            None => rules.push(json!({"host": host, "http": {"paths": [entry]}})),
        }
        if let Some(secret) = secure {
            let mut entry = json!({"hosts": [host]});
            if host.is_empty() {
                entry = json!({});
            }
            if !secret.is_empty() {
                entry["secretName"] = json!(secret);
            }
            if !tls.contains(&entry) {
                tls.push(entry);
            }
        }
    }
    Ok((rules, tls))
}

fn service(target: &str) -> Option<Value> {
    let (name, port) = target.split_once(':').filter(|(name, port)| !name.is_empty() && !port.is_empty())?;
    let port = port.parse::<i64>().map_or_else(|_| json!({"name": port}), |number| json!({"number": number}));
    Some(json!({"service": {"name": name, "port": port}}))
}
