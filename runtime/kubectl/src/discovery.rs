//! The server's kinds, as discovery tells them, kept on disk as stock kubectl keeps them, and the words people use for them.
//!
//! 1. [`load`] reads `~/.kube/cache/discovery/HOST`, or asks the server when that is older than six hours or incomplete.
//! 2. [`Mapper`] finds a [`Mapping`] by `deploy`, `deployments.apps`, `deployments.v1.apps` or by group, version and kind.
//! 3. When a word is unknown to the disk, the factory asks the server once more.
// upstream: client-go/discovery/cached/disk/cached_discovery.go, restmapper/{discovery,shortcut}.go

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

/// How long what is on disk counts.
const FRESH: Duration = Duration::from_secs(6 * 3600);
/// Kinds of all groups in one answer.
const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// One kind of the server in one version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// API group; empty for the core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Plural, such as `deployments`.
    pub resource: String,
    /// Singular, such as `deployment`.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// What can be done with it.
    pub verbs: Vec<String>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Mapping {
    /// `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// `deployment.apps`, as in `deployment.apps/web created`.
    pub fn group_kind_word(&self) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { kind } else { format!("{kind}.{}", self.group) }
    }

    /// Path of the list.
    pub fn list_path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { format!("/api/{}", self.version) } else { format!("/apis/{}/{}", self.group, self.version) };
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{}/{}", segment(namespace), self.resource)
        } else {
            format!("{root}/{}", self.resource)
        }
    }

    /// Path of an object.
    pub fn path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.list_path(namespace), segment(name))
    }
}

/// Kinds that `create` knows without asking: group and version, kind, plural, whether in namespaces.
const TYPED: [(&str, &str, &str, bool); 16] = [
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Secret", "secrets", true),
    ("v1", "ServiceAccount", "serviceaccounts", true),
    ("v1", "Service", "services", true),
    ("v1", "ResourceQuota", "resourcequotas", true),
    ("v1", "Namespace", "namespaces", false),
    ("apps/v1", "Deployment", "deployments", true),
    ("batch/v1", "Job", "jobs", true),
    ("batch/v1", "CronJob", "cronjobs", true),
    ("networking.k8s.io/v1", "Ingress", "ingresses", true),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    ("rbac.authorization.k8s.io/v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", true),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", false),
];

/// Where a kind is created whose generator does not ask the server what it has.
pub fn typed(api_version: &str, kind: &str) -> Option<Mapping> {
    let (_, _, resource, namespaced) = TYPED.iter().find(|(version, known, ..)| *version == api_version && *known == kind)?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Some(Mapping {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        resource: (*resource).to_owned(),
        singular: kind.to_lowercase(),
        namespaced: *namespaced,
        ..Mapping::default()
    })
}

