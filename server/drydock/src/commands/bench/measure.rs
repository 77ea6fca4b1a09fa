//! Measurements on a running cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use drydock_checks::grader::Grader;
use drydock_checks::plan::{Plan, Unit, UnitKind};
use drydock_checks::verdict::Outcome;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use super::{Figure, say};
use crate::processes;

/// Objects in the LIST that is measured.
const LISTED: usize = 1000;
/// How long idleness is observed.
const IDLE: Duration = Duration::from_secs(10);

/// Everything that needs a cluster.
pub(super) async fn all(client: &kube::Client, runs: usize, directory: &Path) -> anyhow::Result<Vec<Figure>> {
    say(&format!("idle for {} s", IDLE.as_secs()));
    let mut figures = idle().await?;
    say(&format!("{runs} deployments"));
    figures.push(pods(client, runs).await?);
    say("undo");
    figures.extend(super::undo::undo(client, runs.min(5)).await?);
    say("check latency");
    figures.push(checks(client, runs, directory).await?);
    say("API verbs");
    figures.extend(verbs(client, runs).await?);
    figures.push(memory("memory (PSS) after all of the above", "")?);
    Ok(figures)
}

/// From the answer to `create deployment` backwards: from the request to a Ready Pod.
async fn pods(client: &kube::Client, runs: usize) -> anyhow::Result<Figure> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let mut times = Vec::new();
    for run in 0..runs {
        let name = format!("bench-{run}");
        let events = pods.watch(&WatchParams::default().labels(&format!("app={name}")), "0").await?;
        let mut events = events.boxed();
        let labels = json!({"app": name});
        let deployment = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                "terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "kiamol/ch02-hello-kiamol"}]}}},
        }))?;
        let started = Instant::now();
        deployments.create(&PostParams::default(), &deployment).await?;
        let ready = async {
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event
                    && is_ready(&pod)
                {
                    return Ok(());
                }
            }
            bail!("the watch ended")
        };
        tokio::time::timeout(Duration::from_secs(30), ready).await.context("the Pod was not Ready after 30 s")??;
        times.push(started.elapsed());
        deployments.delete(&name, &DeleteParams::foreground()).await?;
    }
    Ok(Figure::of_times("create deployment to Pod Ready", times, "150 ms"))
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

fn config_map(name: &str) -> ConfigMap {
    let data = BTreeMap::from([("text".to_owned(), "a few bytes".to_owned())]);
    ConfigMap { data: Some(data), metadata: kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() }, ..ConfigMap::default() }
}

/// From the answer to a request to the verdict it changes.
async fn checks(client: &kube::Client, runs: usize, directory: &Path) -> anyhow::Result<Figure> {
    let check = serde_json::from_value(json!({"id": "bench", "say": "it is there", "expect": {"object": {"kind": "ConfigMap", "name": "bench-check"}}}))?;
    let unit = Unit { id: "bench".into(), title: "Bench".into(), kind: UnitKind::Lab, checks: vec![check], blocks: Vec::new() };
    let plan = Plan { chapter: "bench".into(), units: vec![unit], ..Plan::default() };
    let grader = Grader::start(client.clone(), vec![plan], &directory.join("grading"))?;
    let mut verdicts = grader.subscribe();
    grader.open("bench");
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut times = Vec::new();
    let mut wait = async |wanted: Outcome| -> anyhow::Result<()> {
        let news = async {
            loop {
                if verdicts.recv().await?.verdict == wanted {
                    return anyhow::Ok(());
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), news).await.context("no verdict after 10 s")?
    };
    wait(Outcome::Fail).await?;
    for _ in 0..runs {
        let started = Instant::now();
        maps.create(&PostParams::default(), &config_map("bench-check")).await?;
        wait(Outcome::Pass).await?;
        times.push(started.elapsed());
        maps.delete("bench-check", &DeleteParams::default()).await?;
        wait(Outcome::Fail).await?;
    }
    Ok(Figure::of_times("change to verdict", times, "100 ms"))
}

async fn verbs(client: &kube::Client, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut created = Vec::new();
    for number in 0..LISTED {
        let started = Instant::now();
        maps.create(&PostParams::default(), &config_map(&format!("bench-{number}"))).await?;
        created.push(started.elapsed());
    }
    let (mut got, mut listed) = (Vec::new(), Vec::new());
    for run in 0..runs * 10 {
        let started = Instant::now();
        maps.get(&format!("bench-{}", run % LISTED)).await?;
        got.push(started.elapsed());
    }
    for _ in 0..runs {
        let started = Instant::now();
        maps.list(&ListParams::default()).await?;
        listed.push(started.elapsed());
    }
    let started = Instant::now();
    let parallel = futures::stream::iter(0..LISTED).map(|number| {
        let maps = maps.clone();
        async move { maps.create(&PostParams::default(), &config_map(&format!("many-{number}"))).await }
    });
    parallel.buffer_unordered(32).try_collect::<Vec<_>>().await?;
    let rate = LISTED as f64 / started.elapsed().as_secs_f64();
    maps.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    Ok(vec![
        Figure::of_times("API: create", created, ""),
        Figure::once("API: create, 32 at a time", rate, "per second", ""),
        Figure::of_times("API: get", got, ""),
        Figure::of_times(format!("API: list of {LISTED}"), listed, ""),
    ])
}

/// What the cluster's processes hold now.
fn memory(what: &str, budget: &'static str) -> anyhow::Result<Figure> {
    Ok(Figure::once(what, processes::memory()? as f64 / f64::from(1 << 20), "MiB", budget))
}

/// Memory and processor time of a cluster that just came up, when nobody does anything.
async fn idle() -> anyhow::Result<Vec<Figure>> {
    // What the start left to do is done first.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = processes::ticks()?;
    let started = Instant::now();
    tokio::time::sleep(IDLE).await;
    let used = processes::ticks()?.saturating_sub(before) as f64 / 100.0;
    let percent = used / started.elapsed().as_secs_f64() * 100.0;
    Ok(vec![
        memory("idle memory (PSS), control plane + 3 nodes + workstation", "80 MB with the server")?,
        Figure::once("idle processor", percent, "% of a core", "0.5 %"),
    ])
}
