//! What the evidence log hears.

use anyhow::Result;
use drydock_apiserver::audit::StreamVerb;
use drydock_test_api::Cluster;
use serde_json::{Value, json};

#[tokio::test]
async fn requests_are_reported_once_with_their_outcome() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({})).await?;
    let before = cluster.audit.requests().len();
    let pods = "/api/v1/namespaces/default/pods";
    let cases = [
        ("GET", format!("{pods}/web"), "get", "pods", "web", 200),
        ("GET", format!("{pods}/absent"), "get", "pods", "absent", 404),
        ("GET", format!("{pods}?limit=500"), "list", "pods", "", 200),
        ("POST", "/api/v1/namespaces/default/configmaps".to_owned(), "create", "configmaps", "", 422),
        ("DELETE", format!("{pods}/absent"), "delete", "pods", "absent", 404),
        ("GET", "/version".to_owned(), "get", "", "", 200),
    ];
    for (method, path, ..) in &cases {
        let body = if *method == "POST" { json!({"metadata": {}}) } else { Value::Null };
        let headers = [("user-agent", "kubectl/v1.32.4"), ("kubectl-command", "kubectl get"), ("kubectl-session", "1234")];
        cluster.call_with(method, path, &headers, body).await?;
    }
    let heard = cluster.audit.requests().split_off(before);
    assert_eq!(heard.len(), cases.len());
    for (record, (_, path, verb, resource, name, code)) in heard.iter().zip(&cases) {
        let got = (record.verb.as_str(), record.resource.as_str(), record.name.as_str(), record.code, &record.uri);
        assert_eq!(got, (*verb, *resource, *name, *code, path));
        assert_eq!((record.user.as_str(), record.user_agent.as_str(), record.kubectl_command.as_str()), ("test", "kubectl/v1.32.4", "kubectl get"));
    }
    Ok(())
}

#[tokio::test]
async fn writes_name_their_actor_and_cause() -> Result<()> {
    let cluster = Cluster::start().await?;
    let before = cluster.store.revision();
    let maps = "/api/v1/namespaces/default/configmaps";
    let made = cluster.call("POST", maps, json!({"metadata": {"name": "a"}})).await?;
    cluster.call_with("PUT", &format!("{maps}/a"), &[("x-drydock-cause", "one,two")], json!({"metadata": {"name": "a"}, "data": {"x": "1"}})).await?;
    let history = cluster.store.history("/registry/configmaps/", before);
    let heard: Vec<(&str, &str)> = history.iter().map(|event| (&*event.actor, &*event.cause)).collect();
    assert_eq!(heard, [("test", made.header("audit-id")), ("test", "one,two")]);
    Ok(())
}

#[tokio::test]
async fn streams_are_reported_when_they_open_and_when_they_close() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({})).await?;
    cluster.kubectl.run_with("exec -i web -- sh -c 'cat; exit 7'", "hello").await?;
    let opened = cluster.audit.stream_that("an open exec", |record| record.verb == StreamVerb::Exec && record.closed.is_none()).await?;
    let closed = cluster.audit.stream_that("a closed exec", |record| record.verb == StreamVerb::Exec && record.closed.is_some()).await?;
    assert_eq!(opened.id, closed.id);
    assert_eq!(opened.command, ["sh", "-c", "cat; exit 7"]);
    assert_eq!((opened.namespace.as_str(), opened.name.as_str(), opened.container.as_str(), opened.stdin, opened.tty), ("default", "web", "web", true, false));
    assert_eq!((opened.user.as_str(), opened.kubectl_command.as_str()), ("learner", "kubectl exec"));
    assert!(opened.user_agent.starts_with("kubectl/"), "{}", opened.user_agent);
    assert_eq!((closed.bytes_in, closed.bytes_out, closed.code, closed.connections), (5, 5, 7, 1));
    // A client that is killed closes its stream too.
    let mut shell = cluster.kubectl_start("exec -i web -- cat")?;
    shell.type_in("x\n").await?;
    assert_eq!(shell.line().await?, "x");
    shell.kill().await?;
    let killed = cluster.audit.stream_that("the end of a killed exec", |record| record.command == ["cat"] && record.closed.is_some()).await?;
    assert_eq!((killed.bytes_in, killed.bytes_out, killed.code), (2, 2, -1));
    Ok(())
}
