//! The page a description is written on: lines with levels of indentation, columns made by tabs.

use std::fmt::Display;

use jiff::tz::TimeZone;
use serde_json::Value;

use super::value::{list, pairs, text, time};
use crate::tabwriter::{DESCRIPTION, align};

/// The longest annotation shown on one line.
const ANNOTATION: usize = 140;
/// Not worth a reader's time: it repeats the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// A description being written.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    zone: TimeZone,
}

impl Page {
    /// An empty page for a reader in this time zone.
    pub(super) fn new(zone: TimeZone) -> Self {
        Self { text: String::new(), zone }
    }

    /// A time as it is on the reader's clock.
    pub(super) fn date(&self, object: &Value, path: &str) -> String {
        match time(object, path) {
            Some(time) => time.to_zoned(self.zone.clone()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string(),
            None => "Mon, 01 Jan 0001 00:00:00 +0000".to_owned(),
        }
    }

    /// Text as it is.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A whole line.
    pub(super) fn line(&mut self, level: usize, text: impl Display) {
        self.indent(level);
        self.push(&format!("{text}\n"));
    }

    /// `Label:`, a tab and a value.
    pub(super) fn field(&mut self, level: usize, label: &str, value: impl Display) {
        self.indent(level);
        self.push(&format!("{label}:\t{value}\n"));
    }

    /// Cells in columns.
    pub(super) fn row(&mut self, level: usize, cells: &[&str]) {
        self.line(level, cells.join("\t"));
    }

    /// Labels, or anything like them, one a line.
    pub(super) fn labels(&mut self, title: &str, labels: &Value) {
        self.multiline(&format!("{title}:\t"), "\t", pairs(labels).into_iter().map(|(key, value)| format!("{key}={value}")));
    }

    /// Lines of one field: the first after `head`, the others after `indent`.
    pub(super) fn multiline(&mut self, head: &str, indent: &str, lines: impl IntoIterator<Item = String>) {
        self.push(head);
        let mut empty = true;
        for line in lines {
            if !empty {
                self.push(indent);
            }
            empty = false;
            self.line(0, line);
        }
        if empty {
            self.line(0, "<none>");
        }
    }

    /// Annotations, long ones shortened.
    pub(super) fn annotations(&mut self, title: &str, annotations: &Value) {
        let shown = pairs(annotations).into_iter().filter(|(key, _)| key != LAST_APPLIED);
        let lines = shown.map(|(key, value)| {
            let value = value.strip_suffix('\n').unwrap_or(&value);
            if value.len() + key.len() + 2 <= ANNOTATION && !value.contains('\n') {
                return format!("{key}: {value}");
            }
            let parts: Vec<String> = value.split('\n').map(|part| format!("\n\t  {}", shorten(part, ANNOTATION - 2))).collect();
            format!("{key}:{}", parts.concat())
        });
        self.multiline(&format!("{title}:\t"), "\t", lines.collect::<Vec<_>>());
    }

    /// The description, its columns aligned.
    pub(super) fn finish(self) -> String {
        align(DESCRIPTION, &escape(&self.text))
    }

    /// The page with its tabs, for those who do not align it.
    pub(super) fn unaligned(self) -> String {
        self.text
    }

    fn indent(&mut self, level: usize) {
        self.text.extend(std::iter::repeat_n("  ", level));
    }
}

/// What would steer the reader's terminal is shown, not done.
// upstream: cli-runtime/pkg/printers/terminal.go
fn escape(text: &str) -> String {
    text.replace('\u{1b}', "^[").replace('\r', "\\r")
}

/// At most so many bytes of a text, and dots.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
    format!("{}...", &text[..end])
}

/// `{type}/{name}` of the controller, or nothing.
pub(super) fn controller(object: &Value) -> Option<String> {
    let owner = list(object, "metadata.ownerReferences").iter().find(|owner| owner["controller"] == true)?;
    Some(format!("{}/{}", text(owner, "kind"), text(owner, "name")))
}
