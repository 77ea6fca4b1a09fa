//! The grader's task: it obeys orders, judges the chapter that is open, keeps and tells what has changed, and says what is wrong.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use futures::future::OptionFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::asking::TRIES;
use super::keeper::{Keeper, Kept};
use super::live::Live;
use super::open::Open;
use super::{Answered, GraderError, Order, Shared};
use crate::clients::Clients;
use crate::engine::{Engine, wants_answer};
use crate::foreign;
use crate::plan::Plan;
use crate::probe::Prober;
use crate::reads::Reads;
use crate::trigger::News;
use crate::verdict::Outcome;
use crate::watch::{self, Update};
use crate::world::Point;

/// What woke the task.
enum Wake {
    Order(Option<Order>),
    News(Update),
    /// A probe was answered, or it is time for something.
    Judge,
}

/// One chapter at a time, and what was kept of the others.
pub(super) struct Task {
    clients: Clients,
    prober: Prober,
    plans: HashMap<String, Plan>,
    keeper: Keeper,
    shared: Arc<Shared>,
    /// The cluster; our own from when a chapter is opened.
    live: Option<Live>,
    open: Option<Open>,
    /// Why progress is not kept.
    unkept: Option<String>,
}

impl Task {
    pub(super) fn new(clients: Clients, plans: Vec<Plan>, keeper: Keeper, shared: Arc<Shared>) -> Task {
        let plans = plans.into_iter().map(|plan| (plan.chapter.clone(), plan)).collect();
        Task { prober: Prober::new(clients.clone()), clients, plans, keeper, shared, live: None, open: None, unkept: None }
    }

