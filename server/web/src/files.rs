//! Files of the learner's home, and the list of terminals.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use drydock_terminal::INTERRUPT;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::routes::{Answer, MAX_FILE, Refused, Shared};

#[derive(Deserialize)]
pub(crate) struct FilePath {
    path: String,
}

pub(crate) async fn read_file(State(shared): State<Shared>, Query(FilePath { path }): Query<FilePath>) -> Answer<Response> {
    let failed = |why| Refused::new(StatusCode::BAD_GATEWAY, why);
    match shared.config.workbench.read_file(&path).await.map_err(failed)? {
        Some(bytes) if bytes.len() > MAX_FILE => Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{path} is too large for the editor"))),
        Some(bytes) if !is_text(&bytes) => {
            let why = format!("{path} is no text in UTF-8: the editor would damage it");
            Err(Refused::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
        }
        Some(bytes) => Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response()),
        None => Err(Refused::new(StatusCode::NOT_FOUND, format!("there is no file {path}"))),
    }
}

/// Whether an editor writes back what it read.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'))
}

pub(crate) async fn write_file(State(shared): State<Shared>, Query(FilePath { path }): Query<FilePath>, bytes: Bytes) -> Answer<StatusCode> {
    let failed = |why| Refused::new(StatusCode::BAD_GATEWAY, why);
    shared.config.workbench.write_file(&path, bytes.to_vec()).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn terminal_names(State(shared): State<Shared>) -> Json<Value> {
    Json(json!(shared.config.workbench.terminals().names()))
}

pub(crate) async fn close_terminal(State(shared): State<Shared>, Path(name): Path<String>) -> StatusCode {
    shared.config.workbench.terminals().close(&name).await;
    StatusCode::NO_CONTENT
}

pub(crate) async fn interrupt(State(shared): State<Shared>, Path(name): Path<String>) -> Answer<StatusCode> {
    let bad = |error: drydock_terminal::TerminalError| Refused::new(StatusCode::BAD_REQUEST, error.to_string());
    let session = shared.config.workbench.terminals().session(&name).map_err(bad)?;
    session.press(INTERRUPT).await.map_err(bad)?;
    Ok(StatusCode::NO_CONTENT)
}
