//! Claims, volumes and classes, and Services that change their type, at the wire.

use anyhow::Result;
use drydock_test_api::Cluster;
use serde_json::{Value, json};

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const VOLUMES: &str = "/api/v1/persistentvolumes";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const SERVICES: &str = "/api/v1/namespaces/default/services";

fn claim(name: &str, class: &Value) -> Value {
    let mut object = json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    if !class.is_null() {
        object["spec"]["storageClassName"] = class.clone();
    }
    object
}

fn class(name: &str, default: &str, grows: bool) -> Value {
    let annotations = json!({"storageclass.kubernetes.io/is-default-class": default});
    json!({"metadata": {"name": name, "annotations": annotations}, "provisioner": "example.com/disk", "allowVolumeExpansion": grows})
}

fn volume(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}}})
}

#[tokio::test]
async fn a_claim_that_names_no_class_gets_the_default() -> Result<()> {
    let cluster = Cluster::start().await?;
    let before = cluster.make(CLAIMS, claim("before", &Value::Null)).await?;
    assert!(before["spec"].get("storageClassName").is_none(), "{before}");
    cluster.make(CLASSES, class("slow", "false", false)).await?;
    cluster.make(CLASSES, class("usual", "true", false)).await?;
    for (name, asked, expected) in [("none", json!(""), ""), ("open", Value::Null, "usual"), ("own", json!("slow"), "slow")] {
        let made = cluster.make(CLAIMS, claim(name, &asked)).await?;
        assert_eq!(made["spec"]["storageClassName"], expected, "{name}");
        assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
        assert_eq!(made["status"], json!({"phase": "Pending"}));
        assert!(!made["metadata"]["managedFields"].to_string().contains("finalizers"), "what admission adds is nobody's: {made}");
    }
    let made = cluster.make(VOLUMES, volume("pv01")).await?;
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
    assert_eq!((&made["status"]["phase"], &made["metadata"]["namespace"]), (&json!("Pending"), &Value::Null));
    let gone = cluster.call("DELETE", &format!("{VOLUMES}/pv01"), Value::Null).await?;
    assert_eq!((gone.code, gone.at("/metadata/deletionTimestamp").is_string()), (200, true), "{}", gone.body);
    Ok(())
}

