//! The controllers and the scheduler against the real API server, all in this process.

mod rollouts;
mod stage;
mod stateful;
mod volumes;
mod workloads;

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PropagationPolicy};
use serde_json::json;
use stage::{Stage, create, patch};

fn node_of(pod: &Pod) -> String {
    pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()
}

fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
}

fn revision<K: ResourceExt>(object: &K) -> Option<&str> {
    object.annotations().get("deployment.kubernetes.io/revision").map(String::as_str)
}

fn ready_status(node: &Node) -> String {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status).unwrap_or_default()
}

fn taints(node: &Node) -> BTreeSet<String> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.into_iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect()
}

#[tokio::test]
async fn a_deployment_lives_through_its_versions() {
    let stage = Stage::new(&["node-1", "node-2", "node-3"]).await;
    let (deployments, sets, pods) = (stage.here::<Deployment>(), stage.here::<ReplicaSet>(), stage.here::<Pod>());
    stage.deployment("web", 3, "a:1").await;
    let deployment = stage.rolled_out("web").await;
    assert_eq!(revision(&deployment), Some("1"));
    let first = stage.until(&sets, "one ReplicaSet", |all| all.len() == 1).await.remove(0);
    let hash = first.labels()["pod-template-hash"].clone();
    assert_eq!(first.name_any(), format!("web-{hash}"));
    let running = stage.until(&pods, "three Pods", |all| all.len() == 3).await;
    assert_eq!(running.iter().map(node_of).collect::<BTreeSet<_>>().len(), 3, "one on each node");
    assert!(running.iter().all(|pod| pod.name_any().starts_with(&format!("web-{hash}-")) && pod.labels()["pod-template-hash"] == hash));
    stage.event("ScalingReplicaSet", &format!("Scaled up replica set web-{hash} from 0 to 3")).await;
    stage.event("SuccessfulCreate", &format!("Created pod: {}", running[0].name_any())).await;
    stage.event("Scheduled", &format!("Successfully assigned default/{} to {}", running[0].name_any(), node_of(&running[0]))).await;

    patch(&deployments, "web", json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}})).await;
    let deployment = stage.rolled_out("web").await;
    assert_eq!(revision(&deployment), Some("2"));
    let both = stage.until(&sets, "two ReplicaSets", |all| all.len() == 2 && all.iter().map(size).sum::<i32>() == 3).await;
    assert_eq!(both.iter().find(|set| set.name_any() == first.name_any()).map(size), Some(0));
    stage.event("ScalingReplicaSet", &format!("Scaled down replica set web-{hash} from 1 to 0")).await;

    patch(&deployments, "web", json!({"spec": {"replicas": 5}})).await;
    stage.rolled_out("web").await;
    stage.until(&pods, "five Pods", |all| all.len() == 5).await;

    patch(&deployments, "web", json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "c", "image": "a:1"}]}}}})).await;
    let deployment = stage.rolled_out("web").await;
    assert_eq!(revision(&deployment), Some("3"), "a rollback gets a new number");
    let back = stage.until(&sets, "the first again", |all| all.iter().any(|set| set.name_any() == first.name_any() && size(set) == 1)).await;
    assert_eq!(back.len(), 2);
    let back = back.iter().find(|set| set.name_any() == first.name_any()).expect("the first");
    assert_eq!(back.annotations().get("deployment.kubernetes.io/revision-history").map(String::as_str), Some("1"));

    deployments.delete("web", &DeleteParams::background()).await.expect("deleted");
    stage.until_gone(&sets, "ReplicaSets go with their Deployment").await;
    stage.until_gone(&pods, "Pods go with their ReplicaSet").await;
}

#[tokio::test]
async fn recreate_stops_all_before_it_starts_any() {
    let stage = Stage::new(&["node-1"]).await;
    let deployments = stage.here::<Deployment>();
    stage.deployment("web", 2, "a:1").await;
    patch(&deployments, "web", json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}})).await;
    stage.rolled_out("web").await;
    patch(&deployments, "web", json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}})).await;
    stage.rolled_out("web").await;
    let pods = stage.until(&stage.here::<Pod>(), "two Pods", |all| all.len() == 2).await;
    assert!(pods.iter().all(|pod| pod.spec.as_ref().is_some_and(|spec| spec.containers[0].image.as_deref() == Some("a:2"))));
}

#[tokio::test]
async fn a_rollout_that_gets_nowhere_says_so() {
    let stage = Stage::new(&[]).await;
    stage.deployment("web", 1, "a:1").await;
    let reason = |deployment: &Deployment, kind: &str| {
        let conditions = deployment.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions.into_iter().find(|condition| condition.type_ == kind).and_then(|condition| condition.reason)
    };
    let deployments = stage.here::<Deployment>();
    stage.until(&deployments, "under way", |all| reason(&all[0], "Progressing").as_deref() == Some("ReplicaSetUpdated")).await;
    stage.event("FailedScheduling", "no nodes available to schedule pods").await;
    stage.clock.advance(Duration::from_secs(602));
    stage.until(&deployments, "out of time", |all| reason(&all[0], "Progressing").as_deref() == Some("ProgressDeadlineExceeded")).await;
    stage.add_node("node-1", "4").await;
    stage.rolled_out("web").await;
}

