//! Objects of kinds without a description of their own, custom resources among them: every field, under readable names.

use serde_json::Value;

use super::page::Page;
use super::value::{plain, pairs};
use super::{ANNOTATIONS, EVENTS, LABELS, NAME, NAMESPACE, Subject};

/// Fields shown before, or by nobody.
const SKIPPED: [&str; 5] = [".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"];
const ACRONYMS: [&str; 5] = ["API", "URL", "UID", "OSB", "GUID"];

/// The whole description.
pub(super) fn write(subject: &Subject<'_>, page: &mut Page) {
    for row in [NAME, NAMESPACE, LABELS, ANNOTATIONS] {
        row.write(subject, page);
    }
    fields(page, 0, subject.object, "");
    EVENTS.write(subject, page);
}

fn fields(page: &mut Page, level: usize, object: &Value, path: &str) {
    for (field, _) in pairs(object) {
        let path = format!("{path}.{field}");
        if SKIPPED.contains(&path.as_str()) {
            continue;
        }
        let title = title(&field);
        match &object[&field] {
            value @ Value::Object(_) => {
                page.line(level, format_args!("{title}:"));
                fields(page, level + 1, value, &path);
            }
            Value::Array(items) => {
                page.line(level, format_args!("{title}:"));
                for item in items {
                    match item {
                        Value::Object(_) => fields(page, level + 1, item, &path),
                        _ => page.line(level + 1, printed(item)),
                    }
                }
            }
            value => page.field(level, &title, printed(value)),
        }
    }
}

fn printed(value: &Value) -> String {
    if value.is_null() { "<nil>".to_owned() } else { plain(value) }
}

/// `leaseDurationSeconds` as `Lease Duration Seconds`; names with anything but letters and dashes as they are.
fn title(field: &str) -> String {
    if field.chars().any(|char| !char.is_alphabetic() && char != '-') {
        return field.to_owned();
    }
    let words = words(field).into_iter().map(|word| {
        let upper = word.to_uppercase();
        if ACRONYMS.contains(&upper.as_str()) { upper } else { capitalized(&word) }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// The words of a camel-case name: runs of one kind of character, where a capital belongs to the small letters after it.
fn words(field: &str) -> Vec<String> {
    let class = |char: char| if char.is_lowercase() { 0 } else if char.is_uppercase() { 1 } else { 2 };
    let mut runs: Vec<(u8, String)> = Vec::new();
    for char in field.chars() {
        match runs.last_mut() {
            Some((own, run)) if *own == class(char) => run.push(char),
            _ => runs.push((class(char), char.to_string())),
        }
    }
    for at in 1..runs.len() {
        if runs[at - 1].0 == 1
            && runs[at].0 == 0
            && let Some(capital) = runs[at - 1].1.pop()
        {
            runs[at].1.insert(0, capital);
        }
    }
    runs.into_iter().map(|(_, run)| run).filter(|run| !run.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn titles_are_words() {
        let cases = [
            ("apiVersion", "API Version"),
            ("leaseDurationSeconds", "Lease Duration Seconds"),
            ("uid", "UID"),
            ("podIPs", "Pod I Ps"),
            ("f:metadata", "f:metadata"),
            ("x-y", "X - Y"),
            ("", ""),
        ];
        for (field, wanted) in cases {
            assert_eq!(super::title(field), wanted);
        }
    }
}
