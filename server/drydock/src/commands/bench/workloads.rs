//! What a lesson does with a cluster: many Pods, a changed ConfigMap, a Service that turns elsewhere, bytes through it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::Api;
use kube::api::{AttachParams, AttachedProcess, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Figure, say};
use crate::processes;

/// Bytes of the download that measures throughput.
const DOWNLOAD_MIB: u64 = 256;
/// How long one step may take before the measurement says it did not happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// The image everything here runs.
const IMAGE: &str = "kiamol/ch02-whoami";

/// Everything that needs Pods; what was measured before a failure stays.
pub(super) async fn all(client: &kube::Client, runs: usize, figures: &mut Vec<Figure>) -> anyhow::Result<()> {
    for replicas in [20, 100] {
        say(&format!("{replicas} Pods"));
        figures.extend(many(client, replicas, runs.min(3)).await?);
    }
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    for (name, node) in [("one", "node-1"), ("two", "node-2")] {
        pods.create(&PostParams::default(), &pod(name, node)?).await?;
    }
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    maps.create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "settings"}, "data": {"text": "first"}}))?).await?;
    let (one, two) = (ready(&pods, "one").await?, ready(&pods, "two").await?);
    say("a changed ConfigMap, a Service that turns elsewhere");
    figures.push(changed_file(&pods, &maps, runs).await?);
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let service = services.create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "turning"},
        "spec": {"selector": {"pod": "two"}, "ports": [{"port": 80}]}}))?).await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
    figures.push(moved_traffic(&pods, &services, &address, runs).await?);
    say("throughput");
    services.patch("turning", &PatchParams::default(), &Patch::Merge(json!({"spec": {"selector": {"pod": "two"}, "ports": [{"port": 80, "targetPort": 8081}]}}))).await?;
    figures.extend(throughput(&pods, &two, &address, runs.min(5)).await?);
    if one == two {
        bail!("two Pods have the address {one}");
    }
    let now = DeleteParams::default().grace_period(0);
    pods.delete_collection(&now, &ListParams::default()).await?;
    services.delete("turning", &DeleteParams::default()).await?;
    Ok(())
}

/// Until every replica is Ready, and what they take.
async fn many(client: &kube::Client, replicas: usize, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let (mut times, mut memory) = (Vec::new(), 0);
    for run in 0..runs {
        let name = format!("many-{replicas}-{run}");
        let labels = json!({"app": name});
        let deployment = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                "terminationGracePeriodSeconds": 0, "containers": [{"name": "web", "image": "kiamol/ch02-hello-kiamol"}]}}},
        }))?;
        let mut events = deployments.watch(&WatchParams::default().fields(&format!("metadata.name={name}")), "0").await?.boxed();
        let started = Instant::now();
        deployments.create(&PostParams::default(), &deployment).await?;
        let all_ready = async {
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Added(seen) | WatchEvent::Modified(seen) = event
                    && seen.status.and_then(|status| status.ready_replicas).and_then(|ready| usize::try_from(ready).ok()) == Some(replicas)
                {
                    return Ok(());
                }
            }
            bail!("the watch ended")
        };
        tokio::time::timeout(PATIENCE * 2, all_ready).await.with_context(|| format!("{replicas} Pods were not Ready in time"))??;
        times.push(started.elapsed());
        memory = processes::memory()?;
        deployments.delete(&name, &DeleteParams::foreground()).await?;
        gone(&deployments, &name).await?;
    }
    Ok(vec![
        Figure::of_times(format!("Deployment of {replicas} to all Ready"), times, ""),
        Figure::once(format!("memory (PSS) with {replicas} Pods, theirs included"), memory as f64 / f64::from(1 << 20), "MiB", ""),
    ])
}

async fn gone(deployments: &Api<Deployment>, name: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    while deployments.get_opt(name).await?.is_some() {
        if started.elapsed() > PATIENCE {
            bail!("Deployment {name} was not deleted in time");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn pod(name: &str, node: &str) -> anyhow::Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"pod": name}},
        "spec": {
            "nodeName": node,
            "containers": [{"name": "web", "image": IMAGE, "volumeMounts": [{"name": "settings", "mountPath": "/settings"}]}],
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
        },
    }))?)
}

