//! What `-v` shows of requests and answers, in the lines of stock kubectl.
// upstream: client-go/transport/round_trippers.go, cli-runtime/pkg/resource/helper.go, kubectl/pkg/cmd/util/helpers.go

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::factory::titled;
use crate::failure::Failure;
use crate::print::{go, json};
use crate::rest::{Call, log};
use crate::streams::Streams;

/// How many bytes of a body are shown at 8, and at 9.
const SHOWN: [usize; 2] = [1024, 10240];

/// One request as it is shown.
pub(crate) struct Trace<'a> {
    /// Where lines go.
    pub(crate) streams: &'a Streams,
    /// `-v`
    pub(crate) level: i64,
    /// The request.
    pub(crate) call: &'a Call,
    /// `https://host:port`
    pub(crate) server: &'a str,
    /// What is said of us: the user agent, and who we act as.
    pub(crate) identity: &'a [(String, String)],
}

impl Trace<'_> {
    fn line(&self, place: &str, text: &str) {
        log(self.streams, place, text);
    }

    fn address(&self) -> String {
        format!("{}{}", self.server, self.call.target())
    }

    /// Before it is sent.
    pub(crate) fn request(&self, body: &[u8]) {
        if self.level >= 8 {
            self.body("Request Body", body);
        }
        let mut headers = vec![("Accept", self.call.accept)];
        headers.extend(self.call.body.as_ref().map(|(kind, _)| ("Content-Type", *kind)));
        headers.extend(self.identity.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        match self.level {
            9.. => {
                let shown: String = headers.iter().map(|(name, value)| format!(" -H {:?}", format!("{name}: {value}"))).collect();
                self.line("round_trippers.go:473", &format!("curl -v -X{} {shown} '{}'", self.call.method, self.address()));
            }
            7 | 8 => {
                self.line("round_trippers.go:470", &format!("{} {}", self.call.method, self.address()));
                self.line("round_trippers.go:476", "Request Headers:");
                headers.iter().for_each(|(name, value)| self.line("round_trippers.go:480", &format!("    {name}: {value}")));
            }
            _ => {}
        }
    }

    /// When its answer begins.
    pub(crate) fn answer(&self, status: StatusCode, headers: &HeaderMap, taken: Duration) {
        let status = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let millis = taken.as_millis();
        match self.level {
            7 | 8 => self.line("round_trippers.go:581", &format!("Response Status: {status} in {millis} milliseconds")),
            6 | 9.. => self.line("round_trippers.go:560", &format!("{} {} {status} in {millis} milliseconds", self.call.method, self.address())),
            _ => {}
        }
        if self.level >= 9 {
            self.line("round_trippers.go:577", &format!("HTTP Statistics: GetConnection 0 ms ServerProcessing {millis} ms Duration {millis} ms"));
        }
        if self.level >= 8 {
            self.line("round_trippers.go:584", "Response Headers:");
            for (name, value) in headers {
                self.line("round_trippers.go:587", &format!("    {}: {}", titled(name.as_str()), String::from_utf8_lossy(value.as_bytes())));
            }
        }
    }

    /// When all of its answer is there.
    pub(crate) fn answered(&self, body: &[u8]) {
        if self.level >= 8 {
            self.body("Response Body", body);
        }
    }

    /// A body, where upstream's helper shows it: not those of discovery.
    fn body(&self, title: &str, body: &[u8]) {
        let path = self.call.path.as_str();
        if path.split('/').count() < 4 || path.starts_with("/openapi") {
            return;
        }
        let listed = self.call.query.iter().any(|(name, _)| name == "limit");
        let place = match self.call.method {
            Method::POST => "helper.go:246",
            Method::PATCH => "helper.go:269",
            Method::DELETE => "helper.go:202",
            Method::PUT => "helper.go:319",
            _ if listed => "helper.go:113",
            _ => "helper.go:105",
        };
        let text = String::from_utf8_lossy(body);
        let limit = match self.level {
            10.. => text.len(),
            9 => SHOWN[1],
            _ => SHOWN[0],
        };
        let shown = if text.len() > limit { format!("{} [truncated {} chars]", &text[..text.floor_char_boundary(limit)], text.len() - limit) } else { text.into_owned() };
        let value = logged(&shown);
        self.line(place, &format!("{title:?} body={value}"));
    }
}

/// A value in a line of klog: what has several lines is put on lines of its own.
pub(crate) fn logged(value: &str) -> String {
    if !value.contains('\n') {
        return go::quote(value);
    }
    let lines: Vec<String> = value.trim_end_matches('\n').split('\n').map(|line| format!("\t{line}")).collect();
    format!("<\n{}\n >", lines.join("\n"))
}

/// The answer of a server that refused, which is shown from 4 on.
pub(crate) fn refused(streams: &Streams, level: i64, failure: &Failure) {
    const ORDER: [&str; 8] = ["kind", "apiVersion", "metadata", "status", "message", "reason", "details", "code"];
    if level < 4 {
        return;
    }
    let status = match failure {
        // What is invalid is told from its causes. upstream: kubectl/pkg/cmd/util/helpers.go checkErr
        Failure::Status(status) if status["reason"] == "Invalid" => return,
        Failure::Status(status) => status,
        Failure::Many(several) => return several.iter().for_each(|failure| refused(streams, level, failure)),
        _ => return,
    };
    let mut shown = Value::Object(status.as_object().into_iter().flatten().filter(|(name, _)| ORDER.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone())).collect());
    let details = std::mem::take(&mut shown["details"]);
    let mut text = json::ordered(&shown, "  ", &ORDER);
    if details.is_object() {
        let inner = json::ordered(&details, "  ", &["name", "group", "kind", "uid", "causes", "reason", "message", "field", "retryAfterSeconds"]).replace('\n', "\n  ");
        text = text.replacen("\"details\": null", &format!("\"details\": {inner}"), 1);
    } else {
        text = text.replacen("  \"details\": null,\n", "", 1);
    }
    log(streams, "helpers.go:246", &format!("server response object: %s[{text}]"));
}
