//! `GET /drydock/containers?watch=true`: every container of the node as it is and as it changes, one JSON object per line.
//!
//! First all as `ADDED`, then one `BOOKMARK`, then changes: `MODIFIED` and `DELETED`.

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::{Query, Shared};
use crate::kubelet::records::{Change, Record};

/// Answers with lines.
pub(super) async fn serve(State(node): Shared, RawQuery(query): RawQuery) -> Response {
    let follow = Query::parse(query.as_deref()).flag("watch");
    let (now, changes) = node.records.watch();
    let mut lines: Vec<Bytes> = now.iter().filter(|record| !record.is_sandbox()).map(|record| line("ADDED", &object(record))).collect();
    lines.push(line("BOOKMARK", &json!({})));
    let first = stream::iter(lines);
    if !follow {
        return answer(first);
    }
    // A watcher that fell behind is cut off; it comes back and reads everything.
    let rest = stream::unfold(changes, |mut changes| async move {
        loop {
            let (kind, record) = match changes.recv().await {
                Ok(Change::Set(record)) => ("MODIFIED", record),
                Ok(Change::Gone(record)) => ("DELETED", record),
                Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
            };
            if !record.is_sandbox() {
                return Some((line(kind, &object(&record)), changes));
            }
        }
    });
    answer(first.chain(rest))
}

fn answer(lines: impl futures::Stream<Item = Bytes> + Send + 'static) -> Response {
    ([("content-type", "application/json")], Body::from_stream(lines.map(Ok::<_, std::convert::Infallible>))).into_response()
}

fn line(kind: &str, object: &Value) -> Bytes {
    Bytes::from(json!({"type": kind, "object": object}).to_string() + "\n")
}

fn object(record: &Record) -> Value {
    let state = match record {
        Record { exit: Some(_), .. } => "exited",
        Record { started: Some(_), .. } => "running",
        _ => "created",
    };
    let mut status = json!({"state": state});
    if let Some(started) = record.started {
        status["startedAt"] = json!(started);
    }
    if let Some(exit) = &record.exit {
        status["exitCode"] = json!(exit.code);
        status["reason"] = json!(exit.reason);
        status["finishedAt"] = json!(exit.at);
    }
    json!({
        "spec": {
            "id": record.id,
            "image": record.image,
            "podNamespace": record.namespace,
            "podName": record.pod,
            "podUid": record.uid,
            "container": record.container,
            "labels": record.labels,
        },
        "status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::records::RecordExit;
    use jiff::Timestamp;

    #[test]
    fn the_state_follows_the_life_of_a_container() {
        let mut record = Record { id: "a".into(), ..Record::default() };
        assert_eq!(object(&record)["status"]["state"], "created");
        record.started = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(object(&record)["status"]["state"], "running");
        record.exit = Some(RecordExit { code: 3, reason: "Error".into(), message: None, at: Timestamp::UNIX_EPOCH });
        let exited = object(&record);
        assert_eq!(exited["status"]["state"], "exited");
        assert_eq!(exited["status"]["exitCode"], 3);
    }
}
