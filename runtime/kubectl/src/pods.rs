//! From what people name (a Pod, a Deployment, a Service) to the Pod and container a stream goes to.
// upstream: kubectl/pkg/polymorphichelpers/{helpers,attachablepodforobject}.go, util/podutils/podutils.go, cmd/util/podcmd/podcmd.go

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use drydock_primitives::selector::LabelSelector;
use serde_json::Value;
use tokio::io::AsyncBufReadExt;

use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

/// The annotation that names the container to take.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Which of several Pods is best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Best {
    /// To run a command in or to attach to.
    Active,
    /// To read the log of.
    Logging,
}

/// Namespace and selector of the Pods of an object.
pub fn selector(object: &Value) -> Result<(String, LabelSelector), Failure> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    let own = &object["spec"]["selector"];
    let selector = match kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
            LabelSelector::from_object(own).map_err(|error| Failure::new(format!("invalid label selector: {error}")))?
        }
        "ReplicationController" => LabelSelector::from_labels(&labels(own)),
        "Service" => {
            if labels(own).is_empty() {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                return Err(Failure::new(format!("invalid service '{name}': Service is defined without a selector")));
            }
            LabelSelector::from_labels(&labels(own))
        }
        _ => return Err(Failure::new(format!("selector for {} not implemented", go_type(object)))),
    };
    Ok((namespace, selector))
}

/// `*v1.ConfigMap`, as `%T` prints the typed object.
pub fn go_type(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    format!("*{version}.{}", object["kind"].as_str().unwrap_or_default())
}

fn labels(map: &Value) -> BTreeMap<String, String> {
    map.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The Pod to exec into, attach to or forward to: the object itself, or the best of its Pods.
pub async fn attachable(factory: &Factory, object: Value, timeout: Duration) -> Result<Value, Failure> {
    if object["kind"] == "Pod" {
        return Ok(object);
    }
    let (namespace, selector) = selector(&object).map_err(|failure| Failure::new(format!("cannot attach to {}: {}", go_type(&object), failure.text())))?;
    let mut pods = all(factory, &namespace, &selector, timeout, Best::Active).await?;
    Ok(pods.swap_remove(0))
}

/// All Pods of a selector, the best first; waits for the first one when there is none.
pub async fn all(factory: &Factory, namespace: &str, selector: &LabelSelector, timeout: Duration, best: Best) -> Result<Vec<Value>, Failure> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let list = factory.call(Call::get(&path).query_some("labelSelector", &selector.to_string())).await?;
    let mut pods: Vec<Value> = list["items"].as_array().cloned().unwrap_or_default();
    if pods.is_empty() {
        let since = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let watch = Call::get(&path).query_some("labelSelector", &selector.to_string()).query("resourceVersion", since).query("watch", "true");
        pods.push(first_of(factory, watch, timeout).await?);
    }
    for pod in &mut pods {
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
    }
    pods.sort_by(|one, other| match best {
        Best::Active => compare_active(other, one),
        Best::Logging => compare_logging(one, other),
    });
    Ok(pods)
}

/// The object of the first event that is no deletion.
async fn first_of(factory: &Factory, watch: Call, timeout: Duration) -> Result<Value, Failure> {
    let found = async {
        let mut lines = factory.rest().await?.stream(&factory.streams, watch).await?.lines();
        while let Some(line) = lines.next_line().await? {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["type"] == "ADDED" || event["type"] == "MODIFIED" {
                return Ok(event["object"].clone());
            }
        }
        Err(Failure::new("watch closed before UntilWithoutRetry timeout"))
    };
    let late = || Err(Failure::new("timed out waiting for the condition"));
    if timeout.is_zero() {
        return found.await;
    }
    tokio::time::timeout(timeout, found).await.unwrap_or_else(|_| late())
}

/// Less is worse.
fn compare_active(one: &Value, other: &Value) -> Ordering {
    let assigned = |pod: &Value| !pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    let phase = |pod: &Value| match pod["status"]["phase"].as_str().unwrap_or_default() {
        "Unknown" => 1,
        "Running" => 2,
        _ => 0,
    };
    let deleted = |pod: &Value| pod["metadata"]["deletionTimestamp"].as_str().map(str::to_owned);
    assigned(one)
        .cmp(&assigned(other))
        .then(phase(one).cmp(&phase(other)))
        .then(ready_since(one).is_some().cmp(&ready_since(other).is_some()))
        .then(deleted(one).is_none().cmp(&deleted(other).is_none()))
        .then(deleted(one).cmp(&deleted(other)))
        .then(ready_since(other).cmp(&ready_since(one)))
        .then(restarts(other).cmp(&restarts(one)))
        .then(created(other).cmp(&created(one)))
}

/// Less is better.
fn compare_logging(one: &Value, other: &Value) -> Ordering {
    let assigned = |pod: &Value| !pod["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
    let phase = |pod: &Value| match pod["status"]["phase"].as_str().unwrap_or_default() {
        "Unknown" => 1,
        "Pending" => 2,
        _ => 0,
    };
    assigned(other)
        .cmp(&assigned(one))
        .then(phase(one).cmp(&phase(other)))
        .then(ready_since(other).is_some().cmp(&ready_since(one).is_some()))
        .then(ready_since(one).cmp(&ready_since(other)))
        .then(restarts(other).cmp(&restarts(one)))
        .then(created(one).cmp(&created(other)))
}

/// Whether a Pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    ready_since(pod).is_some()
}

