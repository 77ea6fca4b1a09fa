//! The page: an axum app that serves lessons, terminals, verdicts and the picture of the cluster to one browser.
//!
//! 1. The binary hands in a [`WebConfig`]: where lessons come from, where terminals and the cluster are, who judges.
//! 2. [`app`] builds the router; [`serve`] runs it on a listener on the loopback interface.
//! 3. The browser loads one document per chapter, rendered here and readable without scripts; everything that changes
//!    comes over one WebSocket (`/ws/events`), each terminal has its own (`/ws/terminals/NAME`).
//!
//! # Invariants
//! * Loopback only, and only under its own names: another `Host` or `Origin` gets nothing (DNS rebinding, other sites).
//! * Only the user who started it, and root, are answered: loopback is open to every user of the machine.
//! * Reading is free; whatever acts or shows more than the book carries the cookie that a one-time link was exchanged for.
//! * What runs in the learner's cluster is shown under origins of its own (`pNNNN.localhost`), never under ours.
//! * No inline script, nothing from the network: the content security policy says so to the browser.
//! * What the learner has done is on disk before the answer leaves (one atomic rename per change, in order).

pub mod access;
pub mod course;
pub mod lab;
pub mod page;
pub mod pane;
pub mod progress;
pub mod verdicts;
pub mod workbench;

mod assets;
mod back;
mod blocks;
mod events;
mod files;
mod guard;
mod highlight;
mod home;
mod peer;
mod routes;
mod search;
mod terminals;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

pub use back::mark_of;
pub use routes::{App, app};

/// A boxed future, so that the traits can be trait objects.
pub type Pending<'a, T> = drydock_terminal::Pending<'a, T>;

/// What the page needs from the rest of Drydock.
#[derive(Clone)]
pub struct WebConfig {
    /// Lessons and labs.
    pub course: Arc<dyn course::CourseSource>,
    /// Terminals, cluster, files.
    pub workbench: Arc<dyn workbench::Workbench>,
    /// Who judges.
    pub verdicts: Arc<dyn verdicts::Verdicts>,
    /// Where progress is kept (made if missing).
    pub progress_dir: PathBuf,
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// Progress cannot be read or kept.
    #[error(transparent)]
    Progress(#[from] progress::ProgressError),
    /// The address is not on the loopback interface.
    #[error("the page is served on the loopback interface only, not on {0}; use 127.0.0.1")]
    NotLoopback(SocketAddr),
    /// The server ended.
    #[error("serve the page")]
    Io(#[from] std::io::Error),
}

/// Serve the page, and the `lab` command on its socket, until `shutdown` resolves.
pub async fn serve(listener: TcpListener, lab: Option<UnixListener>, config: WebConfig, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), WebError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(WebError::NotLoopback(address));
    }
    let app = app(config, address.port())?;
    if let Some(lab) = lab {
        tokio::spawn(app.serve_lab(lab));
    }
    let closing = app.closing.clone();
    let ended = async move {
        shutdown.await;
        closing.cancel();
    };
    let service = app.router.into_make_service_with_connect_info::<peer::Peer>();
    axum::serve(listener, service).with_graceful_shutdown(ended).await?;
    Ok(())
}
