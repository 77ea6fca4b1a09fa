//! The grader behind the page's seam.

use std::collections::BTreeMap;

use drydock_checks::grader::{Grader, GraderError};
use drydock_checks::verdict::Verdict;
use drydock_course::chapter::Ask;
use drydock_web::Pending;
use drydock_web::verdicts::{Answered, Verdict as Shown, Verdicts};
use tokio::sync::broadcast;

/// Verdicts of a grader.
pub(crate) struct Judge {
    grader: Grader,
    asks: BTreeMap<String, Ask>,
    news: broadcast::Sender<Shown>,
}

impl Judge {
    /// Show what this grader says.
    pub(crate) fn new(grader: Grader, asks: BTreeMap<String, Ask>) -> Judge {
        let news = broadcast::Sender::new(1024);
        let (mut verdicts, forward, source) = (grader.subscribe(), news.clone(), grader.clone());
        tokio::spawn(async move {
            loop {
                let verdicts = match verdicts.recv().await {
                    Ok(verdict) => vec![verdict],
                    // What was missed is among the current ones.
                    Err(broadcast::error::RecvError::Lagged(_)) => source.current(),
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                for verdict in verdicts.iter().filter_map(shown) {
                    // No browser is open: that is fine.
                    forward.send(verdict).unwrap_or_default();
                }
            }
        });
        Judge { grader, asks, news }
    }
}

/// Both sides have the shape of grading.md, section 4.
fn shown(verdict: &Verdict) -> Option<Shown> {
    let shown = serde_json::to_value(verdict).and_then(serde_json::from_value);
    shown.inspect_err(|error| tracing::error!(%error, check = verdict.check, "a verdict cannot be shown")).ok()
}

fn sentence(error: GraderError) -> String {
    error.to_string()
}

impl Verdicts for Judge {
    fn current(&self) -> Vec<Shown> {
        self.grader.current().iter().filter_map(shown).collect()
    }

    fn subscribe(&self) -> broadcast::Receiver<Shown> {
        self.news.subscribe()
    }

    fn open(&self, chapter: &str) {
        self.grader.open(chapter);
    }

    fn ran(&self, chapter: &str, block: &str) {
        self.grader.ran(chapter, block);
    }

    fn hint_used(&self, check: &str, number: usize) {
        self.grader.hint_used(check, number);
    }

    fn answer(&self, ask: &str, value: &str) -> Pending<'_, Result<Answered, String>> {
        let (ask, value) = (ask.to_owned(), value.to_owned());
        Box::pin(async move {
            let answered = self.grader.answer(&ask, &value).await.map_err(sentence)?;
            let Some(ask) = self.asks.get(&ask) else { return Ok(Answered { correct: answered.correct, because: answered.because }) };
            let same = |wanted: &String| wanted.trim().eq_ignore_ascii_case(value.trim());
            let correct = if ask.prediction { None } else { ask.answer.as_ref().map(same).or(answered.correct) };
            Ok(Answered { correct, because: ask.because.clone().or(answered.because) })
        })
    }

    fn check_now(&self, check: &str) -> Pending<'_, Result<Shown, String>> {
        let check = check.to_owned();
        Box::pin(async move {
            let verdict = self.grader.check_now(&check).await.map_err(sentence)?;
            shown(&verdict).ok_or_else(|| format!("{check} cannot be shown"))
        })
    }
}
