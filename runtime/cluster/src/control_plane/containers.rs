//! Containers of the nodes as evidence: each kubelet's own list, followed.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use super::dial::LanDial;
use super::kubelets;
use crate::evidence::{Evidence, Kind};

/// Follow the containers of a node as long as its kubelet answers; returns when it does not.
pub(super) async fn follow(dial: &LanDial, node: &str, address: &str, evidence: &Evidence) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut sender = kubelets::connect(dial, node, address).await?;
    let request = Request::get("/drydock/containers?watch=true").header("host", node).body(Full::default())?;
    let response = sender.send_request(request).await?;
    if !response.status().is_success() {
        return Err(format!("the kubelet answers {}", response.status()).into());
    }
    let mut body = response.into_body().into_data_stream();
    let mut buffer = Vec::new();
    let mut known = BTreeSet::new();
    while let Some(chunk) = body.next().await {
        buffer.extend_from_slice(&chunk?);
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            record(&serde_json::from_slice(&line)?, node, evidence, &mut known);
        }
    }
    Ok(())
}

/// What is no longer there after a reconnect is gone.
fn record(event: &Value, node: &str, evidence: &Evidence, known: &mut BTreeSet<String>) {
    if event["type"] == "BOOKMARK" {
        for old in evidence.list(Kind::NodeContainer) {
            let name = old["metadata"]["name"].as_str().unwrap_or_default();
            if old["spec"]["node"] == node && !known.contains(name) {
                evidence.remove(Kind::NodeContainer, name);
            }
        }
        return;
    }
    let object = &event["object"];
    let Some(id) = object["spec"]["id"].as_str() else { return };
    if event["type"] == "DELETED" {
        known.remove(id);
        evidence.remove(Kind::NodeContainer, id);
        return;
    }
    known.insert(id.to_owned());
    let mut spec = object["spec"].clone();
    spec["node"] = json!(node);
    evidence.set(Kind::NodeContainer, id, spec, object["status"].clone());
}

/// Follow the containers of a node for good, through restarts of its kubelet. Ends with the task.
pub(super) async fn follow_forever(dial: Arc<LanDial>, node: String, address: String, evidence: Evidence) {
    loop {
        if let Err(error) = follow(&dial, &node, &address, &evidence).await {
            tracing::debug!(%error, node, "containers");
        }
        // A kubelet that restarts has no event we could wait for; a quarter of a second is what a restart takes.
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}
