//! What objects suffer from: containers' states, the scheduler's words, events, claims, endpoints. Each trouble is a reason with three
//! sentences: what is not true, where to look, what to change.

use std::sync::Arc;

use drydock_course::check::ObjectRef;
use serde_json::Value;

use super::words::short;
use super::{Why, why};
use crate::select::{self, Moment, shown};
use crate::verdict::Reason;
use crate::world::{World, key_of};

/// What an object, or the Pods below it, suffer from.
pub(super) fn trouble(object: &Value, world: &World) -> Option<Why> {
    match object["kind"].as_str().unwrap_or_default() {
        "Pod" => pod(object, world),
        "Service" => service(object, world),
        "Endpoints" => endpoints(object, world),
        "PersistentVolumeClaim" => claim(object, world),
        _ => controller(object, world),
    }
}

/// The Pods an object controls, directly or through a ReplicaSet, those that are not going away; the youngest first.
fn pods_of(object: &Value, world: &World) -> Vec<Arc<Value>> {
    let uid = &object["metadata"]["uid"];
    let owned = |pod: &Value| {
        let Some(owner) = select::controller(pod) else { return false };
        let set = || world.objects("ReplicaSet").values().find(|set| set["metadata"]["uid"] == owner["uid"]);
        owner["uid"] == *uid || set().and_then(|set| select::controller(set)).is_some_and(|owner| owner["uid"] == *uid)
    };
    let mut pods: Vec<Arc<Value>> =
        world.objects("Pod").values().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null() && owned(pod)).cloned().collect();
    pods.sort_by(|a, b| b["metadata"]["creationTimestamp"].as_str().cmp(&a["metadata"]["creationTimestamp"].as_str()));
    pods
}

/// A Deployment, ReplicaSet, DaemonSet, Job, ...
fn controller(object: &Value, world: &World) -> Option<Why> {
    if let Some(found) = pods_of(object, world).iter().find_map(|found| pod(found, world)) {
        return Some(found);
    }
    let kind = object["kind"].as_str()?;
    let name = shown(kind, object);
    if object["spec"]["paused"] == Value::Bool(true) {
        let text = format!("{kind} `{}` is paused: it makes no Pods from its new template.", plain_name(object));
        return Some(why(Reason::PausedRollout, vec![text, format!("Look at `kubectl rollout status {name}`."), format!("Let it go on: `kubectl rollout resume {name}`.")], vec![name]));
    }
    if kind == "DaemonSet"
        && let Some(found) = no_node(object)
    {
        return Some(found);
    }
    let sets = world.objects("ReplicaSet");
    let own = sets.values().filter(|set| select::controller(set).is_some_and(|owner| owner["uid"] == object["metadata"]["uid"]));
    std::iter::once(object).chain(own.map(|set| &**set)).find_map(refused)
}

/// A controller that may not make its Pods.
fn refused(object: &Value) -> Option<Why> {
    let conditions = object["status"]["conditions"].as_array()?;
    let failed = conditions.iter().find(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True")?;
    let message = failed["message"].as_str().unwrap_or_default();
    let name = shown(object["kind"].as_str().unwrap_or("object"), object);
    let reason = if message.contains("exceeded quota") { Reason::Quota } else { Reason::Forbidden };
    let text = match reason {
        Reason::Quota => "The namespace's quota has no room for another Pod.".to_owned(),
        _ => "The API server does not accept the Pods it would make.".to_owned(),
    };
    let change = match reason {
        Reason::Quota => "Make room below the quota, or ask for less in `resources`.",
        _ => "Change the template so that its Pods are allowed.",
    };
    Some(why(reason, vec![text, format!("Read its events: `kubectl describe {}`.", name.replacen('/', " ", 1)), change.to_owned()], vec![name]))
}

fn plain_name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// The newest event about an object with one of these reasons: its message.
fn event(world: &World, object: &Value, reasons: &[&str]) -> Option<String> {
    let about = world.objects("Event").values().filter(|event| {
        let involved = if event["involvedObject"].is_object() { &event["involvedObject"] } else { &event["regarding"] };
        let same_uid = involved["uid"].is_null() || involved["uid"] == object["metadata"]["uid"];
        same_uid && involved["name"] == object["metadata"]["name"] && event["reason"].as_str().is_some_and(|reason| reasons.contains(&reason))
    });
    let newest = about.max_by_key(|event| crate::world::revision_of(event))?;
    newest["message"].as_str().or_else(|| newest["note"].as_str()).map(str::to_owned)
}

/// The word between two quotes after some text.
fn quoted_after<'a>(message: &'a str, text: &str) -> Option<&'a str> {
    message.split_once(text)?.1.trim_start().trim_start_matches(['"', '\'']).split(['"', '\'', ' ']).next()
}

