//! One terminal or command of a seat on a web socket (`v5.channel.k8s.io`, as `pods/exec`).
//!
//! Channels: 0 standard input, 1 output, 2 errors, 3 the final `metav1.Status`, 4 terminal size `{"Width":..,"Height":..}`, 255 closes a
//! channel. Between terminal and socket the shell marks are read and become `Command` records.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use drydock_container::TerminalSize;
use drydock_container::stdio::{Stdio, resize};
use drydock_node::init::protocol::Exit;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::marks::{Mark, Marks, words};
use super::pty::Stream;
use super::{As, Diary, Process, Seat, lock};
use crate::evidence::Kind;

/// What to run.
#[derive(Debug, Clone, Default)]
pub(crate) struct ExecRequest {
    /// Program and arguments; a login shell when empty.
    pub(crate) command: Vec<String>,
    /// Name of the session; commands in it become evidence. Without one nothing is recorded.
    pub(crate) session: Option<String>,
    /// A terminal instead of pipes.
    pub(crate) tty: bool,
    /// The terminal's first size; 24 rows of 80 columns where the caller does not say.
    pub(crate) size: Option<TerminalSize>,
    /// Where; the learner's home when empty.
    pub(crate) cwd: String,
    /// More environment.
    pub(crate) env: Vec<String>,
}

#[derive(Deserialize)]
struct Resize {
    #[serde(rename = "Width")]
    width: u16,
    #[serde(rename = "Height")]
    height: u16,
}

/// Input from the socket, decoded.
enum Input {
    Bytes(Bytes),
    Close,
    Resize(TerminalSize),
}

impl Seat {
    /// Run a process and connect it to a web socket until it ends or the socket does.
    pub(crate) async fn serve<S>(&self, request: ExecRequest, socket: WebSocketStream<S>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let command = if request.command.is_empty() { vec!["sh".to_owned(), "-l".to_owned()] } else { request.command.clone() };
        let size = request.tty.then(|| request.size.unwrap_or(TerminalSize { rows: 24, cols: 80 }));
        let (mut sink, source) = socket.split();
        let mut env = request.env.clone();
        if request.session.is_some() && request.tty {
            // Our shell writes its marks only when asked to, and does not hand the request on.
            env.push("DRYDOCK_SHELL_MARKS=1".to_owned());
        }
        if let Some(session) = &request.session {
            // A command that puts everything back leaves the terminal it was typed in.
            env.push(format!("DRYDOCK_TERMINAL={session}"));
        }
        if let Err(failure) = self.make_room().await {
            tracing::warn!(%failure, "a seat in which hardly anything can run any more stays as it is");
        }
        let mut opened = self.open(As::Learner, command.clone(), &request.cwd, size, env.clone()).await;
        if opened.is_err() && size.is_some() && !request.cwd.is_empty() {
            // A terminal whose directory is not there any more starts where every terminal can.
            opened = self.open(As::Learner, command, "", size, env).await;
        }
        match opened {
            Ok(process) => self.connect(request, process, sink, source).await,
            Err(failure) => finish(&mut sink, &failure_status(&failure.to_string())).await,
        }
    }

    async fn connect<S>(&self, request: ExecRequest, mut process: Process, sink: Sink<S>, source: SplitStream<WebSocketStream<S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stdio = std::mem::replace(&mut process.stdio, Stdio::Terminal(match null() {
            Ok(null) => null,
            Err(error) => {
                tracing::error!(%error, "open /dev/null");
                return;
            }
        }));
        let streams = match Streams::new(stdio) {
            Ok(streams) => streams,
            Err(error) => {
                tracing::error!(%error, "terminal streams");
                return;
            }
        };
        if let (Some(session), Streams::Terminal(terminal)) = (&request.session, &streams) {
            lock(&self.inner.terminals).insert(session.clone(), Arc::clone(terminal));
        }
        let recorder = request.session.clone().map(|session| Recorder::new(self.inner.diary.clone(), session));
        let outcome = pump(streams, sink, source, &mut process, recorder).await;
        if outcome.is_none() {
            process.hang_up(self).await;
        }
        if let Some(session) = &request.session {
            lock(&self.inner.terminals).remove(session);
        }
    }
}

type Sink<S> = SplitSink<WebSocketStream<S>, Message>;

enum Streams {
    Terminal(Arc<Stream>),
    Pipes { stdin: Option<Stream>, stdout: Stream, stderr: Stream },
}

impl Streams {
    fn new(stdio: Stdio) -> std::io::Result<Streams> {
        Ok(match stdio {
            Stdio::Terminal(terminal) => Streams::Terminal(Arc::new(Stream::new(terminal)?)),
            Stdio::Pipes { stdin, stdout, stderr } => {
                Streams::Pipes { stdin: stdin.map(Stream::new).transpose()?, stdout: Stream::new(stdout)?, stderr: Stream::new(stderr)? }
            }
        })
    }
}