#[tokio::test]
async fn labels_decide_whose_a_pod_is() {
    let stage = Stage::new(&["node-1"]).await;
    let pods = stage.here::<Pod>();
    stage.deployment("web", 2, "a:1").await;
    stage.rolled_out("web").await;
    let before = stage.until(&pods, "two Pods", |all| all.len() == 2).await;
    let name = before[0].name_any();
    patch(&pods, &name, json!({"metadata": {"labels": {"app": "other"}}})).await;
    stage.until(&pods, "a third replaces the released", |all| all.len() == 3 && all.iter().any(|pod| pod.name_any() == name && pod.owner_references().is_empty())).await;
    patch(&pods, &name, json!({"metadata": {"labels": {"app": "web"}}})).await;
    let settled = |all: &[Pod]| all.len() == 2 && all.iter().all(|pod| pod.owner_references().len() == 1);
    // Which one goes is the ranking's matter; its table has the cases.
    stage.until(&pods, "adopted again, and one too many goes", settled).await;
}

#[tokio::test]
async fn what_is_owned_goes_or_stays_as_asked() {
    let stage = Stage::new(&["node-1"]).await;
    let (deployments, sets, pods) = (stage.here::<Deployment>(), stage.here::<ReplicaSet>(), stage.here::<Pod>());
    stage.deployment("kept", 1, "a:1").await;
    stage.rolled_out("kept").await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    deployments.delete("kept", &orphan).await.expect("deleted");
    stage.until_gone(&deployments, "the Deployment goes").await;
    let left = stage.until(&sets, "its ReplicaSet is nobody's", |all| all.len() == 1 && all[0].owner_references().is_empty()).await;
    sets.delete(&left[0].name_any(), &orphan).await.expect("deleted");
    stage.until_gone(&sets, "the ReplicaSet goes").await;
    let left = stage.until(&pods, "its Pod is nobody's", |all| all.len() == 1 && all[0].owner_references().is_empty()).await;
    pods.delete(&left[0].name_any(), &DeleteParams::default()).await.expect("deleted");

    stage.deployment("whole", 2, "a:1").await;
    stage.rolled_out("whole").await;
    deployments.delete("whole", &DeleteParams::foreground()).await.expect("deleted");
    stage.until_gone(&deployments, "the Deployment goes last").await;
    stage.until_gone(&sets, "no ReplicaSet").await;
    stage.until_gone(&pods, "no Pod").await;
}

#[tokio::test]
async fn a_namespace_begins_furnished_and_ends_empty() {
    let stage = Stage::new(&["node-1"]).await;
    let namespaces = stage.all::<Namespace>();
    let maps: Api<ConfigMap> = Api::namespaced(stage.client.clone(), "kube-system");
    create(&maps, json!({"metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": "PEM"}})).await;
    create(&namespaces, json!({"metadata": {"name": "shop"}})).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(stage.client.clone(), "shop");
    stage.until(&accounts, "the account", |all| all.iter().any(|account| account.name_any() == "default")).await;
    let maps: Api<ConfigMap> = Api::namespaced(stage.client.clone(), "shop");
    stage.until(&maps, "the certificate", |all| all.iter().any(|map| map.data.as_ref().is_some_and(|data| data.get("ca.crt").is_some_and(|pem| pem == "PEM")))).await;
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), "shop");
    create(&pods, json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}})).await;
    stage.until(&pods, "a running Pod", |all| all.iter().any(|pod| !node_of(pod).is_empty())).await;
    namespaces.delete("shop", &DeleteParams::default()).await.expect("deleted");
    stage.until(&namespaces, "the namespace goes", |all| !all.iter().any(|one| one.name_any() == "shop")).await;
    stage.until_gone(&pods, "nothing stays").await;
}

#[tokio::test]
async fn services_know_their_pods() {
    let stage = Stage::new(&["node-1"]).await;
    let (endpoints, slices) = (stage.here::<Endpoints>(), stage.here::<EndpointSlice>());
    create(&stage.here::<Service>(), json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}})).await;
    stage.until(&slices, "an empty slice", |all| all.len() == 1 && all[0].endpoints.iter().flatten().next().is_none()).await;
    stage.deployment("web", 2, "a:1").await;
    let addresses = |all: &[Endpoints]| all.iter().flat_map(|one| one.subsets.iter().flatten()).flat_map(|subset| subset.addresses.iter().flatten()).count();
    stage.until(&endpoints, "two addresses", |all| addresses(all) == 2).await;
    let ready = |all: &[EndpointSlice]| {
        let endpoints = all.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        endpoints.filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|conditions| conditions.ready == Some(true))).count()
    };
    let slice = stage.until(&slices, "two endpoints", |all| ready(all) == 2).await.remove(0);
    assert_eq!(slice.labels()["kubernetes.io/service-name"], "web");
    assert_eq!(slice.ports.as_ref().and_then(|ports| ports[0].port), Some(8080));
    stage.here::<Service>().delete("web", &DeleteParams::default()).await.expect("deleted");
    stage.until_gone(&endpoints, "Endpoints go with their Service").await;
    stage.until_gone(&slices, "slices go with their Service").await;
}