/// What a Pod suffers from.
pub(super) fn pod(pod: &Value, world: &World) -> Option<Why> {
    let statuses = [&pod["status"]["initContainerStatuses"], &pod["status"]["containerStatuses"]];
    let mut statuses = statuses.into_iter().filter_map(Value::as_array).flatten();
    statuses.find_map(|status| container(pod, status, world)).or_else(|| unscheduled(pod, world)).or_else(|| unmounted(pod, world)).or_else(|| unready(pod, world))
}

fn container(pod: &Value, status: &Value, world: &World) -> Option<Why> {
    let name = plain_name(pod);
    let look = vec![shown("Pod", pod)];
    let describe = format!("Read its events: `kubectl describe pod {name}`.");
    let waiting = &status["state"]["waiting"];
    let message = waiting["message"].as_str().unwrap_or_default();
    let state = waiting["reason"].as_str().unwrap_or_default();
    let ended = [&status["lastState"]["terminated"], &status["state"]["terminated"]].into_iter().find(|ended| ended.is_object());
    if ended.is_some_and(|ended| ended["reason"] == "OOMKilled") && status["ready"] != Value::Bool(true) {
        let text = format!("A container of Pod `{name}` was killed because it used more memory than its limit.");
        return Some(why(Reason::OomKilled, vec![text, describe, "Raise `resources.limits.memory`, or let the program use less.".into()], look));
    }
    match state {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName" => {
            let image = status["image"].as_str().unwrap_or_default();
            let meant = message.split_once("did you mean").and_then(|(_, rest)| quoted_after(rest, " "));
            let reason = if meant.is_some() { Reason::ImageTypo } else { Reason::ImageMissing };
            let text = format!("Pod `{name}` cannot start: there is no image `{image}`.");
            // An image that is made on this machine has the command in its message, or in that of the try before: nothing to be found out.
            let command = |message: &str| message.split_once("run \"drydock ").and_then(|(_, rest)| rest.split_once('"')).map(|(command, _)| command.to_owned());
            let told = || world.objects("Event").values().filter(|event| event["involvedObject"]["name"] == pod["metadata"]["name"]).find_map(|event| command(event["message"].as_str()?));
            if let Some(make) = command(message).or_else(told) {
                let text = format!("Pod `{name}` waits for the image `{image}`, which is not on this computer yet.");
                let change = format!("Run `drydock {make}` on your own machine, once; the Pod goes on by itself.");
                return Some(why(reason, vec![format!("{text} {change}"), describe, "Nothing in your manifest has to change.".to_owned()], look));
            }
            let change = match meant {
                Some(meant) => format!("Compare the image's name letter by letter; there is `{}`.", meant.trim_end_matches(['?', '.'])),
                None => "Write the name of an image that exists; `drydock image ls` lists them.".to_owned(),
            };
            Some(why(reason, vec![text, describe, change], look))
        }
        "CreateContainerConfigError" => Some(unconfigured(name, message, look)),
        "CrashLoopBackOff" => Some(crashing(pod, status, look)),
        _ => failed_mount(pod, world).filter(|_| state == "ContainerCreating"),
    }
}

/// A ConfigMap or Secret, or a key of one, is missing.
fn unconfigured(pod: &str, message: &str, look: Vec<String>) -> Why {
    let kind = if message.to_lowercase().contains("secret") { "Secret" } else { "ConfigMap" };
    let describe = format!("Read its events: `kubectl describe pod {pod}`.");
    let key = quoted_after(message, "find key").or_else(|| quoted_after(message, "non-existent config key:")).or_else(|| quoted_after(message, "non-existent secret key:"));
    if let Some(key) = key {
        let text = format!("Pod `{pod}` cannot start: the {kind} it names has no key `{key}`.");
        let change = format!("Compare the key in the Pod's template with those of `kubectl describe {}`.", kind.to_lowercase());
        return why(Reason::KeyMissing, vec![text, describe, change], look);
    }
    let wanted = [kind.to_lowercase(), format!("{kind} ")].iter().find_map(|word| quoted_after(message, word)).unwrap_or("it names").to_owned();
    let text = format!("Pod `{pod}` cannot start: there is no {kind} `{wanted}`.");
    why(Reason::ConfigMissing, vec![text, describe, format!("Make the {kind}, or correct its name in the Pod's template.")], look)
}

