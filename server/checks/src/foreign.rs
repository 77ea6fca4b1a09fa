//! Following a cluster that is not ours: one that refuses, goes away, comes back and forgets.
//!
//! A kind is listed once. From then on only what changed is told, over every break too: what was seen stays seen. That nothing comes is told
//! when an answer is late ([`LATE`]), and asked for when something was typed ([`knock`]). A kind that may not be
//! listed everywhere is listed in the namespace of the kubeconfig; one that may not be listed there either is left out, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use crate::watch::{self, Place, Reached, Update, number, typed};
use crate::world::{Change, ObjectKey, key_of, revision_of};

/// How long to wait before a request that failed is made again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// How long before what was refused is asked for again.
const REFUSED: Duration = Duration::from_secs(20);
/// How long a watch goes on before the server is to end it: one on a connection that is dead ends by the client's own limit.
const WATCHED: u32 = 240;
/// How long an answer is waited for; nothing else notices a connection that is dead.
const ANSWERED: Duration = Duration::from_secs(30);
/// How long before it is told that there is no answer yet.
const LATE: Duration = Duration::from_secs(5);
/// How long a watch may tell nothing: it should have ended by then.
const SILENT: Duration = Duration::from_secs(WATCHED as u64 + ANSWERED.as_secs());

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The user may not do this.
    Refused,
    /// The kind is not served, or no longer: it may have gone with its definition.
    Unserved,
    /// The cluster does not know this user, or no longer.
    Stranger,
    /// The watch cannot go on from where it was.
    Forgotten,
    /// No answer, or none that can be read.
    Away(String),
    /// Nobody listens to what is found.
    Closed,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Failure {
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Failure::Stranger,
                403 | 405 => Failure::Refused,
                404 => Failure::Unserved,
                410 => Failure::Forgotten,
                _ => Failure::Away(status.message.clone()),
            },
            other => Failure::Away(root(&other)),
        }
    }
}

/// Wait for something, but not for ever.
pub(crate) async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, what).await.map_err(|_| silent(limit))
}

fn silent(limit: Duration) -> Failure {
    Failure::Away(format!("nothing came for {} seconds", limit.as_secs()))
}

/// The innermost cause, which is the one that says something.
fn root(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

impl Failure {
    /// What is wrong with the cluster as a whole, in a sentence.
    fn sentence(&self) -> Option<String> {
        match self {
            Failure::Stranger => Some("Your cluster does not accept the credentials of --kubeconfig (401 Unauthorized); if they have expired, make new ones and start Drydock again.".to_owned()),
            Failure::Away(why) => Some(format!("Your cluster does not answer ({}); checks wait for it.", why.trim_end_matches('.'))),
            Failure::Refused | Failure::Unserved | Failure::Forgotten | Failure::Closed => None,
        }
    }
}

/// What is wrong, as told last, by kind.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    wrong: Arc<Mutex<(BTreeMap<String, String>, Option<String>)>>,
    /// It answers again: connections from before may be dead.
    again: Arc<Notify>,
    news: mpsc::UnboundedSender<Update>,
}

impl Health {
    pub(crate) fn new(news: mpsc::UnboundedSender<Update>) -> Health {
        Health { wrong: Arc::default(), again: Arc::default(), news }
    }

    /// Wait for the answer to a request for a kind, but not for ever; that it is late is told soon.
    pub(crate) async fn wait<T>(&self, kind: &str, limit: Duration, answer: impl Future<Output = T>) -> Result<T, Failure> {
        let mut answer = std::pin::pin!(answer);
        if let Ok(answer) = within(LATE, &mut answer).await {
            return Ok(answer);
        }
        let known = self.wrong.lock().unwrap_or_else(PoisonError::into_inner).0.contains_key(kind);
        if !known {
            self.note(kind, Some(&silent(LATE)));
        }
        tokio::time::timeout(limit.saturating_sub(LATE), answer).await.map_err(|_| silent(limit))
    }

