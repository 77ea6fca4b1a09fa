//! YAML in files and fences: typed, with the line of what is wrong.

use serde::de::DeserializeOwned;

use crate::diagnostic::{Report, did_you_mean};

/// Read YAML at an offset of a file; `keys` are the ones known at the top, for suggestions.
pub(crate) fn read<T: DeserializeOwned>(text: &str, offset: usize, keys: &[&str], report: &mut Report<'_>) -> Option<T> {
    let value: serde_yaml::Value = match serde_yaml::from_str(text) {
        Ok(value) => value,
        Err(error) => {
            say(&error, text, offset, report);
            return None;
        }
    };
    let mut unknown = false;
    if let Some(map) = value.as_mapping() {
        for key in map.keys().filter_map(serde_yaml::Value::as_str).filter(|key| !keys.contains(key)) {
            let help = did_you_mean(key, keys.iter().copied()).or_else(|| Some(format!("known here: {}", keys.join(", "))));
            report.error_with_help(offset + offset_of_key(text, key), format!("unknown key `{key}`"), help);
            unknown = true;
        }
    }
    if unknown {
        return None;
    }
    match serde_yaml::from_str(text) {
        Ok(typed) => Some(typed),
        Err(error) => {
            say(&error, text, offset, report);
            None
        }
    }
}

fn say(error: &serde_yaml::Error, text: &str, offset: usize, report: &mut Report<'_>) {
    let within = error.location().map_or(0, |location| location.index().min(text.len()));
    // The library ends its messages with the place inside the piece it was given, which is not a place in the file.
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
    report.error(offset + within, message);
}

/// Where a key of the top level stands.
pub(crate) fn offset_of_key(text: &str, key: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches(['"', '\'']);
        if bare.strip_prefix(key).is_some_and(|rest| rest.trim_start_matches(['"', '\'']).trim_start().starts_with(':')) {
            return at;
        }
        at += line.len();
    }
    text.find(&format!("{key}:")).unwrap_or(0)
}

/// Front matter between two `---` lines at the beginning: its text, its offset, and where the rest begins.
pub(crate) fn front_matter(text: &str) -> Option<(&str, usize, usize)> {
    let start = text.strip_prefix("---\n").map(|_| 4).or_else(|| text.strip_prefix("---\r\n").map(|_| 5))?;
    let mut at = start;
    for line in text[start..].split_inclusive('\n') {
        if line.trim_end() == "---" {
            return Some((&text[start..at], start, at + line.len()));
        }
        at += line.len();
    }
    None
}

/// A YAML scalar as the text an author sees: options may be numbers or booleans.
pub(crate) fn scalar(value: &serde_yaml::Value) -> Option<String> {
    match value {
        serde_yaml::Value::String(text) => Some(text.clone()),
        serde_yaml::Value::Number(number) => Some(number.to_string()),
        serde_yaml::Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}