/// A name as a part of a path.
pub fn segment(name: &str) -> String {
    const ESCAPED: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?').add(b'`').add(b'{').add(b'}').add(b'%').add(b'/');
    // No name leads elsewhere: these two would be taken for steps of the path.
    if matches!(name, "." | "..") {
        return name.replace('.', "%2E");
    }
    percent_encoding::utf8_percent_encode(name, ESCAPED).to_string()
}

/// A version of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupVersion {
    /// Group; empty for the core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Whether the group prefers it.
    pub preferred: bool,
}

/// All kinds of a server.
#[derive(Debug, Clone, Default)]
pub struct Mapper {
    /// Groups and versions in the server's order.
    pub versions: Vec<GroupVersion>,
    /// Kinds in the server's order.
    pub mappings: Vec<Mapping>,
    /// Subresources: `pods/log` with the kind they take.
    pub subresources: Vec<Mapping>,
    /// Whether they were read from disk.
    pub cached: bool,
}

/// The server's kinds, from disk when that is fresh.
pub async fn load(factory: &Factory) -> Result<Mapper, Failure> {
    let directory = directory(factory).await?;
    match read(&directory) {
        Some(lists) => Ok(mapper(&lists, true)),
        None => fetch(factory).await,
    }
}

/// The server's kinds, from the server; kept on disk.
pub async fn fetch(factory: &Factory) -> Result<Mapper, Failure> {
    let lists = match ask(factory).await {
        Err(failure) => return Err(lament(factory, generic(failure))),
        other => other?,
    };
    let directory = directory(factory).await?;
    // A read-only home costs time, nothing else.
    drop(keep(&directory, &lists));
    Ok(mapper(&lists, false))
}

/// Stock kubectl tries five times and logs each.
// upstream: client-go/discovery/cached/memory/memcache.go
fn lament(factory: &Factory, failure: Failure) -> Failure {
    if !matches!(failure, Failure::Unreachable(_) | Failure::Status(_)) {
        return failure;
    }
    let cause = format!("couldn't get current server API group list: {}", failure.whole());
    let times = if factory.of_files.get() { 1 } else { times(&factory.path) };
    for _ in 0..times {
        crate::write::klog(factory, 'E', "memcache.go:265", &format!("\"Unhandled Error\" err={}", crate::trace::logged(&cause)));
    }
    failure
}

/// How often a command asks before it gives up.
fn times(path: &str) -> usize {
    match path.trim_start_matches("kubectl ").split(' ').next().unwrap_or_default() {
        // These ask without the client that keeps answers.
        "create" | "top" => 0,
        "run" | "diff" | "api-versions" | "api-resources" => 1,
        "explain" | "auth" | "taint" => 2,
        "logs" | "exec" | "attach" | "port-forward" | "wait" | "drain" | "certificate" => 4,
        _ => 5,
    }
}

/// Stock kubectl does not read what the server says of discovery that it refuses.
// upstream: client-go/discovery/discovery_client.go downloadAPIs
pub(crate) fn generic(failure: Failure) -> Failure {
    let Failure::Status(mut status) = failure else { return failure };
    let said = match status["code"].as_u64() {
        Some(401) => "the server has asked for the client to provide credentials",
        Some(404) => "the server could not find the requested resource",
        Some(400) => "the server rejected our request for an unknown reason",
        _ => return Failure::Status(status),
    };
    status["message"] = json!(said);
    Failure::Status(status)
}

/// What discovery says: groups, and the resources of each version.
struct Lists {
    groups: Value,
    resources: Vec<Value>,
}

/// `~/.kube/cache/discovery/127.0.0.1_6443`.
pub async fn directory(factory: &Factory) -> Result<PathBuf, Failure> {
    let host: String =
        factory.rest().await?.server.split_once("://").map_or("", |(_, rest)| rest).chars().map(|c| if c.is_alphanumeric() || "_/.()".contains(c) { c } else { '_' }).collect();
    Ok(cache_directory(factory).join("discovery").join(host))
}

/// `~/.kube/cache`, or what flag and variable say.
pub fn cache_directory(factory: &Factory) -> PathBuf {
    let asked = factory.globals.cache_directory.as_str();
    let asked = if asked.is_empty() { factory.env.get("KUBECACHEDIR").unwrap_or_default() } else { asked };
    if asked.is_empty() { factory.env.kube_directory().join("cache") } else { factory.env.path(asked) }
}

fn read(directory: &Path) -> Option<Lists> {
    let groups = read_fresh(&directory.join("servergroups.json"))?;
    let mut resources = Vec::new();
    for group in groups["groups"].as_array()? {
        for version in group["versions"].as_array()? {
            let path = directory.join(version["groupVersion"].as_str()?).join("serverresources.json");
            resources.push(read_fresh(&path)?);
        }
    }
    Some(Lists { groups, resources })
}

fn read_fresh(path: &Path) -> Option<Value> {
    let age = std::fs::metadata(path).ok()?.modified().ok()?.elapsed().unwrap_or_default();
    if age > FRESH {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn keep(directory: &Path, lists: &Lists) -> std::io::Result<()> {
    for list in &lists.resources {
        write(&directory.join(list["groupVersion"].as_str().unwrap_or_default()).join("serverresources.json"), list)?;
    }
    write(&directory.join("servergroups.json"), &lists.groups)
}

/// Written beside and moved, so that nobody reads half a file.
fn write(path: &Path, value: &Value) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    std::io::Write::write_all(&mut file, format!("{value}\n").as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

async fn ask(factory: &Factory) -> Result<Lists, Failure> {
    // upstream: kubectl/pkg/cmd/top asks with a client that has no limits
    let timed = !factory.path.starts_with("kubectl top");
    let mut groups = Vec::new();
    let mut resources = Vec::new();
    for root in ["/api", "/apis"] {
        let call = Call::get(root).accept(AGGREGATED);
        let answer = match factory.call(if timed { call.query("timeout", factory.discovery_timeout()) } else { call }).await {
            Err(failure) if failure.is("NotFound") && root == "/api" => continue,
            other => other?,
        };
        match answer["kind"].as_str().unwrap_or_default() {
            "APIGroupDiscoveryList" => aggregated(&answer, &mut groups, &mut resources),
            "APIVersions" => {
                let versions: Vec<Value> = answer["versions"].as_array().into_iter().flatten().map(|v| json!({"groupVersion": v, "version": v})).collect();
                groups.push(json!({"name": "", "versions": versions, "preferredVersion": versions.first()}));
                legacy(factory, "/api", &versions, &mut resources).await?;
            }
            _ => {
                for group in answer["groups"].as_array().into_iter().flatten() {
                    groups.push(group.clone());
                    legacy(factory, "/apis", group["versions"].as_array().map(Vec::as_slice).unwrap_or_default(), &mut resources).await?;
                }
            }
        }
    }
    Ok(Lists { groups: json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}), resources })
}

async fn legacy(factory: &Factory, root: &str, versions: &[Value], resources: &mut Vec<Value>) -> Result<(), Failure> {
    for version in versions {
        let name = version["groupVersion"].as_str().unwrap_or_default();
        match factory.call(Call::get(format!("{root}/{name}")).query("timeout", factory.discovery_timeout())).await {
            Ok(list) => resources.push(list),
            // A group whose server is away does not hide the others.
            Err(Failure::Status(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// The new form of discovery in the terms of the old one.
// upstream: client-go/discovery/aggregated_discovery.go
fn aggregated(answer: &Value, groups: &mut Vec<Value>, resources: &mut Vec<Value>) {
    for group in answer["items"].as_array().into_iter().flatten() {
        let name = group["metadata"]["name"].as_str().unwrap_or_default();
        let mut versions = Vec::new();
        for version in group["versions"].as_array().into_iter().flatten() {
            if version["freshness"] == "Stale" {
                continue;
            }
            let short = version["version"].as_str().unwrap_or_default();
            let full = if name.is_empty() { short.to_owned() } else { format!("{name}/{short}") };
            versions.push(json!({"groupVersion": full, "version": short}));
            let mut list = Vec::new();
            for resource in version["resources"].as_array().into_iter().flatten() {
                one_resource(resource, &mut list);
            }
            resources.push(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": full, "resources": list}));
        }
        groups.push(json!({"name": name, "versions": versions, "preferredVersion": versions.first()}));
    }
}

fn one_resource(resource: &Value, list: &mut Vec<Value>) {
    let kind = &resource["responseKind"];
    let namespaced = resource["scope"] == "Namespaced";
    let mut row = json!({
        "name": resource["resource"], "singularName": resource["singularResource"], "namespaced": namespaced, "group": kind["group"],
        "version": kind["version"], "kind": kind["kind"], "verbs": resource["verbs"], "shortNames": resource["shortNames"], "categories": resource["categories"],
    });
    without_nothing(&mut row);
    list.push(row);
    for sub in resource["subresources"].as_array().into_iter().flatten() {
        let kind = &sub["responseKind"];
        let name = format!("{}/{}", resource["resource"].as_str().unwrap_or_default(), sub["subresource"].as_str().unwrap_or_default());
        let mut row =
            json!({"name": name, "singularName": "", "namespaced": namespaced, "group": kind["group"], "version": kind["version"], "kind": kind["kind"], "verbs": sub["verbs"]});
        without_nothing(&mut row);
        list.push(row);
    }
}

fn without_nothing(row: &mut Value) {
    if let Some(fields) = row.as_object_mut() {
        fields.retain(|name, value| !value.is_null() && (*value != "" || name == "singularName"));
    }
}

fn mapper(lists: &Lists, cached: bool) -> Mapper {
    let mut mapper = Mapper { cached, ..Mapper::default() };
    for group in lists.groups["groups"].as_array().into_iter().flatten() {
        for version in group["versions"].as_array().into_iter().flatten() {
            mapper.versions.push(GroupVersion {
                group: group["name"].as_str().unwrap_or_default().to_owned(),
                version: version["version"].as_str().unwrap_or_default().to_owned(),
                preferred: group["preferredVersion"]["groupVersion"] == version["groupVersion"],
            });
        }
    }
    for list in &lists.resources {
        let full = list["groupVersion"].as_str().unwrap_or_default();
        let (group, version) = full.split_once('/').unwrap_or(("", full));
        for resource in list["resources"].as_array().into_iter().flatten() {
            let mapping = mapping(group, version, resource);
            if mapping.resource.contains('/') { mapper.subresources.push(mapping) } else { mapper.mappings.push(mapping) }
        }
    }
    mapper
}

fn mapping(group: &str, version: &str, resource: &Value) -> Mapping {
    let texts = |field: &str| resource[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
    let singular = if text("singularName").is_empty() { text("kind").to_lowercase() } else { text("singularName") };
    Mapping {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: text("kind"),
        resource: text("name"),
        singular,
        short_names: texts("shortNames"),
        categories: texts("categories"),
        verbs: texts("verbs"),
        namespaced: resource["namespaced"].as_bool().unwrap_or(false),
    }
}

impl Mapper {
    /// The kind a word means: plural, singular, short name, with `.group` or `.version.group` after it.
    pub fn find(&self, word: &str) -> Option<&Mapping> {
        let typed = word.split('.').next().unwrap_or_default().to_owned();
        let word = word.to_lowercase();
        let mut parts = word.splitn(3, '.');
        let (resource, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        if let (Some(version), Some(group)) = (second, third)
            && let Some(found) = self.matching(resource, &typed, |m| m.version == version && m.group == group)
        {
            return Some(found);
        }
        match word.split_once('.') {
            None => self.matching(resource, &typed, |_| true),
            // `pods.v1.`: the core group is written as nothing.
            Some((_, group)) if group.ends_with('.') => self.matching(resource, &typed, |m| m.group.is_empty() && m.version == group.trim_end_matches('.')),
            Some((_, group)) => self.matching(resource, &typed, |m| m.group == group).or_else(|| self.matching(resource, &typed, |m| m.group.starts_with(group))),
        }
    }

    /// By name among those that fit; preferred versions first, then the server's order.
    fn matching(&self, name: &str, typed: &str, fits: impl Fn(&Mapping) -> bool) -> Option<&Mapping> {
        let best = |is: &dyn Fn(&Mapping) -> bool| {
            let mut found = self.mappings.iter().filter(|mapping| is(mapping) && fits(mapping));
            let first = found.next()?;
            // The first group wins; within it the preferred version.
            Some(self.mappings.iter().filter(|m| is(m) && fits(m) && m.group == first.group).find(|m| self.preferred(m)).unwrap_or(first))
        };
        best(&|m| m.resource == name).or_else(|| best(&|m| m.short_names.iter().any(|short| short == typed))).or_else(|| best(&|m| m.singular == name || m.kind.to_lowercase() == name))
    }

    /// Whether its group prefers its version.
    pub fn preferred(&self, mapping: &Mapping) -> bool {
        self.versions.iter().any(|v| v.preferred && v.group == mapping.group && v.version == mapping.version)
    }

    /// By what a manifest says.
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Mapping> {
        self.mappings.iter().find(|mapping| mapping.kind == kind && mapping.api_version() == api_version)
    }

    /// By group and kind, in the preferred version.
    pub fn of_group_kind(&self, group: &str, kind: &str) -> Option<&Mapping> {
        let mut all = self.mappings.iter().filter(|mapping| mapping.kind == kind && mapping.group == group);
        let first = all.clone().next()?;
        Some(all.find(|mapping| self.preferred(mapping)).unwrap_or(first))
    }

    /// The kinds of a category, such as `all`, in preferred versions.
    pub fn category(&self, name: &str) -> Vec<&Mapping> {
        let name = name.to_lowercase();
        self.mappings.iter().filter(|m| m.categories.iter().any(|category| *category == name) && self.preferred(m)).collect()
    }
}

impl Factory {
    /// The kind a word means, asking the server again when the disk does not know it.
    pub async fn find(&self, word: &str) -> Result<Mapping, Failure> {
        let missing = || Failure::new(format!("the server doesn't have a resource type {:?}", word.split('.').next().unwrap_or_default()));
        let found = self.look(|mapper| mapper.find(word).cloned()).await?.ok_or_else(missing)?;
        if found.short_names.iter().any(|short| short == word) {
            let others = self.mapper().await?.mappings.iter().filter(|other| other.group != found.group && other.short_names.iter().any(|short| short == word));
            for other in others {
                let text = format!("short name {word:?} could also match lower priority resource {}", other.group_resource());
                self.rest().await?.warn_once(&self.streams, text);
            }
        }
        Ok(found)
    }

    /// The kind of a manifest.
    pub async fn kind_of(&self, api_version: &str, kind: &str) -> Result<Option<Mapping>, Failure> {
        self.look(|mapper| mapper.of_kind(api_version, kind).cloned()).await
    }

    /// Look something up, if need be in fresh discovery.
    pub async fn look<T>(&self, find: impl Fn(&Mapper) -> Option<T>) -> Result<Option<T>, Failure> {
        let mapper = self.mapper().await?;
        if let Some(found) = find(mapper) {
            return Ok(Some(found));
        }
        if !mapper.cached {
            return Ok(None);
        }
        if self.globals.verbosity >= 5 {
            crate::rest::log(&self.streams, "discovery.go:214", "Invalidating discovery information");
        }
        Ok(find(self.fresh_mapper().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_its_path() {
        for (name, wanted) in [("web", "web"), ("web/status", "web%2Fstatus"), ("..", "%2E%2E"), ("system:node", "system:node"), ("a.b", "a.b")] {
            assert_eq!(segment(name), wanted);
        }
    }
}