/// The Pod's address, once it is Ready.
async fn ready(pods: &Api<Pod>, name: &str) -> anyhow::Result<String> {
    let started = Instant::now();
    loop {
        let pod = pods.get(name).await?;
        if super::measure::is_ready(&pod)
            && let Some(address) = pod.status.and_then(|status| status.pod_ip)
        {
            return Ok(address);
        }
        if started.elapsed() > PATIENCE {
            bail!("Pod {name} was not Ready in time");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A command in a Pod. Dropping the process ends it, so it is kept beside its output.
struct Running {
    output: Box<dyn AsyncRead + Unpin + Send>,
    _process: AttachedProcess,
}

/// A command in a Pod that is running when this returns; it says so by its first line.
async fn begin(pods: &Api<Pod>, name: &str, script: &str) -> anyhow::Result<Running> {
    let script = format!("echo begun; {script}");
    let mut process = pods.exec(name, ["sh", "-c", &script], &AttachParams::default().stderr(false)).await?;
    let mut output = process.stdout().context("the command has an output")?;
    let mut first = [0; 6];
    tokio::time::timeout(PATIENCE, output.read_exact(&mut first)).await.with_context(|| format!("the command did not begin: {script}"))??;
    Ok(Running { output: Box::new(output), _process: process })
}

/// Wait for the end of a command, which is the end of its output.
async fn end(mut running: Running, what: &str) -> anyhow::Result<String> {
    let mut rest = String::new();
    tokio::time::timeout(PATIENCE, running.output.read_to_string(&mut rest)).await.with_context(|| format!("{what}: the command did not end"))??;
    Ok(rest)
}

/// From the request that changes a ConfigMap to a program that sees it in its file.
async fn changed_file(pods: &Api<Pod>, maps: &Api<ConfigMap>, runs: usize) -> anyhow::Result<Figure> {
    let mut times = Vec::new();
    for run in 0..runs {
        let waiting = begin(pods, "one", &format!("until [ \"$text\" = \"text {run}\" ]; do read -r text < /settings/text; done")).await?;
        let started = Instant::now();
        maps.patch("settings", &PatchParams::default(), &Patch::Merge(json!({"data": {"text": format!("text {run}\n")}}))).await?;
        end(waiting, "ConfigMap changed").await?;
        times.push(started.elapsed());
    }
    Ok(Figure::of_times("ConfigMap change to file changed in the container", times, ""))
}

/// From the request that points a Service elsewhere to an answer from there.
async fn moved_traffic(pods: &Api<Pod>, services: &Api<Service>, address: &str, runs: usize) -> anyhow::Result<Figure> {
    let mut times = Vec::new();
    for run in 0..runs {
        let target = if run % 2 == 0 { "one" } else { "two" };
        let waiting = begin(pods, "one", &format!("until wget -qO- http://{address}/ | grep -q \"I'm {target} \"; do :; done")).await?;
        let started = Instant::now();
        services.patch("turning", &PatchParams::default(), &Patch::Merge::<Value>(json!({"spec": {"selector": {"pod": target}}}))).await?;
        end(waiting, "Service moved").await?;
        times.push(started.elapsed());
    }
    Ok(Figure::of_times("Service pointed elsewhere to an answer from there", times, ""))
}

/// The same download from a Pod of another node, by its address and by a Service's.
async fn throughput(pods: &Api<Pod>, pod: &str, service: &str, runs: usize) -> anyhow::Result<Vec<Figure>> {
    let serve = format!("mkdir -p /tmp/www && dd if=/dev/zero of=/tmp/www/big bs=1M count={DOWNLOAD_MIB} 2>/dev/null && httpd -p 8081 -h /tmp/www && echo served");
    if !end(begin(pods, "two", &serve).await?, "download made").await?.contains("served") {
        bail!("the Pod does not serve the download");
    }
    let mut rates = Vec::new();
    for address in [format!("{pod}:8081"), service.to_owned()] {
        let mut best = f64::MAX;
        for _ in 0..runs {
            let started = Instant::now();
            let said = end(begin(pods, "one", &format!("wget -qO /dev/null http://{address}/big && echo whole")).await?, "download").await?;
            if !said.contains("whole") {
                bail!("the download from {address} broke off: {said}");
            }
            best = best.min(started.elapsed().as_secs_f64());
        }
        rates.push(DOWNLOAD_MIB as f64 / best);
    }
    let [direct, through] = rates.as_slice() else { bail!("two ways were measured") };
    Ok(vec![
        Figure::once("throughput, Pod to Pod of another node", *direct, "MiB/s", ""),
        Figure::once("throughput through a Service, of Pod to Pod", through / direct, "ratio", ""),
    ])
}

/// From an image that is not there to its files on disk.
pub(super) fn unpack(directory: &Path, runs: usize) -> anyhow::Result<Figure> {
    let mut times = Vec::new();
    for run in 0..runs {
        let store = drydock_image::Store::open(&directory.join(format!("unpacked-{run}")))?;
        let started = Instant::now();
        store.pull(IMAGE)?;
        times.push(started.elapsed());
    }
    Ok(Figure::of_times("bundled image unpacked, first of its layers", times, ""))
}
