//! Waiting until an object is gone.
// upstream: kubectl/pkg/cmd/wait/delete.go

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncBufReadExt;

use crate::builder::Info;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

/// Wait until the object with this UID (any, when empty) is gone.
pub async fn wait(factory: &Factory, info: &Info, uid: &str, limit: Option<Duration>) -> Result<(), Failure> {
    let work = until(factory, info, uid);
    match limit {
        Some(limit) => tokio::time::timeout(limit, work)
            .await
            .unwrap_or_else(|_| Err(Failure::new(format!("timed out waiting for the condition on {}/{}", info.mapping.group_resource(), info.name)))),
        None => work.await,
    }
}

async fn until(factory: &Factory, info: &Info, uid: &str) -> Result<(), Failure> {
    // Most are gone by now, and another one of the same name is not what was waited for.
    match factory.call(Call::get(info.path())).await {
        Err(failure) if failure.is("NotFound") => return Ok(()),
        Ok(live) if !uid.is_empty() && live["metadata"]["uid"] != uid => return Ok(()),
        other => drop(other?),
    }
    let list = info.mapping.list_path(&info.namespace);
    let field = format!("metadata.name={}", info.name);
    loop {
        let found = factory.call(Call::get(&list).query("fieldSelector", &field)).await?;
        let live = found["items"].as_array().is_some_and(|items| items.iter().any(|item| uid.is_empty() || item["metadata"]["uid"] == uid));
        if !live {
            return Ok(());
        }
        let version = found["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        let call = Call::get(&list).query("fieldSelector", &field).query("resourceVersion", version).query("watch", "true");
        let mut lines = factory.rest().await?.stream(&factory.streams, call).await?.lines();
        while let Some(line) = lines.next_line().await? {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            match event["type"].as_str().unwrap_or_default() {
                "DELETED" => return Ok(()),
                "ERROR" => break,
                _ => {}
            }
        }
    }
}
