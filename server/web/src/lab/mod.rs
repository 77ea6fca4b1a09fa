//! The page from a terminal: the `lab` command, and who answers it.
//!
//! 1. [`client`] is the command in every terminal. It sends what was typed through a socket that reaches nothing else, prints the answer
//!    and, where the answer is a question, asks it.
//! 2. `verbs` does what was typed, by the functions that the routes of the page call: green here is green there.
//! 3. `show` sets exercises, checks and lists for a terminal; `paper` breaks lines and makes text of a lesson's HTML.

pub mod client;

pub(crate) mod paper;
mod show;
mod verbs;

use axum::Router;
use axum::routing::post;
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use crate::routes::Shared;

/// What was typed, and where.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Typed {
    /// The words after `lab`.
    pub(crate) args: Vec<String>,
    /// Characters in a line.
    pub(crate) columns: usize,
    /// Whether colors can be seen.
    pub(crate) color: bool,
    /// The terminal's name, where it has one.
    pub(crate) terminal: Option<String>,
}

/// What is to be printed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// On standard output; on standard error when the code is not 0 and `error` is set.
    pub(crate) text: String,
    /// Something went wrong: one sentence and what to do.
    pub(crate) error: Option<String>,
    /// Exit code: 0 done, 1 failed (or not all green), 2 wrong use.
    pub(crate) code: u8,
    /// To be asked after the text.
    pub(crate) question: Option<Question>,
}

/// A question with its answers; anything else is a no.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Question {
    /// In a line.
    pub(crate) text: String,
    /// What can be answered.
    pub(crate) choices: Vec<Choice>,
}

/// An answer and what it does.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Choice {
    /// The key, as `y`.
    pub(crate) key: String,
    /// What it means, as `put it back`.
    pub(crate) says: String,
    /// What is typed in its place.
    pub(crate) args: Vec<String>,
}

/// Answer the `lab` command on this socket until the page ends.
pub(crate) async fn serve(listener: UnixListener, shared: Shared) {
    let closing = shared.closing.clone();
    let router = Router::new().route("/lab", post(verbs::answer)).with_state(shared);
    let served = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the lab command is not answered any more");
    }
}
