//! Following a cluster that is not ours: one that refuses, goes away, comes back and forgets.
//!
//! A kind is listed once. From then on only what changed is told, over every break too: what was seen stays seen. A kind that may not be
//! listed everywhere is listed in the namespace of the kubeconfig; one that may not be listed there either is left out, and said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::watch::{Place, Reached, Update, number, typed};
use crate::world::{Change, ObjectKey, key_of, revision_of};

/// How long to wait before a request that failed is made again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// How long before what was refused is asked for again.
const REFUSED: Duration = Duration::from_secs(20);
/// How long a watch goes on before the server is to end it: one on a connection that is dead ends by the client's own limit.
const WATCHED: u32 = 240;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The user may not do this.
    Refused,
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
                // The kind may have gone with its definition.
                403 | 404 | 405 => Failure::Refused,
                410 => Failure::Forgotten,
                _ => Failure::Away(status.message.clone()),
            },
            other => Failure::Away(root(&other)),
        }
    }
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
            Failure::Refused | Failure::Forgotten | Failure::Closed => None,
        }
    }
}

/// What is wrong, as told last, by kind.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    wrong: Arc<Mutex<(BTreeMap<String, String>, Option<String>)>>,
    news: mpsc::UnboundedSender<Update>,
}

impl Health {
    pub(crate) fn new(news: mpsc::UnboundedSender<Update>) -> Health {
        Health { wrong: Arc::default(), news }
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

/// Pauses that grow.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Pause {
        Pause(PAUSES.0)
    }

    /// After this failure.
    pub(crate) async fn after(&mut self, failure: &Failure) {
        let pause = if *failure == Failure::Refused { REFUSED } else { self.0 };
        self.0 = (self.0 * 2).min(PAUSES.1);
        tokio::time::sleep(pause).await;
    }
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
        let (mut path, mut pause) = (&everywhere, Pause::new());
        while !self.news.is_closed() {
            let Err(failure) = self.once(path, &mut told, &mut pause).await else {
                // The server ends a watch now and then; one that ends at once must not be a storm.
                tokio::time::sleep(PAUSES.0).await;
                continue;
            };
            tracing::debug!(kind = self.kind, ?failure, "a kind of the learner's cluster");
            self.health.note(&self.kind, Some(&failure));
            match failure {
                Failure::Closed => return,
                Failure::Refused if self.place.namespaced && *path == everywhere => {
                    path = &here;
                    continue;
                }
                Failure::Refused => {
                    path = &everywhere;
                    if self.news.send(Update::Refused { kind: self.kind.clone() }).is_err() {
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
    async fn once(&self, path: &str, told: &mut Option<Told>, pause: &mut Pause) -> Result<(), Failure> {
        if told.as_ref().is_none_or(|told| told.revision == 0) {
            self.list(path, told).await?;
            self.health.note(&self.kind, None);
        }
        let Some(told) = told else { return Ok(()) };
        let watch = format!("{path}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCHED}&resourceVersion={}", told.revision);
        let mut lines = self.client.request_stream(http::Request::get(watch).body(Vec::new()).map_err(kube::Error::HttpError)?).await?.lines();
        self.health.note(&self.kind, None);
        *pause = Pause::new();
        while let Some(line) = lines.next().await {
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
        }
        Ok(())
    }

    async fn list(&self, path: &str, told: &mut Option<Told>) -> Result<(), Failure> {
        let mut list: Value = self.client.request(http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?).await?;
        let revision = number(&list["metadata"]["resourceVersion"]);
        let items = match list["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        let api_version = self.place.api_version();
        let items: Vec<Value> = items.into_iter().map(|object| typed(object, &self.kind, &api_version)).collect();
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
            // It is too long ago, most likely: list again.
            _ => return Err(Failure::Forgotten),
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

    /// A cluster that answers these requests in this order, and then no more.
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
                let lines: Vec<String> = match &body {
                    Value::Array(lines) => lines.iter().map(Value::to_string).collect(),
                    one => vec![one.to_string()],
                };
                Ok::<_, std::convert::Infallible>(http::Response::builder().status(code).body(kube::client::Body::from(lines.join("\n").into_bytes())).unwrap())
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
            told.push(match heard.recv().await.unwrap() {
                Update::Kind { objects, revision, .. } => format!("{} at {revision}", objects.len()),
                Update::Change(change) => shown(&[change]).concat(),
                Update::Refused { .. } => "refused".to_owned(),
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

    #[tokio::test]
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

    #[tokio::test]
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
}
