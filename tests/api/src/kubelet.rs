//! A kubelet that only this test believes in: it speaks the kubelet's side of the contract over a pipe instead of TLS.
//!
//! Logs come from lines a test pushes. Processes are this machine's own, run in a directory that stands for the container's root; a few
//! names are played by the kubelet itself (see [`play`]). Port 80 answers HTTP, port 7 echoes, everything else refuses.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use drydock_apiserver::body::{self, Body};
use drydock_apiserver::{Dial, Duplex, Target};
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use http::{Request, Response, StatusCode, header};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A container's log.
#[derive(Debug, Clone, Default)]
struct Log {
    lines: Vec<String>,
    ended: bool,
}

/// The kubelet. Clones are the same kubelet.
#[derive(Clone)]
pub struct FakeKubelet {
    state: Arc<State>,
}

struct State {
    root: PathBuf,
    logs: Mutex<HashMap<String, watch::Sender<Log>>>,
    calls: Mutex<Vec<String>>,
    down: Mutex<bool>,
}

impl FakeKubelet {
    /// A kubelet whose containers all have `root` as root.
    pub fn new(root: PathBuf) -> FakeKubelet {
        FakeKubelet { state: Arc::new(State { root, logs: Mutex::default(), calls: Mutex::default(), down: Mutex::default() }) }
    }

    /// The directory that stands for a container's root.
    pub fn root(&self) -> &std::path::Path {
        &self.state.root
    }

    /// Paths and queries it was asked for, in order.
    pub fn calls(&self) -> Vec<String> {
        self.state.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it refuses connections.
    pub fn set_down(&self, down: bool) {
        *self.state.down.lock().unwrap_or_else(PoisonError::into_inner) = down;
    }

    /// A container writes a line.
    pub fn log(&self, pod: &str, line: &str) {
        self.log_of(pod).send_modify(|log| log.lines.push(line.to_owned()));
    }

    /// A container ends, and with it its log.
    pub fn end_log(&self, pod: &str) {
        self.log_of(pod).send_modify(|log| log.ended = true);
    }

    fn log_of(&self, pod: &str) -> watch::Sender<Log> {
        let mut logs = self.state.logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.entry(pod.to_owned()).or_insert_with(|| watch::Sender::new(Log::default())).clone()
    }

    async fn answer(self, mut request: Request<hyper::body::Incoming>) -> Response<Body> {
        let asked = request.uri().to_string();
        self.state.calls.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
        let (path, query) = asked.split_once('?').unwrap_or((&asked, ""));
        let query = pairs(query);
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["containerLogs", _, pod, _] => self.logs_answer(pod, &query),
            ["exec", _, _, _] => {
                let all = |name: &str| query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect::<Vec<_>>();
                let (command, root, stdin) = (all("command"), self.state.root.clone(), all("stdin") == ["true"]);
                upgrade(&mut request, move |socket| async move { play(socket, &command, &root, stdin).await })
            }
            ["attach", _, _, _] => upgrade(&mut request, |socket| async move { attached(socket).await }),
            ["portForward", _, _] => {
                let port: u16 = query.iter().find(|(key, _)| key == "port").and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
                match port {
                    80 => upgrade(&mut request, |socket| async move { serve_http(socket).await }),
                    7 => upgrade(&mut request, |socket| async move { echo(socket).await }),
                    _ => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("dial tcp4 127.0.0.1:{port}: connect: connection refused")),
                }
            }
            ["pods"] => plain(StatusCode::OK, "the pods of a node"),
            _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn logs_answer(&self, pod: &str, query: &[(String, String)]) -> Response<Body> {
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        if get("previous") == Some("true") {
            return plain(StatusCode::BAD_REQUEST, &format!("previous terminated container \"web\" in pod \"{pod}\" not found"));
        }
        let mut log = self.log_of(pod).subscribe();
        let follow = get("follow") == Some("true");
        let present = log.borrow_and_update().clone();
        let skip = get("tailLines").and_then(|tail| tail.parse::<usize>().ok()).map_or(0, |tail| present.lines.len().saturating_sub(tail));
        let state = (log, skip, follow, present.ended);
        let chunks = futures::stream::unfold(state, |(mut log, sent, follow, ended)| async move {
            loop {
                let (text, count, over) = {
                    let log = log.borrow_and_update();
                    let text: String = log.lines.iter().skip(sent).map(|line| format!("{line}\n")).collect();
                    (text, log.lines.len(), log.ended)
                };
                if !text.is_empty() {
                    return Some((Ok(Bytes::from(text)), (log, count, follow, over)));
                }
                if !follow || ended || over || log.changed().await.is_err() {
                    return None;
                }
            }
        });
        Response::new(body::stream(chunks))
    }
}

impl Dial for FakeKubelet {
    fn dial(&self, target: Target) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        let down = *self.state.down.lock().unwrap_or_else(PoisonError::into_inner);
        let kubelet = self.clone();
        self.state.calls.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{target:?}"));
        Box::pin(async move {
            if down {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "dial tcp 172.30.1.1:10250: connect: connection refused"));
            }
            let (near, far) = tokio::io::duplex(64 * 1024);
            let service = service_fn(move |request| {
                let kubelet = kubelet.clone();
                async move { Ok::<_, Infallible>(kubelet.answer(request).await) }
            });
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service).with_upgrades();
                // A client that goes away is no news.
                drop(connection.await);
            });
            Ok(Box::new(near) as Box<dyn Duplex>)
        })
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
}

