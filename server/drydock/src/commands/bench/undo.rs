//! What an undo takes: twenty Pods that were deleted are back and Ready.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::Figure;
use super::measure::is_ready;
use crate::exec::LAB;

/// Pods of the exercise that is undone.
const PODS: usize = 20;
const NAME: &str = "bench-undo";

/// A restore of deleted Pods until all are Ready, and a restore to before they were there until none is left.
pub(super) async fn undo(client: &kube::Client, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    post(client, "snapshots", &json!({"spec": {"name": "bench-before", "replace": true}})).await?;
    let labels = json!({"app": NAME});
    let deployment = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "kiamol/ch02-hello-kiamol"}]}}},
    }))?;
    deployments.create(&PostParams::default(), &deployment).await?;
    wait(client, PODS).await?;
    post(client, "snapshots", &json!({"spec": {"name": "bench-after", "replace": true}})).await?;
    let (mut back, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        deployments.delete(NAME, &DeleteParams::foreground()).await?;
        wait(client, 0).await?;
        let started = Instant::now();
        post(client, "snapshots/bench-after/restore", &Value::Null).await?;
        wait(client, PODS).await?;
        back.push(started.elapsed());
        let started = Instant::now();
        post(client, "snapshots/bench-before/restore", &Value::Null).await?;
        wait(client, 0).await?;
        gone.push(started.elapsed());
        post(client, "snapshots/bench-after/restore", &Value::Null).await?;
        wait(client, PODS).await?;
    }
    deployments.delete(NAME, &DeleteParams::foreground()).await?;
    Ok(vec![
        Figure::of_times(format!("undo of a deletion, {PODS} Pods, to Ready again"), back, "1000 ms"),
        Figure::of_times(format!("undo of a creation, {PODS} Pods, until all are gone"), gone, "1000 ms"),
    ])
}

async fn post(client: &kube::Client, path: &str, body: &Value) -> anyhow::Result<Value> {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    Ok(client.request(http::Request::post(format!("{LAB}/{path}")).body(body)?).await?)
}

/// Until so many Pods are there and all of them are Ready.
async fn wait(client: &kube::Client, count: usize) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let events = pods.watch(&WatchParams::default().labels(&format!("app={NAME}")), "0").await?;
    let mut events = events.boxed();
    let mut known = std::collections::BTreeMap::new();
    let settled = |known: &std::collections::BTreeMap<Option<String>, bool>| known.len() == count && known.values().all(|ready| *ready);
    let work = async {
        // A watch from the beginning does not say when there is nothing.
        let list = pods.list(&kube::api::ListParams::default().labels(&format!("app={NAME}"))).await?;
        known.extend(list.items.iter().map(|pod| (pod.metadata.name.clone(), is_ready(pod))));
        while !settled(&known) {
            match events.try_next().await? {
                Some(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) => {
                    let ready = is_ready(&pod);
                    known.insert(pod.metadata.name, ready);
                }
                Some(WatchEvent::Deleted(pod)) => {
                    known.remove(&pod.metadata.name);
                }
                Some(_) => {}
                None => bail!("the watch ended"),
            }
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), work).await.with_context(|| format!("not {count} Pods after 60 s"))?
}
