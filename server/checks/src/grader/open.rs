//! The chapter that is judged, with what is known of the cluster, and what its task wakes for.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Order;
use super::asking::Asking;
use crate::clients::Clients;
use crate::engine::Engine;
use crate::reads::COLLECTIONS;
use crate::trigger::News;
use crate::verdict::Verdict;
use crate::watch::{self, Update};
use crate::world::{Point, World};

/// The chapter that is judged.
pub(super) struct Open {
    pub(super) engine: Engine,
    pub(super) world: World,
    pub(super) asking: Asking,
    /// When to judge again even if nothing happens.
    pub(super) deadline: Option<Timestamp>,
    /// Those who wait for a verdict of now.
    pub(super) replies: Vec<(String, oneshot::Sender<Option<Verdict>>)>,
    /// What is wrong with a cluster that is not ours.
    pub(super) away: Option<String>,
    /// What has not been brought up to date yet; nothing is judged before.
    missing: BTreeSet<String>,
    news: mpsc::UnboundedReceiver<Update>,
    _watches: JoinSet<()>,
}

/// What woke the task.
pub(super) enum Wake {
    Order(Option<Order>),
    News(Option<Update>),
    /// A probe was answered, or it is time for something.
    Judge,
}

impl Open {
    /// Watch the cluster for what this chapter's checks read.
    pub(super) fn new(engine: Engine, clients: &Clients) -> Open {
        let since = engine.progress().opened.map_or(0, |point| point.revision);
        let kinds = watch::kinds(engine.plan());
        let mut world = World::default();
        if clients.foreign {
            world.tells_by_commands();
            world.lives_in(clients.subject.default_namespace());
        }
        for (ask, text) in &engine.progress().answers {
            world.answer(ask, text);
        }
        let missing = kinds.iter().cloned().chain(COLLECTIONS.map(str::to_owned)).collect();
        let (sender, news) = mpsc::unbounded_channel();
        let watches = watch::follow(clients, kinds, true, since, sender);
        Open { engine, world, asking: Asking::new(), deadline: None, replies: Vec::new(), away: None, missing, news, _watches: watches }
    }

    pub(super) async fn wake(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Wake {
        let time = self.next_time();
        tokio::select! {
            biased;
            order = orders.recv() => Wake::Order(order),
            update = self.news.recv(), if !self.news.is_closed() => Wake::News(update),
            () = self.asking.answer() => Wake::Judge,
            () = sleep_until(time) => Wake::Judge,
        }
    }

    /// Take this in, and whatever else has come.
    pub(super) fn hear(&mut self, update: Update) {
        let mut news: Vec<News> = Vec::new();
        let mut next = Some(update);
        while let Some(update) = next {
            if let Update::Away(why) = &update {
                self.away.clone_from(why);
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
        self.asking.trigger(&news);
    }

    /// Whether all that its checks read has been seen.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.missing.is_empty()
    }

    pub(super) fn here(&self) -> Point {
        Point { revision: self.world.revision(), time: Timestamp::now() }
    }

    /// When to wake even if nothing happens.
    fn next_time(&self) -> Option<Instant> {
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

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
