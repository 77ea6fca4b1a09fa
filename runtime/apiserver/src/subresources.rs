//! Subresources that exchange something else than the object: scale, binding, eviction, token.

use std::sync::Arc;

use bytes::Bytes;
use drydock_api::field_error::FieldError;
use drydock_api::patch::{self, PatchType};
use drydock_api::registry::{Resource, Subresource};
use drydock_api::scale;
use drydock_api::status::Status;
use drydock_api::write::{Decoded, Format};
use drydock_primitives::{ids, selector::LabelSelector, time};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::authenticate::ISSUER;
use crate::body::Body;
use crate::call::Call;
use crate::respond::{self, Transformable};
use crate::write::{Ownership, modify};
use crate::{remove, write};

/// Reads a body as a value.
pub(crate) fn parse(call: &Call, body: &Bytes) -> Result<Value, Status> {
    match call.format()? {
        Format::Json => serde_json::from_slice(body).map_err(|error| Status::bad_request(format!("error decoding the request body: {error}"))),
        Format::Yaml => {
            let text = std::str::from_utf8(body).map_err(|error| Status::bad_request(error.to_string()))?;
            drydock_primitives::yaml::parse(text).map_err(|error| Status::bad_request(error.to_string()))
        }
    }
}

fn answer(call: &Call, code: StatusCode, value: &Value) -> Result<Response<Body>, Status> {
    respond::value(code, value, respond::negotiate(call, Transformable::No)?.encoding)
}

/// GET, PUT and PATCH of `scale`. upstream: pkg/registry/apps/deployment/storage/storage.go ScaleREST
pub(crate) fn scale(call: &Call, row: &Arc<Resource>, body: &Bytes) -> Result<Response<Body>, Status> {
    if call.method == Method::GET {
        let stored = call.server.require(row, call.namespace(), &call.info.name)?;
        return answer(call, StatusCode::OK, &scale::view(row, &stored.object)?);
    }
    let asked = if call.method == Method::PUT { Some(parse(call, body)?) } else { None };
    let kind = if asked.is_none() { Some(write::patch_type(call)?) } else { None };
    let written = modify(call, row, Some(Subresource::Scale), |old, _context| {
        let wanted = match (&asked, kind) {
            (Some(asked), _) => asked.clone(),
            // A Scale has no lists: the strategic merge of it is a plain merge, and so is an apply.
            (None, Some(PatchType::Json)) => patch::patched(row, &scale::view(row, old)?, body, PatchType::Json)?,
            (None, _) => patch::patched(row, &scale::view(row, old)?, body, PatchType::Merge)?,
        };
        check_scale(call, &wanted)?;
        let object = scale::scaled(row, old, &wanted)?;
        Ok(Some((Decoded { object, warnings: Vec::new() }, Ownership::Record)))
    })?;
    answer(call, StatusCode::OK, &scale::view(row, &written.object)?)
}

fn check_scale(call: &Call, wanted: &Value) -> Result<(), Status> {
    match wanted["spec"]["replicas"].as_i64() {
        Some(replicas) if replicas < 0 => {
            let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
            Err(Status::invalid_as("autoscaling", "Scale", &call.info.name, &[error]))
        }
        _ => Ok(()),
    }
}

