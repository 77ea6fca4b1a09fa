//! What nodes may do: read what every node needs, write about themselves and the Pods bound to them, and see those Secrets, ConfigMaps,
//! claims and volumes that their Pods refer to.
//!
//! Nothing is kept for it: a question about an object looks at the Pods of its namespace as they are now, and only at those whose text
//! has both names in it.

// upstream: plugin/pkg/auth/authorizer/node/node_authorizer.go, plugin/pkg/admission/noderestriction/admission.go,
// plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go (NodeRules)

use std::sync::Arc;

use drydock_store::Store;
use serde_json::Value;

use crate::authorize::{Attributes, Authorizer, Decision};
use crate::identity::{Identity, MASTERS};

const LEASES: &str = "kube-node-lease";
const UNRELATED: &str = "no relationship found between node";

/// The name of the node that asks.
pub(crate) fn node_of(identity: &Identity) -> Option<&str> {
    identity.user.strip_prefix("system:node:").filter(|name| !name.is_empty() && identity.is_in("system:nodes"))
}

/// Decides for nodes, and leaves everybody else to another.
pub(crate) struct NodeAuthorizer {
    store: Store,
    others: Arc<dyn Authorizer>,
}

impl NodeAuthorizer {
    /// Over the objects of this store.
    pub(crate) fn new(store: Store, others: Arc<dyn Authorizer>) -> NodeAuthorizer {
        NodeAuthorizer { store, others }
    }

    fn object(&self, key: &str) -> Option<Value> {
        serde_json::from_slice(&self.store.get(key)?.bytes).ok()
    }

    /// Whether a Pod is bound to the node. One that does not exist is for the handler to miss.
    fn is_bound(&self, node: &str, asked: &Attributes) -> bool {
        self.object(&format!("/registry/pods/{}/{}", asked.namespace, asked.name)).is_none_or(|pod| pod["spec"]["nodeName"] == node)
    }

    /// Whether a Pod bound to the node refers to an object of its namespace.
    fn is_used(&self, node: &str, namespace: &str, what: Kind, name: &str) -> bool {
        let snapshot = self.store.snapshot();
        let prefix = format!("/registry/pods/{namespace}/");
        // A Pod's ephemeral claim has its name in two parts, and every Pod has an account without naming it.
        let is_spelled = |text: &str| text.contains(node) && (matches!(what, Kind::Claim | Kind::Account) || text.contains(name));
        let mut pods = snapshot.range(&prefix).filter(|(_, entry)| std::str::from_utf8(&entry.bytes).is_ok_and(is_spelled));
        pods.any(|(_, entry)| {
            let pod: Value = serde_json::from_slice(&entry.bytes).unwrap_or_default();
            pod["spec"]["nodeName"] == node && refers(&pod, what, name)
        })
    }

    fn may_read(&self, node: &str, asked: &Attributes, what: Kind) -> Result<(), String> {
        if !matches!(asked.verb.as_str(), "get" | "list" | "watch") {
            return Err("can only read resources of this type".to_owned());
        }
        if asked.name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        self.related(node, self.is_used(node, &asked.namespace, what, &asked.name))
    }

    fn may_read_volume(&self, node: &str, asked: &Attributes) -> Result<(), String> {
        if asked.verb != "get" {
            return Err("can only get individual resources of this type".to_owned());
        }
        let claim = self.object(&format!("/registry/persistentvolumes/{}", asked.name)).unwrap_or_default()["spec"]["claimRef"].take();
        let (Some(namespace), Some(name)) = (claim["namespace"].as_str(), claim["name"].as_str()) else { return self.related(node, false) };
        self.related(node, self.is_used(node, namespace, Kind::Claim, name))
    }

    fn related(&self, node: &str, is_so: bool) -> Result<(), String> {
        if is_so { Ok(()) } else { Err(format!("{UNRELATED} '{node}' and this object")) }
    }

