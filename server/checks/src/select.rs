//! Finding the objects an author means.

use std::sync::Arc;

use drydock_course::check::{ObjectRef, OwnerRef};
use serde_json::Value;

use crate::world::{Objects, World, key_of};

/// Where to look: now, or as it was at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Now.
    Now,
    /// At the end of this revision.
    At(u64),
}

/// Every object that fits, by name; the youngest alone when `newest` is asked for.
pub fn objects(world: &World, wanted: &ObjectRef, moment: Moment) -> Vec<Arc<Value>> {
    let past;
    let all: &Objects = match moment {
        Moment::Now => world.objects(&wanted.kind),
        Moment::At(revision) => {
            past = world.objects_at(&wanted.kind, revision);
            &past
        }
    };
    let mut found: Vec<Arc<Value>> = all.values().filter(|object| fits(world, wanted, object)).cloned().collect();
    if wanted.newest {
        found.sort_by_key(|object| created(object));
        found = found.pop().into_iter().collect();
    }
    found
}

/// Whether one object is meant.
pub fn fits(world: &World, wanted: &ObjectRef, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let wanted_namespace = wanted.namespace.as_deref().unwrap_or(world.home());
    let in_namespace = namespace.is_empty() || wanted_namespace == "*" || namespace == wanted_namespace;
    let named = wanted.name.as_ref().is_none_or(|name| metadata["name"] == Value::String(name.clone()));
    let version = wanted.api_version.as_ref().is_none_or(|version| object["apiVersion"] == Value::String(version.clone()));
    let terminating = wanted.terminating.is_none_or(|wanted| wanted != metadata["deletionTimestamp"].is_null());
    let owned = wanted.owned_by.as_ref().is_none_or(|owner| is_owned_by(world, object, owner));
    in_namespace && named && version && terminating && labels_fit(wanted, metadata) && owned
}

fn labels_fit(wanted: &ObjectRef, metadata: &Value) -> bool {
    wanted.labels.iter().all(|(key, value)| match metadata["labels"].get(key).and_then(Value::as_str) {
        Some(got) => value == "*" || got == value,
        None => false,
    })
}

/// Whether an object is controlled by such an owner, directly or through another object.
pub fn is_owned_by(world: &World, object: &Value, owner: &OwnerRef) -> bool {
    let mut current = object.clone();
    for _ in 0..4 {
        let Some(reference) = controller(&current) else { return false };
        let (kind, name) = (reference["kind"].as_str().unwrap_or_default(), reference["name"].as_str().unwrap_or_default());
        if kind == owner.kind && owner.name.as_ref().is_none_or(|wanted| wanted == name) {
            return true;
        }
        let key = (current["metadata"]["namespace"].as_str().unwrap_or_default().to_owned(), name.to_owned());
        match world.objects(kind).get(&key) {
            Some(parent) => current = (**parent).clone(),
            None => return false,
        }
    }
    false
}

/// Whether the cluster makes an object by itself: nobody works at it, unless it is named.
pub fn is_own(object: &Value) -> bool {
    let (namespace, name) = key_of(object);
    let annotations = &object["metadata"]["annotations"];
    namespace.starts_with("kube-")
        || match object["kind"].as_str().unwrap_or_default() {
            "Service" | "Endpoints" | "EndpointSlice" => namespace == "default" && name == "kubernetes",
            "ConfigMap" => name == "kube-root-ca.crt",
            "ServiceAccount" => name == "default",
            "Namespace" => name == "default" || name.starts_with("kube-"),
            "StorageClass" => annotations["storageclass.kubernetes.io/is-default-class"] == "true",
            _ => false,
        }
}

/// The owner reference that controls an object.
pub fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|reference| reference["controller"] == Value::Bool(true))
}

fn created(object: &Value) -> (String, u64) {
    (object["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned(), crate::world::revision_of(object))
}

/// Why a container has no log yet: it waits for its first start. Nobody has to ask for it.
pub fn unstarted(pod: &Value, container: Option<&str>) -> Option<String> {
    let of_pod = pod["metadata"]["name"].as_str().unwrap_or_default();
    let nobody = |list: &str| pod["status"][list].is_null();
    if pod["status"]["phase"] == "Pending" && nobody("containerStatuses") && nobody("initContainerStatuses") {
        return Some(format!("no container of pod \"{of_pod}\" is available yet"));
    }
    let statuses = pod["status"]["containerStatuses"].as_array()?;
    let status = match container {
        Some(name) => statuses.iter().find(|status| status["name"] == name)?,
        None => statuses.first().filter(|_| statuses.len() == 1)?,
    };
    let (reason, name) = (status["state"]["waiting"]["reason"].as_str()?, status["name"].as_str()?);
    let began = status["lastState"]["terminated"].is_object() || status["restartCount"].as_u64().is_some_and(|restarts| restarts > 0);
    // upstream: pkg/kubelet/kubelet_pods.go, validateContainerLogStatus
    (!began).then(|| format!("container \"{name}\" in pod \"{of_pod}\" is waiting to start: {reason}"))
}

/// `pod/hello`, as kubectl would name it.
pub fn shown(kind: &str, object: &Value) -> String {
    format!("{}/{}", kind.to_lowercase(), object["metadata"]["name"].as_str().unwrap_or_default())
}
