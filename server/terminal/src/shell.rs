//! The seam to whatever runs the shells: a workstation, a node, a local pty in development.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// A boxed future, so that [`Shell`] can be a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// A size a terminal can have: neither nothing nor absurd.
    #[must_use]
    pub fn clamped(self) -> Size {
        Size { cols: self.cols.clamp(10, 500), rows: self.rows.clamp(3, 300) }
    }
}

impl Default for Size {
    fn default() -> Size {
        Size { cols: 80, rows: 24 }
    }
}

/// An open shell.
pub struct Connection {
    /// What the terminal prints. End of file: the shell has ended. An error: the connection was lost, open it again.
    pub reader: Box<dyn AsyncRead + Send + Unpin>,
    /// What is typed.
    pub writer: Box<dyn AsyncWrite + Send + Unpin>,
}

/// Who reads the keyboard of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreground {
    /// The shell itself.
    Shell,
    /// This program.
    Program(String),
    /// Nobody can tell.
    Unknown,
}

/// Why a shell cannot be opened now.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// It will be possible later; the session tries again by itself.
    #[error("{0}")]
    NotYet(String),
    /// It will not work; the learner is told.
    #[error("{0}")]
    Impossible(String),
}

/// Opens shells.
pub trait Shell: Send + Sync + 'static {
    /// Open the shell of a session in a directory, or attach to it if it still runs. The terminal's size is in `size`, now and later.
    fn open(&self, session: &str, directory: Option<&str>, size: watch::Receiver<Size>) -> Pending<'_, Result<Connection, ShellError>>;

    /// Which program reads this session's keyboard.
    fn foreground(&self, session: &str) -> Pending<'_, Foreground>;

    /// End the shell of a session whose tab was closed.
    fn close(&self, session: &str) -> Pending<'_, ()>;
}