/// Words of the kubelet about volumes that it cannot mount.
fn failed_mount(pod: &Value, world: &World) -> Option<Why> {
    let message = event(world, pod, &["FailedMount"])?;
    let lower = message.to_lowercase();
    let look = vec![shown("Pod", pod)];
    if (lower.contains("configmap") || lower.contains("secret")) && lower.contains("not found") || lower.contains("non-existent") {
        return Some(unconfigured(plain_name(pod), &message, look));
    }
    let name = plain_name(pod);
    let text = format!("Pod `{name}` cannot start: one of its volumes cannot be mounted.");
    let say = format!("Its events say: {}.", short(message.trim_end_matches('.')));
    Some(why(Reason::Other, vec![text, format!("Read its events: `kubectl describe pod {name}`."), say], look))
}

fn crashing(pod: &Value, status: &Value, look: Vec<String>) -> Why {
    let name = plain_name(pod);
    let words = format!("Read its last words: `kubectl logs {name} --previous`.");
    let container = pod["spec"]["containers"].as_array().into_iter().flatten().find(|container| container["name"] == status["name"]);
    let mounts = container.and_then(|container| container["volumeMounts"].as_array()).into_iter().flatten();
    let code = status["lastState"]["terminated"]["exitCode"].as_i64();
    // 126 and 127 of a shell, 145 of dotnet: the program is not where the image has it.
    let lost_program = matches!(code, Some(126 | 127 | 145));
    // A directory at the top of the tree is the image's own; what is mounted there hides it.
    let hiding = mounts.filter(|mount| mount["subPath"].is_null()).find(|mount| {
        let path = mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/');
        let volume = pod["spec"]["volumes"].as_array().into_iter().flatten().find(|volume| volume["name"] == mount["name"]);
        path.matches('/').count() == 1 && (lost_program || volume.is_some_and(|volume| volume["configMap"].is_object() || volume["secret"].is_object()))
    });
    if let Some(mount) = hiding {
        let path = mount["mountPath"].as_str().unwrap_or_default();
        let text = format!("Pod `{name}` starts and ends again and again: its volume at `{path}` hides what the image has there.");
        return why(Reason::MountHidden, vec![text, words, format!("Mount it at a directory of its own below `{path}`, or a single file with `subPath`.")], look);
    }
    let text = match code {
        Some(code) => format!("Pod `{name}` starts and ends again and again; its container last ended with exit code {code}."),
        None => format!("Pod `{name}` starts and ends again and again."),
    };
    why(Reason::CrashLoop, vec![text, words, "Correct what its last words complain about, in the template, its files or its settings.".into()], look)
}

fn unscheduled(pod: &Value, world: &World) -> Option<Why> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let scheduled = conditions.iter().find(|condition| condition["type"] == "PodScheduled")?;
    if scheduled["status"] != "False" {
        return None;
    }
    let message = scheduled["message"].as_str().unwrap_or_default().trim_end_matches('.');
    let name = plain_name(pod);
    let claims = pod["spec"]["volumes"].as_array().into_iter().flatten().filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str());
    for wanted in claims {
        let key = (key_of(pod).0, wanted.to_owned());
        match world.objects("PersistentVolumeClaim").get(&key) {
            Some(found) => {
                if let Some(found) = claim(found, world) {
                    return Some(found);
                }
            }
            None if message.contains("not found") => {
                let text = format!("Pod `{name}` waits for a claim `{wanted}`, which does not exist.");
                let look = format!("Look at what there is: `kubectl get pvc -n {}`.", key.0);
                return Some(why(Reason::ClaimPending, vec![text, look, "Make the claim, or correct its name in the Pod's template.".into()], vec![shown("Pod", pod)]));
            }
            None => {}
        }
    }
    let text = format!("No node takes Pod `{name}`: {message}.");
    let change = if message.contains("selector") || message.contains("affinity") {
        "Compare its `nodeSelector` with the labels of the nodes: `kubectl get nodes --show-labels`."
    } else if message.contains("taint") {
        "Look at the taints of the nodes: `kubectl describe nodes`."
    } else {
        "Ask for less in `resources.requests`, or make room on a node."
    };
    Some(why(Reason::NotScheduled, vec![text, format!("Read its events: `kubectl describe pod {name}`."), change.to_owned()], vec![shown("Pod", pod)]))
}

fn unmounted(pod: &Value, world: &World) -> Option<Why> {
    (pod["status"]["phase"] == "Pending").then(|| failed_mount(pod, world)).flatten()
}