    /// Note how a request for a kind went; tell when that changes what is to be said.
    pub(crate) fn note(&self, kind: &str, failure: Option<&Failure>) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        match failure.and_then(Failure::sentence) {
            Some(sentence) => drop(wrong.0.insert(kind.to_owned(), sentence)),
            None => drop(wrong.0.remove(kind)),
        }
        let now = wrong.0.values().next().cloned();
        if now != wrong.1 {
            wrong.1.clone_from(&now);
            // Whoever listened may have gone.
            self.news.send(Update::Away(now)).unwrap_or_default();
        }
    }
}

/// What is noted of a cluster that is asked whether it is there.
const THERE: &str = "/version";

/// Ask whether the cluster is there whenever something was typed. A watch does not tell: it is as silent on a connection that is dead as in a
/// cluster in which nothing happens.
pub(crate) async fn knock(client: kube::Client, health: Health, typed: Arc<Notify>) {
    loop {
        typed.notified().await;
        let (mut pause, mut failed) = (Pause::new(), false);
        while let Err(failure) = health.wait(THERE, ANSWERED, client.apiserver_version()).await.and_then(|version| Ok(version?)) {
            // Whoever is refused was answered.
            if failure.sentence().is_none() {
                break;
            }
            failed = true;
            health.note(THERE, Some(&failure));
            pause.after(&failure).await;
        }
        health.note(THERE, None);
        if failed {
            health.again.notify_waiters();
        }
    }
}

/// Pauses that grow.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Pause {
        Pause(PAUSES.0)
    }

    /// After this failure.
    pub(crate) async fn after(&mut self, failure: &Failure) {
        let pause = if matches!(failure, Failure::Refused | Failure::Unserved) { REFUSED } else { self.0 };
        self.grow();
        tokio::time::sleep(pause).await;
    }

    /// Before the next list of a kind that may be listed and not watched.
    async fn between_lists(&mut self) {
        let pause = self.0;
        self.grow();
        tokio::time::sleep(pause).await;
    }

    fn grow(&mut self) {
        self.0 = (self.0 * 2).min(PAUSES.1);
    }
}

/// How often a revision is asked for.
const TRIES: usize = 5;

/// The cluster's revision now; what is `known` of it when it does not tell.
pub(crate) async fn revision(client: &kube::Client, known: u64) -> u64 {
    let mut pause = Pause::new();
    let tries = async {
        for _ in 0..TRIES {
            match watch::revision(client).await {
                Ok(revision) => return Some(revision),
                Err(error) => pause.after(&Failure::Away(error)).await,
            }
        }
        None
    };
    within(LATE, tries).await.ok().flatten().unwrap_or_else(|| {
        tracing::debug!(known, "no revision of the learner's cluster");
        known
    })
}

/// One kind of the cluster.
pub(crate) struct Follower {
    pub(crate) client: kube::Client,
    pub(crate) kind: String,
    pub(crate) place: Place,
    pub(crate) reached: Reached,
    pub(crate) health: Health,
    pub(crate) news: mpsc::UnboundedSender<Update>,
}

/// A kind as it was told.
#[derive(Debug, Default)]
struct Told {
    objects: BTreeMap<ObjectKey, Arc<Value>>,
    revision: u64,
}

impl Follower {
    /// Follow it for as long as somebody listens.
    pub(crate) async fn follow(self) {
        let (everywhere, here) = (self.place.path(None), self.place.path(Some(self.client.default_namespace())));
        let mut told: Option<Told> = None;
        let (mut path, mut pause, mut refused) = (&everywhere, Pause::new(), false);
        while !self.news.is_closed() {
            let Err(failure) = self.once(path, &mut told, &mut pause, &mut refused).await else {
                // The server ends a watch now and then; one that ends at once must not be a storm.
                tokio::time::sleep(PAUSES.0).await;
                continue;
            };
            tracing::debug!(kind = self.kind, ?failure, "a kind of the learner's cluster");
            self.health.note(&self.kind, Some(&failure));
            match failure {
                Failure::Closed => return,
                // What was told of all namespaces is not gone because it may not be seen for a while.
                Failure::Refused if self.place.namespaced && *path == everywhere && told.is_none() => {
                    path = &here;
                    continue;
                }
                // It was listed just now: it may be listed and not watched.
                Failure::Refused if let Some(told) = told.as_mut().filter(|told| told.revision != 0) => {
                    told.revision = 0;
                    pause.between_lists().await;
                    continue;
                }
                Failure::Refused => {
                    if told.is_none() {
                        path = &everywhere;
                    }
                    refused = true;
                    if self.news.send(Update::Refused { kind: self.kind.clone() }).is_err() {
                        return;
                    }
                }
                Failure::Unserved => {
                    told.iter_mut().for_each(|told| told.revision = 0);
                    refused = false;
                    if self.news.send(Update::Unserved { kind: self.kind.clone() }).is_err() {
                        return;
                    }
                }
                Failure::Forgotten => told.iter_mut().for_each(|told| told.revision = 0),
                Failure::Stranger | Failure::Away(_) => {}
            }
            pause.after(&failure).await;
        }
    }

