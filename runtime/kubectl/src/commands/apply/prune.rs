//! `kubectl apply --prune`: what was applied before and is in no file now goes.
// upstream: kubectl/pkg/cmd/apply/prune.go, kubectl/pkg/util/prune/prune.go

use clap::ArgMatches;
use http::Method;
use serde_json::{Value, json};

use crate::builder::{Info, Selection};
use crate::discovery::Mapping;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::flags::Flags;
use crate::rest::Call;
use crate::write::{DryRun, LAST_APPLIED, Writer};

/// What is pruned unless a list is given: group, version, kind, and whether it lives in namespaces.
const DEFAULT: [(&str, &str, &str, bool); 16] = [
    ("", "v1", "ConfigMap", true),
    ("", "v1", "Endpoints", true),
    ("", "v1", "PersistentVolumeClaim", true),
    ("", "v1", "Pod", true),
    ("", "v1", "ReplicationController", true),
    ("", "v1", "Secret", true),
    ("", "v1", "Service", true),
    ("batch", "v1", "Job", true),
    ("batch", "v1", "CronJob", true),
    ("networking.k8s.io", "v1", "Ingress", true),
    ("apps", "v1", "DaemonSet", true),
    ("apps", "v1", "Deployment", true),
    ("apps", "v1", "ReplicaSet", true),
    ("apps", "v1", "StatefulSet", true),
    ("", "v1", "Namespace", false),
    ("", "v1", "PersistentVolume", false),
];
/// What upstream logs when the default list meets a namespace.
const DEPRECATED: &str = "Deprecated: kubectl apply will no longer prune non-namespaced resources by default when used with the --namespace flag in a future release. To preserve the current behaviour, list the resources you want to target explicitly in the --prune-allowlist flag.";

/// What to prune.
pub(crate) struct Prune {
    /// None is the default list.
    allowed: Option<Vec<Mapping>>,
}

impl Prune {
    /// From the flags; none without `--prune`.
    pub(super) async fn read(factory: &Factory, matches: &ArgMatches, selection: &Selection) -> Result<Option<Self>, Failure> {
        if !matches.on("prune") {
            return Ok(None);
        }
        if selection.labels.is_empty() && !matches.on("all") {
            return Err(Failure::new("all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector"));
        }
        Self::looking(factory, matches).await
    }

    /// For `diff`, which needs no word to look at all there is.
    pub(crate) async fn looking(factory: &Factory, matches: &ArgMatches) -> Result<Option<Self>, Failure> {
        if !matches.on("prune") {
            return Ok(None);
        }
        let mut allowed = Vec::new();
        for word in matches.texts("prune-allowlist") {
            let parts: Vec<&str> = word.split('/').collect();
            let [group, version, kind] = parts.as_slice() else {
                return Err(Failure::new(format!("invalid GroupVersionKind format: {word}, please follow <group/version/kind>")));
            };
            allowed.push(mapping(factory, if *group == "core" { "" } else { group }, version, kind).await?);
        }
        Ok(Some(Self { allowed: (!allowed.is_empty()).then_some(allowed) }))
    }

    pub(super) async fn run(&self, factory: &Factory, writer: &mut Writer, visited: &[Info], selection: &Selection) -> Result<(), Failure> {
        for (mapping, namespace, object) in self.found(factory, visited, selection).await? {
            if writer.dry_run != DryRun::Client {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
                // In the body: beside one, the query of a deletion is not read.
                if writer.dry_run == DryRun::Server {
                    options["dryRun"] = json!(["All"]);
                }
                factory.call(Call::new(Method::DELETE, mapping.path(&namespace, name)).json(&options)).await?;
            }
            writer.tell(factory, &object, "pruned")?;
        }
        Ok(())
    }

    /// What was applied before and is not among what was visited: its kind, its namespace, itself.
    pub(crate) async fn found(&self, factory: &Factory, visited: &[Info], selection: &Selection) -> Result<Vec<(Mapping, String, Value)>, Failure> {
        let mut namespaces: Vec<String> = visited.iter().map(|info| info.namespace.clone()).filter(|namespace| !namespace.is_empty()).collect();
        namespaces.sort();
        namespaces.dedup();
        let kinds = self.kinds(factory).await?;
        let mut found = Vec::new();
        for namespace in &namespaces {
            for mapping in kinds.iter().filter(|mapping| mapping.namespaced) {
                one_kind(factory, (mapping, namespace), visited, selection, &mut found).await?;
            }
        }
        for mapping in kinds.iter().filter(|mapping| !mapping.namespaced) {
            one_kind(factory, (mapping, ""), visited, selection, &mut found).await?;
        }
        Ok(found)
    }

