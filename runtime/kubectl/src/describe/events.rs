//! The events at the end of a description.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

use super::Subject;
use super::page::Page;
use super::value::{at, since, text, text_or, time};

/// The section, unless events were not asked for or could not be had.
pub(super) fn section(subject: &Subject<'_>, page: &mut Page) {
    if !subject.related.show_events || subject.related.outcome("events").is_err() {
        return;
    }
    let mut events: Vec<&Value> = subject.related.items("events").iter().chain(subject.related.items("events of kubelet")).collect();
    if events.is_empty() {
        page.field(0, "Events", "<none>");
        return;
    }
    events.sort_by(|one, other| by_time(one, other));
    page.line(0, "Events:");
    page.row(1, &["Type", "Reason", "Age", "From", "Message"]);
    page.row(1, &["----", "------", "----", "----", "-------"]);
    for event in events {
        let source = text_or(event, "source.component", &text(event, "reportingComponent"));
        page.row(1, &[&text(event, "type"), &text(event, "reason"), &age(subject.now, event), &source, text(event, "message").trim()]);
    }
}

fn by_time(one: &Value, other: &Value) -> Ordering {
    time(one, "lastTimestamp").cmp(&time(other, "lastTimestamp"))
}

/// When it was seen last, and how often since when.
pub(crate) fn age(now: Timestamp, event: &Value) -> String {
    let first = if at(event, "eventTime").is_null() { since(now, event, "firstTimestamp") } else { since(now, event, "eventTime") };
    let count = at(event, "count").as_i64().unwrap_or_default();
    if !at(event, "series").is_null() {
        let times = text_or(event, "series.count", "0");
        return format!("{} (x{times} over {first})", since(now, event, "series.lastObservedTime"));
    }
    if count > 1 {
        return format!("{} (x{count} over {first})", since(now, event, "lastTimestamp"));
    }
    first
}
