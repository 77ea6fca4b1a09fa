//! The chapter that is judged, and those who wait for its verdicts.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::asking::Asking;
use crate::engine::Engine;
use crate::verdict::Verdict;
use crate::watch;

/// The chapter that is judged.
pub(super) struct Open {
    pub(super) engine: Engine,
    /// What its checks and their explanations read.
    pub(super) kinds: BTreeSet<String>,
    pub(super) asking: Asking,
    /// When to judge again even if nothing happens.
    pub(super) deadline: Option<Timestamp>,
    /// Those who wait for a verdict of now.
    pub(super) replies: Vec<(String, oneshot::Sender<Option<Verdict>>)>,
}

impl Open {
    pub(super) fn new(engine: Engine) -> Open {
        Open { kinds: watch::kinds(engine.plan()), engine, asking: Asking::new(), deadline: None, replies: Vec::new() }
    }

    /// When to wake even if nothing happens.
    pub(super) fn next_time(&self) -> Option<Instant> {
        let stable = self.deadline.map(|deadline| {
            let left = deadline.duration_since(Timestamp::now());
            Instant::now() + Duration::try_from(left).unwrap_or_default() + Duration::from_millis(1)
        });
        [stable, self.asking.due()].into_iter().flatten().min()
    }

    /// Answer "check now" once no probe is being asked.
    pub(super) fn reply(&mut self) {
        if self.asking.is_under_way() {
            return;
        }
        for (check, reply) in self.replies.drain(..) {
            // Whoever asked may have gone.
            drop(reply.send(self.engine.verdict(&check).cloned()));
        }
    }
}
