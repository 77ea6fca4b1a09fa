//! What a viewer and a session say to each other, over any transport with text and binary messages (a WebSocket here).
//!
//! | Direction | Kind | Meaning |
//! |---|---|---|
//! | viewer to session | binary | keys, pasted text, mouse reports: bytes for the terminal |
//! | viewer to session | text | one [`FromViewer`] as JSON |
//! | session to viewer | text | one [`ToViewer`] as JSON |
//! | session to viewer | binary | output; right after `snapshot`, the repaint (reset the terminal first) |
//!
//! A viewer acknowledges the output bytes it has *processed*, repaint included. Unacknowledged output is bounded: past
//! the bound the session stops sending and continues, once the viewer has caught up, with a `snapshot`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One message as it crosses the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// JSON.
    Text(String),
    /// Terminal bytes.
    Binary(Bytes),
}

/// From a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum FromViewer {
    /// The viewer's window has this size; the latest wins.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// So many output bytes are on the screen.
    Ack {
        /// Since the last acknowledgement.
        bytes: usize,
    },
    /// Start the shell again after it has ended.
    Reopen,
}

/// What the terminal is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "camelCase")]
pub enum Mode {
    /// The shell is being opened; why it takes long, if known.
    Starting {
        /// What it waits for.
        why: Option<String>,
    },
    /// The shell waits for a command.
    Prompt,
    /// A command runs.
    Busy {
        /// First word of the command.
        program: String,
        /// The whole line, empty where the shell did not say.
        line: String,
    },
    /// The shell writes no marks: nobody knows.
    Unmarked,
    /// The shell has ended.
    Ended {
        /// Why, if it was not the learner's wish.
        why: Option<String>,
    },
}

/// How far a click-to-run has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "camelCase")]
pub enum RunPhase {
    /// It has been typed.
    Running,
    /// It is done.
    Finished {
        /// Exit code of its last command, where the shell told.
        exit: Option<i32>,
    },
    /// A command failed that was not expected to; those after it were not typed.
    Halted {
        /// Its exit code.
        exit: i32,
        /// Which one it was, from 0.
        failed: usize,
        /// How many there are.
        of: usize,
        /// The command.
        command: String,
    },
    /// The learner interrupted it, or the shell ended.
    Stopped,
}

/// To a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum ToViewer {
    /// Reset; the next binary message paints this screen.
    Snapshot {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// The terminal has this size now: another viewer resized it.
    Size {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// What the terminal is doing.
    State {
        /// The mode.
        #[serde(flatten)]
        mode: Mode,
    },
    /// Window title.
    Title {
        /// The title.
        title: String,
    },
    /// A click-to-run went on.
    Run {
        /// The id its request had.
        id: String,
        /// How far it is.
        #[serde(flatten)]
        phase: RunPhase,
    },
    /// Input was refused, because too much of it is waiting already.
    Refused {
        /// Why.
        why: String,
    },
}

impl ToViewer {
    /// As a frame.
    #[must_use]
    pub fn frame(&self) -> Frame {
        Frame::Text(serde_json::to_string(self).expect("plain data has a JSON form"))
    }
}
