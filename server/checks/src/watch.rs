//! Keeping the world fresh: one watch for each kind and each collection of records, started again when it ends.
//!
//! A kind is brought up to date in one [`Update`]: its objects at a revision, and the changes before and after it that the journal
//! knows. From then on each change comes alone. Nothing is judged before everything is up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::clients::Clients;
use crate::foreign::{self, Failure, Follower, Health, Pause, within};
use crate::plan::Plan;
use crate::reads::{COLLECTIONS, EXPLAINED, Reads};
use crate::world::{Change, World, key_of};

const LAB: &str = "/apis/lab.drydock.internal/v1alpha1";
/// How long to wait before a watch that ended is started again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long to wait for all that discovery asks, a request for each group.
const DISCOVERED: Duration = Duration::from_secs(60);
/// What is asked first of a cluster: which kinds it has.
const DISCOVERY: &str = "";

/// News for the world.
#[derive(Debug)]
pub enum Update {
    /// A kind as it is at a revision, with its changes since the window opened, oldest first.
    Kind {
        /// Kind.
        kind: String,
        /// Objects.
        objects: Vec<Value>,
        /// Revision of the list.
        revision: u64,
        /// Changes, those after `revision` included.
        changes: Vec<Change>,
    },
    /// One change.
    Change(Change),
    /// The records of a collection.
    Records {
        /// Collection.
        collection: &'static str,
        /// All of them.
        records: Vec<Value>,
    },
    /// A new or changed record.
    Record {
        /// Collection.
        collection: &'static str,
        /// It.
        record: Value,
    },
    /// A record that is gone.
    Gone {
        /// Collection.
        collection: &'static str,
        /// Its name.
        name: String,
    },
    /// The cluster serves no such kind.
    Unserved {
        /// Kind.
        kind: String,
    },
    /// The learner's user may not see this kind.
    Refused {
        /// Kind.
        kind: String,
    },
    /// A kind that was refused is seen again.
    Seen {
        /// Kind.
        kind: String,
    },
    /// What is wrong with a cluster that is not ours, in a sentence; `None` when it is well again.
    Away(Option<String>),
}

impl Update {
    /// Put the news into a world.
    pub fn apply(self, world: &mut World) {
        match self {
            Update::Kind { kind, objects, revision, changes } => {
                world.sees(&kind, true);
                world.clear_kind(&kind);
                for object in objects {
                    world.found(&kind, object);
                }
                for change in changes {
                    if change.revision <= revision { world.backfill(change) } else { world.apply(change) }
                }
                world.reached(revision);
                if world.is_elsewhere() {
                    world.begins(&kind, revision);
                }
            }
            Update::Change(change) => world.apply(change),
            Update::Records { collection, records } => {
                let names: BTreeSet<String> = records.iter().map(|record| key_of(record).1).collect();
                world.keep_records(collection, &names);
                for record in records {
                    world.put_record(collection, record);
                }
            }
            Update::Record { collection, record } => world.put_record(collection, record),
            Update::Gone { collection, name } => world.remove_record(collection, &name),
            Update::Refused { kind } => world.sees(&kind, false),
            Update::Unserved { kind } | Update::Seen { kind } => world.sees(&kind, true),
            Update::Away(_) => {}
        }
    }

    /// What is up to date once this is applied, if it is the first news of something.
    pub fn completes(&self) -> Option<&str> {
        match self {
            Update::Kind { kind, .. } | Update::Unserved { kind } | Update::Refused { kind } => Some(kind),
            Update::Records { collection, .. } => Some(collection),
            _ => None,
        }
    }
}

/// Kinds that the checks of a plan read, and those an explanation looks at.
pub fn kinds(plan: &Plan) -> BTreeSet<String> {
    let reads: Vec<Reads> = plan.checks().map(|(_, check)| Reads::of(check)).collect();
    reads.iter().flat_map(Reads::kinds).cloned().chain(EXPLAINED.map(str::to_owned)).collect()
}

