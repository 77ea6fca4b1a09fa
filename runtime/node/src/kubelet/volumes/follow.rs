//! Following what the volumes of this node's Pods are made of, object by object: nothing else is a node's to read.
//!
//! Each ConfigMap, Secret and claim has one watch, for as long as a Pod here refers to it. Pods that use it bring their files up to date.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use tokio_util::task::AbortOnDropHandle;

use crate::kubelet::informer::events;
use crate::kubelet::node::{Node, lock};
use crate::kubelet::state::{namespace, spec, uid};
use crate::kubelet::worker::Message;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    ConfigMap,
    Secret,
    Claim,
}

/// An object volumes are made of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Source {
    kind: Kind,
    namespace: String,
    name: String,
}

/// The watches of a node.
pub(in crate::kubelet) struct Followed {
    node: Arc<Node>,
    /// By the Pod's uid.
    pods: HashMap<String, BTreeSet<Source>>,
    watches: HashMap<Source, AbortOnDropHandle<()>>,
}

impl Followed {
    /// None yet.
    pub(in crate::kubelet) fn new(node: Arc<Node>) -> Followed {
        Followed { node, pods: HashMap::new(), watches: HashMap::new() }
    }

    /// A Pod is here. What its volumes are never changes.
    pub(in crate::kubelet) fn add(&mut self, pod: &Pod) {
        if self.pods.contains_key(uid(pod)) {
            return;
        }
        let own = sources(pod);
        for source in &own {
            let node = &self.node;
            self.watches.entry(source.clone()).or_insert_with(|| AbortOnDropHandle::new(tokio::spawn(follow(Arc::clone(node), source.clone()))));
        }
        self.pods.insert(uid(pod).to_owned(), own);
    }

    /// Only these Pods are here still.
    pub(in crate::kubelet) fn keep(&mut self, is_here: impl Fn(&str) -> bool) {
        self.pods.retain(|uid, _| is_here(uid));
        let pods = &self.pods;
        self.watches.retain(|source, _| pods.values().any(|own| own.contains(source)));
    }
}

fn sources(pod: &Pod) -> BTreeSet<Source> {
    let mut own = BTreeSet::new();
    let mut add = |kind, name: &str| {
        if !name.is_empty() {
            own.insert(Source { kind, namespace: namespace(pod).to_owned(), name: name.to_owned() });
        }
    };
    for volume in spec(pod).volumes.iter().flatten() {
        for part in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            part.config_map.iter().for_each(|map| add(Kind::ConfigMap, &map.name));
            part.secret.iter().for_each(|secret| add(Kind::Secret, &secret.name));
        }
        volume.config_map.iter().for_each(|map| add(Kind::ConfigMap, &map.name));
        volume.secret.iter().for_each(|secret| add(Kind::Secret, secret.secret_name.as_deref().unwrap_or_default()));
        volume.persistent_volume_claim.iter().for_each(|claim| add(Kind::Claim, &claim.claim_name));
    }
    own
}

async fn follow(node: Arc<Node>, source: Source) {
    let client = node.client.clone();
    match source.kind {
        Kind::ConfigMap => hear(node, Api::<ConfigMap>::namespaced(client, &source.namespace), source).await,
        Kind::Secret => hear(node, Api::<Secret>::namespaced(client, &source.namespace), source).await,
        Kind::Claim => hear(node, Api::<PersistentVolumeClaim>::namespaced(client, &source.namespace), source).await,
    }
}

async fn hear<K>(node: Arc<Node>, api: Api<K>, source: Source)
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let only = watcher::Config::default().fields(&format!("metadata.name={}", source.name));
    let mut events = pin!(events(api, only));
    while let Some(event) = events.next().await {
        // What a list finds may be newer than what the Pod was made with.
        if matches!(event, Event::Init | Event::InitDone) {
            continue;
        }
        let workers: Vec<_> = lock(&node.workers).values().cloned().collect();
        for worker in workers {
            let source = source.clone();
            let concerns = move |pod: &Pod| namespace(pod) == source.namespace && sources(pod).contains(&source);
            if worker.send(Message::VolumesChanged(Box::new(concerns))).is_err() {
                tracing::trace!("a worker has ended");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_say_what_is_followed() {
        let pod = json!({"metadata": {"name": "web", "namespace": "lab"}, "spec": {
            "containers": [{"name": "web", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "read once", "key": "a"}}}]}],
            "volumes": [
                {"name": "a", "configMap": {"name": "page"}}, {"name": "b", "secret": {"secretName": "keys"}}, {"name": "c", "emptyDir": {}},
                {"name": "d", "projected": {"sources": [{"configMap": {"name": "root"}}, {"secret": {"name": "keys"}}]}},
                {"name": "e", "persistentVolumeClaim": {"claimName": "disk"}},
            ],
        }});
        let found: Vec<(Kind, String)> = sources(&serde_json::from_value(pod).unwrap()).into_iter().map(|source| (source.kind, source.name)).collect();
        let wanted = [(Kind::ConfigMap, "page"), (Kind::ConfigMap, "root"), (Kind::Secret, "keys"), (Kind::Claim, "disk")];
        assert_eq!(found, wanted.map(|(kind, name)| (kind, name.to_owned())));
    }
}
