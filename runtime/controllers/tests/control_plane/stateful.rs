//! StatefulSets.

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use super::stage::{Stage, create, patch};

fn stateful_set(name: &str, extra: &Value) -> Value {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}});
    let mut object = json!({
        "metadata": {"name": name},
        "spec": {
            "serviceName": name, "replicas": 3, "selector": {"matchLabels": {"app": name}}, "volumeClaimTemplates": [claim],
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "a:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
        },
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

/// Replicas, ready, current, updated, available.
fn counts(set: &StatefulSet) -> [i32; 5] {
    let status = set.status.clone().unwrap_or_default();
    let or_zero = |count: Option<i32>| count.unwrap_or(0);
    [status.replicas, or_zero(status.ready_replicas), or_zero(status.current_replicas), or_zero(status.updated_replicas), or_zero(status.available_replicas)]
}

fn is_complete(all: &[StatefulSet], replicas: i32) -> bool {
    let status = all[0].status.clone().unwrap_or_default();
    counts(&all[0]) == [replicas; 5] && status.current_revision == status.update_revision && status.observed_generation == all[0].metadata.generation
}

fn names<K: ResourceExt>(all: &[K]) -> Vec<String> {
    let mut names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
    names.sort();
    names
}

fn images(all: &[Pod]) -> Vec<String> {
    let mut images: Vec<(String, String)> = all.iter().map(|pod| (pod.name_any(), pod.spec.as_ref().and_then(|spec| spec.containers[0].image.clone()).unwrap_or_default())).collect();
    images.sort();
    images.into_iter().map(|(_, image)| image).collect()
}

#[tokio::test]
async fn a_stateful_set_has_pods_with_names_and_claims_of_their_own() {
    let stage = Stage::new(&["node-1"]).await;
    let (sets, pods, claims) = (stage.here::<StatefulSet>(), stage.here::<Pod>(), stage.here::<PersistentVolumeClaim>());
    create(&stage.here::<Service>(), json!({"metadata": {"name": "db"}, "spec": {"clusterIP": "None", "selector": {"app": "db"}, "ports": [{"port": 5432}]}})).await;
    create(&sets, stateful_set("db", &json!({"podManagementPolicy": "Parallel"}))).await;
    let three = stage.until(&pods, "three Pods", |all| all.len() == 3).await;
    assert_eq!(names(&three), ["db-0", "db-1", "db-2"]);
    let first = three.iter().find(|pod| pod.name_any() == "db-0").expect("the first");
    let spec = first.spec.as_ref().expect("a spec");
    assert_eq!((spec.hostname.as_deref(), spec.subdomain.as_deref()), (Some("db-0"), Some("db")));
    assert_eq!((first.labels()["statefulset.kubernetes.io/pod-name"].as_str(), first.labels()["apps.kubernetes.io/pod-index"].as_str()), ("db-0", "0"));
    assert_eq!(spec.volumes.iter().flatten().find_map(|volume| volume.persistent_volume_claim.as_ref()).map(|claim| claim.claim_name.as_str()), Some("data-db-0"));
    let all = stage.until(&claims, "three claims", |all| all.len() == 3).await;
    assert_eq!(names(&all), ["data-db-0", "data-db-1", "data-db-2"]);
    assert_eq!(all[0].labels()["app"], "db");
    for (reason, message) in [("SuccessfulCreate", "create Claim data-db-0 Pod db-0 in StatefulSet db success"), ("SuccessfulCreate", "create Pod db-2 in StatefulSet db successful")] {
        stage.event(reason, message).await;
    }

    // A Pod that is deleted comes back as the one it was, with what it had.
    let (pod, claim) = (first.uid(), all[0].uid());
    pods.delete("db-0", &DeleteParams::default()).await.expect("deleted");
    stage.until(&pods, "another of the same name", |all| all.iter().any(|one| one.name_any() == "db-0" && one.uid() != pod)).await;
    patch(&sets, "db", json!({"spec": {"replicas": 1}})).await;
    stage.event("SuccessfulDelete", "delete Pod db-2 in StatefulSet db successful").await;
    stage.until(&pods, "one is left", |all| names(all) == ["db-0"]).await;
    let kept = stage.until(&claims, "what they wrote is kept", |all| all.len() == 3).await;
    assert!(kept.iter().any(|one| one.uid() == claim));
    sets.delete("db", &DeleteParams::background()).await.expect("deleted");
    stage.until_gone(&pods, "Pods go with their set").await;
    stage.until_gone(&stage.here::<ControllerRevision>(), "and the revisions").await;
    assert_eq!(stage.until(&claims, "claims stay", |_| true).await.len(), 3);
}

#[tokio::test]
async fn a_stateful_set_is_rolled_from_the_last_to_the_first() {
    let stage = Stage::new(&["node-1"]).await;
    let (sets, pods) = (stage.here::<StatefulSet>(), stage.here::<Pod>());
    create(&sets, stateful_set("web", &json!({"volumeClaimTemplates": null, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a:1"}]}}}))).await;
    stage.until(&sets, "three of three", |all| is_complete(all, 3)).await;
    let template = |image: &str| json!({"spec": {"containers": [{"name": "c", "image": image}]}});
    let partition = |number: i32| json!({"type": "RollingUpdate", "rollingUpdate": {"partition": number}});
    patch(&sets, "web", json!({"spec": {"template": template("a:2"), "updateStrategy": partition(2)}})).await;
    stage.until(&pods, "down to the partition", |all| images(all) == ["a:1", "a:1", "a:2"]).await;
    stage.until(&sets, "one is new", |all| counts(&all[0]) == [3, 3, 2, 1, 3]).await;
    // One below it comes back as it was.
    let old = stage.until(&pods, "three Pods", |all| all.len() == 3).await.into_iter().find(|pod| pod.name_any() == "web-0").expect("the first");
    pods.delete("web-0", &DeleteParams::default()).await.expect("deleted");
    let again = stage.until(&pods, "the first again", |all| all.iter().any(|pod| pod.name_any() == "web-0" && pod.uid() != old.uid())).await;
    assert_eq!(images(&again)[0], "a:1");
    stage.until(&sets, "well again", |all| counts(&all[0]) == [3, 3, 2, 1, 3]).await;
    patch(&sets, "web", json!({"spec": {"updateStrategy": partition(0)}})).await;
    stage.until(&sets, "all are new", |all| is_complete(all, 3)).await;
    assert_eq!(images(&stage.until(&pods, "three Pods", |all| all.len() == 3).await), ["a:2", "a:2", "a:2"]);
    patch(&sets, "web", json!({"spec": {"template": template("a:1")}})).await;
    stage.until(&sets, "all are old again", |all| is_complete(all, 3)).await;
    let revisions = stage.until(&stage.here::<ControllerRevision>(), "two revisions", |all| all.len() == 2).await;
    assert_eq!(revisions.iter().map(|revision| revision.revision).max(), Some(3), "a rollback reuses the revision");
}

/// A stage where claims are bound, so that Pods with claims run.
async fn with_storage() -> Stage {
    let stage = Stage::new(&["node-1"]).await;
    let annotations = json!({"storageclass.kubernetes.io/is-default-class": "true"});
    create(&stage.all::<StorageClass>(), json!({"metadata": {"name": "hostpath", "annotations": annotations}, "provisioner": "docker.io/hostpath"})).await;
    stage
}

/// Owners as `KIND NAME`, with a star for the one that manages it.
fn owners(claims: &[PersistentVolumeClaim], name: &str) -> Vec<String> {
    let claim = claims.iter().find(|claim| claim.name_any() == name);
    let star = |controls: Option<bool>| if controls == Some(true) { "*" } else { "" };
    let mut owners: Vec<String> = claim.into_iter().flat_map(ResourceExt::owner_references).map(|owner| format!("{} {}{}", owner.kind, owner.name, star(owner.controller))).collect();
    owners.sort();
    owners
}

#[tokio::test]
async fn a_claim_on_its_way_out_stops_nobody_but_its_own_pod() {
    let stage = with_storage().await;
    let (sets, pods, claims) = (stage.here::<StatefulSet>(), stage.here::<Pod>(), stage.here::<PersistentVolumeClaim>());
    create(&sets, stateful_set("web", &json!({"replicas": 1}))).await;
    stage.until(&sets, "one of one", |all| is_complete(all, 1)).await;
    let before = claims.get("data-web-0").await.expect("the claim").uid();
    claims.delete("data-web-0", &DeleteParams::default()).await.expect("deleted");
    stage.until(&claims, "held by its Pod", |all| all[0].metadata.deletion_timestamp.is_some()).await;
    patch(&sets, "web", json!({"spec": {"replicas": 2}})).await;
    stage.until(&sets, "two of two", |all| is_complete(all, 2)).await;
    // Its Pod gets another one when both are gone.
    pods.delete("web-0", &DeleteParams::default()).await.expect("deleted");
    let another = |all: &[PersistentVolumeClaim]| all.iter().any(|claim| claim.name_any() == "data-web-0" && claim.uid() != before);
    stage.until(&claims, "another claim", another).await;
    stage.until(&sets, "two of two again", |all| is_complete(all, 2)).await;
}

#[tokio::test]
async fn claims_go_with_whom_the_set_says() {
    let stage = with_storage().await;
    let (sets, pods, claims) = (stage.here::<StatefulSet>(), stage.here::<Pod>(), stage.here::<PersistentVolumeClaim>());
    create(&sets, stateful_set("web", &json!({}))).await;
    stage.until(&sets, "three of three", |all| is_complete(all, 3)).await;
    let somebody = create(&stage.here::<ConfigMap>(), json!({"metadata": {"name": "somebody"}})).await;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "somebody", "uid": somebody.uid()});
    patch(&claims, "data-web-1", json!({"metadata": {"ownerReferences": [owner]}})).await;

    // What is said later holds for the claims that are there, and leaves to others what is theirs.
    patch(&sets, "web", json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"}}})).await;
    let all = stage.until(&claims, "all go with the set", |all| ["data-web-0", "data-web-1", "data-web-2"].iter().all(|name| owners(all, name).contains(&"StatefulSet web*".to_owned()))).await;
    assert_eq!(owners(&all, "data-web-1"), ["ConfigMap somebody", "StatefulSet web*"]);

    // A Pod that is scaled away takes its claim along, also when it is wanted again before it has gone.
    let before = claims.get("data-web-2").await.expect("the claim").uid();
    let gone = patch(&pods, "web-2", json!({"metadata": {"annotations": {"test/stuck": "yes"}}})).await.uid();
    patch(&sets, "web", json!({"spec": {"replicas": 2}})).await;
    stage.until(&claims, "the last goes with its Pod", |all| owners(all, "data-web-2") == ["Pod web-2*"]).await;
    stage.until(&pods, "on its way", |all| all.iter().any(|pod| pod.uid() == gone && pod.metadata.deletion_timestamp.is_some())).await;
    patch(&sets, "web", json!({"spec": {"replicas": 3}})).await;
    pods.delete("web-2", &DeleteParams::default().grace_period(0)).await.expect("deleted");
    stage.until(&claims, "another claim", |all| all.iter().any(|claim| claim.name_any() == "data-web-2" && claim.uid() != before)).await;
    stage.until(&sets, "three of three again", |all| is_complete(all, 3)).await;

    sets.delete("web", &DeleteParams::background()).await.expect("deleted");
    let left = stage.until(&claims, "only somebody's stays", |all| names(all) == ["data-web-1"] && owners(all, "data-web-1") == ["ConfigMap somebody"]).await;
    assert!(left[0].metadata.deletion_timestamp.is_none());
}

#[tokio::test]
async fn what_is_wrong_with_the_pods_is_said_when_they_are_made() {
    let stage = Stage::new(&["node-1"]).await;
    let (sets, pods) = (stage.here::<StatefulSet>(), stage.here::<Pod>());
    let template = |volume: &str| json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "a:1", "volumeMounts": [{"name": volume, "mountPath": "/data"}]}]}});
    create(&sets, stateful_set("web", &json!({"replicas": 1, "template": template("other")}))).await;
    let why = "create Pod web-0 in StatefulSet web failed error: Pod \"web-0\" is invalid: spec.containers[0].volumeMounts[0].name: Not found: \"other\"";
    stage.event("FailedCreate", why).await;
    patch(&sets, "web", json!({"spec": {"template": template("data")}})).await;
    stage.until(&pods, "once it is mended", |all| all.len() == 1).await;
}
