//! Watching one object until it is as wanted.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncBufReadExt;

use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

/// Watch the object of this name until `wanted` says so; the object then.
pub async fn object(factory: &Factory, list: &str, name: &str, limit: Option<Duration>, mut wanted: impl FnMut(&Value) -> bool) -> Result<Value, Failure> {
    let work = async {
        let field = format!("metadata.name={name}");
        loop {
            let found = factory.call(Call::get(list).query("fieldSelector", &field)).await?;
            if let Some(live) = found["items"].as_array().and_then(|items| items.first())
                && wanted(live)
            {
                return Ok(live.clone());
            }
            let version = found["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            let call = Call::get(list).query("fieldSelector", &field).query("resourceVersion", version).query("watch", "true");
            let mut lines = factory.rest().await?.stream(&factory.streams, call).await?.lines();
            while let Some(line) = lines.next_line().await? {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                match event["type"].as_str().unwrap_or_default() {
                    "DELETED" => return Err(Failure::new("object has been deleted")),
                    "ERROR" => break,
                    _ if wanted(&event["object"]) => return Ok(event["object"].clone()),
                    _ => {}
                }
            }
        }
    };
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Failure::new("timed out waiting for the condition"))),
        None => work.await,
    }
}
