//! The grader beside a cluster that is not ours, which is played here: what it does while a chapter is open, another, or none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use drydock_course::check::Check;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Grader, GraderError};
use crate::clients::Clients;
use crate::plan::{Plan, Unit, UnitKind};
use crate::reads::EXPLAINED;
use crate::verdict::{Outcome, Verdict};

/// A cluster of Pods, and beside it a lab in which nothing was ever typed.
#[derive(Clone, Default)]
struct Played(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    revision: u64,
    pods: Vec<Value>,
    watches: Vec<mpsc::UnboundedSender<Value>>,
    /// Watches of what was typed.
    commands: Vec<mpsc::UnboundedSender<Value>>,
    /// Watches of what never changes, or on connections that are dead.
    others: Vec<mpsc::UnboundedSender<Value>>,
    silent: bool,
}

impl Played {
    fn make(&self, name: &str) {
        self.change(name, "ADDED");
    }

    fn delete(&self, name: &str) {
        self.change(name, "DELETED");
    }

    fn change(&self, name: &str, what: &str) {
        let mut state = self.0.lock().unwrap();
        state.revision += 1;
        let pod = json!({"metadata": {"namespace": "default", "name": name, "resourceVersion": state.revision.to_string()}});
        state.pods.retain(|pod| pod["metadata"]["name"] != *name);
        if what == "ADDED" {
            state.pods.push(pod.clone());
        }
        state.watches.retain(|watch| watch.send(json!({"type": what, "object": pod})).is_ok());
    }

    fn type_something(&self) {
        let record = json!({"metadata": {"name": "command-1", "creationTimestamp": "2026-01-01T00:00:01Z"}, "spec": {"line": "kubectl get pods"}});
        self.0.lock().unwrap().commands.retain(|watch| watch.send(json!({"type": "ADDED", "object": record})).is_ok());
    }

    /// Nothing comes any more, and nothing ends.
    fn fall_silent(&self) {
        let mut state = self.0.lock().unwrap();
        state.silent = true;
        let dead = std::mem::take(&mut state.watches);
        state.others.extend(dead);
    }

    fn answer(&self, asked: &str) -> Option<mpsc::UnboundedReceiver<Value>> {
        let mut state = self.0.lock().unwrap();
        if state.silent && !asked.contains("lab.drydock") {
            return None;
        }
        let (tell, told) = mpsc::unbounded_channel();
        let list = |items: &[Value], revision: u64| json!({"metadata": {"resourceVersion": revision.to_string()}, "items": items});
        let told_first = match asked.split('?').next().unwrap_or_default() {
            "/version" => json!({"major": "1", "minor": "32", "gitVersion": "v1.32.0", "gitCommit": "", "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
            "/apis" => json!({"groups": []}),
            "/api/v1" => {
                let served = EXPLAINED.map(|kind| json!({"name": kind.to_lowercase(), "kind": kind, "namespaced": true, "verbs": ["list", "watch"]}));
                json!({"resources": served})
            }
            _ if asked.contains("watch=true") => json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": state.revision.to_string()}}}),
            "/api/v1/pod" => list(&state.pods, state.revision),
            _ => list(&[], state.revision),
        };
        tell.send(told_first).unwrap();
        if let Some((path, since)) = asked.rsplit_once("resourceVersion=").filter(|(path, _)| path.starts_with("/api/v1/pod?")) {
            let since: u64 = since.parse().unwrap_or_else(|_| panic!("{path}"));
            let newer = state.pods.iter().filter(|pod| crate::world::revision_of(pod) > since);
            newer.for_each(|pod| tell.send(json!({"type": "ADDED", "object": pod})).unwrap());
            state.watches.push(tell);
        } else if asked.contains("/commands?") {
            state.commands.push(tell);
        } else if asked.contains("watch=true") {
            state.others.push(tell);
        }
        Some(told)
    }

    fn client(&self) -> kube::Client {
        let played = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let answer = played.answer(&request.uri().to_string());
            async move {
                let Some(lines) = answer else { return std::future::pending().await };
                let lines = futures::stream::unfold(lines, |mut lines| async { Some((lines.recv().await?, lines)) });
                let frames = lines.map(|line| Ok::<_, std::convert::Infallible>(http_body::Frame::data(format!("{line}\n").into())));
                let body = http_body_util::BodyExt::boxed_unsync(http_body_util::StreamBody::new(frames));
                Ok::<_, std::convert::Infallible>(http::Response::new(body))
            }
        });
        kube::Client::new(service, "default")
    }

    /// A grader of these chapters, each of one check.
    fn grader(&self, chapters: &[(&str, &str)], directory: &std::path::Path) -> Grader {
        self.start(chapters, directory).unwrap()
    }

    fn start(&self, chapters: &[(&str, &str)], directory: &std::path::Path) -> Result<Grader, GraderError> {
        let plan = |(chapter, expect): &(&str, &str)| {
            let check: Check = serde_yaml::from_str(&format!("{{id: {chapter}-check, say: s, expect: {{{expect}}}}}")).unwrap();
            let unit = Unit { id: format!("{chapter}-unit"), title: String::new(), kind: UnitKind::Exercise, checks: vec![check], blocks: Vec::new() };
            Plan { chapter: (*chapter).to_owned(), units: vec![unit], ..Plan::default() }
        };
        Grader::start(Clients::foreign(self.client(), self.client()), chapters.iter().map(plan).collect(), directory)
    }
}

