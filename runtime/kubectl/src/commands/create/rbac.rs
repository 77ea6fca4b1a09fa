//! `kubectl create role`, `clusterrole`, `rolebinding`, `clusterrolebinding`.
// upstream: kubectl/pkg/cmd/create/{create_role,create_clusterrole,create_rolebinding,create_clusterrolebinding}.go

use clap::{Arg, ArgMatches, Command};
use serde_json::{Value, json};

use super::{finish, generator, metadata, one_name};
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::{self, Flags};

const GROUP: &str = "rbac.authorization.k8s.io";
const VERSION: &str = "rbac.authorization.k8s.io/v1";
const VERBS: [&str; 16] = [
    "get", "delete", "list", "create", "update", "patch", "watch", "proxy", "redirect", "use", "deletecollection", "bind", "approve", "sign", "escalate", "impersonate",
];

fn rule_flags() -> [Arg; 3] {
    [
        flags::list("verb", "Verb that applies to the resources contained in the rule"),
        flags::list("resource", "Resource that the rule applies to"),
        flags::array("resource-name", "Resource in the white list that the rule applies to, repeat this flag for multiple items"),
    ]
}

/// Flags of `create role`.
pub fn role_command() -> Command {
    generator("role", rule_flags()).override_usage("kubectl create role NAME --verb=verb --resource=resource.group/subresource [--resource-name=resourcename] [--dry-run=server|client|none] [options]")
}

/// `create role`.
pub async fn role(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let rules = rules(factory, matches).await?;
    let object = json!({"apiVersion": VERSION, "kind": "Role", "metadata": metadata(factory, &name)?, "rules": rules});
    finish(factory, matches, object, "").await
}

/// Flags of `create clusterrole`.
pub fn cluster_role_command() -> Command {
    generator("clusterrole", rule_flags())
        .args([
            flags::list("non-resource-url", "A partial url that user should have access to."),
            flags::map("aggregation-rule", "An aggregation label selector for combining ClusterRoles."),
        ])
        .override_usage("kubectl create clusterrole NAME --verb=verb --resource=resource.group [--resource-name=resourcename] [--dry-run=server|client|none] [options]")
}

/// `create clusterrole`.
pub async fn cluster_role(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let meta = json!({"creationTimestamp": null, "name": name});
    let aggregation = matches.texts("aggregation-rule");
    if !aggregation.is_empty() {
        if ["non-resource-url", "verb", "resource", "resource-name"].iter().any(|flag| !matches.texts(flag).is_empty()) {
            return Err(Failure::new("aggregation rule must be specified without nonResourceURLs, verbs, resources or resourceNames"));
        }
        let labels: Value = aggregation.iter().filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.to_owned(), json!(value))).collect::<serde_json::Map<_, _>>().into();
        let object = json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}]}, "apiVersion": VERSION, "kind": "ClusterRole", "metadata": meta, "rules": null});
        return finish(factory, matches, object, "").await;
    }
    let urls = matches.texts("non-resource-url");
    let mut all = Vec::new();
    if urls.is_empty() || !matches.texts("resource").is_empty() {
        all = rules(factory, matches).await?;
    }
    if !urls.is_empty() {
        let verbs = verbs(matches)?;
        for url in &urls {
            if !url.starts_with('/') && url != "*" {
                return Err(Failure::new("nonResourceURL should start with /"));
            }
        }
        all.push(json!({"nonResourceURLs": urls, "verbs": verbs}));
    }
    finish(factory, matches, json!({"apiVersion": VERSION, "kind": "ClusterRole", "metadata": meta, "rules": all}), "").await
}

fn verbs(matches: &ArgMatches) -> Result<Vec<String>, Failure> {
    let mut verbs: Vec<String> = Vec::new();
    for verb in matches.texts("verb") {
        if verb == "*" {
            return Ok(vec![verb]);
        }
        if !verbs.contains(&verb) {
            verbs.push(verb);
        }
    }
    if verbs.is_empty() { Err(Failure::new("at least one verb must be specified")) } else { Ok(verbs) }
}

