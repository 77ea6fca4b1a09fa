//! `GET /containerLogs/...`: a container's log file, from where it is wanted, and on as it grows.

// upstream: pkg/kubelet/kubelet.go (GetKubeletContainerLogs, validateContainerLogStatus)

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use tokio::sync::{mpsc, watch};

use super::log_options::{LogOptions, tail_start};
use super::{Query, Refusal, Shared};
use crate::kubelet::logs::Progress;
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
    let reader = Reader::open(path, options).map_err(|error| Refusal::internal(format!("failed to open log file: {error}")))?;
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(reader.send(sender, progress));
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
    Ok(([("content-type", "text/plain")], body).into_response())
}

type Growth = Option<watch::Receiver<Progress>>;

async fn locate(node: &Node, namespace: &str, name: &str, container: &str, previous: bool) -> Result<(PathBuf, Growth), Refusal> {
    let entry = if previous { node.records.find_previous(namespace, name, container) } else { node.records.find(namespace, name, None, container) };
    if let Some(Entry { record, io, .. }) = entry {
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

/// Reads a log file to its end, and again as it grows, through rotations.
struct Reader {
    path: PathBuf,
    file: File,
    options: LogOptions,
    rest: Vec<u8>,
    left: Option<usize>,
}

impl Reader {
    fn open(path: PathBuf, options: LogOptions) -> io::Result<Reader> {
        let file = File::open(&path)?;
        Ok(Reader { path, file, left: options.limit, options, rest: Vec::new() })
    }

    async fn send(mut self, sender: mpsc::Sender<io::Result<Bytes>>, mut growth: Growth) {
        let mut first = true;
        loop {
            // What is complete now has been read after the next read.
            let complete = match &mut growth {
                Some(growth) => growth.borrow_and_update().complete,
                None => true,
            };
            let read = self.read(std::mem::take(&mut first));
            let shown = match read {
                Ok(shown) => shown,
                Err(error) => {
                    drop(sender.send(Err(error)).await);
                    return;
                }
            };
            if !shown.is_empty() && sender.send(Ok(Bytes::from(shown))).await.is_err() {
                return;
            }
            if self.left == Some(0) || !self.options.follow || complete {
                return;
            }
            let Some(growth) = &mut growth else { return };
            tokio::select! {
                changed = growth.changed() => if changed.is_err() {
                    return;
                },
                () = sender.closed() => return,
            }
        }
    }

    /// Everything new, as it is shown.
    fn read(&mut self, first: bool) -> io::Result<Vec<u8>> {
        let mut bytes = std::mem::take(&mut self.rest);
        self.file.read_to_end(&mut bytes)?;
        if !first && self.rotated() {
            self.file = File::open(&self.path)?;
            self.file.read_to_end(&mut bytes)?;
        }
        if first && let Some(lines) = self.options.tail {
            bytes.drain(..tail_start(&bytes, lines));
        }
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.rest = bytes.split_off(complete);
        let mut shown = Vec::new();
        for line in bytes.split(|byte| *byte == b'\n') {
            shown.extend(self.options.show(line).unwrap_or_default());
        }
        if let Some(left) = &mut self.left {
            shown.truncate(*left);
            *left -= shown.len();
        }
        Ok(shown)
    }

    fn rotated(&self) -> bool {
        let inode = |metadata: io::Result<std::fs::Metadata>| metadata.map(|metadata| metadata.ino()).ok();
        let now = inode(std::fs::metadata(&self.path));
        now.is_some() && now != inode(self.file.metadata())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_followed_log_ends_with_its_container() {
        let directory = std::env::temp_dir().join(format!("drydock-follow-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("0.log");
        std::fs::write(&path, "2026-01-01T00:00:00Z stdout F one\n").unwrap();
        let (grown, growth) = watch::channel(Progress::default());
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let (sender, mut receiver) = mpsc::channel(4);
        let task = tokio::spawn(Reader::open(path.clone(), options).unwrap().send(sender, Some(growth)));
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "one\n");
        std::fs::rename(&path, directory.join("0.log.old")).unwrap();
        std::fs::write(&path, "2026-01-01T00:00:01Z stdout F two\n").unwrap();
        grown.send_replace(Progress { chunks: 1, complete: true });
        assert_eq!(receiver.recv().await.unwrap().unwrap(), "two\n");
        assert!(receiver.recv().await.is_none());
        task.await.unwrap();
        assert_eq!(newest(&directory).unwrap(), path);
        std::fs::remove_dir_all(directory).unwrap();
    }

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
