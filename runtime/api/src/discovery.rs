//! Discovery documents, derived from the registry: the legacy four and the aggregated one.
// upstream: apiserver/pkg/endpoints/discovery, kube-aggregator/pkg/apiserver/handler_discovery.go, controlplane/apiserver/aggregator.go

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

use crate::registry::{Registry, Resource, Subresource, api_version};

/// A group served by somebody else (aggregated APIs), merged into discovery by value.
#[derive(Clone, Debug)]
pub struct ExtraGroup {
    /// Group name.
    pub group: String,
    /// Its one version.
    pub version: String,
    /// APIResource entries of the legacy document (name, singularName, namespaced, kind, verbs).
    pub resources: Vec<Value>,
}

/// The `Accept` (and `Content-Type`) of the aggregated form.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Upstream's order of groups, highest first.
const GROUPS: [&str; 20] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Upstream's order of groups: smaller comes first.
pub fn group_priority(group: &str) -> i32 {
    let place = GROUPS
        .iter()
        .position(|g| *g == group)
        .unwrap_or(GROUPS.len());
    i32::try_from(place).unwrap_or(i32::MAX)
}

/// What orders versions: stable ones first, then betas, then alphas, each newest first.
// upstream: apimachinery/pkg/version/helpers.go CompareKubeAwareVersionStrings
fn version_order(version: &str) -> (u8, Reverse<(u32, u32)>, String) {
    let odd = (3, Reverse((0, 0)), version.to_owned());
    let Some(rest) = version.strip_prefix('v') else {
        return odd;
    };
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (major, rest) = rest.split_at(digits);
    let Ok(major) = major.parse::<u32>() else {
        return odd;
    };
    let (rank, minor) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
        (Some(minor), _) => (1, minor),
        (_, Some(minor)) => (2, minor),
        _ if rest.is_empty() => (0, "0"),
        _ => return odd,
    };
    match minor.parse::<u32>() {
        Ok(minor) => (rank, Reverse((major, minor)), String::new()),
        Err(_) => odd,
    }
}

/// `/api`: APIVersions. `address` is what clients reach the server by.
pub fn api_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// The groups besides core, in order, each with its versions, preferred first.
fn groups(registry: &Registry, extra: &[ExtraGroup]) -> Vec<(String, Vec<String>)> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let own = registry.group_versions();
    let extra = extra.iter().map(|e| (e.group.clone(), e.version.clone()));
    for (group, version) in own.into_iter().chain(extra).filter(|(g, _)| !g.is_empty()) {
        let versions = groups.entry(group).or_default();
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let mut groups: Vec<(String, Vec<String>)> = groups.into_iter().collect();
    for (_, versions) in &mut groups {
        versions.sort_by_key(|v| version_order(v));
    }
    groups.sort_by_key(|(group, _)| (group_priority(group), group.clone()));
    groups
}

fn group_value(group: &str, versions: &[String]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": api_version(group, v), "version": v}))
        .collect();
    let preferred = versions.first().cloned().unwrap_or(Value::Null);
    json!({"name": group, "versions": versions, "preferredVersion": preferred})
}