/// It runs, but what asks whether it is well says no.
fn unready(pod: &Value, world: &World) -> Option<Why> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let ready = conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    let probed = pod["spec"]["containers"].as_array()?.iter().any(|container| container["readinessProbe"].is_object() || container["livenessProbe"].is_object());
    if ready || !probed || pod["status"]["phase"] != "Running" {
        return None;
    }
    let message = event(world, pod, &["Unhealthy"])?;
    let name = plain_name(pod);
    let text = format!("Pod `{name}` runs, but its probe says that it is not well: {}.", short(message.trim_end_matches('.')));
    let look = format!("Read its events: `kubectl describe pod {name}`.");
    Some(why(Reason::ProbeFailing, vec![text, look, "Compare the probe's path and port with what the program serves.".into()], vec![shown("Pod", pod)]))
}

fn claim(claim: &Value, world: &World) -> Option<Why> {
    if claim["status"]["phase"] != "Pending" {
        return None;
    }
    let name = plain_name(claim);
    let says = event(world, claim, &["FailedBinding", "ProvisioningFailed", "WaitForFirstConsumer"]);
    let text = match says {
        Some(says) => format!("Claim `{name}` has no volume yet: {}.", short(says.trim_end_matches('.'))),
        None => format!("Claim `{name}` has no volume yet."),
    };
    let look = format!("Look at `kubectl describe pvc {name}` and at the volumes: `kubectl get pv`.");
    let change = "A claim gets a volume that is free, as large, of the same class and with the same access mode.";
    Some(why(Reason::ClaimPending, vec![text, look, change.to_owned()], vec![shown("PersistentVolumeClaim", claim)]))
}

/// A Service that leads nowhere.
pub(super) fn service(service: &Value, world: &World) -> Option<Why> {
    let selector = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty())?;
    let name = plain_name(service);
    let look = vec![shown("Service", service)];
    let endpoints = format!("Look at its endpoints: `kubectl get endpoints {name}`.");
    let namespace = key_of(service).0;
    let here: Vec<&Arc<Value>> = world.objects("Pod").iter().filter(|((of, _), _)| *of == namespace).map(|(_, pod)| pod).collect();
    let fits = |pod: &Value| selector.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value);
    let chosen: Vec<&&Arc<Value>> = here.iter().filter(|pod| fits(pod)).collect();
    let labels = |labels: &serde_json::Map<String, Value>| labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect::<Vec<_>>().join(",");
    if chosen.is_empty() {
        let text = format!("Service `{name}` looks for Pods with `{}`, and no Pod has that.", labels(selector));
        let change = "Make the Service's `spec.selector` and the labels of the Pods the same.";
        return Some(why(Reason::SelectorMismatch, vec![text, "Compare the labels: `kubectl get pods --show-labels`.".into(), change.into()], look));
    }
    let ready = |pod: &Value| pod["status"]["conditions"].as_array().into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    if !chosen.iter().any(|pod| ready(pod)) {
        if let Some(found) = chosen.iter().find_map(|found| pod(found, world)) {
            return Some(found);
        }
        let text = format!("None of the Pods behind Service `{name}` is ready, so it has nowhere to send a request.");
        return Some(why(Reason::NoEndpoints, vec![text, endpoints, "Wait until a Pod is ready, or find out why it is not.".into()], look));
    }
    let container_ports = |pod: &Value| -> Vec<Value> {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        containers.flat_map(|container| container["ports"].as_array().into_iter().flatten()).cloned().collect()
    };
    for port in service["spec"]["ports"].as_array().into_iter().flatten() {
        let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
        let declared: Vec<Value> = chosen.iter().flat_map(|pod| container_ports(pod)).collect();
        let known = declared.iter().any(|known| known["containerPort"] == *target || known["name"] == *target);
        if !declared.is_empty() && !known {
            let ports: std::collections::BTreeSet<String> = declared.iter().map(|port| port["containerPort"].to_string()).collect();
            let ports: Vec<String> = ports.into_iter().collect();
            let target = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
            let text = format!("Service `{name}` sends requests to port `{target}` of its Pods; their containers listen on {}.", ports.join(", "));
            return Some(why(Reason::PortMismatch, vec![text, endpoints, "Set the Service's `targetPort` to the port of the container.".into()], look));
        }
    }
    stray(service, &here, world)
}

