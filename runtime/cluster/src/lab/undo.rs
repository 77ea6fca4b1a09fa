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
//!  "spec": {"action": "undo", "revision": "1234", "time": "2026-01-01T09:59:51Z", "snapshot": "", "label": "",
//!           "command": {"name": "command-12", "line": "kubectl delete pod sleep", "session": "1", "startTime": "2026-01-01T09:59:51Z"}},
//!  "status": {"revision": "1301", "millis": 212,
//!             "summary": "Undid `kubectl delete pod sleep`: restored pod/sleep.",
//!             "changes": [{"verb": "restored", "what": "pod/sleep", "group": "", "kind": "Pod", "namespace": "default", "name": "sleep", "owned": false}],
//!             "files": [{"verb": "changed back", "where": "workstation", "path": "/home/learner/ch02/pod.yaml"}],
//!             "notes": ["node-1: /data/pgdata/base.db (212 MB) is too large to be taken back; it stays as it is"]}}
//! ```
//! * `action` is `undo`, `restore`, `reset` or `skip` (which has `duration` in place of `time`). `command` is null when what is undone was
//!   not typed in a terminal. Undo after undo goes further back; what is done after an undo is undone first.
//! * `verb` is `restored` (it was gone), `deleted` (it was new), `changed back` (it was changed) or `restarted` (a Pod whose containers are new).
//! * `owned`: it belongs to another object (a ReplicaSet's Pod), so a page may fold it away. Events and mere status are not listed.
//! * `summary` and `notes` are whole sentences for a page; `notes` says what could not be taken back.

use std::time::Duration;

use drydock_apiserver::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use super::{Answer, Query, Refusal, done, json_response, read_body};
use crate::control_plane::Plant;
use crate::undo::UndoError;

/// The longest skip.
const MAX_SKIP: Duration = Duration::from_secs(720 * 3600);

impl From<UndoError> for Refusal {
    fn from(error: UndoError) -> Refusal {
        let (code, reason) = match &error {
            UndoError::NoSnapshot(_) | UndoError::Nothing => (StatusCode::NOT_FOUND, "NotFound"),
            UndoError::Taken(_) => (StatusCode::CONFLICT, "AlreadyExists"),
            UndoError::Pristine | UndoError::TooMany => (StatusCode::FORBIDDEN, "Forbidden"),
            UndoError::Forgotten(_) => (StatusCode::GONE, "Expired"),
            UndoError::Future(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            UndoError::Commit(_) | UndoError::Files(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        };
        Refusal::new(code, reason, error.to_string())
    }
}

/// Answer one of the requests above.
pub(super) async fn answer(plant: &Plant, segments: &[&str], query: &Query, request: Request<Body>) -> Answer {
    let rewind = plant.rewind();
    let method = request.method().clone();
    let answer = match (&method, segments) {
        (&Method::GET, ["undo"]) => rewind.next(plant)?,
        (&Method::POST, ["undo"]) => rewind.undo(plant).await?,
        (&Method::GET, ["snapshots"]) => rewind.snapshots(plant),
        (&Method::POST, ["snapshots"]) => return create(plant, request).await,
        (&Method::GET, ["snapshots", name]) => rewind.snapshot(plant, name)?,
        (&Method::DELETE, ["snapshots", name]) => {
            rewind.delete(plant, name)?;
            return Ok(done());
        }
        (&Method::POST, ["snapshots", name, "restore"]) => rewind.restore(plant, name).await?,
        (&Method::POST, ["restore"]) => {
            let spec = spec(request).await?;
            let revision = spec["revision"].as_u64().or_else(|| spec["revision"].as_str()?.parse().ok());
            rewind.restore_revision(plant, revision.ok_or_else(|| Refusal::bad_request("spec.revision is no revision"))?).await?
        }
        (&Method::POST, ["reset"]) => rewind.reset(plant).await?,
        (&Method::POST, ["skip"]) => {
            let spec = spec(request).await?;
            let text = spec["duration"].as_str().or_else(|| query.get("duration")).unwrap_or_default();
            let by = duration(text).filter(|by| (Duration::from_secs(1)..=MAX_SKIP).contains(by));
            rewind.skip(plant, by.ok_or_else(|| Refusal::bad_request(format!("spec.duration {text:?}: want 1s to 720h, as 30s, 5m or 1h30m")))?).await?
        }
        _ => return Err(Refusal::not_found(format!("the lab API has no {:?}", segments.join("/")))),
    };
    Ok(json_response(&answer))
}

async fn create(plant: &Plant, request: Request<Body>) -> Answer {
    let spec = spec(request).await?;
    let name = spec["name"].as_str().filter(|name| !name.is_empty());
    let fits = |name: &str| name.len() <= 253 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'));
    if let Some(name) = name.filter(|name| !fits(name)) {
        return Err(Refusal::bad_request(format!("spec.name {name:?}: lower-case letters, digits, '-' and '.' only")));
    }
    let label = spec["label"].as_str().unwrap_or_default();
    let object = plant.rewind().create(plant, name, label, spec["replace"] == true).await?;
    let mut response = json_response(&object);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// The `spec` of a request's body; an empty body has none.
async fn spec(request: Request<Body>) -> Result<Value, Refusal> {
    let body = read_body(request).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    let mut body: Value = serde_json::from_slice(&body).map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok(body["spec"].take())
}

/// A duration as Go reads it, in hours, minutes and seconds.
fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, unit) = rest.split_at(end);
        let factor = match unit.chars().next()? {
            'h' => 3600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok().filter(|number| *number >= 0.0)? * factor;
        rest = &unit[1..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, wanted) in [("5m", Some(300)), ("1h30m", Some(5400)), ("90s", Some(90)), ("1.5m", Some(90)), ("5", None), ("m", None), ("-5m", None), ("5d", None)] {
            assert_eq!(duration(text), wanted.map(Duration::from_secs), "{text}");
        }
    }
}
