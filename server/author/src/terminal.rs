//! A terminal session in the hands of a test: run a block as a click does, read what it printed, press keys.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use drydock_course::chapter::Keys;
use drydock_terminal::protocol::{FromViewer, ToViewer};
use drydock_terminal::{Attachment, Frame, Mode, RunRequest, Session, Size, Terminals, script};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::tape::Tape;

/// How wide the terminal is: no line of a lesson is longer.
const SIZE: Size = Size { cols: 240, rows: 50 };
/// How long a shell may take to show its prompt.
const PROMPT: Duration = Duration::from_secs(20);
/// How long a program that stays may take to say something.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// A program that says nothing for so long has said what it had to say.
const QUIET: Duration = Duration::from_millis(250);

/// What went wrong in a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriveError {
    /// It cannot be opened, or refuses.
    #[error("terminal {session}: {why}")]
    Terminal {
        /// Its name.
        session: String,
        /// What it said.
        why: String,
    },
    /// A command takes too long.
    #[error("`{command}` still runs after {seconds} s; it printed {printed:?}")]
    Slow {
        /// The block.
        command: String,
        /// So long.
        seconds: u64,
        /// So far.
        printed: String,
    },
}

/// What a block printed, and how each of its commands ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// All of it.
    pub printed: String,
    /// Commands with their exit codes, where the shell told.
    pub exits: Vec<Option<i32>>,
}

/// A block that goes on.
#[derive(Debug, Clone, Copy)]
pub struct Staying {
    /// Marks before it.
    mark: usize,
}

/// One session.
pub struct Driver {
    name: String,
    session: Session,
    tape: Arc<Mutex<Tape>>,
    printed: watch::Receiver<()>,
    keys: mpsc::UnboundedSender<Bytes>,
}

impl Driver {
    /// Open the session of this name and wait for its prompt.
    ///
    /// # Errors
    /// When there is no prompt in time.
    pub async fn open(terminals: &Terminals, name: &str) -> Result<Driver, DriveError> {
        let wrong = |why: String| DriveError::Terminal { session: name.to_owned(), why };
        let session = terminals.session(name).map_err(|error| wrong(error.to_string()))?;
        let attachment = session.attach(Some(SIZE)).await.map_err(|error| wrong(error.to_string()))?;
        let tape = Arc::new(Mutex::new(Tape::default()));
        let (news, printed) = watch::channel(());
        let (keys, pressed) = mpsc::unbounded_channel();
        tokio::spawn(follow(attachment, Arc::clone(&tape), news, pressed));
        let driver = Driver { name: name.to_owned(), session, tape, printed, keys };
        driver.prompt().await?;
        Ok(driver)
    }

    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong(&self, why: impl Into<String>) -> DriveError {
        DriveError::Terminal { session: self.name.clone(), why: why.into() }
    }

    /// Wait until the shell waits.
    async fn prompt(&self) -> Result<(), DriveError> {
        let mut modes = self.session.modes();
        let waiting = modes.wait_for(|mode| matches!(mode, Mode::Prompt));
        match tokio::time::timeout(PROMPT, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(self.wrong("it was closed")),
            Err(_) => {
                let screen = self.tape().since(0);
                let seen = screen.lines().rev().take(3).collect::<Vec<_>>().join(" | ");
                Err(self.wrong(format!("no prompt after {} s, it is {:?}; last lines, newest first: {seen}", PROMPT.as_secs(), self.session.mode())))
            }
        }
    }

    /// Wait until something is true of the tape. `false` when the deadline came first.
    async fn until(&self, deadline: Instant, mut is_so: impl FnMut(&Tape) -> bool) -> bool {
        let mut printed = self.printed.clone();
        loop {
            printed.mark_unchanged();
            if is_so(&self.tape()) {
                return true;
            }
            match timeout_at(deadline, printed.changed()).await {
                Ok(Ok(())) => {}
                // The session has ended: nothing more will come.
                Ok(Err(_)) => return is_so(&self.tape()),
                Err(_) => return false,
            }
        }
    }

    async fn start(&self, id: &str, text: &str, inside: Option<&str>) -> Result<(), DriveError> {
        let request = RunRequest { id: id.to_owned(), text: text.to_owned(), inside: inside.map(str::to_owned), ..RunRequest::default() };
        self.session.run(request).await.map_err(|refusal| self.wrong(refusal.to_string()))
    }

    /// Run a block to its end.
    ///
    /// # Errors
    /// When the terminal is not free or the block takes too long.
    pub async fn run(&self, id: &str, text: &str, limit: Duration) -> Result<Ran, DriveError> {
        self.prompt().await?;
        let (mark, count) = (self.tape().marks(), script::commands(text).len());
        let deadline = Instant::now() + limit;
        self.start(id, text, None).await?;
        let done = |tape: &Tape| tape.commands_since(mark).iter().filter(|(_, end)| end.is_some()).count() >= count;
        if !self.until(deadline, done).await {
            let printed = self.commands(mark).printed;
            // The next block finds a free terminal.
            self.press(Keys::Interrupt).await?;
            return Err(DriveError::Slow { command: text.to_owned(), seconds: limit.as_secs(), printed });
        }
        self.prompt().await?;
        Ok(self.commands(mark))
    }

