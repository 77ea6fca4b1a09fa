//! `lab.drydock.internal/v1alpha1`: what only our own cluster can tell and do, mounted as an aggregated API would be.
//!
//! | Path | What |
//! |---|---|
//! | `GET commands, streams, reads, nodecontainers, restorations [?watch=true]` | evidence: a list, or the list and every change as JSON lines |
//! | `GET commands/NAME`, and so on | one piece of evidence |
//! | `GET history?group=&resource=&namespace=&since=REV [&watch=true]` | versions of objects, deletions included, old beside new |
//! | `GET workstations/main/exec?command=&tty=&session=&cwd=&cols=&rows=` | a process in the workstation, web socket `v5.channel.k8s.io` |
//! | `GET workstations/main/dial?host=&port=` | one TCP connection from the workstation, web socket of raw bytes |
//! | `GET, PUT workstations/main/files?path=` | a file of the workstation |
//! | `GET workstations/main/foreground?session=` | what is in front of a terminal |
//! | `GET nodes/NAME/exec?command=&tty=` | a process on a node |
//! | `POST nodes/NAME/poweroff`, `POST nodes/NAME/poweron` | pull a node's plug, put it in again |
//! | `snapshots`, `restore`, `undo`, `reset`, `skip`, `restorations` | the way back, and ahead: the header of `undo.rs` is the contract |

mod history;
mod sockets;
mod undo;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use drydock_apiserver::body::{self, Body};
use drydock_apiserver::{Extension, Identity};
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::control_plane::Plant;
use crate::evidence::{API_VERSION, Kind};
use crate::workstation::{FileError, MAX_FILE};

/// The extension.
pub(crate) struct Lab {
    /// Filled once the API server, which the plant holds, exists.
    plant: Arc<OnceLock<Arc<Plant>>>,
}

/// A refusal in the words of a `metav1.Status`.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into() }
    }

    fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    fn not_found(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    fn internal(error: impl std::fmt::Display) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", error.to_string())
    }
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Refusal {
        let (code, reason) = match &error {
            FileError::NotRegular(_) | FileError::Refused(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            FileError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            FileError::TooSlow(_) => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            FileError::Io(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        };
        Refusal::new(code, reason, error.to_string())
    }
}

type Answer = Result<Response<Body>, Refusal>;

impl Lab {
    /// Serve the lab API of this cluster.
    pub(crate) fn new(plant: Arc<OnceLock<Arc<Plant>>>) -> Lab {
        Lab { plant }
    }
}

impl Extension for Lab {
    fn group(&self) -> &str {
        "lab.drydock.internal"
    }

    fn version(&self) -> &str {
        "v1alpha1"
    }

    fn resources(&self) -> Vec<Value> {
        let row = |name: &str, kind: &str, verbs: &[&str]| json!({"name": name, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind, "verbs": verbs});
        let mut rows: Vec<Value> = Kind::ALL.iter().map(|kind| row(kind.plural(), kind.kind(), &["get", "list", "watch"])).collect();
        rows.push(row("snapshots", "Snapshot", &["create", "list"]));
        rows
    }

    fn call(&self, request: Request<Body>, identity: Identity) -> BoxFuture<'static, Response<Body>> {
        let plant = self.plant.get().cloned();
        async move {
            let Some(plant) = plant else {
                return refuse(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "the cluster is booting"));
            };
            if !identity.is_in(drydock_apiserver::identity::MASTERS) {
                return refuse(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", format!("user {:?} may not use the lab", identity.user)));
            }
            route(&plant, request).await.unwrap_or_else(refuse)
        }
        .boxed()
    }
}

async fn route(plant: &Arc<Plant>, request: Request<Body>) -> Answer {
    let path = request.uri().path().trim_start_matches("/apis/lab.drydock.internal/v1alpha1").trim_matches('/').to_owned();
    let query = Query::of(&request);
    let segments: Vec<&str> = path.split('/').collect();
    match (request.method(), &segments[..]) {
        (&Method::GET, ["history"]) => history::answer(plant, &query),
        (_, ["snapshots" | "restore" | "undo" | "reset" | "skip", ..]) => undo::answer(plant, &segments, &query, request).await,
        (&Method::GET, [plural]) => evidence(plant, plural, &query),
        (&Method::GET, [plural, name]) if Kind::from_plural(plural).is_some() => record(plant, plural, name),
        (_, ["workstations", "main", what]) => workstation(plant, what, &query, request).await,
        (&Method::GET, ["nodes", node, "exec"]) => sockets::node_exec(plant, node, &query, request).await,
        (&Method::POST, ["nodes", node, "poweroff"]) => plant.power_off(node).await.map(|()| done()).map_err(Refusal::not_found),
        (&Method::POST, ["nodes", node, "poweron"]) => plant.power_on(node).await.map(|()| done()).map_err(Refusal::not_found),
        _ => Err(Refusal::not_found(format!("the lab API has no {path:?}"))),
    }
}

