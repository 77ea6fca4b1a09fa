//! A process on a machine of the lab, over a web socket of the lab API (`v5.channel.k8s.io`, as `pods/exec`).

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;

/// Path of the lab API.
pub(crate) const LAB: &str = "/apis/lab.drydock.internal/v1alpha1";

/// What goes to the process.
#[derive(Debug)]
pub(crate) enum Input {
    /// Typed.
    Bytes(Bytes),
    /// The terminal has this size, columns and rows.
    Size(u16, u16),
}

/// What comes from it.
#[derive(Debug)]
pub(crate) enum Output {
    /// Printed.
    Bytes(Bytes),
    /// It ended: its exit code, or why there is none.
    End(Result<i32, String>),
}

/// A running process. Dropping the sender of input, or the receiver of output, hangs up.
pub(crate) struct Process {
    /// To it.
    pub(crate) input: mpsc::Sender<Input>,
    /// From it; ends without [`Output::End`] when the connection was lost.
    pub(crate) output: mpsc::Receiver<Output>,
}

/// Start a process at a path such as `workstations/main/exec?tty=true`.
pub(crate) async fn start(client: &kube::Client, path: &str) -> anyhow::Result<Process> {
    let request = http::Request::get(format!("{LAB}/{path}")).body(Vec::new())?;
    let socket = client.connect(request).await.map_err(sentence)?.into_stream();
    let (mut sink, mut source) = socket.split();
    let (input, mut typed) = mpsc::channel::<Input>(64);
    let (sender, output) = mpsc::channel::<Output>(64);
    let writer = tokio::spawn(async move {
        while let Some(input) = typed.recv().await {
            let frame = match input {
                Input::Bytes(bytes) => [&[0], &bytes[..]].concat(),
                Input::Size(columns, rows) => format!("\u{4}{{\"Width\":{columns},\"Height\":{rows}}}").into_bytes(),
            };
            if sink.send(frame.into()).await.is_err() {
                return;
            }
        }
        // Nobody types any more: hang up. That the other side has gone already is fine.
        sink.close().await.unwrap_or_default();
    });
    tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if !message.is_binary() {
                continue;
            }
            let frame: Bytes = message.into_data();
            let news = match frame.first() {
                Some(1 | 2) if frame.len() > 1 => Output::Bytes(frame.slice(1..)),
                Some(3) => Output::End(exit(&frame[1..])),
                _ => continue,
            };
            let ended = matches!(news, Output::End(_));
            if sender.send(news).await.is_err() || ended {
                break;
            }
        }
        writer.abort();
    });
    Ok(Process { input, output })
}

fn exit(status: &[u8]) -> Result<i32, String> {
    let status: Value = serde_json::from_slice(status).map_err(|error| error.to_string())?;
    if status["status"] == "Success" {
        return Ok(0);
    }
    let mut causes = status["details"]["causes"].as_array().into_iter().flatten();
    let code = causes.find(|cause| cause["reason"] == "ExitCode").and_then(|cause| cause["message"].as_str()?.parse().ok());
    code.ok_or_else(|| status["message"].as_str().unwrap_or("it failed").to_owned())
}

/// What went wrong in the cluster's own words: the library prints them twice, with all of their fields.
pub(crate) fn sentence(error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow::Error::msg(status.message.clone()),
        error => error.into(),
    }
}

/// Escape a value of a query.
pub(crate) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
