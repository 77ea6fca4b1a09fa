//! What a description needs besides its object, as requests the command makes.

use std::collections::BTreeMap;

use drydock_primitives::selector::LabelSelector;
use serde_json::Value;

use super::group_and_kind;
use super::value::{at, pairs, text};

/// One list or object to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// By which name the description finds it.
    pub name: &'static str,
    /// The path on the API server.
    pub path: String,
    /// Query parameters.
    pub query: Vec<(&'static str, String)>,
    /// Whether there is no description without it.
    pub required: bool,
}

/// What was fetched.
#[derive(Debug, Clone, Default)]
pub struct Related {
    /// The items of lists, or the one object; or why it could not be had.
    pub found: BTreeMap<&'static str, Result<Vec<Value>, String>>,
    /// Whether events are shown.
    pub show_events: bool,
}

impl Related {
    /// The items under a name, none when they could not be had.
    pub(super) fn items(&self, name: &str) -> &[Value] {
        self.found.get(name).and_then(|found| found.as_ref().ok()).map_or(&[], Vec::as_slice)
    }

    /// The items under a name, or why there are none.
    pub(super) fn outcome(&self, name: &str) -> Result<&[Value], &str> {
        match self.found.get(name) {
            Some(Ok(items)) => Ok(items),
            Some(Err(error)) => Err(error),
            None => Ok(&[]),
        }
    }
}

/// What to fetch for the description of an object.
pub fn wanted(object: &Value, show_events: bool) -> Vec<Wanted> {
    let (group, kind) = group_and_kind(object);
    let mut wanted = belonging(object, &group, &kind);
    let eventless = ["Namespace", "Secret", "ResourceQuota", "LimitRange"];
    if show_events && !(group.is_empty() && eventless.contains(&kind.as_str())) {
        // A Deployment's are asked for before what belongs to it.
        let place = if kind == "Deployment" { 0 } else { wanted.len() };
        wanted.insert(place, events(object, &kind, &text(object, "metadata.uid")));
        if kind == "Node" && group.is_empty() {
            let own = events(object, &kind, &text(object, "metadata.name"));
            wanted.push(Wanted { name: "events of kubelet", ..own });
        }
    }
    if kind == "Node" && group.is_empty() {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}", text(object, "metadata.name"));
        wanted.push(Wanted { name: "lease", path, query: vec![], required: false });
    }
    wanted
}

fn belonging(object: &Value, group: &str, kind: &str) -> Vec<Wanted> {
    let (name, namespace) = (text(object, "metadata.name"), text(object, "metadata.namespace"));
    let list = |name, root: &str, resource: &str, namespace: &str, query, required| Wanted {
        name,
        path: format!("{root}/namespaces/{namespace}/{resource}"),
        query,
        required,
    };
    let by_labels = |selector: &LabelSelector| vec![("labelSelector", selector.to_string())];
    let selector = LabelSelector::from_object(at(object, "spec.selector")).unwrap_or_default();
    match (group, kind) {
        ("", "ReplicationController") => {
            let labels = pairs(at(object, "spec.selector")).into_iter().collect();
            vec![list("pods", "/api/v1", "pods", &namespace, by_labels(&LabelSelector::from_labels(&labels)), true)]
        }
        ("apps", "ReplicaSet") => vec![list("pods", "/api/v1", "pods", &namespace, by_labels(&selector), false)],
        ("apps", "DaemonSet" | "StatefulSet") => vec![list("pods", "/api/v1", "pods", &namespace, by_labels(&selector), true)],
        ("apps", "Deployment") => vec![list("replicasets", "/apis/apps/v1", "replicasets", &namespace, by_labels(&selector), false)],
        ("", "Service") => {
            let query = vec![("labelSelector", format!("kubernetes.io/service-name={name}"))];
            vec![list("endpointslices", "/apis/discovery.k8s.io/v1", "endpointslices", &namespace, query, false)]
        }
        ("", "PersistentVolumeClaim") => vec![list("pods", "/api/v1", "pods", &namespace, vec![], true)],
        ("", "ServiceAccount") => vec![list("secrets", "/api/v1", "secrets", &namespace, vec![], false)],
        ("", "Namespace") => vec![
            list("resourcequotas", "/api/v1", "resourcequotas", &name, vec![], false),
            list("limitranges", "/api/v1", "limitranges", &name, vec![], false),
        ],
        ("", "Node") => {
            let query = vec![("fieldSelector", format!("spec.nodeName={name},status.phase!=Succeeded,status.phase!=Failed"))];
            vec![Wanted { name: "pods", path: "/api/v1/pods".to_owned(), query, required: false }]
        }
        _ => vec![],
    }
}

/// The events about an object, by its name, namespace, kind and uid.
fn events(object: &Value, kind: &str, uid: &str) -> Wanted {
    let (name, namespace) = (text(object, "metadata.name"), text(object, "metadata.namespace"));
    let mut selector = format!("involvedObject.name={name},involvedObject.namespace={namespace}");
    // Those of mirror Pods name another kind.
    if kind != "Pod" {
        selector.push_str(&format!(",involvedObject.kind={kind}"));
    }
    let mirror = &at(object, "metadata.annotations")["kubernetes.io/config.mirror"];
    let uid = mirror.as_str().unwrap_or(uid);
    if !uid.is_empty() {
        selector.push_str(&format!(",involvedObject.uid={uid}"));
    }
    let path = if namespace.is_empty() { "/api/v1/events".to_owned() } else { format!("/api/v1/namespaces/{namespace}/events") };
    Wanted { name: "events", path, query: vec![("fieldSelector", selector)], required: false }
}
