//! Deployments on the way from one version to the next.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::stage::{Stage, patch};
use super::{revision, size};

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn of_image<'a>(sets: &'a [ReplicaSet], image: &str) -> Option<&'a ReplicaSet> {
    sets.iter().find(|set| {
        let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref()).and_then(|template| template.spec.as_ref());
        template.is_some_and(|template| template.containers[0].image.as_deref() == Some(image))
    })
}

fn sizes(sets: &[ReplicaSet], images: &[&str]) -> Vec<Option<i32>> {
    images.iter().map(|image| of_image(sets, image).map(size)).collect()
}

fn reason(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    conditions.into_iter().find(|condition| condition.type_ == "Progressing").and_then(|condition| condition.reason)
}

#[tokio::test]
async fn a_version_that_never_runs_leaves_the_old_one_up() {
    let stage = Stage::new(&["node-1"]).await;
    let (deployments, sets, pods) = (stage.here::<Deployment>(), stage.here::<ReplicaSet>(), stage.here::<Pod>());
    stage.deployment("web", 4, "a:1").await;
    stage.rolled_out("web").await;
    let mut broken = image("a:2");
    broken["spec"]["template"]["metadata"] = json!({"annotations": {"test/stuck": "yes"}});
    patch(&deployments, "web", broken).await;
    // A quarter may be too many, a quarter missing: three old ones stay, two new ones wait.
    stage.until(&sets, "held", |all| sizes(all, &["a:1", "a:2"]) == [Some(3), Some(2)]).await;
    let held = stage.until(&deployments, "three available", |all| all[0].status.as_ref().is_some_and(|status| status.available_replicas == Some(3) && status.updated_replicas == Some(2))).await;
    assert_eq!(held[0].status.as_ref().and_then(|status| status.unavailable_replicas), Some(2));
    // Back to the first version, on the ReplicaSet that is still there.
    let mut back = image("a:1");
    back["spec"]["template"]["metadata"] = json!({"annotations": null});
    patch(&deployments, "web", back).await;
    assert_eq!(revision(&stage.rolled_out("web").await), Some("3"));
    stage.until(&sets, "all old", |all| sizes(all, &["a:1", "a:2"]) == [Some(4), Some(0)]).await;
    // The kubelet of this stage never lets stuck Pods go; they are on their way out all the same.
    stage.until(&pods, "four Pods stay", |all| all.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).count() == 4).await;
}

#[tokio::test]
async fn a_paused_deployment_collects_changes() {
    let stage = Stage::new(&["node-1"]).await;
    let (deployments, sets) = (stage.here::<Deployment>(), stage.here::<ReplicaSet>());
    stage.deployment("web", 2, "a:1").await;
    stage.rolled_out("web").await;
    patch(&deployments, "web", json!({"spec": {"paused": true}})).await;
    stage.until(&deployments, "paused", |all| reason(&all[0]).as_deref() == Some("DeploymentPaused")).await;
    patch(&deployments, "web", image("a:2")).await;
    patch(&deployments, "web", json!({"spec": {"replicas": 3}})).await;
    stage.until(&sets, "scaled, not rolled", |all| all.len() == 1 && size(&all[0]) == 3).await;
    patch(&deployments, "web", image("a:3")).await;
    patch(&deployments, "web", json!({"spec": {"paused": false}})).await;
    stage.rolled_out("web").await;
    let all = stage.until(&sets, "rolled", |all| sizes(all, &["a:1", "a:3"]) == [Some(0), Some(3)]).await;
    assert_eq!(all.len(), 2, "what was passed over has no ReplicaSet");
}

#[tokio::test]
async fn history_has_an_end() {
    let stage = Stage::new(&["node-1"]).await;
    let (deployments, sets) = (stage.here::<Deployment>(), stage.here::<ReplicaSet>());
    stage.deployment("web", 1, "a:1").await;
    patch(&deployments, "web", json!({"spec": {"revisionHistoryLimit": 1}})).await;
    stage.rolled_out("web").await;
    for number in 2..=4 {
        patch(&deployments, "web", image(&format!("a:{number}"))).await;
        stage.rolled_out("web").await;
    }
    let kept = stage.until(&sets, "the last and one before", |all| all.len() == 2).await;
    assert_eq!(sizes(&kept, &["a:3", "a:4"]), [Some(0), Some(1)]);
    assert!(kept.iter().all(|set| set.annotations().contains_key("deployment.kubernetes.io/revision")));
}