/// `/apis`: APIGroupList.
pub fn group_list(registry: &Registry, extra: &[ExtraGroup]) -> Value {
    let groups: Vec<Value> = groups(registry, extra)
        .iter()
        .map(|(group, versions)| group_value(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`: APIGroup.
pub fn group(registry: &Registry, extra: &[ExtraGroup], group: &str) -> Option<Value> {
    let groups = groups(registry, extra);
    let (_, versions) = groups.iter().find(|(g, _)| g == group)?;
    let mut value = group_value(group, versions);
    value["kind"] = Value::from("APIGroup");
    value["apiVersion"] = Value::from("v1");
    Some(value)
}

/// What a subresource exchanges: group, version and kind.
fn response_kind(row: &Resource, subresource: Subresource) -> (String, String, String) {
    match subresource.exchanged_kind() {
        Some((group, version, kind)) => (group.to_owned(), version.to_owned(), kind.to_owned()),
        None if subresource == Subresource::Proxy => (
            row.group.clone(),
            row.version.clone(),
            format!("{}ProxyOptions", row.kind),
        ),
        None => (row.group.clone(), row.version.clone(), row.kind.clone()),
    }
}

fn sorted_subresources(row: &Resource) -> Vec<Subresource> {
    let mut all = row.subresources.clone();
    all.sort_by_key(|s| s.name());
    all
}

fn legacy_resource(row: &Resource) -> Vec<Value> {
    let namespaced = row.is_namespaced();
    let mut main = json!({
        "name": row.plural, "singularName": row.singular, "namespaced": namespaced, "kind": row.kind, "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        main["shortNames"] = Value::from(row.short_names.clone());
    }
    if !row.categories.is_empty() {
        main["categories"] = Value::from(row.categories.clone());
    }
    let mut all = vec![main];
    for subresource in sorted_subresources(row) {
        let (group, version, kind) = response_kind(row, subresource);
        let mut entry = json!({
            "name": format!("{}/{}", row.plural, subresource.name()), "singularName": "", "namespaced": namespaced,
            "kind": kind, "verbs": subresource.verbs(),
        });
        if (group.as_str(), version.as_str()) != (row.group.as_str(), row.version.as_str()) {
            entry["group"] = Value::from(group);
            entry["version"] = Value::from(version);
        }
        all.push(entry);
    }
    all
}

/// `/api/v1`, `/apis/GROUP/VERSION`: APIResourceList.
pub fn resource_list(
    registry: &Registry,
    extra: &[ExtraGroup],
    group: &str,
    version: &str,
) -> Option<Value> {
    let mut resources: Vec<Value> = rows_of(registry, group, version)
        .flat_map(|row| legacy_resource(row))
        .collect();
    resources.extend(
        extra
            .iter()
            .filter(|e| e.group == group && e.version == version)
            .flat_map(|e| e.resources.iter().cloned()),
    );
    if resources.is_empty() {
        return None;
    }
    let mut list = Map::new();
    list.insert("kind".to_owned(), Value::from("APIResourceList"));
    if !group.is_empty() {
        list.insert("apiVersion".to_owned(), Value::from("v1"));
    }
    list.insert(
        "groupVersion".to_owned(),
        Value::from(api_version(group, version)),
    );
    list.insert("resources".to_owned(), Value::from(resources));
    Some(Value::Object(list))
}

fn rows_of<'a>(
    registry: &'a Registry,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    registry
        .rows()
        .filter(move |row| row.group == group && row.version == version)
}

fn aggregated_resource(row: &Resource) -> Value {
    let scope = if row.is_namespaced() {
        "Namespaced"
    } else {
        "Cluster"
    };
    let mut resource = json!({
        "resource": row.plural,
        "responseKind": {"group": row.group, "version": row.version, "kind": row.kind},
        "scope": scope,
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        resource["shortNames"] = Value::from(row.short_names.clone());
    }
    if !row.categories.is_empty() {
        resource["categories"] = Value::from(row.categories.clone());
    }
    let subresources: Vec<Value> = sorted_subresources(row)
        .into_iter()
        .map(|subresource| {
            let (group, version, kind) = response_kind(row, subresource);
            json!({"subresource": subresource.name(), "responseKind": {"group": group, "version": version, "kind": kind}, "verbs": subresource.verbs()})
        })
        .collect();
    if !subresources.is_empty() {
        resource["subresources"] = Value::from(subresources);
    }
    resource
}

fn aggregated_extra(extra: &ExtraGroup, entry: &Value) -> Value {
    let scope = if entry["namespaced"] == true {
        "Namespaced"
    } else {
        "Cluster"
    };
    let mut resource = json!({
        "resource": entry["name"],
        "responseKind": {"group": extra.group, "version": extra.version, "kind": entry["kind"]},
        "scope": scope,
        "singularResource": entry["singularName"],
        "verbs": entry["verbs"],
    });
    for field in ["shortNames", "categories"] {
        if let Some(names) = entry.get(field) {
            resource[field] = names.clone();
        }
    }
    resource
}

fn aggregated(
    registry: &Registry,
    extra: &[ExtraGroup],
    groups: &[(String, Vec<String>)],
) -> Value {
    let items: Vec<Value> = groups
        .iter()
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let mut resources: Vec<Value> = rows_of(registry, group, version)
                        .map(|row| aggregated_resource(row))
                        .collect();
                    for extra in extra
                        .iter()
                        .filter(|e| e.group == *group && e.version == *version)
                    {
                        let whole = extra
                            .resources
                            .iter()
                            .filter(|r| !r["name"].as_str().unwrap_or("").contains('/'));
                        resources.extend(whole.map(|entry| aggregated_extra(extra, entry)));
                    }
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let mut metadata = json!({"creationTimestamp": null});
            if !group.is_empty() {
                metadata["name"] = Value::from(group.as_str());
            }
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

/// `/api` in the aggregated form.
pub fn aggregated_core(registry: &Registry) -> Value {
    aggregated(registry, &[], &[(String::new(), vec!["v1".to_owned()])])
}

/// `/apis` in the aggregated form.
pub fn aggregated_groups(registry: &Registry, extra: &[ExtraGroup]) -> Value {
    aggregated(registry, extra, &groups(registry, extra))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_kubernetes_orders_them() {
        let mut versions = vec![
            "foo1", "v1alpha1", "v1", "v10", "v2beta2", "v2", "v1beta1", "v2beta1",
        ];
        versions.sort_by_key(|v| version_order(v));
        assert_eq!(
            versions,
            [
                "v10", "v2", "v1", "v2beta2", "v2beta1", "v1beta1", "v1alpha1", "foo1"
            ]
        );
    }

    #[test]
    fn both_forms_name_every_row() {
        let registry = Registry::builtin();
        let extra = [ExtraGroup {
            group: "lab.drydock.internal".to_owned(),
            version: "v1alpha1".to_owned(),
            resources: vec![
                json!({"name": "commands", "singularName": "command", "namespaced": false, "kind": "Command", "verbs": ["list"]}),
            ],
        }];
        let core = resource_list(&registry, &extra, "", "v1").unwrap();
        assert!(core.get("apiVersion").is_none());
        let names: Vec<&str> = core["resources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["name"].as_str().unwrap())
            .collect();
        for name in [
            "bindings",
            "configmaps",
            "namespaces/finalize",
            "pods",
            "pods/exec",
            "pods/log",
            "services",
            "serviceaccounts/token",
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        let aggregated = aggregated_groups(&registry, &extra);
        for (row, item) in [("apps", 0), ("events.k8s.io", 1)] {
            assert_eq!(aggregated["items"][item]["metadata"]["name"], row);
        }
        let last = aggregated["items"].as_array().unwrap().last().unwrap();
        assert_eq!(last["versions"][0]["resources"][0]["resource"], "commands");
        assert_eq!(
            group(&registry, &extra, "apps").unwrap()["preferredVersion"]["groupVersion"],
            "apps/v1"
        );
        assert!(group(&registry, &extra, "nope").is_none());
    }
}
