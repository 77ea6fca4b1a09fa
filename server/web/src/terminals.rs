//! Terminals over WebSockets: frames of `drydock-terminal` go through unchanged, in both directions.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use drydock_terminal::{Attachment, Frame, Size};
use serde::Deserialize;

use crate::routes::{Shared, find};

/// Longest message a viewer may send: a large paste comes in pieces.
const MAX_MESSAGE: usize = 256 * 1024;

#[derive(Deserialize)]
pub(crate) struct Window {
    cols: Option<u16>,
    rows: Option<u16>,
    /// The chapter that is read: where a terminal that is new starts.
    chapter: Option<String>,
}

pub(crate) async fn socket(State(shared): State<Shared>, Path(name): Path<String>, Query(window): Query<Window>, upgrade: WebSocketUpgrade) -> Response {
    let chapter = window.chapter.and_then(|id| find(&shared, &id).ok());
    let directory = chapter.as_ref().and_then(|chapter| chapter.directory.as_deref());
    let session = match shared.config.workbench.terminals().session_in(&name, directory) {
        Ok(session) => session,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let size = window.cols.zip(window.rows).map(|(cols, rows)| Size { cols, rows });
    let closing = shared.closing.clone();
    upgrade.max_message_size(MAX_MESSAGE).on_upgrade(move |socket| async move {
        let Ok(attachment) = session.attach(size).await else { return };
        tokio::select! {
            result = pump(socket, attachment) => if let Err(error) = result {
                tracing::debug!(%error, terminal = name, "a terminal's viewer left");
            },
            () = closing.cancelled() => {}
        }
    })
}

async fn pump(mut socket: WebSocket, mut attachment: Attachment) -> Result<(), axum::Error> {
    loop {
        tokio::select! {
            frame = attachment.next() => match frame {
                Some(Frame::Text(text)) => socket.send(Message::text(text)).await?,
                Some(Frame::Binary(bytes)) => socket.send(Message::Binary(bytes)).await?,
                None => return socket.send(Message::Close(None)).await,
            },
            message = socket.recv() => {
                let frame = match message {
                    Some(Ok(Message::Text(text))) => Frame::Text(text.to_string()),
                    Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    None | Some(Ok(Message::Close(_))) => return Ok(()),
                    Some(Err(error)) => return Err(error),
                };
                if attachment.receive(frame).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