/// One rule for each API group, in the order the groups were named.
async fn rules(factory: &Factory, matches: &ArgMatches) -> Result<Vec<Value>, Failure> {
    let verbs = verbs(matches)?;
    let resources = matches.texts("resource");
    if resources.is_empty() {
        return Err(Failure::new("at least one resource must be specified"));
    }
    for verb in verbs.iter().filter(|verb| *verb != "*" && !VERBS.contains(&verb.as_str())) {
        factory.streams.warn(&format!("Warning: '{verb}' is not a standard resource verb"));
    }
    let names = matches.texts("resource-name");
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for word in &resources {
        let (resource, sub) = word.split_once('/').map_or((word.as_str(), None), |(resource, sub)| (resource, Some(sub)));
        let (group, plural) = if resource == "*" {
            (String::new(), "*".to_owned())
        } else {
            let mapping = factory.look(|mapper| mapper.find(resource).cloned()).await?;
            // Several failures in one are told without a prefix.
            let mapping = mapping.ok_or_else(|| Failure::Plain(format!("the server doesn't have a resource type {:?}", resource.split('.').next().unwrap_or_default()), 1))?;
            (mapping.group, mapping.resource)
        };
        let full = sub.map_or_else(|| plural.clone(), |sub| format!("{plural}/{sub}"));
        match groups.iter_mut().find(|(known, _)| *known == group) {
            Some((_, list)) if list.contains(&full) => {}
            Some((_, list)) => list.push(full),
            None => groups.push((group, vec![full])),
        }
    }
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(groups
        .into_iter()
        .map(|(group, list)| {
            let mut rule = json!({"apiGroups": [group], "resources": list, "verbs": verbs});
            if !names.is_empty() {
                rule["resourceNames"] = json!(names);
            }
            rule
        })
        .collect())
}

fn binding_flags() -> [Arg; 3] {
    [
        flags::array("user", "Usernames to bind to the role. The flag can be repeated to add multiple users."),
        flags::array("group", "Groups to bind to the role. The flag can be repeated to add multiple groups."),
        flags::array("serviceaccount", "Service accounts to bind to the role, in the format <namespace>:<name>. The flag can be repeated to add multiple service accounts."),
    ]
}

/// Flags of `create rolebinding`.
pub fn role_binding_command() -> Command {
    generator("rolebinding", binding_flags())
        .args([flags::text("clusterrole", "", "ClusterRole this RoleBinding should reference"), flags::text("role", "", "Role this RoleBinding should reference")])
        .override_usage("kubectl create rolebinding NAME --clusterrole=NAME|--role=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none] [options]")
}

/// `create rolebinding`.
pub async fn role_binding(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    let name = one_name(factory, matches)?;
    let (cluster_role, role) = (matches.text("clusterrole"), matches.text("role"));
    if cluster_role.is_empty() == role.is_empty() {
        return Err(Failure::new("exactly one of clusterrole or role must be specified"));
    }
    let reference = if role.is_empty() { ("ClusterRole", cluster_role) } else { ("Role", role) };
    let object = binding("RoleBinding", metadata(factory, &name)?, reference, subjects(matches)?);
    finish(factory, matches, object, "failed to create rolebinding: ").await
}

/// Flags of `create clusterrolebinding`.
pub fn cluster_role_binding_command() -> Command {
    generator("clusterrolebinding", binding_flags())
        .arg(flags::text("clusterrole", "", "ClusterRole this ClusterRoleBinding should reference"))
        .override_usage("kubectl create clusterrolebinding NAME --clusterrole=NAME [--user=username] [--group=groupname] [--serviceaccount=namespace:serviceaccountname] [--dry-run=server|client|none] [options]")
}

/// `create clusterrolebinding`.
pub async fn cluster_role_binding(factory: &Factory, matches: &ArgMatches) -> Result<(), Failure> {
    super::required(matches, &["clusterrole"])?;
    let name = one_name(factory, matches)?;
    let meta = json!({"creationTimestamp": null, "name": name});
    let object = binding("ClusterRoleBinding", meta, ("ClusterRole", matches.text("clusterrole")), subjects(matches)?);
    finish(factory, matches, object, "failed to create clusterrolebinding: ").await
}

fn binding(kind: &str, meta: Value, (role_kind, role): (&str, String), subjects: Vec<Value>) -> Value {
    let mut object = json!({"apiVersion": VERSION, "kind": kind, "metadata": meta, "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role}});
    if !subjects.is_empty() {
        object["subjects"] = json!(subjects);
    }
    object
}

fn subjects(matches: &ArgMatches) -> Result<Vec<Value>, Failure> {
    let mut subjects = Vec::new();
    for (flag, kind) in [("user", "User"), ("group", "Group")] {
        subjects.extend(matches.texts(flag).into_iter().map(|name| json!({"apiGroup": GROUP, "kind": kind, "name": name})));
    }
    for account in matches.texts("serviceaccount") {
        let parts: Vec<&str> = account.split(':').collect();
        let [namespace, name] = parts.as_slice() else {
            return Err(Failure::new("serviceaccount must be <namespace>:<name>"));
        };
        if namespace.is_empty() || name.is_empty() {
            return Err(Failure::new("serviceaccount must be <namespace>:<name>"));
        }
        subjects.push(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}));
    }
    Ok(subjects)
}