    async fn kinds(&self, factory: &Factory) -> Result<Vec<Mapping>, Failure> {
        if let Some(allowed) = &self.allowed {
            return Ok(allowed.clone());
        }
        // There always is one: that of the context, or `default`.
        crate::write::klog(factory, 'W', "prune.go:71", DEPRECATED);
        let mut kinds = Vec::new();
        for (group, version, kind, namespaced) in DEFAULT {
            let found = mapping(factory, group, version, kind).await;
            let unknown = |failure: Failure| Failure::new(format!("error retrieving RESTMappings to prune: invalid resource {group}/{version}, Kind={kind}, Namespaced={namespaced}: {}", failure.text()));
            kinds.push(found.map_err(unknown)?);
        }
        Ok(kinds)
    }
}

async fn mapping(factory: &Factory, group: &str, version: &str, kind: &str) -> Result<Mapping, Failure> {
    let full = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let missing = || Failure::new(format!("no matches for kind {kind:?} in version {full:?}"));
    factory.kind_of(&full, kind).await?.ok_or_else(missing)
}

async fn one_kind(factory: &Factory, (mapping, namespace): (&Mapping, &str), visited: &[Info], selection: &Selection, found: &mut Vec<(Mapping, String, Value)>) -> Result<(), Failure> {
    let search = Selection { labels: selection.labels.clone(), chunk: 500, ..Selection::default() };
    let list = search.list(factory, mapping, namespace).await?;
    for object in crate::builder::items(&list) {
        let metadata = &object["metadata"];
        if metadata["annotations"][LAST_APPLIED].is_null() || visited.iter().any(|info| info.object["metadata"]["uid"] == metadata["uid"]) {
            continue;
        }
        found.push((mapping.clone(), namespace.to_owned(), object));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::{Request, Response};
    use kube::client::Body;

    use super::*;
    use crate::rest::Rest;

    /// What is asked, with bodies, when the one ConfigMap that was applied before is in no file any more.
    async fn asked(dry_run: DryRun) -> Vec<String> {
        let old = json!({"kind": "ConfigMap", "metadata": {"name": "old", "uid": "1", "annotations": {LAST_APPLIED: "{}"}}});
        let list = json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {}, "items": [old]}).to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let server = tower::service_fn(move |request: Request<Body>| {
            let (heard, list) = (Arc::clone(&heard), list.clone());
            async move {
                let line = format!("{} {}", request.method(), request.uri());
                let body = request.into_body().collect_bytes().await?;
                heard.lock().unwrap().push(format!("{line} {}", String::from_utf8_lossy(&body)).trim_end().to_owned());
                Ok::<_, kube::Error>(Response::new(Body::from(list.into_bytes())))
            }
        });
        let factory = Factory::asking(Rest::new(kube::Client::new(server, "default"), "https://a:1".to_owned(), None, 0));
        let mapping = Mapping { version: "v1".to_owned(), kind: "ConfigMap".to_owned(), resource: "configmaps".to_owned(), namespaced: true, ..Mapping::default() };
        let visited = [Info { mapping: mapping.clone(), namespace: "desk".to_owned(), name: "new".to_owned(), ..Info::default() }];
        let mut writer = Writer { dry_run, printer: None, manager: String::new(), validation: "", save_config: false };
        Prune { allowed: Some(vec![mapping]) }.run(&factory, &mut writer, &visited, &Selection::default()).await.unwrap();
        std::mem::take(&mut *asked.lock().unwrap())
    }

    #[tokio::test]
    async fn what_a_dry_run_prunes_stays() {
        let delete = |dry: &str| format!("DELETE /api/v1/namespaces/desk/configmaps/old {{\"apiVersion\":\"v1\",{dry}\"kind\":\"DeleteOptions\",\"propagationPolicy\":\"Background\"}}");
        for (dry_run, wanted) in [(DryRun::None, vec![delete("")]), (DryRun::Server, vec![delete("\"dryRun\":[\"All\"],")]), (DryRun::Client, Vec::new())] {
            let asked = asked(dry_run).await;
            assert_eq!(asked.iter().filter(|line| !line.starts_with("GET ")).cloned().collect::<Vec<_>>(), wanted, "{dry_run:?}");
        }
    }
}
