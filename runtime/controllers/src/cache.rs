//! A local copy of one kind, kept by a watch, and the news about it.
//!
//! A controller that has written an object waits with [`Cache::reached`] until the copy shows it. That replaces upstream's expectations.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Namespace and name; the namespace of a cluster-scoped object is empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self { namespace: meta.namespace.clone().unwrap_or_default(), name: meta.name.clone().unwrap_or_default() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { formatter.write_str(&self.name) } else { write!(formatter, "{}/{}", self.namespace, self.name) }
    }
}

impl Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What happened to an object.
#[derive(Debug)]
pub(crate) enum Change<K> {
    Added(Arc<K>),
    Updated { old: Arc<K>, new: Arc<K> },
    Deleted(Arc<K>),
}

impl<K> Change<K> {
    /// The object as it is, or as it last was.
    pub(crate) fn latest(&self) -> &Arc<K> {
        match self {
            Self::Added(object) | Self::Updated { new: object, .. } | Self::Deleted(object) => object,
        }
    }
}

/// Ends when a copy is complete.
pub(crate) type Synced = BoxFuture<'static, ()>;

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// The copy. Clones share it.
pub(crate) struct Cache<K> {
    inner: Arc<Inner<K>>,
}

struct Inner<K> {
    objects: RwLock<BTreeMap<Key, Arc<K>>>,
    handlers: RwLock<Vec<Handler<K>>>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The highest resourceVersion seen.
    revision: u64,
    lists_begun: u64,
    lists_done: u64,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static> Cache<K> {
    pub(crate) fn new() -> Self {
        let inner = Inner { objects: RwLock::default(), handlers: RwLock::default(), progress: watch::Sender::new(Progress::default()) };
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.read(|objects| objects.get(key).cloned())
    }

    pub(crate) fn list(&self) -> Vec<Arc<K>> {
        self.read(|objects| objects.values().cloned().collect())
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let first = Key::new(namespace, "");
        self.read(|objects| objects.range(first..).take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| Arc::clone(object)).collect())
    }

    /// Tells `handler` of every change from now on. It must not wait.
    pub(crate) fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        self.inner.handlers.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(handler));
    }

    /// Ends when the first list is complete.
    pub(crate) fn synced(&self) -> Synced {
        let cache = self.clone();
        async move { cache.wait(|progress| progress.lists_done > 0).await }.boxed()
    }

    /// Ends when the copy is at least as new as `written`.
    pub(crate) async fn reached<W: ResourceExt>(&self, written: &W) {
        let revision = revision(written);
        let begun = self.inner.progress.borrow().lists_begun;
        self.wait(|progress| progress.revision >= revision || progress.lists_done > begun).await;
    }

    /// Ends when the object with this uid is gone from the copy, or is on its way out.
    pub(crate) async fn gone(&self, key: &Key, uid: &str) {
        let same = |object: &K| object.meta().uid.as_deref() == Some(uid) && object.meta().deletion_timestamp.is_none();
        self.wait(|_| !self.read(|objects| objects.get(key).is_some_and(|object| same(object)))).await;
    }

    async fn wait(&self, mut fulfilled: impl FnMut(&Progress) -> bool) {
        let mut progress = self.inner.progress.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        if progress.wait_for(|progress| fulfilled(progress)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Follows the API until `cancel`.
    pub(crate) async fn follow(self, api: Api<K>, config: watcher::Config, cancel: CancellationToken)
    where
        K::DynamicType: Clone,
    {
        let mut events = watcher::watcher(api, config).default_backoff().boxed();
        let mut listed = BTreeMap::new();
        loop {
            let event = tokio::select! {
                () = cancel.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                Some(Ok(event)) => self.take(event, &mut listed),
                Some(Err(error)) => tracing::debug!(kind = std::any::type_name::<K>(), %error, "watch interrupted"),
                None => return,
            }
        }
    }

    fn take(&self, event: Event<K>, listed: &mut BTreeMap<Key, Arc<K>>) {
        match event {
            Event::Init => {
                listed.clear();
                self.inner.progress.send_modify(|progress| progress.lists_begun += 1);
            }
            Event::InitApply(object) => {
                listed.insert(Key::of(&object), Arc::new(object));
            }
            Event::InitDone => self.replace(&std::mem::take(listed)),
            Event::Apply(object) => {
                let revision = revision(&object);
                let new = Arc::new(object);
                let old = self.write(|objects| objects.insert(Key::of(&*new), Arc::clone(&new)));
                self.tell(&old.map_or_else(|| Change::Added(Arc::clone(&new)), |old| Change::Updated { old, new: Arc::clone(&new) }));
                self.advance(revision);
            }
            Event::Delete(object) => {
                let revision = revision(&object);
                self.write(|objects| objects.remove(&Key::of(&object)));
                self.tell(&Change::Deleted(Arc::new(object)));
                self.advance(revision);
            }
        }
    }

    fn replace(&self, listed: &BTreeMap<Key, Arc<K>>) {
        let highest = listed.values().map(|object| revision(&**object)).max().unwrap_or(0);
        let before = self.write(|objects| std::mem::replace(objects, listed.clone()));
        for (key, new) in listed {
            let change = match before.get(key) {
                None => Change::Added(Arc::clone(new)),
                Some(old) if old.meta().uid != new.meta().uid => {
                    self.tell(&Change::Deleted(Arc::clone(old)));
                    Change::Added(Arc::clone(new))
                }
                Some(old) => Change::Updated { old: Arc::clone(old), new: Arc::clone(new) },
            };
            self.tell(&change);
        }
        for (_, old) in before.iter().filter(|(key, _)| !listed.contains_key(*key)) {
            self.tell(&Change::Deleted(Arc::clone(old)));
        }
        self.inner.progress.send_modify(|progress| {
            progress.revision = progress.revision.max(highest);
            progress.lists_done = progress.lists_begun;
        });
    }

    fn advance(&self, revision: u64) {
        self.inner.progress.send_modify(|progress| progress.revision = progress.revision.max(revision));
    }

    fn tell(&self, change: &Change<K>) {
        for handler in self.inner.handlers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            handler(change);
        }
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<Key, Arc<K>>) -> T) -> T {
        look(&self.inner.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<Key, Arc<K>>) -> T) -> T {
        change(&mut self.inner.objects.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn revision<K: ResourceExt>(object: &K) -> u64 {
    object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0)
}
