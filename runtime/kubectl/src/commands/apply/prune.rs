//! `kubectl apply --prune`: what was applied before and is in no file now goes.
// upstream: kubectl/pkg/cmd/apply/prune.go, kubectl/pkg/util/prune/prune.go

use clap::ArgMatches;
use http::Method;

use crate::builder::{Info, Selection};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::rest::Call;
use crate::write::{DryRun, LAST_APPLIED, Writer};

/// What is pruned unless a list is given: version, kind.
const DEFAULT: [(&str, &str); 15] = [
    ("v1", "ConfigMap"),
    ("v1", "Endpoints"),
    ("v1", "Namespace"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "PersistentVolume"),
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
];

/// What to prune.
pub(super) struct Prune {
    allowed: Vec<String>,
}

impl Prune {
    /// From the flags; none without `--prune`.
    pub(super) fn read(matches: &ArgMatches, selection: &Selection) -> Result<Option<Self>, Failure> {
        if !matches.on("prune") {
            return Ok(None);
        }
        if selection.labels.is_empty() && !matches.on("all") {
            return Err(Failure::new("all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector"));
        }
        Ok(Some(Self { allowed: matches.texts("prune-allowlist") }))
    }

    pub(super) async fn run(&self, factory: &Factory, writer: &mut Writer, visited: &[Info], selection: &Selection) -> Result<(), Failure> {
        let mut namespaces: Vec<String> = visited.iter().map(|info| info.namespace.clone()).filter(|namespace| !namespace.is_empty()).collect();
        namespaces.sort();
        namespaces.dedup();
        let kinds = self.kinds(factory).await?;
        for namespace in &namespaces {
            for mapping in kinds.iter().filter(|mapping| mapping.namespaced) {
                one_kind(factory, writer, (mapping, namespace), visited, selection).await?;
            }
        }
        for mapping in kinds.iter().filter(|mapping| !mapping.namespaced) {
            one_kind(factory, writer, (mapping, ""), visited, selection).await?;
        }
        Ok(())
    }

    async fn kinds(&self, factory: &Factory) -> Result<Vec<Mapping>, Failure> {
        let mut wanted: Vec<(String, String)> = DEFAULT.iter().map(|(version, kind)| ((*version).to_owned(), (*kind).to_owned())).collect();
        if !self.allowed.is_empty() {
            wanted.clear();
            for word in &self.allowed {
                let parts: Vec<&str> = word.split('/').collect();
                let [group, version, kind] = parts.as_slice() else {
                    return Err(Failure::new(format!("invalid GroupVersionKind format: {word}, please follow <group/version/kind>")));
                };
                let version = if matches!(*group, "core" | "") { (*version).to_owned() } else { format!("{group}/{version}") };
                wanted.push((version, (*kind).to_owned()));
            }
        }
        let mut kinds = Vec::new();
        for (version, kind) in wanted {
            match factory.kind_of(&version, &kind).await? {
                Some(mapping) => kinds.push(mapping),
                // A server may lack a kind of the default list; one that was named must exist.
                None if self.allowed.is_empty() => {}
                None => return Err(Failure::new(format!("error retrieving RESTMappings to prune: invalid resource {version}, Kind={kind}: no matches for kind {kind:?} in version {version:?}"))),
            }
        }
        Ok(kinds)
    }
}

async fn one_kind(factory: &Factory, writer: &mut Writer, (mapping, namespace): (&Mapping, &str), visited: &[Info], selection: &Selection) -> Result<(), Failure> {
    let search = Selection { labels: selection.labels.clone(), chunk: 500, ..Selection::default() };
    let list = search.list(factory, mapping, namespace).await?;
    for object in crate::builder::items(&list) {
        let metadata = &object["metadata"];
        if metadata["annotations"][LAST_APPLIED].is_null() || visited.iter().any(|info| info.object["metadata"]["uid"] == metadata["uid"]) {
            continue;
        }
        if writer.dry_run != DryRun::Client {
            let name = metadata["name"].as_str().unwrap_or_default();
            let call = Call::new(Method::DELETE, mapping.path(namespace, name)).json(&serde_json::json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}));
            factory.call(call.query_some("dryRun", if writer.dry_run == DryRun::Server { "All" } else { "" })).await?;
        }
        writer.tell(factory, &object, "pruned")?;
    }
    Ok(())
}
