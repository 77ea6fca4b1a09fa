//! `GET /containerLogs/...`: a container's log file, from where it is wanted, and on as it grows.

// upstream: pkg/kubelet/kubelet.go (GetKubeletContainerLogs, validateContainerLogStatus)

use std::io;
use std::path::{Path as FilePath, PathBuf};

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::sync::mpsc;

use super::log_options::LogOptions;
use super::{Query, Refusal, Shared};
use crate::kubelet::log_reader::{Growth, LogReader};
use crate::kubelet::node::Node;
use crate::kubelet::records::Entry;
use crate::kubelet::state::uid;

pub(super) async fn serve(
    State(node): Shared,
    Path((namespace, name, container)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let options = LogOptions::parse(&Query::parse(query.as_deref()), Timestamp::now())?;
    let (path, progress) = locate(&node, &namespace, &name, &container, options.previous).await?;
    let reader = LogReader::open(path).map_err(|error| Refusal::internal(format!("failed to open log file: {error}")))?;
    let lines = reader.spawn(options.tail, options.follow, progress);
    let body = Body::from_stream(stream::unfold((lines, options.limit), move |(lines, left)| next(lines, left, options.clone())));
    Ok(([("content-type", "text/plain")], body).into_response())
}

type Lines = mpsc::Receiver<io::Result<Vec<u8>>>;

/// The next piece as it is shown, and how many bytes may follow it.
async fn next(mut lines: Lines, left: Option<usize>, options: LogOptions) -> Option<(io::Result<Bytes>, (Lines, Option<usize>))> {
    loop {
        if left == Some(0) {
            return None;
        }
        let piece = match lines.recv().await? {
            Ok(piece) => piece,
            Err(error) => return Some((Err(error), (lines, Some(0)))),
        };
        let mut shown: Vec<u8> = piece.split(|byte| *byte == b'\n').filter_map(|line| options.show(line)).flatten().collect();
        if shown.is_empty() {
            continue;
        }
        shown.truncate(left.unwrap_or(usize::MAX));
        let left = left.map(|left| left - shown.len());
        return Some((Ok(Bytes::from(shown)), (lines, left)));
    }
}

async fn locate(node: &Node, namespace: &str, name: &str, container: &str, previous: bool) -> Result<(PathBuf, Growth), Refusal> {
    let entry = if previous { node.records.find_previous(namespace, name, container) } else { node.records.find(namespace, name, None, container) };
    // It is known a moment before it is started, and its log is there from then on.
    if let Some(Entry { record, io, .. }) = entry.filter(|entry| entry.record.log_path.exists()) {
        return Ok((record.log_path, io.map(|io| io.progress())));
    }
    let pod = super::pod(node, namespace, name).await?;
    if previous {
        return Err(Refusal::bad(format!("previous terminated container \"{container}\" in pod \"{name}\" not found")));
    }
    // Its record went with a former kubelet or with its sandbox, its log did not.
    let directory = node.pod_logs(namespace, name, uid(&pod)).join(container);
    match newest(&directory) {
        Some(path) => Ok((path, None)),
        None => Err(not_started(&pod, name, container)),
    }
}

fn newest(directory: &FilePath) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse::<u32>().ok());
    numbers.max().map(|number| directory.join(format!("{number}.log")))
}

fn not_started(pod: &Pod, name: &str, container: &str) -> Refusal {
    let status = pod.status.clone().unwrap_or_default();
    let all = [status.init_container_statuses, status.container_statuses, status.ephemeral_container_statuses];
    let found: Option<ContainerStatus> = all.into_iter().flatten().flatten().find(|status| status.name == container);
    let Some(found) = found else {
        return Refusal::bad(format!("container \"{container}\" in pod \"{name}\" is not available"));
    };
    let place = format!("container \"{container}\" in pod \"{name}\" is");
    let waiting = found.state.and_then(|state| state.waiting).and_then(|waiting| waiting.reason);
    Refusal::bad(match waiting.as_deref() {
        Some("ErrImagePull") => format!("{place} waiting to start: image can't be pulled"),
        Some("ImagePullBackOff") => format!("{place} waiting to start: trying and failing to pull image"),
        Some(reason) => format!("{place} waiting to start: {reason}"),
        None => format!("{place} waiting to start - no logs yet"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_waits_says_for_what() {
        for (reason, expected) in [
            ("ContainerCreating", "container \"c\" in pod \"p\" is waiting to start: ContainerCreating"),
            ("ErrImagePull", "container \"c\" in pod \"p\" is waiting to start: image can't be pulled"),
            ("ImagePullBackOff", "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image"),
        ] {
            let pod: Pod = serde_json::from_value(serde_json::json!({
                "status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": reason}}}]},
            })).unwrap();
            assert_eq!(not_started(&pod, "p", "c").1, expected);
        }
    }
}
