//! The cluster as it is followed: what is known of it, and what is still to come.
//!
//! Our own has a journal, so that each chapter begins with a world of its own, from its window on. Of one that is not ours nothing is known
//! but what was seen: it is followed from the start of the grader, for all chapters alike, whichever is open.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clients::Clients;
use crate::reads::COLLECTIONS;
use crate::trigger::News;
use crate::watch::{self, Update};
use crate::world::{Point, World};

/// What is known, kept fresh.
pub(super) struct Live {
    pub(super) world: World,
    /// What is wrong with a cluster that is not ours.
    pub(super) away: Option<String>,
    /// What has not been brought up to date yet.
    missing: BTreeSet<String>,
    /// Kinds that the cluster did not have when it was asked which it has.
    unserved: BTreeSet<String>,
    news: mpsc::UnboundedReceiver<Update>,
    _watches: JoinSet<()>,
}

impl Live {
    /// Follow these kinds; of our own cluster with its changes since a revision.
    pub(super) fn new(clients: &Clients, kinds: BTreeSet<String>, since: u64) -> Live {
        let mut world = World::default();
        if clients.foreign {
            world.tells_by_commands();
            world.lives_in(clients.subject.default_namespace());
        }
        let missing = kinds.iter().cloned().chain(COLLECTIONS.map(str::to_owned)).collect();
        let (sender, news) = mpsc::unbounded_channel();
        let watches = watch::follow(clients, kinds, true, since, sender);
        Live { world, away: None, missing, unserved: BTreeSet::new(), news, _watches: watches }
    }

    /// Wait for news.
    pub(super) async fn news(&mut self) -> Update {
        match self.news.recv().await {
            Some(update) => update,
            // Nobody follows any more.
            None => std::future::pending().await,
        }
    }

    /// Take this in, and whatever else has come; what it means for probes.
    pub(super) fn hear(&mut self, update: Update) -> Vec<News> {
        let mut news: Vec<News> = Vec::new();
        let mut next = Some(update);
        while let Some(update) = next {
            match &update {
                Update::Away(why) => self.away.clone_from(why),
                Update::Unserved { kind } => drop(self.unserved.insert(kind.clone())),
                Update::Kind { kind, .. } => drop(self.unserved.remove(kind)),
                _ => {}
            }
            if let Some(happened) = News::of(&update).filter(|happened| !news.contains(happened)) {
                news.push(happened);
            }
            if let Some(name) = update.completes() {
                self.missing.remove(name);
            }
            update.apply(&mut self.world);
            next = self.news.try_recv().ok();
        }
        news
    }

    /// Whether all of these kinds, and the records, have been seen; nothing is judged before.
    pub(super) fn has(&self, kinds: &BTreeSet<String>) -> bool {
        !self.missing.iter().any(|missing| kinds.contains(missing) || COLLECTIONS.contains(&missing.as_str()))
    }

    /// Whether some of these kinds were not there to be followed; they may have been defined since.
    pub(super) fn lacks(&self, kinds: &BTreeSet<String>) -> bool {
        !self.unserved.is_disjoint(kinds)
    }

    pub(super) fn here(&self) -> Point {
        Point { revision: self.world.revision(), time: Timestamp::now() }
    }
}
