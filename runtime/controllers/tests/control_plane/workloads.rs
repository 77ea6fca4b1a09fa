//! DaemonSets and ReplicationControllers.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Node, Pod, ReplicationController};
use kube::ResourceExt;
use kube::api::{DeleteParams, PropagationPolicy};
use serde_json::{Value, json};

use super::node_of;
use super::stage::{Stage, create, patch};

fn image(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.containers[0].image.as_deref()
}

fn daemon_set(image: &str) -> Value {
    json!({
        "metadata": {"name": "agent"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": image}]}}},
    })
}

/// Desired, current, ready, up to date, available, misplaced.
fn counts(set: &DaemonSet) -> [i32; 6] {
    let status = set.status.clone().unwrap_or_default();
    let or_zero = |count: Option<i32>| count.unwrap_or(0);
    [
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_ready,
        or_zero(status.updated_number_scheduled),
        or_zero(status.number_available),
        status.number_misscheduled,
    ]
}

#[tokio::test]
async fn a_daemon_set_has_a_pod_on_each_node_of_its_choice() {
    let stage = Stage::new(&["node-1", "node-2"]).await;
    let (sets, pods, revisions) = (stage.here::<DaemonSet>(), stage.here::<Pod>(), stage.here::<ControllerRevision>());
    create(&sets, daemon_set("a:1")).await;
    stage.until(&sets, "two of two", |all| counts(&all[0]) == [2, 2, 2, 2, 2, 0]).await;
    let first = stage.until(&pods, "two Pods", |all| all.len() == 2).await;
    assert_eq!(first.iter().map(node_of).collect::<BTreeSet<_>>(), BTreeSet::from(["node-1".to_owned(), "node-2".to_owned()]));
    stage.event("SuccessfulCreate", &format!("Created pod: {}", first[0].name_any())).await;
    stage.add_node("node-3", "4").await;
    stage.until(&sets, "a third for the new node", |all| counts(&all[0]) == [3, 3, 3, 3, 3, 0]).await;

    patch(&sets, "agent", json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}})).await;
    stage.until(&pods, "all replaced", |all| all.len() == 3 && all.iter().all(|pod| image(pod) == Some("a:2"))).await;
    stage.until(&sets, "three of three again", |all| counts(&all[0]) == [3, 3, 3, 3, 3, 0] && all[0].status.as_ref().and_then(|status| status.observed_generation) == all[0].metadata.generation).await;
    let both = stage.until(&revisions, "two revisions", |all| all.len() == 2).await;
    assert_eq!(both.iter().map(|revision| revision.revision).collect::<BTreeSet<_>>(), BTreeSet::from([1, 2]));

    patch(&sets, "agent", json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:1"}]}}}})).await;
    let back = stage.until(&revisions, "the first is the third", |all| all.iter().any(|revision| revision.revision == 3)).await;
    assert_eq!(back.len(), 2, "a rollback reuses the revision");

    patch(&sets, "agent", json!({"spec": {"template": {"spec": {"nodeSelector": {"rng": "hw"}}}}})).await;
    stage.until(&sets, "no node fits", |all| counts(&all[0])[..2] == [0, 0]).await;
    stage.until_gone(&pods, "no Pods").await;
    patch(&stage.all::<Node>(), "node-2", json!({"metadata": {"labels": {"rng": "hw"}}})).await;
    stage.until(&sets, "one node fits", |all| counts(&all[0]) == [1, 1, 1, 1, 1, 0]).await;
    stage.until(&pods, "one Pod", |all| all.len() == 1 && node_of(&all[0]) == "node-2").await;
}

