//! The picture of the cluster on the page: from objects to what kubectl would print of them. Pure.

use std::sync::Arc;

use drydock_checks::world::World;
use drydock_web::pane::Target;
use drydock_web::workbench::{Node, Object, Phase, Status, Step};
use serde_json::Value;

/// Kinds in the picture, nodes aside.
pub(crate) const KINDS: [&str; 9] =
    ["Deployment", "DaemonSet", "StatefulSet", "ReplicationController", "ReplicaSet", "Pod", "Service", "PersistentVolume", "PersistentVolumeClaim"];
/// Namespaces of the cluster itself.
const SYSTEM: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Draw what there is.
pub(crate) fn draw(world: &World, phase: Phase, steps: Vec<Step>) -> Status {
    let nodes = world.objects("Node").values().map(|node| Node { name: text(&node["metadata"]["name"]), ready: condition(node, "Ready"), cordoned: node["spec"]["unschedulable"] == true });
    let mut objects = Vec::new();
    for kind in KINDS {
        let all = world.objects(kind).values();
        objects.extend(all.filter(|object| shown(kind, object)).map(|found| object(kind, found, world)));
    }
    Status { phase, steps, nodes: nodes.collect(), objects, ..Status::default() }
}

/// What the cluster keeps for itself stays out, and so do ReplicaSets of earlier revisions.
fn shown(kind: &str, object: &Value) -> bool {
    let metadata = &object["metadata"];
    let own = kind == "Service" && metadata["name"] == "kubernetes" && metadata["namespace"] == "default";
    let empty = kind == "ReplicaSet" && object["spec"]["replicas"] == 0 && object["status"]["replicas"].as_u64().unwrap_or(0) == 0;
    !own && !empty && !SYSTEM.iter().any(|system| metadata["namespace"] == *system)
}

fn object(kind: &str, object: &Arc<Value>, world: &World) -> Object {
    let metadata = &object["metadata"];
    let owner = metadata["ownerReferences"].as_array().into_iter().flatten().find(|owner| owner["controller"] == true);
    let terminating = !metadata["deletionTimestamp"].is_null();
    let (state, ready, trouble) = match kind {
        "Pod" => pod(object),
        "Service" => service(object, world),
        "PersistentVolume" | "PersistentVolumeClaim" => volume(object),
        "DaemonSet" => daemons(object),
        _ => replicas(object),
    };
    let labels = metadata["labels"].as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    Object {
        uid: text(&metadata["uid"]),
        kind: kind.to_owned(),
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        owner: owner.map(|owner| text(&owner["uid"])),
        node: object["spec"]["nodeName"].as_str().map(str::to_owned),
        state: if terminating { "Terminating".to_owned() } else { state },
        ready,
        terminating,
        trouble,
        restarts: statuses(object).map(|status| status["restartCount"].as_u64().unwrap_or(0)).sum::<u64>() as u32,
        labels: labels.collect(),
        selects: match kind {
            "Service" => selected(object, world),
            "PersistentVolume" => claimed(object, world),
            "PersistentVolumeClaim" => mounted(object, world),
            _ => Vec::new(),
        },
        panes: if kind == "Service" { panes(object) } else { Vec::new() },
    }
}

/// How a browser gets to a Service: by the workstation's `localhost` where a load balancer listens there, else straight to it.
fn panes(service: &Value) -> Vec<String> {
    let (spec, metadata) = (&service["spec"], &service["metadata"]);
    if spec["type"] == "ExternalName" {
        return Vec::new();
    }
    let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
    let local = ingress.into_iter().flatten().any(|at| at["hostname"] == "localhost" || at["ip"] == "127.0.0.1");
    let tcp = spec["ports"].as_array().into_iter().flatten().filter(|port| port["protocol"].as_str().is_none_or(|protocol| protocol == "TCP"));
    let ports = tcp.filter_map(|port| u16::try_from(port["port"].as_u64()?).ok());
    let target = |port| match local {
        true => Target::Local(port),
        false => Target::Service { namespace: text(&metadata["namespace"]), name: text(&metadata["name"]), port },
    };
    ports.map(|port| target(port).to_string()).collect()
}

fn replicas(object: &Value) -> (String, bool, bool) {
    let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
    let ready = object["status"]["readyReplicas"].as_u64().unwrap_or(0);
    (format!("{ready}/{wanted}"), ready == wanted, false)
}