    /// Until nobody holds the grader.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        if self.clients.foreign {
            self.live = Some(self.follow_all());
        }
        loop {
            match self.wake(&mut orders).await {
                Wake::Order(None) => return,
                Wake::Order(Some(order)) => self.obey(order).await,
                Wake::News(update) => self.hear(update),
                Wake::Judge => {}
            }
            self.judge();
        }
    }

    /// A cluster that is not ours, with what any chapter reads.
    fn follow_all(&self) -> Live {
        Live::new(&self.clients, self.plans.values().flat_map(watch::kinds).collect(), 0)
    }

    async fn wake(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Wake {
        let time = self.open.as_ref().and_then(Open::next_time);
        tokio::select! {
            biased;
            order = orders.recv() => Wake::Order(order),
            Some(update) = OptionFuture::from(self.live.as_mut().map(Live::news)) => Wake::News(update),
            Some(()) = OptionFuture::from(self.open.as_mut().map(|open| open.asking.answer())) => Wake::Judge,
            Some(()) = OptionFuture::from(time.map(tokio::time::sleep_until)) => Wake::Judge,
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Open(chapter) => self.open_chapter(&chapter).await,
            Order::Ran(chapter, block) => {
                self.open_chapter(&chapter).await;
                if let (Some(open), Some(live)) = (&mut self.open, &self.live) {
                    let here = live.here();
                    if !open.engine.ran(&block, here) {
                        tracing::debug!(chapter, block, "no such block");
                    }
                }
            }
            Order::Hint(check, number) => {
                if let Some(open) = &mut self.open {
                    open.engine.hint_used(&check, number);
                }
            }
            Order::Answer(ask, text, reply) => {
                let answered = self.answer(&ask, &text);
                // Whoever asked may have gone; the answer counts all the same.
                drop(reply.send(answered));
            }
            Order::CheckNow(check, reply) => match &mut self.open {
                Some(open) => {
                    open.asking.trigger(&[News::All]);
                    open.replies.push((check, reply));
                }
                None => drop(reply.send(None)),
            },
            Order::Reset(chapter, reply) => {
                let done = self.reset(&chapter).await;
                drop(reply.send(done));
            }
            Order::Rewind(to, unit, reply) => {
                let open = self.rewind(to, unit.as_ref()).await;
                drop(reply.send(open));
            }
        }
    }

    async fn open_chapter(&mut self, chapter: &str) {
        if self.open.as_ref().is_some_and(|open| open.engine.plan().chapter == chapter) {
            return;
        }
        if let Err(error) = self.begin(chapter, None).await {
            tracing::error!(%error, chapter, "cannot judge this chapter");
        }
    }

    async fn reset(&mut self, chapter: &str) -> Result<(), GraderError> {
        let plan = self.plans.get(chapter).ok_or_else(|| GraderError::Unknown(format!("chapter {chapter}")))?;
        let checks: Vec<String> = plan.checks().map(|(_, check)| check.id.clone()).collect();
        self.shared.lock().retain(|check, _| !checks.contains(check));
        let written = self.keeper.write(chapter, &Kept::default());
        self.report(&written);
        written?;
        self.begin(chapter, Some(())).await
    }

    async fn rewind(&mut self, to: Point, unit: Option<&(String, String)>) -> Result<Vec<String>, GraderError> {
        if let Some((chapter, _)) = unit {
            self.open_chapter(chapter).await;
        }
        let now = Point { revision: self.revision().await, time: Timestamp::now() };
        let Some(open) = &mut self.open else { return Ok(Vec::new()) };
        let chapter = open.engine.plan().chapter.clone();
        let back = open.engine.rewind(to, now, unit.map(|(_, unit)| unit.as_str()));
        self.shared.lock().retain(|check, _| !back.contains(check));
        self.keep();
        // From what is kept, as after a restart: nothing of what was seen before is left in between.
        self.begin(&chapter, None).await?;
        Ok(back)
    }

    /// Judge a chapter from its progress; `anew` moves its window to now.
    async fn begin(&mut self, chapter: &str, anew: Option<()>) -> Result<(), GraderError> {
        let plan = self.plans.get(chapter).ok_or_else(|| GraderError::Unknown(format!("chapter {chapter}")))?.clone();
        let kept = self.keeper.read(chapter)?;
        let mut engine = Engine::new(plan, kept.progress)?;
        if engine.progress().opened.is_none() || anew.is_some() {
            let now = Point { revision: self.revision().await, time: Timestamp::now() };
            engine.reset(now);
        }
        let since = engine.progress().opened.map_or(0, |point| point.revision);
        let open = Open::new(engine);
        let mut live = match self.live.take() {
            Some(live) if self.clients.foreign && !live.lacks(&open.kinds) => live,
            _ if self.clients.foreign => self.follow_all(),
            _ => Live::new(&self.clients, open.kinds.clone(), since),
        };
        live.world.answers_are(&open.engine.progress().answers);
        (self.live, self.open) = (Some(live), Some(open));
        self.tell_trouble();
        self.keep();
        Ok(())
    }

    /// The cluster's revision now; waits for the cluster. One that is not ours may not answer for long: then it is the newest that was seen.
    async fn revision(&self) -> u64 {
        if self.clients.foreign {
            let known = self.live.as_ref().map_or(0, |live| live.world.revision());
            // One that is known not to answer is not waited for.
            let away = self.live.as_ref().is_some_and(|live| live.away.is_some());
            return if away { known } else { foreign::revision(&self.clients.subject, known).await };
        }
        loop {
            match watch::revision(&self.clients.subject).await {
                Ok(revision) => return revision,
                Err(error) => tracing::debug!(error, "the cluster does not answer yet"),
            }
            tokio::time::sleep(TRIES[1]).await;
        }
    }

    fn hear(&mut self, update: Update) {
        let Some(live) = &mut self.live else { return };
        let news = live.hear(update);
        if let Some(open) = &mut self.open {
            open.asking.trigger(&news);
        }
        self.tell_trouble();
    }

    fn answer(&mut self, ask: &str, text: &str) -> Answered {
        let (Some(open), Some(live)) = (&mut self.open, &mut self.live) else { return Answered { correct: None, because: None } };
        live.world.answer(ask, text);
        open.engine.answer(ask, text);
        let judging: Vec<String> =
            open.engine.plan().checks().filter(|(_, check)| wants_answer(&check.expect, ask)).map(|(_, check)| check.id.clone()).collect();
        self.judge();
        self.keep();
        let Some(open) = &self.open else { return Answered { correct: None, because: None } };
        let verdict = judging.iter().find_map(|check| open.engine.verdict(check));
        match verdict {
            Some(verdict) if verdict.verdict == Outcome::Pass && !verdict.lost => Answered { correct: Some(true), because: None },
            Some(verdict) if matches!(verdict.verdict, Outcome::Fail | Outcome::Pass) => Answered { correct: Some(false), because: verdict.why.first().cloned() },
            _ => Answered { correct: None, because: None },
        }
    }

    fn judge(&mut self) {
        let (Some(open), Some(live)) = (&mut self.open, &self.live) else { return };
        if !live.has(&open.kinds) {
            return;
        }
        let round = open.engine.judge(&live.world, open.asking.results(), Timestamp::now());
        open.deadline = round.deadline;
        open.asking.ask(&self.prober, &round.probes);
        if round.progressed || !round.changed.is_empty() {
            self.keep();
        }
        for verdict in round.changed {
            self.shared.lock().insert(verdict.check.clone(), verdict.clone());
            // Nobody listening is fine: `current` has it.
            let listeners = self.shared.news.send(verdict).unwrap_or(0);
            tracing::trace!(listeners, "verdict");
        }
        if let Some(open) = &mut self.open {
            open.reply();
        }
    }

    fn keep(&mut self) {
        let Some(open) = &self.open else { return };
        let plan = open.engine.plan();
        let told = self.shared.lock();
        // What has not been judged since the chapter was opened is as it was told before.
        let newest = |id: &str| open.engine.verdict(id).or_else(|| told.get(id)).cloned();
        let verdicts = plan.checks().filter_map(|(_, check)| newest(&check.id)).collect();
        drop(told);
        let written = self.keeper.write(&plan.chapter, &Kept { progress: open.engine.progress().clone(), verdicts });
        self.report(&written);
    }

    /// Note whether progress is kept.
    fn report(&mut self, written: &Result<(), GraderError>) {
        self.unkept = written.as_ref().err().map(|error| {
            tracing::error!(%error, "progress is not kept");
            let why = match error {
                GraderError::Progress { source, .. } => source.to_string(),
                other => other.to_string(),
            };
            format!("Your progress cannot be saved: {why}. What is green now may not be after a restart; make room and it is kept again by itself.")
        });
        self.tell_trouble();
    }

    /// Say what is wrong, when that has changed: the worst of it.
    fn tell_trouble(&self) {
        let of_cluster = |live: &Live| live.away.clone().or_else(|| refused(live.world.unseen(), self.open.as_ref()?.engine.plan()));
        let away = || self.live.as_ref().and_then(of_cluster);
        let trouble = self.unkept.clone().or_else(away);
        self.shared.trouble.send_if_modified(|known| {
            let news = *known != trouble;
            *known = trouble;
            news
        });
    }
}

/// What the learner's user may not see of what the checks of a chapter read, in a sentence.
fn refused(kinds: &BTreeSet<String>, plan: &Plan) -> Option<String> {
    if kinds.is_empty() {
        return None;
    }
    let read: BTreeSet<String> = plan.checks().flat_map(|(_, check)| Reads::of(check).evidence).collect();
    let unseen: Vec<&str> = kinds.intersection(&read).map(String::as_str).collect();
    let list = match unseen.as_slice() {
        [] => return None,
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    };
    Some(format!("On your cluster the user of --kubeconfig may not list objects of kind {list}, so checks about them stay open."))
}
