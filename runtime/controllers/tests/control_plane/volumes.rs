//! Claims, volumes, classes, and the Services that are reached from outside.

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams};
use serde_json::{Value, json};

use super::node_of;
use super::stage::{Stage, create, patch};

fn volume(name: &str, extra: &Value) -> Value {
    let term = json!({"matchExpressions": [{"key": "kiamol", "operator": "In", "values": ["ch05"]}]});
    let mut object = json!({
        "metadata": {"name": name},
        "spec": {"capacity": {"storage": "50Mi"}, "accessModes": ["ReadWriteOnce"], "local": {"path": "/volumes/pv01"}, "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}},
    });
    for (field, value) in extra.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

fn claim(name: &str, size: &str, class: &Value) -> Value {
    let mut object = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}});
    if !class.is_null() {
        object["spec"]["storageClassName"] = class.clone();
    }
    object
}

fn class(name: &str, mode: &str, policy: &str, default: bool) -> Value {
    let annotations = json!({"storageclass.kubernetes.io/is-default-class": default.to_string()});
    json!({"metadata": {"name": name, "annotations": annotations}, "provisioner": "docker.io/hostpath", "volumeBindingMode": mode, "reclaimPolicy": policy})
}

fn user(name: &str, claim: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "a"}], "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]}})
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn volume_phase(volume: &PersistentVolume) -> &str {
    volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn size(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.status.as_ref()?.capacity.as_ref()?.get("storage").map(|size| size.0.as_str())
}

fn named<'a, K: ResourceExt>(all: &'a [K], name: &str) -> Option<&'a K> {
    all.iter().find(|one| one.name_any() == name)
}

#[tokio::test]
async fn a_claim_takes_a_volume_that_is_there() {
    let stage = Stage::new(&["node-1", "node-2"]).await;
    let (volumes, claims, pods) = (stage.all::<PersistentVolume>(), stage.here::<PersistentVolumeClaim>(), stage.here::<Pod>());
    // A default class does not help a claim that asks for none.
    create(&stage.all::<StorageClass>(), class("hostpath", "Immediate", "Delete", true)).await;
    create(&volumes, volume("pv01", &json!({}))).await;
    stage.until(&volumes, "available", |all| volume_phase(&all[0]) == "Available").await;
    create(&claims, claim("small", "40Mi", &json!(""))).await;
    create(&claims, claim("large", "100Mi", &json!(""))).await;
    let all = stage.until(&claims, "one bound", |all| named(all, "small").is_some_and(|claim| phase(claim) == "Bound")).await;
    let bound = named(&all, "small").expect("the claim");
    assert_eq!((size(bound), bound.spec.as_ref().and_then(|spec| spec.volume_name.as_deref())), (Some("50Mi"), Some("pv01")), "all of the volume");
    stage.until(&volumes, "bound, too", |all| volume_phase(&all[0]) == "Bound").await;
    stage.event("FailedBinding", "no persistent volumes available for this claim and no storage class is set").await;
    assert_eq!(named(&claims.list(&kube::api::ListParams::default()).await.expect("a list").items, "large").map(phase), Some("Pending"));

    // The Pod goes where the volume is, once there is such a place.
    create(&pods, user("db", "small")).await;
    stage.event("FailedScheduling", "0/2 nodes are available: 2 node(s) had volume node affinity conflict. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.").await;
    patch(&stage.all::<Node>(), "node-2", json!({"metadata": {"labels": {"kiamol": "ch05"}}})).await;
    stage.clock.advance(std::time::Duration::from_secs(1));
    stage.until(&pods, "on node-2", |all| node_of(&all[0]) == "node-2").await;
    create(&pods, user("waits", "large")).await;
    let why = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
    stage.event("FailedScheduling", why).await;

    // What is used does not go; what is retained stays as it is.
    claims.delete("small", &DeleteParams::default()).await.expect("deleted");
    volumes.delete("pv01", &DeleteParams::default()).await.expect("deleted");
    stage.until(&claims, "held by its Pod", |all| named(all, "small").is_some_and(|claim| claim.metadata.deletion_timestamp.is_some())).await;
    stage.until(&volumes, "held by its claim", |all| all[0].metadata.deletion_timestamp.is_some() && volume_phase(&all[0]) == "Bound").await;
    pods.delete("db", &DeleteParams::default()).await.expect("deleted");
    stage.until(&claims, "free to go", |all| named(all, "small").is_none()).await;
    stage.until_gone(&volumes, "free to go, too").await;
}

