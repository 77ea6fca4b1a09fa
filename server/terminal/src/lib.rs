//! Terminal sessions that live on the server: the browser is only a viewer.
//!
//! 1. A [`Shell`] opens a duplex byte stream for a named session; the session reads and writes it for as long as it lasts.
//! 2. [`screen`] keeps what the terminal shows, so that a new viewer gets an exact repaint and live bytes from then on.
//! 3. [`session`] serves any number of viewers at the pace of the fastest; one that falls behind gets a fresh repaint.
//! 4. Shell marks (OSC 133) say whether the shell waits at its prompt; [`Session::run`] types only then.
//! 5. What a terminal shows, and where its shell stands, is kept in files (module `memory`): a restart of the server brings it back.
//!
//! The messages between a viewer and a session are in [`protocol`].
//!
//! # Invariants
//! * A viewer that attaches at any moment sees what one that was always there sees.
//! * Memory is bounded: scrollback by lines, a viewer's unread output by bytes, pending input by bytes.
//! * Nothing is typed into a program that is not the shell, except by the learner's own keys.
//! * No HTTP here and no cluster: bytes in, bytes out.

mod memory;
pub mod protocol;
pub mod screen;
pub mod script;
pub mod session;
pub mod shell;

pub use protocol::{Frame, Mode};
pub use session::{Attachment, GoesOn, INTERRUPT, Refusal, RunRequest, Session, TerminalError, Terminals};
pub use shell::{Connection, Foreground, Pending, Shell, ShellError, Size};
