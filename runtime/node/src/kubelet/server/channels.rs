//! The channels of `v5.channel.k8s.io`: the first byte of a message says which stream the rest belongs to.

// upstream: staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go

use axum::body::Bytes;
use axum::extract::ws::Message;
use drydock_container::spec::TerminalSize;
use serde::Deserialize;
use serde_json::{Value, json};

/// The subprotocol spoken.
pub(super) const PROTOCOL: &str = "v5.channel.k8s.io";
/// Output.
pub(super) const STDOUT: u8 = 1;
/// Errors.
pub(super) const STDERR: u8 = 2;
const STDIN: u8 = 0;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// Bytes for standard input.
    Data(Bytes),
    /// Standard input has ended.
    End,
    /// The terminal has a new size.
    Resize(TerminalSize),
    /// The client went away.
    Gone,
    /// Nothing of interest.
    Nothing,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// Understand a message of the client.
pub(super) fn input(message: Message) -> Input {
    let mut bytes = match message {
        Message::Binary(bytes) => bytes,
        Message::Text(text) => Bytes::from(text),
        Message::Close(_) => return Input::Gone,
        Message::Ping(_) | Message::Pong(_) => return Input::Nothing,
    };
    if bytes.is_empty() {
        return Input::Nothing;
    }
    match bytes.split_to(1)[0] {
        STDIN if bytes.is_empty() => Input::Nothing,
        STDIN => Input::Data(bytes),
        CLOSE if bytes.first() == Some(&STDIN) => Input::End,
        RESIZE => match serde_json::from_slice::<Size>(&bytes) {
            Ok(size) => Input::Resize(TerminalSize { rows: size.height, cols: size.width }),
            Err(error) => {
                tracing::debug!(%error, "a terminal size that cannot be read");
                Input::Nothing
            }
        },
        _ => Input::Nothing,
    }
}

/// Bytes of a stream as a message.
pub(super) fn output(channel: u8, bytes: &[u8]) -> Message {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(channel);
    message.extend_from_slice(bytes);
    Message::Binary(message.into())
}

/// The last message: how the process ended.
pub(super) fn ended(code: i32) -> Message {
    if code == 0 {
        return status(&json!({"metadata": {}, "status": "Success"}));
    }
    status(&json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    }))
}

/// The last message: it could not be done.
pub(super) fn failed(text: &str) -> Message {
    status(&json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {text}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    }))
}

fn status(status: &Value) -> Message {
    output(ERROR, status.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_by_their_first_byte() {
        let binary = |bytes: &[u8]| Message::Binary(Bytes::copy_from_slice(bytes));
        for (bytes, expected) in [
            (&b"\x00ls\n"[..], Input::Data(Bytes::from_static(b"ls\n"))),
            (b"\xff\x00", Input::End),
            (b"\xff\x01", Input::Nothing),
            (b"\x04{\"Width\":80,\"Height\":24}", Input::Resize(TerminalSize { rows: 24, cols: 80 })),
            (b"\x04nonsense", Input::Nothing),
            (b"", Input::Nothing),
        ] {
            assert_eq!(input(binary(bytes)), expected, "{bytes:?}");
        }
        assert_eq!(input(Message::Close(None)), Input::Gone);
    }

    #[test]
    fn the_end_carries_the_exit_code() {
        let Message::Binary(bytes) = ended(7) else { panic!("not binary") };
        assert_eq!(bytes[0], ERROR);
        let status: Value = serde_json::from_slice(&bytes[1..]).unwrap();
        assert_eq!(status["details"]["causes"][0]["message"], "7");
        assert_eq!(status["reason"], "NonZeroExitCode");
    }
}