#[tokio::test]
async fn endpoints_by_hand_are_mirrored() {
    let stage = Stage::new(&[]).await;
    let slices = stage.here::<EndpointSlice>();
    create(&stage.here::<Service>(), json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "None", "ports": [{"port": 5432}]}})).await;
    let subsets = json!([{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 5432}]}]);
    create(&stage.here::<Endpoints>(), json!({"metadata": {"name": "db"}, "subsets": subsets})).await;
    let slice = stage.until(&slices, "a mirror", |all| all.len() == 1).await.remove(0);
    assert_eq!(slice.labels()["kubernetes.io/service-name"], "db");
    assert_eq!(slice.endpoints.map(|endpoints| endpoints[0].addresses.clone()), Some(vec!["192.0.2.1".to_owned()]));
    stage.here::<Service>().delete("db", &DeleteParams::default()).await.expect("deleted");
    stage.until_gone(&slices, "the mirror goes").await;
}

#[tokio::test]
async fn a_silent_node_loses_its_pods() {
    let stage = Stage::new(&["node-1", "node-2"]).await;
    let (nodes, pods) = (stage.all::<Node>(), stage.here::<Pod>());
    stage.until(&nodes, "ranges", |all| all.iter().all(|node| node.spec.as_ref().is_some_and(|spec| spec.pod_cidr.is_some()))).await;
    stage.deployment("web", 2, "a:1").await;
    stage.rolled_out("web").await;
    let find = |all: &[Node], name: &str| all.iter().find(|node| node.name_any() == name).cloned().expect("a node");
    let range = find(&stage.until(&nodes, "nodes", |_| true).await, "node-2").spec.and_then(|spec| spec.pod_cidr);
    assert_eq!(range.as_deref(), Some("10.244.2.0/24"));

    stage.clock.advance(Duration::from_secs(30));
    stage.renew("node-1").await;
    stage.clock.advance(Duration::from_secs(25));
    let expected = BTreeSet::from(["node.kubernetes.io/unreachable:NoExecute".to_owned(), "node.kubernetes.io/unreachable:NoSchedule".to_owned()]);
    let all = stage.until(&nodes, "node-2 is Unknown", |all| ready_status(&find(all, "node-2")) == "Unknown" && taints(&find(all, "node-2")) == expected).await;
    assert_eq!(ready_status(&find(&all, "node-1")), "True");
    stage.event("NodeNotReady", "Node node-2 status is now: NodeNotReady").await;
    let not_ready = |pod: &Pod| node_of(pod) == "node-2" && pod.status.as_ref().is_some_and(|status| status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "False"));
    stage.until(&pods, "its Pod counts as not ready", |all| all.iter().any(not_ready)).await;

    for _ in 0..16 {
        stage.renew("node-1").await;
        stage.clock.advance(Duration::from_secs(20));
    }
    stage.renew("node-1").await;
    stage.until(&pods, "both Pods on node-1", |all| all.len() == 2 && all.iter().all(|pod| node_of(pod) == "node-1")).await;
    stage.renew("node-2").await;
    stage.until(&nodes, "node-2 is back", |all| taints(&find(all, "node-2")).is_empty()).await;
}

#[tokio::test]
async fn pods_wait_for_room_and_say_why() {
    let stage = Stage::new(&["node-1"]).await;
    let pods = stage.here::<Pod>();
    let big = json!({"metadata": {"name": "big"}, "spec": {"containers": [{"name": "c", "image": "a", "resources": {"requests": {"cpu": "8"}}}]}});
    create(&pods, big).await;
    let why = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
    stage.event("FailedScheduling", why).await;
    let said = |pod: &Pod| {
        let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions.iter().any(|condition| condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable") && condition.message.as_deref() == Some(why))
    };
    stage.until(&pods, "the condition", |all| all.iter().any(said)).await;
    stage.add_node("node-2", "16").await;
    stage.clock.advance(Duration::from_secs(1));
    stage.until(&pods, "placed", |all| all.iter().any(|pod| node_of(pod) == "node-2")).await;
}

#[tokio::test]
async fn pods_of_a_node_that_is_gone_are_removed() {
    let stage = Stage::new(&["node-1"]).await;
    let pods = stage.here::<Pod>();
    let stuck = json!({"metadata": {"name": "p", "annotations": {"test/stuck": ""}}, "spec": {"containers": [{"name": "c", "image": "a"}]}});
    create(&pods, stuck).await;
    stage.until(&pods, "placed", |all| all.iter().any(|pod| node_of(pod) == "node-1")).await;
    stage.all::<Node>().delete("node-1", &DeleteParams::default()).await.expect("deleted");
    stage.event("RemovingNode", "Node node-1 event: Removing Node node-1 from Controller").await;
    stage.clock.advance(Duration::from_secs(41));
    stage.until_gone(&pods, "the Pod goes").await;
}
