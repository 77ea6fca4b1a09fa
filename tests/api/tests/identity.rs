//! Who is asking, and who may.

use anyhow::Result;
use drydock_apiserver::Identity;
use drydock_test_api::{Answer, Cluster};
use serde_json::{Value, json};

#[tokio::test]
async fn credentials_decide() -> Result<()> {
    let cluster = Cluster::start().await?;
    let request = json!({"spec": {}});
    let issued = cluster.call("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", request).await?;
    assert_eq!(issued.code, 201, "{}", issued.body);
    let bearer = format!("Bearer {}", issued.text("/status/token"));
    let pods = "/api/v1/namespaces/default/pods";
    let node = Some(Identity::new("system:node:node-1", &["system:nodes"]));
    let master = Some(Identity::master("admin"));
    // who, headers, method, path, code, message
    let cases: Vec<(Option<Identity>, Vec<(&str, &str)>, &str, &str, u16, &str)> = vec![
        (None, vec![], "GET", "/version", 200, ""),
        (None, vec![], "GET", pods, 403, "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""),
        (None, vec![], "GET", "/api", 403, "forbidden: User \"system:anonymous\" cannot get path \"/api\""),
        (None, vec![("authorization", "Bearer nonsense")], "GET", "/version", 401, "Unauthorized"),
        (None, vec![("authorization", &bearer)], "GET", "/api/v1", 200, ""),
        (
            None,
            vec![("authorization", &bearer)],
            "GET",
            "/apis/apps/v1/deployments",
            403,
            "deployments.apps is forbidden: User \"system:serviceaccount:default:default\" cannot list resource \"deployments\" in API group \"apps\" at the cluster scope",
        ),
        (node.clone(), vec![], "GET", pods, 200, ""),
        (node, vec![], "DELETE", "/api/v1/namespaces/lab", 403, "namespaces \"lab\" is forbidden: User \"system:node:node-1\" cannot delete"),
        (master.clone(), vec![("impersonate-user", "bob")], "GET", pods, 403, "pods is forbidden: User \"bob\" cannot list"),
        (master, vec![("impersonate-user", "bob"), ("impersonate-group", "system:masters")], "GET", pods, 200, ""),
    ];
    for (identity, headers, method, path, code, message) in cases {
        let answer = Answer::read(cluster.send_as(identity, method, path, &headers, "").await?).await?;
        assert_eq!(answer.code, code, "{method} {path} {headers:?}: {}", answer.body);
        assert!(answer.text("/message").starts_with(message), "{}", answer.body);
    }
    // A token dies with its account.
    cluster.call("DELETE", "/api/v1/namespaces/default/serviceaccounts/default", Value::Null).await?;
    let late = Answer::read(cluster.send_as(None, "GET", "/api/v1", &[("authorization", &bearer)], "").await?).await?;
    assert_eq!(late.code, 401);
    Ok(())
}

/// A node sees and writes what belongs to the Pods bound to it, and nothing else.
#[tokio::test]
async fn a_node_minds_its_own_business() -> Result<()> {
    let cluster = Cluster::start().await?;
    let containers = json!([{"name": "web", "image": "web"}]);
    let here = json!({
        "nodeName": "node-1", "containers": containers, "imagePullSecrets": [{"name": "pull"}],
        "volumes": [{"name": "keys", "secret": {"secretName": "keys"}}, {"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}],
    });
    let there = json!({"nodeName": "node-2", "containers": containers, "volumes": [{"name": "page", "configMap": {"name": "page"}}]});
    for (name, spec) in [("here", here), ("there", there)] {
        cluster.make("/api/v1/namespaces/default/pods", json!({"metadata": {"name": name}, "spec": spec})).await?;
    }
    for (name, data) in [("keys", "a2V5"), ("pull", "cHVsbA=="), ("other", "b3RoZXI=")] {
        let secret = json!({"metadata": {"name": name}, "data": {"key": data}});
        assert_eq!(cluster.call("POST", "/api/v1/namespaces/default/secrets", secret).await?.code, 201);
    }
    for name in ["node-1", "node-2"] {
        let made = cluster.call("POST", "/api/v1/nodes", json!({"metadata": {"name": name}})).await?;
        assert!(matches!(made.code, 201 | 409), "{}", made.body);
    }
    let volume = json!({"metadata": {"name": "pv"}, "spec": {
        "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}, "claimRef": {"namespace": "default", "name": "disk"},
    }});
    assert_eq!(cluster.call("POST", "/api/v1/persistentvolumes", volume).await?.code, 201);

    cluster.make("/api/v1/namespaces", json!({"metadata": {"name": "kube-node-lease"}})).await?;

    let (label, status) = (r#"{"metadata": {"labels": {"a": "b"}}}"#, r#"{"status": {"phase": "Running"}}"#);
    let lease = r#"{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "NAME"}, "spec": {}}"#;
    let (own_lease, other_lease) = (lease.replace("NAME", "node-1"), lease.replace("NAME", "node-2"));
    let token = r#"{"spec": {}}"#;
    let unrelated = "no relationship found between node 'node-1' and this object";
    // method, path, body, code, the end of the message
    let cases = [
        ("GET", "/api/v1/secrets", "", 403, "No Object name found"),
        ("GET", "/api/v1/namespaces/default/secrets", "", 403, "No Object name found"),
        ("GET", "/api/v1/namespaces/default/secrets/keys", "", 200, ""),
        ("GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dpull", "", 200, ""),
        ("GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dother", "", 403, unrelated),
        ("GET", "/api/v1/namespaces/default/secrets/other", "", 403, unrelated),
        ("DELETE", "/api/v1/namespaces/default/secrets/keys", "", 403, "can only read resources of this type"),
        ("GET", "/api/v1/namespaces/default/configmaps/page", "", 403, unrelated),
        ("GET", "/api/v1/persistentvolumes/pv", "", 200, ""),
        ("GET", "/api/v1/persistentvolumes", "", 403, "can only get individual resources of this type"),
        ("GET", "/api/v1/nodes", "", 200, ""),
        ("PATCH", "/api/v1/nodes/node-1", label, 200, ""),
        ("PATCH", "/api/v1/nodes/node-2", label, 403, "node \"node-1\" is not allowed to modify node \"node-2\""),
        ("PATCH", "/api/v1/nodes/node-2/status", label, 403, "node \"node-1\" is not allowed to modify node \"node-2\""),
        ("PATCH", "/api/v1/namespaces/default/pods/here/status", status, 200, ""),
        ("PATCH", "/api/v1/namespaces/default/pods/there/status", status, 403, "node \"node-1\" can only update pod status for pods with spec.nodeName set to itself"),
        ("DELETE", "/api/v1/namespaces/default/pods/there", "", 403, "node \"node-1\" can only delete pods with spec.nodeName set to itself"),
        ("PATCH", "/api/v1/namespaces/default/pods/gone/status", status, 404, ""),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &own_lease, 201, ""),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", &other_lease, 403, "node \"node-1\" is not allowed to create objects of other nodes"),
        ("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", &own_lease, 403, "can only access leases in the \"kube-node-lease\" system namespace"),
        ("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", token, 201, ""),
        ("POST", "/api/v1/namespaces/kube-system/serviceaccounts/default/token", token, 403, unrelated),
        ("GET", "/apis/apps/v1/deployments", "", 403, "at the cluster scope"),
        ("DELETE", "/api/v1/namespaces/default/pods/here", "", 200, ""),
    ];
    for (method, path, body, code, end) in cases {
        let node = Some(Identity::new("system:node:node-1", &["system:nodes"]));
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let answer = Answer::read(cluster.send_as(node, method, path, &[("content-type", kind)], body.to_owned()).await?).await?;
        assert_eq!(answer.code, code, "{method} {path}: {}", answer.body);
        assert!(answer.text("/message").ends_with(end), "{method} {path}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn a_pod_gets_the_token_of_its_account() -> Result<()> {
    let cluster = Cluster::start().await?;
    let pod = cluster.run_pod("web", json!({})).await?;
    let mounts = &pod["spec"]["containers"][0]["volumeMounts"];
    assert_eq!(mounts[0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount", "{pod}");
    let volume = pod["spec"]["volumes"][0]["name"].as_str().unwrap_or_default();
    assert!(volume.starts_with("kube-api-access-"), "{volume}");
    let asked = json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "web", "uid": pod["metadata"]["uid"]}}});
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    assert_eq!(cluster.call("POST", path, asked.clone()).await?.code, 201);
    let mut other = asked;
    other["spec"]["boundObjectRef"]["uid"] = json!("other");
    assert_eq!(cluster.call("POST", path, other).await?.code, 409);
    let lonely = json!({"metadata": {"name": "lonely"}, "spec": {"serviceAccountName": "none", "containers": [{"name": "a", "image": "b"}]}});
    let refused = cluster.call("POST", "/api/v1/namespaces/default/pods", lonely).await?;
    assert_eq!(
        (refused.code, refused.text("/message")),
        (403, "pods \"lonely\" is forbidden: error looking up service account default/none: serviceaccount \"none\" not found")
    );
    Ok(())
}