    /// List it unless that has been done, then watch it until the watch ends.
    async fn once(&self, path: &str, told: &mut Option<Told>, pause: &mut Pause, refused: &mut bool) -> Result<(), Failure> {
        if told.as_ref().is_none_or(|told| told.revision == 0) {
            self.list(path, told).await?;
            if std::mem::take(refused) {
                self.tell(Update::Seen { kind: self.kind.clone() })?;
            }
            self.health.note(&self.kind, None);
        }
        let Some(told) = told else { return Ok(()) };
        let watch = format!("{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCHED}&resourceVersion={}", told.revision);
        let request = http::Request::get(watch).body(Vec::new()).map_err(kube::Error::HttpError)?;
        let mut lines = self.health.wait(&self.kind, ANSWERED, self.client.request_stream(request)).await??.lines();
        self.health.note(&self.kind, None);
        loop {
            let line = tokio::select! {
                line = within(SILENT, lines.next()) => line?,
                () = self.health.again.notified() => return Ok(()),
            };
            let Some(line) = line else { return Ok(()) };
            // A connection that breaks is made anew; what is wrong is seen then.
            let Ok(line) = line else { return Ok(()) };
            if line.is_empty() {
                continue;
            }
            let event = serde_json::from_str(&line).map_err(|error| Failure::Away(error.to_string()))?;
            if let Some(change) = told.event(event, &self.kind, &self.place.api_version())? {
                self.tell(Update::Change(change))?;
            }
            self.reached.at(told.revision);
            *pause = Pause::new();
        }
    }

    async fn list(&self, path: &str, told: &mut Option<Told>) -> Result<(), Failure> {
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        let mut list: Value = self.health.wait(&self.kind, ANSWERED, self.client.request(request)).await??;
        let revision = number(&list["metadata"]["resourceVersion"]);
        let api_version = self.place.api_version();
        let items: Vec<Value> = watch::items(&mut list).into_iter().map(|object| typed(object, &self.kind, &api_version)).collect();
        self.reached.at(revision);
        match told {
            Some(told) => told.again(items, revision, &self.kind).into_iter().try_for_each(|change| self.tell(Update::Change(change))),
            None => {
                let objects = items.iter().map(|object| (key_of(object), Arc::new(object.clone()))).collect();
                *told = Some(Told { objects, revision });
                self.tell(Update::Kind { kind: self.kind.clone(), objects: items, revision, changes: Vec::new() })
            }
        }
    }

    fn tell(&self, update: Update) -> Result<(), Failure> {
        self.news.send(update).map_err(|_| Failure::Closed)
    }
}

