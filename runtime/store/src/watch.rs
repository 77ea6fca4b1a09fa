//! Watches: the events since a revision, then each new one.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::event::{Event, Revision};

/// Events a reader may lag behind. Its watch ends then, as upstream: it lists again, and the memory is free.
const BACKLOG: usize = 16_384;

/// A list that does not end. Dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    backlog: VecDeque<Arc<Event>>,
    live: Receiver<Arc<Event>>,
    published: Arc<AtomicU64>,
}

impl Watch {
    /// The next event; none once the store is closed, or when the reader was too slow. Dropping the future loses no event.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Arc<Event>> {
        self.backlog.pop_front().or_else(|| self.live.try_recv().ok())
    }

    /// For hand-written streams: as [`Watch::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Event>>> {
        match self.backlog.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None => Pin::new(&mut self.live).poll_recv(context),
        }
    }

    /// The revision up to which this watch has delivered everything, if it has nothing waiting: what a bookmark may say.
    pub fn progress(&self) -> Option<Revision> {
        // Read before looking at the queue: whatever is published up to here is queued already.
        let published = self.published.load(Ordering::Acquire);
        (self.backlog.is_empty() && self.live.is_empty() && !self.live.is_closed()).then_some(Revision(published))
    }
}

/// Who gets which events.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    subscribers: HashMap<String, Vec<Sender<Arc<Event>>>>,
    published: Arc<AtomicU64>,
}

impl Hub {
    pub(crate) fn subscribe(&mut self, prefix: &str, backlog: VecDeque<Arc<Event>>) -> Watch {
        let (sender, live) = mpsc::channel(BACKLOG);
        self.subscribers.entry(prefix.to_owned()).or_default().push(sender);
        Watch { backlog, live, published: Arc::clone(&self.published) }
    }

    /// Hands out the events of one transaction.
    pub(crate) fn publish(&mut self, revision: Revision, events: &[Arc<Event>]) {
        let mut ended = false;
        for (prefix, senders) in &mut self.subscribers {
            for event in events.iter().filter(|event| event.key.starts_with(prefix.as_str())) {
                senders.retain(|sender| sender.try_send(Arc::clone(event)).is_ok());
            }
            // Watches of quiet keys end without an event that would tell.
            senders.retain(|sender| !sender.is_closed());
            ended |= senders.is_empty();
        }
        if ended {
            self.subscribers.retain(|_, senders| !senders.is_empty());
        }
        self.published.store(revision.0, Ordering::Release);
    }

    pub(crate) fn start_at(&self, revision: Revision) {
        self.published.store(revision.0, Ordering::Release);
    }

    pub(crate) fn close(&mut self) {
        self.subscribers.clear();
    }
}