/// The verdict of a check, as soon as it is this one.
async fn becomes(grader: &Grader, check: &str, wanted: Outcome) -> Verdict {
    let mut news = grader.subscribe();
    let patience = tokio::time::timeout(Duration::from_secs(100), async {
        loop {
            if let Some(verdict) = grader.current().into_iter().find(|verdict| verdict.check == check && verdict.verdict == wanted) {
                return verdict;
            }
            news.recv().await.unwrap();
        }
    });
    patience.await.unwrap_or_else(|_| panic!("{check} does not become {wanted:?}: {:?}", grader.current()))
}

const GONE: &str = "gone: {kind: Pod, name: a}";
const THERE: &str = "object: {kind: Pod, name: b}";

#[tokio::test]
async fn a_check_that_cannot_be_judged_is_named() {
    let refused = Played::default().start(&[("one", "object: {kind: Pod}, where: 'a b'")], tempfile::tempdir().unwrap().path());
    let said = "check one-check: expression `a b` does not parse: character 3: extraneous input 'b'; `drydock author lint` names the file and the line";
    assert_eq!(refused.err().map(|error| error.to_string()).as_deref(), Some(said));
}

#[tokio::test(start_paused = true)]
async fn what_is_done_while_another_chapter_is_open_was_seen() {
    let (played, directory) = (Played::default(), tempfile::tempdir().unwrap());
    played.make("a");
    let grader = played.grader(&[("one", GONE), ("two", THERE)], directory.path());
    grader.open("one");
    becomes(&grader, "one-check", Outcome::Fail).await;
    grader.open("two");
    becomes(&grader, "two-check", Outcome::Fail).await;
    played.delete("a");
    played.make("b");
    becomes(&grader, "two-check", Outcome::Pass).await;
    grader.open("one");
    becomes(&grader, "one-check", Outcome::Pass).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_to_go_is_not_lost_after_a_restart() {
    let (played, directory) = (Played::default(), tempfile::tempdir().unwrap());
    played.make("a");
    let grader = played.grader(&[("one", GONE)], directory.path());
    grader.open("one");
    becomes(&grader, "one-check", Outcome::Fail).await;
    played.delete("a");
    becomes(&grader, "one-check", Outcome::Pass).await;
    drop(grader);
    let grader = played.grader(&[("one", GONE)], directory.path());
    assert_eq!(grader.current().len(), 1, "what was green is green at once");
    grader.open("one");
    grader.check_now("one-check").await.unwrap();
    let verdict = becomes(&grader, "one-check", Outcome::Pass).await;
    assert!(!verdict.lost, "{verdict:?}");
}

#[tokio::test(start_paused = true)]
async fn what_went_unseen_is_told_as_such() {
    let (played, directory) = (Played::default(), tempfile::tempdir().unwrap());
    played.make("a");
    let grader = played.grader(&[("one", GONE)], directory.path());
    grader.open("one");
    becomes(&grader, "one-check", Outcome::Fail).await;
    drop(grader);
    played.delete("a");
    let grader = played.grader(&[("one", GONE)], directory.path());
    grader.open("one");
    let verdict = grader.check_now("one-check").await.unwrap();
    assert_eq!(verdict.why[0], "There is no Pod `a`, and Drydock did not see it go: it sees your cluster only while it runs.");
    played.make("a");
    played.delete("a");
    becomes(&grader, "one-check", Outcome::Pass).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_cluster_is_told_soon_and_takes_nothing_away() {
    let (played, directory) = (Played::default(), tempfile::tempdir().unwrap());
    played.make("b");
    let grader = played.grader(&[("one", GONE), ("two", THERE)], directory.path());
    grader.open("two");
    becomes(&grader, "two-check", Outcome::Pass).await;
    drop(grader);
    played.fall_silent();
    let grader = played.grader(&[("one", GONE), ("two", THERE)], directory.path());
    let (begun, mut trouble) = (tokio::time::Instant::now(), grader.trouble());
    for chapter in ["one", "two"] {
        grader.open(chapter);
    }
    let said = trouble.wait_for(Option::is_some).await.unwrap().clone();
    assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(said.as_deref(), Some("Your cluster does not answer (nothing came for 5 seconds); checks wait for it."));
    assert_eq!(grader.answer("q", "x").await.unwrap().correct, None);
    assert!(begun.elapsed() <= Duration::from_secs(12), "orders are obeyed meanwhile: {:?}", begun.elapsed());
    drop(grader);
    // Nothing was seen of it, and what was green is kept all the same.
    let grader = played.grader(&[("one", GONE), ("two", THERE)], directory.path());
    assert_eq!(grader.current().into_iter().map(|verdict| (verdict.check, verdict.verdict)).collect::<Vec<_>>(), [("two-check".to_owned(), Outcome::Pass)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_died_is_noticed_by_what_is_typed_and_made_anew() {
    let (played, directory) = (Played::default(), tempfile::tempdir().unwrap());
    let grader = played.grader(&[("two", THERE)], directory.path());
    grader.open("two");
    becomes(&grader, "two-check", Outcome::Fail).await;
    played.fall_silent();
    let (begun, mut trouble) = (tokio::time::Instant::now(), grader.trouble());
    played.type_something();
    trouble.wait_for(Option::is_some).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(6), "{:?}", begun.elapsed());
    played.0.lock().unwrap().silent = false;
    played.make("b");
    becomes(&grader, "two-check", Outcome::Pass).await;
    trouble.wait_for(Option::is_none).await.unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(60), "{:?}", begun.elapsed());
}