/// POST to `pods/NAME/binding` or `bindings`. upstream: pkg/registry/core/pod/storage/storage.go BindingREST
pub(crate) fn bind(call: &Call, body: &Bytes) -> Result<Response<Body>, Status> {
    let binding = parse(call, body)?;
    let registry = call.server.registry();
    let row = registry.get("", "v1", "pods").ok_or_else(Status::page_not_found)?;
    let node = binding["target"]["name"].as_str().unwrap_or_default().to_owned();
    let name = match call.info.name.as_str() {
        "" => binding["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        name => name.to_owned(),
    };
    if node.is_empty() {
        return Err(Status::invalid_as("", "Binding", &name, &[FieldError::required("target.name", "")]));
    }
    let uid = binding["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let call = &call.renamed(&name, "pods");
    modify(call, row, Some(Subresource::Binding), |old, context| {
        let refuse = |why: String| {
            let mut status = Status::conflict(row, &name, &why);
            status.message = format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}");
            status
        };
        if !uid.is_empty() && old["metadata"]["uid"] != uid.as_str() {
            let own = old["metadata"]["uid"].as_str().unwrap_or_default();
            return Err(refuse(format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}")));
        }
        if !old["metadata"]["deletionTimestamp"].is_null() {
            return Err(refuse(format!("pod {name} is being deleted, cannot be assigned to a host")));
        }
        if let Some(bound) = old["spec"]["nodeName"].as_str().filter(|bound| !bound.is_empty()) {
            return Err(refuse(format!("pod {name} is already assigned to node \"{bound}\"")));
        }
        let mut pod = old.clone();
        pod["spec"]["nodeName"] = node.clone().into();
        for (key, value) in binding["metadata"]["annotations"].as_object().into_iter().flatten() {
            pod["metadata"]["annotations"][key] = value.clone();
        }
        set_scheduled(&mut pod, &time::seconds(context.now));
        // upstream: BindingREST updates the store directly, below the handler that records managers
        Ok(Some((Decoded { object: pod, warnings: Vec::new() }, Ownership::Unrecorded)))
    })?;
    answer(call, StatusCode::CREATED, &Status::success(201))
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    if !pod["status"]["conditions"].is_array() {
        pod["status"]["conditions"] = json!([]);
    }
    if let Some(conditions) = pod["status"]["conditions"].as_array_mut() {
        conditions.retain(|own| own["type"] != "PodScheduled");
        conditions.push(condition);
    }
}

/// POST to `pods/NAME/eviction`. upstream: pkg/registry/core/pod/storage/eviction.go
pub(crate) fn evict(call: &Call, row: &Arc<Resource>, body: &Bytes) -> Result<Response<Body>, Status> {
    let eviction = parse(call, body)?;
    let named = eviction["metadata"]["name"].as_str().unwrap_or(&call.info.name);
    if named != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    if let Some(options) = eviction["deleteOptions"].as_object() {
        let unreadable = |why| Status::bad_request(format!("Eviction in version \"v1\" cannot be handled as a Eviction: {why}"));
        remove::check_types(options, "deleteOptions.").map_err(unreadable)?;
    }
    let pod = call.server.require(row, call.namespace(), &call.info.name)?.object;
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let mut options = remove::with_uid(&eviction["deleteOptions"], uid);
    // upstream: propagateDryRun
    if call.dry_run()? {
        options["dryRun"] = json!(["All"]);
    }
    let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed" | "Pending"));
    if !finished && pod["metadata"]["deletionTimestamp"].is_null() {
        spend_budget(call, &pod, remove::is_dry_run(&options))?;
    }
    remove::delete_object(call, row, &call.info.name, &options)?;
    answer(call, StatusCode::CREATED, &Status::success(201))
}

fn spend_budget(call: &Call, pod: &Value, dry_run: bool) -> Result<(), Status> {
    let registry = call.server.registry();
    let Some(budgets) = registry.get("policy", "v1", "poddisruptionbudgets") else { return Ok(()) };
    let all = call.server.all(budgets, call.namespace())?;
    let covers = |budget: &&Value| {
        LabelSelector::from_object(&budget["spec"]["selector"]).is_ok_and(|selector| selector.matches_json(pod["metadata"].get("labels")))
    };
    let own: Vec<&Value> = all.iter().filter(covers).collect();
    let budget = match own.as_slice() {
        [] => return Ok(()),
        [budget] => *budget,
        _ => return Err(Status::internal("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")),
    };
    let budget_name = budget["metadata"]["name"].as_str().unwrap_or_default();
    // upstream: checkAndDecrement looks at the dry run only where it would write
    if dry_run {
        return disruptions_allowed(budget).map(drop);
    }
    let pod_name = call.info.name.as_str();
    let budget_call = &call.renamed(budget_name, "poddisruptionbudgets");
    modify(budget_call, budgets, Some(Subresource::Status), |old, context| {
        let mut new = old.clone();
        new["status"]["disruptionsAllowed"] = (disruptions_allowed(old)? - 1).into();
        new["status"]["disruptedPods"][pod_name] = time::seconds(context.now).into();
        Ok(Some((Decoded { object: new, warnings: Vec::new() }, Ownership::Record)))
    })?;
    Ok(())
}

/// How many Pods may still go, at least one; who asks for more is refused.
fn disruptions_allowed(budget: &Value) -> Result<i64, Status> {
    const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
    let status = &budget["status"];
    if status["observedGeneration"].as_i64() < budget["metadata"]["generation"].as_i64() {
        return Err(Status::too_many_requests(REFUSED, 10));
    }
    match status["disruptionsAllowed"].as_i64() {
        Some(allowed) if allowed > 0 => Ok(allowed),
        _ => {
            let mut refusal = Status::too_many_requests(REFUSED, 0);
            let (name, desired, healthy) = (budget["metadata"]["name"].as_str().unwrap_or_default(), &status["desiredHealthy"], &status["currentHealthy"]);
            let message = format!("The disruption budget {name} needs {desired} healthy pods and has {healthy} currently");
            refusal.details = json!({"causes": [{"reason": "DisruptionBudget", "message": message}]});
            Err(refusal)
        }
    }
}

/// POST to `serviceaccounts/NAME/token`. upstream: pkg/registry/core/serviceaccount/storage/token.go
pub(crate) fn token(call: &Call, row: &Arc<Resource>, body: &Bytes) -> Result<Response<Body>, Status> {
    let mut request = parse(call, body)?;
    let account = call.server.require(row, call.namespace(), &call.info.name)?.object;
    let name = call.info.name.as_str();
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    if seconds < 600 {
        let error = FieldError::invalid("spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes");
        return Err(Status::invalid_as("authentication.k8s.io", "TokenRequest", "", &[error]));
    }
    let audiences = match request["spec"]["audiences"].as_array() {
        Some(audiences) if !audiences.is_empty() => Value::from(audiences.clone()),
        _ => json!([ISSUER]),
    };
    let now = call.server.config().clock.now();
    let issued = now.as_second();
    let mut own = json!({
        "namespace": call.info.namespace,
        "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
    });
    bind_token(call, &request["spec"]["boundObjectRef"], &mut own)?;
    let claims = json!({
        "aud": audiences, "exp": issued + seconds, "iat": issued, "nbf": issued, "iss": ISSUER, "jti": ids::uid(),
        "sub": format!("system:serviceaccount:{}:{name}", call.info.namespace),
        "kubernetes.io": own,
    });
    let token = call.server.config().authenticator.key().sign(&claims).map_err(Status::internal)?;
    let expires = drydock_primitives::clock::after(now, std::time::Duration::from_secs(seconds.unsigned_abs()));
    request["kind"] = json!("TokenRequest");
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    request["metadata"] = json!({"name": name, "namespace": call.info.namespace, "creationTimestamp": time::seconds(now)});
    request["spec"]["audiences"] = audiences;
    request["spec"]["expirationSeconds"] = seconds.into();
    request["status"] = json!({"token": token, "expirationTimestamp": time::seconds(expires)});
    answer(call, StatusCode::CREATED, &request)
}

fn bind_token(call: &Call, reference: &Value, own: &mut Value) -> Result<(), Status> {
    let Some(kind) = reference["kind"].as_str() else { return Ok(()) };
    let name = reference["name"].as_str().unwrap_or_default();
    let (plural, field) = match kind {
        "Pod" => ("pods", "pod"),
        "Secret" => ("secrets", "secret"),
        "Node" => ("nodes", "node"),
        other => return Err(Status::bad_request(format!("cannot bind token for serviceaccount to object of type {other}"))),
    };
    let namespace = call.namespace().filter(|_| plural != "nodes");
    let object = call.server.core(plural, namespace, name).ok_or_else(|| Status::not_found_as("", plural, name))?;
    let uid = reference["uid"].as_str().unwrap_or_default();
    if !uid.is_empty() && object["metadata"]["uid"] != uid {
        let found = object["metadata"]["uid"].as_str().unwrap_or_default();
        let mut status = Status::not_found_as("", plural, name);
        status.code = 409;
        status.reason = "Conflict";
        status.message =
            format!("Operation cannot be fulfilled on {field} \"{name}\": the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated ({found})");
        return Err(status);
    }
    own[field] = json!({"name": name, "uid": object["metadata"]["uid"]});
    Ok(())
}
