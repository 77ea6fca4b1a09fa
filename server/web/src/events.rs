//! The one socket over which everything that changes reaches the page.
//!
//! First `hello` with everything there is, then single changes. A reader that is too slow gets `hello` again instead of a
//! gap. The page sends nothing that matters here; requests go over HTTP, where they have answers.

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use crate::progress::Book;
use crate::routes::Shared;
use crate::verdicts::{Outcome, Verdict};
use crate::workbench::Status;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Event<'a> {
    Hello { server: &'a str, verdicts: Vec<Verdict>, status: &'a Status, progress: &'a Book },
    Verdict { verdict: &'a Verdict },
    Status { status: &'a Status },
    Progress { progress: &'a Book },
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
    status.mark_unchanged();
    progress.mark_unchanged();
    hello(&mut socket, &shared).await?;
    loop {
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
            message = socket.recv() => match message {
                None | Some(Ok(Message::Close(_))) => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            () = shared.closing.cancelled() => return Ok(()),
        }
    }
}

/// Write passed checks into the book, for as long as the app lives.
pub(crate) async fn keep_passes(shared: Shared) {
    let mut verdicts = shared.config.verdicts.subscribe();
    record(&shared, &shared.config.verdicts.current());
    loop {
        let verdict = tokio::select! {
            verdict = verdicts.recv() => verdict,
            () = shared.closing.cancelled() => return,
        };
        match verdict {
            Ok(verdict) => record(&shared, &[verdict]),
            Err(RecvError::Lagged(_)) => record(&shared, &shared.config.verdicts.current()),
            Err(RecvError::Closed) => return,
        }
    }
}

fn record(shared: &Shared, verdicts: &[Verdict]) {
    let passed: Vec<&Verdict> = verdicts.iter().filter(|v| v.verdict == Outcome::Pass).collect();
    if passed.is_empty() {
        return;
    }
    let kept = shared.progress.change(|book| {
        for verdict in passed {
            let since = if verdict.since.is_empty() { jiff::Timestamp::now().to_string() } else { verdict.since.clone() };
            book.passed.entry(verdict.check.clone()).or_insert(since);
        }
    });
    if let Err(error) = kept {
        tracing::error!(%error, "a passed check was not kept");
    }
}
