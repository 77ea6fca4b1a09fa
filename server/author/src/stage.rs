//! What a test plays on: terminals, a grader, and a way to begin anew.

use drydock_checks::grader::{Answered, Grader};
use drydock_checks::verdict::Verdict;
use drydock_terminal::{Pending, Terminals};
use tokio::sync::broadcast;

/// A cluster with its terminals and its grader.
pub trait Stage: Send + Sync {
    /// The terminals.
    fn terminals(&self) -> &Terminals;

    /// Throw away what is in the cluster, the home and the progress, and open this chapter.
    fn reset(&self, chapter: &str) -> Pending<'_, Result<(), String>>;

    /// A block is about to be run, or a lab to be started.
    fn ran(&self, chapter: &str, block: &str);

    /// Answer a question.
    fn answer(&self, ask: &str, text: &str) -> Pending<'_, Result<Answered, String>>;

    /// Judge a check anew.
    fn check_now(&self, check: &str) -> Pending<'_, Result<Verdict, String>>;

    /// The newest verdicts.
    fn verdicts(&self) -> Vec<Verdict>;

    /// Verdicts as they change.
    fn subscribe(&self) -> broadcast::Receiver<Verdict>;
}

/// A running lab behind its API.
pub struct Live {
    client: kube::Client,
    terminals: Terminals,
    grader: Grader,
}

impl Live {
    /// The lab behind `client`, whose user is not the learner; `terminals` are the learner's.
    pub fn new(client: kube::Client, terminals: Terminals, grader: Grader) -> Live {
        Live { client, terminals, grader }
    }

    async fn begin_anew(&self, chapter: &str) -> Result<(), String> {
        self.terminals.close_all_but(None).await;
        let request = http::Request::post("/apis/lab.drydock.internal/v1alpha1/reset").body(b"{}".to_vec()).map_err(|error| error.to_string())?;
        self.client.request_text(request).await.map_err(|error| format!("reset the cluster: {error}"))?;
        self.grader.open(chapter);
        self.grader.reset(chapter).await.map_err(|error| format!("reset the grader: {error}"))
    }
}

impl Stage for Live {
    fn terminals(&self) -> &Terminals {
        &self.terminals
    }

    fn reset(&self, chapter: &str) -> Pending<'_, Result<(), String>> {
        let chapter = chapter.to_owned();
        Box::pin(async move { self.begin_anew(&chapter).await })
    }

    fn ran(&self, chapter: &str, block: &str) {
        self.grader.ran(chapter, block);
    }

    fn answer(&self, ask: &str, text: &str) -> Pending<'_, Result<Answered, String>> {
        let (ask, text) = (ask.to_owned(), text.to_owned());
        Box::pin(async move { self.grader.answer(&ask, &text).await.map_err(|error| error.to_string()) })
    }

    fn check_now(&self, check: &str) -> Pending<'_, Result<Verdict, String>> {
        let check = check.to_owned();
        Box::pin(async move { self.grader.check_now(&check).await.map_err(|error| error.to_string()) })
    }

    fn verdicts(&self) -> Vec<Verdict> {
        self.grader.current()
    }

    fn subscribe(&self) -> broadcast::Receiver<Verdict> {
        self.grader.subscribe()
    }
}
