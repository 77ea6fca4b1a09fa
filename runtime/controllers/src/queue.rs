//! A work queue: each key waits once, is worked on by one worker at a time, and comes back later and later while it fails.
// upstream: client-go/util/workqueue

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use drydock_primitives::clock::{SharedClock, after};
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::Result;

const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(1000);

/// Keys that wait for a worker. Clones share it.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    inner: Arc<Inner<K>>,
}

#[derive(Debug)]
struct Inner<K> {
    clock: SharedClock,
    state: Mutex<State<K>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    /// Keys that wait, or that came back while being worked on.
    dirty: HashSet<K>,
    processing: HashSet<K>,
    failures: HashMap<K, u32>,
    /// When a key becomes ready. A key has one deadline, the earliest asked for.
    delayed: BTreeMap<(Timestamp, u64), K>,
    deadlines: HashMap<K, (Timestamp, u64)>,
    sequence: u64,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Clone + Debug + Eq + Hash + Send + Sync + 'static> Queue<K> {
    /// An empty queue.
    pub(crate) fn new(clock: SharedClock) -> Self {
        let state = State {
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            processing: HashSet::new(),
            failures: HashMap::new(),
            delayed: BTreeMap::new(),
            deadlines: HashMap::new(),
            sequence: 0,
        };
        Self { inner: Arc::new(Inner { clock, state: Mutex::new(state), changed: Notify::new() }) }
    }

    /// Adds a key, unless it waits already.
    pub(crate) fn add(&self, key: K) {
        let mut state = self.lock();
        if !state.dirty.insert(key.clone()) {
            return;
        }
        if !state.processing.contains(&key) {
            state.ready.push_back(key);
            drop(state);
            self.inner.changed.notify_one();
        }
    }

    /// Adds a key after `delay`.
    pub(crate) fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            self.add(key);
            return;
        }
        let deadline = after(self.inner.clock.now(), delay);
        let mut state = self.lock();
        if state.deadlines.get(&key).is_some_and(|(planned, _)| *planned <= deadline) {
            return;
        }
        if let Some(planned) = state.deadlines.remove(&key) {
            state.delayed.remove(&planned);
        }
        state.sequence += 1;
        let slot = (deadline, state.sequence);
        state.deadlines.insert(key.clone(), slot);
        state.delayed.insert(slot, key);
        drop(state);
        self.inner.changed.notify_one();
    }

    /// Adds a key after a delay that doubles with each failure.
    pub(crate) fn add_rate_limited(&self, key: K) {
        let failures = {
            let mut state = self.lock();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            *failures += 1;
            *failures - 1
        };
        let delay = FIRST_DELAY.checked_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).unwrap_or(LONGEST_DELAY);
        self.add_after(key, delay.min(LONGEST_DELAY));
    }

    /// Forgets that a key has failed.
    pub(crate) fn forget(&self, key: &K) {
        self.lock().failures.remove(key);
    }

    /// The next key; it is the caller's until [`Queue::done`].
    pub(crate) async fn get(&self) -> K {
        loop {
            let changed = self.inner.changed.notified();
            let next = self.take();
            match next {
                Next::Key(key) => return key,
                Next::At(deadline) => {
                    tokio::select! {
                        () = changed => {}
                        () = self.inner.clock.sleep_until(deadline) => {}
                    }
                }
                Next::Never => changed.await,
            }
        }
    }

    /// Gives a key back. If it was added meanwhile, it waits again.
    pub(crate) fn done(&self, key: &K) {
        let mut state = self.lock();
        state.processing.remove(key);
        if state.dirty.contains(key) {
            state.ready.push_back(key.clone());
            drop(state);
            self.inner.changed.notify_one();
        }
    }

    fn take(&self) -> Next<K> {
        let now = self.inner.clock.now();
        let mut state = self.lock();
        while let Some(first) = state.delayed.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            state.deadlines.remove(&key);
            if state.dirty.insert(key.clone()) && !state.processing.contains(&key) {
                state.ready.push_back(key);
            }
        }
        let Some(key) = state.ready.pop_front() else {
            return state.delayed.keys().next().map_or(Next::Never, |(deadline, _)| Next::At(*deadline));
        };
        state.dirty.remove(&key);
        state.processing.insert(key.clone());
        Next::Key(key)
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reconciles keys with up to `workers` at a time until `cancel`.
    ///
    /// The answer of a reconcile is when the key is to be looked at again, if at all without a change.
    pub(crate) async fn work<F, R>(self, workers: usize, cancel: CancellationToken, reconcile: F)
    where
        F: Fn(K) -> R + Clone + Send + 'static,
        R: Future<Output = Result<Option<Duration>>> + Send,
    {
        let permits = Arc::new(Semaphore::new(workers));
        let mut running = JoinSet::new();
        loop {
            while running.try_join_next().is_some() {}
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, self.get().await)
            };
            let (permit, key) = tokio::select! {
                () = cancel.cancelled() => return,
                next = next => next,
            };
            let (queue, reconcile) = (self.clone(), reconcile.clone());
            running.spawn(async move {
                match reconcile(key.clone()).await {
                    Ok(again) => {
                        queue.forget(&key);
                        if let Some(delay) = again {
                            queue.add_after(key.clone(), delay);
                        }
                    }
                    Err(error) => {
                        if error.is_conflict() {
                            tracing::debug!(?key, %error, "reconcile met a conflict and is tried again");
                        } else {
                            tracing::warn!(?key, %error, "reconcile failed and is tried again");
                        }
                        queue.add_rate_limited(key.clone());
                    }
                }
                queue.done(&key);
                drop(permit);
            });
        }
    }
}

enum Next<K> {
    Key(K),
    At(Timestamp),
    Never,
}

#[cfg(test)]
mod tests {
    use drydock_primitives::clock::ManualClock;

    use super::*;

    fn queue() -> (Queue<&'static str>, ManualClock) {
        let clock = ManualClock::default();
        (Queue::new(Arc::new(clock.clone())), clock)
    }

    async fn nothing_waits(queue: &Queue<&'static str>) -> bool {
        tokio::time::timeout(Duration::ZERO, queue.get()).await.is_err()
    }

    #[tokio::test]
    async fn a_key_waits_once_and_is_worked_on_by_one() {
        let (queue, _clock) = queue();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.get().await, "a");
        queue.add("a");
        assert!(nothing_waits(&queue).await, "still being worked on");
        queue.done(&"a");
        assert_eq!(queue.get().await, "a");
        queue.done(&"a");
        assert!(nothing_waits(&queue).await);
    }

    #[tokio::test]
    async fn the_earliest_deadline_counts() {
        let (queue, clock) = queue();
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(20));
        assert!(nothing_waits(&queue).await);
        clock.advance(Duration::from_secs(5));
        assert_eq!(queue.get().await, "a");
        queue.done(&"a");
        clock.advance(Duration::from_secs(60));
        assert!(nothing_waits(&queue).await);
    }

    #[tokio::test]
    async fn failures_come_back_later_and_later() {
        let (queue, clock) = queue();
        for expected in [5, 10, 20, 40] {
            queue.add_rate_limited("a");
            clock.advance(Duration::from_millis(expected - 1));
            assert!(nothing_waits(&queue).await);
            clock.advance(Duration::from_millis(1));
            assert_eq!(queue.get().await, "a");
            queue.done(&"a");
        }
        queue.forget(&"a");
        queue.add_rate_limited("a");
        clock.advance(Duration::from_millis(5));
        assert_eq!(queue.get().await, "a");
    }
}
