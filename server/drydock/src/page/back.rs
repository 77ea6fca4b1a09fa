//! The ways back of the lab API: undo, snapshots, restore, reset, skip. Their contract is the header of `cluster::lab::undo`.

use std::sync::Arc;
use std::time::Duration;

use drydock_checks::world::Point;
use drydock_web::workbench::{Changed, Restored};
use futures::{AsyncBufReadExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::exec::{LAB, sentence};

/// The snapshot right after the first boot.
const PRISTINE: &str = "pristine";
/// How the snapshots of chapters as they were left begin.
const SCENE: &str = "scene-";
/// Before the stream of what was restored is asked for again.
const PAUSE: Duration = Duration::from_millis(500);

/// The ways back of one cluster.
pub(crate) struct Back {
    client: kube::Client,
    news: broadcast::Sender<Arc<Restored>>,
}

impl Back {
    /// Through this client; tells what was restored for as long as somebody may listen.
    pub(crate) fn follow(client: kube::Client) -> Back {
        let news = broadcast::Sender::new(16);
        tokio::spawn(tell(client.clone(), news.clone()));
        Back { client, news }
    }

    /// What is restored from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Restored>> {
        self.news.subscribe()
    }

    async fn ask(&self, method: http::Method, path: &str, body: Value) -> Result<Value, kube::Error> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(format!("{LAB}/{path}")).header("content-type", "application/json").body(body);
        self.client.request(request.map_err(kube::Error::HttpError)?).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.ask(http::Method::POST, path, body).await.map_err(|error| told(error))
    }

    /// `None` where the lab has nothing of the kind.
    async fn maybe(&self, method: http::Method, path: &str) -> Result<Option<Value>, String> {
        match self.ask(method, path, Value::Null).await {
            Ok(found) => Ok(Some(found)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(told(error)),
        }
    }

    /// What the next undo takes back.
    pub(crate) async fn undoable(&self) -> Result<Option<Restored>, String> {
        Ok(self.maybe(http::Method::GET, "undo").await?.as_ref().map(restored))
    }

    /// Undo: what was undone, and the point that is now again.
    pub(crate) async fn undo(&self) -> Result<Option<(Restored, Option<Point>)>, String> {
        Ok(self.maybe(http::Method::POST, "undo").await?.map(|answer| (restored(&answer), point(&answer))))
    }

    /// Let time pass.
    pub(crate) async fn skip(&self, duration: &str) -> Result<Restored, String> {
        self.post("skip", json!({"spec": {"duration": duration}})).await.map(|answer| restored(&answer))
    }

    /// Everything as after the first boot.
    pub(crate) async fn reset(&self) -> Result<(), String> {
        self.post("reset", json!({})).await.map(drop).map_err(|why| format!("The cluster could not be reset: {why}. Try again, or start drydock anew."))
    }

    /// Back to a snapshot: the point that is now again.
    pub(crate) async fn restore(&self, name: &str) -> Result<Option<Point>, String> {
        self.post(&format!("snapshots/{name}/restore"), json!({})).await.map(|answer| point(&answer))
    }

    /// A snapshot of now.
    pub(crate) async fn mark(&self, name: &str, label: &str) -> Result<(), String> {
        self.post("snapshots", json!({"spec": {"name": name, "label": label, "replace": true}})).await.map(drop)
    }

    /// Keep the scene of a chapter.
    pub(crate) async fn keep_scene(&self, chapter: &str) -> Result<(), String> {
        self.mark(&format!("{SCENE}{chapter}"), &format!("Chapter {chapter} as it was left")).await
    }

    /// Set up the scene of a chapter: as it was kept, else as after the first boot.
    pub(crate) async fn show_scene(&self, chapter: &str) -> Result<(), String> {
        let name = format!("{SCENE}{chapter}");
        let known = self.maybe(http::Method::GET, &format!("snapshots/{name}")).await?;
        self.restore(known.map_or(PRISTINE, |_| &name)).await.map(drop)
    }
}

