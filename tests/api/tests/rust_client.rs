//! kube-rs, inside the process and through TLS: what our own controllers, kubelets and checks use.

use anyhow::{Context, Result};
use drydock_test_api::{Cluster, patiently};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn both(cluster: &Cluster) -> Result<[(&'static str, kube::Client); 2]> {
    Ok([("in process", cluster.client()), ("TLS", cluster.tls_client().await?)])
}

#[tokio::test]
async fn typed_objects_come_and_go() -> Result<()> {
    let cluster = Cluster::start().await?;
    for (way, client) in both(&cluster).await? {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "a"}, "data": {"x": "1"}}))?;
        maps.create(&PostParams::default(), &map).await.context(way)?;
        let patched = maps.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"y": "2"}}))).await.context(way)?;
        assert_eq!(patched.data.unwrap_or_default().len(), 2);
        assert_eq!(maps.list(&ListParams::default().fields("metadata.name=a")).await?.items.len(), 1);
        let conflict = maps.create(&PostParams::default(), &map).await;
        assert!(matches!(conflict, Err(kube::Error::Api(status)) if status.code == 409));
        maps.delete("a", &DeleteParams::default()).await?;
        assert!(maps.get_opt("a").await?.is_none(), "{way}");
    }
    Ok(())
}

#[tokio::test]
async fn watches_and_reflectors_follow() -> Result<()> {
    let cluster = Cluster::start().await?;
    for (way, client) in both(&cluster).await? {
        let maps: Api<ConfigMap> = Api::default_namespaced(client);
        let name = way.replace(' ', "-").to_lowercase();
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        let mut watch = maps.watch(&WatchParams::default(), "0").await?.boxed();
        for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
            let mut events = watcher(maps.clone(), config).boxed();
            loop {
                if let watcher::Event::InitDone = patiently("the initial list", events.try_next()).await??.context("the watcher ended")? {
                    break;
                }
            }
            maps.create(&PostParams::default(), &map).await?;
            let applied = patiently("an event", events.try_next()).await??.context("the watcher ended")?;
            assert!(matches!(applied, watcher::Event::Apply(own) if own.metadata.name == map.metadata.name), "{way}");
            maps.delete(&name, &DeleteParams::default()).await?;
            let deleted = patiently("an event", events.try_next()).await??.context("the watcher ended")?;
            assert!(matches!(deleted, watcher::Event::Delete(_)), "{way}");
        }
        let first = patiently("an event", watch.try_next()).await??;
        assert!(matches!(first, Some(WatchEvent::Added(_))), "{way}");
    }
    Ok(())
}

#[tokio::test]
async fn pods_are_entered_read_and_forwarded() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({})).await?;
    cluster.kubelet.log("web", "hello");
    for (way, client) in both(&cluster).await? {
        let pods: Api<Pod> = Api::default_namespaced(client);
        assert_eq!(pods.logs("web", &LogParams::default()).await.context(way)?, "hello\n");
        let mut process = pods.exec("web", ["cat"], &AttachParams::default().stdin(true).stderr(false)).await.context(way)?;
        let mut stdin = process.stdin().context("stdin")?;
        let mut stdout = process.stdout().context("stdout")?;
        stdin.write_all(b"typed").await?;
        stdin.shutdown().await?;
        drop(stdin);
        let mut text = String::new();
        patiently("output", stdout.read_to_string(&mut text)).await??;
        assert_eq!(text, "typed", "{way}");
        let status = process.take_status().context("status")?;
        assert_eq!(patiently("the status", status).await?.and_then(|status| status.status).as_deref(), Some("Success"), "{way}");
        let mut forward = pods.portforward("web", &[80]).await.context(way)?;
        let mut stream = forward.take_stream(80).context("stream")?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await?;
        let mut page = vec![0; 15];
        patiently("a page", stream.read_exact(&mut page)).await??;
        assert_eq!(page, b"HTTP/1.1 200 OK");
    }
    Ok(())
}

#[tokio::test]
async fn a_terminal_tells_its_size() -> Result<()> {
    let cluster = Cluster::start().await?;
    cluster.run_pod("web", json!({})).await?;
    let pods: Api<Pod> = Api::default_namespaced(cluster.tls_client().await?);
    let mut process = pods.exec("web", ["terminal-size"], &AttachParams::interactive_tty()).await?;
    let mut sizes = process.terminal_size().context("sizes")?;
    let mut stdout = process.stdout().context("stdout")?;
    sizes.try_send(kube::api::TerminalSize { width: 132, height: 43 })?;
    let mut text = String::new();
    patiently("output", stdout.read_to_string(&mut text)).await??;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text)?, json!({"Width": 132, "Height": 43}));
    Ok(())
}
