//! Exec and attach: a process's streams joined to a WebSocket.

// upstream: pkg/kubelet/server/server.go (getExec, getAttach), staging/src/k8s.io/kubelet/pkg/cri/streaming/remotecommand

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use axum::extract::{Path, RawQuery, State, WebSocketUpgrade};
use axum::response::Response;
use drydock_container::stdio::{self, Stdio};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use nix::sys::signal::Signal;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::channels::{self, Input, PROTOCOL, STDERR, STDOUT};
use super::{Query, Refusal, Shared};
use crate::init::protocol::{Failure, Scope};
use crate::kubelet::logs::{ContainerIo, Source};
use crate::kubelet::node::{Executed, Node};
use crate::kubelet::records::{Entry, Record};
use crate::kubelet::stream::Stream;

type Place = Path<(String, String, String)>;

/// How long output may still come after its process has ended: somebody it started may hold the pipe for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

fn running(node: &Node, namespace: &str, pod: &str, container: &str) -> Result<Entry, Refusal> {
    let entry = node.records.find(namespace, pod, None, container);
    let entry = entry.filter(|entry| entry.record.exit.is_none() && entry.record.started.is_some());
    entry.ok_or_else(|| Refusal::missing(format!("container not found (\"{container}\")")))
}

pub(super) async fn exec(
    State(node): Shared,
    Path((namespace, pod, container)): Place,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let query = Query::parse(query.as_deref());
    let record = running(&node, &namespace, &pod, &container)?.record;
    let wanted = Wanted {
        command: query.all("command"),
        tty: query.flag("tty"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
    };
    if wanted.command.is_empty() {
        return Err(Refusal::bad("you must specify at least 1 command"));
    }
    Ok(upgrade.protocols([PROTOCOL]).on_upgrade(move |socket| run(node, record, wanted, socket)))
}

struct Wanted {
    command: Vec<String>,
    tty: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

async fn run(node: Arc<Node>, record: Record, wanted: Wanted, mut socket: WebSocket) {
    let command = wanted.command.clone();
    let executed = node.exec(&record, |process| {
        process.args = command;
        process.tty = wanted.tty;
        process.stdin = wanted.stdin;
        if wanted.tty {
            process.env.push("TERM=xterm".to_owned());
        }
    });
    let last = match executed.await {
        Ok(executed) => return converse(&node, executed, &wanted, socket).await,
        Err(failure) => failure_text(&record, &failure),
    };
    finish(&mut socket, channels::failed(&last)).await;
}

// upstream: containerd internal/cri/server/container_exec.go
fn failure_text(record: &Record, failure: &Failure) -> String {
    match failure {
        Failure::Container(error) => error.exec_message(&record.id),
        Failure::NotRunning { id } | Failure::NotFound { id, .. } => format!(
            "error executing command in container: failed to exec in container: failed to load task: no running task found: task {id} not found"
        ),
        other => format!("error executing command in container: {other}"),
    }
}

async fn converse(node: &Node, executed: Executed, wanted: &Wanted, socket: WebSocket) {
    let Executed { id, stdio, mut exit } = executed;
    let (input, outputs) = match streams(stdio) {
        Ok(streams) => streams,
        Err(error) => {
            tracing::warn!(%error, "cannot use the streams of a process");
            return;
        }
    };
    let (mut sink, mut source) = socket.split();
    let (sender, mut messages) = mpsc::channel::<Message>(16);
    for (channel, stream) in outputs {
        let shown = if channel == STDOUT { wanted.stdout } else { wanted.stderr };
        tokio::spawn(read(channel, stream, shown, sender.clone()));
    }
    drop(sender);
    let mut client = Box::pin(listen(&mut source, input, None));
    let mut client_gone = false;
    let mut code = None;
    loop {
        tokio::select! {
            // Output first: it must not be lost to the end.
            biased;
            message = messages.recv() => match message {
                Some(message) => {
                    if sink.send(message).await.is_err() {
                        client_gone = true;
                        break;
                    }
                }
                None => break,
            },
            ended = &mut exit, if code.is_none() => {
                code = Some(ended.map_or(-1, |exit| exit.code));
                break;
            }
            () = &mut client => {
                client_gone = true;
                break;
            }
        }
    }
    if client_gone {
        // As an SSH server does: the terminal hangs up.
        node.signal(&id, if wanted.tty { Signal::SIGHUP } else { Signal::SIGKILL }, Scope::Process).await;
        return;
    }
    let code = match code {
        Some(code) => {
            let rest = async {
                while let Some(message) = messages.recv().await {
                    if sink.send(message).await.is_err() {
                        break;
                    }
                }
            };
            if tokio::time::timeout(LAST_OUTPUT, rest).await.is_err() {
                tracing::debug!("output still open after the process ended");
            }
            code
        }
        None => exit.await.map_or(-1, |exit| exit.code),
    };
    drop(client);
    close(&mut sink, &mut source, channels::ended(code)).await;
}

type Outputs = Vec<(u8, Arc<Stream>)>;

fn streams(stdio: Stdio) -> std::io::Result<(Option<Arc<Stream>>, Outputs)> {
    Ok(match stdio {
        Stdio::Terminal(master) => {
            let master = Arc::new(Stream::new(master)?);
            (Some(Arc::clone(&master)), vec![(STDOUT, master)])
        }
        Stdio::Pipes { stdin, stdout, stderr } => {
            let stdin = stdin.map(Stream::new).transpose()?.map(Arc::new);
            (stdin, vec![(STDOUT, Arc::new(Stream::new(stdout)?)), (STDERR, Arc::new(Stream::new(stderr)?))])
        }
    })
}

/// Output of one stream into messages; what nobody wants to see is read all the same, or the process would block.
async fn read(channel: u8, stream: Arc<Stream>, shown: bool, messages: mpsc::Sender<Message>) {
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if shown && messages.send(channels::output(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

/// What the client sends, until it goes away. After the end of its input it is still listened to for resizes and its leaving.
async fn listen(source: &mut SplitStream<WebSocket>, mut input: Option<Arc<Stream>>, ended: Option<oneshot::Sender<()>>) {
    let terminal = input.clone();
    while let Some(Ok(message)) = source.next().await {
        match channels::input(message) {
            Input::Data(bytes) => {
                if let Some(stream) = &input
                    && let Err(error) = stream.write_all(&bytes).await
                {
                    tracing::trace!(%error, "nobody reads this input");
                    input = None;
                }
            }
            // The end of a terminal's input is a character, which the client sends; a pipe is closed.
            Input::End => {
                drop((input, terminal));
                if ended.is_some_and(|ended| ended.send(()).is_err()) {
                    tracing::trace!("nobody waits for the end of this input");
                }
                return wait_for_leave(source).await;
            }
            Input::Resize(size) => {
                if let Some(terminal) = &terminal
                    && let Err(error) = stdio::resize(terminal.fd(), size)
                {
                    tracing::trace!(%error, "no terminal to resize");
                }
            }
            Input::Gone => return,
            Input::Nothing => {}
        }
    }
}

async fn wait_for_leave(source: &mut SplitStream<WebSocket>) {
    while let Some(Ok(message)) = source.next().await {
        if channels::input(message) == Input::Gone {
            return;
        }
    }
}

async fn finish(socket: &mut WebSocket, last: Message) {
    if socket.send(last).await.is_ok() && socket.send(Message::Close(None)).await.is_err() {
        tracing::trace!("the client is gone already");
    }
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, source: &mut SplitStream<WebSocket>, last: Message) {
    if sink.send(last).await.is_err() || sink.close().await.is_err() {
        return;
    }
    let rest = async { while let Some(Ok(_)) = source.next().await {} };
    if tokio::time::timeout(LAST_OUTPUT, rest).await.is_err() {
        tracing::trace!("the client did not say goodbye");
    }
}

pub(super) async fn attach(
    State(node): Shared,
    Path((namespace, pod, container)): Place,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Refusal> {
    let query = Query::parse(query.as_deref());
    let entry = running(&node, &namespace, &pod, &container)?;
    let io = entry.io.clone().ok_or_else(|| Refusal::internal("the container's streams are not open"))?;
    let shown = Shown { stdin: query.flag("stdin"), stdout: query.flag("stdout"), stderr: query.flag("stderr") };
    Ok(upgrade.protocols([PROTOCOL]).on_upgrade(move |socket| join(node, entry.record, io, shown, socket)))
}

/// `stdinOnce`: with its first client's input the container's has ended. The end of a terminal's input is a character.
async fn close_input(node: &Node, record: &Record, io: &ContainerIo) {
    if !record.stdin_once || io.tty {
        return;
    }
    io.stdin.lock().await.take();
    if let Err(error) = node.init.close_stdin(&record.id).await {
        tracing::debug!(%error, "standard input is closed already");
    }
}

struct Shown {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

async fn join(node: Arc<Node>, record: Record, io: Arc<ContainerIo>, shown: Shown, socket: WebSocket) {
    // What a program says before anybody can attach is what most one-off Pods are run for; container engines lose it.
    let (before, mut output) = io.attach();
    let mut progress = io.progress();
    let (mut sink, mut source) = socket.split();
    let input = if shown.stdin { io.stdin.lock().await.clone() } else { None };
    let (sender, mut input_ended) = oneshot::channel();
    let mut client = Box::pin(listen(&mut source, input, Some(sender)));
    let mut input_open = shown.stdin;
    let mut before = before.into_iter();
    let stays = loop {
        let next = tokio::select! {
            biased;
            next = async { before.next() }, if before.len() > 0 => next.ok_or(broadcast::error::RecvError::Lagged(0)),
            next = output.recv() => next,
            // The container has ended and all it wrote was received before.
            () = async { drop(progress.wait_for(|progress| progress.complete).await) } => break true,
            _ = &mut input_ended, if input_open => {
                input_open = false;
                close_input(&node, &record, &io).await;
                continue;
            }
            () = &mut client => break false,
        };
        let (channel, bytes) = match next {
            Ok((Source::Stdout, bytes)) if shown.stdout => (STDOUT, bytes),
            Ok((Source::Stderr, bytes)) if shown.stderr => (STDERR, bytes),
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => break true,
        };
        if sink.send(channels::output(channel, &bytes)).await.is_err() {
            break false;
        }
    };
    drop(client);
    if input_open {
        close_input(&node, &record, &io).await;
    }
    if stays {
        close(&mut sink, &mut source, channels::ended(0)).await;
    }
}