#[tokio::test]
async fn orphans_are_adopted_as_they_are() {
    let stage = Stage::new(&["node-1"]).await;
    let (sets, pods) = (stage.here::<DaemonSet>(), stage.here::<Pod>());
    create(&sets, daemon_set("a:1")).await;
    stage.until(&sets, "one of one", |all| counts(&all[0]) == [1, 1, 1, 1, 1, 0]).await;
    let before = stage.until(&pods, "one Pod", |all| all.len() == 1).await.remove(0);
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    sets.delete("agent", &orphan).await.expect("deleted");
    stage.until_gone(&sets, "the DaemonSet goes").await;
    stage.until(&pods, "its Pod is nobody's", |all| all.len() == 1 && all[0].owner_references().is_empty()).await;
    let again = create(&sets, daemon_set("a:1")).await;
    let adopted = stage.until(&pods, "the same Pod, adopted", |all| all.len() == 1 && all[0].owner_references().iter().any(|owner| Some(&owner.uid) == again.metadata.uid.as_ref())).await;
    stage.until(&sets, "one of one again", |all| counts(&all[0]) == [1, 1, 1, 1, 1, 0]).await;
    assert_eq!((adopted[0].uid(), adopted.len()), (before.uid(), 1));
    sets.delete("agent", &DeleteParams::background()).await.expect("deleted");
    stage.until_gone(&pods, "the Pod goes with it").await;
    stage.until_gone(&stage.here::<ControllerRevision>(), "and the revisions").await;
}

#[tokio::test]
async fn on_delete_waits_for_somebody_to_delete() {
    let stage = Stage::new(&["node-1"]).await;
    let (sets, pods) = (stage.here::<DaemonSet>(), stage.here::<Pod>());
    let mut object = daemon_set("a:1");
    object["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
    create(&sets, object).await;
    stage.until(&sets, "one of one", |all| counts(&all[0]) == [1, 1, 1, 1, 1, 0]).await;
    patch(&sets, "agent", json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a:2"}]}}}})).await;
    stage.until(&sets, "none up to date", |all| counts(&all[0]) == [1, 1, 1, 0, 1, 0]).await;
    let old = stage.until(&pods, "the old one", |all| all.len() == 1 && image(&all[0]) == Some("a:1")).await;
    pods.delete(&old[0].name_any(), &DeleteParams::default()).await.expect("deleted");
    stage.until(&pods, "the new one", |all| all.len() == 1 && image(&all[0]) == Some("a:2")).await;
}

#[tokio::test]
async fn a_replication_controller_keeps_its_own_pods_only() {
    let stage = Stage::new(&["node-1"]).await;
    let (controllers, pods) = (stage.here::<ReplicationController>(), stage.here::<Pod>());
    create(&controllers, json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}}}})).await;
    let ready = |all: &[ReplicationController], count| all.iter().any(|one| one.status.as_ref().is_some_and(|status| status.ready_replicas == Some(count) && status.replicas == count));
    stage.until(&controllers, "two ready", |all| ready(all, 2)).await;
    // A Deployment with the same selector beside it takes none of them.
    stage.deployment("web", 1, "a:2").await;
    stage.rolled_out("web").await;
    let all = stage.until(&pods, "three Pods", |all| all.len() == 3).await;
    let owned = |kind: &str| all.iter().filter(|pod| pod.owner_references().iter().any(|owner| owner.kind == kind)).count();
    assert_eq!((owned("ReplicationController"), owned("ReplicaSet")), (2, 1));
    let scaled = controllers.patch_scale("web", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(json!({"spec": {"replicas": 3}}))).await.expect("scaled");
    assert_eq!(scaled.spec.and_then(|spec| spec.replicas), Some(3));
    stage.until(&controllers, "three ready", |all| ready(all, 3)).await;
    controllers.delete("web", &DeleteParams::background()).await.expect("deleted");
    stage.until(&pods, "only the Deployment's is left", |all| all.len() == 1).await;
    stage.here::<Deployment>().delete("web", &DeleteParams::foreground()).await.expect("deleted");
    stage.until_gone(&pods, "none is left").await;
    stage.until_gone(&stage.here::<Deployment>(), "the owner goes last").await;
}
