//! Watches at the wire: what they begin with, what they see, how they end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use drydock_primitives::clock::ManualClock;
use drydock_test_api::Cluster;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn label(cluster: &Cluster, name: &str, value: Value) -> Result<()> {
    cluster.patch(&format!("{MAPS}/{name}"), "application/merge-patch+json", json!({"metadata": {"labels": {"app": value}}})).await?;
    Ok(())
}

#[tokio::test]
async fn a_watch_is_a_list_that_does_not_end() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(MAPS, json!({"metadata": {"name": "a"}})).await?;
    let listed = cluster.get(MAPS).await?.text("/metadata/resourceVersion").to_owned();
    let mut all = cluster.watch(&format!("{MAPS}?watch=true")).await?;
    let mut later = cluster.watch(&format!("{MAPS}?watch=1&resourceVersion={listed}")).await?;
    let mut one = cluster.watch(&format!("{MAPS}?watch=true&fieldSelector=metadata.name%3Db")).await?;
    assert_eq!(all.event().await?, "ADDED a");
    cluster.make(MAPS, json!({"metadata": {"name": "b"}})).await?;
    label(&cluster, "a", json!("x")).await?;
    cluster.call("DELETE", &format!("{MAPS}/b"), Value::Null).await?;
    for lines in [&mut all, &mut later] {
        for expected in ["ADDED b", "MODIFIED a", "DELETED b"] {
            assert_eq!(lines.event().await?, expected);
        }
    }
    for expected in ["ADDED b", "DELETED b"] {
        assert_eq!(one.event().await?, expected);
    }
    // Events carry the revision of their change, in order.
    let mut again = cluster.watch(&format!("{MAPS}?watch=1&resourceVersion={listed}")).await?;
    let mut last = listed.parse::<u64>()?;
    for _ in 0..3 {
        let event = again.next().await?.unwrap_or_default();
        let own = event["object"]["metadata"]["resourceVersion"].as_str().unwrap_or_default().parse::<u64>()?;
        assert!(own > last, "{event} after {last}");
        last = own;
    }
    Ok(())
}

#[tokio::test]
async fn what_leaves_the_selection_is_deleted_and_what_enters_is_added() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(MAPS, json!({"metadata": {"name": "a", "labels": {"app": "web"}}})).await?;
    let mut lines = cluster.watch(&format!("{MAPS}?watch=true&labelSelector=app%3Dweb")).await?;
    assert_eq!(lines.event().await?, "ADDED a");
    label(&cluster, "a", json!("other")).await?;
    let left = lines.next().await?.unwrap_or_default();
    assert_eq!((&left["type"], &left["object"]["metadata"]["labels"]["app"]), (&json!("DELETED"), &json!("web")), "{left}");
    label(&cluster, "a", json!("third")).await?;
    label(&cluster, "a", json!("web")).await?;
    assert_eq!(lines.event().await?, "ADDED a");
    Ok(())
}

#[tokio::test]
async fn forgotten_history_is_gone() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.make(MAPS, json!({"metadata": {"name": "a"}})).await?;
    cluster.make(MAPS, json!({"metadata": {"name": "b"}})).await?;
    cluster.store.forget(cluster.store.revision());
    let mut lines = cluster.watch(&format!("{MAPS}?watch=true&resourceVersion=1")).await?;
    let event = lines.next().await?.unwrap_or_default();
    assert_eq!((&event["type"], &event["object"]["code"], &event["object"]["reason"]), (&json!("ERROR"), &json!(410), &json!("Expired")), "{event}");
    let message = event["object"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("too old resource version: 1 ("), "{message}");
    assert!(lines.next().await?.is_none(), "the watch ends");
    Ok(())
}

#[tokio::test]
async fn bookmarks_come_by_the_clock_and_at_the_end_of_the_list() -> Result<()> {
    let clock = ManualClock::default();
    let cluster = Cluster::start_with(Arc::new(clock.clone()), Vec::new()).await?;
    cluster.make(MAPS, json!({"metadata": {"name": "a"}})).await?;
    let mut lines = cluster.watch(&format!("{MAPS}?watch=true&allowWatchBookmarks=true")).await?;
    assert_eq!(lines.event().await?, "ADDED a");
    cluster.make("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "elsewhere"}})).await?;
    let now = cluster.store.revision().to_string();
    clock.advance(Duration::from_secs(60));
    let mark = lines.next().await?.unwrap_or_default();
    assert_eq!((&mark["type"], &mark["object"]["metadata"]["resourceVersion"], &mark["object"]["kind"]), (&json!("BOOKMARK"), &json!(now), &json!("ConfigMap")), "{mark}");
    let query = "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
    let mut streamed = cluster.watch(&format!("{MAPS}?{query}")).await?;
    assert_eq!(streamed.event().await?, "ADDED a");
    let end = streamed.next().await?.unwrap_or_default();
    assert_eq!((&end["type"], &end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"]), (&json!("BOOKMARK"), &json!("true")), "{end}");
    // timeoutSeconds ends a watch.
    let mut short = cluster.watch(&format!("{MAPS}?watch=true&timeoutSeconds=5")).await?;
    assert_eq!(short.event().await?, "ADDED a");
    clock.advance(Duration::from_secs(5));
    assert!(short.next().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_watch_can_be_a_table() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({})).await?;
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let response = cluster.send("GET", "/api/v1/namespaces/default/pods?watch=true", &accept, "").await?;
    let mut lines = drydock_test_api::Lines::of(response);
    let first = lines.next().await?.unwrap_or_default();
    assert_eq!((&first["object"]["kind"], &first["object"]["rows"][0]["cells"][2]), (&json!("Table"), &json!("Running")), "{first}");
    assert!(first["object"]["columnDefinitions"].as_array().is_some_and(|columns| !columns.is_empty()));
    cluster.pod_status("web", "Succeeded").await?;
    let second = lines.next().await?.unwrap_or_default();
    assert_eq!((&second["type"], &second["object"]["rows"][0]["object"]["metadata"]["name"]), (&json!("MODIFIED"), &json!("web")), "{second}");
    Ok(())
}
