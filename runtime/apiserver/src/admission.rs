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
    // Events may still be written: they tell how the namespace went.
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
            default_class(call, "storage.k8s.io", "storageclasses", "storageclass.kubernetes.io/is-default-class", &mut new["spec"], "storageClassName");
            Ok(None)
        }
        ("networking.k8s.io", "ingresses", Operation::Create) => {
            default_class(call, "networking.k8s.io", "ingressclasses", "ingressclass.kubernetes.io/is-default-class", &mut new["spec"], "ingressClassName");
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// Refuses what other objects forbid.
pub(crate) fn validate(call: &Call, row: &Resource, operation: Operation, new: &Value, _old: Option<&Value>) -> Result<(), Status> {
    if operation == Operation::Create && row.group.is_empty() && row.plural == "pods" {
        // A node may only create mirror Pods bound to itself. upstream: plugin/pkg/admission/noderestriction
        let node = call.identity.user.strip_prefix("system:node:").filter(|_| call.identity.is_in("system:nodes"));
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        if let Some(node) = node {
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

fn default_class(call: &Call, group: &str, plural: &str, annotation: &str, spec: &mut Value, field: &str) {
    if !spec[field].is_null() {
        return;
    }
    let registry = call.server.registry();
    let Some(row) = registry.get(group, "v1", plural) else { return };
    let classes = call.server.all(row, None).unwrap_or_default();
    let newest = classes
        .iter()
        .filter(|class| class["metadata"]["annotations"][annotation] == "true")
        .max_by_key(|class| class["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned());
    if let Some(class) = newest {
        spec[field] = class["metadata"]["name"].clone();
    }
}