/// Follow kinds and, if wanted, the records; changes of kinds are told from revision `since` on, those of a cluster that is not ours from
/// now on. Ends when the set is dropped.
pub fn follow(clients: &Clients, kinds: BTreeSet<String>, records: bool, since: u64, news: mpsc::UnboundedSender<Update>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let reached = clients.stamps.reached.clone();
    let typed = Arc::new(Notify::new());
    let source = Subject { client: clients.subject.clone(), since: (!clients.foreign).then_some(since), reached: reached.clone() };
    let (news_of_kinds, knocks) = (news.clone(), typed.clone());
    tasks.spawn(async move { follow_kinds(source, kinds, news_of_kinds, knocks).await });
    if records {
        for collection in COLLECTIONS {
            if clients.foreign && collection == "streams" {
                // The lab's own API server is not the one that is learned on; commands tell of streams instead.
                news.send(Update::Records { collection, records: Vec::new() }).unwrap_or_default();
                continue;
            }
            let (client, news) = (clients.lab.clone(), news.clone());
            let stamps = clients.foreign.then(|| clients.stamps.clone());
            let typed = typed.clone();
            tasks.spawn(async move {
                while !news.is_closed() {
                    if let Err(error) = follow_records(&client, collection, stamps.as_ref(), &news, &typed).await {
                        tracing::debug!(collection, error, "the watch ended");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }
    tasks
}

/// The newest revision that was heard of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reached(Arc<AtomicU64>);

impl Reached {
    pub(crate) fn at(&self, revision: u64) {
        self.0.fetch_max(revision, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The cluster that is learned on.
#[derive(Clone)]
struct Subject {
    client: kube::Client,
    /// Changes are told from this revision on; without one the cluster has no history.
    since: Option<u64>,
    reached: Reached,
}

/// Records beside a cluster that is not ours carry revisions of the lab; here they get the ones of the cluster at that moment.
#[derive(Clone, Default)]
pub(crate) struct Stamps {
    reached: Reached,
    /// By collection, once its first list has been read or is being read: whether that has ended, and the stamps by name and time.
    known: Arc<Mutex<BTreeMap<&'static str, (bool, BTreeMap<String, u64>)>>>,
}

impl Stamps {
    /// What is there already when the very first list is read comes before everything.
    fn set(&self, collection: &'static str, record: &mut Value) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, known) = known.entry(collection).or_default();
        let now = if *begun { self.reached.now() } else { 0 };
        // A lab that is made anew begins its names again.
        let id = format!("{} {}", key_of(record).1, record["metadata"]["creationTimestamp"]);
        let revision = *known.entry(id).or_insert(now);
        record["metadata"]["resourceVersion"] = revision.to_string().into();
    }

    /// The first list has been read.
    fn begin(&self, collection: &'static str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(collection).or_default().0 = true;
    }
}

async fn follow_kinds(subject: Subject, kinds: BTreeSet<String>, news: mpsc::UnboundedSender<Update>, typed: Arc<Notify>) {
    let (health, mut pause) = (Health::new(news.clone()), Pause::new());
    let served = loop {
        let asked = served(&subject.client);
        // Ours is late when it starts; that is told by the page.
        let asked = if subject.since.is_some() { within(DISCOVERED, asked).await } else { health.wait(DISCOVERY, DISCOVERED, asked).await };
        let failure = match asked.and_then(|served| served) {
            Ok(served) => break served,
            Err(failure) => failure,
        };
        tracing::debug!(?failure, "discovery");
        if subject.since.is_some() {
            // Ours is there in a moment.
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        health.note(DISCOVERY, Some(&failure));
        pause.after(&failure).await;
    };
    health.note(DISCOVERY, None);
    let mut tasks = JoinSet::new();
    if subject.since.is_none() {
        tasks.spawn(foreign::knock(subject.client.clone(), health.clone(), typed));
    }
    for kind in kinds {
        let Some(place) = served.get(&kind).cloned() else {
            // The receiver being gone ends this task with the others.
            if news.send(Update::Unserved { kind }).is_err() {
                return;
            }
            continue;
        };
        let (client, reached, news) = (subject.client.clone(), subject.reached.clone(), news.clone());
        let Some(since) = subject.since else {
            tasks.spawn(Follower { client, kind, place, reached, health: health.clone(), news }.follow());
            continue;
        };
        tasks.spawn(async move {
            while !news.is_closed() {
                if let Err(error) = follow_kind(&client, since, &kind, &place, &news).await {
                    tracing::debug!(kind, error, "the watch ended");
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Where a kind is served.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    group: String,
    version: String,
    plural: String,
    pub(crate) namespaced: bool,
}

impl Place {
    /// Its list, of one namespace or of all.
    pub(crate) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        format!("{root}/{}{within}/{}", self.api_version(), self.plural)
    }

    /// A kind of the core group that has namespaces.
    #[cfg(test)]
    pub(crate) fn core(plural: &str) -> Place {
        Place { group: String::new(), version: "v1".into(), plural: plural.into(), namespaced: true }
    }

    /// What its objects have as `apiVersion`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Every kind that can be listed, at its group's preferred version; of two groups with one kind the older one wins.
async fn served(client: &kube::Client) -> Result<BTreeMap<String, Place>, Failure> {
    let mut versions = vec![(String::new(), "v1".to_owned(), "/api/v1".to_owned())];
    for group in ask(client, "/apis").await?["groups"].as_array().into_iter().flatten() {
        let preferred = &group["preferredVersion"];
        if let (Some(name), Some(version)) = (group["name"].as_str(), preferred["version"].as_str()) {
            versions.push((name.to_owned(), version.to_owned(), format!("/apis/{name}/{version}")));
        }
    }
    let mut served = BTreeMap::new();
    for (group, version, path) in versions {
        // A group without resources of its own (the lab's) is no reason to know nothing of the others.
        let Ok(resources) = get(client, &path).await else { continue };
        for resource in resources["resources"].as_array().into_iter().flatten() {
            let listed = resource["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|verb| verb == "list"));
            if let (Some(kind), Some(plural), true) = (resource["kind"].as_str(), resource["name"].as_str(), listed) {
                let namespaced = resource["namespaced"] == true;
                let place = Place { group: group.clone(), version: version.clone(), plural: plural.to_owned(), namespaced };
                served.entry(kind.to_owned()).or_insert(place);
            }
        }
    }
    Ok(served)
}

async fn follow_kind(client: &kube::Client, since: u64, kind: &str, place: &Place, news: &mpsc::UnboundedSender<Update>) -> Result<(), String> {
    let mut list = get(client, &place.path(None)).await?;
    let revision = number(&list["metadata"]["resourceVersion"]);
    let api_version = place.api_version();
    let objects: Vec<Value> = items(&mut list).into_iter().map(|object| typed(object, kind, &api_version)).collect();
    let base = format!("{LAB}/history?group={}&resource={}", place.group, place.plural);
    // What was compacted away, or a cluster of another make, leaves the list alone.
    let (changes, reached) = match get(client, &format!("{base}&since={since}")).await {
        Ok(mut history) => {
            let reached = number(&history["metadata"]["resourceVersion"]).max(revision);
            (items(&mut history).into_iter().map(|version| change(kind, &api_version, version)).collect(), reached)
        }
        Err(error) => {
            tracing::debug!(kind, error, "no history");
            (Vec::new(), revision)
        }
    };
    let sent = news.send(Update::Kind { kind: kind.to_owned(), objects, revision, changes });
    sent.map_err(|_| "nobody listens".to_owned())?;
    lines(client, &format!("{base}&since={reached}&watch=true"), |line| {
        news.send(Update::Change(change(kind, &api_version, line))).map_err(|_| "nobody listens".to_owned())
    })
    .await
}

/// What a list has.
pub(crate) fn items(list: &mut Value) -> Vec<Value> {
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Items of a list do not say what they are.
pub(crate) fn typed(mut object: Value, kind: &str, api_version: &str) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.entry("kind").or_insert_with(|| kind.into());
        fields.entry("apiVersion").or_insert_with(|| api_version.into());
    }
    object
}

/// One version of the history API.
fn change(kind: &str, api_version: &str, mut version: Value) -> Change {
    let object = typed(version["object"].take(), kind, api_version);
    let old = version["old"].take();
    let deleted = version["type"] == "DELETED";
    Change {
        revision: number(&version["revision"]),
        kind: kind.to_owned(),
        key: key_of(&object),
        old: (!old.is_null()).then(|| Arc::new(typed(old, kind, api_version))),
        new: (!deleted).then(|| Arc::new(object)),
        actor: version["actor"].as_str().unwrap_or_default().to_owned(),
    }
}

async fn follow_records(client: &kube::Client, collection: &'static str, stamps: Option<&Stamps>, news: &mpsc::UnboundedSender<Update>, typed: &Notify) -> Result<(), String> {
    let mut first = Some(Vec::new());
    let closed = |_| "nobody listens".to_owned();
    lines(client, &format!("{LAB}/{collection}?watch=true"), |mut line| {
        let mut record = line["object"].take();
        if let Some(stamps) = stamps {
            stamps.set(collection, &mut record);
        }
        match (line["type"].as_str(), &mut first) {
            (Some("BOOKMARK"), _) => match first.take() {
                Some(records) => {
                    stamps.inspect(|stamps| stamps.begin(collection));
                    news.send(Update::Records { collection, records }).map_err(closed)
                }
                None => Ok(()),
            },
            (Some("DELETED"), None) => news.send(Update::Gone { collection, name: key_of(&record).1 }).map_err(closed),
            (_, Some(records)) => {
                records.push(record);
                Ok(())
            }
            (_, None) => {
                if collection == "commands" {
                    typed.notify_one();
                }
                news.send(Update::Record { collection, record }).map_err(closed)
            }
        }
    })
    .await
}

/// Read a stream of JSON lines to its end.
async fn lines(client: &kube::Client, path: &str, mut each: impl FnMut(Value) -> Result<(), String>) -> Result<(), String> {
    let request = http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    let mut lines = client.request_stream(request).await.map_err(|error| error.to_string())?.lines();
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| error.to_string())?;
        if !line.is_empty() {
            each(serde_json::from_str(&line).map_err(|error| error.to_string())?)?;
        }
    }
    Ok(())
}

async fn get(client: &kube::Client, path: &str) -> Result<Value, String> {
    ask(client, path).await.map_err(|error| error.to_string())
}

async fn ask(client: &kube::Client, path: &str) -> Result<Value, kube::Error> {
    client.request(http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?).await
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64()).unwrap_or(0)
}

/// The cluster's revision now. Who may not list namespaces asks their own.
///
/// # Errors
/// When it does not answer.
pub async fn revision(client: &kube::Client) -> Result<u64, String> {
    let list = match ask(client, "/api/v1/namespaces?limit=1").await {
        Err(kube::Error::Api(status)) if status.code == 403 => get(client, &format!("/api/v1/namespaces/{}/pods?limit=1", client.default_namespace())).await?,
        answer => answer.map_err(|error| error.to_string())?,
    };
    Ok(number(&list["metadata"]["resourceVersion"]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_keeps_its_revision_whichever_chapter_is_open() {
        let stamps = Stamps::default();
        let stamped = |stamps: &Stamps, name: &str| {
            let mut record = json!({"metadata": {"name": name}});
            stamps.set("commands", &mut record);
            number(&record["metadata"]["resourceVersion"])
        };
        assert_eq!(stamped(&stamps, "before"), 0);
        stamps.begin("commands");
        stamps.reached.at(40);
        assert_eq!(stamped(&stamps, "typed"), 40);
        stamps.reached.at(50);
        let again = stamps.clone();
        assert_eq!((stamped(&again, "before"), stamped(&again, "typed"), stamped(&again, "between")), (0, 40, 50));
    }
}
