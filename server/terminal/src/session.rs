//! One task per session: it owns the shell's stream and the screen, and serves the viewers.
//!
//! 1. [`Terminals`] finds or starts the session of a name; a [`Session`] is a handle that sends [`Request`]s to its task.
//! 2. The task (module `actor`) reads output only while the fastest viewer keeps up, so Ctrl+C acts at once in a flood.
//! 3. A shell that ends is reported; one that is lost is opened again with growing pauses.

mod actor;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::memory::Memory;
use crate::protocol::{Frame, FromViewer, Mode};
use crate::script;
use crate::shell::{Foreground, Shell, Size};

/// Most sessions at once.
const MAX_SESSIONS: usize = 24;

/// What Ctrl+C sends.
pub const INTERRUPT: u8 = 0x03;

/// Why a terminal cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// The name is not a terminal's name.
    #[error("{0:?} is no name for a terminal: use up to 40 lower-case letters, digits and dashes")]
    Name(String),
    /// Too many.
    #[error("{MAX_SESSIONS} terminals are open; close one first")]
    TooMany,
    /// Its task has ended.
    #[error("terminal {0} was closed")]
    Closed(String),
}

/// Why a block was not typed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another program reads the keyboard.
    #[error("{program} is in front in this terminal, so nothing was typed")]
    Busy {
        /// Its name.
        program: String,
    },
    /// The shell is still being opened.
    #[error("the terminal is still starting")]
    Starting,
    /// The shell has ended.
    #[error("the shell in this terminal has ended; press Enter there to start it again")]
    Ended,
    /// Nobody knows who reads the keyboard.
    #[error("this shell does not tell whether it waits at its prompt, so nothing was typed")]
    Unsure,
}

/// A block to be typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunRequest {
    /// Comes back in run messages.
    pub id: String,
    /// One command a line; see [`script::commands`].
    pub text: String,
    /// Type it into this program instead of the shell, as `kubectl` for a shell inside a Pod.
    pub inside: Option<String>,
    /// Commands to leave out at its beginning.
    pub skip: usize,
    /// When the next command is typed.
    pub goes_on: GoesOn,
}

/// When a block goes on with its next command. One that was interrupted never does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GoesOn {
    /// Whatever became of the one before.
    #[default]
    Always,
    /// When the one before ended with 0, or with this code, which is what is expected of it.
    AfterSuccessOr(i32),
}

impl GoesOn {
    /// Whether it does after a command that ended so; `None` where the shell did not say.
    fn after(self, exit: Option<i32>) -> bool {
        match self {
            GoesOn::Always => true,
            GoesOn::AfterSuccessOr(expected) => exit.is_none_or(|exit| exit == 0 || exit == expected),
        }
    }
}

enum Request {
    Attach { size: Option<Size>, frames: mpsc::UnboundedSender<Frame>, id: u64 },
    Detach { id: u64 },
    Input { bytes: Bytes, id: u64 },
    Viewer { id: u64, message: FromViewer },
    Run { block: Block, gate: Gate, reply: oneshot::Sender<Result<(), Refusal>> },
    Press(u8),
    /// Write down what it shows.
    Keep(oneshot::Sender<()>),
}

/// A block cut into its commands.
struct Block {
    id: String,
    commands: Vec<String>,
    skip: usize,
    goes_on: GoesOn,
}

/// What must be true at the moment of typing.
enum Gate {
    /// The shell's marks say it waits.
    Prompt,
    /// The shell was asked who is in front, and this mode has not changed since.
    Unchanged(Mode),
}

/// All sessions.
#[derive(Clone)]
pub struct Terminals {
    shell: Arc<dyn Shell>,
    scrollback: usize,
    memory: Memory,
    sessions: Arc<Mutex<BTreeMap<String, Session>>>,
}

impl Terminals {
    /// No session yet; each will remember so many lines above its screen.
    #[must_use]
    pub fn new(shell: Arc<dyn Shell>, scrollback: usize) -> Terminals {
        Terminals { shell, scrollback, memory: Memory::default(), sessions: Arc::default() }
    }

    /// Keep what they show in this directory, and find there what they showed.
    #[must_use]
    pub fn kept_in(self, directory: &Path) -> Terminals {
        Terminals { memory: Memory::new(directory), ..self }
    }

    /// The session of this name, started if there is none. Must be called inside a tokio runtime.
    pub fn session(&self, name: &str) -> Result<Session, TerminalError> {
        self.session_in(name, None)
    }

    /// The session of this name; one that is new starts in this directory, or where it was before a restart.
    pub fn session_in(&self, name: &str, directory: Option<&str>) -> Result<Session, TerminalError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
            return Err(TerminalError::Name(name.to_owned()));
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| !session.requests.is_closed());
        if let Some(session) = sessions.get(name) {
            return Ok(session.clone());
        }
        if sessions.len() >= MAX_SESSIONS {
            return Err(TerminalError::TooMany);
        }
        let session = self.start(name, directory);
        sessions.insert(name.to_owned(), session.clone());
        Ok(session)
    }

    fn start(&self, name: &str, directory: Option<&str>) -> Session {
        let (requests, inbox) = mpsc::channel(256);
        let (mode_sender, mode) = watch::channel(Mode::Starting { why: None });
        let (stop, stopped) = watch::channel(false);
        let actor = actor::Actor::new(name, self, directory, mode_sender);
        tokio::spawn(actor.run(inbox, stopped));
        Session { name: name.into(), shell: self.shell.clone(), requests, mode, stop: Arc::new(stop) }
    }

    /// Names of the sessions that run.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// End a session and its shell.
    pub async fn close(&self, name: &str) {
        let session = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(session) = session {
            session.stop.send_replace(true);
            self.shell.close(name).await;
        }
        self.memory.forget(name);
    }

    /// Write down what all of them show, for the last time: the server ends, and what that does to their shells is no news.
    pub async fn keep(&self) {
        let sessions: Vec<Session> = self.sessions.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for session in sessions {
            let (reply, kept) = oneshot::channel();
            // One that has ended has nothing to keep.
            if session.requests.send(Request::Keep(reply)).await.is_ok() {
                kept.await.unwrap_or_default();
            }
        }
    }

    /// End every shell but this one and start anew where a viewer looks: after a cluster reset, which somebody may have typed.
    pub async fn close_all_but(&self, kept: Option<&str>) {
        for name in self.names().iter().filter(|name| Some(name.as_str()) != kept) {
            self.close(name).await;
        }
    }
}