fn daemons(object: &Value) -> (String, bool, bool) {
    let wanted = object["status"]["desiredNumberScheduled"].as_u64().unwrap_or(0);
    let ready = object["status"]["numberReady"].as_u64().unwrap_or(0);
    (format!("{ready}/{wanted}"), ready == wanted && wanted > 0, false)
}

fn volume(object: &Value) -> (String, bool, bool) {
    let phase = text(&object["status"]["phase"]);
    let (bound, trouble) = (phase == "Bound", matches!(phase.as_str(), "Failed" | "Lost"));
    (phase, bound, trouble)
}

/// The claim that has a volume.
fn claimed(volume: &Value, world: &World) -> Vec<String> {
    let claim = &volume["spec"]["claimRef"]["uid"];
    world.objects("PersistentVolumeClaim").values().filter(|other| other["metadata"]["uid"] == *claim).map(|other| text(&other["metadata"]["uid"])).collect()
}

/// The Pods that mount a claim.
fn mounted(claim: &Value, world: &World) -> Vec<String> {
    let metadata = &claim["metadata"];
    let mounts = |pod: &Value| pod["spec"]["volumes"].as_array().into_iter().flatten().any(|volume| volume["persistentVolumeClaim"]["claimName"] == metadata["name"]);
    let fits = |pod: &&Arc<Value>| pod["metadata"]["namespace"] == metadata["namespace"] && mounts(pod);
    world.objects("Pod").values().filter(fits).map(|pod| text(&pod["metadata"]["uid"])).collect()
}

/// Waiting states that will not end by themselves.
const TROUBLES: [&str; 9] = [
    "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError",
    "RunContainerError", "Error",
];

/// What kubectl prints of a Pod.
// upstream: pkg/printers/internalversion/printers.go, printPod
fn pod(pod: &Value) -> (String, bool, bool) {
    let status = &pod["status"];
    let mut state = status["reason"].as_str().or(status["phase"].as_str()).unwrap_or("Pending").to_owned();
    for container in statuses(pod) {
        let (waiting, terminated) = (&container["state"]["waiting"], &container["state"]["terminated"]);
        if let Some(reason) = waiting["reason"].as_str().or(terminated["reason"].as_str()) {
            state = reason.to_owned();
        }
    }
    let ready = condition(pod, "Ready") || status["phase"] == "Succeeded";
    let trouble = TROUBLES.contains(&state.as_str()) || status["phase"] == "Failed";
    (state, ready, trouble)
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    pod["status"]["containerStatuses"].as_array().into_iter().flatten()
}

/// A Service whose selector finds nobody is in trouble; one without a selector has its list, or its host, from somewhere else.
fn service(object: &Value, world: &World) -> (String, bool, bool) {
    let spec = &object["spec"];
    if spec["type"] == "ExternalName" {
        return (text(&spec["externalName"]), true, false);
    }
    let selects = spec["selector"].as_object().is_some_and(|selector| !selector.is_empty());
    let lost = selects && selected(object, world).is_empty();
    (text(&spec["clusterIP"]), !lost, lost)
}

fn selected(service: &Value, world: &World) -> Vec<String> {
    let Some(wanted) = service["spec"]["selector"].as_object().filter(|selector| !selector.is_empty()) else { return Vec::new() };
    let fits = |pod: &Value| {
        pod["metadata"]["namespace"] == service["metadata"]["namespace"] && wanted.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
    };
    world.objects("Pod").values().filter(|pod| fits(pod)).map(|pod| text(&pod["metadata"]["uid"])).collect()
}

