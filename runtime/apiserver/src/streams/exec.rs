//! `pods/exec` and `pods/attach`: a client's channels joined to the kubelet's.
//!
//! The kubelet always speaks WebSocket `v5.channel.k8s.io`: each binary message is a channel number (0 stdin, 1 stdout, 2 stderr, 3 error,
//! 4 resize, 255 close of the channel named next) and its bytes. WebSocket clients speak the same, so their messages pass as they are; SPDY
//! clients have one stream per channel, which is translated here.
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use drydock_api::status::Status;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::kubelet::{self, KubeletError};
use super::spdy::session::{Session, StreamReader, StreamWriter};
use super::websocket::{self, Socket, payload};
use crate::audit::{Counters, OpenStream, StreamVerb};
use crate::body::Body;
use crate::call::Call;
use crate::config::Duplex;
use crate::request::encode_query;

/// Channel numbers.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

const KUBELET_PROTOCOL: &str = "v5.channel.k8s.io";
const WEBSOCKET_PROTOCOLS: [&str; 3] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"];
const SPDY_PROTOCOLS: [&str; 5] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// How long a client may take to open the streams it announced, or to close after the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Joins a client to a process in a container.
pub(crate) async fn exec(call: &Call, mut request: Request<Body>, verb: StreamVerb) -> Result<Response<Body>, Status> {
    let located = super::locate(call)?;
    let container = super::container(&located.pod, call.info.parameter("container"))?;
    check_options(call, verb)?;
    if located.node.is_empty() {
        return Err(Status::bad_request(format!("pod {} does not have a host assigned", call.info.name)));
    }
    let websocket = websocket::is_websocket(&request);
    if !websocket && !websocket::is_spdy(&request) {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let passed = ["stdin", "stdout", "stderr", "tty", "command"];
    let query = encode_query(call.info.query.iter().filter(|(key, _)| passed.contains(&key.as_str())).map(|(k, v)| (k.as_str(), v.as_str())));
    let path = format!("/{}/{}/{}/{container}?{query}", verb.as_str(), call.info.namespace, call.info.name);
    let kubelet = kubelet::websocket(&call.server.config().dial, located.target, &path, Some(KUBELET_PROTOCOL)).await;
    let stream = super::open(call, verb, &container);
    if websocket {
        let protocol = websocket::choose(&request, "sec-websocket-protocol", &WEBSOCKET_PROTOCOLS);
        let accepted = websocket::accept(&mut request, protocol)?;
        tokio::spawn(async move {
            match accepted.connection.await {
                Ok(connection) => join_websockets(websocket::socket(connection, Role::Server).await, kubelet, stream).await,
                Err(error) => tracing::debug!(%error, "upgrade to WebSocket"),
            }
        });
        return Ok(accepted.response);
    }
    let kubelet = kubelet.map_err(Status::from)?;
    let protocol = websocket::choose(&request, "x-stream-protocol-version", &SPDY_PROTOCOLS).unwrap_or("channel.k8s.io");
    let accepted = websocket::accept_spdy(&mut request, protocol)?;
    let expected = Expected::of(call, protocol);
    tokio::spawn(async move {
        match accepted.connection.await {
            Ok(connection) => join_spdy(Box::new(hyper_util::rt::TokioIo::new(connection)), expected, kubelet, stream).await,
            Err(error) => tracing::debug!(%error, "upgrade to SPDY"),
        }
    });
    Ok(accepted.response)
}

/// upstream: pkg/registry/core/pod/rest/subresources.go and validation of PodExecOptions
fn check_options(call: &Call, verb: StreamVerb) -> Result<(), Status> {
    if verb == StreamVerb::Exec && call.info.parameters("command").is_empty() {
        return Err(Status::bad_request("you must specify at least 1 command"));
    }
    // Absent stdout and stderr mean false here, but the options type defaults them to true.
    let on = |name: &str| call.info.parameter(name).is_none_or(|_given| call.info.flag(name));
    if !call.info.flag("stdin") && !on("stdout") && !on("stderr") {
        return Err(Status::bad_request("you must specify at least one of stdin, stdout, stderr"));
    }
    Ok(())
}

async fn join_websockets(mut client: Socket, kubelet: Result<Socket, KubeletError>, mut stream: OpenStream) {
    let kubelet = match kubelet {
        Ok(kubelet) => kubelet,
        Err(error) => {
            let text = match &error {
                KubeletError::Refused { text, .. } => format!("unable to upgrade connection: {text}"),
                KubeletError::Dial(_) | KubeletError::Http(_) => error.to_string(),
            };
            stream.set_code(500);
            let mut message = vec![ERROR];
            message.extend_from_slice(Status::internal(text).to_value().to_string().as_bytes());
            // A client that is gone does not need the reason.
            if client.send(Message::Binary(message.into())).await.is_ok() {
                finish(client).await;
            }
            return;
        }
    };
    let (mut kubelet_sink, mut kubelet_source) = kubelet.split();
    let (mut client_sink, mut client_source) = client.split();
    let code = tokio::select! {
        code = pass_down(&mut kubelet_source, &mut client_sink, &stream.counters) => code,
        () = pass_up(&mut client_source, &mut kubelet_sink, &stream.counters) => None,
    };
    stream.set_code(code.unwrap_or(-1));
    websocket::close(&mut client_sink).await;
    // The client may have gone away: the kubelet learns it by the close.
    websocket::close(&mut kubelet_sink).await;
    // Report the end before waiting for the client's half of the closing handshake.
    drop(stream);
    let rest = async { while let Some(Ok(_)) = client_source.next().await {} };
    if tokio::time::timeout(PATIENCE, rest).await.is_err() {
        tracing::debug!("client did not close its WebSocket");
    }
}

async fn pass_up(client: &mut SplitStream<Socket>, kubelet: &mut SplitSink<Socket, Message>, counters: &Counters) {
    while let Some(Ok(message)) = client.next().await {
        if matches!(message, Message::Close(_)) {
            break;
        }
        let Some(bytes) = payload(message) else { continue };
        if bytes.first() == Some(&STDIN) {
            counters.add_in(bytes.len() - 1);
        }
        if kubelet.send(Message::Binary(bytes)).await.is_err() {
            // The process is gone; what it left to say comes the other way, and ends the session.
            std::future::pending::<()>().await;
        }
    }
}

/// Passes messages until the kubelet ends; returns the exit code it reported.
async fn pass_down(kubelet: &mut SplitStream<Socket>, client: &mut SplitSink<Socket, Message>, counters: &Counters) -> Option<i32> {
    let mut code = None;
    while let Some(Ok(message)) = kubelet.next().await {
        if matches!(message, Message::Close(_)) {
            break;
        }
        let Some(bytes) = payload(message) else { continue };
        match bytes.first() {
            Some(&(STDOUT | STDERR)) => counters.add_out(bytes.len() - 1),
            Some(&ERROR) => code = Some(exit_code(&bytes[1..])),
            _ => {}
        }
        if client.send(Message::Binary(bytes)).await.is_err() {
            break;
        }
    }
    code
}

async fn finish(socket: Socket) {
    let (mut sink, mut source) = socket.split();
    websocket::close(&mut sink).await;
    let rest = async { while let Some(Ok(_)) = source.next().await {} };
    if tokio::time::timeout(PATIENCE, rest).await.is_err() {
        tracing::debug!("client did not close its WebSocket");
    }
}

/// The exit code in the Status of the error channel: 0 for success, the command's own, or -1 when it could not run.
fn exit_code(status: &[u8]) -> i32 {
    let Ok(status) = serde_json::from_slice::<Value>(status) else { return -1 };
    if status["status"] == "Success" {
        return 0;
    }
    let causes = status["details"]["causes"].as_array();
    let cause = causes.into_iter().flatten().find(|cause| cause["reason"] == "ExitCode");
    cause.and_then(|cause| cause["message"].as_str()).and_then(|code| code.parse().ok()).unwrap_or(-1)
}

/// Which streams a SPDY client will open.
struct Expected {
    count: usize,
}

impl Expected {
    fn of(call: &Call, protocol: &str) -> Expected {
        let tty = call.info.flag("tty");
        let on = |name: &str| call.info.flag(name);
        let resizes = tty && !matches!(protocol, "v2.channel.k8s.io" | "channel.k8s.io");
        let wanted = [true, on("stdin"), on("stdout"), on("stderr") && !tty, resizes];
        Expected { count: wanted.into_iter().filter(|&wanted| wanted).count() }
    }
}

#[derive(Default)]
struct Streams {
    error: Option<StreamWriter>,
    stdout: Option<StreamWriter>,
    stderr: Option<StreamWriter>,
    readers: Vec<(u8, StreamReader)>,
    /// Writers of the streams that only read: kept so that they are not reset.
    kept: Vec<StreamWriter>,
}

async fn take_streams(session: &mut Session, expected: &Expected) -> Option<Streams> {
    let mut streams = Streams::default();
    for _ in 0..expected.count {
        let stream = session.accept().await?;
        match stream.header("streamtype") {
            Some("error") => streams.error = Some(stream.writer),
            Some("stdout") => streams.stdout = Some(stream.writer),
            Some("stderr") => streams.stderr = Some(stream.writer),
            Some("stdin") => {
                streams.readers.push((STDIN, stream.reader));
                streams.kept.push(stream.writer);
            }
            Some("resize") => {
                streams.readers.push((RESIZE, stream.reader));
                streams.kept.push(stream.writer);
            }
            other => tracing::debug!(?other, "unknown stream type"),
        }
    }
    Some(streams)
}

async fn join_spdy(connection: Box<dyn Duplex>, expected: Expected, kubelet: Socket, mut stream: OpenStream) {
    let mut session = Session::serve(connection);
    let Ok(Some(streams)) = tokio::time::timeout(PATIENCE, take_streams(&mut session, &expected)).await else {
        return;
    };
    let Streams { mut error, mut stdout, mut stderr, readers, kept } = streams;
    let (mut kubelet_sink, mut kubelet_source) = kubelet.split();
    let (sender, mut messages) = mpsc::channel::<Bytes>(16);
    for (channel, reader) in readers {
        tokio::spawn(forward_reader(channel, reader, sender.clone()));
    }
    drop(sender);
    let counters = stream.counters.clone();
    let up = async {
        while let Some(bytes) = messages.recv().await {
            if bytes.first() == Some(&STDIN) {
                counters.add_in(bytes.len() - 1);
            }
            if kubelet_sink.send(Message::Binary(bytes)).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let gone = async { while session.accept().await.is_some() {} };
    let down = async {
        let mut code = -1;
        while let Some(Ok(message)) = kubelet_source.next().await {
            if matches!(message, Message::Close(_)) {
                break;
            }
            let Some(mut bytes) = payload(message).filter(|bytes| !bytes.is_empty()) else { continue };
            let channel = bytes.split_to(1)[0];
            let writer = match channel {
                STDOUT => &mut stdout,
                STDERR => &mut stderr,
                ERROR => {
                    code = exit_code(&bytes);
                    // Success is an empty error stream to clients up to v3 and a Status to later ones, which accept both.
                    if code == 0 {
                        continue;
                    }
                    &mut error
                }
                _ => continue,
            };
            counters.add_out(bytes.len());
            if let Some(writer) = writer
                && writer.write(bytes).await.is_err()
            {
                break;
            }
        }
        for writer in [&mut stdout, &mut stderr, &mut error].into_iter().flatten() {
            drop(writer.finish().await);
        }
        code
    };
    let code = tokio::select! {
        code = down => code,
        () = gone => -1,
        () = up => -1,
    };
    stream.set_code(code);
    drop((stdout, stderr, error, kept, stream));
    websocket::close(&mut kubelet_sink).await;
    session.drain(PATIENCE).await;
}

async fn forward_reader(channel: u8, mut reader: StreamReader, sender: mpsc::Sender<Bytes>) {
    while let Some(bytes) = reader.read().await {
        let mut message = BytesMut::with_capacity(bytes.len() + 1);
        message.put_u8(channel);
        message.put_slice(&bytes);
        if sender.send(message.freeze()).await.is_err() {
            return;
        }
    }
    // When the receiver is gone, so is the need to close.
    drop(sender.send(Bytes::copy_from_slice(&[CLOSE, channel])).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_read_from_the_error_channel() {
        let cases = [
            (r#"{"status":"Success"}"#, 0),
            (r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#, 42),
            (r#"{"status":"Failure","reason":"InternalError"}"#, -1),
            ("nonsense", -1),
        ];
        for (status, code) in cases {
            assert_eq!(exit_code(status.as_bytes()), code, "{status}");
        }
    }
}
