//! Admission that needs other objects: namespaces, service accounts, priorities, default classes, and the Service allocators.
//!
//! upstream: plugin/pkg/admission/{serviceaccount,priority,storage,network}, staging/.../admission/plugin/namespace/lifecycle

use std::sync::Arc;

use drydock_api::admission as pure;
use drydock_api::registry::{Resource, Subresource};
use drydock_api::status::Status;
use drydock_api::write::{self, Context};
use serde_json::{Value, json};

use crate::allocate::{self, Allocation};
use crate::call::Call;
use crate::nodes::node_of;

/// What is about to happen to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It is created.
    Create,
    /// It, or this subresource of it, is changed.
    Update(Option<Subresource>),
}

/// Whether an object may be created in its namespace.
pub(crate) fn check_namespace(call: &Call, row: &Resource, object: &Value) -> Result<(), Status> {
    let Some(name) = call.namespace().filter(|_| row.is_namespaced() && row.is_stored()) else { return Ok(()) };
    let Some(namespace) = call.server.core("namespaces", None, name) else {
        return Err(Status::not_found_as("", "namespaces", name));
    };
    if namespace["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let own = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut status = Status::forbidden(&row.group, &row.plural, own, &why);
    status.details["causes"] = json!([{"reason": "NamespaceTerminating", "message": format!("namespace {name} is being terminated"), "field": "metadata.namespace"}]);
    Err(status)
}

/// Completes an object from others. The guard, if there is one, must live until the object is committed.
pub(crate) fn mutate<'a>(
    call: &'a Call,
    row: &Arc<Resource>,
    context: &Context,
    operation: Operation,
    new: &mut Value,
    old: Option<&Value>,
) -> Result<Option<Allocation<'a>>, Status> {
    match (row.group.as_str(), row.plural.as_str(), operation) {
        ("", "pods", Operation::Create) => {
            admit_pod(call, context, new)?;
            write::set_defaults(row, new);
            Ok(None)
        }
        ("", "services", Operation::Create | Operation::Update(None)) => allocate::service(call, row, new, old).map(Some),
        ("", "persistentvolumeclaims", Operation::Create) => {
            if new["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].is_null() {
                default_class(call, &STORAGE, &mut new["spec"]);
            }
            pure::protect(new, "kubernetes.io/pvc-protection");
            Ok(None)
        }
        ("", "persistentvolumes", Operation::Create) => {
            pure::protect(new, "kubernetes.io/pv-protection");
            Ok(None)
        }
        ("networking.k8s.io", "ingresses", Operation::Create) => {
            default_class(call, &INGRESS, &mut new["spec"]);
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Refuses what other objects forbid.
pub(crate) fn validate(call: &Call, row: &Resource, operation: Operation, new: &Value, old: Option<&Value>) -> Result<(), Status> {
    if let (true, Operation::Update(None), Some(old)) = (row.group.is_empty() && row.plural == "persistentvolumeclaims", operation, old) {
        return check_growth(call, new, old);
    }
    if let (Operation::Create, Some(node), "nodes" | "leases" | "csinodes") = (operation, node_of(&call.identity), &*row.plural) {
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        if name != node {
            return Err(Status::forbidden(&row.group, &row.plural, name, &format!("node \"{node}\" is not allowed to create objects of other nodes")));
        }
    }
    if operation == Operation::Create && row.group.is_empty() && row.plural == "pods" {
        // A node may only create mirror Pods bound to itself. upstream: plugin/pkg/admission/noderestriction
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(node) = node_of(&call.identity) {
            if new["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
                return Err(Status::forbidden("", "pods", name, &format!("pod does not have \"kubernetes.io/config.mirror\" annotation, node \"{node}\" can only create mirror pods")));
            }
            if new["spec"]["nodeName"] != node {
                return Err(Status::forbidden("", "pods", name, &format!("node \"{node}\" can only create pods with spec.nodeName set to itself")));
            }
        }
    }
    Ok(())
}

fn admit_pod(call: &Call, context: &Context, pod: &mut Value) -> Result<(), Status> {
    let is_mirror = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null();
    if !is_mirror {
        let account = call.server.core("serviceaccounts", call.namespace(), pure::service_account_name(pod));
        pure::admit_pod(pod, account.as_ref(), &context.suffix)?;
    }
    admit_priority(call, pod)
}

/// upstream: plugin/pkg/admission/priority/admission.go
fn admit_priority(call: &Call, pod: &mut Value) -> Result<(), Status> {
    let registry = call.server.registry();
    let classes = match registry.get("scheduling.k8s.io", "v1", "priorityclasses") {
        Some(row) => call.server.all(row, None)?,
        None => Vec::new(),
    };
    let asked = pod["spec"]["priorityClassName"].as_str().unwrap_or_default().to_owned();
    let (class, priority, policy) = if asked.is_empty() {
        let default = classes.iter().filter(|class| class["globalDefault"] == true).max_by_key(|class| class["value"].as_i64());
        match default {
            Some(class) => (class["metadata"]["name"].as_str().unwrap_or_default().to_owned(), class["value"].as_i64().unwrap_or(0), policy(class)),
            None => (String::new(), 0, json!("PreemptLowerPriority")),
        }
    } else {
        let stored = classes.iter().find(|class| class["metadata"]["name"] == asked.as_str());
        let built_in = match asked.as_str() {
            "system-node-critical" => Some(2_000_001_000),
            "system-cluster-critical" => Some(2_000_000_000),
            _ => None,
        };
        match (stored, built_in) {
            (Some(class), _) => (asked, class["value"].as_i64().unwrap_or(0), policy(class)),
            (None, Some(value)) => (asked, value, json!("PreemptLowerPriority")),
            (None, None) => {
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                return Err(Status::forbidden("", "pods", name, &format!("no PriorityClass with name {asked} was found")));
            }
        }
    };
    if !class.is_empty() {
        pod["spec"]["priorityClassName"] = class.into();
    }
    pod["spec"]["priority"] = priority.into();
    if pod["spec"]["preemptionPolicy"].is_null() {
        pod["spec"]["preemptionPolicy"] = policy;
    }
    Ok(())
}

fn policy(class: &Value) -> Value {
    match &class["preemptionPolicy"] {
        Value::Null => json!("PreemptLowerPriority"),
        own => own.clone(),
    }
}

/// A kind whose objects are classes, one of which is meant by those who name none.
struct Classes {
    group: &'static str,
    plural: &'static str,
    annotations: &'static [&'static str],
    field: &'static str,
}

const STORAGE: Classes = Classes {
    group: "storage.k8s.io",
    plural: "storageclasses",
    annotations: &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"],
    field: "storageClassName",
};
const INGRESS: Classes = Classes {
    group: "networking.k8s.io",
    plural: "ingressclasses",
    annotations: &["ingressclass.kubernetes.io/is-default-class"],
    field: "ingressClassName",
};

/// Of several defaults the newest counts, then the first by name. upstream: pkg/volume/util/storageclass.go GetDefaultClass
fn default_class(call: &Call, classes: &Classes, spec: &mut Value) {
    if !spec[classes.field].is_null() {
        return;
    }
    let registry = call.server.registry();
    let Some(row) = registry.get(classes.group, "v1", classes.plural) else { return };
    let all = call.server.all(row, None).unwrap_or_default();
    let is_default = |class: &&Value| classes.annotations.iter().any(|annotation| class["metadata"]["annotations"][*annotation] == "true");
    let newest = all.iter().rev().filter(is_default).max_by_key(|class| class["metadata"]["creationTimestamp"].as_str().unwrap_or_default());
    if let Some(class) = newest {
        spec[classes.field] = class["metadata"]["name"].clone();
    }
}

/// Whether a claim may grow. upstream: plugin/pkg/admission/storage/persistentvolume/resize/admission.go
fn check_growth(call: &Call, new: &Value, old: &Value) -> Result<(), Status> {
    if !pure::grows(new, old) {
        return Ok(());
    }
    let refuse = |why: &str| Err(Status::forbidden("", "persistentvolumeclaims", new["metadata"]["name"].as_str().unwrap_or_default(), why));
    if old["status"]["phase"] != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = new["spec"]["storageClassName"].as_str().unwrap_or_default();
    let registry = call.server.registry();
    let class = registry.get(STORAGE.group, "v1", STORAGE.plural).and_then(|row| call.server.load(row, None, class).ok().flatten());
    if class.is_some_and(|class| class.object["allowVolumeExpansion"] == true) {
        return Ok(());
    }
    refuse("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
}
