//! Following objects of the API: everything that matches, always the newest, as one value that can be waited for.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Events of all objects that match; errors are told and waited out.
pub(super) fn events<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher::watcher(api, config).default_backoff().filter_map(|event| async move {
        match event {
            Ok(event) => Some(event),
            Err(error) => {
                tracing::warn!(%error, "cannot follow the API");
                None
            }
        }
    })
}

/// All objects that match, `None` until they have been listed once. The task ends when nobody listens.
pub(crate) fn follow<K>(api: Api<K>, config: watcher::Config) -> watch::Receiver<Option<Vec<K>>>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let mut events = pin!(events(api, config));
        let mut table: BTreeMap<(Option<String>, String), K> = BTreeMap::new();
        let mut fresh = BTreeMap::new();
        let key = |object: &K| (object.namespace(), object.name_any());
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = sender.closed() => return,
            };
            match event {
                Some(Event::Init) => {
                    fresh = BTreeMap::new();
                    continue;
                }
                Some(Event::InitApply(object)) => {
                    fresh.insert(key(&object), object);
                    continue;
                }
                Some(Event::InitDone) => table = std::mem::take(&mut fresh),
                Some(Event::Apply(object)) => {
                    table.insert(key(&object), object);
                }
                Some(Event::Delete(object)) => {
                    table.remove(&key(&object));
                }
                None => return,
            }
            sender.send_replace(Some(table.values().cloned().collect()));
        }
    });
    receiver
}