    fn commands(&self, mark: usize) -> Ran {
        let commands = self.tape().commands_since(mark);
        Ran {
            printed: commands.iter().map(|(printed, _)| printed.as_str()).collect(),
            exits: commands.iter().filter_map(|(_, end)| *end).collect(),
        }
    }

    /// Run a block whose last command goes on; come back when it has said something and is quiet, or has ended.
    ///
    /// # Errors
    /// When the terminal is not free or a command before the last takes too long.
    pub async fn run_staying(&self, id: &str, text: &str, limit: Duration) -> Result<Staying, DriveError> {
        self.prompt().await?;
        let (mark, count) = (self.tape().marks(), script::commands(text).len());
        self.start(id, text, None).await?;
        let begun = |tape: &Tape| tape.commands_since(mark).len() >= count;
        if !self.until(Instant::now() + limit, begun).await {
            let printed = self.commands(mark).printed;
            return Err(DriveError::Slow { command: text.to_owned(), seconds: limit.as_secs(), printed });
        }
        let spoke = |tape: &Tape| tape.commands_since(mark).last().is_some_and(|(printed, end)| !printed.is_empty() || end.is_some());
        self.until(Instant::now() + FIRST_WORDS, spoke).await;
        self.quiet().await;
        Ok(Staying { mark })
    }

    /// Wait until nothing has been printed for a moment.
    async fn quiet(&self) {
        let mut length = self.tape().len();
        loop {
            let before = length;
            if !self.until(Instant::now() + QUIET, |tape| tape.len() != before).await {
                return;
            }
            length = self.tape().len();
        }
    }

    /// What a block that goes on has printed so far.
    pub fn so_far(&self, staying: Staying) -> Ran {
        self.commands(staying.mark)
    }

    /// Wait until what a staying block printed is as wanted. `false` when it is not in time.
    pub async fn says(&self, staying: Staying, mut wanted: impl FnMut(&str) -> bool) -> bool {
        let printed = |tape: &Tape| tape.commands_since(staying.mark).into_iter().map(|(printed, _)| printed).collect::<String>();
        self.until(Instant::now() + FIRST_WORDS, |tape| wanted(&printed(tape))).await
    }

    /// Type a block into the program in front, which shows its own prompt.
    ///
    /// # Errors
    /// When another program is in front, or its prompt does not come back in time.
    pub async fn run_inside(&self, id: &str, text: &str, program: &str, limit: Duration) -> Result<Ran, DriveError> {
        let deadline = Instant::now() + limit;
        self.until(deadline, |tape| !tape.last_line().trim().is_empty()).await;
        self.quiet().await;
        let prompt = self.tape().last_line().trim_end().to_owned();
        let mut ran = Ran::default();
        for command in script::commands(text) {
            let (at, mark) = self.tape().here();
            self.start(id, &command, Some(program)).await?;
            let back = |tape: &Tape| {
                let typed = tape.since(at);
                tape.ended_since(mark) || (typed.contains('\n') && typed.lines().next_back().is_some_and(|line| line.trim_end() == prompt))
            };
            if !self.until(deadline, back).await {
                return Err(DriveError::Slow { command, seconds: limit.as_secs(), printed: self.tape().since(at) });
            }
            self.quiet().await;
            let typed = self.tape().since(at);
            let mut lines: Vec<&str> = typed.lines().skip(1).collect();
            if lines.last().is_some_and(|line| line.trim_end() == prompt) {
                lines.pop();
            }
            for line in lines {
                ran.printed.push_str(line);
                ran.printed.push('\n');
            }
        }
        Ok(ran)
    }

    /// Press keys; after those that end a program, wait for the prompt if it comes at once.
    ///
    /// # Errors
    /// When the session has ended.
    pub async fn press(&self, keys: Keys) -> Result<(), DriveError> {
        let mark = self.tape().marks();
        self.keys.send(Bytes::copy_from_slice(&[keys.byte()])).map_err(|_| self.wrong("it was closed"))?;
        if keys != Keys::Enter {
            // A key that ends a program inside of another one brings no mark.
            let ended = self.until(Instant::now() + Duration::from_secs(2), |tape| tape.ended_since(mark)).await;
            if ended {
                self.prompt().await?;
            }
        }
        Ok(())
    }
}

/// Keep the tape: everything the session prints, acknowledged at once.
async fn follow(mut attachment: Attachment, tape: Arc<Mutex<Tape>>, news: watch::Sender<()>, mut keys: mpsc::UnboundedReceiver<Bytes>) {
    let mut repaint = false;
    loop {
        let frame = tokio::select! {
            frame = attachment.next() => frame,
            key = keys.recv() => {
                let Some(key) = key else { return };
                if attachment.receive(Frame::Binary(key)).await.is_err() {
                    return;
                }
                continue;
            }
        };
        match frame {
            None => return,
            Some(Frame::Text(text)) => repaint |= matches!(serde_json::from_str(&text), Ok(ToViewer::Snapshot { .. })),
            Some(Frame::Binary(bytes)) => {
                // A repaint repeats what was on the screen; it is nothing new.
                if !std::mem::take(&mut repaint) {
                    tape.lock().unwrap_or_else(PoisonError::into_inner).feed(&bytes);
                    news.send_replace(());
                }
                let Ok(ack) = serde_json::to_string(&FromViewer::Ack { bytes: bytes.len() }) else { return };
                if attachment.receive(Frame::Text(ack)).await.is_err() {
                    return;
                }
            }
        }
    }
}
