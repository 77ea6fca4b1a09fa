//! Answers of the server, as tests read them.

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use drydock_apiserver::body::Body;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::patiently;

/// An answer that has an end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub bytes: Bytes,
    /// The body as JSON, null when it is none.
    pub body: Value,
}

impl Answer {
    /// Reads an answer to its end.
    pub async fn read(response: Response<Body>) -> Result<Answer> {
        let (parts, body) = response.into_parts();
        let collected = patiently("the end of an answer", body.collect()).await?;
        let bytes = collected.map_err(|error| anyhow::anyhow!("read an answer: {error}"))?.to_bytes();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { code: parts.status.as_u16(), headers: parts.headers, bytes, body })
    }

    /// The value at a JSON pointer, null when there is none.
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The text at a JSON pointer, empty when there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// The values at `pointer` of each item of a list.
    pub fn items(&self, pointer: &str) -> Vec<Value> {
        let items = self.body["items"].as_array().into_iter().flatten();
        items.map(|item| item.pointer(pointer).cloned().unwrap_or(Value::Null)).collect()
    }

    /// A header's text, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An answer that is a line of JSON per event.
pub struct Lines {
    body: Body,
    buffer: BytesMut,
}

impl Lines {
    /// The lines of an answer.
    pub fn of(response: Response<Body>) -> Lines {
        Lines { body: response.into_body(), buffer: BytesMut::new() }
    }

    /// The next line, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(serde_json::from_slice(&line).context("a line of a watch is not JSON")?));
            }
            let Some(frame) = patiently("the next line of a watch", self.body.frame()).await? else { return Ok(None) };
            let frame = frame.map_err(|error| anyhow::anyhow!("read a watch: {error}"))?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }

    /// The next event as `TYPE name`.
    pub async fn event(&mut self) -> Result<String> {
        let line = self.next().await?.context("the watch ended")?;
        let name = line["object"]["metadata"]["name"].as_str().unwrap_or_default();
        Ok(format!("{} {name}", line["type"].as_str().unwrap_or_default()).trim_end().to_owned())
    }
}
