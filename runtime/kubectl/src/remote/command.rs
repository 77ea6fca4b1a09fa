//! Commands in containers: the channels of exec and attach over a WebSocket.
//!
//! Each message starts with the number of its channel: 0 standard input, 1 output, 2 errors, 3 the outcome, 4 the size of the terminal,
//! 255 the end of a channel (version 5 only).
// upstream: client-go/tools/remotecommand/{websocket,v5}.go

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use super::terminal::{self, Raw, Size};
use super::upgrade;
use crate::factory::Factory;
use crate::failure::Failure;
use crate::rest::Call;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const OUTCOME: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

const VERSIONS: [&str; 5] = ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// What is run and what of it is connected.
#[derive(Debug, Clone, Default)]
pub struct Remote {
    /// `exec` or `attach`.
    pub verb: &'static str,
    /// Where the Pod lives.
    pub namespace: String,
    /// The Pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// What to run; for `exec`.
    pub command: Vec<String>,
    /// Whether standard input goes there.
    pub stdin: bool,
    /// Whether it has a terminal: output and errors are one, keys go there as they are.
    pub tty: bool,
    /// The sizes the terminal is given first.
    pub sizes: Vec<Size>,
}

/// The ends of a remote command on this side.
pub struct Ends<'a> {
    /// Read to its end, when `stdin` is wanted.
    pub input: Box<dyn AsyncRead + Unpin + 'a>,
    /// Standard output.
    pub output: Box<dyn AsyncWrite + Unpin + 'a>,
    /// Standard error.
    pub errors: Box<dyn AsyncWrite + Unpin + 'a>,
}

impl Ends<'_> {
    /// Those of this process.
    pub fn process() -> Ends<'static> {
        Ends { input: Box::new(tokio::io::stdin()), output: Box::new(tokio::io::stdout()), errors: Box::new(tokio::io::stderr()) }
    }
}

impl Remote {
    fn call(&self) -> Call {
        let path = format!("/api/v1/namespaces/{}/pods/{}/{}", self.namespace, self.pod, self.verb);
        let mut call = self.command.iter().fold(Call::get(path), |call, word| call.query("command", word));
        call = call.query_some("container", &self.container);
        let switches = [("stderr", !self.tty), ("stdin", self.stdin), ("stdout", true), ("tty", self.tty)];
        switches.into_iter().filter(|(_, on)| *on).fold(call, |call, (name, _)| call.query(name, "true"))
    }

    /// Run it with the terminal of this process, raw if it has one.
    pub async fn run(&self, factory: &Factory) -> Result<(), Failure> {
        let raw = if self.tty { Some(Raw::enter()?) } else { None };
        let outcome = self.connect(factory, Ends::process()).await;
        drop(raw);
        outcome
    }

    /// Run it between these ends, to its own end.
    pub async fn connect(&self, factory: &Factory, mut ends: Ends<'_>) -> Result<(), Failure> {
        factory.streams.flush()?;
        let (socket, protocol) = upgrade(factory, &self.call(), &VERSIONS).await?;
        let half_close = protocol == VERSIONS[0];
        let (mut sender, mut receiver) = socket.split();
        for size in &self.sizes {
            sender.send(framed(RESIZE, &terminal::message(*size))).await.map_err(lost)?;
        }
        let mut resized = terminal::changes()?;
        let mut buffer = vec![0; 32 * 1024];
        let mut reading = self.stdin;
        loop {
            tokio::select! {
                message = receiver.next() => {
                    let Some(message) = message else { return Ok(()) };
                    match message {
                        Ok(Message::Binary(bytes)) => if let Some(outcome) = take(&bytes, &mut ends).await? { return outcome },
                        Ok(Message::Close(_)) => return Ok(()),
                        Ok(_) => {}
                        Err(error) => return Err(lost(error)),
                    }
                }
                count = ends.input.read(&mut buffer), if reading => {
                    let count = count?;
                    reading = count > 0;
                    let message = if reading { Some(framed(STDIN, &buffer[..count])) } else { half_close.then(|| framed(CLOSE, &[STDIN])) };
                    if let Some(message) = message {
                        // The other side may have ended; its outcome is on the way.
                        drop(sender.send(message).await);
                    }
                }
                _ = resized.recv(), if self.tty => {
                    if let Some(size) = terminal::size() {
                        drop(sender.send(framed(RESIZE, &terminal::message(size))).await);
                    }
                }
            }
        }
    }
}