#[tokio::test]
async fn bindings_can_be_begun_on_either_side() {
    let stage = Stage::new(&["node-1"]).await;
    let (volumes, claims) = (stage.all::<PersistentVolume>(), stage.here::<PersistentVolumeClaim>());
    create(&volumes, volume("reserved", &json!({"claimRef": {"namespace": "default", "name": "mine"}}))).await;
    create(&volumes, volume("asked", &json!({"capacity": {"storage": "1Gi"}}))).await;
    stage.until(&volumes, "both available", |all| all.iter().all(|volume| volume_phase(volume) == "Available")).await;
    create(&claims, claim("other", "2Gi", &json!(""))).await;
    create(&claims, claim("mine", "10Mi", &json!(""))).await;
    let mut asking = claim("asking", "10Mi", &json!(""));
    asking["spec"]["volumeName"] = json!("asked");
    create(&claims, asking.clone()).await;
    let all = stage.until(&claims, "two bound", |all| all.iter().filter(|claim| phase(claim) == "Bound").count() == 2).await;
    let volume_of = |name: &str| named(&all, name).and_then(|claim| claim.spec.as_ref()?.volume_name.clone());
    assert_eq!((volume_of("mine").as_deref(), volume_of("asking").as_deref(), volume_of("other")), (Some("reserved"), Some("asked"), None));
    asking["metadata"]["name"] = json!("late");
    create(&claims, asking).await;
    stage.event("FailedBinding", "volume \"asked\" already bound to a different claim.").await;
    // Retained: the volume keeps the name of its claim, and nobody else gets it.
    claims.delete("mine", &DeleteParams::default()).await.expect("deleted");
    stage.until(&volumes, "released", |all| named(all, "reserved").is_some_and(|volume| volume_phase(volume) == "Released")).await;
    create(&claims, claim("mine", "10Mi", &json!(""))).await;
    stage.until(&claims, "not the same claim", |all| named(all, "mine").is_some_and(|claim| phase(claim) == "Pending")).await;
    // Nobody can clean a volume here, and it says so.
    create(&volumes, volume("recycled", &json!({"persistentVolumeReclaimPolicy": "Recycle", "claimRef": {"namespace": "default", "name": "again"}}))).await;
    create(&claims, claim("again", "10Mi", &json!(""))).await;
    stage.until(&claims, "bound", |all| named(all, "again").is_some_and(|claim| phase(claim) == "Bound")).await;
    claims.delete("again", &DeleteParams::default()).await.expect("deleted");
    stage.until(&volumes, "failed", |all| named(all, "recycled").is_some_and(|volume| volume_phase(volume) == "Failed")).await;
}

#[tokio::test]
async fn volumes_are_made_when_they_are_asked_for() {
    let stage = Stage::new(&["node-1"]).await;
    let (volumes, claims, pods, classes) = (stage.all::<PersistentVolume>(), stage.here::<PersistentVolumeClaim>(), stage.here::<Pod>(), stage.all::<StorageClass>());
    // A claim from before there was a class gets it later.
    create(&claims, claim("early", "10Mi", &json!(null))).await;
    stage.event("FailedBinding", "no persistent volumes available for this claim and no storage class is set").await;
    create(&classes, class("hostpath", "Immediate", "Delete", true)).await;
    let all = stage.until(&claims, "bound", |all| phase(&all[0]) == "Bound").await;
    assert_eq!((size(&all[0]), all[0].spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref())), (Some("10Mi"), Some("hostpath")));
    let made = stage.until(&volumes, "made", |all| all.len() == 1 && volume_phase(&all[0]) == "Bound").await.remove(0);
    assert_eq!(made.name_any(), format!("pvc-{}", all[0].uid().unwrap_or_default()));
    let path = made.spec.as_ref().and_then(|spec| spec.host_path.as_ref()).map(|host| host.path.clone());
    assert_eq!(path, Some(format!("/var/lib/k8s-pvs/early/{}", made.name_any())));
    stage.event("ProvisioningSucceeded", &format!("Successfully provisioned volume {}", made.name_any())).await;
    claims.delete("early", &DeleteParams::default()).await.expect("deleted");
    stage.until_gone(&volumes, "goes with its claim").await;

    create(&classes, class("kept", "WaitForFirstConsumer", "Retain", false)).await;
    create(&claims, claim("late", "10Mi", &json!("kept"))).await;
    stage.event("WaitForFirstConsumer", "waiting for first consumer to be created before binding").await;
    create(&pods, user("first", "late")).await;
    stage.until(&claims, "bound", |all| phase(&all[0]) == "Bound").await;
    stage.until(&pods, "placed", |all| node_of(&all[0]) == "node-1").await;
    pods.delete("first", &DeleteParams::default()).await.expect("deleted");
    claims.delete("late", &DeleteParams::default()).await.expect("deleted");
    stage.until(&volumes, "retained", |all| all.len() == 1 && volume_phase(&all[0]) == "Released").await;

    create(&claims, claim("nobody", "10Mi", &json!("absent"))).await;
    stage.event("ProvisioningFailed", "storageclass.storage.k8s.io \"absent\" not found").await;
}

#[tokio::test]
async fn a_load_balancer_is_reached_under_one_name() {
    let stage = Stage::new(&["node-1"]).await;
    let services: Api<Service> = stage.here();
    create(&services, json!({"metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 8080, "targetPort": 80}]}})).await;
    let ingress = |service: &Service| json!(service.status.as_ref().and_then(|status| status.load_balancer.as_ref()).and_then(|status| status.ingress.clone()));
    stage.until(&services, "an address", |all| ingress(&all[0]) == json!([{"hostname": "localhost"}])).await;
    let service = services.get("web").await.expect("the Service");
    let node_port = service.spec.as_ref().and_then(|spec| spec.ports.as_ref()?[0].node_port);
    assert!(node_port.is_some());
    // Another type: no address, no port on the nodes.
    let mut plain = service.clone();
    plain.spec.get_or_insert_default().type_ = Some("ClusterIP".into());
    let plain = services.replace("web", &PostParams::default(), &plain).await.expect("changed");
    assert_eq!((ingress(&plain), plain.spec.and_then(|spec| spec.ports.as_ref()?[0].node_port)), (Value::Null, None));
}