#[tokio::test]
async fn a_claim_grows_only_where_its_class_lets_it() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(CLASSES, class("fixed", "false", false)).await?;
    cluster.make(CLASSES, class("elastic", "false", true)).await?;
    let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    let fixed = "persistentvolumeclaims \"fixed\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
    for (name, bound, code, message) in [("fixed", true, 403, fixed), ("elastic", true, 200, ""), ("pending", false, 422, "PersistentVolumeClaim \"pending\" is invalid: spec: Forbidden: spec is immutable")] {
        cluster.make(CLAIMS, claim(name, &json!(name))).await?;
        let path = format!("{CLAIMS}/{name}");
        if bound {
            cluster.patch(&path, "application/merge-patch+json", json!({"spec": {"volumeName": "v"}})).await?;
            let status = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
            cluster.patch(&format!("{path}/status"), "application/merge-patch+json", status).await?;
        }
        let answer = cluster.patch(&path, "application/merge-patch+json", larger.clone()).await?;
        assert_eq!(answer.code, code, "{name}: {}", answer.body);
        assert!(code == 200 || answer.text("/message").starts_with(message), "{name}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn a_service_that_changes_its_type_keeps_what_it_still_uses() -> Result<()> {
    let cluster = Cluster::start().await?;
    let made = cluster.make(SERVICES, json!({"metadata": {"name": "web"}, "spec": {"type": "NodePort", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}})).await?;
    let (address, port) = (made["spec"]["clusterIP"].clone(), made["spec"]["ports"][0]["nodePort"].clone());
    assert!(port.is_u64() && made["spec"]["ports"][1]["nodePort"] != port, "{made}");
    let path = format!("{SERVICES}/web");
    for (change, has_address, has_port) in [
        (json!({"type": "LoadBalancer"}), true, true),
        (json!({"type": "ClusterIP"}), true, false),
        (json!({"type": "ExternalName", "externalName": "example.com"}), false, false),
        (json!({"type": "NodePort", "externalName": null}), true, true),
    ] {
        let answer = cluster.patch(&path, "application/merge-patch+json", json!({"spec": change})).await?;
        assert_eq!(answer.code, 200, "{}", answer.body);
        let spec = answer.at("/spec");
        assert_eq!((spec["clusterIP"].is_string(), spec["ports"][0]["nodePort"].is_u64()), (has_address, has_port), "{spec}");
    }
    let kept = cluster.patch(&path, "application/merge-patch+json", json!({"spec": {"type": "ClusterIP", "clusterIP": address}})).await?;
    assert_eq!(kept.code, 422, "an address is for life: {}", kept.body);
    let none = cluster.make(SERVICES, json!({"metadata": {"name": "headless"}, "spec": {"clusterIP": "None", "selector": {"app": "web"}}})).await?;
    assert_eq!((&none["spec"]["clusterIP"], &none["spec"]["clusterIPs"]), (&json!("None"), &json!(["None"])));
    // What one Service gave back, another may have.
    let taken = cluster.make(SERVICES, json!({"metadata": {"name": "next"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}})).await;
    assert!(taken.is_ok(), "{taken:?}");
    Ok(())
}

#[tokio::test]
async fn kubectl_describes_every_kind() -> Result<()> {
    let cluster = Cluster::start().await?;
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    cluster.make(CLASSES, class("usual", "true", false)).await?;
    cluster.make(VOLUMES, volume("pv01")).await?;
    cluster.make(CLAIMS, claim("data", &json!(""))).await?;
    cluster.make("/apis/apps/v1/namespaces/default/daemonsets", json!({"metadata": {"name": "web"}, "spec": {"selector": selector, "template": template}})).await?;
    cluster.make("/apis/apps/v1/namespaces/default/statefulsets", json!({"metadata": {"name": "web"}, "spec": {"serviceName": "web", "selector": selector, "template": template}})).await?;
    cluster.make("/api/v1/namespaces/default/replicationcontrollers", json!({"metadata": {"name": "web"}, "spec": {"template": template}})).await?;
    for (line, expected) in [
        ("describe ds web", &["Desired Number of Nodes Scheduled: 0", "Node-Selector:  <none>"][..]),
        ("describe sts web", &["Update Strategy:    RollingUpdate"]),
        ("describe rc web", &["Replicas:     0 current / 1 desired"]),
        ("describe pv pv01", &["Reclaim Policy:  Retain", "HostPath (bare host directory volume)"]),
        ("describe pvc data", &["Finalizers:    [kubernetes.io/pvc-protection]", "Used By:       <none>"]),
        ("describe sc usual", &["IsDefaultClass:        Yes", "VolumeBindingMode:     Immediate"]),
        ("get ds,sts,rc,pv,pvc,sc", &["daemonset.apps/web", "statefulset.apps/web", "usual (default)", "persistentvolume/pv01"]),
        ("explain ds.spec.updateStrategy.rollingUpdate", &["maxUnavailable"]),
        ("create configmap x --from-literal=a=b", &["configmap/x created"]),
        ("scale rc web --replicas=3", &["replicationcontroller/web scaled"]),
        ("set image ds/web web=nginx:2", &["daemonset.apps/web image updated"]),
    ] {
        let ran = cluster.kubectl(line).await?;
        assert_eq!(ran.code, 0, "{line}: {}{}", ran.stdout, ran.stderr);
        for words in expected {
            assert!(ran.stdout.contains(words), "{line}: no {words:?} in\n{}", ran.stdout);
        }
    }
    Ok(())
}