fn plain(code: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(body::full(text.to_owned()));
    *response.status_mut() = code;
    response
}

fn upgrade<F>(request: &mut Request<hyper::body::Incoming>, serve: impl FnOnce(Socket) -> F + Send + 'static) -> Response<Body>
where
    F: Future<Output = ()> + Send,
{
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        return plain(StatusCode::BAD_REQUEST, "Upgrade request required");
    };
    let protocol = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).cloned();
    let connection = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Ok(upgraded) = connection.await {
            serve(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await).await;
        }
    });
    let mut response = Response::new(body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    if let Ok(accept) = derive_accept_key(key.as_bytes()).parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

fn framed(channel: u8, bytes: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    Message::Binary(message.freeze())
}

fn status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

async fn finish(mut socket: Socket, status: &Value) {
    // The client may be gone; the test that cares looks at the client.
    drop(socket.send(framed(3, status.to_string().as_bytes())).await);
    drop(socket.close(None).await);
    while let Some(Ok(_)) = socket.next().await {}
}

/// Runs a command: `terminal-size` waits for the first size and prints it, `missing` cannot be found, everything else is this machine's.
async fn play(mut socket: Socket, command: &[String], root: &std::path::Path, stdin: bool) {
    match command.first().map(String::as_str) {
        Some("terminal-size") => {
            while let Some(Ok(message)) = socket.next().await {
                let bytes = message.into_data();
                if bytes.first() == Some(&4) {
                    drop(socket.send(framed(1, &bytes[1..])).await);
                    break;
                }
            }
            finish(socket, &status(0)).await;
        }
        Some("missing") | None => {
            let failure = json!({
                "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
                "message": "Internal error occurred: exec: \"missing\": executable file not found in $PATH",
            });
            finish(socket, &failure).await;
        }
        Some(program) => run(socket, program, &command[1..], root, stdin).await,
    }
}

async fn run(socket: Socket, program: &str, args: &[String], root: &std::path::Path, stdin: bool) {
    let spawned = tokio::process::Command::new(program)
        .args(args)
        .current_dir(root)
        .kill_on_drop(true)
        .stdin(if stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        return finish(socket, &status(126)).await;
    };
    let mut stdin = child.stdin.take();
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return finish(socket, &status(126)).await;
    };
    let (sender, mut output) = mpsc::channel(16);
    tokio::spawn(pump(1, stdout, sender.clone()));
    tokio::spawn(pump(2, stderr, sender));
    let (mut sink, mut source) = socket.split();
    let input = async {
        while let Some(Ok(message)) = source.next().await {
            match message.into_data().as_ref() {
                [0, bytes @ ..] => {
                    if let Some(stdin) = &mut stdin
                        && stdin.write_all(bytes).await.is_err()
                    {
                        break;
                    }
                }
                [255, 0] => stdin = None,
                _ => {}
            }
        }
        std::future::pending::<()>().await;
    };
    let forward = async {
        while let Some(message) = output.recv().await {
            drop(sink.send(message).await);
        }
        child.wait().await.map_or(-1, |status| status.code().unwrap_or(137))
    };
    let code = tokio::select! {
        code = forward => code,
        () = input => -1,
    };
    if let Ok(socket) = source.reunite(sink) {
        finish(socket, &status(code)).await;
    }
}

async fn pump(channel: u8, mut from: impl tokio::io::AsyncRead + Unpin, to: mpsc::Sender<Message>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.send(framed(channel, &buffer[..count])).await.is_err() {
            return;
        }
    }
}

/// An attached process greets and says what it hears until its input closes.
async fn attached(mut socket: Socket) {
    drop(socket.send(framed(1, b"attached\n")).await);
    while let Some(Ok(message)) = socket.next().await {
        match message.into_data().as_ref() {
            [0, bytes @ ..] if !bytes.is_empty() => drop(socket.send(framed(1, bytes)).await),
            [255, 0] => break,
            _ => {}
        }
    }
    finish(socket, &status(0)).await;
}

async fn serve_http(mut socket: Socket) {
    let mut request = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        request.extend_from_slice(&message.into_data());
        if request.windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    let page = "<h1>Hello from Chapter 2!</h1>\n";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}", page.len());
    drop(socket.send(Message::Binary(head.into())).await);
    drop(socket.close(None).await);
    while let Some(Ok(_)) = socket.next().await {}
}

/// Says back what it hears until the other side has said everything.
async fn echo(mut socket: Socket) {
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) if bytes.is_empty() => break,
            Message::Binary(bytes) => drop(socket.send(Message::Binary(bytes)).await),
            _ => {}
        }
    }
    drop(socket.close(None).await);
    while let Some(Ok(_)) = socket.next().await {}
}
