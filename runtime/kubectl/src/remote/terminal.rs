//! The reader's terminal: raw while a remote command has it, and its size.

use std::io::{stdin, stdout};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// A terminal in raw mode; as it was before when dropped.
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Give every key to the other side.
    pub fn enter() -> Result<Self, Failure> {
        let before = tcgetattr(stdin()).map_err(std::io::Error::from)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(std::io::Error::from)?;
        Ok(Self { before })
    }

    /// Only do not show what is typed.
    pub fn quiet() -> Result<Self, Failure> {
        let before = tcgetattr(stdin()).map_err(std::io::Error::from)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin(), OptionalActions::Now, &quiet).map_err(std::io::Error::from)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(stdin(), OptionalActions::Now, &self.before) {
            // A terminal that is gone needs no restoring.
            debug_assert_ne!(error, rustix::io::Errno::INVAL);
        }
    }
}

/// Columns and rows.
pub type Size = (u16, u16);

/// The size of the terminal, when there is one.
pub fn size() -> Option<Size> {
    tcgetwinsize(stdout()).ok().map(|size| (size.ws_col, size.ws_row))
}

/// A size as the resize channel carries it.
pub fn message(size: Size) -> Vec<u8> {
    format!("{}\n", json!({"Width": size.0, "Height": size.1})).into_bytes()
}

/// Tells when the size may have changed.
pub fn changes() -> Result<Signal, Failure> {
    Ok(signal(SignalKind::window_change())?)
}
