//! The server's tables for people.
//!
//! A [`TablePrinter`] belongs to one kind: it prints a header once and keeps the widths of its columns, so that later rows (of a watch, of
//! the next object) line up with the earlier ones.
// upstream: cli-runtime/pkg/printers/{tableprinter,tabwriter}.go

use serde_json::{Value, json};

use super::go;

/// How rows are shown.
#[derive(Debug, Clone, Default)]
pub struct TableOptions {
    /// `-o wide`
    pub wide: bool,
    /// `--no-headers`
    pub no_headers: bool,
    /// Whether the namespace is a column.
    pub namespace: bool,
    /// What stands before names, such as `pod`.
    pub kind: Option<String>,
    /// `--show-labels`
    pub labels: bool,
    /// `-L`
    pub label_columns: Vec<String>,
    /// Whether the kind of event is a column.
    pub events: bool,
}

/// Prints the tables of one kind.
#[derive(Debug, Default)]
pub struct TablePrinter {
    options: TableOptions,
    columns: Vec<Value>,
    header_done: bool,
    widths: Vec<usize>,
}

impl TablePrinter {
    /// A printer that has printed nothing yet.
    pub fn new(options: TableOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The text of a table; an answer that is no table is shown by name and age.
    pub fn print(&mut self, answer: &Value, event: &str) -> String {
        let made;
        let table = if answer["kind"] == "Table" {
            answer
        } else {
            made = generic(answer);
            &made
        };
        let columns = table["columnDefinitions"].as_array().cloned().unwrap_or_default();
        let mut lines: Vec<Vec<String>> = Vec::new();
        if !columns.is_empty() && (!self.header_done || columns != self.columns) {
            if !self.options.no_headers {
                lines.push(self.header(&columns));
            }
            self.columns = columns;
            self.header_done = true;
        }
        lines.extend(table["rows"].as_array().into_iter().flatten().map(|row| self.row(row, event)));
        self.align(&lines)
    }

    fn header(&self, columns: &[Value]) -> Vec<String> {
        let mut cells = Vec::new();
        if self.options.events {
            cells.push("EVENT".to_owned());
        }
        if self.options.namespace {
            cells.push("NAMESPACE".to_owned());
        }
        cells.extend(columns.iter().filter(|column| self.shown(column)).map(|column| column["name"].as_str().unwrap_or_default().to_uppercase()));
        cells.extend(self.options.label_columns.iter().map(|label| label.rsplit('/').next().unwrap_or_default().to_uppercase()));
        if self.options.labels {
            cells.push("LABELS".to_owned());
        }
        cells
    }

    fn row(&self, row: &Value, event: &str) -> Vec<String> {
        let metadata = &row["object"]["metadata"];
        let mut cells = Vec::new();
        if self.options.events {
            // As wide as the longest, so that later events stay in line.
            cells.push(format!("{event:8}"));
        }
        if self.options.namespace {
            cells.push(metadata["namespace"].as_str().unwrap_or_default().to_owned());
        }
        for (index, (column, cell)) in self.columns.iter().zip(row["cells"].as_array().into_iter().flatten()).enumerate() {
            if !self.shown(column) {
                continue;
            }
            let text = shown_cell(cell);
            let is_name = column["format"] == "name" || (index == 0 && column["name"] == "Name");
            match &self.options.kind {
                Some(kind) if is_name => cells.push(format!("{kind}/{text}")),
                _ => cells.push(text),
            }
        }
        let labels = &metadata["labels"];
        cells.extend(self.options.label_columns.iter().map(|label| labels[label].as_str().unwrap_or_default().to_owned()));
        if self.options.labels {
            cells.push(format_labels(labels));
        }
        cells
    }

    fn shown(&self, column: &Value) -> bool {
        self.options.wide || column["priority"].as_i64().unwrap_or_default() == 0
    }

    fn align(&mut self, lines: &[Vec<String>]) -> String {
        align(lines, &mut self.widths)
    }
}

/// Lines of cells in columns of at least six, three apart; widths only grow.
pub fn align(lines: &[Vec<String>], widths: &mut Vec<usize>) -> String {
    for line in lines {
        for (index, cell) in line.iter().enumerate().take(line.len().saturating_sub(1)) {
            let width = (cell.chars().count() + 3).max(6);
            match widths.get_mut(index) {
                Some(known) => *known = width.max(*known),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for line in lines {
        for (index, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if index + 1 < line.len() {
                let width = widths.get(index).copied().unwrap_or_default();
                text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
            }
        }
        text.push('\n');
    }
    text
}

fn shown_cell(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => match text.find(['\u{c}', '\n', '\r']) {
            Some(end) => escape(&format!("{}...", &text[..end])),
            None => escape(text),
        },
        other => go::print(other),
    }
}

/// A terminal must not obey what the server says.
fn escape(text: &str) -> String {
    text.replace('\u{1b}', "^[").replace('\t', " ")
}

/// `a=b,c=d`
pub fn format_labels(labels: &Value) -> String {
    let mut pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// Name and age of objects from a server that makes no tables.
fn generic(answer: &Value) -> Value {
    let objects: Vec<Value> = if answer["items"].is_array() { crate::builder::items(answer) } else { vec![answer.clone()] };
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| {
            let created = object["metadata"]["creationTimestamp"].as_str().and_then(drydock_primitives::time::parse);
            let age = created.map_or_else(|| "<unknown>".to_owned(), |at| drydock_primitives::time::human_duration(jiff::Timestamp::now().duration_since(at)));
            json!({"cells": [object["metadata"]["name"], age], "object": object})
        })
        .collect();
    json!({"kind": "Table", "columnDefinitions": [{"name": "Name", "format": "name"}, {"name": "Age"}], "rows": rows})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_line_up_with_what_was_printed_before() {
        let table = |name: &str| json!({"kind": "Table", "columnDefinitions": [{"name": "Name", "format": "name"}, {"name": "IP", "priority": 1}, {"name": "Ready"}], "rows": [{"cells": [name, "1", 2], "object": {"metadata": {"labels": {"a": "b"}}}}]});
        let mut printer = TablePrinter::new(TableOptions { labels: true, kind: Some("pod".to_owned()), ..TableOptions::default() });
        assert_eq!(printer.print(&table("web"), ""), "NAME      READY   LABELS\npod/web   2       a=b\n");
        assert_eq!(printer.print(&table("x"), ""), "pod/x     2       a=b\n");
        assert_eq!(printer.print(&table("longer-name"), ""), "pod/longer-name   2       a=b\n");
    }
}