impl Told {
    /// What an event of a watch changes.
    fn event(&mut self, mut event: Value, kind: &str, api_version: &str) -> Result<Option<Change>, Failure> {
        let deleted = match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => false,
            Some("DELETED") => true,
            Some("BOOKMARK") => {
                self.revision = self.revision.max(revision_of(&event["object"]));
                return Ok(None);
            }
            // It is too long ago: list again.
            Some("ERROR") if event["object"]["code"] == 410 => return Err(Failure::Forgotten),
            _ => return Err(Failure::Away(event["object"]["message"].as_str().unwrap_or("a watch tells what cannot be read").to_owned())),
        };
        let object = typed(event["object"].take(), kind, api_version);
        let revision = revision_of(&object);
        self.revision = self.revision.max(revision);
        Ok(Some(self.change(kind, Arc::new(object), revision, deleted)))
    }

    fn change(&mut self, kind: &str, object: Arc<Value>, revision: u64, deleted: bool) -> Change {
        let key = key_of(&object);
        let old = if deleted { self.objects.remove(&key) } else { self.objects.insert(key.clone(), Arc::clone(&object)) };
        let old = old.or_else(|| deleted.then(|| Arc::clone(&object)));
        Change { revision, kind: kind.to_owned(), key, old, new: (!deleted).then_some(object), actor: String::new() }
    }

    /// What a list changes that is read because the watch was lost; the deletions between are as old as the list.
    fn again(&mut self, items: Vec<Value>, revision: u64, kind: &str) -> Vec<Change> {
        let there: BTreeSet<ObjectKey> = items.iter().map(key_of).collect();
        let gone: Vec<Arc<Value>> = self.objects.iter().filter(|(key, _)| !there.contains(*key)).map(|(_, object)| Arc::clone(object)).collect();
        let mut news: Vec<Value> = items.into_iter().filter(|item| self.objects.get(&key_of(item)).is_none_or(|known| known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"])).collect();
        news.sort_by_key(revision_of);
        self.revision = revision;
        let mut changes: Vec<Change> = news.into_iter().map(|object| (revision_of(&object), Arc::new(object))).map(|(revision, object)| self.change(kind, object, revision, false)).collect();
        changes.extend(gone.into_iter().map(|object| self.change(kind, object, revision, true)));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, revision: u64) -> Value {
        json!({"metadata": {"namespace": "default", "name": name, "resourceVersion": revision.to_string()}})
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        let side = |side: &Option<Arc<Value>>| side.as_ref().map_or(0, |object| revision_of(object));
        changes.iter().map(|change| format!("{} {}: {} to {}", change.revision, change.key.1, side(&change.old), side(&change.new))).collect()
    }

    #[test]
    fn a_new_list_tells_what_the_lost_watch_would_have() {
        let mut told = Told::default();
        for (kind, object) in [("ADDED", object("a", 3)), ("ADDED", object("b", 4)), ("ADDED", object("c", 5))] {
            told.event(json!({"type": kind, "object": object}), "Pod", "v1").unwrap();
        }
        assert_eq!(shown(&told.again(vec![object("a", 3), object("c", 9), object("d", 8)], 12, "Pod")), ["8 d: 0 to 8", "9 c: 5 to 9", "12 b: 4 to 0"]);
        assert_eq!(told.revision, 12);
        assert_eq!(shown(&told.again(vec![object("a", 3), object("c", 9), object("d", 8)], 15, "Pod")), Vec::<String>::new());
    }

    #[test]
    fn bookmarks_move_on_and_an_error_means_to_list_again() {
        let mut told = Told::default();
        assert_eq!(told.event(json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "70"}}}), "Pod", "v1"), Ok(None));
        assert_eq!(told.revision, 70);
        let expired = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 1 (70)"}});
        assert_eq!(told.event(expired, "Pod", "v1"), Err(Failure::Forgotten));
    }

    #[test]
    fn what_is_wrong_is_told_once_and_taken_back() {
        let (news, mut heard) = mpsc::unbounded_channel();
        let health = Health::new(news);
        let away = Failure::Away("connection refused".into());
        for (kind, failure) in [("Pod", Some(&away)), ("Node", Some(&away)), ("Pod", None), ("Pod", Some(&Failure::Refused)), ("Node", None)] {
            health.note(kind, failure);
        }
        let mut told = Vec::new();
        while let Ok(Update::Away(why)) = heard.try_recv() {
            told.push(why);
        }
        assert_eq!(told, [Some("Your cluster does not answer (connection refused); checks wait for it.".to_owned()), None]);
    }

    /// A cluster that answers these requests in this order, and then no more; nor does it answer what has the code 0, nor go on after a null.
    fn cluster(script: &[(&'static str, u16, Value)]) -> kube::Client {
        let script = Arc::new(Mutex::new(script.iter().cloned().collect::<std::collections::VecDeque<_>>()));
        let answer = move |request: http::Request<kube::client::Body>| {
            let next = script.lock().unwrap().pop_front();
            async move {
                let (wanted, code, body) = match next {
                    Some(next) => next,
                    None => std::future::pending().await,
                };
                let asked = request.uri().to_string();
                assert_eq!(asked.replace("&allowWatchBookmarks=true&timeoutSeconds=240", ""), wanted);
                if code == 0 {
                    std::future::pending::<()>().await;
                }
                let lines = match body {
                    Value::Array(lines) => lines,
                    one => vec![one],
                };
                let frames = futures::stream::iter(lines).then(|line| async move {
                    if line.is_null() {
                        std::future::pending::<()>().await;
                    }
                    Ok::<_, std::convert::Infallible>(http_body::Frame::data(format!("{line}\n").into()))
                });
                Ok::<_, std::convert::Infallible>(http::Response::builder().status(code).body(http_body_util::BodyExt::boxed_unsync(http_body_util::StreamBody::new(frames))).unwrap())
            }
        };
        kube::Client::new(tower::service_fn(answer), "mine")
    }

    /// What a follower of Pods tells of such a cluster.
    async fn told(script: &[(&'static str, u16, Value)], wanted: usize) -> Vec<String> {
        let (news, mut heard) = mpsc::unbounded_channel();
        let place = Place::core("pods");
        let follower = Follower { client: cluster(script), kind: "Pod".into(), place, reached: Reached::default(), health: Health::new(news.clone()), news };
        let task = tokio::spawn(follower.follow());
        let mut told = Vec::new();
        while told.len() < wanted {
            let next = tokio::time::timeout(Duration::from_secs(600), heard.recv()).await.expect("nothing more is told");
            told.push(match next.unwrap() {
                Update::Kind { objects, revision, .. } => format!("{} at {revision}", objects.len()),
                Update::Change(change) => shown(&[change]).concat(),
                Update::Refused { .. } => "refused".to_owned(),
                Update::Seen { .. } => "seen".to_owned(),
                Update::Unserved { .. } => "unserved".to_owned(),
                Update::Away(why) => why.unwrap_or_else(|| "well again".to_owned()),
                other => panic!("{other:?}"),
            });
        }
        task.abort();
        told
    }

    fn list(items: &[Value], revision: u64) -> Value {
        json!({"metadata": {"resourceVersion": revision.to_string()}, "items": items})
    }

    fn status(code: u16, message: &str) -> Value {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "R", "message": message, "code": code})
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_goes_on_where_it_ended_and_nothing_seen_is_lost() {
        let script = [
            ("/api/v1/pods", 200, list(&[object("a", 3)], 5)),
            ("/api/v1/pods?watch=true&resourceVersion=5", 200, json!([{"type": "ADDED", "object": object("b", 6)}, {"type": "BOOKMARK", "object": object("", 9)}])),
            ("/api/v1/pods?watch=true&resourceVersion=9", 503, status(503, "etcdserver: leader changed")),
            ("/api/v1/pods?watch=true&resourceVersion=9", 200, json!([{"type": "ERROR", "object": status(410, "too old resource version: 9 (30)")}])),
            ("/api/v1/pods", 200, list(&[object("b", 20)], 30)),
            ("/api/v1/pods?watch=true&resourceVersion=30", 401, status(401, "Unauthorized")),
        ];
        let said = [
            "1 at 5",
            "6 b: 0 to 6",
            "Your cluster does not answer (etcdserver: leader changed); checks wait for it.",
            "well again",
            "20 b: 6 to 20",
            "30 a: 3 to 0",
            "Your cluster does not accept the credentials of --kubeconfig (401 Unauthorized); if they have expired, make new ones and start Drydock again.",
        ];
        assert_eq!(told(&script, said.len()).await, said);
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_not_see_all_namespaces_sees_their_own() {
        let script = [
            ("/api/v1/pods", 403, status(403, "pods is forbidden")),
            ("/api/v1/namespaces/mine/pods", 200, list(&[object("a", 3)], 5)),
            ("/api/v1/namespaces/mine/pods?watch=true&resourceVersion=5", 200, json!([{"type": "DELETED", "object": object("a", 8)}])),
        ];
        assert_eq!(told(&script, 2).await, ["1 at 5", "8 a: 3 to 0"]);
        let refused = [("/api/v1/pods", 403, status(403, "no")), ("/api/v1/namespaces/mine/pods", 403, status(403, "no"))];
        assert_eq!(told(&refused, 1).await, ["refused"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_silent_is_asked_again() {
        let script = [
            ("/api/v1/pods", 0, Value::Null),
            ("/api/v1/pods", 200, list(&[object("a", 3)], 5)),
            ("/api/v1/pods?watch=true&resourceVersion=5", 200, json!([{"type": "ADDED", "object": object("b", 6)}, null])),
            ("/api/v1/pods?watch=true&resourceVersion=6", 0, Value::Null),
            ("/api/v1/pods?watch=true&resourceVersion=6", 200, json!([{"type": "DELETED", "object": object("a", 8)}])),
        ];
        let silent = |seconds: u32| format!("Your cluster does not answer (nothing came for {seconds} seconds); checks wait for it.");
        let said = [silent(5), silent(30), "1 at 5".into(), "well again".into(), "6 b: 0 to 6".into(), silent(270), silent(30), "well again".into(), "8 a: 3 to 0".into()];
        assert_eq!(told(&script, said.len()).await, said);
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_list_and_not_watch_sees_by_lists_and_what_is_refused_is_not_gone() {
        let script = [
            ("/api/v1/pods", 200, list(&[object("a", 3)], 5)),
            ("/api/v1/pods?watch=true&resourceVersion=5", 403, status(403, "may not watch")),
            ("/api/v1/pods", 200, list(&[object("a", 3), object("b", 6)], 7)),
            ("/api/v1/pods?watch=true&resourceVersion=7", 403, status(403, "may not watch")),
            ("/api/v1/pods", 403, status(403, "may not list")),
            ("/api/v1/pods", 200, list(&[object("b", 6)], 9)),
        ];
        assert_eq!(told(&script, 5).await, ["1 at 5", "6 b: 0 to 6", "refused", "9 a: 3 to 0", "seen"]);
        let unserved = [("/api/v1/pods", 404, status(404, "not found")), ("/api/v1/pods", 200, list(&[object("a", 3)], 5))];
        assert_eq!(told(&unserved, 2).await, ["unserved", "1 at 5"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_in_an_error_at_once_is_no_storm_of_lists() {
        let error = |code: u16| json!([{"type": "ERROR", "object": status(code, "too busy")}]);
        let script = [
            ("/api/v1/pods", 200, list(&[object("a", 3)], 5)),
            ("/api/v1/pods?watch=true&resourceVersion=5", 200, error(429)),
            ("/api/v1/pods?watch=true&resourceVersion=5", 200, error(500)),
            ("/api/v1/pods?watch=true&resourceVersion=5", 200, error(410)),
            ("/api/v1/pods", 200, list(&[object("a", 3)], 7)),
            ("/api/v1/pods?watch=true&resourceVersion=7", 200, json!([{"type": "ADDED", "object": object("b", 8)}])),
        ];
        let begun = tokio::time::Instant::now();
        let away = "Your cluster does not answer (too busy); checks wait for it.";
        assert_eq!(told(&script, 6).await, ["1 at 5", away, "well again", away, "well again", "8 b: 0 to 8"]);
        assert_eq!(begun.elapsed().as_millis(), 250 + 500 + 1000, "the pauses grow");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_fails_does_not_set_the_revision_back() {
        let now = ("/api/v1/namespaces?limit=1", 200, list(&[], 70));
        let away = ("/api/v1/namespaces?limit=1", 503, status(503, "starting"));
        assert_eq!(revision(&cluster(&[away.clone(), now.clone()]), 40).await, 70);
        assert_eq!(revision(&cluster(&[]), 40).await, 40);
        assert_eq!(revision(&cluster(&vec![away; TRIES]), 40).await, 40);
    }
}