fn told(error: kube::Error) -> String {
    format!("{:#}", sentence(error))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where a `Restoration` went to.
fn point(answer: &Value) -> Option<Point> {
    let spec = &answer["spec"];
    Some(Point { revision: spec["revision"].as_str()?.parse().ok()?, time: spec["time"].as_str()?.parse().ok()? })
}

/// A `Restoration` of the lab.
fn restored(answer: &Value) -> Restored {
    let (spec, status) = (&answer["spec"], &answer["status"]);
    let list = |list: &Value, what: &str| -> Vec<Changed> {
        let each = list.as_array().into_iter().flatten();
        each.map(|one| Changed { verb: text(&one["verb"]), what: text(&one[what]), kind: text(&one["kind"]), owned: one["owned"] == true }).collect()
    };
    // Only a change of chapters goes back to one of these.
    let snapshot = spec["snapshot"].as_str().unwrap_or_default();
    let scene = spec["action"] == "restore" && (snapshot == PRISTINE || snapshot.starts_with(SCENE));
    Restored {
        name: text(&answer["metadata"]["name"]),
        action: if scene { "scene".to_owned() } else { text(&spec["action"]) },
        line: spec["command"]["line"].as_str().map(str::to_owned),
        summary: text(&status["summary"]),
        changes: list(&status["changes"], "what"),
        files: list(&status["files"], "path"),
        notes: status["notes"].as_array().into_iter().flatten().map(text).collect(),
        reopened: Vec::new(),
        millis: status["millis"].as_u64().unwrap_or(0),
    }
}

/// Follow what is restored, here or in a terminal; ends with the last listener's sender.
async fn tell(client: kube::Client, news: broadcast::Sender<Arc<Restored>>) {
    loop {
        if let Err(error) = listen(&client, &news).await {
            tracing::debug!(%error, "restorations");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(client: &kube::Client, news: &broadcast::Sender<Arc<Restored>>) -> anyhow::Result<()> {
    let known: Value = client.request(http::Request::get(format!("{LAB}/restorations")).body(Vec::new())?).await?;
    let mut seen: std::collections::BTreeSet<String> = known["items"].as_array().into_iter().flatten().map(|one| text(&one["metadata"]["name"])).collect();
    let stream = client.request_stream(http::Request::get(format!("{LAB}/restorations?watch=true")).body(Vec::new())?).await?;
    let mut lines = std::pin::pin!(stream.lines());
    while let Some(line) = lines.try_next().await? {
        let event: Value = serde_json::from_str(&line)?;
        let restored = restored(&event["object"]);
        if seen.insert(restored.name.clone()) {
            // Nobody looks at the page now: it is in the cluster all the same.
            news.send(Arc::new(restored)).unwrap_or_default();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restoration_is_read_as_its_contract_says() {
        let answer = json!({
            "metadata": {"name": "restoration-4"},
            "spec": {"action": "undo", "command": {"line": "kubectl delete pod sleep"}},
            "status": {"millis": 212, "summary": "Undid it.", "notes": ["A note."],
                "changes": [{"verb": "restored", "what": "pod/sleep", "kind": "Pod", "owned": true}],
                "files": [{"verb": "changed back", "where": "workstation", "path": "/home/learner/a"}]},
        });
        let read = restored(&answer);
        assert_eq!((read.line.as_deref(), read.millis), (Some("kubectl delete pod sleep"), 212));
        assert_eq!(read.changes, [Changed { verb: "restored".into(), what: "pod/sleep".into(), kind: "Pod".into(), owned: true }]);
        assert_eq!(read.files[0].what, "/home/learner/a");
        assert_eq!(restored(&json!({"spec": {"command": null}})).line, None);
        for (action, snapshot, wanted) in [("restore", "scene-ch03", "scene"), ("restore", "pristine", "scene"), ("restore", "begin-ch03-a", "restore"), ("reset", "pristine", "reset")] {
            assert_eq!(restored(&json!({"spec": {"action": action, "snapshot": snapshot}})).action, wanted);
        }
        let to = point(&json!({"spec": {"revision": "12", "time": "2026-01-01T09:59:51Z"}})).unwrap();
        assert_eq!(to, Point { revision: 12, time: "2026-01-01T09:59:51Z".parse().unwrap() });
    }
}