    /// `None` when that is no affair of nodes.
    fn decide(&self, node: &str, asked: &Attributes) -> Option<Result<(), String>> {
        let verb = asked.verb.as_str();
        let reads = matches!(verb, "get" | "list" | "watch");
        let one_of = |verbs: &[&str]| verbs.contains(&verb).then_some(Ok(()));
        // Whose object is made by a `create` stands in its body: admission looks there.
        let own = |is_own: bool, sentence: String| if verb == "create" || is_own { Ok(()) } else { Err(sentence) };
        let itself = || own(asked.name == node, format!("node \"{node}\" is not allowed to modify node \"{}\"", asked.name));
        let bound = |what: &str| {
            let sentence = || format!("node \"{node}\" can only {what} pods with spec.nodeName set to itself");
            if self.is_bound(node, asked) { Ok(()) } else { Err(sentence()) }
        };
        Some(match (asked.group.as_str(), asked.resource.as_str(), asked.subresource.as_str()) {
            ("", "secrets", "") => self.may_read(node, asked, Kind::Secret),
            ("", "configmaps", "") => self.may_read(node, asked, Kind::ConfigMap),
            ("", "persistentvolumeclaims", "") => self.may_read(node, asked, Kind::Claim),
            ("", "persistentvolumes", "") => self.may_read_volume(node, asked),
            ("", "serviceaccounts", "token") if verb == "create" => {
                self.related(node, self.is_used(node, &asked.namespace, Kind::Account, &asked.name))
            }
            ("", "nodes", "") if matches!(verb, "create" | "update" | "patch") => itself(),
            ("", "nodes", "status") if matches!(verb, "get" | "update" | "patch") => itself(),
            ("", "pods", "") if verb == "delete" => bound("delete"),
            ("", "pods", "status") if matches!(verb, "get" | "update" | "patch") => bound("update pod status for"),
            ("", "pods", "eviction") if verb == "create" => bound("evict"),
            ("", "pods", "") if verb == "create" => Ok(()),
            ("", "nodes" | "pods" | "services" | "endpoints", "") | ("discovery.k8s.io", "endpointslices", "") if reads => Ok(()),
            ("node.k8s.io", "runtimeclasses", "") | ("storage.k8s.io", "csidrivers", "") if reads => Ok(()),
            ("storage.k8s.io", "volumeattachments", "") if verb == "get" => Ok(()),
            ("" | "events.k8s.io", "events", "") => return one_of(&["create", "update", "patch"]),
            ("coordination.k8s.io", "leases", "") if matches!(verb, "get" | "create" | "update" | "patch" | "delete") => match asked.namespace.as_str() {
                LEASES => own(asked.name == node, "can only access node lease with the same name as the requesting node".to_owned()),
                _ => Err(format!("can only access leases in the \"{LEASES}\" system namespace")),
            },
            ("storage.k8s.io", "csinodes", "") if matches!(verb, "get" | "create" | "update" | "patch" | "delete") => {
                own(asked.name == node, "can only access CSINode with the same name as the requesting node".to_owned())
            }
            ("certificates.k8s.io", "certificatesigningrequests", "") => return one_of(&["create", "get", "list", "watch"]),
            ("authentication.k8s.io", "tokenreviews", "") | ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews", "") => {
                return one_of(&["create"]);
            }
            _ => return None,
        })
    }
}

impl Authorizer for NodeAuthorizer {
    fn authorize(&self, identity: &Identity, attributes: &Attributes) -> Decision {
        let node = node_of(identity).filter(|_| !attributes.resource.is_empty() && !identity.is_in(MASTERS));
        match node.and_then(|node| self.decide(node, attributes)) {
            Some(Ok(())) => Decision::Allow("node".to_owned()),
            Some(Err(reason)) => Decision::Deny(reason),
            None => self.others.authorize(identity, attributes),
        }
    }
}

/// What a Pod refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    ConfigMap,
    Claim,
    Account,
}

fn refers(pod: &Value, what: Kind, name: &str) -> bool {
    let spec = &pod["spec"];
    match what {
        Kind::Secret => {
            names(spec, "", &["imagePullSecrets", "secretRef", "secretKeyRef", "nodePublishSecretRef", "secret", "azureFile"], &["name", "secretName"], name)
        }
        Kind::ConfigMap => names(spec, "", &["configMapRef", "configMapKeyRef", "configMap"], &["name"], name),
        Kind::Claim => {
            let owner = pod["metadata"]["name"].as_str().unwrap_or_default();
            let mut volumes = spec["volumes"].as_array().into_iter().flatten().filter(|volume| !volume["ephemeral"].is_null());
            names(spec, "", &["persistentVolumeClaim"], &["claimName"], name)
                || volumes.any(|volume| volume["name"].as_str().is_some_and(|volume| format!("{owner}-{volume}") == name))
        }
        Kind::Account => spec["serviceAccountName"].as_str().unwrap_or("default") == name,
    }
}

/// Whether one of these fields, directly below one of these, is the name.
fn names(value: &Value, below: &str, parents: &[&str], fields: &[&str], name: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| names(item, below, parents, fields, name)),
        Value::Object(map) => {
            let here = parents.contains(&below);
            map.iter().any(|(key, value)| (here && fields.contains(&key.as_str()) && value == name) || names(value, key, parents, fields, name))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_a_pod_refers_to_something() {
        let pod = json!({"metadata": {"name": "web-0", "labels": {"name": "label"}}, "spec": {
            "serviceAccountName": "robot", "nodeSelector": {"name": "selector"}, "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"name": "container", "envFrom": [{"secretRef": {"name": "from"}}, {"configMapRef": {"name": "settings"}}]}],
            "containers": [{"env": [{"name": "variable", "valueFrom": {"secretKeyRef": {"name": "one", "key": "key"}}}]}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "files", "items": [{"key": "key", "path": "path"}]}},
                {"name": "w", "projected": {"sources": [{"secret": {"name": "projected"}}, {"configMap": {"name": "root"}}]}},
                {"name": "x", "configMap": {"name": "page"}}, {"name": "y", "persistentVolumeClaim": {"claimName": "disk"}}, {"name": "z", "ephemeral": {}},
            ],
        }});
        let names = ["pull", "from", "one", "files", "projected", "settings", "root", "page", "disk", "web-0-z", "robot", "v", "key", "label", "selector", "variable", "container"];
        let cases = [
            (Kind::Secret, vec!["pull", "from", "one", "files", "projected"]),
            (Kind::ConfigMap, vec!["settings", "root", "page"]),
            (Kind::Claim, vec!["disk", "web-0-z"]),
            (Kind::Account, vec!["robot"]),
        ];
        for (kind, referred) in cases {
            let found: Vec<&str> = names.into_iter().filter(|name| refers(&pod, kind, name)).collect();
            assert_eq!(found, referred, "{kind:?}");
        }
    }
}
