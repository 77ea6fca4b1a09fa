//! What part of a log is wanted and how a line of the file becomes a line for the reader. Pure.

// upstream: staging/src/k8s.io/cri-client/pkg/logs/logs.go

use jiff::{SignedDuration, Timestamp};

use super::{Query, Refusal};

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
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let text = parts.next().unwrap_or_default();
        let time = std::str::from_utf8(time).ok()?;
        if let Some(since) = self.since
            && time.parse::<Timestamp>().ok()? < since
        {
            return None;
        }
        if let Some(wanted) = &self.stream
            && !wanted.as_bytes().eq_ignore_ascii_case(stream)
        {
            return None;
        }
        let mut shown = Vec::with_capacity(text.len() + 40);
        if self.timestamps {
            shown.extend_from_slice(time.as_bytes());
            shown.push(b' ');
        }
        shown.extend_from_slice(text);
        if tag == b"F" {
            shown.push(b'\n');
        }
        Some(shown)
    }
}

/// Where the last `lines` lines of a text begin.
pub(super) fn tail_start(text: &[u8], lines: usize) -> usize {
    if lines == 0 {
        return text.len();
    }
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(index, _)| index + 1).nth(lines - 1).unwrap_or(0)
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

    #[test]
    fn the_tail_begins_where_its_first_line_does() {
        for (text, lines, expected) in
            [("a\nb\nc\n", 1, "c\n"), ("a\nb\nc\n", 2, "b\nc\n"), ("a\nb\nc\n", 9, "a\nb\nc\n"), ("a\nb", 1, "b"), ("", 3, ""), ("a\n", 0, "")]
        {
            assert_eq!(&text[tail_start(text.as_bytes(), lines)..], expected, "{text:?} {lines}");
        }
    }
}