/// Beside the list that a Service keeps of its Pods somebody wrote another one, with an address that no Pod has.
fn stray(service: &Value, pods: &[&Arc<Value>], world: &World) -> Option<Why> {
    let (namespace, name) = key_of(service);
    let by_hand = |slice: &&Arc<Value>| {
        let labels = &slice["metadata"]["labels"];
        key_of(slice).0 == namespace && labels["kubernetes.io/service-name"] == *name && select::controller(slice).is_none()
    };
    let addresses = |slice: &'_ Arc<Value>| -> Vec<String> {
        let endpoints = slice["endpoints"].as_array().into_iter().flatten().flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten());
        endpoints.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let is_pods = |address: &str| pods.iter().any(|pod| pod["status"]["podIP"] == *address);
    let (slice, address) = world.objects("EndpointSlice").values().filter(by_hand).find_map(|slice| Some((slice, addresses(slice).into_iter().find(|address| !is_pods(address))?)))?;
    let slice = plain_name(slice);
    let text = format!("Service `{name}` sends a part of its requests to `{address}`, which is no Pod's address: EndpointSlice `{slice}` says so, and somebody wrote it by hand.");
    let look = format!("Look at its lists: `kubectl get endpointslices -l kubernetes.io/service-name={name}`.");
    Some(why(Reason::NoEndpoints, vec![text, look, format!("Delete the one that is not true: `kubectl delete endpointslice {slice}`.")], vec![shown("Service", service)]))
}

/// A list that a Service keeps and that is not as it is wanted: what is wrong with the Service, or that it chooses other Pods.
fn endpoints(object: &Value, world: &World) -> Option<Why> {
    let key = key_of(object);
    let service_of = world.objects("Service").get(&key)?;
    if let Some(found) = service(service_of, world) {
        return Some(found);
    }
    let selector = service_of["spec"]["selector"].as_object().filter(|selector| !selector.is_empty())?;
    let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let targets = object["subsets"].as_array().into_iter().flatten().flat_map(|subset| subset["addresses"].as_array().into_iter().flatten());
    let pods: Vec<String> = targets.filter_map(|address| Some(format!("`{}`", address["targetRef"]["name"].as_str()?))).collect();
    if pods.is_empty() {
        return None;
    }
    let text = format!("Service `{}` looks for Pods with `{}` and sends requests to {}: not the Pods that are wanted.", key.1, labels.join(","), pods.join(", "));
    let change = "Let its `spec.selector` name labels that the right Pods carry, and only they.";
    Some(why(Reason::SelectorMismatch, vec![text, "Compare the labels: `kubectl get pods --show-labels`.".into(), change.into()], vec![shown("Service", service_of)]))
}

/// A DaemonSet whose node selector no node fits.
fn no_node(object: &Value) -> Option<Why> {
    let selector = object["spec"]["template"]["spec"]["nodeSelector"].as_object().filter(|selector| !selector.is_empty())?;
    if object["status"]["desiredNumberScheduled"].as_i64() != Some(0) {
        return None;
    }
    let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    let labels = labels.join(",");
    let text = format!("DaemonSet `{}` wants nodes with `{labels}`, and no node has that.", plain_name(object));
    let sentences = vec![text, "Look at the labels of the nodes: `kubectl get nodes --show-labels`.".to_owned(), format!("Label the node that is meant: `kubectl label node NAME {}`.", labels.replace(',', " "))];
    Some(why(Reason::NotScheduled, sentences, vec![shown("DaemonSet", object)]))
}

/// What stands in the way of a request to an address.
pub(super) fn on_the_way(host: &str, port: Option<u16>, world: &World) -> Option<Why> {
    let local = matches!(host, "localhost" | "127.0.0.1");
    let mut services = world.objects("Service").values();
    let found = if local {
        services.find(|service| {
            let ports = service["spec"]["ports"].as_array().into_iter().flatten();
            service["spec"]["type"] == "LoadBalancer" && ports.map(|port| port["port"].as_u64()).any(|known| known == port.map(u64::from))
        })
    } else {
        let mut labels = host.split('.');
        let (name, namespace) = (labels.next().unwrap_or_default(), labels.next().unwrap_or(world.home()));
        services.find(|service| key_of(service) == (namespace.to_owned(), name.to_owned()))
    };
    found.and_then(|found| service(found, world))
}

/// Whether a host is the name of a Service that is not there.
pub(super) fn is_nobody(host: &str, world: &World) -> bool {
    let mut labels = host.split('.');
    let (name, namespace) = (labels.next().unwrap_or_default(), labels.next());
    let in_cluster = namespace.is_none() || labels.next() == Some("svc");
    let key = (namespace.unwrap_or(world.home()).to_owned(), name.to_owned());
    in_cluster && host != "localhost" && !world.objects("Service").contains_key(&key)
}

/// The objects an author means, as links.
pub(super) fn links(wanted: &ObjectRef, world: &World) -> Vec<String> {
    select::objects(world, wanted, Moment::Now).iter().take(3).map(|object| shown(&wanted.kind, object)).collect()
}