async fn workstation(plant: &Arc<Plant>, what: &str, query: &Query, request: Request<Body>) -> Answer {
    let workstation = plant.workstation().ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "the workstation is still starting"))?;
    let path = || query.get("path").filter(|path| path.starts_with('/')).ok_or_else(|| Refusal::bad_request("path must be absolute"));
    match (request.method(), what) {
        (&Method::GET, "exec") => sockets::exec(workstation, query, request),
        (&Method::GET, "dial") => sockets::dial(workstation, query, request).await,
        (&Method::GET, "files") => match workstation.read_file(path()?).await? {
            Some((contents, mode)) => {
                let mut response = Response::new(body::full(contents));
                if let Ok(mode) = HeaderValue::from_str(&mode) {
                    response.headers_mut().insert("x-drydock-mode", mode);
                }
                Ok(response)
            }
            None => Err(Refusal::not_found(format!("the workstation has no file {}", path()?))),
        },
        (&Method::PUT, "files") => {
            let contents = read_body(request).await?;
            workstation.write_file(path()?, &contents).await?;
            Ok(done())
        }
        (&Method::GET, "foreground") => {
            let session = query.get("session").unwrap_or_default();
            let front = workstation.foreground(session).ok_or_else(|| Refusal::not_found(format!("there is no terminal {session:?}")))?;
            Ok(json_response(&json!({"shell": front.shell, "program": front.program})))
        }
        _ => Err(Refusal::not_found(format!("a workstation has no {what:?}"))),
    }
}

fn record(plant: &Plant, plural: &str, name: &str) -> Answer {
    let missing = || Refusal::not_found(format!("{plural}.lab.drydock.internal {name:?} not found"));
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    let found = Kind::from_plural(plural).and_then(|kind| plant.evidence().get(kind, &name));
    found.map(|record| json_response(&record)).ok_or_else(missing)
}

fn evidence(plant: &Plant, plural: &str, query: &Query) -> Answer {
    let kind = Kind::from_plural(plural).ok_or_else(|| Refusal::not_found(format!("the lab API has no {plural:?}")))?;
    if !query.flag("watch") {
        let items = plant.evidence().list(kind);
        let list = json!({
            "apiVersion": API_VERSION, "kind": format!("{}List", kind.kind()),
            "metadata": {"resourceVersion": plant.revision().to_string()}, "items": items,
        });
        return Ok(json_response(&list));
    }
    let mut followed = plant.evidence().watch(kind);
    let lines = async_stream(move |lines| async move {
        for record in std::mem::take(&mut followed.before) {
            lines.send(json!({"type": "ADDED", "object": record})).await?;
        }
        // The mark between what was and what happens: the reader knows that it has the whole list.
        lines.send(json!({"type": "BOOKMARK", "object": {"kind": kind.kind(), "apiVersion": API_VERSION}})).await?;
        while let Some((word, record)) = followed.next().await {
            lines.send(json!({"type": word, "object": record})).await?;
        }
        Some(())
    });
    Ok(json_lines(lines))
}

/// The sending half of a stream of JSON lines.
pub(crate) struct Lines(tokio::sync::mpsc::Sender<Value>);

impl Lines {
    /// Send a line; `None` when the reader is gone.
    pub(crate) async fn send(&self, line: Value) -> Option<()> {
        self.0.send(line).await.ok()
    }
}

/// A stream of values written by a task that ends with its reader.
fn async_stream<F>(write: impl FnOnce(Lines) -> F) -> impl Stream<Item = Value> + Send + 'static
where
    F: Future<Output = Option<()>> + Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    tokio::spawn(write(Lines(sender)));
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

fn json_lines(lines: impl Stream<Item = Value> + Send + 'static) -> Response<Body> {
    let bytes = lines.map(|line| Ok::<_, Infallible>(Bytes::from(format!("{line}\n"))));
    let mut response = Response::new(body::stream(bytes.map(|line| line.map_err(|never| match never {}))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn json_response(value: &Value) -> Response<Body> {
    let mut response = Response::new(body::full(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn done() -> Response<Body> {
    json_response(&json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}))
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let mut response = json_response(&json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": refusal.message, "reason": refusal.reason, "code": refusal.code.as_u16(),
    }));
    *response.status_mut() = refusal.code;
    response
}

async fn read_body(request: Request<Body>) -> Result<Bytes, Refusal> {
    let mut body = request.into_body();
    let mut contents = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::bad_request(format!("cannot read the body: {error}")))?;
        contents.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if contents.len() > MAX_FILE {
            return Err(Refusal::bad_request(format!("the body is larger than {MAX_FILE} bytes")));
        }
    }
    Ok(contents.freeze())
}

/// The query of a request, decoded.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    fn of<B>(request: &Request<B>) -> Query {
        let decode = |text: &str| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = request.uri().query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Query(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decode(k), decode(v))).collect())
    }

    /// The first value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    /// All values of a key.
    pub(crate) fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(k, _)| k == key).map(|(_, value)| value.clone()).collect()
    }

    /// Whether a key is there and says yes.
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1"))
    }
}