fn framed(channel: u8, bytes: &[u8]) -> Message {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(channel);
    message.extend_from_slice(bytes);
    Message::Binary(message.into())
}

/// Passes a message on; the outcome of the command when it is that.
async fn take(message: &Bytes, ends: &mut Ends<'_>) -> Result<Option<Result<(), Failure>>, Failure> {
    let Some((channel, bytes)) = message.split_first() else { return Ok(None) };
    let end = match *channel {
        STDOUT => &mut ends.output,
        STDERR => &mut ends.errors,
        OUTCOME => {
            ends.output.flush().await?;
            ends.errors.flush().await?;
            return Ok(Some(outcome(bytes)));
        }
        _ => return Ok(None),
    };
    end.write_all(bytes).await?;
    end.flush().await?;
    Ok(None)
}

/// How the command ended.
// upstream: client-go/tools/remotecommand/v4.go errorDecoderV4
fn outcome(bytes: &[u8]) -> Result<(), Failure> {
    if bytes.is_empty() {
        return Ok(());
    }
    let Ok(status) = serde_json::from_slice::<Value>(bytes) else {
        return Err(Failure::new(format!("error stream protocol error: {}", String::from_utf8_lossy(bytes))));
    };
    match status["status"].as_str().unwrap_or_default() {
        "Success" => Ok(()),
        "Failure" if status["reason"] == "NonZeroExitCode" => {
            let causes = status["details"]["causes"].as_array().into_iter().flatten();
            let code = causes.filter(|cause| cause["reason"] == "ExitCode").find_map(|cause| cause["message"].as_str()?.parse::<i32>().ok());
            match code {
                Some(0) | None => Err(Failure::new("error stream protocol error: no exit code given")),
                Some(code) => Err(Failure::Plain(format!("command terminated with exit code {code}"), code)),
            }
        }
        "Failure" => Err(Failure::new(status["message"].as_str().unwrap_or_default())),
        other => Err(Failure::new(format!("error stream protocol error: unknown error {other:?}"))),
    }
}

fn lost(error: tokio_tungstenite::tungstenite::Error) -> Failure {
    Failure::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcome_is_the_commands_own() {
        let cases: [(&str, Result<(), (&str, i32)>); 5] = [
            (r#"{"status":"Success"}"#, Ok(())),
            ("", Ok(())),
            (
                r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#,
                Err(("command terminated with exit code 3", 3)),
            ),
            (r#"{"status":"Failure","message":"no such container"}"#, Err(("error: no such container", 1))),
            ("nonsense", Err(("error: error stream protocol error: nonsense", 1))),
        ];
        for (bytes, wanted) in cases {
            let found = outcome(bytes.as_bytes()).map_err(|failure| (failure.report(), failure.code()));
            assert_eq!(found, wanted.map_err(|(text, code)| (text.to_owned(), code)), "{bytes}");
        }
    }

    #[test]
    fn the_request_says_what_is_connected() {
        let remote = Remote { verb: "exec", namespace: "n".into(), pod: "p".into(), container: "c".into(), command: vec!["ls".into(), "-l a".into()], ..Remote::default() };
        assert_eq!(remote.call().target(), "/api/v1/namespaces/n/pods/p/exec?command=ls&command=-l+a&container=c&stderr=true&stdout=true");
        let raw = Remote { stdin: true, tty: true, command: vec![], ..remote };
        assert_eq!(raw.call().target(), "/api/v1/namespaces/n/pods/p/exec?container=c&stdin=true&stdout=true&tty=true");
    }
}
