//! Connections of the browser pane: from the workstation to its own `localhost`, or through the API server to a Pod behind a Service.

use anyhow::{Context, bail};
use bytes::Bytes;
use drydock_checks::clients::Clients;
use drydock_web::pane::{Duplex, Target};
use futures::{SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::exec::{LAB, sentence};

/// Bytes on their way in one direction.
const BUFFER: usize = 64 * 1024;

/// One connection to what a pane shows.
pub(crate) async fn dial(clients: &Clients, target: &Target) -> anyhow::Result<Box<dyn Duplex>> {
    match target {
        Target::Local(port) => Ok(Box::new(workstation(&clients.lab, *port).await?)),
        Target::Service { namespace, name, port } => service(&clients.subject, namespace, name, *port).await,
    }
}

async fn workstation(client: &kube::Client, port: u16) -> anyhow::Result<DuplexStream> {
    let request = http::Request::get(format!("{LAB}/workstations/main/dial?host=localhost&port={port}")).body(Vec::new())?;
    let socket = client.connect(request).await.map_err(sentence)?.into_stream();
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    let (mut read, mut write) = tokio::io::split(theirs);
    let (mut sink, mut source) = socket.split();
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if sink.send(Bytes::copy_from_slice(&buffer[..length]).into()).await.is_err() {
                return;
            }
        }
        // That the other side has gone already is fine.
        sink.close().await.unwrap_or_default();
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if message.is_binary() && write.write_all(&message.into_data()).await.is_err() {
                return;
            }
        }
        write.shutdown().await.unwrap_or_default();
    });
    Ok(ours)
}

/// As `kubectl port-forward service/NAME` does: to one Pod that is ready, by the credentials of the page, which make no evidence.
async fn service(client: &kube::Client, namespace: &str, name: &str, port: u16) -> anyhow::Result<Box<dyn Duplex>> {
    let service: k8s_openapi::api::core::v1::Service = Api::namespaced(client.clone(), namespace).get(name).await.map_err(sentence)?;
    let ports = service.spec.and_then(|spec| spec.ports).unwrap_or_default();
    let Some(wanted) = ports.into_iter().find(|known| known.port == i32::from(port)) else { bail!("the Service has no port {port}") };
    let selector = format!("kubernetes.io/service-name={name}");
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace).list(&ListParams::default().labels(&selector)).await.map_err(sentence)?;
    let found = slices.items.iter().find_map(|slice| {
        let port = slice.ports.as_ref()?.iter().find(|known| known.name.clone().unwrap_or_default() == wanted.name.clone().unwrap_or_default())?.port?;
        let ready = |endpoint: &&k8s_openapi::api::discovery::v1::Endpoint| endpoint.conditions.as_ref().and_then(|known| known.ready).unwrap_or(true);
        let pod = slice.endpoints.iter().flatten().filter(ready).find_map(|endpoint| endpoint.target_ref.as_ref().filter(|to| to.kind.as_deref() == Some("Pod"))?.name.clone())?;
        Some((pod, u16::try_from(port).ok()?))
    });
    let (pod, port) = found.context("no Pod behind it is ready")?;
    let mut forward = Api::<Pod>::namespaced(client.clone(), namespace).portforward(&pod, &[port]).await.map_err(sentence)?;
    let stream = forward.take_stream(port).context("the API server gave no stream")?;
    tokio::spawn(async move {
        if let Err(error) = forward.join().await {
            tracing::debug!(%error, "a pane's forward ended");
        }
    });
    Ok(Box::new(stream))
}
