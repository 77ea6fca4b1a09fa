//! The task of a session: see the parent module for the plan.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{Block, Gate, GoesOn, INTERRUPT, Refusal, Request, Terminals};
use crate::memory::{Kept, Memory};
use crate::protocol::{Frame, FromViewer, Mode, RunPhase, ToViewer};
use crate::screen::{Mark, Screen};
use crate::shell::{Connection, Pending, Shell, ShellError, Size};

/// Output is read only while some viewer has less than this unread.
const PACE: usize = 256 * 1024;
/// A viewer with more than this unread is dropped to repaints.
const BEHIND: usize = 1024 * 1024;
/// A viewer has caught up when less than this is unread.
const CAUGHT_UP: usize = 64 * 1024;
/// Typed or pasted bytes that wait for the program to read them.
const MAX_INPUT: usize = 1024 * 1024;
/// A viewer that acknowledges nothing for so long no longer sets the pace.
const STALLED: Duration = Duration::from_millis(500);
/// Pauses between attempts to open a shell.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What is shown is written down so long after a prompt, and in the middle of a command.
const KEEP_SOON: Duration = Duration::from_millis(500);
const KEEP_LATER: Duration = Duration::from_secs(2);
/// What stands between the screen of before and a new shell.
const ANEW: &[u8] = b"\x1b[0m\r\n\x1b[2m[Drydock was started again; this is a new shell where the old one was]\x1b[0m\r\n";

struct Viewer {
    id: u64,
    frames: mpsc::UnboundedSender<Frame>,
    unread: usize,
    behind: bool,
    acknowledged: Instant,
}

/// A click-to-run under way.
struct Run {
    id: String,
    /// All of its commands.
    commands: Vec<String>,
    /// The one to be typed next.
    next: usize,
    goes_on: GoesOn,
    exit: Option<i32>,
    /// The command in hand has been typed.
    typed: bool,
    /// It has ended.
    ended: bool,
}

