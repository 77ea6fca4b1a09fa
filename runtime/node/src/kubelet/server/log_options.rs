//! What part of a log is wanted and how a line of the file becomes a line for the reader. Pure.

// upstream: staging/src/k8s.io/cri-client/pkg/logs/logs.go

use jiff::{SignedDuration, Timestamp};

use super::{Query, Refusal};
use crate::kubelet::log_reader::{LogLine, parse_line};

/// The options of `kubectl logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogOptions {
    /// Go on when the end is reached.
    pub(super) follow: bool,
    /// The instance before.
    pub(super) previous: bool,
    /// Put the time before each line.
    pub(super) timestamps: bool,
    /// Nothing older.
    pub(super) since: Option<Timestamp>,
    /// Only the last lines.
    pub(super) tail: Option<usize>,
    /// No more than this many bytes.
    pub(super) limit: Option<usize>,
    /// `Stdout` or `Stderr` alone.
    pub(super) stream: Option<String>,
}

impl LogOptions {
    /// From query parameters.
    pub(super) fn parse(query: &Query, now: Timestamp) -> Result<LogOptions, Refusal> {
        let number = |name: &str| -> Result<Option<i64>, Refusal> {
            let text = query.get(name).filter(|text| !text.is_empty());
            text.map(|text| text.parse().map_err(|_| Refusal::bad(format!("{name}: not a number: {text}")))).transpose()
        };
        let since_time = match query.get("sinceTime").filter(|text| !text.is_empty()) {
            Some(text) => Some(text.parse::<Timestamp>().map_err(|error| Refusal::bad(format!("sinceTime: {error}")))?),
            None => None,
        };
        let since = number("sinceSeconds")?.map(|seconds| now - SignedDuration::from_secs(seconds));
        Ok(LogOptions {
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            since: since.or(since_time),
            tail: number("tailLines")?.and_then(|lines| usize::try_from(lines).ok()),
            limit: number("limitBytes")?.and_then(|bytes| usize::try_from(bytes).ok()),
            stream: query.get("stream").filter(|stream| *stream != "All" && !stream.is_empty()).map(str::to_owned),
        })
    }

    /// A line of the file (without its end) as it is shown, `None` when it is not wanted.
    pub(super) fn show(&self, line: &[u8]) -> Option<Vec<u8>> {
        let LogLine { time, stream, complete, text } = parse_line(line)?;
        if let Some(since) = self.since
            && time.parse::<Timestamp>().ok()? < since
        {
            return None;
        }
        if let Some(wanted) = &self.stream
            && !wanted.eq_ignore_ascii_case(stream)
        {
            return None;
        }
        let mut shown = Vec::with_capacity(text.len() + 40);
        if self.timestamps {
            shown.extend_from_slice(time.as_bytes());
            shown.push(b' ');
        }
        shown.extend_from_slice(text);
        if complete {
            shown.push(b'\n');
        }
        Some(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_as_asked() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let options = |query: &str| LogOptions::parse(&Query::parse(Some(query)), now).unwrap_or_default();
        let line = b"2026-01-01T00:00:00.000000001Z stdout F hello there";
        for (query, expected) in [
            ("", Some("hello there\n")),
            ("timestamps=true", Some("2026-01-01T00:00:00.000000001Z hello there\n")),
            ("sinceSeconds=59", None),
            ("sinceSeconds=61", Some("hello there\n")),
            ("sinceTime=2026-01-01T00%3A00%3A01Z", None),
            ("stream=Stderr", None),
            ("stream=Stdout", Some("hello there\n")),
        ] {
            let shown = options(query).show(line).map(|shown| String::from_utf8(shown).unwrap());
            assert_eq!(shown.as_deref(), expected, "{query}");
        }
        let partial = options("").show(b"2026-01-01T00:00:00.000000001Z stdout P prompt$ ").unwrap();
        assert_eq!(partial, b"prompt$ ");
        assert_eq!(options("").show(b"nonsense"), None);
    }
}
