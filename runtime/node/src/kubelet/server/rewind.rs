//! What a restore of the cluster asks of a node, and what a skip does.
//!
//! 1. `POST /drydock/pods/halt {"uids": [...]}`: these Pods are stopped at once, without grace, and forgotten, and nothing is said about them
//!    any more. Their objects are not acted on until they are released.
//! 2. The control plane commits the state that was.
//! 3. `POST /drydock/pods/release {"uids": [...], "revision": 1301}`: objects of that revision and later count again; what is there runs anew.
//!
//! `POST /drydock/age {"seconds": 300}`: what the workers know of the past happened that much earlier, so that waits end sooner.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{Refusal, Shared};
use crate::kubelet::node::{Node, lock};
use crate::kubelet::worker::Message;

/// How long the kernel may take to end what is stopped, when the machine has other things to do.
const ENDS: Duration = Duration::from_secs(20);
/// Longer than any restore takes: a control plane that died on the way must not leave Pods halted.
const LIMIT: Duration = Duration::from_secs(40);

#[derive(Deserialize)]
pub(super) struct Halt {
    uids: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Release {
    uids: Vec<String>,
    #[serde(default)]
    revision: u64,
}

#[derive(Deserialize)]
pub(super) struct Age {
    seconds: u64,
}

/// Stop Pods; answers when nothing of them is left.
pub(super) async fn halt(State(node): Shared, Json(asked): Json<Halt>) -> Result<Json<()>, Refusal> {
    let mut halted = Vec::new();
    for uid in &asked.uids {
        node.hold(uid);
        // A last word that waits for the restore to end would be said about the Pod that comes back.
        if let Some(publisher) = lock(&node.publishers).get(uid) {
            publisher.abort();
        }
        let (sender, receiver) = oneshot::channel();
        node.tell(uid, Message::Halt(sender));
        if lock(&node.workers).contains_key(uid) {
            halted.push((uid.clone(), receiver));
        }
    }
    let late = Arc::clone(&node);
    tokio::spawn(async move {
        tokio::time::sleep(LIMIT).await;
        release_all(&late, &asked.uids, 0);
    });
    let ends = halted.into_iter().map(|(uid, receiver)| {
        let node = Arc::clone(&node);
        async move {
            // A worker that ended by itself has nothing left to stop.
            if let Ok(pod) = receiver.await {
                node.held(&uid, pod);
            }
        }
    });
    let all = futures::future::join_all(ends);
    tokio::time::timeout(ENDS, all).await.map_err(|_| Refusal::internal(format!("not ended within {ENDS:?}")))?;
    Ok(Json(()))
}

/// Let objects count again.
pub(super) async fn release(State(node): Shared, Json(asked): Json<Release>) -> Json<()> {
    release_all(&node, &asked.uids, asked.revision);
    Json(())
}

fn release_all(node: &Arc<Node>, uids: &[String], revision: u64) {
    for pod in uids.iter().filter_map(|uid| node.release(uid, revision)) {
        crate::kubelet::boot::start_worker(node, pod);
    }
}

/// Move the past of all workers back.
pub(super) async fn age(State(node): Shared, Json(asked): Json<Age>) -> Json<()> {
    let uids: Vec<String> = lock(&node.workers).keys().cloned().collect();
    for uid in uids {
        node.tell(&uid, Message::Age(Duration::from_secs(asked.seconds)));
    }
    Json(())
}
