//! The grader behind the page's seam.

use std::collections::BTreeMap;

use drydock_checks::grader::{Grader, GraderError};
use drydock_course::chapter::Ask;
use drydock_web::Pending;
use drydock_web::verdicts::{Answered, Verdict, Verdicts};
use tokio::sync::{broadcast, watch};

/// Verdicts of a grader.
pub(crate) struct Judge {
    grader: Grader,
    asks: BTreeMap<String, Ask>,
}

impl Judge {
    /// Show what this grader says; the course knows what to say to an answer.
    pub(crate) fn new(grader: Grader, asks: BTreeMap<String, Ask>) -> Judge {
        Judge { grader, asks }
    }
}

fn sentence(error: GraderError) -> String {
    error.to_string()
}

impl Verdicts for Judge {
    fn current(&self) -> Vec<Verdict> {
        self.grader.current()
    }

    fn subscribe(&self) -> broadcast::Receiver<Verdict> {
        self.grader.subscribe()
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.grader.trouble()
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
            let correct = ask.answer.as_ref().map(same).or(answered.correct.filter(|_| !ask.prediction));
            Ok(Answered { correct, because: ask.because.clone().or(answered.because) })
        })
    }

    fn check_now(&self, check: &str) -> Pending<'_, Result<Verdict, String>> {
        let check = check.to_owned();
        Box::pin(async move { self.grader.check_now(&check).await.map_err(sentence) })
    }
}
