//! Waiting longer after every failure: 10 s, doubled up to 5 minutes, forgotten after 10 quiet minutes.
//!
//! The clock is an argument, so that a table of cases is the test.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long to wait before something that failed is tried again.
// upstream: staging/src/k8s.io/client-go/util/flowcontrol/backoff.go
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backoff {
    entry: Option<Entry>,
    initial: Duration,
    max: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    delay: Duration,
    updated: Timestamp,
}

impl Default for Backoff {
    /// As containers and image pulls wait: 10 s to 5 min.
    fn default() -> Self {
        Backoff::new(Duration::from_secs(10), Duration::from_secs(300))
    }
}

impl Backoff {
    /// A back-off that has not failed yet.
    pub(super) fn new(initial: Duration, max: Duration) -> Self {
        Backoff { entry: None, initial, max }
    }

    /// When the wait after a failure at `event` ends; `None` if there is nothing to wait for.
    pub(super) fn until(&self, event: Timestamp) -> Option<Timestamp> {
        let entry = self.entry.as_ref().filter(|entry| !self.expired(entry, event))?;
        Some(event + entry.delay)
    }

    /// When the wait since the last [`Backoff::next`] ends.
    pub(super) fn until_since_update(&self) -> Option<Timestamp> {
        self.entry.as_ref().map(|entry| entry.updated + entry.delay)
    }

    /// Count one more try after the failure at `event`.
    pub(super) fn next(&mut self, event: Timestamp, now: Timestamp) {
        let delay = match self.entry.as_ref().filter(|entry| !self.expired(entry, event)) {
            Some(entry) => (entry.delay * 2).min(self.max),
            None => self.initial,
        };
        self.entry = Some(Entry { delay, updated: now });
    }

    /// The present wait.
    pub(super) fn delay(&self) -> Duration {
        self.entry.as_ref().map_or(self.initial, |entry| entry.delay)
    }

    /// Forget all failures.
    pub(super) fn reset(&mut self) {
        self.entry = None;
    }

    /// All of it happened this much earlier.
    pub(super) fn age(&mut self, by: Duration) {
        if let Some(entry) = &mut self.entry {
            entry.updated -= by;
        }
    }

    fn expired(&self, entry: &Entry, event: Timestamp) -> bool {
        let limit = SignedDuration::try_from(self.max * 2).unwrap_or(SignedDuration::MAX);
        event.duration_since(entry.updated) > limit
    }
}

/// A duration as Go prints it: `10s`, `1m20s`, `5m0s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_immediate_and_the_next_waits_double() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut now = start;
        let mut backoff = Backoff::default();
        assert_eq!(backoff.until(now), None);
        let mut waits = Vec::new();
        for _ in 0..8 {
            backoff.next(now, now);
            waits.push(go_duration(backoff.delay()));
            now = backoff.until(now).unwrap();
        }
        assert_eq!(waits, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s", "5m0s"]);
        let quiet = now + Duration::from_secs(3600);
        assert_eq!(backoff.until(quiet), None);
        backoff.next(quiet, quiet);
        assert_eq!(backoff.delay(), Duration::from_secs(10));
        backoff.reset();
        assert_eq!(backoff.until_since_update(), None);
    }
}
