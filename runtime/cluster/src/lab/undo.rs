//! Undo: snapshots, restore, undo of the last command, reset, skip. This header is the contract.
//!
//! Paths are below `/apis/lab.drydock.internal/v1alpha1`; bodies and answers are JSON; a refusal is a `metav1.Status` with its HTTP code.
//!
//! | Request | Answer |
//! |---|---|
//! | `GET undo` | `200` what the next undo would do: a `Restoration` without `status`; `404` when there is nothing to undo |
//! | `POST undo` | `200` a `Restoration`: the state before the last command that changed the cluster or the workstation's files; `404` when there is none |
//! | `GET snapshots` | `200` a `SnapshotList` |
//! | `POST snapshots {"spec": {"label": "Exercise 3", "name": "exercise-3", "replace": true}}` | `201` a `Snapshot` of now. `name` is optional; a name that is taken is `409` unless `replace` is true |
//! | `GET snapshots/NAME` | `200` the `Snapshot`, `404` |
//! | `DELETE snapshots/NAME` | `200` a `Status`; `403` for `pristine` |
//! | `POST snapshots/NAME/restore` | `200` a `Restoration`; `404` |
//! | `POST restore {"spec": {"revision": "1234"}}` | `200` a `Restoration`: the state right after that revision (an exercise's baseline, say); `410` when it is older than what is kept |
//! | `POST reset` | `200` a `Restoration`: everything as after the first boot, the home and `/tmp` included. Older evidence and undo points go |
//! | `POST skip {"spec": {"duration": "5m"}}` | `200` a `Restoration`: every date-time in metadata, status and Events is five minutes older. Go durations, 1 s to 720 h; `400` otherwise |
//! | `GET restorations [?watch=true]` | all of these as they happened: a list, or JSON lines as for `commands`. What the page did not start itself (`lab undo`) it sees here |
//!
//! A `Snapshot` is `{metadata: {name, creationTimestamp}, spec: {label}, status: {revision}}`; `pristine` is the one right after the first boot.
//! It holds what it needs by itself: neither compaction nor a restart nor kill -9 takes it away.
//!
//! A `Restoration` is
//! ```json
//! {"metadata": {"name": "restoration-4", "resourceVersion": "1301", "creationTimestamp": "2026-01-01T10:00:00Z"},
//!  "spec": {"action": "undo", "revision": "1234", "snapshot": "", "label": "",
//!           "command": {"name": "command-12", "line": "kubectl delete pod sleep", "session": "1", "startTime": "2026-01-01T09:59:51Z"}},
//!  "status": {"revision": "1301", "millis": 212,
//!             "summary": "Undid `kubectl delete pod sleep`: restored pod/sleep.",
//!             "changes": [{"verb": "restored", "what": "pod/sleep", "group": "", "kind": "Pod", "namespace": "default", "name": "sleep", "owned": false}],
//!             "files": [{"verb": "changed back", "where": "workstation", "path": "/home/learner/ch02/pod.yaml"}],
//!             "notes": ["node-1: /data/pgdata/base.db (212 MB) is too large to be taken back; it stays as it is"]}}
//! ```
//! * `action` is `undo`, `restore`, `reset` or `skip`. `command` is null when what is undone was not typed in a terminal.
//! * `verb` is `restored` (it was gone), `deleted` (it was new), `changed back` (it was changed) or `restarted` (a Pod whose containers are new).
//! * `owned`: it belongs to another object (a ReplicaSet's Pod), so a page may fold it away. Events and mere status are not listed.
//! * `summary` and `notes` are whole sentences for a page; `notes` says what could not be taken back.

use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use drydock_apiserver::body::Body;

use super::{Answer, Query, Refusal, json_response, read_body};
use crate::control_plane::Plant;
use crate::evidence::API_VERSION;

/// Answer one of the requests above.
pub(super) async fn answer(plant: &Plant, segments: &[&str], query: &Query, request: Request<Body>) -> Answer {
    let method = request.method().clone();
    match (&method, segments) {
        (&Method::GET, ["snapshots"]) => Ok(json_response(&plant.snapshots().list())),
        (&Method::POST, ["snapshots"]) => create(plant, request).await,
        (&Method::POST, ["snapshots", name, "restore"]) => {
            restored(plant, "restore", name, plant.restore(name).await.map_err(Refusal::not_found))
        }
        (&Method::POST, ["reset"]) => restored(plant, "reset", "pristine", plant.reset().await.map_err(Refusal::internal)),
        (_, ["undo" | "skip" | "restore"]) => {
            let what = query.get("duration").unwrap_or_default();
            Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", format!("not yet {what}")))
        }
        _ => Err(Refusal::not_found(format!("the lab API has no {:?}", segments.join("/")))),
    }
}

async fn create(plant: &Plant, request: Request<Body>) -> Answer {
    let body: Value = serde_json::from_slice(&read_body(request).await?).map_err(|error| Refusal::bad_request(error.to_string()))?;
    let label = body["spec"]["label"].as_str().unwrap_or_default();
    Ok(created(&plant.snapshots().create(label)))
}

fn created(object: &Value) -> Response<Body> {
    let mut response = json_response(object);
    *response.status_mut() = StatusCode::CREATED;
    response
}

fn restored(plant: &Plant, action: &str, name: &str, result: Result<(), Refusal>) -> Answer {
    result?;
    Ok(json_response(&json!({
        "apiVersion": API_VERSION, "kind": "Restoration", "metadata": {"name": "restoration-1"},
        "spec": {"action": action, "snapshot": name},
        "status": {"revision": plant.revision().to_string(), "summary": "", "changes": [], "files": [], "notes": []},
    })))
}
