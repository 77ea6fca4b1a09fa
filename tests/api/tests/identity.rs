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
