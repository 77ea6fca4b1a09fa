//! Asking probes: which are wanted, when each may be asked again, and what came of it.
//!
//! A trigger makes a probe fresh: it is asked at once, then after each pause of [`TRIES`], until its check is content or the tries are used
//! up. One that goes on ([`Probe::goes_on`]) is begun once and tells until nobody wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::probe::{Probe, Prober, Probes};
use crate::trigger::News;

/// Pauses before each try of a probe, from the change that triggered it: 5 tries in 5 seconds, and 3 more within 40, as a program may listen
/// late on a machine that is slow or busy, and then nothing else happens that would make anybody ask again.
pub const TRIES: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1200),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];
/// How soon a probe may be asked again, however much happens.
const REST: Duration = Duration::from_millis(200);

/// The probes of the chapter that is open.
pub(super) struct Asking {
    results: Probes,
    tries: BTreeMap<Probe, Tries>,
    tasks: JoinSet<Asked>,
    /// Probes that go on tell here.
    tell: mpsc::UnboundedSender<(Probe, Value)>,
    told: mpsc::UnboundedReceiver<(Probe, Value)>,
}

/// What a task that asks ends with.
enum Asked {
    Once(Probe, Value),
    /// One that went on has nothing more to tell.
    WentOn(Probe),
}

/// How often a probe has been asked for the newest trigger.
#[derive(Debug)]
struct Tries {
    done: usize,
    next: Instant,
    running: bool,
    /// Kinds that trigger it, beyond those it depends on by itself.
    triggers: BTreeSet<String>,
    /// Ends the task of one that goes on.
    going: Option<AbortHandle>,
}

impl Tries {
    fn fresh(triggers: BTreeSet<String>) -> Tries {
        Tries { done: 0, next: Instant::now(), running: false, triggers, going: None }
    }

    fn again(&mut self) {
        let rested = if self.done == 0 { Instant::now() } else { Instant::now() + REST };
        self.done = 0;
        self.next = rested;
    }
}

impl Drop for Tries {
    fn drop(&mut self) {
        if let Some(going) = &self.going {
            going.abort();
        }
    }
}

impl Asking {
    pub(super) fn new() -> Asking {
        let (tell, told) = mpsc::unbounded_channel();
        Asking { results: Probes::new(), tries: BTreeMap::new(), tasks: JoinSet::new(), tell, told }
    }

    /// What came of each probe.
    pub(super) fn results(&self) -> &Probes {
        &self.results
    }

    /// Something changed: the probes it concerns may be asked again.
    pub(super) fn trigger(&mut self, news: &[News]) {
        for (probe, tries) in &mut self.tries {
            if news.iter().any(|happened| happened.concerns(probe, &tries.triggers)) {
                tries.again();
            }
        }
    }

    /// When the next one is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.tries.values().filter(|tries| !tries.running && tries.done < TRIES.len()).map(|tries| tries.next).min()
    }

    /// Wait until something comes of a probe, and take it in.
    pub(super) async fn answer(&mut self) {
        tokio::select! {
            biased;
            Some(ended) = self.tasks.join_next() => {
                if let Ok(asked) = ended {
                    self.asked(asked);
                }
            }
            Some((probe, result)) = self.told.recv() => {
                self.results.insert(probe, result);
                while let Ok((probe, result)) = self.told.try_recv() {
                    self.results.insert(probe, result);
                }
            }
        }
    }

    fn asked(&mut self, asked: Asked) {
        let (Asked::Once(probe, _) | Asked::WentOn(probe)) = &asked;
        if let Some(tries) = self.tries.get_mut(probe) {
            tries.running = false;
            tries.going = None;
            if matches!(probe, Probe::Traffic { .. }) {
                tries.done = TRIES.len();
            }
        }
        if let Asked::Once(probe, result) = asked {
            self.results.insert(probe, result);
        }
    }

    /// Ask the probes that are due; forget the ones nobody wants.
    pub(super) fn ask(&mut self, prober: &Prober, wanted: &BTreeMap<Probe, BTreeSet<String>>) {
        self.tries.retain(|probe, tries| wanted.contains_key(probe) || (tries.running && !probe.goes_on()));
        for (probe, triggers) in wanted {
            let tries = self.tries.entry(probe.clone()).or_insert_with(|| Tries::fresh(triggers.clone()));
            if tries.running || tries.done >= TRIES.len() || tries.next > Instant::now() {
                continue;
            }
            tries.running = true;
            tries.done += 1;
            tries.next = Instant::now() + TRIES.get(tries.done).copied().unwrap_or_default();
            let (prober, probe) = (prober.clone(), probe.clone());
            if probe.goes_on() {
                let tell = self.tell.clone();
                tries.going = Some(self.tasks.spawn(async move {
                    prober.follow(&probe, &tell).await;
                    Asked::WentOn(probe)
                }));
            } else {
                self.tasks.spawn(async move {
                    let result = prober.ask(&probe).await;
                    Asked::Once(probe, result)
                });
            }
        }
    }

    /// Whether an answer is on its way; one that goes on counts as answered with the first thing it tells.
    pub(super) fn is_under_way(&self) -> bool {
        self.tries.iter().any(|(probe, tries)| tries.running && !(probe.goes_on() && self.results.contains_key(probe)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_rests_between_triggers_and_one_that_goes_on_ends_when_nobody_wants_it() {
        let mut tries = Tries::fresh(BTreeSet::new());
        assert!(tries.next <= Instant::now());
        tries.done = 3;
        tries.again();
        assert!(tries.done == 0 && tries.next > Instant::now(), "not more often than {REST:?}");
    }
}