/// A running session.
#[derive(Clone)]
pub struct Session {
    name: Arc<str>,
    shell: Arc<dyn Shell>,
    requests: mpsc::Sender<Request>,
    mode: watch::Receiver<Mode>,
    stop: Arc<watch::Sender<bool>>,
}

impl Session {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is doing now.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode.borrow().clone()
    }

    /// Follow what it is doing.
    #[must_use]
    pub fn modes(&self) -> watch::Receiver<Mode> {
        self.mode.clone()
    }

    fn closed(&self) -> TerminalError {
        TerminalError::Closed(self.name.to_string())
    }

    /// Become a viewer.
    pub async fn attach(&self, size: Option<Size>) -> Result<Attachment, TerminalError> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let id = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (frames, receiver) = mpsc::unbounded_channel();
        let request = Request::Attach { size: size.map(Size::clamped), frames, id };
        self.requests.send(request).await.map_err(|_| self.closed())?;
        Ok(Attachment { sender: ViewerSender { id, requests: self.requests.clone() }, receiver })
    }

    /// Type a block of commands, one after the other, each at a prompt; nothing if another program is in front.
    pub async fn run(&self, request: RunRequest) -> Result<(), Refusal> {
        let mode = self.mode();
        let gate = match (&mode, &request.inside) {
            (Mode::Starting { .. }, _) => return Err(Refusal::Starting),
            (Mode::Ended { .. }, _) => return Err(Refusal::Ended),
            // The marks say so, but a program can print marks too: whoever reads the keyboard has the last word.
            (Mode::Prompt, None) => match self.shell.foreground(&self.name).await {
                Foreground::Program(program) => return Err(Refusal::Busy { program }),
                Foreground::Shell | Foreground::Unknown => Gate::Prompt,
            },
            (Mode::Prompt, Some(inside)) => {
                return Err(Refusal::Busy { program: format!("the shell (this block is for {inside})") });
            }
            (Mode::Busy { program, .. }, Some(inside)) if program == inside => Gate::Unchanged(mode),
            (Mode::Busy { program, .. }, _) => {
                let program = match self.shell.foreground(&self.name).await {
                    Foreground::Program(program) => program,
                    Foreground::Shell | Foreground::Unknown => program.clone(),
                };
                return Err(Refusal::Busy { program });
            }
            (Mode::Unmarked, inside) => match (self.shell.foreground(&self.name).await, inside) {
                (Foreground::Shell, None) => Gate::Unchanged(mode),
                (Foreground::Program(program), Some(inside)) if program == *inside => Gate::Unchanged(mode),
                (Foreground::Program(program), _) => return Err(Refusal::Busy { program }),
                (Foreground::Shell | Foreground::Unknown, _) => return Err(Refusal::Unsure),
            },
        };
        let (reply, answer) = oneshot::channel();
        let RunRequest { id, text, skip, goes_on, .. } = request;
        let block = Block { id, commands: script::commands(&text), skip, goes_on };
        self.requests.send(Request::Run { block, gate, reply }).await.map_err(|_| Refusal::Ended)?;
        answer.await.map_err(|_| Refusal::Ended)?
    }

    /// Press a key: the byte a terminal sends for it. [`INTERRUPT`] goes before whatever waits to be read.
    pub async fn press(&self, key: u8) -> Result<(), TerminalError> {
        self.requests.send(Request::Press(key)).await.map_err(|_| self.closed())
    }
}

/// A viewer of a session; dropping it detaches.
pub struct Attachment {
    sender: ViewerSender,
    receiver: mpsc::UnboundedReceiver<Frame>,
}

impl Attachment {
    /// The next message for the viewer; `None` when the session was closed.
    pub async fn next(&mut self) -> Option<Frame> {
        self.receiver.recv().await
    }

    /// A message from the viewer.
    pub async fn receive(&self, frame: Frame) -> Result<(), TerminalError> {
        let id = self.sender.id;
        let request = match frame {
            Frame::Binary(bytes) => Request::Input { bytes, id },
            Frame::Text(text) => match serde_json::from_str(&text) {
                Ok(message) => Request::Viewer { id, message },
                Err(error) => {
                    tracing::debug!(%error, text, "a viewer sent what is no message");
                    return Ok(());
                }
            },
        };
        self.sender.requests.send(request).await.map_err(|_| TerminalError::Closed(String::new()))
    }
}

struct ViewerSender {
    id: u64,
    requests: mpsc::Sender<Request>,
}

impl Drop for ViewerSender {
    fn drop(&mut self) {
        let (id, requests) = (self.id, self.requests.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if requests.send(Request::Detach { id }).await.is_err() {
                    tracing::trace!(id, "the session was gone before its viewer");
                }
            });
        }
    }
}