/// Move bytes until the process ended and everything it wrote was sent (its exit) or the socket is gone (`None`).
async fn pump<S>(
    streams: Streams,
    mut sink: Sink<S>,
    source: SplitStream<WebSocketStream<S>>,
    process: &mut Process,
    recorder: Option<Recorder>,
) -> Option<Exit>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (frames, mut outgoing) = mpsc::channel::<Bytes>(64);
    let (input, incoming) = mpsc::channel::<Input>(64);
    let reader = tokio::spawn(read_socket(source, input));
    let output = tokio::spawn(async move {
        match streams {
            Streams::Terminal(terminal) => {
                let writer = tokio::spawn(write_terminal(Arc::clone(&terminal), incoming));
                copy(&terminal, 1, &frames, recorder).await;
                writer.abort();
            }
            Streams::Pipes { stdin, stdout, stderr } => {
                let writer = tokio::spawn(write_pipe(stdin, incoming));
                tokio::join!(copy(&stdout, 1, &frames, None), copy(&stderr, 2, &frames, None));
                writer.abort();
            }
        }
    });
    let mut reader = reader;
    let alive = loop {
        tokio::select! {
            frame = outgoing.recv() => match frame {
                Some(frame) => if sink.send(Message::Binary(frame)).await.is_err() { break false },
                None => break true,
            },
            _ = &mut reader => break false,
        }
    };
    reader.abort();
    if !alive {
        output.abort();
        return None;
    }
    let exit = (&mut process.exit).await.ok()?;
    finish(&mut sink, &exit_status(exit.code)).await;
    Some(exit)
}

async fn read_socket<S>(mut source: SplitStream<WebSocketStream<S>>, input: mpsc::Sender<Input>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = source.next().await {
        let Message::Binary(frame) = message else { continue };
        let decoded = match frame.first() {
            Some(0) => Input::Bytes(frame.slice(1..)),
            Some(255) if frame.get(1) == Some(&0) => Input::Close,
            Some(4) => match serde_json::from_slice::<Resize>(&frame[1..]) {
                Ok(size) => Input::Resize(TerminalSize { rows: size.height, cols: size.width }),
                Err(_) => continue,
            },
            _ => continue,
        };
        if input.send(decoded).await.is_err() {
            // The process closed its input; stay, so that the end of the socket is still seen.
            continue;
        }
    }
}

async fn write_terminal(terminal: Arc<Stream>, mut incoming: mpsc::Receiver<Input>) {
    while let Some(input) = incoming.recv().await {
        let written = match input {
            Input::Bytes(bytes) => terminal.write_all(&bytes).await,
            Input::Close => terminal.write_all(&[4]).await,
            Input::Resize(size) => resize(terminal.file().as_fd(), size).map_err(std::io::Error::other),
        };
        if written.is_err() {
            return;
        }
    }
}

async fn write_pipe(stdin: Option<Stream>, mut incoming: mpsc::Receiver<Input>) {
    let Some(stdin) = stdin else { return };
    while let Some(Input::Bytes(bytes)) = incoming.recv().await {
        if stdin.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn copy(stream: &Stream, channel: u8, frames: &mpsc::Sender<Bytes>, mut recorder: Option<Recorder>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let reading = stream.read(&mut buffer);
        let read = match recorder.as_ref().and_then(Recorder::due) {
            None => reading.await,
            Some(wait) => match timeout(wait, reading).await {
                Ok(read) => read,
                Err(_) => {
                    recorder.as_mut().into_iter().for_each(Recorder::tell_running);
                    continue;
                }
            },
        };
        let length = match read {
            Ok(0) | Err(_) => return,
            Ok(length) => length,
        };
        if let Some(recorder) = &mut recorder {
            recorder.feed(&buffer[..length]);
        }
        let mut frame = BytesMut::with_capacity(length + 1);
        frame.put_u8(channel);
        frame.put_slice(&buffer[..length]);
        if frames.send(frame.freeze()).await.is_err() {
            return;
        }
    }
}

async fn finish<S>(sink: &mut Sink<S>, status: &Value)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frame = BytesMut::new();
    frame.put_u8(3);
    frame.put_slice(status.to_string().as_bytes());
    let sent = sink.send(Message::Binary(frame.freeze())).await;
    if sent.is_ok()
        && let Err(error) = sink.close().await
    {
        tracing::debug!(%error, "close");
    }
}

/// upstream: staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand/exec.go, ServeExec
fn exit_status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failure_status(message: &str) -> Value {
    json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500, "message": message})
}

fn null() -> std::io::Result<std::os::fd::OwnedFd> {
    Ok(std::fs::File::open("/dev/null")?.into())
}

