//! `history`: versions of objects out of the journal, deletions included, with the version before beside each.

use std::sync::Arc;

use drydock_api::registry::Resource;
use drydock_store::{Event, EventKind, Revision};
use serde_json::{Value, json};

use super::{Answer, Query, Refusal, async_stream, json_lines, json_response};
use crate::control_plane::Plant;
use crate::evidence::API_VERSION;

/// Answer `history?group=&resource=&namespace=&since=REV[&watch=true]`; `since` itself is not included.
pub(super) fn answer(plant: &Plant, query: &Query) -> Answer {
    let resource = query.get("resource").ok_or_else(|| Refusal::bad_request("resource is missing"))?;
    let group = query.get("group").unwrap_or_default();
    let registry = plant.server().registry();
    let row = registry.rows().find(|row| row.group == group && row.plural == resource).map(Arc::clone);
    let row = row.ok_or_else(|| Refusal::not_found(format!("there is no resource {resource:?} in group {group:?}")))?;
    let since = match query.get("since") {
        Some(text) => Revision(text.parse().map_err(|_| Refusal::bad_request(format!("since={text:?} is no revision")))?),
        None => Revision(0),
    };
    let prefix = row.prefix(query.get("namespace").filter(|namespace| !namespace.is_empty()));
    if query.flag("watch") {
        let mut watch = plant.store().watch_evidence(&prefix, since).map_err(|compacted| Refusal::bad_request(compacted.to_string()))?;
        let lines = async_stream(move |lines| async move {
            while let Some(event) = watch.next().await {
                lines.send(version(&row, &event)).await?;
            }
            Some(())
        });
        return Ok(json_lines(lines));
    }
    let items: Vec<Value> = plant.store().history(&prefix, since).iter().map(|event| version(&row, event)).collect();
    Ok(json_response(&json!({
        "apiVersion": API_VERSION, "kind": "HistoryList", "metadata": {"resourceVersion": plant.revision().to_string()}, "items": items,
    })))
}

/// One version as JSON.
fn version(row: &Resource, event: &Event) -> Value {
    let decode = |bytes: &Option<bytes::Bytes>, revision: Revision| {
        let mut object: Value = serde_json::from_slice(bytes.as_deref()?).ok()?;
        row.decode_storage(&mut object);
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        Some(object)
    };
    let kind = match event.kind {
        EventKind::Create => "ADDED",
        EventKind::Update => "MODIFIED",
        EventKind::Delete => "DELETED",
    };
    let old = decode(&event.old, event.old_revision);
    // A deletion is told with the last version, as in a watch.
    let object = decode(&event.new, event.revision).or_else(|| decode(&event.old, event.revision));
    json!({
        "revision": event.revision.to_string(), "time": event.time.to_string(), "type": kind, "object": object, "old": old,
        "actor": &*event.actor, "cause": &*event.cause,
    })
}
