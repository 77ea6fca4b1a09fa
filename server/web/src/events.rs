//! The one socket over which everything that changes reaches the page.
//!
//! First `hello` with everything there is, then single changes. A reader that is too slow gets `hello` again instead of a
//! gap. The page sends nothing that matters here; requests go over HTTP, where they have answers.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::back;
use crate::course::{Chapter, ChapterOutline};
use crate::pane::Visit;
use crate::progress::Book;
use crate::routes::Shared;
use crate::verdicts::{Outcome, Verdict};
use crate::workbench::{Restored, Status};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Event<'a> {
    Hello { server: &'a str, verdicts: Vec<Verdict>, status: &'a Status, progress: &'a Book },
    Verdict { verdict: &'a Verdict },
    Status { status: &'a Status },
    Progress { progress: &'a Book },
    Restored { restored: &'a Restored },
    Visit { visit: &'a Visit },
    Trouble { why: Option<&'a str> },
}

pub(crate) async fn socket(State(shared): State<Shared>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        if let Err(error) = follow(socket, shared).await {
            tracing::debug!(%error, "an event socket ended");
        }
    })
}

async fn send(socket: &mut WebSocket, event: &Event<'_>) -> Result<(), axum::Error> {
    let text = serde_json::to_string(event).map_err(axum::Error::new)?;
    socket.send(Message::text(text)).await
}

async fn hello(socket: &mut WebSocket, shared: &Shared) -> Result<(), axum::Error> {
    let (status, progress) = (shared.config.workbench.status().borrow().clone(), shared.progress.book());
    let verdicts = shared.config.verdicts.current();
    send(socket, &Event::Hello { server: &shared.server, verdicts, status: &status, progress: &progress }).await
}

async fn follow(mut socket: WebSocket, shared: Shared) -> Result<(), axum::Error> {
    let mut verdicts = shared.config.verdicts.subscribe();
    let mut status = shared.config.workbench.status();
    let mut progress = shared.progress.follow();
    let mut restored = shared.config.workbench.restored();
    let mut visits = shared.visits.subscribe();
    status.mark_unchanged();
    progress.mark_unchanged();
    let mut troubles = [shared.progress.trouble(), shared.config.verdicts.trouble()];
    hello(&mut socket, &shared).await?;
    let mut known = None;
    loop {
        let why = troubles.iter_mut().find_map(|trouble| trouble.borrow_and_update().clone());
        if why != known {
            send(&mut socket, &Event::Trouble { why: why.as_deref() }).await?;
            known = why;
        }
        let [own, judge] = &mut troubles;
        tokio::select! {
            verdict = verdicts.recv() => match verdict {
                Ok(verdict) => send(&mut socket, &Event::Verdict { verdict: &verdict }).await?,
                Err(RecvError::Lagged(_)) => hello(&mut socket, &shared).await?,
                Err(RecvError::Closed) => return Ok(()),
            },
            changed = status.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = status.borrow_and_update().clone();
                send(&mut socket, &Event::Status { status: &now }).await?;
            }
            changed = progress.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = progress.borrow_and_update().clone();
                send(&mut socket, &Event::Progress { progress: &now }).await?;
            }
            news = restored.recv() => match news {
                Ok(restored) => send(&mut socket, &Event::Restored { restored: &restored }).await?,
                // Only news: what is left out is in the cluster all the same.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            news = visits.recv() => match news {
                Ok(visit) => send(&mut socket, &Event::Visit { visit: &visit }).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
            changed = own.changed() => if changed.is_err() { return Ok(()) },
            changed = judge.changed() => if changed.is_err() { return Ok(()) },
            message = socket.recv() => match message {
                None | Some(Ok(Message::Close(_))) => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            () = shared.closing.cancelled() => return Ok(()),
        }
    }
}

/// Write passed checks into the book, for as long as the app lives, and remember the beginning of what comes next.
pub(crate) async fn keep_passes(shared: Shared) {
    let mut verdicts = shared.config.verdicts.subscribe();
    record(&shared, &shared.config.verdicts.current());
    loop {
        let verdict = tokio::select! {
            verdict = verdicts.recv() => verdict,
            () = shared.closing.cancelled() => return,
        };
        let new = match verdict {
            Ok(verdict) => record(&shared, &[verdict]),
            Err(RecvError::Lagged(_)) => record(&shared, &shared.config.verdicts.current()),
            Err(RecvError::Closed) => return,
        };
        for chapter in chapters_of(&shared, &new) {
            back::begin_next(&shared, &chapter).await;
        }
    }
}

/// What is passed now, whatever was said about it before: some of it may have been forgotten meanwhile.
pub(crate) fn catch_up(shared: &Shared) {
    record(shared, &shared.config.verdicts.current());
}

/// The chapters that these checks belong to.
fn chapters_of(shared: &Shared, checks: &[String]) -> Vec<Arc<Chapter>> {
    let outline = shared.config.course.outline();
    let has = |chapter: &&ChapterOutline| chapter.sections.iter().flat_map(|section| section.checks.iter().chain(&section.drill)).any(|check| checks.contains(check));
    outline.chapters.iter().filter(has).filter_map(|chapter| shared.config.course.chapter(&chapter.id)?.ok()).collect()
}

/// Checks that were not passed before.
fn record(shared: &Shared, verdicts: &[Verdict]) -> Vec<String> {
    let book = shared.progress.book();
    let new = |verdict: &&Verdict| verdict.verdict == Outcome::Pass && !book.passed.contains_key(&verdict.check);
    let passed: Vec<&Verdict> = verdicts.iter().filter(new).collect();
    if passed.is_empty() {
        return Vec::new();
    }
    let kept = shared.progress.change(|book| {
        for verdict in &passed {
            let since = if verdict.since.is_empty() { jiff::Timestamp::now().to_string() } else { verdict.since.clone() };
            book.passed.entry(verdict.check.clone()).or_insert(since);
        }
    });
    if let Err(error) = kept {
        tracing::error!(%error, "a passed check was not kept");
    }
    passed.into_iter().map(|verdict| verdict.check.clone()).collect()
}
