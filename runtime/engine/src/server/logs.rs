//! A container's output: plain bytes of a terminal, frames of eight bytes and text otherwise.
// upstream: api/swagger.yaml, ContainerAttach, "Stream format"

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::error::ApiError;
use super::{Parameters, find};
use crate::runtime::{LogLine, LogQuery, Runtime, Source};

pub(super) async fn read(runtime: &dyn Runtime, typed: &str, parameters: &Parameters) -> Result<Response, ApiError> {
    let (stdout, stderr, times) = (parameters.flag("stdout"), parameters.flag("stderr"), parameters.flag("timestamps"));
    if !stdout && !stderr {
        return Err(ApiError::bad("Bad parameters: you must choose at least one stream"));
    }
    let container = find::container(runtime, typed)?;
    let query = LogQuery {
        follow: parameters.flag("follow"),
        // Anything that is no number means all, as upstream.
        tail: parameters.text("tail").parse().ok(),
        since: time(parameters.text("since"))?,
        until: time(parameters.text("until"))?,
    };
    let lines = runtime.logs(&container.id, query).await?;
    let tty = container.tty;
    let wanted = move |line: &LogLine| match line.source {
        Source::Stdout => stdout,
        Source::Stderr => stderr,
    };
    let chunks = ReceiverStream::new(lines).filter(wanted).map(move |line| Ok::<Bytes, std::convert::Infallible>(encode(&line, tty, times)));
    let kind = if tty { "application/vnd.docker.raw-stream" } else { "application/vnd.docker.multiplexed-stream" };
    Ok(([(CONTENT_TYPE, kind)], Body::from_stream(chunks)).into_response())
}

fn encode(line: &LogLine, tty: bool, times: bool) -> Bytes {
    // Nanoseconds in full, so that columns line up.
    let time = if times { format!("{:.9} ", line.time) } else { String::new() };
    let length = time.len() + line.bytes.len();
    let mut chunk = BytesMut::with_capacity(8 + length);
    if !tty {
        chunk.put_u32(match line.source {
            Source::Stdout => 1 << 24,
            Source::Stderr => 2 << 24,
        });
        chunk.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    }
    chunk.put_slice(time.as_bytes());
    chunk.put_slice(&line.bytes);
    chunk.freeze()
}

/// Seconds since 1970 with a fraction; empty or 0 is no limit.
fn time(text: &str) -> Result<Option<Timestamp>, ApiError> {
    let invalid = || ApiError::bad(format!("invalid timestamp {text:?}"));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if matches!(seconds, "" | "0") {
        return Ok(None);
    }
    let nanos = format!("{fraction:0<9}").get(..9).and_then(|digits| digits.parse().ok()).ok_or_else(invalid)?;
    Timestamp::new(seconds.parse().map_err(|_| invalid())?, nanos).map(Some).map_err(|_| invalid())
}