/// Commands of kubectl that go on, and say early what came of them.
const STREAMS: [&str; 3] = ["port-forward", "exec", "attach"];
/// What they print is told while they run up to so much, and not more often than this.
const TELLING: usize = 4096;
const TELL_EVERY: Duration = Duration::from_millis(250);

fn argv_streams(spec: &Value) -> bool {
    spec["tool"] == "kubectl" && spec["argv"].as_array().into_iter().flatten().any(|word| word.as_str().is_some_and(|word| STREAMS.contains(&word)))
}

/// Turns shell marks into `Command` records.
struct Recorder {
    diary: Diary,
    session: String,
    marks: Marks,
    running: Option<String>,
    /// It is one of [`STREAMS`].
    streams: bool,
    /// When its output was told last.
    told: Option<Instant>,
    /// It has printed more since.
    untold: bool,
}

impl Recorder {
    fn new(diary: Diary, session: String) -> Recorder {
        // What the first command finds.
        diary.files.take();
        Recorder { diary, session, marks: Marks::default(), running: None, streams: false, told: None, untold: false }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let marks = self.marks.feed(bytes);
        for mark in marks {
            match mark {
                Mark::Prompt => {}
                Mark::Started { line, cwd } => {
                    let argv = words(&line);
                    let tool = argv.first().map(|program| program.rsplit('/').next().unwrap_or(program).to_owned());
                    let spec = json!({"session": self.session, "argv": argv, "line": line, "cwd": cwd, "tool": tool, "files": self.diary.files.mark()});
                    let status = json!({"startTime": Timestamp::now().to_string()});
                    self.streams = argv_streams(&spec);
                    self.told = None;
                    self.running = Some(self.diary.evidence.add(Kind::Command, spec, status));
                }
                Mark::Ended { exit, output } => self.end(Some(exit), &output),
            }
        }
        self.untold = self.streams && self.running.is_some();
        self.tell_running();
    }

    /// How long to wait until what a stream has printed since may be told; `None` when all is told.
    fn due(&self) -> Option<Duration> {
        self.untold.then(|| self.told.map_or(Duration::ZERO, |told| TELL_EVERY.saturating_sub(told.elapsed())))
    }

    /// A stream tells by its first words whether it came about, long before it ends.
    fn tell_running(&mut self) {
        if self.due().is_none_or(|wait| !wait.is_zero()) {
            return;
        }
        self.untold = false;
        let (Some(name), Some(output)) = (&self.running, self.marks.running_output()) else { return };
        if output.len() > TELLING {
            return;
        }
        self.told = Some(Instant::now());
        self.diary.evidence.update(Kind::Command, name, |record| record["status"]["output"] = json!(output));
    }

    fn end(&mut self, exit: Option<i32>, output: &str) {
        if let Some(name) = self.running.take() {
            let files = self.diary.files.take();
            self.diary.evidence.update(Kind::Command, &name, |record| {
                let status = &mut record["status"];
                status["endTime"] = json!(Timestamp::now().to_string());
                status["files"] = json!(files);
                status["exitCode"] = json!(exit);
                status["output"] = json!(output);
            });
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let output = self.marks.running_output().unwrap_or_default();
        self.end(None, &output);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::evidence::Evidence;
    use crate::undo::Files;

    /// The end of what it says at once is told although nothing follows.
    #[tokio::test]
    async fn a_stream_that_goes_on_tells_all_it_has_said() {
        let directory = tempfile::tempdir().unwrap();
        let diary = Diary { evidence: Evidence::open(directory.path(), || 1).unwrap(), files: Files::open(&directory.path().join("undo"), Vec::new()).unwrap() };
        let mut news = diary.evidence.watch(Kind::Command);
        let (reader, mut terminal) = std::io::pipe().unwrap();
        let stream = Stream::new(reader.into()).unwrap();
        let (frames, mut shown) = mpsc::channel(64);
        let recorder = Recorder::new(diary.clone(), "main".to_owned());
        let copying = tokio::spawn(async move { copy(&stream, 1, &frames, Some(recorder)).await });
        let showing = tokio::spawn(async move { while shown.recv().await.is_some() {} });
        terminal.write_all(b"\x1b]133;C;cmdline=kubectl%20port-forward%20web%208080:80;cwd=/\x07").unwrap();
        for line in ["Forwarding from 127.0.0.1:8080 -> 80", "Forwarding from [::1]:8080 -> 80", "Handling connection for 8080"] {
            terminal.write_all(format!("{line}\r\n").as_bytes()).unwrap();
            let told = async {
                while !diary.evidence.list(Kind::Command).iter().any(|command| command["status"]["output"].as_str().is_some_and(|output| output.contains(line))) {
                    news.next().await;
                }
            };
            timeout(Duration::from_secs(30), told).await.unwrap_or_else(|_| panic!("{line:?} is not told: {:?}", diary.evidence.list(Kind::Command)));
        }
        drop(terminal);
        copying.await.unwrap();
        showing.await.unwrap();
    }
}
