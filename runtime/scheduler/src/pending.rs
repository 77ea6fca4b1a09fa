//! Pods that wait for a node.
// upstream: pkg/scheduler/backend/queue/scheduling_queue.go

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drydock_primitives::clock::after;
use jiff::Timestamp;

use crate::pod_info::PodInfo;

const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// Namespace and name.
pub(crate) type Key = (String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be tried from this time on.
    From(Timestamp),
    /// To be tried when something changes that could help.
    Blocked,
}

#[derive(Clone, Debug)]
struct Entry {
    pod: Arc<PodInfo>,
    since: Timestamp,
    attempts: u32,
    last: Timestamp,
    state: State,
}

impl Entry {
    fn earliest(&self) -> Timestamp {
        let doublings = self.attempts.saturating_sub(1).min(8);
        after(self.last, (FIRST_BACK_OFF * (1 << doublings)).min(LONGEST_BACK_OFF))
    }
}

/// The Pods that wait, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    entries: BTreeMap<Key, Entry>,
}

impl Pending {
    /// A Pod that is new or changed. Changes that scheduling does not look at leave a blocked Pod blocked.
    pub(crate) fn put(&mut self, key: Key, pod: Arc<PodInfo>, now: Timestamp) {
        match self.entries.get_mut(&key) {
            Some(entry) if entry.pod.uid() == pod.uid() => {
                if entry.pod.pod.spec != pod.pod.spec || entry.pod.pod.metadata.labels != pod.pod.metadata.labels {
                    entry.state = State::From(now);
                }
                entry.pod = pod;
            }
            _ => {
                self.entries.insert(key, Entry { pod, since: now, attempts: 0, last: now, state: State::From(now) });
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) {
        self.entries.remove(key);
    }

    /// The Pod to try now: the highest priority, then the longest wait.
    pub(crate) fn next(&self, now: Timestamp) -> Option<(Key, Arc<PodInfo>)> {
        let due = self.entries.iter().filter(|(_, entry)| matches!(entry.state, State::From(time) if time <= now));
        let first = due.min_by_key(|(key, entry)| (Reverse(entry.pod.priority()), entry.since, *key));
        first.map(|(key, entry)| (key.clone(), Arc::clone(&entry.pod)))
    }

    /// When the next Pod is to be tried, as long as nothing changes.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let times = self.entries.values().filter_map(|entry| match entry.state {
            State::From(time) => Some(time),
            State::Blocked => None,
        });
        times.min()
    }

    /// No node takes the Pod.
    pub(crate) fn block(&mut self, key: &Key, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.attempts += 1;
            entry.last = now;
            entry.state = State::Blocked;
        }
    }

    /// The Pod could not be bound; it is tried again later.
    pub(crate) fn retry(&mut self, key: &Key, pod: Arc<PodInfo>, now: Timestamp) {
        self.put(key.clone(), pod, now);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.attempts += 1;
            entry.last = now;
            entry.state = State::From(entry.earliest());
        }
    }

    /// What a Pod waits for has come: it is tried at once.
    pub(crate) fn wake(&mut self, concerns: impl Fn(&PodInfo) -> bool, now: Timestamp) {
        for entry in self.entries.values_mut().filter(|entry| concerns(&entry.pod)) {
            entry.state = State::From(now);
        }
    }

    /// A Pod waits for something that will come, and nothing is wrong.
    pub(crate) fn park(&mut self, key: &Key, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.last = now;
            entry.state = State::Blocked;
        }
    }

    /// Something has changed that could help those that are blocked.
    pub(crate) fn unblock(&mut self) {
        for entry in self.entries.values_mut().filter(|entry| entry.state == State::Blocked) {
            entry.state = State::From(entry.earliest());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::fixtures::pod;

    fn key(name: &str) -> Key {
        ("default".into(), name.into())
    }

    #[test]
    fn blocked_pods_wait_for_a_change_and_a_back_off() {
        let start = Timestamp::UNIX_EPOCH;
        let at = |seconds: u64| after(start, Duration::from_secs(seconds));
        let mut pending = Pending::default();
        pending.put(key("a"), pod("a", &json!({})), start);
        pending.put(key("b"), pod("b", &json!({"spec": {"priority": 5}})), at(1));
        let name = |pending: &Pending, now: Timestamp| pending.next(now).map(|((_, name), _)| name);
        assert_eq!(name(&pending, at(1)).as_deref(), Some("b"), "priority first");
        pending.remove(&key("b"));
        pending.block(&key("a"), at(1));
        assert_eq!(name(&pending, at(100)), None);
        pending.put(key("a"), pod("a", &json!({"status": {"phase": "Pending"}})), at(1));
        assert_eq!(name(&pending, at(100)), None, "its own status does not help");
        pending.unblock();
        assert_eq!(pending.due(), Some(at(2)));
        assert_eq!(name(&pending, at(1)), None);
        assert_eq!(name(&pending, at(2)).as_deref(), Some("a"));
        for (attempt, back_off) in [2, 4, 8, 10, 10].into_iter().enumerate() {
            pending.block(&key("a"), at(100));
            pending.unblock();
            assert_eq!(pending.due(), Some(at(100 + back_off)), "attempt {attempt}");
        }
        pending.put(key("a"), pod("a", &json!({"spec": {"nodeSelector": {}}})), at(101));
        assert_eq!(name(&pending, at(101)).as_deref(), Some("a"), "a changed Pod is tried at once");
    }
}