fn ready_since(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter(|condition| condition["type"] == "Ready" && condition["status"] == "True").find_map(|condition| condition["lastTransitionTime"].as_str())
}

fn restarts(pod: &Value) -> i64 {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten().filter_map(|status| status["restartCount"].as_i64()).max().unwrap_or_default()
}

fn created(pod: &Value) -> &str {
    pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default()
}

/// The containers of one kind.
pub fn containers<'a>(pod: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][field].as_array().into_iter().flatten()
}

fn name_of(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}

/// A container by its name.
pub fn container<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    ["containers", "initContainers", "ephemeralContainers"].iter().find_map(|field| containers(pod, field).find(|container| name_of(container) == name))
}

/// `main, debugger (ephem), setup (init)`.
pub fn all_names(pod: &Value) -> String {
    let kinds = [("containers", ""), ("ephemeralContainers", " (ephem)"), ("initContainers", " (init)")];
    let names = kinds.iter().flat_map(|(field, suffix)| containers(pod, field).map(move |container| format!("{}{suffix}", name_of(container))));
    names.collect::<Vec<_>>().join(", ")
}

/// The container the annotation names.
pub fn annotated(pod: &Value) -> Option<&str> {
    pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().filter(|name| !name.is_empty())
}

/// Whether a Pod has more than one container of any kind.
pub fn has_several(pod: &Value) -> bool {
    containers(pod, "containers").count() > 1 || containers(pod, "initContainers").next().is_some() || containers(pod, "ephemeralContainers").next().is_some()
}

/// The container that is meant: the named one, the annotated one, or the first; with what is said unless it is the only one.
pub fn meant(pod: &Value, asked: &str) -> Result<(String, Option<String>), Failure> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if !asked.is_empty() {
        return match container(pod, asked) {
            Some(_) => Ok((asked.to_owned(), None)),
            None => Err(Failure::new(format!("container {asked} not found in pod {name}"))),
        };
    }
    if let Some(annotated) = annotated(pod).filter(|annotated| container(pod, annotated).is_some()) {
        return Ok((annotated.to_owned(), None));
    }
    let Some(first) = containers(pod, "containers").next() else {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
        return Err(Failure::new(format!("pod {namespace}/{name} does not have any containers")));
    };
    let said = has_several(pod).then(|| format!("Defaulted container {:?} out of: {}", name_of(first), all_names(pod)));
    Ok((name_of(first).to_owned(), said))
}

/// The container that is meant, told on standard error.
pub fn chosen_container(factory: &Factory, pod: &Value, asked: &str, quiet: bool) -> Result<String, Failure> {
    let (name, said) = meant(pod, asked)?;
    if let Some(said) = said.filter(|_| !quiet) {
        factory.streams.warn(&said);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_lead_to_their_pods() {
        let cases = [
            (json!({"kind": "Deployment", "apiVersion": "apps/v1", "spec": {"selector": {"matchLabels": {"a": "b"}}}}), Ok("a=b")),
            (json!({"kind": "ReplicationController", "apiVersion": "v1", "spec": {"selector": {"a": "b", "c": "d"}}}), Ok("a=b,c=d")),
            (json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "x"}, "spec": {}}), Err("invalid service 'x': Service is defined without a selector")),
            (json!({"kind": "ConfigMap", "apiVersion": "v1"}), Err("selector for *v1.ConfigMap not implemented")),
        ];
        for (object, wanted) in cases {
            let found = selector(&object).map(|(_, selector)| selector.to_string()).map_err(|failure| failure.text());
            assert_eq!(found, wanted.map(str::to_owned).map_err(str::to_owned), "{object}");
        }
    }

    #[test]
    fn the_best_pod_is_ready_longest_and_stays() {
        let pod = |name: &str, phase: &str, ready: Option<&str>, deleted: bool| {
            let conditions = ready.map(|since| json!([{"type": "Ready", "status": "True", "lastTransitionTime": since}])).unwrap_or_default();
            let gone = deleted.then_some("2026-01-01T00:00:00Z");
            json!({"metadata": {"name": name, "deletionTimestamp": gone}, "spec": {"nodeName": "n"}, "status": {"phase": phase, "conditions": conditions}})
        };
        let mut pods = [
            pod("pending", "Pending", None, false),
            pod("going", "Running", Some("2026-01-01T00:00:00Z"), true),
            pod("young", "Running", Some("2026-01-01T00:00:09Z"), false),
            pod("old", "Running", Some("2026-01-01T00:00:01Z"), false),
        ];
        pods.sort_by(|one, other| compare_active(other, one));
        let names: Vec<&Value> = pods.iter().map(|pod| &pod["metadata"]["name"]).collect();
        assert_eq!(names, ["old", "young", "going", "pending"]);
        pods.sort_by(compare_logging);
        assert_eq!(pods[0]["metadata"]["name"], "going");
        assert_eq!(pods[3]["metadata"]["name"], "pending");
    }

    #[test]
    fn all_containers_are_named() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}], "ephemeralContainers": [{"name": "e"}]}});
        assert_eq!(all_names(&pod), "a, b, e (ephem), i (init)");
    }
}