enum Link {
    Opening(Pending<'static, Result<Connection, ShellError>>),
    Open(Connection),
    Pausing(Instant),
    Closed,
}

pub(super) struct Actor {
    name: String,
    shell: Arc<dyn Shell>,
    screen: Screen,
    size: watch::Sender<Size>,
    mode: watch::Sender<Mode>,
    viewers: Vec<Viewer>,
    link: Link,
    pause: Duration,
    input: BytesMut,
    run: Option<Run>,
    /// What became of the blocks that were run here; one that was halted, until another one is run.
    outcomes: BTreeMap<String, RunPhase>,
    memory: Memory,
    /// When what is shown is written down.
    keep_at: Option<Instant>,
    /// What it showed before is being written down.
    writing: Option<tokio::task::JoinHandle<()>>,
    /// Where the shell stands, or starts.
    directory: Option<String>,
    /// The learner has typed something at the current prompt.
    touched: bool,
    /// The learner has pressed Enter at the current prompt: the shell has the line, although it has not said so yet.
    entered: bool,
    exit: Option<i32>,
}

enum Happened {
    Request(Option<Request>),
    Opened(Result<Connection, ShellError>),
    Output(std::io::Result<usize>),
    Written(std::io::Result<usize>),
    Retry,
    Stalled,
    Keep,
    Stop,
}

impl Actor {
    pub(super) fn new(name: &str, terminals: &Terminals, directory: Option<&str>, mode: watch::Sender<Mode>) -> Actor {
        let kept = terminals.memory.recall(name).unwrap_or_default();
        let mut screen = Screen::new(kept.size, terminals.scrollback);
        screen.process(&kept.screen);
        if is_blank(&screen) {
            // A prompt alone is no work of anybody.
            screen = Screen::new(kept.size, terminals.scrollback);
        } else {
            screen.process(ANEW);
        }
        Actor {
            name: name.to_owned(),
            shell: terminals.shell.clone(),
            screen,
            size: watch::channel(kept.size).0,
            mode,
            viewers: Vec::new(),
            link: Link::Closed,
            pause: FIRST_PAUSE,
            input: BytesMut::new(),
            run: None,
            outcomes: kept.outcomes,
            memory: terminals.memory.clone(),
            keep_at: None,
            writing: None,
            directory: kept.directory.or_else(|| directory.map(str::to_owned)),
            touched: false,
            entered: false,
            exit: None,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Request>, mut stopped: watch::Receiver<bool>) {
        // The first viewer's size is better than a guess, so the shell is opened with it.
        let mut buffer = BytesMut::with_capacity(64 * 1024);
        loop {
            let happened = self.wait(&mut inbox, &mut stopped, &mut buffer).await;
            match happened {
                Happened::Stop | Happened::Request(None) => break,
                Happened::Request(Some(request)) => self.request(request),
                Happened::Opened(Ok(connection)) => self.opened(connection),
                Happened::Opened(Err(error)) => self.not_opened(&error),
                Happened::Output(Ok(0)) => self.ended(None),
                Happened::Output(Ok(_)) => {
                    let bytes = buffer.split().freeze();
                    self.output(&bytes);
                    buffer.reserve(64 * 1024);
                    // In a flood there is always more to read; whoever carries keys and acknowledgements must get a turn, and
                    // the one woken by this output waits behind this task on the same worker.
                    tokio::task::yield_now().await;
                }
                Happened::Output(Err(error)) | Happened::Written(Err(error)) => self.lost(&error),
                Happened::Written(Ok(written)) => self.input.advance(written),
                Happened::Retry => self.open(),
                Happened::Stalled => self.drop_stalled(),
                Happened::Keep => self.keep_beside(),
            }
        }
    }

    async fn wait(&mut self, inbox: &mut mpsc::Receiver<Request>, stopped: &mut watch::Receiver<bool>, buffer: &mut BytesMut) -> Happened {
        let (may_read, stall) = self.pace();
        let stall_at = stall.unwrap_or_else(|| Instant::now() + STALLED);
        let keep_at = self.keep_at.unwrap_or(stall_at);
        let input = &self.input;
        let link = async {
            match &mut self.link {
                Link::Opening(opening) => Happened::Opened(opening.await),
                Link::Pausing(until) => {
                    tokio::time::sleep_until(*until).await;
                    Happened::Retry
                }
                Link::Open(connection) => tokio::select! {
                    read = connection.reader.read_buf(buffer), if may_read => Happened::Output(read),
                    written = connection.writer.write(input), if !input.is_empty() => Happened::Written(written),
                    () = std::future::pending(), if !may_read && input.is_empty() => Happened::Retry,
                },
                Link::Closed => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => Happened::Stop,
            request = inbox.recv() => Happened::Request(request),
            happened = link => happened,
            () = tokio::time::sleep_until(stall_at), if stall.is_some() => Happened::Stalled,
            () = tokio::time::sleep_until(keep_at), if self.keep_at.is_some() => Happened::Keep,
        }
    }

    /// Whether output may be read, and if not, when the slow viewers count as stalled.
    fn pace(&self) -> (bool, Option<Instant>) {
        let mut leaders = self.viewers.iter().filter(|v| !v.behind).peekable();
        if leaders.peek().is_none() {
            return (true, None);
        }
        let slowest = leaders.clone().map(|v| v.acknowledged).max();
        if leaders.any(|v| v.unread < PACE) { (true, None) } else { (false, slowest.map(|at| at + STALLED)) }
    }

    fn drop_stalled(&mut self) {
        for viewer in self.viewers.iter_mut().filter(|v| v.unread >= PACE) {
            viewer.behind = true;
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Attach { size, frames, id } => self.attach(size, frames, id),
            Request::Detach { id } => self.viewers.retain(|v| v.id != id),
            Request::Input { bytes, id } => self.typed(&bytes, id),
            Request::Viewer { id, message } => self.viewer(id, &message),
            Request::Run { block, gate, reply } => self.start_run(block, &gate, reply),
            Request::Press(INTERRUPT) => {
                self.stop_run();
                self.input.clear();
                self.input.extend_from_slice(&[INTERRUPT]);
            }
            Request::Press(key) => self.typed(&Bytes::copy_from_slice(&[key]), 0),
            Request::Keep(reply) => {
                self.keep();
                self.memory = Memory::default();
                // Whoever asked may have left.
                reply.send(()).unwrap_or_default();
            }
        }
    }

    fn attach(&mut self, size: Option<Size>, frames: mpsc::UnboundedSender<Frame>, id: u64) {
        if let Some(size) = size {
            self.resize(size, id);
        }
        if matches!(self.link, Link::Closed) && !matches!(&*self.mode.borrow(), Mode::Ended { .. }) {
            self.open();
        }
        let mut viewer = Viewer { id, frames, unread: 0, behind: false, acknowledged: Instant::now() };
        send(&viewer, &ToViewer::State { mode: self.mode.borrow().clone() });
        if let Some(run) = &self.run {
            send(&viewer, &ToViewer::Run { id: run.id.clone(), phase: RunPhase::Running });
        }
        for (id, phase) in &self.outcomes {
            send(&viewer, &ToViewer::Run { id: id.clone(), phase: phase.clone() });
        }
        repaint(&mut viewer, &self.screen, *self.size.borrow());
        self.viewers.push(viewer);
    }

    fn viewer(&mut self, id: u64, message: &FromViewer) {
        match *message {
            FromViewer::Resize { cols, rows } => self.resize(Size { cols, rows }.clamped(), id),
            FromViewer::Reopen => {
                if matches!(&*self.mode.borrow(), Mode::Ended { .. }) {
                    self.open();
                }
            }
            FromViewer::Ack { bytes } => {
                let size = *self.size.borrow();
                for viewer in self.viewers.iter_mut().filter(|v| v.id == id) {
                    viewer.unread = viewer.unread.saturating_sub(bytes);
                    viewer.acknowledged = Instant::now();
                    if viewer.behind && viewer.unread < CAUGHT_UP {
                        viewer.behind = false;
                        repaint(viewer, &self.screen, size);
                    }
                }
            }
        }
    }

    fn resize(&mut self, size: Size, from: u64) {
        if *self.size.borrow() == size {
            return;
        }
        self.screen.resize(size);
        self.size.send_replace(size);
        for viewer in self.viewers.iter().filter(|v| v.id != from) {
            send(viewer, &ToViewer::Size { cols: size.cols, rows: size.rows });
        }
    }

    fn typed(&mut self, bytes: &Bytes, id: u64) {
        if matches!(&*self.mode.borrow(), Mode::Ended { .. }) {
            if bytes.iter().any(|b| matches!(b, b'\r' | b'\n')) {
                self.open();
            }
            return;
        }
        if self.input.len() + bytes.len() > MAX_INPUT {
            let why = "the program does not read its input; what you typed or pasted last was not sent".to_owned();
            if let Some(viewer) = self.viewers.iter().find(|v| v.id == id) {
                send(viewer, &ToViewer::Refused { why });
            }
            return;
        }
        if bytes.contains(&0x03) {
            self.stop_run();
        }
        self.touched = true;
        self.entered |= bytes.iter().any(|b| matches!(b, b'\r' | b'\n'));
        self.input.extend_from_slice(bytes);
    }

    fn open(&mut self) {
        let (shell, name, directory, size) = (self.shell.clone(), self.name.clone(), self.directory.clone(), self.size.subscribe());
        self.link = Link::Opening(Box::pin(async move { shell.open(&name, directory.as_deref(), size).await }));
        if !matches!(&*self.mode.borrow(), Mode::Starting { .. }) {
            self.set_mode(Mode::Starting { why: None });
        }
    }

    fn opened(&mut self, connection: Connection) {
        self.link = Link::Open(connection);
        self.pause = FIRST_PAUSE;
        self.touched = false;
        self.entered = false;
        self.set_mode(Mode::Unmarked);
    }

    fn not_opened(&mut self, error: &ShellError) {
        match error {
            ShellError::NotYet(why) => {
                self.set_mode(Mode::Starting { why: Some(why.clone()) });
                self.pause_before_retry();
            }
            ShellError::Impossible(why) => self.ended(Some(why.clone())),
        }
    }

    fn pause_before_retry(&mut self) {
        self.link = Link::Pausing(Instant::now() + self.pause);
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
    }

    fn lost(&mut self, error: &std::io::Error) {
        tracing::debug!(terminal = self.name, %error, "the shell's stream was lost");
        self.stop_run();
        self.input.clear();
        self.print("\r\n\x1b[0m\x1b[2m[the connection to this shell was lost; opening it again]\x1b[0m\r\n");
        self.set_mode(Mode::Starting { why: Some("the connection to this shell was lost".into()) });
        self.pause_before_retry();
    }

    fn ended(&mut self, why: Option<String>) {
        self.link = Link::Closed;
        self.stop_run();
        self.input.clear();
        let reason = why.as_deref().map(|w| format!(" ({w})")).unwrap_or_default();
        // Only what a program left open is left: on the main screen this would move the cursor to where it once was.
        let leave = if self.screen.is_alternate() { "\x1b[?1049l" } else { "" };
        self.print(&format!("{leave}\x1b[0m\r\n\x1b[2m[the shell has ended{reason}; press Enter to start it again]\x1b[0m\r\n"));
        self.set_mode(Mode::Ended { why });
    }

    /// A note of ours in the terminal: part of the screen like everything else.
    fn print(&mut self, text: &str) {
        self.output(&Bytes::copy_from_slice(text.as_bytes()));
    }

    fn output(&mut self, bytes: &Bytes) {
        let marks = self.screen.process(bytes);
        self.keep_after(KEEP_LATER);
        for viewer in &mut self.viewers {
            if viewer.behind {
                continue;
            }
            if viewer.unread + bytes.len() > BEHIND {
                viewer.behind = true;
                continue;
            }
            if viewer.unread == 0 {
                viewer.acknowledged = Instant::now();
            }
            viewer.unread += bytes.len();
            deliver(viewer, Frame::Binary(bytes.clone()));
        }
        for mark in marks {
            self.mark(mark);
        }
    }

    fn mark(&mut self, mark: Mark) {
        match mark {
            Mark::PromptStart { directory } if directory.is_empty() => {}
            Mark::PromptStart { directory } => self.directory = Some(directory),
            // The line editor draws its prompt again when the window changes; the command typed at it is still to come.
            Mark::PromptEnd if self.run.as_ref().is_some_and(|run| run.typed && !run.ended) => {}
            Mark::PromptEnd => {
                self.touched = false;
                self.entered = false;
                self.keep_after(KEEP_SOON);
                self.set_mode(Mode::Prompt);
                self.next_command();
            }
            Mark::CommandStart { line } => {
                let program = program_of(&line);
                self.set_mode(Mode::Busy { program, line });
            }
            Mark::CommandEnd { exit } => {
                self.exit = exit;
                if let Some(run) = self.run.as_mut().filter(|run| run.typed) {
                    run.exit = exit;
                    run.ended = true;
                }
            }
            Mark::Title(title) => self.tell(&ToViewer::Title { title }),
        }
    }

    fn start_run(&mut self, block: Block, gate: &Gate, reply: oneshot::Sender<Result<(), Refusal>>) {
        let mode = self.mode.borrow().clone();
        let free = match gate {
            Gate::Prompt => mode == Mode::Prompt && !self.entered && self.run.is_none(),
            // The program in front may be the last command of a run, as a shell in a Pod is.
            Gate::Unchanged(before) => mode == *before && self.run.as_ref().is_none_or(|run| run.next >= run.commands.len()),
        };
        let answer = if free { Ok(()) } else { Err(refusal(&mode, self.run.as_ref(), self.entered)) };
        let typed = answer.is_ok();
        if reply.send(answer).is_err() || !typed {
            return;
        }
        let Block { id, commands, skip, goes_on } = block;
        self.outcomes.retain(|other, phase| *other != id && !matches!(phase, RunPhase::Halted { .. }));
        self.tell(&ToViewer::Run { id: id.clone(), phase: RunPhase::Running });
        match gate {
            Gate::Prompt => {
                self.run = Some(Run { id, commands, next: skip, goes_on, exit: None, typed: false, ended: false });
                self.next_command();
            }
            Gate::Unchanged(_) => self.type_everything(commands.get(skip..).unwrap_or_default(), id),
        }
    }

    /// At a prompt: type the next command of the run, or report that it is done or goes no further.
    fn next_command(&mut self) {
        let Some(run) = &mut self.run else { return };
        if run.next < run.commands.len() && !run.goes_on.after(run.exit) {
            return self.halt_run();
        }
        match run.commands.get(run.next).cloned() {
            Some(command) => {
                run.next += 1;
                run.typed = true;
                run.ended = false;
                self.type_command(&command);
                // From now on the shell is not free, although it will say so itself only when it has read the line.
                let program = program_of(&command);
                self.set_mode(Mode::Busy { program, line: command });
            }
            None => {
                let (id, exit) = (run.id.clone(), run.exit);
                self.run = None;
                self.came_to(id, RunPhase::Finished { exit });
            }
        }
    }

    /// A command failed that was not expected to: the ones after it are not typed.
    fn halt_run(&mut self) {
        let Some(Run { id, commands, next, exit, .. }) = self.run.take() else { return };
        let failed = next.saturating_sub(1);
        let command = commands.get(failed).cloned().unwrap_or_default();
        let phase = RunPhase::Halted { exit: exit.unwrap_or_default(), failed, of: commands.len(), command };
        self.came_to(id, phase);
    }

    /// A block has come to its end.
    fn came_to(&mut self, id: String, phase: RunPhase) {
        self.tell(&ToViewer::Run { id: id.clone(), phase: phase.clone() });
        self.outcomes.insert(id, phase);
        self.keep_after(KEEP_SOON);
    }

    fn keep_after(&mut self, pause: Duration) {
        if self.memory.is_there() {
            let then = Instant::now() + pause;
            self.keep_at = Some(self.keep_at.map_or(then, |before| before.min(then)));
        }
    }

    /// Write down what it shows.
    fn keep(&mut self) {
        self.keep_at = None;
        self.memory.keep(&self.name, &self.kept());
    }

    /// Write it down while everything else goes on.
    fn keep_beside(&mut self) {
        self.keep_at = None;
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return self.keep_after(KEEP_LATER);
        }
        let (memory, name, kept) = (self.memory.clone(), self.name.clone(), self.kept());
        self.writing = Some(tokio::task::spawn_blocking(move || memory.keep(&name, &kept)));
    }

    fn kept(&self) -> Kept {
        Kept { size: *self.size.borrow(), directory: self.directory.clone(), outcomes: self.outcomes.clone(), screen: self.screen.main_page() }
    }

    /// Where no marks come there is no prompt to wait for.
    fn type_everything(&mut self, commands: &[String], id: String) {
        for command in commands {
            self.type_command(command);
        }
        self.came_to(id, RunPhase::Finished { exit: None });
    }

    fn type_command(&mut self, command: &str) {
        if std::mem::take(&mut self.touched) && matches!(&*self.mode.borrow(), Mode::Prompt) {
            // End of line, then delete to its beginning: what was half typed is not part of this command.
            self.input.extend_from_slice(b"\x05\x15");
        }
        if command.contains('\n') && self.screen.bracketed_paste() {
            self.input.extend_from_slice(b"\x1b[200~");
            self.input.extend_from_slice(command.as_bytes());
            self.input.extend_from_slice(b"\x1b[201~\r");
        } else {
            self.input.extend_from_slice(command.replace('\n', "\r").as_bytes());
            self.input.extend_from_slice(b"\r");
        }
    }

    fn stop_run(&mut self) {
        if let Some(run) = self.run.take() {
            self.tell(&ToViewer::Run { id: run.id, phase: RunPhase::Stopped });
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        self.mode.send_replace(mode.clone());
        self.tell(&ToViewer::State { mode });
    }

    fn tell(&self, message: &ToViewer) {
        for viewer in &self.viewers {
            send(viewer, message);
        }
    }
}

/// Whether there is no more than one line on it.
fn is_blank(screen: &Screen) -> bool {
    screen.text().lines().filter(|line| !line.trim().is_empty()).count() < 2 && !screen.has_scrolled()
}

fn refusal(mode: &Mode, run: Option<&Run>, entered: bool) -> Refusal {
    match mode {
        Mode::Busy { program, .. } => Refusal::Busy { program: program.clone() },
        Mode::Starting { .. } => Refusal::Starting,
        Mode::Ended { .. } => Refusal::Ended,
        Mode::Prompt | Mode::Unmarked => match run {
            Some(_) => Refusal::Busy { program: "another block".into() },
            None if entered => Refusal::Busy { program: "what you typed last".into() },
            None => Refusal::Unsure,
        },
    }
}

/// The word a learner would call the running program by.
fn program_of(line: &str) -> String {
    let mut words = line.split_whitespace().skip_while(|word| *word == "sudo" || word.contains('='));
    let word = words.next().unwrap_or("a program");
    word.rsplit('/').next().unwrap_or(word).to_owned()
}

fn repaint(viewer: &mut Viewer, screen: &Screen, size: Size) {
    let bytes = Bytes::from(screen.repaint());
    send(viewer, &ToViewer::Snapshot { cols: size.cols, rows: size.rows });
    viewer.unread += bytes.len();
    deliver(viewer, Frame::Binary(bytes));
}

fn send(viewer: &Viewer, message: &ToViewer) {
    deliver(viewer, message.frame());
}

fn deliver(viewer: &Viewer, frame: Frame) {
    if viewer.frames.send(frame).is_err() {
        tracing::trace!(viewer = viewer.id, "a viewer left; its detach is on the way");
    }
}
