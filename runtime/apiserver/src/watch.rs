//! Watches: the state or a revision to start from, then every change that the selection sees, as JSON lines.
//!
//! An object that begins to match is ADDED, one that ceases to is DELETED with the state it had when it last matched and the revision of the
//! change. upstream: staging/src/k8s.io/apiserver/pkg/storage/cacher/{cacher.go,cache_watcher.go}, pkg/endpoints/handlers/watch.go

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drydock_api::field_error::FieldError;
use drydock_api::registry::Resource;
use drydock_api::status::Status;
use drydock_api::table::{self, Headers, Include};
use drydock_primitives::clock::Sleep;
use drydock_store::{Event, Revision, Watch};
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::audit::{OpenStream, StreamVerb};
use crate::body::{self, Body, BoxError};
use crate::call::Call;
use crate::config::Config;
use crate::read::{Selection, resource_version};
use crate::respond::{self, Shape, Transformable};
use crate::{ApiServer, storage, streams};

const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);
const MIN_TIMEOUT_SECONDS: u64 = 1800;
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// How a watch begins.
enum Start {
    /// With what is there now.
    State,
    /// With what is there now, and a bookmark at its end.
    StateThenBookmark,
    /// With what comes after a revision.
    After(Revision),
}

/// Answers a watch.
pub(crate) fn watch(call: &Call, row: &Arc<Resource>) -> Result<Response<Body>, Status> {
    let accepted = respond::negotiate(call, Transformable::Yes)?;
    let selection = Selection::of(call, row)?;
    let prefix = match (row.is_namespaced(), call.info.name.as_str()) {
        (false, name) if !name.is_empty() => row.key(None, name),
        _ => row.prefix(call.namespace()),
    };
    let timeout = timeout(call)?;
    let bookmarks = call.info.flag("allowWatchBookmarks");
    let mut pending = VecDeque::new();
    let store = &call.server.config().store;
    let start = start(call)?;
    let from = match start {
        Start::After(revision) => revision,
        Start::State | Start::StateThenBookmark => {
            let snapshot = store.snapshot();
            for (_, entry) in snapshot.range(&prefix) {
                let object = storage::decode(row, &entry.bytes, entry.revision)?;
                if selection.matches(row, &object) {
                    pending.push_back(Change { kind: "ADDED", object });
                }
            }
            if matches!(start, Start::StateThenBookmark) && bookmarks {
                let mut mark = bookmark_change(row, snapshot.revision());
                mark.object["metadata"]["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
                pending.push_back(mark);
            }
            snapshot.revision()
        }
    };
    let watch = match store.watch(&prefix, from) {
        Ok(watch) => Some(watch),
        Err(compacted) => {
            let status = Status::too_old(compacted.asked.0, compacted.oldest.0);
            pending.push_back(Change { kind: "ERROR", object: status.to_value() });
            None
        }
    };
    let clock = &call.server.config().clock;
    let feed = Feed {
        server: call.server.clone(),
        row: Arc::clone(row),
        selection,
        pending,
        watch,
        shape: accepted.shape,
        include: respond::include(call)?,
        headers: Headers::Full,
        deadline: clock.sleep(timeout),
        bookmark: bookmarks.then(|| clock.sleep(BOOKMARK_PERIOD)),
        stream: streams::open(call, StreamVerb::Watch, ""),
    };
    let lines = futures::stream::unfold(feed, |mut feed| async move {
        let line = feed.next_line().await?;
        Some((Ok::<Bytes, BoxError>(line), feed))
    });
    Response::builder()
        .status(StatusCode::OK)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body::stream(lines))
        .map_err(Status::internal)
}

fn timeout(call: &Call) -> Result<Duration, Status> {
    let seconds = match call.info.parameter("timeoutSeconds") {
        None | Some("" | "0") => MIN_TIMEOUT_SECONDS + rand::random_range(0..MIN_TIMEOUT_SECONDS),
        Some(text) => text.parse().map_err(|_parse| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))?,
    };
    Ok(Duration::from_secs(seconds))
}