fn condition(object: &Value, name: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == name && condition["status"] == "True")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pods_are_shown_as_kubectl_prints_them() {
        let cases = [
            (json!({"phase": "Pending"}), "Pending", false, false),
            (json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}), "ContainerCreating", false, false),
            (json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"state": {"running": {}}}]}), "Running", true, false),
            (json!({"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 3}]}), "CrashLoopBackOff", false, true),
            (json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}), "Completed", true, false),
        ];
        for (status, state, ready, trouble) in cases {
            let mut world = World::default();
            world.found("Pod", json!({"metadata": {"name": "a", "namespace": "default", "uid": "1"}, "spec": {}, "status": status}));
            let status = draw(&world, Phase::Ready, Vec::new());
            let drawn = &status.objects[0];
            assert_eq!((drawn.state.as_str(), drawn.ready, drawn.trouble), (state, ready, trouble));
        }
    }

    #[test]
    fn only_a_selector_that_finds_nobody_is_trouble() {
        let cases = [
            (json!({"clusterIP": "10.96.0.7", "selector": {"app": "web"}}), "10.96.0.7", false),
            (json!({"clusterIP": "10.96.0.7", "selector": {"app": "none"}}), "10.96.0.7", true),
            (json!({"clusterIP": "10.96.0.7"}), "10.96.0.7", false),
            (json!({"type": "ExternalName", "externalName": "example.com"}), "example.com", false),
        ];
        for (spec, state, trouble) in cases {
            let mut world = World::default();
            world.found("Pod", json!({"metadata": {"name": "a", "namespace": "default", "uid": "p", "labels": {"app": "web"}}}));
            world.found("Service", json!({"metadata": {"name": "web", "namespace": "default", "uid": "s"}, "spec": spec}));
            let drawn = draw(&world, Phase::Ready, Vec::new()).objects;
            assert_eq!((drawn[1].state.as_str(), drawn[1].trouble, drawn[1].ready), (state, trouble, !trouble));
        }
    }

    #[test]
    fn a_volume_leads_to_its_claim_and_that_to_its_pod() {
        let mut world = World::default();
        world.found("PersistentVolume", json!({"metadata": {"name": "pv01", "uid": "v"}, "spec": {"claimRef": {"uid": "c"}}, "status": {"phase": "Bound"}}));
        world.found("PersistentVolumeClaim", json!({"metadata": {"name": "data", "namespace": "default", "uid": "c"}, "status": {"phase": "Pending"}}));
        world.found("Pod", json!({"metadata": {"name": "a", "namespace": "default", "uid": "p"}, "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "data"}}]}}));
        world.found("DaemonSet", json!({"metadata": {"name": "d", "namespace": "default", "uid": "d"}, "status": {"desiredNumberScheduled": 2, "numberReady": 1}}));
        let drawn = draw(&world, Phase::Ready, Vec::new()).objects;
        let told: Vec<_> = drawn.iter().map(|object| (object.uid.as_str(), object.state.as_str(), object.ready, object.selects.join(","))).collect();
        assert_eq!(told, [("d", "1/2", false, String::new()), ("p", "Pending", false, String::new()), ("v", "Bound", true, "c".into()), ("c", "Pending", false, "p".into())]);
    }

    #[test]
    fn a_cordoned_node_is_told() {
        for (spec, cordoned) in [(json!({}), false), (json!({"unschedulable": true}), true)] {
            let mut world = World::default();
            world.found("Node", json!({"metadata": {"name": "node-1"}, "spec": spec, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
            assert_eq!(draw(&world, Phase::Ready, Vec::new()).nodes, [Node { name: "node-1".into(), ready: true, cordoned }]);
        }
    }

    #[test]
    fn a_service_is_opened_where_it_answers() {
        let cases = [
            (json!({"type": "ClusterIP", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}]}), json!({}), vec!["p80.web.default"]),
            (json!({"type": "LoadBalancer", "ports": [{"port": 8088}]}), json!({"loadBalancer": {"ingress": [{"hostname": "localhost"}]}}), vec!["p8088"]),
            (json!({"type": "LoadBalancer", "ports": [{"port": 8088}]}), json!({"loadBalancer": {}}), vec!["p8088.web.default"]),
            (json!({"type": "ExternalName", "ports": [{"port": 80}]}), json!({}), vec![]),
        ];
        for (spec, status, wanted) in cases {
            assert_eq!(panes(&json!({"metadata": {"name": "web", "namespace": "default"}, "spec": spec, "status": status})), wanted);
        }
    }

    #[test]
    fn the_clusters_own_things_stay_out() {
        let mut world = World::default();
        world.found("Pod", json!({"metadata": {"name": "a", "namespace": "kube-system"}}));
        world.found("Service", json!({"metadata": {"name": "kubernetes", "namespace": "default"}}));
        world.found("ReplicaSet", json!({"metadata": {"name": "old", "namespace": "default"}, "spec": {"replicas": 0}, "status": {"replicas": 0}}));
        assert!(draw(&world, Phase::Ready, Vec::new()).objects.is_empty());
    }
}