/// upstream: staging/src/k8s.io/apimachinery/pkg/apis/meta/internalversion/validation/validation.go
fn start(call: &Call) -> Result<Start, Status> {
    let asked = resource_version(call)?;
    let matching = call.info.parameter("resourceVersionMatch").unwrap_or_default();
    let refuse = |field: &str, detail: &str| Status::invalid_as("meta.k8s.io", "ListOptions", "", &[FieldError::forbidden(field, detail)]);
    if let Some(initial) = call.info.parameter("sendInitialEvents").filter(|value| !value.is_empty()) {
        if matching != "NotOlderThan" {
            return Err(refuse("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        }
        return Ok(match (initial, asked) {
            ("true" | "1", _) => Start::StateThenBookmark,
            (_, None | Some(0)) => Start::After(call.server.config().store.revision()),
            (_, Some(asked)) => Start::After(Revision(asked)),
        });
    }
    if !matching.is_empty() {
        return Err(refuse("resourceVersionMatch", "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
    }
    Ok(match asked {
        None | Some(0) => Start::State,
        Some(asked) => Start::After(Revision(asked)),
    })
}

struct Change {
    kind: &'static str,
    object: Value,
}

/// The line of an object as it is stored, when that is what the client wants.
fn stored_line(row: &Resource, kind: &str, shape: Shape, bytes: &Bytes, revision: Revision) -> Option<Bytes> {
    let mut line = Vec::with_capacity(bytes.len() + 160);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    let copied = match shape {
        Shape::Whole => storage::splice(row, bytes, revision, &mut line),
        Shape::Partial => storage::splice_metadata(row, bytes, revision, &mut line),
        Shape::Table => false,
    };
    copied.then(|| {
        line.extend_from_slice(b"}\n");
        line.into()
    })
}

fn bookmark_change(row: &Resource, revision: Revision) -> Change {
    let object = json!({"kind": row.kind, "apiVersion": row.api_version(), "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null}});
    Change { kind: "BOOKMARK", object }
}

/// What a change looks like to a selection.
fn seen(row: &Resource, selection: &Selection, event: &Event) -> Result<Option<Change>, Status> {
    let possible = |bytes: &&Bytes| selection.may_match(bytes);
    let decode = |bytes: &Option<Bytes>| bytes.as_ref().filter(possible).map(|bytes| storage::decode(row, bytes, event.revision)).transpose();
    let new = decode(&event.new)?.filter(|object| selection.matches(row, object));
    // Without a selection the old value only matters when it is all there is.
    if selection.is_everything()
        && let Some(object) = new
    {
        let kind = if event.old.is_some() { "MODIFIED" } else { "ADDED" };
        return Ok(Some(Change { kind, object }));
    }
    let old = decode(&event.old)?.filter(|object| selection.matches(row, object));
    Ok(match (old, new) {
        (None, Some(object)) => Some(Change { kind: "ADDED", object }),
        (Some(_), Some(object)) => Some(Change { kind: "MODIFIED", object }),
        (Some(object), None) => Some(Change { kind: "DELETED", object }),
        (None, None) => None,
    })
}

/// One open watch.
struct Feed {
    server: ApiServer,
    row: Arc<Resource>,
    selection: Selection,
    pending: VecDeque<Change>,
    watch: Option<Watch>,
    shape: Shape,
    include: Include,
    headers: Headers,
    deadline: Sleep,
    bookmark: Option<Sleep>,
    stream: OpenStream,
}

impl Feed {
    /// The next line, `None` at the end.
    async fn next_line(&mut self) -> Option<Bytes> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                let line = self.encode(change);
                self.stream.counters.add_out(line.len());
                return Some(line);
            }
            let watch = self.watch.as_mut()?;
            let bookmark = self.bookmark.as_mut();
            let bookmark_due = async {
                match bookmark {
                    Some(sleep) => sleep.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                event = watch.next() => {
                    let event = event?;
                    if let Some(line) = self.copied(&event) {
                        self.stream.counters.add_out(line.len());
                        return Some(line);
                    }
                    match seen(&self.row, &self.selection, &event) {
                        Ok(Some(change)) => {
                            if let Some(line) = self.copied_change(&change, &event) {
                                self.stream.counters.add_out(line.len());
                                return Some(line);
                            }
                            self.pending.push_back(change);
                        }
                        Ok(None) => {}
                        Err(status) => {
                            self.watch = None;
                            self.pending.push_back(Change { kind: "ERROR", object: status.to_value() });
                        }
                    }
                }
                () = &mut self.deadline => return None,
                () = bookmark_due => {
                    self.bookmark = Some(self.config().clock.sleep(BOOKMARK_PERIOD));
                    if let Some(revision) = self.watch.as_ref().and_then(Watch::progress) {
                        self.pending.push_back(bookmark_change(&self.row, revision));
                    }
                }
            }
        }
    }

    /// The line of an event by copying bytes, for clients that want every object.
    fn copied(&self, event: &Event) -> Option<Bytes> {
        if !self.selection.is_everything() {
            return None;
        }
        let (kind, bytes) = match (&event.old, &event.new) {
            (None, Some(new)) => ("ADDED", new),
            (Some(_), Some(new)) => ("MODIFIED", new),
            (Some(old), None) => ("DELETED", old),
            (None, None) => return None,
        };
        stored_line(&self.row, kind, self.shape, bytes, event.revision)
    }

    /// The line of a change that was selected, by copying the bytes it is stored as.
    fn copied_change(&self, change: &Change, event: &Event) -> Option<Bytes> {
        let bytes = if change.kind == "DELETED" { &event.old } else { &event.new };
        stored_line(&self.row, change.kind, self.shape, bytes.as_ref()?, event.revision)
    }

    fn config(&self) -> &Config {
        self.server.config()
    }

    fn encode(&mut self, change: Change) -> Bytes {
        let Change { kind, object } = change;
        let object = match self.shape {
            _ if kind == "ERROR" => object,
            Shape::Whole => object,
            Shape::Table if kind == "BOOKMARK" => {
                json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"], "columnDefinitions": [], "rows": []})
            }
            Shape::Table => {
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let headers = std::mem::replace(&mut self.headers, Headers::Omitted);
                table::render(&self.row, &[object], metadata, self.include, headers, self.config().clock.now())
            }
            Shape::Partial => table::partial(&object),
        };
        let mut line = json!({"type": kind, "object": object}).to_string();
        line.push('\n');
        line.into()
    }
}

